//! What the API of every component says about its process.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The Prometheus whose API this is. Clients such as Grafana compare it to learn what they may ask.
const PROMETHEUS_VERSION: &str = "3.14.0";

/// What the API says about the process it runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Version of this build.
    pub version: &'static str,
    /// When the process started, in milliseconds.
    pub started_ms: i64,
    /// The flags, by name, as they took effect.
    pub flags: BTreeMap<String, String>,
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
}
