//! Clients that others wrote, each writing known values: the querier has exactly those afterwards.

mod collectd;
mod hostile;
mod libbeat;
mod netdata;
mod pushgateway;
mod python;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use promontory_tests::{free_port, http, now_ms};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::all_in_one::AllInOne;
use crate::component::PATIENCE;

/// A promontory with its receivers at ports of their own.
struct Receivers {
    ours: AllInOne,
    opentsdb: u16,
    pushgateway: u16,
    metricbeat: u16,
    dir: TempDir,
}

impl Receivers {
    fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`Receivers::start`], with these further flags.
    fn start_with(further: &[String]) -> anyhow::Result<Self> {
        Self::start_at(free_port(), further)
    }

    /// As [`Receivers::start_with`], where the Pushgateway has a port that others know.
    fn start_at(pushgateway: u16, further: &[String]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let [opentsdb, metricbeat] = [(); 2].map(|()| free_port());
        let mut flags = vec![
            format!("--opentsdb.address=127.0.0.1:{opentsdb}"),
            format!("--pushgateway.address=127.0.0.1:{pushgateway}"),
            format!("--metricbeat.address=127.0.0.1:{metricbeat}"),
        ];
        flags.extend_from_slice(further);
        Ok(Self {
            ours: AllInOne::start_with(dir.path(), free_port(), &flags)?,
            opentsdb,
            pushgateway,
            metricbeat,
            dir,
        })
    }

    /// A folder for the files of a client.
    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The series that `selector` comes to in the last hour, each with all its samples.
    fn found(&self, selector: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!(
            "/api/v1/query?query={}&time={}",
            http::encode(&format!("{selector}[1h]")),
            now_ms() / 1000 + 60
        );
        let answer = http::get(self.ours.port, &path)?;
        let mut body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        match body["data"]["result"].take() {
            Value::Array(series) => Ok(series),
            _ => bail!("no result of {selector}: {body}"),
        }
    }

    /// What `query` comes to as of now.
    fn now(&self, query: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/query?query={}", http::encode(query));
        let answer = http::get(self.ours.port, &path)?;
        let mut body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        Ok(body["data"]["result"].take())
    }

    /// Waits until `selector` comes to what satisfies `is_there`, and returns it.
    fn wait_for(
        &self,
        selector: &str,
        mut is_there: impl FnMut(&[Value]) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        let started = Instant::now();
        loop {
            let found = self.found(selector)?;
            if is_there(&found) {
                return Ok(found);
            }
            if started.elapsed() > PATIENCE {
                bail!(
                    "{selector} came to {found:?}; the log:\n{}",
                    self.ours.server.log()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until `selector` comes to exactly `expected`, in any order of the series.
    fn expect(&self, selector: &str, expected: &[Value]) -> anyhow::Result<()> {
        self.wait_for(selector, |found| is_same(found, expected))
            .with_context(|| format!("expected {expected:?}"))?;
        Ok(())
    }
}

/// True for the same series in any order.
fn is_same(found: &[Value], expected: &[Value]) -> bool {
    found.len() == expected.len() && expected.iter().all(|series| found.contains(series))
}

/// The samples that the clients write from `t` on: see `known_values.py`.
fn known_values(t: i64) -> Value {
    (0..10)
        .map(|i| json!([t + i, (i as f64 * 1.5 + 0.25).to_string()]))
        .collect()
}
