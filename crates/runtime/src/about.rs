//! What the API of every component says about its process.

use std::collections::BTreeMap;

use model::time::Rfc3339;
use serde_json::{Value, json};

use crate::{Memory, Reloads};

/// The Prometheus whose API this is. Clients such as Grafana compare it to learn what they may ask.
const PROMETHEUS_VERSION: &str = "3.14.0";

/// What the API says about the process it runs in.
#[derive(Debug, Clone)]
pub struct About {
    /// Version of this build.
    pub version: &'static str,
    /// When the process started, in milliseconds.
    pub started_ms: i64,
    /// The flags, by name, as they took effect.
    pub flags: BTreeMap<String, String>,
    /// What it may have.
    pub memory: Memory,
    /// How reading its configuration again went.
    pub reloads: Reloads,
}

impl About {
    /// The data of `/api/v1/status/buildinfo`. Grafana takes a server that names features for a Mimir,
    /// so there are none.
    pub fn build_info(&self) -> Value {
        json!({
            "version": PROMETHEUS_VERSION,
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
            "application": "Promontory",
            "applicationVersion": self.version,
        })
    }

    /// The data of `/api/v1/status/runtimeinfo`; of storage, how long it keeps data where a flag says so.
    pub fn runtime_info(&self, now_ms: i64) -> Value {
        let last = self.reloads.last();
        let dir = std::env::current_dir();
        json!({
            "startTime": Rfc3339(self.started_ms).to_string(),
            "serverTime": Rfc3339(now_ms).to_string(),
            "CWD": dir.map_or_else(|_| String::new(), |dir| dir.display().to_string()),
            "reloadConfigSuccess": last.succeeded,
            "lastConfigTime": Rfc3339(last.succeeded_ms).to_string(),
            "corruptionCount": 0,
            "goroutineCount": 0,
            "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
            "GOMEMLIMIT": i64::try_from(self.memory.bytes).unwrap_or(i64::MAX),
            "memoryLimitSource": self.memory.source.to_string(),
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": self.flags.get("tsdb.retention").map_or("", String::as_str),
        })
    }
}
