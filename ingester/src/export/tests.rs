use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use model::{Exemplar, Histogram, Labels};
use parking_lot::Mutex;
use runtime::ManualClock;
use runtime::flags::ListenAddress;
use runtime::http::{Cost, Handler, HttpLimits, Request, Response, Server, Service, StatusCode};
use runtime::metrics::Exposition;
use runtime::process::Shutdown;
use runtime::tasks::Owned;
use tsdb::batch::{Batch, Reject, Rejection, TimedHistogram};

use super::window::Windows;
use super::*;
use crate::config::Config;
use crate::protocols::testing::{REFUSED_MS, Recorder};
use crate::queue::{Queue, QueueOptions};
use crate::receive::{DecodeOptions, Decoded, v1};

const OPTIONS: QueueOptions = QueueOptions {
    segment_bytes: 4096,
    bytes_max: 1 << 20,
    when_full: WhenFull::DropOldest,
    free_bytes_min: 0,
    spares: 0,
};

/// What was sent, and what is answered next; then everything is taken.
#[derive(Clone, Default)]
struct Fake {
    sent: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Sent>>>,
}

fn shown(batch: &Batch) -> Vec<String> {
    let shown = |series: tsdb::batch::BatchSeries<'_>| {
        let labels = Labels::from_encoded(series.labels);
        let floats = series.floats.iter();
        let floats = floats.map(|float| format!("{labels} {} @ {}", float.v, float.t));
        let exemplars = series.exemplars.iter();
        let exemplars = exemplars.map(|e| format!("{labels} # {} @ {}", e.value, e.t));
        floats.chain(exemplars).collect::<Vec<_>>()
    };
    batch.iter().flat_map(shown).collect()
}

impl Target for Fake {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Sent> {
        let result = match self.answers.lock().pop() {
            Some(answer) => answer,
            None => {
                self.sent.lock().extend(shown(batch));
                Sent {
                    taken: batch.sample_count(),
                    ..Sent::default()
                }
            }
        };
        async move { result }.boxed()
    }
}

fn config(yaml: &str) -> Export {
    let text = format!("remote_write:\n- {{url: 'http://u:p@h/w', {yaml}}}\n");
    let config = Config::parse(&text, std::path::Path::new(".")).expect(yaml);
    assert_eq!(config.warnings, Vec::<String>::new());
    config.exports[0].clone()
}

fn exporter(queue: Queue, yaml: &str, target: Fake) -> Arc<Exporter> {
    let config = config(yaml);
    let compile = |rule: &model::relabel::RelabelConfig| rule.compile(NameScheme::Utf8).unwrap();
    Arc::new(Exporter::new(Settings {
        name: "a".to_owned(),
        rules: config.relabel().iter().map(compile).collect(),
        config,
        naming: Naming {
            external: Labels::from_pairs([("region", "eu")]),
            tenant_label: "tenant_id".to_owned(),
        },
        target: Box::new(target),
        queue: Arc::new(queue),
        clock: Arc::new(ManualClock::new(10_000)),
    }))
}

fn push(exporter: &Exporter, tenant: &str, t: i64) {
    let mut batch = Batch::new();
    batch.series([("__name__", "m"), ("i", &*(t % 7).to_string())]);
    batch.float(t, 1.0);
    for (samples, record) in encode(tenant, &batch) {
        exporter.take((t, t), samples, &record);
    }
    exporter.sync();
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen in time");
}

