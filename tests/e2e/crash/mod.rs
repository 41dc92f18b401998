//! A process that is killed again and again while clients of all protocols write: what it
//! acknowledged is there afterwards, once, and what it never got is not.

mod clients;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::{free_port, http, now_ms};
use serde_json::Value;

use self::clients::{Batch, PROTOCOLS, Protocol, REFUSED, SERIES, Send};
use crate::all_in_one::AllInOne;
use crate::rng::Rng;

const ROUNDS: u64 = 50;
/// As many at most, where fewer get too little acknowledged.
const ROUNDS_MAX: u64 = 200;
/// Writers of each protocol.
const WRITERS: usize = 2;
/// Requests of a protocol that are acknowledged in all, or the test tested nothing.
const ACKNOWLEDGED_MIN: usize = 100;

/// How long a client waits after a refusal.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What one writer sent: by number of the request, whether it was acknowledged.
pub(crate) struct Oracle {
    pub(crate) protocol: &'static Protocol,
    pub(crate) port: u16,
    writer: usize,
    start_ms: i64,
    sent: BTreeMap<i64, bool>,
}

impl Oracle {
    fn batch(&self, number: i64) -> Batch {
        Batch {
            writer: self.writer,
            number,
            start_ms: self.start_ms,
        }
    }

    /// Sends requests until `stop`, or until the server dies.
    pub(crate) fn write(&mut self, stop: &AtomicBool) {
        let Ok(mut send) = (self.protocol.open)(self.port) else {
            return;
        };
        while !stop.load(Ordering::Relaxed) {
            // A server that is gone may have the samples or not.
            if let Err(error) = self.write_one(&mut send) {
                assert!(error.kind() != REFUSED, "{error}");
                return;
            }
        }
    }

    /// Sends requests until `stop`, those that were refused again, as clients do.
    pub(crate) fn write_on(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut send) = (self.protocol.open)(self.port) else {
                return;
            };
            while !stop.load(Ordering::Relaxed) {
                match self.write_one(&mut send) {
                    Ok(()) => {}
                    Err(error) if error.kind() == REFUSED => thread::sleep(REFUSED_PAUSE),
                    Err(_) => break,
                }
            }
            // Who is gone stays so.
            thread::sleep(REFUSED_PAUSE);
        }
    }

    /// Sends so many requests, all of which must be acknowledged.
    pub(crate) fn write_all(&mut self, requests: usize) -> io::Result<()> {
        let mut send = (self.protocol.open)(self.port)?;
        (0..requests).try_for_each(|_| self.write_one(&mut send))
    }

    fn write_one(&mut self, send: &mut Send) -> io::Result<()> {
        let batch = self.batch(self.last_sent() + 1);
        self.sent.insert(batch.number, false);
        send(batch)?;
        self.sent.insert(batch.number, true);
        Ok(())
    }

    /// The number of the request that was sent last.
    pub(crate) fn last_sent(&self) -> i64 {
        self.sent.last_key_value().map_or(0, |(number, _)| *number)
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.sent.values().filter(|acked| **acked).count()
    }

    /// Fails unless every series of the writer has what is known of it.
    pub(crate) fn check(&self, port: u16) -> anyhow::Result<()> {
        if self.acknowledged() == 0 {
            return Ok(());
        }
        for (series, there) in self.found(port)? {
            let mut acked = self.sent.iter().filter(|(_, acked)| **acked);
            if let Some((number, _)) = acked.find(|(number, _)| !there.contains_key(number)) {
                anyhow::bail!("request {number} was acknowledged, and series {series} lost it");
            }
        }
        Ok(())
    }

    /// Fails unless what is there are the first requests, those up to `kept` among them; the others
    /// count as never sent.
    pub(crate) fn lose_the_end(&mut self, port: u16, kept: i64) -> anyhow::Result<()> {
        let found = self.found(port)?;
        let last = found[&0].last_key_value().map_or(0, |(number, _)| *number);
        ensure!(last >= kept, "{last} are left, {kept} were flushed");
        for (series, there) in found {
            let numbers = there.into_keys();
            ensure!(numbers.eq(1..=last), "series {series} lacks some of {last}");
        }
        self.sent.retain(|number, _| *number <= last);
        Ok(())
    }

    /// By series, the numbers of the requests that are there, and the times of their samples. Fails
    /// where there is anything that was not sent, or something twice.
    fn found(&self, port: u16) -> anyhow::Result<BTreeMap<usize, BTreeMap<i64, i64>>> {
        let selector = self
            .protocol
            .selector
            .replace("WRITER", &self.writer.to_string());
        let path = format!(
            "/api/v1/query?query={}&time={}",
            http::encode(&format!("{selector}[1d]")),
            now_ms() / 1000 + 60
        );
        let answer = http::get(port, &path)?;
        let body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        let found = body["data"]["result"].as_array().context("no result")?;
        ensure!(found.len() == SERIES, "{} series were found", found.len());
        let of_series = |series: &Value| {
            let number = series["metric"][self.protocol.series_label].as_str();
            let number: usize = number.unwrap_or("").parse()?;
            let values = series["values"].as_array().context("no values")?;
            let there = self.check_series(number, values);
            Ok((number, there.with_context(|| format!("series {number}"))?))
        };
        found.iter().map(of_series).collect()
    }

    fn check_series(&self, series: usize, values: &[Value]) -> anyhow::Result<BTreeMap<i64, i64>> {
        let mut there = BTreeMap::new();
        for point in values {
            let t_ms = (point[0].as_f64().context("no time")? * 1e3).round() as i64;
            let value: f64 = point[1].as_str().unwrap_or("").parse()?;
            let batch = self.batch(value as i64 / 1000);
            ensure!(
                self.sent.contains_key(&batch.number) && batch.value(series) == value,
                "nobody sent {value}"
            );
            ensure!(
                !self.protocol.keeps_time || batch.t_ms() == t_ms,
                "{value} is at {t_ms}"
            );
            let before = there.insert(batch.number, t_ms);
            ensure!(before.is_none(), "{value} is there twice");
        }
        Ok(there)
    }
}

