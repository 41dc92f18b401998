//! Child processes that do not outlive their test.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http;

/// A server started by a test: its output goes to a file, and it is killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with both output streams in the file `log`.
    ///
    /// # Errors
    /// When the log cannot be created or the program cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let out = File::create(log)?;
        let err = out.try_clone()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Waits until a GET of `path` on `port` answers 200.
    ///
    /// # Panics
    /// When the process ends or `limit` passes first; the message carries the log.
    pub fn wait_ready(&mut self, port: u16, path: &str, limit: Duration) {
        let start = Instant::now();
        while start.elapsed() < limit {
            if http::get(port, path).is_ok_and(|answer| answer.status == 200) {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!(
                    "the server ended with {status} before it was ready:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server was not ready after {limit:?}:\n{}", self.log());
    }

    /// True once the process has ended by itself.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }

    /// What it ended with; `None` while it runs, and when a signal ended it.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn exit_code(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.try_wait()?.and_then(|status| status.code()))
    }

    /// Sends it a signal, such as `TERM`.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let (signal, id) = (format!("-{name}"), self.id().to_string());
        let sent = Command::new("kill").args([signal, id]).status()?;
        match sent.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("cannot send SIG{name}: {sent}"))),
        }
    }

    /// What the server printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
