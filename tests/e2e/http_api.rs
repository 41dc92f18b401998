//! The HTTP API beside a real Prometheus on a copy of the same data: what both answer is equal, and
//! `promtool query` takes us for a Prometheus.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::http::{self, Answer, encode};
use promontory_tests::process::Server;
use promontory_tests::{conformance, free_port, peer};
use serde_json::Value;

use crate::block_data::{self, END_MS, START_MS};
use crate::prometheus::Prometheus;

/// Both servers, each on its own copy of the block.
struct Pair {
    theirs: Prometheus,
    ours: u16,
    _server: Server,
}

impl Pair {
    /// Starts both in `dir` on a block; `None` after saying that there is no Prometheus.
    fn start(dir: &Path) -> anyhow::Result<Option<Self>> {
        Self::start_on(dir, |data| block_data::write_block(data, 1))
    }

    /// Starts both in `dir` on the data that `fill` puts into an empty directory.
    fn start_on(
        dir: &Path,
        fill: impl Fn(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Self>> {
        let (theirs, ours) = (dir.join("theirs"), dir.join("ours"));
        for data in [&theirs, &ours] {
            std::fs::create_dir(data)?;
            fill(data)?;
        }
        let Some(theirs) = Prometheus::start(&theirs, dir)? else {
            return Ok(None);
        };
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        command
            .arg("querier")
            .arg(format!("--data-dir={}", ours.display()))
            .arg(format!("--http-address=127.0.0.1:{port}"))
            .arg("--grpc-address=127.0.0.1:0");
        let mut server = Server::start(&mut command, &dir.join("promontory.log"))?;
        server.wait_ready(port, "/-/ready", Duration::from_secs(60));
        Ok(Some(Self {
            theirs,
            ours: port,
            _server: server,
        }))
    }

    /// What differs in the answers to a request.
    fn compare(&self, request: &Request) -> anyhow::Result<Option<String>> {
        let theirs = request.send(self.theirs.port())?;
        let ours = request.send(self.ours)?;
        let tree = |answer: &Answer| -> anyhow::Result<Value> {
            serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
        };
        let (a, b) = (tree(&theirs)?, tree(&ours)?);
        let same = theirs.status == ours.status && request.same(&a, &b);
        Ok((!same).then(|| {
            let shown = |answer: &Answer| format!("{} {}", answer.status, cut(&answer.body));
            format!(
                "{request:?}\n  theirs {}\n  ours   {}",
                shown(&theirs),
                shown(&ours)
            )
        }))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

/// What must be the same in two answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Same {
    Everything,
    /// The text of the error apart, where Prometheus 3 words it in another way than 2.42.
    AllButError,
}

/// A request for something under `/api/v1/`.
#[derive(Debug)]
struct Request {
    path: String,
    /// A form to be sent by POST.
    form: Option<String>,
    same: Same,
}

impl Request {
    fn send(&self, port: u16) -> anyhow::Result<Answer> {
        let path = format!("/api/v1/{}", self.path);
        Ok(match &self.form {
            None => http::get(port, &path)?,
            Some(form) => http::post_form(port, &path, form)?,
        })
    }

    fn same(&self, theirs: &Value, ours: &Value) -> bool {
        match self.same {
            Same::Everything => equal(theirs, &without(ours, "infos")),
            Same::AllButError => equal(&without(theirs, "error"), &without(ours, "error")),
        }
    }
}

/// An answer without one of its fields. Infos are new in Prometheus 3.
fn without(answer: &Value, field: &str) -> Value {
    let mut answer = answer.clone();
    if let Some(fields) = answer.as_object_mut() {
        fields.remove(field);
    }
    answer
}

/// Field by field, in order; sample values may differ in their last digits, because the versions
/// sum in another order.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        (Value::String(a), Value::String(b)) if a != b => {
            match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
                _ => false,
            }
        }
        _ => a == b,
    }
}

/// Seconds of a time this long after the start of the data, off the grid of its samples.
fn at(seconds: i64) -> String {
    format!("{}.007", START_MS / 1000 + seconds)
}

/// A GET whose answer must be the same.
fn get(path: String) -> Request {
    Request {
        path,
        form: None,
        same: Same::Everything,
    }
}

fn requests() -> Vec<Request> {
    let mut all: Vec<_> = queries().into_iter().chain(posted()).collect();
    all.extend(metadata().into_iter().chain(refused()).map(get));
    all.extend(failing().into_iter().map(|path| Request {
        same: Same::AllButError,
        ..get(path)
    }));
    all
}

