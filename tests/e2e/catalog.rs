//! Rules, targets, metadata and exemplars: a real Prometheus, our sidecar and two queriers, one over
//! the other; compared with what Prometheus itself answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use promontory_tests::process::Server;
use promontory_tests::{free_port, http};
use serde_json::{Value, json};

use crate::component::PATIENCE;
use crate::prometheus::Prometheus;

const RULES: &str = "groups:
- name: first
  interval: 1s
  rules:
  - record: job:seconds:rate
    expr: sum by (job) (rate(seconds_count[5m]))
  - alert: Always
    expr: seconds_count > 0
    labels: {severity: page}
    annotations: {text: 'it is {{ $value }}'}
- name: second
  interval: 1s
  rules:
  - alert: Never
    expr: seconds_count < 0
    for: 5m
";

/// What the target says, with an exemplar.
const EXPOSITION: &str = "# TYPE seconds histogram
# HELP seconds How long it took.
seconds_bucket{le=\"1.0\"} 2 # {trace_id=\"abc\"} 0.5
seconds_bucket{le=\"+Inf\"} 3
seconds_count 3
seconds_sum 4
# EOF
";

/// Answers every request with [`EXPOSITION`], until the process ends.
fn start_target() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\
                 Content-Length: {}\r\n\r\n{EXPOSITION}",
                EXPOSITION.len()
            );
        }
    });
    Ok(port)
}

