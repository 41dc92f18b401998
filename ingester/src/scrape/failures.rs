//! The file of `scrape_failure_log_file`: a line of JSON for every scrape whose target gave no answer that could
//! be read, with the fields that Prometheus writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use model::time::Rfc3339;
use serde::Serialize;

/// Where failed scrapes are taken down. Jobs may name the same file: lines are added whole.
#[derive(Debug)]
pub(super) struct FailureLog {
    path: PathBuf,
    /// A line could not be added, which was said.
    is_broken: AtomicBool,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    msg: &'a str,
    job_name: &'a str,
    target: &'a str,
}

impl FailureLog {
    /// The file at `path`, which is made if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        match opened(path) {
            Ok(_) => Ok(Self {
                path: path.to_owned(),
                is_broken: AtomicBool::new(false),
            }),
            Err(error) => Err(format!("open {}: {error}", path.display())),
        }
    }

    /// Takes down that `target` of `job` could not be scraped. The file is opened each time, so that it may be
    /// moved away.
    pub(super) fn note(&self, now_ms: i64, (job, target): (&str, &str), error: &str) {
        let line = Line {
            time: Rfc3339(now_ms).to_string(),
            level: "ERROR",
            msg: error,
            job_name: job,
            target,
        };
        let added = serde_json::to_vec(&line).map_err(io::Error::from);
        let added = added.and_then(|mut line| {
            line.push(b'\n');
            opened(&self.path)?.write_all(&line)
        });
        match added {
            Ok(()) => self.is_broken.store(false, Ordering::Relaxed),
            Err(error) if !self.is_broken.swap(true, Ordering::Relaxed) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "failed scrapes are not taken down");
            }
            Err(_) => {}
        }
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