fn queries() -> Vec<Request> {
    let instants = QUERIES.iter().map(|expr| {
        let form = format!("query={}&time={}", encode(expr), at(3600));
        get(format!("query?{form}"))
    });
    let ranges = RANGES.iter().map(|expr| {
        let (start, end) = (at(1200), at(4800));
        let form = format!("query={}&start={start}&end={end}&step=75s", encode(expr));
        get(format!("query_range?{form}"))
    });
    instants.chain(ranges).collect()
}

/// Requests that carry their parameters in the body.
fn posted() -> Vec<Request> {
    let sum = encode("sum by (job) (rate(requests_total[5m]))");
    let series = encode("queue_depth{zone=\"a\"}");
    [
        ("query", format!("query={sum}&time={}", at(3600))),
        (
            "query_range",
            format!("query=temperature&start={}&end={}&step=60", at(0), at(3600)),
        ),
        ("labels", "match[]=temperature".to_owned()),
        ("series", format!("match[]={series}")),
    ]
    .into_iter()
    .map(|(path, form)| Request {
        form: Some(form),
        ..get(path.to_owned())
    })
    .collect()
}

fn metadata() -> Vec<String> {
    let (start, end) = (START_MS / 1000, END_MS / 1000);
    vec![
        "labels".to_owned(),
        format!("labels?match[]={}", encode("latency_seconds_bucket")),
        format!(
            "labels?match[]={}&match[]=bytes_total",
            encode("{zone=\"\"}").replace("zone", "job")
        ),
        format!("labels?start={start}&end={end}"),
        format!("labels?start={}", end + 1),
        "labels?start=2023-11-15T00:00:00Z&end=2023-11-15T01:00:00%2b00:00".to_owned(),
        "label/job/values".to_owned(),
        "label/__name__/values".to_owned(),
        "label/code/values?match[]=requests_total&match[]=queue_depth".to_owned(),
        format!(
            "label/instance/values?match[]={}",
            encode("{job=~\"a.*\",zone!=\"b\"}")
        ),
        "label/nothing/values".to_owned(),
        format!("label/zone/values?end={}", start - 1),
        "series?match[]=temperature".to_owned(),
        format!(
            "series?match[]={}&match[]=bytes_total",
            encode("odd_values{job!~\"api|db\"}")
        ),
        format!(
            "series?match[]=requests_total&start={}&end={}",
            start,
            start + 60
        ),
        format!("series?match[]=requests_total&start={}", end),
        "series?match[]=nothing".to_owned(),
        format!("query_exemplars?query=up&start={start}&end={end}"),
        "rules".to_owned(),
        "alerts".to_owned(),
        "metadata".to_owned(),
        format!(
            "format_query?query={}",
            encode("sum(rate(requests_total{job=\"api\"}[5m]))by(job)/ignoring(x)count(up)")
        ),
        "query?query=1&time=2023-11-15T01:00:00.5Z".to_owned(),
        "query?query=1%2b1&time=4".to_owned(),
    ]
}

/// What both refuse in the same words.
fn refused() -> Vec<String> {
    vec![
        "query?query=sum(".to_owned(),
        "query?query=1&timeout=soon".to_owned(),
        "query_range?query=up".to_owned(),
        "query_range?query=up&start=0&end=1".to_owned(),
        "query_range?query=up&start=0&end=1&step=0".to_owned(),
        "query_range?query=up&start=2&end=1&step=1".to_owned(),
        "query_range?query=up&start=0&end=11001&step=1".to_owned(),
        "series".to_owned(),
        format!("series?match[]={}", encode("{}")),
        format!("series?match[]={}", encode("{a=")),
        format!("labels?match[]={}", encode("{a=~\"\"}")),
        "query_exemplars?query=up&start=2&end=1".to_owned(),
    ]
}

/// What both refuse, each in its own words.
fn failing() -> Vec<String> {
    let fails = |expr: &str| format!("query?query={}&time={}", encode(expr), at(3600));
    vec![
        "query".to_owned(),
        "query?query=1&time=yesterday".to_owned(),
        "series?match[]=up&start=x".to_owned(),
        "labels?end=x".to_owned(),
        format!(
            "query_range?query={}&start=0&end=1&step=1",
            encode("up[1m]")
        ),
        format!("query_range?query={}&start=0&end=1&step=1", encode("\"a\"")),
        format!("label/job/values?match[]={}", encode("{a=~\"(\"}")),
        fails("temperature + on(job) queue_depth"),
        fails("label_replace(temperature, \"instance\", \"\", \"\", \"\")"),
    ]
}