fn promontory(dir: &Path, name: &str, args: &[String]) -> anyhow::Result<(Server, u16, u16)> {
    let (http_port, grpc_port) = (free_port(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .args(args)
        .arg(format!("--http-address=127.0.0.1:{http_port}"))
        .arg(format!("--grpc-address=127.0.0.1:{grpc_port}"));
    let mut server = Server::start(&mut command, &dir.join(name))?;
    server.wait_ready(http_port, "/-/ready", PATIENCE);
    Ok((server, http_port, grpc_port))
}

fn data(port: u16, target: &str) -> anyhow::Result<Value> {
    let answer = http::get(port, &format!("/api/v1/{target}"))?;
    anyhow::ensure!(answer.status == 200, "{target}: {}", answer.body);
    let mut body: Value = serde_json::from_str(&answer.body)?;
    anyhow::ensure!(body["warnings"].is_null(), "{target}: {}", body["warnings"]);
    Ok(body["data"].take())
}

/// Everything that differs between a Prometheus and what is told of it: external labels, sorting,
/// and times, which are cut to milliseconds or change.
fn normal(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(object) => {
                for name in [
                    "cluster",
                    "lastEvaluation",
                    "evaluationTime",
                    "lastScrape",
                    "lastScrapeDuration",
                    "activeAt",
                    "partialResponseStrategy",
                    "scrapeInterval",
                    "scrapeTimeout",
                    "timestamp",
                ] {
                    object.remove(name);
                }
                object.values_mut().for_each(walk);
                object.retain(|name, value| name != "labels" || *value != json!({}));
            }
            Value::Array(array) => {
                array.iter_mut().for_each(walk);
                // Groups of which nothing was asked for, which newer ones leave out.
                array.retain(|item| item["rules"] != json!([]));
                array.sort_by_key(Value::to_string);
            }
            Value::Number(number) => *value = json!(number.as_f64()),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

/// A Prometheus in `dir` whose rules were evaluated and whose exemplars are there.
fn start_prometheus(dir: &Path) -> anyhow::Result<Option<Prometheus>> {
    std::fs::write(dir.join("rules.yml"), RULES)?;
    let target = start_target()?;
    let yaml = format!(
        "global:\n  scrape_interval: 1s\n  external_labels: {{cluster: eu}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n- job_name: t\n  static_configs: [{{targets: ['127.0.0.1:{target}', 'drop:1']}}]\n  \
         relabel_configs: [{{source_labels: [__address__], regex: 'drop.*', action: drop}}]\n"
    );
    let flags = ["--enable-feature=exemplar-storage"];
    let (data_dir, port) = (dir.join("data"), free_port());
    let Some(prometheus) = Prometheus::start_as(&data_dir, dir, port, &yaml, &flags)? else {
        return Ok(None);
    };
    let port = prometheus.port();
    let is_settled = || -> anyhow::Result<bool> {
        let exemplars = data(port, "query_exemplars?query=seconds_bucket")?;
        let alerts = data(port, "alerts")?;
        let has_alerts = alerts["alerts"].as_array().is_some_and(|a| !a.is_empty());
        let rules = data(port, "rules")?.to_string();
        let is_evaluated = !rules.contains("\"unknown\"");
        Ok(exemplars != json!([]) && has_alerts && is_evaluated)
    };
    let begin = Instant::now();
    while !is_settled()? {
        anyhow::ensure!(begin.elapsed() < PATIENCE, "no exemplars and alerts");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(Some(prometheus))
}

/// What is asked is the same of `lower` and `upper` as of the Prometheus at `port`.
fn compare(port: u16, (lower, upper): (u16, u16)) -> anyhow::Result<()> {
    for target in [
        "rules",
        "rules?type=alert",
        "rules?type=record",
        "alerts",
        "targets?state=active",
        "metadata",
        "metadata?metric=seconds",
        "metadata?limit=0",
        "query_exemplars?query=seconds_bucket",
        "query_exemplars?query=nothing",
    ] {
        for (name, querier) in [("lower", lower), ("upper", upper)] {
            let begin = Instant::now();
            loop {
                let expected = normal(data(port, target)?);
                let mut found = normal(data(querier, target)?);
                if target.starts_with("targets") {
                    // Newer than 2.42.
                    let counts = found
                        .as_object_mut()
                        .map(|t| t.remove("droppedTargetCounts"));
                    anyhow::ensure!(counts.is_some());
                }
                if found == expected {
                    break;
                }
                // A scrape or an evaluation between both questions changes things.
                let is_late = begin.elapsed() > PATIENCE;
                assert!(!is_late, "{name}: {target}: {found} is not {expected}");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
    Ok(())
}

/// External labels are there, and rules are chosen and paged.
fn check_choices(upper: u16) -> anyhow::Result<()> {
    let dropped = &data(upper, "targets?state=dropped")?["droppedTargets"];
    assert_eq!(dropped[0]["discoveredLabels"]["__address__"], "drop:1");
    assert_eq!(dropped[0]["discoveredLabels"]["cluster"], "eu");
    let of = |target: &str| data(upper, target);
    let query = http::encode("seconds_bucket{cluster=\"eu\"}");
    assert_eq!(
        of(&format!("query_exemplars?query={query}"))?[0]["seriesLabels"]["cluster"],
        "eu"
    );
    let group = &of("rules?rule_group[]=second&match[]={cluster='eu',severity=''}")?["groups"];
    assert_eq!(group.as_array().map(Vec::len), Some(1));
    assert_eq!(group[0]["rules"][0]["name"], "Never");
    let page = of("rules?group_limit=1")?;
    assert_eq!(page["groups"][0]["name"], "first");
    let next = http::encode(page["groupNextToken"].as_str().unwrap_or_default());
    let page = of(&format!("rules?group_limit=1&group_next_token={next}"))?;
    assert_eq!(page["groups"][0]["name"], "second");
    Ok(())
}

#[test]
fn a_querier_says_what_prometheus_says() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(prometheus) = start_prometheus(dir.path())? else {
        return Ok(());
    };
    let port = prometheus.port();
    let url = format!("--prometheus.url=http://127.0.0.1:{port}");
    let (_sidecar, _, sidecar) = promontory(dir.path(), "sidecar", &["sidecar".to_owned(), url])?;
    let querier = |name: &str, endpoint: u16| {
        let endpoint = format!("--endpoint=127.0.0.1:{endpoint}");
        promontory(dir.path(), name, &["querier".to_owned(), endpoint])
    };
    let (_lower, lower, lower_grpc) = querier("lower", sidecar)?;
    let (_upper, upper, _) = querier("upper", lower_grpc)?;

    compare(port, (lower, upper))?;
    check_choices(upper)?;

    // Who is gone is said, or fails the question.
    drop(prometheus);
    let answer = http::get(lower, "/api/v1/rules")?;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("\"warnings\":["), "{}", answer.body);
    let strict = http::get(lower, "/api/v1/rules?partial_response=false")?;
    assert_eq!(strict.status, 503, "{}", strict.body);
    Ok(())
}