#[tokio::test]
async fn samples_arrive_in_order_renamed_and_filtered() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let rules = "write_relabel_configs: [{action: drop, source_labels: [i], regex: '3'}], queue_config: {max_shards: 1}";
    let exporter = exporter(
        Queue::open(dir.path(), OPTIONS).unwrap(),
        rules,
        fake.clone(),
    );
    for t in 0..5 {
        push(&exporter, if t == 1 { "acme" } else { "" }, t);
    }
    assert_eq!(exporter.figures().queue.samples, 5);
    let shown = || {
        let mut out = Exposition::default();
        exporter.collect(&mut out);
        out.into_text()
    };
    let of_remote = |name: &str, value: &str| {
        let labels = r#"remote_name="a",url="http://u:xxxxx@h/w""#;
        let line = format!("prometheus_remote_storage_{name}{{{labels}}} {value}\n");
        assert!(shown().contains(&line), "{line}{}", shown());
    };
    of_remote("samples_pending", "5");
    of_remote("queue_highest_timestamp_seconds", "0.004");
    of_remote("queue_highest_sent_timestamp_seconds", "0");
    of_remote("shards_max", "1");
    assert_eq!(exporter.figures().lag_ms, 10_000);
    exporter.start();
    until(|| exporter.queue().is_empty()).await;
    let line =
        |t: i64, more: &str| format!(r#"{{__name__="m", i="{t}", region="eu"{more}}} 1 @ {t}"#);
    let tenant = r#", tenant_id="acme""#;
    let expected = [line(0, ""), line(1, tenant), line(2, ""), line(4, "")];
    assert_eq!(*fake.sent.lock(), expected);
    let figures = exporter.figures();
    assert_eq!((figures.sent_samples, figures.filtered_samples), (4, 1));
    of_remote("samples_pending", "0");
    of_remote("samples_total", "4");
    of_remote("queue_highest_sent_timestamp_seconds", "0.004");
    assert_eq!((figures.lag_ms, &*figures.url), (0, "http://u:xxxxx@h/w"));
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_also_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let retry = || Sent::nothing("busy", Some(1));
    let down = Fake {
        answers: Arc::new(Mutex::new((0..100_000).map(|_| retry()).collect())),
        ..Fake::default()
    };
    let first = exporter(Queue::open(dir.path(), OPTIONS).unwrap(), "", down);
    for t in 0..100 {
        push(&first, "", t);
    }
    first.start();
    until(|| first.figures().retries > 3).await;
    assert_eq!(first.figures().last_error.as_deref(), Some("busy"));
    first.stop();

    let up = Fake {
        answers: Arc::new(Mutex::new(vec![retry()])),
        ..Fake::default()
    };
    let options = "queue_config: {max_samples_per_send: 10, max_shards: 3, min_backoff: 1ms}";
    let second = exporter(
        Queue::open(dir.path(), OPTIONS).unwrap(),
        options,
        up.clone(),
    );
    second.start();
    until(|| second.queue().is_empty()).await;
    let sent = up.sent.lock().clone();
    assert_eq!(sent.len(), 100);
    for series in 0..7 {
        let label = format!("i=\"{series}\"");
        let of_series = sent.iter().filter(|line| line.contains(&label));
        let times = of_series.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap());
        assert!(times.is_sorted(), "{sent:?}");
    }
}

#[test]
fn a_window_of_a_killed_run_comes_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let naming = Naming {
        external: Labels::empty(),
        tenant_label: String::new(),
    };
    let export = config("queue_config: {max_samples_per_send: 2}");
    let windows = Windows {
        naming: &naming,
        rules: &[],
        send: export.send(),
    };
    let next = |queue: &Queue| {
        let window = windows.next(queue, 0).unwrap().unwrap();
        let shards = window.shards.iter();
        let requests = shards.map(|shard| shard.iter().map(shown).collect::<Vec<_>>());
        (requests.collect::<Vec<_>>(), window.end)
    };
    let exporter = exporter(
        Queue::open(dir.path(), OPTIONS).unwrap(),
        "",
        Fake::default(),
    );
    (0..7).for_each(|t| push(&exporter, "", t));
    let before = next(&exporter.queue());
    drop(exporter);

    let exporter = self::exporter(
        Queue::open(dir.path(), OPTIONS).unwrap(),
        "",
        Fake::default(),
    );
    (7..20).for_each(|t| push(&exporter, "", t));
    let queue = exporter.queue();
    assert_eq!(next(&queue), before);
    queue.consume(before.1);
    let (requests, _) = next(&queue);
    assert_eq!(requests.concat().concat().len(), 13);
}

#[tokio::test]
async fn what_is_refused_for_good_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut refused = Sent::default();
    refused.refuse("400", 1, "400: bad");
    let fake = Fake {
        answers: Arc::new(Mutex::new(vec![refused])),
        ..Fake::default()
    };
    let exporter = exporter(Queue::open(dir.path(), OPTIONS).unwrap(), "", fake.clone());
    push(&exporter, "", 1);
    exporter.start();
    until(|| exporter.queue().is_empty()).await;
    push(&exporter, "", 2);
    until(|| exporter.figures().sent_samples == 1).await;
    let figures = exporter.figures();
    assert_eq!(figures.refused_by_reason, [("400".to_owned(), 1)].into());
    assert_eq!(figures.last_error.as_deref(), Some("400: bad"));
}

