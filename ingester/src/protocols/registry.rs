//! The protocols there are, and serving them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use runtime::Error;
use runtime::flags::ListenAddress;
use runtime::http::{Handler, HttpLimits, RawProtocol, Server, Service};
use runtime::process::Shutdown;
use runtime::tasks::Tasks;

use super::sink::{Destination, Limits, Sink};
use super::{lookout, metricbeat, opentsdb, pushgateway};
use crate::receive::TenantSettings;
use crate::scrape::Manager;

/// Requests that one receiver answers at once: they mostly wait for the disk, together.
const REQUESTS_MAX: usize = 32;
/// Large requests at once, of which these servers have none.
const LARGE_MAX: usize = 1;

/// A protocol.
pub struct Registered {
    /// Its name, and the prefix of its flags.
    pub name: &'static str,
    /// The port that its clients know.
    pub port: u16,
    /// Names of its flags: address, bytes of a request, points a second. Empty for a port that
    /// takes no points, of the last two.
    pub flags: [&'static str; 3],
    /// Makes its handlers.
    build: fn(Sink, &Options, &Joint) -> Result<Handlers, Error>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What scrapes in the same process, once it does: receivers start before it. Clones share it.
pub type LateManager = Arc<OnceLock<Arc<Manager>>>;

/// What several ports have together.
#[derive(Debug, Default)]
struct Joint {
    /// Lookout's, which its administration throws.
    lookout: lookout::gateway::Switch,
    /// What scrapes in the same process.
    scraping: LateManager,
}

/// What answers on the port of a protocol.
struct Handlers {
    http: Arc<dyn Handler>,
    /// For connections that are not HTTP.
    raw: Option<Arc<dyn RawProtocol>>,
    /// What goes on beside requests.
    background: Option<Background>,
}

/// Work of a receiver that listens on an address, until told to stop.
type Background = Box<dyn FnOnce(SocketAddr, Shutdown) -> BoxFuture<'static, ()> + Send>;

impl Handlers {
    /// Handlers of a protocol that is HTTP and nothing else.
    fn http(http: impl Handler + 'static) -> Self {
        Self {
            http: Arc::new(http),
            raw: None,
            background: None,
        }
    }
}

/// All protocols.
pub static REGISTERED: [Registered; 5] = [
    Registered {
        name: "opentsdb",
        port: 4242,
        flags: [
            "opentsdb.address",
            "opentsdb.body-bytes-max",
            "opentsdb.points-per-second-max",
        ],
        build: |sink, options, _| {
            let telnet = opentsdb::telnet::Telnet::new(sink.clone(), options.opentsdb);
            let endpoint = opentsdb::handler::Endpoint::new(sink, options.opentsdb);
            Ok(Handlers {
                raw: Some(Arc::new(telnet)),
                ..Handlers::http(endpoint)
            })
        },
    },
    Registered {
        name: "pushgateway",
        port: 9091,
        flags: [
            "pushgateway.address",
            "pushgateway.body-bytes-max",
            "pushgateway.points-per-second-max",
        ],
        build: |sink, options, joint| {
            let options = options.pushgateway.clone();
            let interval = options.self_scrape_interval;
            let gateway = pushgateway::gateway::Gateway::open(sink, options);
            let gateway = Arc::new(gateway.map_err(|source| Error::System {
                action: "read --pushgateway.persistence-file".to_owned(),
                source,
            })?);
            let endpoint = pushgateway::handler::Endpoint::new(Arc::clone(&gateway));
            let scraping = LateManager::clone(&joint.scraping);
            let background = interval.map(|interval| -> Background {
                Box::new(move |address, shutdown| {
                    let where_and_when = (address, scraping);
                    Box::pin(pushgateway::repeat::run(
                        gateway,
                        interval,
                        where_and_when,
                        shutdown,
                    ))
                })
            });
            Ok(Handlers {
                background,
                ..Handlers::http(endpoint)
            })
        },
    },
    Registered {
        name: "metricbeat",
        port: 9200,
        flags: [
            "metricbeat.address",
            "metricbeat.body-bytes-max",
            "metricbeat.points-per-second-max",
        ],
        build: |sink, options, _| {
            let options = options.metricbeat.clone();
            Ok(Handlers::http(metricbeat::handler::Endpoint::new(
                sink, options,
            )))
        },
    },
    Registered {
        name: "lookout",
        port: 7200,
        flags: [
            "lookout.address",
            "lookout.body-bytes-max",
            "lookout.points-per-second-max",
        ],
        build: |sink, options, joint| {
            let gateway = lookout::gateway::Gateway::new(
                sink,
                options.lookout.clone(),
                options.metricbeat.clone(),
                joint.lookout.clone(),
                LateManager::clone(&joint.scraping),
            );
            let gateway = Arc::new(gateway);
            let (telling, scraping) = (Arc::clone(&gateway), LateManager::clone(&joint.scraping));
            Ok(Handlers {
                background: Some(Box::new(|_, shutdown| {
                    Box::pin(lookout::gateway::run(telling, scraping, shutdown))
                })),
                http: gateway,
                raw: None,
            })
        },
    },
    Registered {
        name: "lookout-admin",
        port: 6200,
        flags: ["lookout.admin-address", "", ""],
        build: |_, _, joint| {
            let admin = lookout::admin::Admin::new(joint.lookout.clone());
            Ok(Handlers::http(admin))
        },
    },
];

/// What only one protocol knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Of OpenTSDB.
    pub opentsdb: opentsdb::Options,
    /// Of the Pushgateway.
    pub pushgateway: pushgateway::Options,
    /// Of Metricbeat.
    pub metricbeat: metricbeat::Options,
    /// Of Lookout.
    pub lookout: lookout::Options,
}

/// Where a protocol listens, and what it may take.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The protocol.
    pub protocol: &'static Registered,
    /// Where it listens.
    pub address: ListenAddress,
    /// The address was said; otherwise it is the default, and may be taken.
    pub is_configured: bool,
    /// What it may take.
    pub limits: Limits,
}

