//! Checkpoints: what is still needed of a log's oldest segments, in a log of its own.
//!
//! A checkpoint is written beside the segments, as `checkpoint.N.tmp` until it is whole, and then
//! stands for segments up to `N` and for the checkpoint before it; all of those may go.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::dir::LogDir;
use super::record::{self, Changes, RecordType, RefMetadata};
use super::writer::{Writer, WriterOptions};
use crate::durable::sync_dir;
use crate::error::{Corruption, Error, Result};

/// Bytes of records that are gathered before they are written.
const BATCH_SIZE: usize = 1024 * 1024;

/// What a checkpoint took over and left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckpointStats {
    /// Series, samples, tombstones, exemplars and metadata read.
    pub read: u64,
    /// Those written.
    pub kept: u64,
}

/// Writes the checkpoint that covers segments up to `to`, on top of the checkpoint before it.
///
/// Kept are series for which `keep` is true and the newest metadata of those, samples and exemplars
/// from `min_time` on, and tombstones that reach to `min_time`. Records of unknown types are
/// dropped, and changes become plain samples.
///
/// # Errors
/// [`Error::Corrupt`] when a segment is damaged: repair the log first. [`Error::Io`] when a file
/// cannot be read or written. The log is unchanged then, but for an unfinished directory that the
/// next attempt replaces.
pub fn write(
    log: &LogDir,
    to: u32,
    keep: impl Fn(u64) -> bool,
    min_time: i64,
    options: WriterOptions,
) -> Result<CheckpointStats> {
    let path = log.checkpoint_path(to);
    let unfinished = path.with_extension(format!("{to:08}.tmp"));
    match fs::remove_dir_all(&unfinished) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &unfinished, e));
        }
        _ => {}
    }
    let mut filter = Filter {
        keep,
        min_time,
        out: Writer::open(&unfinished, options)?,
        batch: Vec::new(),
        batch_size: 0,
        metadata: BTreeMap::new(),
        changes: Changes::default(),
        stats: CheckpointStats::default(),
    };
    let before = log.last_checkpoint()?;
    let mut sources = match &before {
        Some(checkpoint) => LogDir::new(&checkpoint.path).segments()?,
        None => Vec::new(),
    };
    let from = before.map_or(0, |checkpoint| checkpoint.index + 1);
    sources.extend(
        log.segments()?
            .into_iter()
            .filter(|s| (from..=to).contains(&s.index)),
    );
    for segment in &sources {
        filter.changes.begin_segment();
        segment.for_each_record(|record| filter.record(record, &segment.path))?;
    }
    let stats = filter.finish()?;
    let parent = sync_dir(&unfinished)
        .and_then(|()| fs::rename(&unfinished, &path))
        .and_then(|()| sync_dir(log.path()));
    parent.map_err(|e| Error::io("rename", &unfinished, e))?;
    Ok(stats)
}

/// Removes what the newest checkpoint stands for: segments up to its number, checkpoints before it.
///
/// # Errors
/// [`Error::Io`] when a file cannot be removed; calling again goes on.
pub fn truncate(log: &LogDir) -> Result<()> {
    let mut checkpoints = log.checkpoints()?;
    let Some(newest) = checkpoints.pop() else {
        return Ok(());
    };
    for segment in log.segments()? {
        if segment.index <= newest.index {
            fs::remove_file(&segment.path).map_err(|e| Error::io("remove", &segment.path, e))?;
        }
    }
    for old in checkpoints {
        fs::remove_dir_all(&old.path).map_err(|e| Error::io("remove", &old.path, e))?;
    }
    Ok(())
}

struct Filter<K> {
    keep: K,
    min_time: i64,
    out: Writer,
    batch: Vec<Vec<u8>>,
    batch_size: usize,
    metadata: BTreeMap<u64, RefMetadata>,
    changes: Changes,
    stats: CheckpointStats,
}

