//! The components of ours as processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use promontory_tests::free_port;
use promontory_tests::process::Server;

/// How long what must come to be may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so.
pub(crate) fn wait_until(
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        ensure!(begin.elapsed() < PATIENCE, "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A component as a process, which may be killed and started again in its place.
pub(crate) struct Component {
    name: &'static str,
    log: PathBuf,
    args: Vec<String>,
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    server: Option<Server>,
}

impl Component {
    /// Starts `promontory name` and waits until it is ready; its log goes into `dir`.
    pub(crate) fn start(dir: &Path, name: &'static str, args: &[String]) -> anyhow::Result<Self> {
        let mut this = Self {
            name,
            log: dir.join(format!("{name}.log")),
            args: args.to_vec(),
            http: free_port(),
            grpc: free_port(),
            server: None,
        };
        this.restart()?;
        Ok(this)
    }

    /// Kills it, as a machine that goes down.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again, killed or not, and waits until it is ready.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        command
            .arg(self.name)
            .arg(format!("--http-address=127.0.0.1:{}", self.http))
            .arg(format!("--grpc-address=127.0.0.1:{}", self.grpc))
            .args(&self.args);
        let mut server = Server::start(&mut command, &self.log)?;
        server.wait_ready(self.http, "/-/ready", PATIENCE);
        self.server = Some(server);
        Ok(())
    }

    /// Where it answers over gRPC.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// What it printed since it was started last.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
