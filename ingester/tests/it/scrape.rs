//! Scraping against what others made: node_exporter, client_golang, promtool.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ingester::append::Appender;
use ingester::config::Config;
use ingester::exposition::protobuf::{Families, HistogramForms, Value, samples};
use ingester::scrape::{Manager, Settings};
use model::Labels;
use promontory_tests::process::Server;
use promontory_tests::{free_port, peer};
use runtime::SystemClock;
use tsdb::batch::{Appended, Batch, CommitPoint, SeriesRef, WriteError};

/// Keeps the labels and the last value of every float.
#[derive(Default)]
struct Keeper(Mutex<Vec<(String, f64)>>);

impl Appender for Keeper {
    fn append(&self, _: &str, batch: &Batch) -> Result<Appended, WriteError> {
        let mut kept = self.0.lock().unwrap();
        let mut appended = Appended::default();
        for series in batch.iter() {
            let labels = Labels::from_encoded(series.labels).to_string();
            kept.extend(series.floats.iter().map(|float| (labels.clone(), float.v)));
            appended.series.push(Some(SeriesRef(kept.len() as u64)));
        }
        Ok(appended)
    }

    fn commit(&self, _: &str, _: CommitPoint) -> Result<(), WriteError> {
        Ok(())
    }
}

#[tokio::test]
async fn node_exporter_is_scraped() {
    let Some(exporter) = peer("prometheus-node-exporter") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(exporter);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut server = Server::start(&mut command, &dir.path().join("log")).unwrap();
    server.wait_ready(port, "/metrics", Duration::from_secs(30));

    let keeper = Arc::new(Keeper::default());
    let appender: Arc<dyn Appender> = Arc::clone(&keeper) as _;
    let manager = Manager::new(Settings {
        appender,
        tenant: String::new(),
        clock: Arc::new(SystemClock),
        hostname: "host".to_owned(),
        zeros: false,
    });
    for protocol in [
        "OpenMetricsText1.0.0",
        "PrometheusText0.0.4",
        "PrometheusProto",
    ] {
        keeper.0.lock().unwrap().clear();
        let config = format!(
            "scrape_configs: [{{job_name: node, scrape_interval: 1s, scrape_protocols: [{protocol}], static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
        );
        let config = Config::parse(&config, Path::new("/")).unwrap();
        manager.reload(&config).unwrap();
        let started = Instant::now();
        let ups = || {
            let kept = keeper.0.lock().unwrap();
            let up = |(labels, value): &&(String, f64)| labels.contains("\"up\"") && *value == 1.0;
            kept.iter().filter(up).count()
        };
        while ups() < 3 {
            let targets = manager.targets(None).active_targets;
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "{protocol}: {targets:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let kept = keeper.0.lock().unwrap();
        let has = |name: &str| {
            kept.iter()
                .any(|(labels, _)| labels.contains(&format!("\"{name}\"")))
        };
        for name in [
            "node_boot_time_seconds",
            "go_goroutines",
            "go_gc_duration_seconds",
        ] {
            assert!(has(name), "{protocol}: {name}");
        }
        let quantile = kept
            .iter()
            .any(|(labels, _)| labels.contains("quantile=\"1.0\""));
        assert!(quantile, "{protocol}: quantiles are canonical");
    }
    assert!(
        manager.metadata(Some("node_boot_time_seconds"))["node_boot_time_seconds"][0].kind
            == "gauge"
    );
}

/// Written by client_golang 1.22 with a counter that has an exemplar, a gauge, a summary, a native
/// histogram with observations in all its parts, and one without any.
#[test]
fn protobuf_of_the_go_client_is_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/client.pb");
    let bytes = fs::read(golden).unwrap();
    let forms = HistogramForms {
        native: true,
        always_classic: true,
    };
    let mut found = Vec::new();
    for family in Families::new(&bytes) {
        let take = |sample: ingester::exposition::protobuf::Sample<'_>| {
            let labels = sample.name.to_labels()?;
            let exemplars = sample.exemplars.len();
            found.push(match sample.value {
                Value::Float(v) => format!("{labels} {v} {exemplars}"),
                Value::Histogram(h) => format!(
                    "{labels} schema {} zero {} of {} sum {} {:?} {:?} {exemplars}",
                    h.schema, h.zero_count, h.count, h.sum, h.positive_buckets, h.negative_buckets
                ),
                Value::FloatHistogram(h) => format!("{labels} float {}", h.count),
            });
            Ok::<_, String>(())
        };
        samples(&family.unwrap(), forms, take).unwrap();
    }
    assert_eq!(
        found,
        [
            r#"{__name__="empty_seconds"} schema 3 zero 0 of 0 sum 0 [] [] 0"#,
            r#"{__name__="jobs_total", kind="a"} 3 1"#,
            r#"{__name__="jobs_total", kind="b"} 1.5 0"#,
            r#"{__name__="level"} -2.25 0"#,
            r#"{__name__="took_seconds"} schema 1 zero 1 of 6 sum 3.05 [1, 1, -1] [1] 3"#,
            r#"{__name__="took_seconds_count"} 6 0"#,
            r#"{__name__="took_seconds_sum"} 3.05 0"#,
            r#"{__name__="took_seconds_bucket", le="0.1"} 3 1"#,
            r#"{__name__="took_seconds_bucket", le="1.0"} 5 1"#,
            r#"{__name__="took_seconds_bucket", le="+Inf"} 6 1"#,
            r#"{__name__="waited_seconds_count"} 4 0"#,
            r#"{__name__="waited_seconds_sum"} 10 0"#,
            r#"{__name__="waited_seconds", quantile="0.5"} 2 0"#,
            r#"{__name__="waited_seconds", quantile="0.99"} 4 0"#,
        ]
    );
}

