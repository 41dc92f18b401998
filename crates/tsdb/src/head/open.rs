//! Opening a head for writing: replay, repair of what a crash damaged, new segments.

use std::path::Path;
use std::sync::Arc;

use super::logs::{Flusher, Logs};
use super::replay::{Replayed, run};
use super::{Head, HeadOptions, ReplayReport, SyncMode};
use crate::batch::WriteError;
use crate::error::Result;
use crate::wal::dir::LogDir;
use crate::wal::repair::{Outcome, repair, repair_head_chunks};

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Segments that were read.
    pub done: usize,
    /// Segments in all.
    pub total: usize,
}

/// What opening a head met.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// What the replay met.
    pub replay: ReplayReport,
    /// What was repaired, and where damaged parts were put.
    pub repairs: Vec<Outcome>,
}

impl Head {
    /// Opens the head of the data directory `dir`, made if absent, for reading and writing. Nobody
    /// else may be writing to the directory.
    ///
    /// Damaged parts of logs and head chunk files are set aside; everything before the damage is
    /// there. `progress` is told before each segment is read.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a file cannot be read or made,
    /// [`Error::Invalid`](crate::Error::Invalid) when a segment of a log
    /// is missing.
    pub fn open(
        dir: &Path,
        options: HeadOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, OpenReport)> {
        let mut repairs = Vec::new();
        let mut replayed = run(dir, &options, progress)?;
        if !replayed.report.damage.is_empty() {
            let outcome = repair_head_chunks(&dir.join("chunks_head"))?;
            if !matches!(outcome, Outcome::Sound) {
                // A file of the same number will be written, so nothing may refer to the old one.
                repairs.push(outcome);
                replayed = run(dir, &options, progress)?;
            }
        }
        if !replayed.report.damage.is_empty() || !replayed.report.torn.is_empty() {
            repair_logs(dir, &mut repairs)?;
        }
        let Replayed {
            mut head,
            aliases,
            report,
        } = replayed;
        head.index.adopt(&[], options.references_after);
        head.files.open_for_writing()?;
        let logs = Arc::new(Logs::open(dir, &options)?);
        logs.expire(aliases);
        logs.set_aside(repairs.len());
        if let SyncMode::Batch(every) = options.sync {
            head._flusher = Some(Flusher::start(Arc::clone(&logs), every)?);
        }
        head.logs = Some(logs);
        head.write_full(&head.index.all());
        if let Err(error) = head.write_full_out_of_order() {
            tracing::warn!(%error, "samples that came out of order stay in the log");
        }
        let report = OpenReport {
            replay: report,
            repairs,
        };
        Ok((head, report))
    }
}

impl Head {
    /// Writes chunks of what came out of order that a replay left in memory. Their samples are in the
    /// log, but a marker behind them may name a chunk that a crash kept from its file, and Prometheus
    /// takes it for written once any later one is.
    fn write_full_out_of_order(&self) -> Result<(), WriteError> {
        let mut logs = self.logs()?.lock()?;
        for entry in self.index.all() {
            let mut state = entry.state.lock();
            if !state.samples.has_full_out_of_order() {
                continue;
            }
            let samples = state.samples.out_of_order();
            samples.drop_written(&self.files);
            if !samples.has_full() {
                continue;
            }
            logs.write_buffer(entry.series, samples, &self.files);
        }
        logs.write()?;
        Ok(())
    }
}

/// Repairs both logs and the newest checkpoint.
fn repair_logs(dir: &Path, repairs: &mut Vec<Outcome>) -> Result<()> {
    let wal = LogDir::new(&dir.join("wal"));
    if let Some(checkpoint) = wal.last_checkpoint()? {
        repairs.push(repair(&LogDir::new(&checkpoint.path))?);
    }
    repairs.push(repair(&wal)?);
    repairs.push(repair(&LogDir::new(&dir.join("wbl")))?);
    repairs.retain(|outcome| !matches!(outcome, Outcome::Sound));
    Ok(())
}
