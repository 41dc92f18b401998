//! A real Prometheus on a data directory.

use std::path::Path;
use std::process::Command;

use promontory_tests::process::Server;
use promontory_tests::{free_port, peer};

use crate::component::PATIENCE;

/// Everything is kept unless a test says otherwise: its data is of the past.
const RETENTION: &str = "--storage.tsdb.retention.time";

pub(crate) struct Prometheus {
    port: u16,
    _server: Server,
}

impl Prometheus {
    /// Starts one on the data in `data`; `None` after saying that it is not installed. Its own
    /// files go to `dir`.
    pub(crate) fn start(data: &Path, dir: &Path) -> anyhow::Result<Option<Self>> {
        let config = "global: {scrape_interval: 15s}\n";
        Self::start_as(data, dir, free_port(), config, &[])
    }

    /// As [`Prometheus::start`], on this port, with this configuration and further flags.
    pub(crate) fn start_as(
        data: &Path,
        dir: &Path,
        port: u16,
        yaml: &str,
        flags: &[&str],
    ) -> anyhow::Result<Option<Self>> {
        let Some(program) = peer("prometheus") else {
            return Ok(None);
        };
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, yaml)?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--web.enable-remote-write-receiver")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags);
        if !flags.iter().any(|flag| flag.starts_with(RETENTION)) {
            command.arg(format!("{RETENTION}=100y"));
        }
        let mut server = Server::start(&mut command, &dir.join("prometheus.log"))?;
        server.wait_ready(port, "/-/ready", PATIENCE);
        Ok(Some(Self {
            port,
            _server: server,
        }))
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
