//! Debian's Pushgateway as the reference: the same requests to it and to us, the same status codes
//! and the same exposition.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use promontory_tests::process::Server;
use promontory_tests::{free_port, http, peer};

use super::Receivers;

const TYPED: &str = "# HELP jobs_done Jobs that were done.\n# TYPE jobs_done counter\njobs_done{kind=\"a\"} 3\njobs_done{kind=\"b\\\"\\\\\\n\"} 1e+20\n";
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
    ("PUT", "/metrics/job/k/p@base64/=", "plain 5\n"),
    (
        "PUT",
        "/metrics/job/k/job/other/zone/a%20b",
        "plain{job=\"x\",zone=\"y\"} 6\n",
    ),
    ("PUT", "/metrics/job/empty", ""),
    ("POST", "/metrics/job/j", ""),
    ("PUT", "/metrics/job/own", "push_time_seconds 5\nplain 1\n"),
    ("PUT", "/metrics/job/replaced", "plain 1\nother 2\n"),
    ("PUT", "/metrics/job/replaced", "other 3\n"),
    ("PUT", "/metrics/job/gone", "plain 1\n"),
    ("DELETE", "/metrics/job/gone", ""),
    ("DELETE", "/metrics/job/never", ""),
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
    ("PUT", "/metrics/job@base64/=", "plain 1\n"),
    ("PUT", "/metrics/job/w8/x", "plain 1\n"),
    ("PUT", "/metrics/job/w8/__x/y", "plain 1\n"),
    ("PUT", "/metrics/job/w8/a-b/y", "plain 1\n"),
    ("PUT", "/metrics/job@base64/!/x/y", "plain 1\n"),
    ("PUT", "/metrics/jobs/w8", "plain 1\n"),
];

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

#[test]
fn answers_are_those_of_the_real_gateway() -> anyhow::Result<()> {
    let Some(program) = peer("prometheus-pushgateway") else {
        return Ok(());
    };
    let receivers = Receivers::start()?;
    let theirs = free_port();
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address=127.0.0.1:{theirs}"));
    let mut server = Server::start(&mut command, &receivers.dir().join("pushgateway.log"))?;
    server.wait_ready(theirs, "/-/ready", Duration::from_secs(30));
    for (method, path, body) in REQUESTS {
        let send = |port| http::send(port, method, path, &[], body.as_bytes());
        let (expected, answer) = (send(theirs)?, send(receivers.pushgateway)?);
        ensure!(
            expected.status == answer.status,
            "{method} {path} {body:?}: {expected:?} and {answer:?}"
        );
    }
    let (expected, shown) = (groups(theirs)?, groups(receivers.pushgateway)?);
    for (i, line) in expected.iter().enumerate() {
        let ours = shown.get(i);
        ensure!(
            ours == Some(line),
            "line {i} is {line:?} there and {ours:?} here; theirs:\n{}\nours:\n{}",
            expected.join("\n"),
            shown.join("\n")
        );
    }
    ensure!(expected.len() == shown.len(), "ours has more: {shown:?}");
    Ok(())
}