const QUERIES: [&str; 14] = [
    "temperature",
    "requests_total{code=\"200\"}",
    "rate(requests_total[5m])",
    "sum by (job, code) (rate(requests_total[10m]))",
    "temperature[2m]",
    "odd_values",
    "sort_desc(temperature)",
    "topk(3, temperature)",
    // Sorted, for Prometheus' own order is that of a map.
    "sort(histogram_quantile(0.9, sum by (job, le) (rate(latency_seconds_bucket[10m]))))",
    "nothing",
    "scalar(sum(temperature))",
    "\"a \\\"string\\\" of \\u00e9\"",
    "time()",
    "avg_over_time(temperature[1h:5m])",
];

const RANGES: [&str; 10] = [
    "temperature",
    "odd_values",
    "sum(rate(bytes_total[5m]))",
    "max by (zone) (queue_depth) > 300",
    "temperature / ignoring(code) queue_depth",
    "1 / 3",
    "vector(time())",
    "absent(nothing)",
    "changes(queue_depth[10m])",
    "count_values(\"v\", count by (job) (requests_total))",
];

#[test]
fn answers_equal_prometheus() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(pair) = Pair::start(dir.path())? else {
        return Ok(());
    };
    let requests = requests();
    let mut different = Vec::new();
    for request in &requests {
        different.extend(pair.compare(request)?);
    }
    assert!(
        different.is_empty(),
        "{} of {} answers differ:\n{}",
        different.len(),
        requests.len(),
        different.join("\n")
    );
    Ok(())
}

/// What a Prometheus left in its logs, native histograms and samples out of order among it; the one
/// metric apart that 2.42 does not know yet.
#[test]
fn a_head_answers_as_prometheus() -> anyhow::Result<()> {
    let Some(logs) = conformance("tsdb/wal_snappy") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let Some(pair) = Pair::start_on(dir.path(), |data| copy(&logs, data))? else {
        return Ok(());
    };
    let (start, end) = (1_699_999_200, 1_700_018_693);
    let mut paths = vec![
        "labels?match[]=many".to_owned(),
        format!("label/k/values?match[]={}", encode("many{mod=\"1\"}")),
        format!("series?match[]={}", encode("{__name__=~\".+\"}")),
        format!("series?match[]=only_ooo&start={start}&end={}", start + 600),
    ];
    for name in [
        "constant",
        "counter_total",
        "fhist",
        "ghist",
        "hist",
        "many",
        "only_ooo",
        "sparse",
        "special_values",
    ] {
        paths.push(format!(
            "query_range?query={name}&start={start}.007&end={end}&step=61"
        ));
        let window = encode(&format!("{name}[20m]"));
        paths.push(format!("query?query={window}&time={}.007", start + 10_800));
    }
    for path in paths {
        let request = Request {
            path,
            form: None,
            same: Same::Everything,
        };
        assert_eq!(pair.compare(&request)?, None);
    }
    Ok(())
}

/// Copies the files below a directory, so that they may be written to.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            std::fs::write(&to, std::fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

#[test]
fn promtool_takes_us_for_a_prometheus() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (Some(promtool), Some(pair)) = (peer("promtool"), Pair::start(dir.path())?) else {
        return Ok(());
    };
    let time = at(3600);
    let (start, end) = (
        format!("--start={}", START_MS / 1000),
        format!("--end={}", END_MS / 1000),
    );
    for (args, url_at) in [
        (vec!["instant", "--time", &time, "sum(temperature)"], 3),
        (
            vec![
                "range",
                &start,
                &end,
                "--step=10m",
                "sum by (job) (temperature)",
            ],
            4,
        ),
        (vec!["series", "--match=temperature", &start, &end], 4),
        (vec!["labels", &start, &end, "job"], 3),
    ] {
        let ask = |port: u16| -> anyhow::Result<String> {
            let url = format!("http://127.0.0.1:{port}");
            let mut args = args.clone();
            args.insert(url_at, &url);
            let output = Command::new(&promtool).arg("query").args(&args).output()?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{args:?}: {error}");
            Ok(String::from_utf8(output.stdout)?)
        };
        let ours = ask(pair.ours)?;
        assert!(!ours.trim().is_empty(), "{args:?} prints nothing");
        assert_eq!(ours, ask(pair.theirs.port())?, "{args:?}");
    }
    Ok(())
}
