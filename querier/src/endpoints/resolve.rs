//! From addresses to endpoints, through DNS.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use runtime::metrics::{Collect, Exposition};

use super::address::{Address, Lookup};

/// Finds the endpoints of addresses.
pub trait Resolve: Send + Sync + fmt::Debug {
    /// Each as `HOST:PORT`, in order; why there are none otherwise.
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Vec<String>, String>>;
}

/// Asks the name servers of the system.
pub struct Dns {
    resolver: TokioResolver,
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

impl Dns {
    /// The name servers that the system is set to.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn of_system() -> Result<Self, String> {
        let builder = TokioResolver::builder_tokio().map_err(|e| e.to_string())?;
        let resolver = builder.build().map_err(|e| e.to_string())?;
        Ok(Self { resolver })
    }

    async fn hosts(&self, host: &str, port: u16) -> Result<Vec<String>, String> {
        let found = self.resolver.lookup_ip(host).await;
        let found = found.map_err(|e| format!("look up {host}: {e}"))?;
        let with_port = |ip| std::net::SocketAddr::new(ip, port).to_string();
        Ok(found.iter().map(with_port).collect())
    }

    /// Targets and ports of a service.
    async fn services(&self, name: &str) -> Result<Vec<(String, u16)>, String> {
        let found = self.resolver.srv_lookup(name).await;
        let found = found.map_err(|e| format!("look up service {name}: {e}"))?;
        let targets = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some((srv.target.to_utf8(), srv.port)),
                _ => None,
            });
        Ok(targets.collect())
    }

    async fn all(&self, address: &Address) -> Result<Vec<String>, String> {
        let (name, port) = address.parts();
        let mut found = Vec::new();
        match address.lookup {
            Lookup::Static => found.push(address.name.clone()),
            Lookup::Hosts => {
                let host = name.trim_start_matches('[').trim_end_matches(']');
                found = self.hosts(host, port.unwrap_or_default()).await?;
            }
            Lookup::Services | Lookup::ServicesByName => {
                for (target, own_port) in self.services(name).await? {
                    let port = port.unwrap_or(own_port);
                    if address.lookup == Lookup::Services {
                        found.extend(self.hosts(&target, port).await?);
                    } else {
                        found.push(format!("{}:{port}", target.trim_end_matches('.')));
                    }
                }
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(self.all(address))
    }
}

/// Knows no names, and why; endpoints with plain addresses do without.
#[derive(Debug)]
pub struct NoDns(pub String);

impl Resolve for NoDns {
    fn resolve<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

/// Counts what is looked up, and what cannot be, of groups apart, as Thanos does.
#[derive(Debug)]
pub(super) struct Counted {
    inner: Arc<dyn Resolve>,
    single: Lookups,
    groups: Lookups,
}

#[derive(Debug, Default)]
struct Lookups {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Counted {
    pub(super) fn new(inner: Arc<dyn Resolve>) -> Self {
        Self {
            inner,
            single: Lookups::default(),
            groups: Lookups::default(),
        }
    }

    /// Finds the endpoints of an address, as [`Resolve`]; `is_group` if they all have the same data.
    pub(super) async fn resolve(
        &self,
        address: &Address,
        is_group: bool,
    ) -> Result<Vec<String>, String> {
        let lookups = match is_group {
            true => &self.groups,
            false => &self.single,
        };
        lookups.done.fetch_add(1, Ordering::Relaxed);
        let found = self.inner.resolve(address).await;
        let failed = u64::from(found.is_err());
        lookups.failed.fetch_add(failed, Ordering::Relaxed);
        found
    }
}

/// Names of [`Lookups`], those that were done and those that failed. Thanos' dashboards look under the
/// old names, its alerts under the new ones.
const OF_SINGLE: [[&str; 2]; 2] = [
    [
        "thanos_query_endpoints_dns_lookups_total",
        "thanos_query_endpoints_dns_failures_total",
    ],
    [
        "thanos_query_store_apis_dns_lookups_total",
        "thanos_query_store_apis_dns_failures_total",
    ],
];
const OF_GROUPS: [[&str; 2]; 1] = [[
    "thanos_query_endpoint_groups_dns_lookups_total",
    "thanos_query_endpoint_groups_dns_failures_total",
]];

impl Collect for Counted {
    fn collect(&self, out: &mut Exposition) {
        for (lookups, names) in [(&self.single, &OF_SINGLE[..]), (&self.groups, &OF_GROUPS)] {
            let done = lookups.done.load(Ordering::Relaxed);
            let failed = lookups.failed.load(Ordering::Relaxed);
            for [name_of_done, name_of_failed] in names {
                let help = "Addresses of endpoints that were looked up.";
                out.counter(name_of_done, help, &[], done);
                let help = "Addresses of endpoints that could not be looked up.";
                out.counter(name_of_failed, help, &[], failed);
            }
        }
    }
}
