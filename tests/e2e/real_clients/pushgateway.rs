//! Debian's Pushgateway as the reference: the same requests to it and to us have the same answers, and
//! leave the same behind. Then what is ours alone: pushed values stay visible to queries.

use std::fmt::Debug;
use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use promontory_tests::process::Server;
use promontory_tests::{free_port, http, peer};
use serde_json::{Value, json};

use super::Receivers;
use crate::component::PATIENCE;

const TYPED: &str = "# HELP jobs_done Jobs \\\\ that\\n were \"done\".\n# TYPE jobs_done counter\njobs_done{kind=\"a\"} 3\njobs_done{kind=\"b\\\"\\\\\\n\",a=\"z\"} 1e+20\n";
const HISTOGRAM: &str = "# TYPE took histogram\ntook_bucket{le=\"1\"} 1\ntook_bucket{le=\"+Inf\"} 2\ntook_sum 3.5\ntook_count 2\n";
const SUMMARY: &str = "# HELP waited Waiting.\n# TYPE waited summary\nwaited{quantile=\"0.5\"} NaN\nwaited_sum 1\nwaited_count 0\n";

/// Requests in their order: method, path, body.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("PUT", "/metrics/job/j", TYPED),
    ("POST", "/metrics/job/j", HISTOGRAM),
    ("POST", "/metrics/job/j", SUMMARY),
    (
        "PUT",
        "/metrics/job/j/instance/i",
        "plain 1\nother{x=\"y\"} -Inf\n",
    ),
    ("POST", "/metrics/job/j/instance/i", "plain 2.5\n"),
    (
        "PUT",
        "/metrics/job@base64/ai8x/p@base64/L3Zhci90bXA",
        "plain 0.1\n",
    ),
    ("PUT", "/metrics/job/k/p@base64/=", "plain{q=\"\"} 5\n"),
    ("PUT", "/metrics/job/k/p/", "plain 5\n"),
    (
        "PUT",
        "/metrics/job/k/instance/",
        "plain{instance=\"x\"} 5\n",
    ),
    (
        "PUT",
        "/metrics/job/k/job/other/zone/a%20b",
        "plain{job=\"x\",zone=\"y\"} 6\n",
    ),
    ("PUT", "/metrics/job/k/a/b/a/c", "plain 7\n"),
    ("PUT", "/metrics/job/slash/", "plain 7\n"),
    ("PUT", "/metrics/job/empty", ""),
    ("POST", "/metrics/job/j", ""),
    ("PUT", "/metrics/job/own", "push_time_seconds 5\nplain 1\n"),
    ("PUT", "/metrics/job/replaced", "plain 1\nother 2\n"),
    ("PUT", "/metrics/job/replaced", "other 3\n"),
    // More than a float holds.
    (
        "PUT",
        "/metrics/job/big",
        "big 9007199254740993\nbigger -9223372036854775807\nbiggest 18446744073709551615\n",
    ),
    ("PUT", "/metrics/job/gone", "plain 1\n"),
    ("DELETE", "/metrics/job/gone", ""),
    ("DELETE", "/metrics/job/never", ""),
    (
        "PUT",
        "/metrics/job/parts",
        "# TYPE parts histogram\nparts_bucket{le=\"5\"} 1\nparts_bucket{le=\"1\"} 1000000\n# HELP nothing x\n",
    ),
    (
        "PUT",
        "/metrics/job/typed",
        "# TYPE lone counter\nlone{a=\"\"} 5\n",
    ),
    // A family that was of another type before.
    (
        "PUT",
        "/metrics/job/changes",
        "# TYPE changed gauge\nchanged 1\n",
    ),
    (
        "POST",
        "/metrics/job/changes",
        "# TYPE changed counter\nchanged 2\n",
    ),
    // What is wrong.
    ("PUT", "/metrics/job/w1", "plain 1"),
    ("PUT", "/metrics/job/w2", "plain 1 1000\n"),
    ("PUT", "/metrics/job/w3", "plain one\n"),
    (
        "PUT",
        "/metrics/job/w4",
        "# TYPE jobs_done gauge\njobs_done 1\n",
    ),
    (
        "PUT",
        "/metrics/job/w5",
        "plain{a=\"b\"} 1\nplain{a=\"b\"} 2\n",
    ),
    ("PUT", "/metrics/job/w6", "plain{a=\"b\"\n"),
    ("PUT", "/metrics/job/w7", "plain 1\r\n"),
    ("PUT", "/metrics/job/w9", "# TYPE a bar\na 1\n"),
    (
        "PUT",
        "/metrics/job/w9",
        "# TYPE a gauge\n# TYPE a gauge\na 1\n",
    ),
    ("PUT", "/metrics/job/w9", "a 1\n# TYPE a gauge\na 1\n"),
    ("PUT", "/metrics/job/w9", "# HELP a x\n# HELP a y\na 1\n"),
    ("PUT", "/metrics/job/w9", "1a 1\n"),
    ("PUT", "/metrics/job/w10", "a{__x=\"y\"} 1\n"),
    ("PUT", "/metrics/job/w9", "a{b=\"1\",b=\"2\"} 1\n"),
    ("PUT", "/metrics/job/w9", "a{b=1} 1\n"),
    ("PUT", "/metrics/job/w9", "a\n"),
    ("PUT", "/metrics/job/w9", "a 0x1p-2\n"),
    ("PUT", "/metrics/job/w9", "a 1_000\n"),
    (
        "PUT",
        "/metrics/job/w9",
        "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
    ),
    // Names that the samples of a histogram or summary have.
    ("PUT", "/metrics/job/w11", "took_count 1\n"),
    ("PUT", "/metrics/job/w12", "waited_sum 1\n"),
    ("PUT", "/metrics/job/fits", "waited_bucket 1\n"),
    ("PUT", "/metrics/job/fits", "size_sum 1\n"),
    (
        "PUT",
        "/metrics/job/w13",
        "# TYPE size summary\nsize_count 1\n",
    ),
    ("PUT", "/metrics/job@base64/=", "plain 1\n"),
    ("PUT", "/metrics/job/w8/x", "plain 1\n"),
    ("DELETE", "/metrics/job/w8/x", ""),
    ("PUT", "/metrics/job/w8/x/y/", "plain 1\n"),
    ("PUT", "/metrics/job/w8/__x/y", "plain 1\n"),
    ("PUT", "/metrics/job/w8/a-b/y", "plain 1\n"),
    ("PUT", "/metrics/job/w8/a@base64/!", "plain 1\n"),
    ("PUT", "/metrics/job/w8/a@base64/AAA!", "plain 1\n"),
    ("PUT", "/metrics/jobs/w8", "plain 1\n"),
    ("PUT", "//metrics/job/w8", "plain 1\n"),
    ("PUT", "/metrics/job/w8//x", "plain 1\n"),
    ("PUT", "/metrics/", "plain 1\n"),
    ("PUT", "/metrics", "plain 1\n"),
    ("PATCH", "/metrics/job/w8", "plain 1\n"),
    ("GET", "/metrics/job/j", ""),
    ("PUT", "/-/quit", ""),
    ("GET", "/api/v1/nothing", ""),
    ("GET", "/nothing", ""),
    ("DELETE", "/api/v1/metrics", ""),
    ("GET", "/api/v1/admin/wipe", ""),
];

