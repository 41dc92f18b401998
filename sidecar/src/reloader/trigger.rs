//! How Prometheus is told to read its configuration again.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use reqwest::Method;
use runtime::process;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::time::sleep;

use crate::client::Client;
use crate::flags::ReloadMethod;

/// Time between two questions whether a signal was obeyed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often that is asked.
const POLLS_MAX: usize = 100;

/// A way to tell Prometheus.
#[derive(Debug)]
pub(super) struct Trigger {
    client: Client,
    /// Name of the executable that a signal is sent to, if that is the way.
    process_name: Option<String>,
}

/// What Prometheus says of its last reload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo {
    reload_config_success: bool,
    last_config_time: String,
}

impl Trigger {
    pub(super) fn new(method: &ReloadMethod, client: Client) -> Self {
        let process_name = match method {
            ReloadMethod::Http => None,
            ReloadMethod::Signal { process_name } => Some(process_name.clone()),
        };
        Self {
            client,
            process_name,
        }
    }

    /// Its name among the flags.
    pub(super) const fn method(&self) -> &'static str {
        match self.process_name {
            None => "http",
            Some(_) => "signal",
        }
    }

    /// Tells Prometheus, and waits until it did.
    ///
    /// # Errors
    /// A sentence that says what to do, when it cannot be told, or refuses what it reads.
    pub(super) async fn reload(&self) -> Result<(), String> {
        match &self.process_name {
            None => self.reload_over_http().await,
            Some(name) => self.reload_by_signal(name).await,
        }
    }

    async fn reload_over_http(&self) -> Result<(), String> {
        self.client.post("/-/reload").await.map_err(|error| {
            format!("{error}; Prometheus takes reloads with --web.enable-lifecycle only")
        })
    }

    async fn reload_by_signal(&self, name: &str) -> Result<(), String> {
        let before = self.runtime_info().await?;
        let wanted = name.to_owned();
        let find = move || find_process(Path::new("/proc"), &wanted);
        let pid = process::blocking(find).await?;
        kill_process(pid, Signal::HUP)
            .map_err(|error| format!("cannot send SIGHUP to {name}: {error}"))?;
        for _ in 0..POLLS_MAX {
            sleep(POLL_INTERVAL).await;
            let now = self.runtime_info().await?;
            if now.last_config_time != before.last_config_time {
                return Ok(());
            }
            // It may have failed before already, which looks the same until it does not.
            if !now.reload_config_success && before.reload_config_success {
                return Err("Prometheus refuses the configuration; its log says why".to_owned());
            }
        }
        Err(format!(
            "{name} got SIGHUP, and says of no reload that succeeded since"
        ))
    }

    async fn runtime_info(&self) -> Result<RuntimeInfo, String> {
        let path = "/api/v1/status/runtimeinfo";
        let answer = self.client.ask(Method::GET, path, &[]).await;
        answer
            .map(|answer| answer.data)
            .map_err(|error| error.to_string())
    }
}

/// The first process below `proc` whose executable has this name.
fn find_process(proc: &Path, name: &str) -> Result<Pid, String> {
    let entries = fs::read_dir(proc).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| format!("cannot list {}: {error}", proc.display()))?;
    let pids = entries.iter().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // Processes of others cannot be looked at, and those that ended are gone.
        let executable = fs::read_link(entry.path().join("exe")).ok()?;
        let is_wanted = executable.file_name()?.to_str()? == name;
        is_wanted.then_some(pid)
    });
    pids.min().and_then(Pid::from_raw).ok_or_else(|| {
        format!(
            "no process runs an executable named {name:?}; share the process namespace with \
             Prometheus, or name its executable by --reloader.process-name"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn processes_are_found_by_their_executable() {
        let proc = tempfile::tempdir().unwrap();
        let add = |pid: &str, executable: &str| {
            let dir = proc.path().join(pid);
            fs::create_dir(&dir).unwrap();
            symlink(executable, dir.join("exe")).unwrap();
        };
        add("120", "/bin/prometheus");
        add("9", "/bin/sh");
        add("30", "/opt/prometheus");
        add("self", "/bin/prometheus");
        let found = find_process(proc.path(), "prometheus").unwrap();
        assert_eq!(found.as_raw_nonzero().get(), 30);
        let error = find_process(proc.path(), "thanos").unwrap_err();
        assert!(error.contains("--reloader.process-name"), "{error}");
    }
}
