//! Forgetting what blocks hold: chunks, series without any, log segments, head chunk files.

use std::sync::Arc;

use super::Head;
use super::cut::OutOfOrderCut;
use super::logs::OpenLogs;
use crate::batch::WriteError;
use crate::error::{Error, Result};
use crate::wal::checkpoint::{self, CheckpointStats};
use crate::wal::dir::LogDir;
use crate::wal::repair::repair_segment;

/// What a truncation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Truncated {
    /// Series that are gone.
    pub series: usize,
    /// What the checkpoint took over, when one was written.
    pub checkpoint: Option<CheckpointStats>,
}

impl Head {
    /// Takes no more samples in order before `before`, and returns once none is being taken: so a block
    /// of them can be cut though somebody may append. Late ones come out of order.
    ///
    /// # Errors
    /// As [`Head::append`].
    pub fn refuse_in_order_before(&self, before: i64) -> Result<(), WriteError> {
        let logs = self.logs()?.lock()?;
        self.bounds.raise_min_valid(before);
        drop(logs);
        Ok(())
    }

    /// Forgets samples in order before `before`, which blocks hold by now: chunks that end before
    /// it, series that have no other, and the parts of logs and head chunk files that nothing else
    /// needs. Samples before it are refused from here on. Waits for those who hold selected series
    /// from before, as long as [`HeadOptions::reader_patience`](super::HeadOptions::reader_patience)
    /// says; so whoever calls this must not hold any.
    ///
    /// # Errors
    /// When the log cannot be shortened. Memory is freed all the same; a further call goes on.
    pub fn truncate(&self, before: i64) -> Result<Truncated, WriteError> {
        let _one_at_a_time = self.readers.truncating.lock();
        let logs = self.logs()?;
        self.bounds.raise_min_valid(before);
        self.readers.wait();
        let mut min = None;
        for entry in self.index.all() {
            let mut state = entry.state.lock();
            state.samples.drop_before(before);
            let first = state.samples.in_order_span().map(|(first, _)| first);
            min = min.into_iter().chain(first).min();
        }
        let mut open = logs.lock()?;
        let series = self.forget_empty(&mut open);
        self.bounds
            .in_order
            .cut_before(min.unwrap_or(i64::MAX).max(before));
        // The open segment is never part of a checkpoint.
        open.wal.next_segment()?;
        let expiring = open.expiring.clone();
        let dir = open.dir().to_owned();
        drop(open);
        self.remove_chunk_files()?;

        let log = LogDir::new(&dir.join("wal"));
        let Some(to) = checkpoint_end(&log)? else {
            let checkpoint = None;
            return Ok(Truncated { series, checkpoint });
        };
        let is_needed = |series: u64| {
            expiring.get(&series).is_some_and(|last| *last > to)
                || (self.lookup.references())
                    .get(crate::batch::SeriesRef(series))
                    .is_some()
        };
        let write = || checkpoint::write(&log, to, is_needed, before, self.options.wal);
        let stats = match write() {
            // Damage must not let the log grow for ever.
            Err(error @ Error::Corrupt { .. }) => {
                tracing::warn!(%error, "damage in the log is set aside");
                repair_until(&log, to)?;
                logs.set_aside(1);
                write()?
            }
            result => result?,
        };
        checkpoint::truncate(&log)?;
        logs.lock()?.expiring.retain(|_, last| *last > to);
        let checkpoint = Some(stats);
        Ok(Truncated { series, checkpoint })
    }

    /// Forgets what `cut` holds, which blocks hold by now, as [`Head::truncate`] does.
    ///
    /// # Errors
    /// As [`Head::truncate`].
    pub fn finish_out_of_order_cut(&self, cut: &OutOfOrderCut) -> Result<Truncated, WriteError> {
        let _one_at_a_time = self.readers.truncating.lock();
        let logs = self.logs()?;
        self.readers.wait();
        let mut open = logs.lock()?;
        let mut span = None;
        for entry in self.index.all() {
            let mut state = entry.state.lock();
            state.samples.drop_out_of_order(cut.chunk);
            let spans = span.into_iter().chain(state.samples.out_of_order_span());
            span = spans.reduce(|a: (i64, i64), b| (a.0.min(b.0), a.1.max(b.1)));
        }
        self.bounds.out_of_order.set(span);
        let series = self.forget_empty(&mut open);
        let dir = open.dir().join("wbl");
        drop(open);
        if let Some(last) = cut.segment {
            for segment in LogDir::new(&dir).segments()? {
                if segment.index <= last {
                    let removed = std::fs::remove_file(&segment.path);
                    removed.map_err(|e| Error::io("remove", &segment.path, e))?;
                }
            }
        }
        self.remove_chunk_files()?;
        let checkpoint = None;
        Ok(Truncated { series, checkpoint })
    }

    /// Forgets series without samples; returns how many.
    fn forget_empty(&self, logs: &mut OpenLogs) -> usize {
        let gone = self.index.remove(|entry| {
            let mut state = entry.state.lock();
            state.is_dropped = state.samples.is_empty();
            state.is_dropped
        });
        let segment = logs.wal.segment();
        let mut deleted = self.deleted.write();
        for entry in &gone {
            self.lookup.remove(entry);
            deleted.remove(&entry.series);
            logs.expiring.insert(entry.series.0, segment);
        }
        drop(deleted);
        self.metadata.lock().retain(|m| Arc::strong_count(m) > 1);
        gone.len()
    }

    /// Removes head chunk files that no series needs.
    fn remove_chunk_files(&self) -> Result<()> {
        // A chunk that is in a file already must be known to its series.
        let _nothing_on_its_way = self.writing_full.lock();
        let next = self.files.end_file()?;
        let all = self.index.all();
        let needed = all
            .iter()
            .filter_map(|e| e.state.lock().samples.first_file());
        self.files.remove_before(needed.fold(next, u32::min))
    }
}

/// Sets aside what is damaged in the newest checkpoint and in segments up to `to`.
fn repair_until(log: &LogDir, to: u32) -> Result<()> {
    let mut segments = log.segments()?;
    segments.retain(|segment| segment.index <= to);
    if let Some(checkpoint) = log.last_checkpoint()? {
        segments.extend(LogDir::new(&checkpoint.path).segments()?);
    }
    for segment in &segments {
        repair_segment(segment, log.path())?;
    }
    Ok(())
}

/// The last segment that the next checkpoint should cover, as Prometheus chooses: two thirds of all.
fn checkpoint_end(log: &LogDir) -> Result<Option<u32>> {
    let segments = log.segments()?;
    let [first, .., last] = &segments[..] else {
        return Ok(None);
    };
    let closed = last.index - 1;
    let to = first.index + (closed - first.index) * 2 / 3;
    Ok((to > first.index).then_some(to))
}

#[cfg(test)]
mod tests;