/// Headers that clients may look at.
const HEADERS: [&str; 5] = [
    "content-type",
    "allow",
    "location",
    "x-content-type-options",
    "access-control-allow-origin",
];

/// What comes of a text as far as it is promised: a parser's own words and how a library shows a
/// metric are not.
fn promised(body: &str) -> String {
    if let Some((head, _)) = body.split_once("parsing error in line ") {
        let line = body[head.len()..]
            .split_once(':')
            .map_or("", |(line, _)| line);
        return format!("{head}{line}");
    }
    // Which of two groups comes first is chance there, and so is which of them is wrong, and how often.
    let conflicts = [
        (" collides with previously collected ", "a collision"),
        (" is not a ", "a metric of another type"),
    ];
    let found = conflicts.iter().find(|(words, _)| body.contains(words));
    if let Some((_, conflict)) = found {
        return (*conflict).to_owned();
    }
    match (body.split_once('{'), body.rsplit_once('}')) {
        (Some((head, _)), Some((_, tail))) => format!("{}{}", head.trim_end(), tail),
        _ => body.to_owned(),
    }
}

/// The exposition without times, which differ, and without what a gateway says about itself.
fn groups(port: u16) -> anyhow::Result<Vec<String>> {
    let text = http::get(port, "/metrics")?.body;
    let own = ["go_", "process_", "pushgateway_", "promhttp_", "scrape_"];
    let mut kept = Vec::new();
    for line in text.lines() {
        let name = line
            .strip_prefix("# HELP ")
            .or(line.strip_prefix("# TYPE "));
        let name = name.unwrap_or(line);
        if own.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let is_time = line.starts_with("push_time_") || line.starts_with("push_failure_time_");
        match line.rsplit_once(' ') {
            Some((series, time)) if is_time => {
                kept.push(format!(
                    "{series} {}",
                    if time == "0" { "never" } else { "once" }
                ));
            }
            _ => kept.push(line.to_owned()),
        }
    }
    Ok(kept)
}

