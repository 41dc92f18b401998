//! Packages of the Python index.

use std::process::Command;

use anyhow::ensure;
use promontory_tests::{now_ms, python, workspace_root};
use serde_json::{Value, json};

use super::{Receivers, known_values};

/// Has a client write its values; false after saying that its package is absent.
fn write(client: &str, module: &str, port: u16, t: i64) -> anyhow::Result<bool> {
    let Some(python) = python(module) else {
        return Ok(false);
    };
    let output = Command::new(python)
        .arg(workspace_root().join("tests/e2e/real_clients/known_values.py"))
        .args([client, &port.to_string(), &t.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{client} failed:\n{said}");
    Ok(true)
}

fn recently() -> i64 {
    now_ms() / 1000 - 300
}

fn check_opentsdb(client: &str, module: &str, metric: &str, labels: &Value) -> anyhow::Result<()> {
    let receivers = Receivers::start()?;
    let t = recently();
    if !write(client, module, receivers.opentsdb, t)? {
        return Ok(());
    }
    let expected = json!({ "metric": labels, "values": known_values(t) });
    receivers.expect(&format!(r#"{{__name__="{metric}"}}"#), &[expected])
}

#[test]
fn potsdb_writes_known_values() -> anyhow::Result<()> {
    let labels = json!({ "__name__": "known.potsdb", "host": "h1", "kind": "a" });
    check_opentsdb("potsdb", "potsdb", "known.potsdb", &labels)
}

#[test]
fn opentsdb_py_writes_known_values_over_http() -> anyhow::Result<()> {
    let metric = "known.opentsdb_py.HTTP";
    let labels = json!({ "__name__": metric, "host": "h1" });
    check_opentsdb("opentsdb-http", "opentsdb", metric, &labels)
}

#[test]
fn opentsdb_py_writes_known_values_in_lines() -> anyhow::Result<()> {
    let metric = "known.opentsdb_py.TELNET";
    let labels = json!({ "__name__": metric, "host": "h1" });
    check_opentsdb("opentsdb-telnet", "opentsdb", metric, &labels)
}

#[test]
fn prometheus_client_pushes_known_values() -> anyhow::Result<()> {
    let receivers = Receivers::start()?;
    if !write(
        "prometheus-client",
        "prometheus_client",
        receivers.pushgateway,
        0,
    )? {
        return Ok(());
    }
    let found = receivers.found(r#"{__name__=~"known_.*",__name__!~".*_created"}"#)?;
    let values = found.iter().map(|series| {
        let metric = &series["metric"];
        let labels =
            ["job", "instance", "kind", "le"].map(|name| metric[name].as_str().unwrap_or("-"));
        format!(
            "{} {labels:?} {}",
            metric["__name__"], series["values"][0][1]
        )
    });
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    let expected = [
        r#""known_added_bucket" ["first/job", "a/b", "-", "+Inf"] "1""#,
        r#""known_added_bucket" ["first/job", "a/b", "-", "1.0"] "0""#,
        r#""known_added_bucket" ["first/job", "a/b", "-", "2.5"] "1""#,
        r#""known_added_count" ["first/job", "a/b", "-", "-"] "1""#,
        r#""known_added_sum" ["first/job", "a/b", "-", "-"] "2""#,
        r#""known_deleted" ["second", "-", "-", "-"] "1""#,
        r#""known_pushed" ["first/job", "a/b", "q\"\\\n", "-"] "42.25""#,
        r#""known_replaced_total" ["first/job", "a/b", "-", "-"] "7""#,
    ];
    ensure!(values == expected, "{values:#?}");
    Ok(())
}

#[test]
fn elasticsearch6_indexes_known_values() -> anyhow::Result<()> {
    let receivers = Receivers::start()?;
    let t = recently();
    if !write("elasticsearch6", "elasticsearch6", receivers.metricbeat, t)? {
        return Ok(());
    }
    let of = |nic: &str| {
        let labels = json!({
            "__name__": "system.network.in.bytes",
            "metricset_module": "system",
            "metricset_name": "network",
            "system_network_name": nic,
        });
        json!({ "metric": labels, "values": known_values(t) })
    };
    receivers.expect(r#"{__name__=~"system[.].*"}"#, &[of("eth0"), of("lo")])
}