impl<K: Fn(u64) -> bool> Filter<K> {
    fn record(&mut self, record: &[u8], path: &Path) -> Result<()> {
        self.filter(record)
            .map_err(|c: Corruption| c.in_file(path))?;
        if self.batch_size >= BATCH_SIZE {
            self.flush()?;
        }
        Ok(())
    }

    fn filter(&mut self, record: &[u8]) -> Result<(), Corruption> {
        use RecordType as T;
        let min_time = self.min_time;
        let mut out = Vec::new();
        match RecordType::of(record) {
            Some(T::Series) => {
                let mut rows = Vec::new();
                record::decode_series(record, &mut rows)?;
                self.retain(&mut rows, |keep, s| keep(s.series));
                if !rows.is_empty() {
                    record::encode_series(&rows, &mut out);
                }
            }
            Some(sample_type @ (T::Samples | T::SamplesV2 | T::Changes)) => {
                let mut rows = Vec::new();
                match sample_type {
                    T::Changes => drop(self.changes.decode(record, &mut rows)?),
                    _ => record::decode_samples(record, &mut rows)?,
                }
                self.retain(&mut rows, |_, s| s.t >= min_time);
                if !rows.is_empty() {
                    record::encode_samples(&rows, &mut out);
                }
            }
            Some(T::Tombstones) => {
                let mut rows = Vec::new();
                record::decode_tombstones(record, &mut rows)?;
                self.retain(&mut rows, |_, s| s.max >= min_time);
                if !rows.is_empty() {
                    record::encode_tombstones(&rows, &mut out);
                }
            }
            Some(T::Exemplars) => {
                let mut rows = Vec::new();
                record::decode_exemplars(record, &mut rows)?;
                self.retain(&mut rows, |_, s| s.t >= min_time);
                if !rows.is_empty() {
                    record::encode_exemplars(&rows, &mut out);
                }
            }
            Some(T::Histograms | T::CustomHistograms | T::HistogramsV2) => {
                let mut rows = Vec::new();
                record::decode_histograms(record, &mut rows)?;
                self.retain(&mut rows, |_, s| s.t >= min_time);
                for encoded in record::encode_histograms(&rows) {
                    self.push(encoded);
                }
            }
            Some(T::FloatHistograms | T::CustomFloatHistograms | T::FloatHistogramsV2) => {
                let mut rows = Vec::new();
                record::decode_float_histograms(record, &mut rows)?;
                self.retain(&mut rows, |_, s| s.t >= min_time);
                for encoded in record::encode_float_histograms(&rows) {
                    self.push(encoded);
                }
            }
            Some(T::Metadata) => {
                let mut rows = Vec::new();
                record::decode_metadata(record, &mut rows)?;
                self.stats.read += rows.len() as u64;
                rows.retain(|m| (self.keep)(m.series));
                self.metadata
                    .extend(rows.into_iter().map(|m| (m.series, m)));
            }
            Some(T::MmapMarkers | T::MinValidTime | T::Filler) | None => {}
        }
        if !out.is_empty() {
            self.push(out);
        }
        Ok(())
    }

    fn retain<R>(&mut self, rows: &mut Vec<R>, f: impl Fn(&K, &R) -> bool) {
        self.stats.read += rows.len() as u64;
        rows.retain(|row| f(&self.keep, row));
        self.stats.kept += rows.len() as u64;
    }

    fn push(&mut self, record: Vec<u8>) {
        self.batch_size += record.len();
        self.batch.push(record);
    }

    fn flush(&mut self) -> Result<()> {
        self.batch_size = 0;
        let batch = std::mem::take(&mut self.batch);
        self.out.log(&batch)
    }

    fn finish(mut self) -> Result<CheckpointStats> {
        if !self.metadata.is_empty() {
            let metadata: Vec<_> = std::mem::take(&mut self.metadata).into_values().collect();
            self.stats.kept += metadata.len() as u64;
            let mut record = Vec::new();
            record::encode_metadata(&metadata, &mut record);
            self.push(record);
        }
        self.flush()?;
        self.out.sync()?;
        Ok(self.stats)
    }
}

#[cfg(test)]
mod tests;