/// The list of the API, in the order of its labels and without times.
fn list(port: u16) -> anyhow::Result<Vec<String>> {
    let body = http::get(port, "/api/v1/metrics")?.body;
    let mut body: Value = serde_json::from_str(&body).context(body)?;
    ensure!(body["status"] == "success");
    let mut groups = Vec::new();
    for group in body["data"].as_array_mut().context("groups")? {
        for (name, family) in group.as_object_mut().context("a group")? {
            if let Some(family) = family.as_object_mut().filter(|f| f.contains_key("type")) {
                let time = family.remove("time_stamp");
                ensure!(time.is_some_and(|time| time.to_string().ends_with("Z\"")));
                if name.starts_with("push_") {
                    let value = &mut family["metrics"][0]["value"];
                    *value = json!(if value == "0" { "never" } else { "once" });
                }
            }
        }
        groups.push(group.to_string());
    }
    groups.sort_unstable();
    Ok(groups)
}

fn same_lines(expected: &[String], found: &[String]) -> anyhow::Result<()> {
    for (i, line) in expected.iter().enumerate() {
        let ours = found.get(i);
        ensure!(
            ours == Some(line),
            "line {i} is {line:?} there and {ours:?} here; theirs:\n{}\nours:\n{}",
            expected.join("\n"),
            found.join("\n")
        );
    }
    ensure!(expected.len() == found.len(), "ours has more: {found:?}");
    Ok(())
}

/// What has no group in its path is alike.
fn same_pages(theirs: u16, ours: u16) -> anyhow::Result<()> {
    for path in ["/-/healthy", "/-/ready"] {
        let (expected, answer) = (http::get(theirs, path)?, http::get(ours, path)?);
        ensure!(expected.status == answer.status, "{path}: {answer:?}");
    }
    for path in ["/metrics", "/api/v1/metrics"] {
        let (expected, answer) = (http::get(theirs, path)?, http::get(ours, path)?);
        for name in HEADERS {
            ensure!(
                expected.header(name) == answer.header(name),
                "{path}: {name}"
            );
        }
    }
    let status = |port| -> anyhow::Result<Value> {
        let body = http::get(port, "/api/v1/status")?.body;
        Ok(serde_json::from_str::<Value>(&body)?["data"].take())
    };
    let (expected, found) = (status(theirs)?, status(ours)?);
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .map_or(vec![], |map| map.keys().cloned().collect())
    };
    for part in ["", "/build_information"] {
        let of = |value: &Value| value.pointer(part).map(keys);
        ensure!(of(&expected) == of(&found), "{found}");
    }
    Ok(())
}

/// What is said of how a body is compressed counts alike, or does not.
fn same_encodings(theirs: u16, ours: u16) -> anyhow::Result<()> {
    let plain = b"encoded 1\n".to_vec();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain)?;
    let zipped = encoder.finish()?;
    for (i, encoding) in ["gzip", "GZIP", "gzip, gzip", "br", "identity", "", "snappy"]
        .into_iter()
        .enumerate()
    {
        for (how, body) in [("plain", &plain), ("zipped", &zipped)] {
            let path = format!("/metrics/job/{how}/encoded/e{i}");
            let headers = [("Content-Encoding", encoding)];
            let send = |port| http::send(port, "PUT", &path, &headers, body);
            let (expected, answer) = (send(theirs)?, send(ours)?);
            ensure!(
                expected.status == answer.status,
                "{how} as {encoding:?}: {expected:?} and {answer:?}"
            );
        }
    }
    same_lines(&groups(theirs)?, &groups(ours)?)
}