/// Which protocols are served, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Protocols that are on.
    pub listeners: Vec<Listener>,
    /// What only one protocol knows.
    pub options: Options,
    /// How requests name their tenant.
    pub tenants: TenantSettings,
    /// The file of the pipeline.
    pub pipeline_file: Option<PathBuf>,
    /// Bytes of pushes that are held on disk while the storage takes none.
    pub buffer_bytes_max: u64,
    /// How long a shutdown waits for requests that are being answered.
    pub grace: Duration,
}

impl Settings {
    /// Threads that receivers may occupy together.
    pub fn threads_max(&self) -> usize {
        let of_each = REQUESTS_MAX + LARGE_MAX;
        self.listeners.len() * of_each
    }
}

/// Protocols that are served.
#[derive(Debug)]
pub struct Running {
    /// The servers; they end after the shutdown was requested and their requests are answered.
    pub tasks: Tasks,
    /// Where each that is on listens, by name.
    pub addresses: Vec<(&'static str, SocketAddr)>,
}

/// Binds the sockets and serves until `shutdown` what writes to `destination`, beside what `scraping`
/// scrapes.
///
/// # Errors
/// [`Error::System`] for an address that was said and cannot be had, and what a protocol needs and
/// cannot be had.
pub async fn start(
    settings: Settings,
    destination: Destination,
    scraping: LateManager,
    shutdown: Shutdown,
) -> Result<Running, Error> {
    let mut running = Running {
        tasks: Tasks::new(),
        addresses: Vec::new(),
    };
    // All are bound before any is served, so that an error leaves nothing half started.
    let mut bound = Vec::new();
    let joint = Joint {
        scraping,
        ..Joint::default()
    };
    for listener in &settings.listeners {
        let name = listener.protocol.name;
        let limits = http_limits(listener, settings.grace);
        let server = match Server::bind(&listener.address, limits).await {
            Ok(server) => server,
            Err(error) if listener.is_configured => return Err(error),
            Err(error) => {
                let error = error.chain();
                tracing::warn!(
                    protocol = name,
                    error,
                    "receiver is off; give it another address"
                );
                continue;
            }
        };
        let address = server.local_addr().map_err(|source| Error::System {
            action: format!("tell where {name} listens"),
            source,
        })?;
        let sink = Sink::new(name, &destination, listener.limits);
        let handlers = (listener.protocol.build)(sink, &settings.options, &joint)?;
        running.addresses.push((name, address));
        bound.push(((name, address), server, handlers));
    }
    for ((name, address), mut server, handlers) in bound {
        if let Some(raw) = handlers.raw {
            server = server.with_raw(raw);
        }
        if let Some(background) = handlers.background {
            (running.tasks).spawn(name, background(address, shutdown.clone()));
        }
        let service = Service::default();
        service.ready(handlers.http);
        running
            .tasks
            .spawn(name, server.serve(service, shutdown.clone()));
    }
    Ok(running)
}

fn http_limits(listener: &Listener, grace: Duration) -> HttpLimits {
    let [_, body_flag, _] = listener.protocol.flags;
    HttpLimits {
        body_bytes_max: listener.limits.body_bytes_max,
        body_flag: Some(body_flag).filter(|flag| !flag.is_empty()),
        small_max: REQUESTS_MAX,
        large_max: LARGE_MAX,
        grace,
        ..HttpLimits::default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::testing::{Recorder, tenants};
    use super::*;

    fn settings(
        protocol: &'static Registered,
        address: SocketAddr,
        is_configured: bool,
    ) -> Settings {
        Settings {
            listeners: vec![Listener {
                protocol,
                address: ListenAddress::parse(&address.to_string()).unwrap(),
                is_configured,
                limits: Limits::default(),
            }],
            options: Options::default(),
            tenants: tenants(),
            pipeline_file: None,
            buffer_bytes_max: 0,
            grace: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_switches_a_default_off_and_fails_what_was_said() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        for protocol in &REGISTERED {
            let start = |address, is_configured| {
                let (trigger, shutdown) = Shutdown::new();
                let settings = settings(protocol, address, is_configured);
                let destination = Destination {
                    appender: Arc::new(Recorder::default()),
                    clock: Arc::new(runtime::ManualClock::new(0)),
                    tenants: tenants(),
                    pipeline: Arc::default(),
                    status: Arc::default(),
                };
                let running = start(settings, destination, LateManager::default(), shutdown);
                async move {
                    let running = running.await;
                    drop(trigger);
                    running
                }
            };
            let name = protocol.name;
            assert_eq!(start(address, false).await.unwrap().addresses, [], "{name}");
            let error = start(address, true).await.unwrap_err().to_string();
            assert!(error.contains(&address.to_string()), "{name}: {error}");
            // The same at a port that is free.
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            for is_configured in [false, true] {
                let running = start(free, is_configured).await.unwrap();
                assert_eq!(running.addresses[0].0, name);
            }
        }
    }
}
