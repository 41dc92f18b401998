//! Requests that are wrong in every way that a protocol knows, to every receiver: each is told so in its
//! protocol's own way, good points of it are kept, and nothing else is disturbed.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use promontory_tests::process::Server;
use promontory_tests::{free_port, http, now_ms};

use super::Receivers;
use crate::component::PATIENCE;

/// Bytes that a request may have here.
const BODY_BYTES_MAX: usize = 200_000;
/// More than what a request may decompress to.
const BOMB_BYTES: usize = 80 << 20;

/// One way to write to a receiver.
struct Route {
    flag: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    /// Nothing that can be read.
    malformed: &'static str,
    /// Two points, where the second is wrong; `NAME` is the metric, `TIME` now in milliseconds.
    half: &'static str,
    /// What that is answered, and how many points of it are stored.
    half_comes_to: (u16, usize),
    /// What is answered to what decompresses to too much.
    bomb_comes_to: u16,
    /// What is answered to what is right.
    good_comes_to: u16,
}

const BULK: &str = concat!(
    "{\"index\":{\"_index\":\"metricbeat\",\"_type\":\"doc\"}}\n",
    "{\"@timestamp\":TIME,\"NAME\":{\"v\":1}}\n",
    "{\"index\":{\"_index\":\"metricbeat\",\"_type\":\"doc\"}}\n",
    "{\"@timestamp\":\"soon\",\"NAME\":{\"v\":2}}\n",
);

const ROUTES: [Route; 7] = [
    Route {
        flag: "opentsdb",
        method: "POST",
        path: "/api/put",
        headers: &[],
        malformed: "[{\"metric\":",
        half: r#"[{"metric":"NAME.v","timestamp":TIME,"value":1,"tags":{"h":"a"}},{"metric":"NAME.v","timestamp":TIME,"value":"x","tags":{"h":"b"}}]"#,
        half_comes_to: (400, 1),
        bomb_comes_to: 413,
        good_comes_to: 204,
    },
    // A push is taken whole or not at all, as by the Pushgateway.
    Route {
        flag: "pushgateway",
        method: "PUT",
        path: "/metrics/job/j",
        headers: &[],
        malformed: "plain 1",
        half: "NAME_v{h=\"a\"} 1\nNAME_v{h=\"b\n",
        half_comes_to: (400, 0),
        bomb_comes_to: 413,
        good_comes_to: 200,
    },
    Route {
        flag: "metricbeat",
        method: "POST",
        path: "/_bulk",
        headers: &[],
        malformed: "nonsense\n",
        half: BULK,
        half_comes_to: (200, 1),
        bomb_comes_to: 413,
        good_comes_to: 200,
    },
    Route {
        flag: "lookout",
        method: "POST",
        path: "/datas",
        headers: &[("app", "a")],
        malformed: "nonsense",
        half: "{\"time\":TIME,\"tags\":{},\"NAME\":{\"v\":1}}\t{\"time\":TIME,\"tags\":{},\"NAME\":{\"v\"",
        half_comes_to: (200, 1),
        bomb_comes_to: 400,
        good_comes_to: 200,
    },
    Route {
        flag: "lookout",
        method: "PUT",
        path: "/prom/metrics/job/j/app/a/step/10",
        headers: &[],
        malformed: "m{",
        half: "NAME_v 1\nNAME_v{h=\"b\n",
        half_comes_to: (202, 1),
        bomb_comes_to: 400,
        good_comes_to: 202,
    },
    Route {
        flag: "lookout",
        method: "POST",
        path: "/opentsdb/api/put",
        headers: &[("app", "a"), ("step", "10")],
        malformed: "[{\"metric\":",
        half: r#"[{"metric":"NAME.v","timestamp":TIME,"value":1,"tags":{"h":"a"}},{"metric":"NAME.v","timestamp":TIME,"value":"x","tags":{"h":"b"}}]"#,
        half_comes_to: (202, 1),
        bomb_comes_to: 400,
        good_comes_to: 202,
    },
    Route {
        flag: "lookout",
        method: "POST",
        path: "/beat/_bulk",
        headers: &[],
        malformed: "nonsense\n",
        half: BULK,
        half_comes_to: (200, 1),
        bomb_comes_to: 413,
        good_comes_to: 200,
    },
];

impl Route {
    fn send(&self, port: u16, gzipped: bool, body: &[u8]) -> anyhow::Result<http::Answer> {
        let encoding = gzipped.then_some(("Content-Encoding", "gzip"));
        let headers: Vec<_> = self.headers.iter().copied().chain(encoding).collect();
        Ok(http::send(port, self.method, self.path, &headers, body)?)
    }

    /// The half-valid request about this metric.
    fn half(&self, name: &str) -> String {
        let half = self.half.replace("NAME", name);
        half.replace("TIME", &now_ms().to_string())
    }

