//! A stand-in for the output of Metricbeat, which no package has: the calls that it makes, in its
//! order, and its reading of the answers.

use std::io;

use anyhow::{Context as _, ensure};
use promontory_tests::http::{self, Answer};
use promontory_tests::now_ms;
use serde_json::{Value, json};

use super::{Receivers, is_same};

/// What becomes of an event by libbeat's reading of an item.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Retried,
    Dropped,
}

/// Reads the answer of a bulk request as libbeat does: one item for each event, in order.
fn fates(answer: &Answer) -> anyhow::Result<Vec<Fate>> {
    ensure!(answer.status == 200, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body)?;
    let items = body["items"].as_array().context("no items")?;
    let fates = items.iter().map(|item| {
        let action = item.as_object().and_then(|item| item.values().next());
        let status = action.and_then(|action| action["status"].as_u64());
        Ok(match status.context("an item without a status")? {
            0..300 | 409 => Fate::Acknowledged,
            429 | 500.. => Fate::Retried,
            _ => Fate::Dropped,
        })
    });
    fates.collect()
}

fn event(t_ms: i64, disk: &str, bytes: u64) -> Value {
    json!({
        "@timestamp": t_ms,
        "metricset": { "name": "diskio", "module": "system", "rtt": 115 },
        "system": { "diskio": { "name": disk, "read": { "bytes": bytes } } },
        "beat": { "name": "n7", "hostname": "n7.example.org", "version": "6.8.23" },
        "host": { "name": "n7" },
    })
}

/// Sends a request as libbeat does.
fn call(port: u16, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let headers = [
        ("Accept", "application/json"),
        ("Authorization", "Basic bG9va291dDp0b2tlbg=="),
    ];
    http::send(port, method, path, &headers, body.as_bytes())
}

/// What it asks before it sends events.
fn start(port: u16) -> anyhow::Result<()> {
    for base in ["", "/beat"] {
        let path = if base.is_empty() { "/" } else { base };
        let root: Value = serde_json::from_str(&call(port, "GET", path, "")?.body)?;
        ensure!(root["version"]["number"] == "6.8.23", "{root}");
        let xpack: Value =
            serde_json::from_str(&call(port, "GET", &format!("{base}/_xpack"), "")?.body)?;
        ensure!(
            xpack["license"]["type"] == "basic" && xpack["license"]["status"] == "active",
            "{xpack}"
        );
        ensure!(xpack["features"]["ilm"]["available"] == false, "{xpack}");
        let template = format!("{base}/_template/metricbeat-6.8.23");
        let head = call(port, "HEAD", &template, "")?;
        ensure!((head.status, head.body.as_str()) == (200, ""), "{head:?}");
        let put = call(
            port,
            "PUT",
            &template,
            r#"{"index_patterns":["metricbeat-6.8.23-*"]}"#,
        )?;
        ensure!(put.status == 200, "{put:?}");
        let alias = call(
            port,
            "HEAD",
            &format!("{base}/_alias/metricbeat-6.8.23"),
            "",
        )?;
        ensure!(alias.status == 200, "{alias:?}");
    }
    Ok(())
}

#[test]
fn metricbeats_calls_are_answered_as_it_needs() -> anyhow::Result<()> {
    let receivers = Receivers::start()?;
    let port = receivers.metricbeat;
    start(port)?;

    let t_ms = now_ms() - 300_000;
    let action = r#"{"index":{"_index":"metricbeat-6.8.23-2026.11.21","_type":"doc"}}"#;
    let events = [
        event(t_ms, "sda", 1).to_string(),
        r#"{"@timestamp":"never"}"#.to_owned(),
        event(t_ms, "sdb", 2).to_string(),
        event(t_ms + 10_000, "sda", 3).to_string(),
    ];
    let body: String = events
        .iter()
        .map(|event| format!("{action}\n{event}\n"))
        .collect();
    let expected = [
        Fate::Acknowledged,
        Fate::Dropped,
        Fate::Acknowledged,
        Fate::Acknowledged,
    ];
    // Whoever did not get the answer sends all of it again.
    for _ in 0..2 {
        ensure!(
            fates(&call(port, "POST", "/beat/_bulk", &body)?)? == expected,
            "{body}"
        );
    }
    let series = |disk: &str, values: Value| {
        let labels = json!({
            "__name__": "system.diskio.read.bytes",
            "beat_hostname": "n7.example.org",
            "beat_name": "n7",
            "host_name": "n7",
            "metricset_module": "system",
            "metricset_name": "diskio",
            "system_diskio_name": disk,
        });
        json!({ "metric": labels, "values": values })
    };
    let seconds = |t_ms: i64| -> Value {
        serde_json::from_str(&format!("{}.{:03}", t_ms / 1000, t_ms % 1000)).expect("a number")
    };
    let found = receivers.found(r#"{beat_name="n7"}"#)?;
    let times = (seconds(t_ms), seconds(t_ms + 10_000));
    let expected = [
        series("sda", json!([[times.0, "1"], [times.1, "3"]])),
        series("sdb", json!([[times.0, "2"]])),
    ];
    ensure!(is_same(&found, &expected), "{found:?} is not {expected:?}");
    Ok(())
}