#[test]
fn promtool_takes_and_refuses_what_we_do() {
    let Some(promtool) = peer("promtool") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prometheus.yml");
    let check = |text: &str, good: bool| {
        fs::write(&file, text).unwrap();
        let ours = Config::load(&file, &runtime::Environment::default());
        assert_eq!(ours.is_ok(), good, "{text}\n{ours:?}");
        let mut theirs = Command::new(&promtool);
        let theirs = theirs.args(["check", "config", "--syntax-only"]).arg(&file);
        let theirs = theirs.output().unwrap();
        let said = String::from_utf8_lossy(&theirs.stderr);
        assert_eq!(theirs.status.success(), good, "{text}\n{said}");
    };
    let job = |lines: &str| format!("scrape_configs:\n- job_name: j\n{lines}");
    for good in [
        "",
        "global:\n  scrape_interval: 15s\n  external_labels: {n: y, zone: 1}\n",
        "scrape_configs:\nrule_files:\n",
        &job("  static_configs: [{targets: [a, 'b:1', '[::1]:9100'], labels: {x: y}}]\n"),
        &job("  body_size_limit: 10MB\n  sample_limit: 5\n  label_limit: 7\n  target_limit: 9\n"),
        &job(
            "  scrape_interval: 1m30s\n  scrape_timeout: 30s\n  honor_labels: yes\n  params: {a: [b]}\n",
        ),
        &job(
            "  basic_auth: {username: u, password: p}\n  tls_config: {insecure_skip_verify: true}\n",
        ),
        &job("  file_sd_configs: [{files: ['x/*.yml'], refresh_interval: 1m}]\n"),
        &job("  http_sd_configs: [{url: 'http://h/x', follow_redirects: false}]\n"),
        &job("  dns_sd_configs: [{names: [h], type: AAAA, port: 9}]\n"),
        &job(
            "  relabel_configs: [{source_labels: [a, b], regex: '(x|y);z', target_label: c, action: replace}]\n",
        ),
        &job("  metric_relabel_configs: [{regex: 'tmp_.*', action: labeldrop}]\n"),
    ] {
        check(good, true);
    }
    for bad in [
        "foo: bar",
        "global: {scrape_interval: 1s, scrape_timeout: 2s}\n",
        "scrape_configs: [{job_name: a}, {job_name: a}]\n",
        &job("  scrape_interval: 5x\n"),
        &job("  nonsense: 1\n"),
        &job("  static_configs: [{targets: ['http://a']}]\n"),
        &job("  body_size_limit: 10\n"),
        &job("  dns_sd_configs: [{names: [h], type: A}]\n"),
        &job("  http_sd_configs: [{}]\n"),
        &job("  file_sd_configs: [{files: [x.txt]}]\n"),
        &job("  relabel_configs: [{action: hashmod, target_label: a}]\n"),
        &job("  bearer_token: a\n  bearer_token_file: b\n"),
        &job("  basic_auth: {username: u, password: p, password_file: q}\n"),
    ] {
        check(bad, false);
    }
}
