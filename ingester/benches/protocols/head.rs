//! The whole way: what handlers are given until it is in a head and its log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use flate2::Compression;
use flate2::write::GzEncoder;
use ingester::append::Appender;
use ingester::pipeline::Pipeline;
use ingester::protocols::lookout::gateway::{Gateway, Switch};
use ingester::protocols::opentsdb::telnet::Telnet;
use ingester::protocols::sink::{Destination, Limits, Sink};
use ingester::protocols::{lookout, metricbeat, opentsdb, pushgateway};
use ingester::receive::TenantSettings;
use runtime::ManualClock;
use runtime::http::{
    Abandonment, Handler, HeaderMap, HeaderName, HeaderValue, Method, Request, header,
};
use std::io::Write as _;
use tsdb::batch::{Appended, Batch, CommitPoint, WriteError};
use tsdb::head::{Head, HeadOptions, SyncMode};

use crate::NOW_MS;
use crate::payload::{self, POINTS, Which};

/// Requests of one scrape: 20,000 series in all.
const REQUESTS: usize = 10;

/// Puts everything into one head.
struct Direct(Head);

impl Appender for Direct {
    fn append(&self, _: &str, batch: &Batch) -> Result<Appended, WriteError> {
        let appended = self.0.append(batch, i64::MAX)?;
        assert!(appended.rejected.is_empty());
        Ok(appended)
    }

    fn commit(&self, _: &str, _: CommitPoint) -> Result<(), WriteError> {
        Ok(())
    }
}

/// A sink over a head in `dir`.
fn sink(dir: &std::path::Path) -> Sink {
    let options = HeadOptions {
        sync: SyncMode::None,
        ..HeadOptions::default()
    };
    let (head, _) = Head::open(dir, options, &mut |_| ()).unwrap();
    let to = Destination {
        appender: Arc::new(Direct(head)),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        tenants: TenantSettings {
            header: HeaderName::from_static("thanos-tenant"),
            default: "default-tenant".to_owned(),
        },
        pipeline: Arc::new(Pipeline::default()),
        status: Arc::default(),
    };
    let limits = Limits {
        points_per_second_max: 0,
        ..Limits::default()
    };
    Sink::new("bench", &to, limits)
}

/// What takes requests: a body at a path, or lines.
enum Receiver {
    Http(Box<dyn Handler>, String, HeaderMap),
    Lines(Box<Telnet>),
}

impl Receiver {
    fn http(
        handler: impl Handler + 'static,
        path: &str,
        headers: &[(HeaderName, &'static str)],
    ) -> Self {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        Self::Http(Box::new(handler), path.to_owned(), headers.collect())
    }

    fn take(&self, body: Vec<u8>) {
        match self {
            Self::Http(handler, path, headers) => {
                let response = handler.handle(Request {
                    method: Method::POST,
                    path: path.clone(),
                    query: String::new(),
                    headers: headers.clone(),
                    body: body.into(),
                    peer: None,
                    waited: Duration::ZERO,
                    abandonment: Abandonment::default(),
                });
                assert!(response.status().is_success(), "{}", response.status());
            }
            Self::Lines(telnet) => {
                let mut lines = telnet.lines(&body);
                telnet.try_store(&mut lines).unwrap();
                assert_eq!(lines.reply.text, "");
            }
        }
    }
}

fn gzip(text: String) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn snappy(text: String) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(text.as_bytes())
        .unwrap()
}

/// A receiver, and what it is sent.
type Case = (&'static str, fn(Sink) -> Receiver, fn(Which) -> Vec<u8>);

fn gateway(sink: Sink, path: &str, headers: &[(HeaderName, &'static str)]) -> Receiver {
    let app = (HeaderName::from_static("app"), "order-center");
    let step = (HeaderName::from_static("step"), "-1");
    let gateway = Gateway::new(
        sink,
        lookout::Options::default(),
        metricbeat::Options::default(),
        Switch::default(),
        Arc::default(),
    );
    Receiver::http(gateway, path, &[&[app, step], headers].concat())
}

const CASES: [Case; 9] = [
    (
        "opentsdb, lines",
        |sink| Receiver::Lines(Box::new(Telnet::new(sink, opentsdb::Options::default()))),
        |which| payload::lines(which).into_bytes(),
    ),
    (
        "opentsdb, JSON",
        |sink| {
            let endpoint = opentsdb::handler::Endpoint::new(sink, opentsdb::Options::default());
            Receiver::http(endpoint, "/api/put", &[])
        },
        |which| payload::json(which).into_bytes(),
    ),
    (
        "pushgateway, text",
        |sink| {
            let options = pushgateway::Options::default();
            let gateway = pushgateway::gateway::Gateway::open(sink, options).unwrap();
            let endpoint = pushgateway::handler::Endpoint::new(Arc::new(gateway));
            Receiver::http(endpoint, "/metrics/job/backup", &[])
        },
        // The same group each time, which would otherwise have to hold all of it.
        |which| payload::exposition(Which { first: 0, ..which }).into_bytes(),
    ),
    (
        "lookout, records",
        |sink| gateway(sink, "/datas", &[]),
        |which| payload::records(which).into_bytes(),
    ),
    (
        "lookout, records by gzip",
        |sink| gateway(sink, "/datas", &[(header::CONTENT_ENCODING, "gzip")]),
        |which| gzip(payload::records(which)),
    ),
    (
        "lookout, records by snappy",
        |sink| gateway(sink, "/datas", &[(header::CONTENT_ENCODING, "snappy")]),
        |which| snappy(payload::records(which)),
    ),
    (
        "lookout, exposition",
        |sink| gateway(sink, "/prom/metrics/job/backup/app/orders/step/-1", &[]),
        |which| payload::timed_exposition(which).into_bytes(),
    ),
    (
        "lookout, OpenTSDB's JSON",
        |sink| gateway(sink, "/opentsdb/api/put", &[]),
        |which| payload::json(which).into_bytes(),
    ),
    (
        "metricbeat",
        |sink| {
            let options = metricbeat::Options::default();
            let endpoint = metricbeat::handler::Endpoint::new(sink, options);
            Receiver::http(endpoint, "/_bulk", &[])
        },
        |which| payload::events(which).into_bytes(),
    ),
];

/// Twenty thousand series that were there before.
pub(crate) fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("to the head");
    group.throughput(Throughput::Elements((REQUESTS * POINTS) as u64));
    for (name, receiver, body) in CASES {
        let dir = tempfile::tempdir().unwrap();
        let receiver = receiver(sink(dir.path()));
        let mut scrape = 0;
        let mut one_scrape = || {
            let mut taken = Duration::ZERO;
            for request in 0..REQUESTS {
                let first = request * POINTS;
                let body = body(Which { first, scrape });
                let started = Instant::now();
                receiver.take(body);
                taken += started.elapsed();
            }
            scrape += 1;
            taken
        };
        one_scrape();
        group.bench_function(name, |b| {
            b.iter_custom(|times| (0..times).map(|_| one_scrape()).sum());
        });
    }
    group.finish();
}