/// Writers of all protocols, and the flags that say where those are to listen.
pub(crate) fn oracles(port: u16) -> (Vec<Oracle>, Vec<String>) {
    let mut ports: BTreeMap<&str, u16> = BTreeMap::new();
    let mut oracles = Vec::new();
    let start_ms = now_ms() - 30 * 60_000;
    for protocol in &PROTOCOLS {
        let port = protocol
            .address_flag
            .map_or(port, |flag| *ports.entry(flag).or_insert_with(free_port));
        oracles.extend((0..WRITERS).map(|writer| Oracle {
            protocol,
            port,
            writer,
            start_ms,
            sent: BTreeMap::new(),
        }));
    }
    let flags = ports
        .iter()
        .map(|(flag, port)| format!("--{flag}=127.0.0.1:{port}"));
    // Values that are stored again would be taken for doubled ones.
    let flags = flags.chain(["--pushgateway.self-scrape-interval=0s".to_owned()]);
    (oracles, flags.collect())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let seed = 20_261_121;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let port = free_port();
    let (mut oracles, flags) = oracles(port);
    let acknowledged = |oracles: &[Oracle], protocol: &Protocol| -> usize {
        let of_protocol = oracles.iter().filter(|o| o.protocol.name == protocol.name);
        of_protocol.map(Oracle::acknowledged).sum()
    };
    // A machine that is busy gets little acknowledged before a kill.
    let is_enough = |oracles: &[Oracle]| {
        let mut all = PROTOCOLS.iter();
        all.all(|protocol| acknowledged(oracles, protocol) >= ACKNOWLEDGED_MIN)
    };
    for round in 0..ROUNDS_MAX {
        if round >= ROUNDS && round % 10 == 0 && is_enough(&oracles) {
            break;
        }
        let server = AllInOne::start_with(dir.path(), port, &flags)?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for oracle in &mut oracles {
                let stop = &stop;
                scope.spawn(move || oracle.write(stop));
            }
            thread::sleep(Duration::from_millis(20 + rng.below(250)));
            // SIGKILL, while requests are on their way.
            drop(server);
            stop.store(true, Ordering::Relaxed);
        });
        if round % 10 == 9 {
            let _server = AllInOne::start_with(dir.path(), port, &flags)?;
            for oracle in &oracles {
                let (name, writer) = (oracle.protocol.name, oracle.writer);
                oracle
                    .check(port)
                    .with_context(|| format!("{name}, writer {writer}, after round {round}"))?;
            }
        }
    }
    for protocol in &PROTOCOLS {
        let acknowledged = acknowledged(&oracles, protocol);
        println!(
            "{}: {acknowledged} requests were acknowledged",
            protocol.name
        );
        ensure!(
            acknowledged >= ACKNOWLEDGED_MIN,
            "only {acknowledged} requests of {} were acknowledged",
            protocol.name
        );
    }
    Ok(())
}