#[test]
fn answers_are_those_of_the_real_gateway() -> anyhow::Result<()> {
    let Some(program) = peer("prometheus-pushgateway") else {
        return Ok(());
    };
    let receivers = Receivers::start()?;
    let theirs = free_port();
    let mut command = Command::new(program);
    let file = receivers.dir().join("pushgateway.data");
    command
        .arg(format!("--web.listen-address=127.0.0.1:{theirs}"))
        .arg(format!("--persistence.file={}", file.display()));
    let mut server = Server::start(&mut command, &receivers.dir().join("pushgateway.log"))?;
    server.wait_ready(theirs, "/-/ready", PATIENCE);
    let mut unlike = Vec::new();
    for (method, path, body) in REQUESTS {
        let send = |port| http::send(port, method, path, &[], body.as_bytes());
        let (expected, answer) = (send(theirs)?, send(receivers.pushgateway)?);
        let mut note = |what: &str, theirs: &dyn Debug, ours: &dyn Debug| {
            unlike.push(format!(
                "{method} {path} {body:?}: {what}: {theirs:?} and {ours:?}"
            ));
        };
        if expected.status != answer.status {
            note("status", &expected, &answer);
        } else if promised(&expected.body) != promised(&answer.body) {
            note("body", &expected.body, &answer.body);
        }
        for name in HEADERS {
            let (theirs, ours) = (expected.header(name), answer.header(name));
            if theirs != ours {
                note(name, &theirs, &ours);
            }
        }
        let (expected, shown) = (groups(theirs)?, groups(receivers.pushgateway)?);
        same_lines(&expected, &shown).with_context(|| format!("after {method} {path} {body:?}"))?;
    }
    ensure!(unlike.is_empty(), "{}", unlike.join("\n"));
    same_encodings(theirs, receivers.pushgateway)?;
    same_lines(&list(theirs)?, &list(receivers.pushgateway)?)?;
    same_pages(theirs, receivers.pushgateway)
}

#[test]
fn pushed_values_stay_until_their_group_is_deleted() -> anyhow::Result<()> {
    let receivers =
        Receivers::start_with(&["--pushgateway.self-scrape-interval=200ms".to_owned()])?;
    let port = receivers.pushgateway;
    let pushed = http::send(port, "PUT", "/metrics/job/stays", &[], b"stays{x=\"\"} 1\n")?;
    ensure!(pushed.status == 200, "{pushed:?}");
    // Stored again and again, with one value.
    let found = receivers.wait_for("stays", |found| {
        found
            .first()
            .and_then(|series| series["values"].as_array())
            .is_some_and(|v| v.len() > 4)
    })?;
    ensure!(
        found.len() == 1 && found[0]["metric"] == json!({ "__name__": "stays", "job": "stays" })
    );
    let values = found[0]["values"].as_array().context("values")?;
    ensure!(values.iter().all(|value| value[1] == "1"), "{values:?}");
    receivers.wait_for(r#"push_time_seconds{job="stays"}"#, |found| {
        found.len() == 1
    })?;
    // Once deleted it ends at once, without the five minutes that a value is looked back for.
    let deleted = http::send(port, "DELETE", "/metrics/job/stays", &[], b"")?;
    ensure!(deleted.status == 202, "{deleted:?}");
    for name in ["stays", "push_time_seconds", "push_failure_time_seconds"] {
        let now = receivers.now(&format!(r#"{name}{{job="stays"}}"#))?;
        ensure!(now == json!([]), "{now}");
    }
    Ok(())
}

#[test]
fn a_job_that_scrapes_the_gateway_is_enough() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port();
    let file = dir.path().join("prometheus.yml");
    let config = format!(
        "scrape_configs:\n  - job_name: pushed\n    scrape_interval: 300ms\n    scrape_timeout: 300ms\n    honor_labels: true\n    static_configs:\n      - targets: [\"127.0.0.1:{port}\"]\n"
    );
    std::fs::write(&file, config)?;
    let receivers = Receivers::start_at(
        port,
        &[
            format!("--config.file={}", file.display()),
            "--pushgateway.self-scrape-interval=20ms".to_owned(),
        ],
    )?;
    receivers.wait_for(r#"up{job="pushed"}"#, |found| !found.is_empty())?;
    let pushed = http::send(port, "PUT", "/metrics/job/once", &[], b"once 1\n")?;
    ensure!(pushed.status == 200, "{pushed:?}");
    let count = |found: &[Value]| {
        let values = found.first().and_then(|series| series["values"].as_array());
        values.map_or(0, Vec::len)
    };
    let found = receivers.wait_for("once", |found| count(found) > 10)?;
    ensure!(found.len() == 1, "{found:?}");
    // Every 20 ms would be fifteen for each scrape; and one that is late is near the next.
    let values = found[0]["values"].as_array().context("values")?;
    let at = |value: Option<&Value>| {
        value
            .and_then(|value| value[0].as_f64())
            .unwrap_or_default()
    };
    let scrapes = (at(values.last()) - at(values.get(1))) / 0.3;
    ensure!((values.len() as f64) < scrapes + 4.0, "{values:?}");
    Ok(())
}