    /// The same without what is wrong.
    fn good(&self, name: &str) -> String {
        let half = self.half(name);
        match self.path {
            "/datas" => half.split('\t').next().unwrap_or_default().to_owned(),
            path if path.ends_with("put") => half.replace("\"x\"", "2"),
            path if path.ends_with("_bulk") => half.replace("\"soon\"", &now_ms().to_string()),
            _ => half.lines().next().unwrap_or_default().to_owned() + "\n",
        }
    }
}

fn bomb() -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![b' '; 1 << 20];
    for _ in 0..BOMB_BYTES >> 20 {
        encoder.write_all(&block)?;
    }
    let bomb = encoder.finish()?;
    ensure!(bomb.len() < BODY_BYTES_MAX, "{} bytes", bomb.len());
    Ok(bomb)
}

#[test]
fn what_is_wrong_is_said_and_harms_nothing() -> anyhow::Result<()> {
    let mut flags: Vec<_> = ["opentsdb", "pushgateway", "metricbeat", "lookout"]
        .iter()
        .map(|flag| format!("--{flag}.body-bytes-max={BODY_BYTES_MAX}"))
        .collect();
    let lookout = free_port();
    flags.push(format!("--lookout.address=127.0.0.1:{lookout}"));
    let receivers = Receivers::start_with(&flags)?;
    let (bomb, large) = (bomb()?, vec![b' '; BODY_BYTES_MAX + 1]);
    for (i, route) in ROUTES.iter().enumerate() {
        let port = match route.flag {
            "opentsdb" => receivers.opentsdb,
            "pushgateway" => receivers.pushgateway,
            "metricbeat" => receivers.metricbeat,
            _ => lookout,
        };
        let (half, good) = (format!("half{i}"), format!("good{i}"));
        for (what, gzipped, body, expected) in [
            ("malformed", false, route.malformed.as_bytes(), 400),
            ("large", false, &large, 413),
            ("bomb", true, &bomb, route.bomb_comes_to),
            ("no gzip", true, route.malformed.as_bytes(), 400),
            (
                "half",
                false,
                route.half(&half).as_bytes(),
                route.half_comes_to.0,
            ),
            (
                "good",
                false,
                route.good(&good).as_bytes(),
                route.good_comes_to,
            ),
        ] {
            let answer = route.send(port, gzipped, body);
            let answer = answer.with_context(|| format!("{} {what}", route.path))?;
            ensure!(
                answer.status == expected,
                "{} {what}: expected {expected}: {answer:?}",
                route.path
            );
        }
        let of_good = if route.path.ends_with("put") { 2 } else { 1 };
        for (name, stored) in [(half, route.half_comes_to.1), (good, of_good)] {
            let selector = format!("{{__name__=~\"{name}[._]v\"}}");
            let found = receivers.found(&selector)?;
            ensure!(
                found.len() == stored,
                "{}: {name} came to {found:?}",
                route.path
            );
        }
    }
    ensure!(http::get(receivers.ours.port, "/-/ready")?.status == 200);
    let log = receivers.ours.server.log();
    ensure!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    Ok(())
}

#[test]
fn lines_that_are_wrong_are_answered_and_the_others_kept() -> anyhow::Result<()> {
    let receivers = Receivers::start()?;
    let now = now_ms() / 1000;
    let exchange = |text: &str| -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", receivers.opentsdb))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut answer = String::new();
        // A connection that is given up with something unread is reset, at any time.
        let _ = stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.shutdown(Shutdown::Write))
            .and_then(|()| stream.read_to_string(&mut answer));
        Ok(answer)
    };
    let half = format!("put half.lines {now} 1 h=a\nput half.lines {now} x h=b\nnonsense\n");
    let answer = exchange(&half)?;
    let expected = "put: invalid value: x\nunknown command: nonsense.  Try `help'.\n";
    ensure!(answer == expected, "{answer:?}");
    exchange(&format!("put {} {now} 1 h=a\n", "x".repeat(1 << 20)))?;
    let answer = exchange(&format!("put good.lines {now} 1 h=a\n"))?;
    ensure!(answer.is_empty(), "{answer:?}");
    for name in ["half.lines", "good.lines"] {
        let found = receivers.found(&format!("{{__name__=\"{name}\"}}"))?;
        ensure!(found.len() == 1, "{name} came to {found:?}");
    }
    ensure!(!receivers.ours.server.log().contains("panicked"));
    Ok(())
}

#[test]
fn an_address_that_was_said_must_be_had() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    for flag in [
        "opentsdb.address",
        "pushgateway.address",
        "metricbeat.address",
        "lookout.address",
        "lookout.admin-address",
    ] {
        let dir = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        command
            .arg(format!("--data-dir={}", dir.path().join("data").display()))
            .arg("--http-address=127.0.0.1:0")
            .arg("--grpc-address=127.0.0.1:0")
            .arg(format!("--{flag}={address}"));
        let mut server = Server::start(&mut command, &dir.path().join("log"))?;
        let begin = Instant::now();
        while !server.has_ended()? {
            ensure!(begin.elapsed() < PATIENCE, "{flag}: it runs");
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = server.log();
        ensure!(log.contains(&address.to_string()), "{flag}: {log}");
    }
    Ok(())
}