#[test]
fn only_what_the_storage_took_is_exported() {
    let mut batch = Batch::new();
    batch.series([("__name__", "m")]);
    batch.float(1, 1.0);
    batch.float(REFUSED_MS, 1.0);
    let appended = Appended {
        rejected: vec![Rejection {
            series: 0,
            t: REFUSED_MS,
            reason: Reject::OutOfOrder,
        }],
        ..Appended::default()
    };
    assert_eq!(
        shown(&accepted(&batch, &appended).unwrap()),
        [r#"{__name__="m"} 1 @ 1"#]
    );
    assert!(accepted(&batch, &Appended::default()).is_none());

    // An exemplar that is refused takes no sample with it.
    let mut batch = Batch::new();
    batch.series([("__name__", "m")]);
    batch.float(1, 1.0);
    for t in [1, 2] {
        batch.exemplar(Exemplar {
            labels: Labels::empty(),
            value: 1.0,
            t,
        });
    }
    let appended = Appended {
        rejected: vec![Rejection {
            series: 0,
            t: 1,
            reason: Reject::ExemplarOutOfOrder,
        }],
        ..Appended::default()
    };
    let kept = accepted(&batch, &appended).unwrap();
    let expected = [r#"{__name__="m"} 1 @ 1"#, r#"{__name__="m"} # 1 @ 2"#];
    assert_eq!(shown(&kept), expected);
}

#[tokio::test]
async fn what_rules_drop_is_not_behind() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "write_relabel_configs: [{action: drop}]";
    let queue = Queue::open(dir.path(), OPTIONS).unwrap();
    let exporter = exporter(queue, rules, Fake::default());
    push(&exporter, "", 9);
    exporter.start();
    until(|| exporter.queue().is_empty()).await;
    let mut out = Exposition::default();
    exporter.collect(&mut out);
    let name = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds";
    let shown = out.into_text();
    let line = format!(r#"{name}{{remote_name="a",url="http://u:xxxxx@h/w"}} 0.009"#);
    assert!(shown.contains(&line), "{shown}");
    assert_eq!(exporter.figures().sent_samples, 0);
}

#[tokio::test]
async fn exemplars_go_alone_to_who_wants_them() {
    let peer = Arc::new(Peer {
        codes: Mutex::default(),
        received: Mutex::default(),
    });
    let (port, _serving) = serve(Arc::<Peer>::clone(&peer)).await;
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(5));
    let label = "tenant_id".to_owned();
    let exporters = Exporters::new(dir.path().to_owned(), Labels::empty(), label, true, clock);
    let exporters = Arc::new(exporters);
    let text = |wants: bool| {
        format!(
            "remote_write: [{{url: 'http://127.0.0.1:{port}/', headers: {{x-own: '1'}}, send_exemplars: {wants}}}]"
        )
    };
    let parse = |text: &str| {
        Config::parse(text, std::path::Path::new("."))
            .unwrap()
            .exports
    };
    let mut batch = Batch::new();
    batch.series([("__name__", "m")]);
    batch.exemplar(Exemplar {
        labels: Labels::empty(),
        value: 1.0,
        t: 5,
    });
    let storage: Arc<dyn Appender> = Arc::<Recorder>::default();
    let exporting = Exporting::new(storage, Arc::clone(&exporters));
    exporters.start();
    exporters.set(&parse(&text(false))).unwrap();
    exporting.append("", &batch).unwrap();
    assert_eq!(exporters.shown()[0]["bytes"], 0, "it is not even queued");
    exporters.set(&parse(&text(true))).unwrap();
    exporting.append("", &batch).unwrap();
    until(|| !peer.received.lock().is_empty()).await;
    assert_eq!(*peer.received.lock(), [r#"{__name__="m"} # 1 @ 5"#]);
    exporters.stop();
}

/// Serves until what is returned beside the port is dropped.
pub(super) async fn serve(handler: Arc<dyn Handler>) -> (u16, impl Sized) {
    let address = ListenAddress::parse("127.0.0.1:0").unwrap();
    let server = Server::bind(&address, HttpLimits::default()).await.unwrap();
    let port = server.local_addr().unwrap().port();
    let service = Service::default();
    service.ready(handler);
    let (trigger, shutdown) = Shutdown::new();
    (
        port,
        (Owned::spawn(server.serve(service, shutdown)), trigger),
    )
}

/// A receiver of remote write that answers with these codes first.
struct Peer {
    codes: Mutex<Vec<u16>>,
    received: Mutex<Vec<String>>,
}

impl Handler for Peer {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if let Some(code) = self.codes.lock().pop() {
            return Response::text(StatusCode::from_u16(code).unwrap(), "no");
        }
        assert_eq!(
            request.headers["x-prometheus-remote-write-version"],
            "0.1.0"
        );
        assert_eq!(request.headers["x-own"], "1");
        let message = snap::raw::Decoder::new()
            .decompress_vec(&request.body)
            .unwrap();
        let mut decoded = Decoded::new();
        v1::decode(&message, &DecodeOptions::default(), &mut decoded).unwrap();
        self.received.lock().extend(shown(decoded.batch()));
        Response::text(StatusCode::NO_CONTENT, "")
    }
}

#[tokio::test]
async fn exporters_follow_the_configuration_and_the_answers() {
    let peer = Arc::new(Peer {
        codes: Mutex::new(vec![429, 503]),
        received: Mutex::default(),
    });
    let (port, _serving) = serve(Arc::<Peer>::clone(&peer)).await;
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(5));
    let label = "tenant_id".to_owned();
    let exporters = Exporters::new(dir.path().to_owned(), Labels::empty(), label, true, clock);
    let exporters = Arc::new(exporters);
    let text = format!(
        "remote_write: [{{name: peer, url: 'http://127.0.0.1:{port}/api/v1/write', headers: {{x-own: '1'}}}}]"
    );
    let config = Config::parse(&text, dir.path()).unwrap();
    exporters.set(&config.exports).unwrap();
    let storage: Arc<dyn Appender> = Arc::<Recorder>::default();
    let exporting = Exporting::new(storage, Arc::clone(&exporters));
    let write = |t| {
        let mut batch = Batch::new();
        batch.series([("__name__", "m")]);
        batch.float(t, 1.0);
        let appended = exporting.append("", &batch).unwrap();
        exporting.commit("", appended.commit).unwrap();
    };
    write(1);
    assert_eq!(exporters.shown()[0]["samples"], 1);
    exporters.start();
    exporters.set(&config.exports).unwrap();
    until(|| peer.received.lock().len() == 1).await;
    peer.codes.lock().push(400);
    write(2);
    until(|| exporters.shown()[0]["refused_samples"] == 1).await;
    write(3);
    until(|| peer.received.lock().len() == 2).await;
    let expected = [r#"{__name__="m"} 1 @ 1"#, r#"{__name__="m"} 1 @ 3"#];
    assert_eq!(*peer.received.lock(), expected);
    assert_eq!(exporters.shown()[0]["retries"], 2);
    exporters.set(&[]).unwrap();
    write(4);
    assert_eq!(exporters.shown(), serde_json::json!([]));
}

#[tokio::test]
async fn histograms_that_are_not_sent_are_counted_as_such() {
    let peer = Arc::new(Peer {
        codes: Mutex::new(vec![400, 503]),
        received: Mutex::default(),
    });
    let (port, _serving) = serve(Arc::<Peer>::clone(&peer)).await;
    let mut batch = Batch::new();
    batch.series([("__name__", "m")]);
    batch.float(1, 1.0);
    batch.histogram(TimedHistogram::Integer(1, Histogram::default()));
    let send = async |sends_histograms: bool| {
        let text = format!(
            "remote_write: [{{url: 'http://127.0.0.1:{port}/', headers: {{x-own: '1'}}, \
             send_native_histograms: {sends_histograms}}}]"
        );
        let config = Config::parse(&text, std::path::Path::new(".")).unwrap();
        let [Export::RemoteWrite(config)] = &config.exports[..] else {
            panic!("{text}");
        };
        let target = RemoteWriteTarget::new(config, &Clients::default()).unwrap();
        let sent = target.send(&batch).await;
        let refused: usize = sent.refused.iter().map(|refusal| refusal.samples).sum();
        (sent.taken, refused, sent.unsayable, sent.left.is_some())
    };
    assert_eq!(send(false).await, (0, 0, 0, true));
    assert_eq!(send(false).await, (0, 1, 1, false));
    assert_eq!(send(false).await, (1, 0, 1, false));
    assert_eq!(send(true).await, (2, 0, 0, false));
}
