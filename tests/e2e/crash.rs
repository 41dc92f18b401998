//! A process that is killed again and again while clients write: what it acknowledged is there
//! afterwards, once, and what it never got is not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::rng::Rng;

const ROUNDS: u64 = 50;
const WRITERS: usize = 3;
/// Series of one writer.
const SERIES: usize = 20;
/// Time of the first sample.
const START_MS: i64 = 1_760_000_000_000;

/// What one writer sent: by time of a request's samples, whether it was acknowledged. All series get
/// the same times; values follow from series and time.
#[derive(Default)]
struct Oracle {
    sent: BTreeMap<i64, bool>,
}

fn value(writer: usize, series: usize, t: i64) -> f64 {
    ((t - START_MS) * 31 + (writer * SERIES + series) as i64) as f64
}

impl Oracle {
    /// Sends requests until `stop`; each is sent again until it is acknowledged or the server dies.
    fn write(&mut self, port: u16, writer: usize, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let last = self.sent.last_key_value().map_or(START_MS, |(t, _)| *t);
            let t = last + 1000;
            let series: Vec<Series> = (0..SERIES)
                .map(|i| Series {
                    labels: vec![
                        ("__name__".to_owned(), "crash_total".to_owned()),
                        ("series".to_owned(), i.to_string()),
                        ("writer".to_owned(), writer.to_string()),
                    ],
                    samples: vec![(t, value(writer, i, t))],
                })
                .collect();
            self.sent.insert(t, false);
            match remote_write::send(port, "/api/v1/write", &series) {
                Ok(answer) if answer.status / 100 == 2 => {
                    self.sent.insert(t, true);
                }
                Ok(answer) => panic!("a write was refused: {} {}", answer.status, answer.body),
                // The server is gone; whether it has the samples nobody knows.
                Err(_) => return,
            }
        }
    }

    fn acknowledged(&self) -> usize {
        self.sent.values().filter(|acked| **acked).count()
    }
}

/// Fails unless every series of `writer` has what `oracle` knows of.
fn check(port: u16, writer: usize, oracle: &Oracle) -> anyhow::Result<()> {
    let end = oracle.sent.last_key_value().map_or(START_MS, |(t, _)| *t);
    let query = format!("crash_total{{writer=\"{writer}\"}}[1d]");
    let path = format!(
        "/api/v1/query?query={}&time={}",
        http::encode(&query),
        end / 1000
    );
    let answer = http::get(port, &path)?;
    let body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
    let found = body["data"]["result"].as_array().context("no result")?;
    ensure!(found.len() == SERIES, "{} series were found", found.len());
    for series in found {
        let number: usize = series["metric"]["series"].as_str().unwrap_or("").parse()?;
        let mut there = BTreeMap::new();
        for point in series["values"].as_array().context("no values")? {
            let t = (point[0].as_f64().context("no time")? * 1e3).round() as i64;
            let v: f64 = point[1].as_str().unwrap_or("").parse()?;
            ensure!(
                there.insert(t, v).is_none(),
                "series {number} has {t} twice"
            );
            ensure!(oracle.sent.contains_key(&t), "nobody sent {t}");
            ensure!(
                v == value(writer, number, t),
                "{v} at {t} is not what was sent"
            );
        }
        let mut acked = oracle.sent.iter().filter(|(_, acked)| **acked);
        if let Some((t, _)) = acked.find(|(t, _)| !there.contains_key(t)) {
            anyhow::bail!("series {number} lost {t}, which was acknowledged");
        }
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let seed = 20_261_121;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let port = free_port();
    let mut oracles: Vec<Oracle> = (0..WRITERS).map(|_| Oracle::default()).collect();
    for round in 0..ROUNDS {
        let server = AllInOne::start(dir.path(), port)?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for (writer, oracle) in oracles.iter_mut().enumerate() {
                let stop = &stop;
                scope.spawn(move || oracle.write(port, writer, stop));
            }
            thread::sleep(Duration::from_millis(20 + rng.below(250)));
            // SIGKILL, while requests are on their way.
            drop(server);
            stop.store(true, Ordering::Relaxed);
        });
        if round % 10 == 9 {
            let _server = AllInOne::start(dir.path(), port)?;
            for (writer, oracle) in oracles.iter().enumerate() {
                check(port, writer, oracle).with_context(|| format!("after round {round}"))?;
            }
        }
    }
    let acknowledged: usize = oracles.iter().map(Oracle::acknowledged).sum();
    ensure!(
        acknowledged > 1000,
        "only {acknowledged} requests were acknowledged"
    );
    Ok(())
}
