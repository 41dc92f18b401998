//! Targets from DNS records.

use std::collections::BTreeMap;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType as Kind};
use model::{Labels, LabelsBuilder};

use super::{ADDRESS, Error, Sink};
use crate::config::RecordType;

/// Names to resolve.
#[derive(Debug)]
pub(super) struct Source {
    names: Vec<String>,
    record: RecordType,
    port: u16,
}

impl Source {
    pub(super) fn new(names: Vec<String>, record: RecordType, port: u16) -> Self {
        Self {
            names,
            record,
            port,
        }
    }

    pub(super) async fn watch(self, refresh: Duration, mut sink: Sink) {
        let mut resolver = None;
        let mut found: BTreeMap<&str, Vec<Labels>> = BTreeMap::new();
        loop {
            let mut failure = None;
            for name in &self.names {
                match self.resolve(&mut resolver, name).await {
                    Ok(targets) => {
                        found.insert(name, targets);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            sink.report(failure);
            sink.put(found.values().flatten().cloned().collect());
            tokio::time::sleep(refresh).await;
        }
    }

    async fn resolve(
        &self,
        resolver: &mut Option<TokioResolver>,
        name: &str,
    ) -> Result<Vec<Labels>, Error> {
        let failed = |error: &dyn std::fmt::Display| Error(format!("resolve {name:?}: {error}"));
        if resolver.is_none() {
            let builder = TokioResolver::builder_tokio().map_err(|e| failed(&e))?;
            *resolver = Some(builder.build().map_err(|e| failed(&e))?);
        }
        let resolver = resolver.as_ref().expect("made above");
        let kind = match self.record {
            RecordType::Srv => Kind::SRV,
            RecordType::A => Kind::A,
            RecordType::Aaaa => Kind::AAAA,
            RecordType::Mx => Kind::MX,
            RecordType::Ns => Kind::NS,
        };
        let lookup = match resolver.lookup(name, kind).await {
            Ok(lookup) => lookup,
            // A name without records has no targets; that is no failure.
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let records = lookup.answers().iter();
        Ok(records.filter_map(|r| self.target(name, &r.data)).collect())
    }

    /// The target that a record names; `None` for records of other kinds, such as CNAME.
    fn target(&self, name: &str, record: &RData) -> Option<Labels> {
        let mut labels = LabelsBuilder::new();
        labels.set("__meta_dns_name", name);
        let (host, port) = match record {
            RData::A(address) => (address.to_string(), self.port),
            RData::AAAA(address) => (format!("[{address}]"), self.port),
            RData::SRV(srv) => {
                labels.set("__meta_dns_srv_record_target", &srv.target.to_string());
                labels.set("__meta_dns_srv_record_port", &srv.port.to_string());
                (host(&srv.target.to_string()), srv.port)
            }
            RData::MX(mx) => {
                labels.set("__meta_dns_mx_record_target", &mx.exchange.to_string());
                (host(&mx.exchange.to_string()), self.port)
            }
            RData::NS(ns) => {
                labels.set("__meta_dns_ns_record_target", &ns.0.to_string());
                (host(&ns.0.to_string()), self.port)
            }
            _ => return None,
        };
        labels.set(ADDRESS, &format!("{host}:{port}"));
        Some(labels.labels())
    }
}

fn host(name: &str) -> String {
    name.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};

    use super::*;

    #[test]
    fn records_become_targets() {
        let source = Source::new(vec![], RecordType::Srv, 80);
        let srv = SRV::new(0, 0, 9100, "node-1.example.org.".parse().unwrap());
        assert_eq!(
            source.target("_x._tcp.example.org", &RData::SRV(srv)),
            Some(Labels::from_pairs([
                ("__address__", "node-1.example.org:9100"),
                ("__meta_dns_name", "_x._tcp.example.org"),
                ("__meta_dns_srv_record_port", "9100"),
                ("__meta_dns_srv_record_target", "node-1.example.org."),
            ]))
        );
        let address = |record| {
            source
                .target("h", &record)
                .unwrap()
                .get(ADDRESS)
                .map(str::to_owned)
        };
        let v4 = RData::A(A::new(10, 0, 0, 1));
        assert_eq!(address(v4), Some("10.0.0.1:80".to_owned()));
        let v6 = RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1));
        assert_eq!(address(v6), Some("[::1]:80".to_owned()));
    }
}
