//! Checking a block in depth, beyond what opening and reading it notice.

use std::fmt;
use std::path::{Path, PathBuf};

use model::Labels;

use super::segments::HEADER_LEN;
use super::{Block, META_FILE, TOMBSTONES_FILE};
use crate::chunk::{Aggregate, Chunk, ChunkMeta, Encoding, aggregate};
use crate::error::Error;
use crate::index::{SeriesEntry, SeriesRef};

/// Problems that are listed; what follows is not looked at.
const PROBLEMS_MAX: usize = 1000;

/// Something about a block that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in the file, if at one place.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Block {
    /// Reads everything and returns what is wrong with it, at most a thousand problems: damage,
    /// series or labels out of order, chunks out of order, overlapping, outside of the block's range
    /// or not holding what the index says, postings that do not match the series, bytes that belong
    /// to no chunk, counts that differ from `meta.json`, tombstones of unknown series.
    pub fn verify(&self) -> Vec<Problem> {
        let mut check = Check {
            block: self,
            problems: Vec::new(),
            found: Found {
                chunk_bytes: vec![0; self.chunks.segments().len()],
                ..Found::default()
            },
        };
        let walked = check.series();
        check.segments(walked);
        if walked {
            check.postings();
            check.stats();
            check.tombstones();
        }
        check.problems.truncate(PROBLEMS_MAX);
        check.problems
    }
}

/// What the series of a block add up to.
#[derive(Default)]
struct Found {
    /// In ascending order.
    series: Vec<SeriesRef>,
    labels: u64,
    chunks: u64,
    samples: u64,
    floats: u64,
    histograms: u64,
    /// A chunk holds aggregates.
    downsampled: bool,
    /// Bytes of chunks in each segment.
    chunk_bytes: Vec<u64>,
    /// A chunk could not be read, so that counts differ anyway.
    chunk_lost: bool,
}

struct Check<'a> {
    block: &'a Block,
    problems: Vec<Problem>,
    found: Found,
}

impl Check<'_> {
    fn add(&mut self, file: &Path, offset: Option<u64>, what: impl Into<String>) {
        self.problems.push(Problem {
            file: file.to_owned(),
            offset,
            what: what.into(),
        });
    }

    fn index_problem(&mut self, what: impl Into<String>) {
        let block = self.block;
        self.add(block.index.source().path(), None, what);
    }

    fn error(&mut self, error: &Error) {
        match error {
            Error::Corrupt {
                file,
                offset,
                expected,
            } => self.add(file, Some(*offset), format!("expected {expected}")),
            Error::Io { path, source, .. } => self.add(path, None, format!("{error}: {source}")),
            other => self.index_problem(other.to_string()),
        }
    }

    fn full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Checks all series and their chunks; false when not all could be walked.
    fn series(&mut self) -> bool {
        let index = &self.block.index;
        let mut walk = index.walk();
        let mut entry = SeriesEntry::default();
        let mut last: Option<Labels> = None;
        let mut last_chunk = None;
        while !self.full() {
            let reference = match walk.next_into(&mut entry) {
                Ok(Some(reference)) => reference,
                Ok(None) => return true,
                Err(e) => {
                    self.error(&e);
                    return false;
                }
            };
            self.found.series.push(reference);
            self.found.labels += entry.labels.len() as u64;
            match index.labels(&entry) {
                Ok(labels) => {
                    self.labels(&entry, &labels);
                    if last.as_ref().is_some_and(|l| *l >= labels) {
                        self.index_problem(format!("series {labels} is out of order"));
                    }
                    self.chunks(&labels, &entry.chunks, &mut last_chunk);
                    last = Some(labels);
                }
                Err(e) => self.error(&e),
            }
        }
        false
    }

    fn labels(&mut self, entry: &SeriesEntry, labels: &Labels) {
        if labels.is_empty() {
            self.index_problem("a series without labels");
        }
        let mut written = Vec::with_capacity(entry.labels.len());
        for &(name, _) in &entry.labels {
            match self.block.index.with_symbol(name, str::to_owned) {
                Ok(name) => written.push(name),
                Err(e) => return self.error(&e),
            }
        }
        if !written.is_sorted_by(|a, b| a < b) {
            self.index_problem(format!("labels of {labels} are out of order or repeated"));
        } else if labels.len() != entry.labels.len() {
            self.index_problem(format!("{labels} has a label with an empty value"));
        }
    }

    fn chunks(&mut self, labels: &Labels, metas: &[ChunkMeta], last_chunk: &mut Option<u64>) {
        if metas.is_empty() {
            self.index_problem(format!("series {labels} has no chunks"));
        }
        let range = self.block.meta.range();
        let mut end = None;
        for meta in metas {
            let span = format!("chunk {} to {} of {labels}", meta.min_time, meta.max_time);
            if end.is_some_and(|end| meta.min_time <= end) {
                self.index_problem(format!("{span} overlaps or precedes the one before"));
            }
            if meta.min_time < range.min || meta.max_time >= range.max {
                self.index_problem(format!("{span} is outside of the block's range {range}"));
            }
            if last_chunk.is_some_and(|last| meta.reference <= last) {
                self.index_problem(format!("{span} lies before the chunk listed before it"));
            }
            *last_chunk = Some(meta.reference);
            end = Some(meta.max_time);
            self.found.chunks += 1;
            match self.block.chunks.locate(meta.reference) {
                Ok((chunk, len)) => {
                    self.found.chunk_bytes[(meta.reference >> 32) as usize] += len;
                    self.chunk(meta, &chunk, &span);
                }
                Err(e) => {
                    self.found.chunk_lost = true;
                    self.error(&e);
                }
            }
        }
    }

    /// Decodes a chunk and compares it with what the index says.
    fn chunk(&mut self, meta: &ChunkMeta, chunk: &Chunk, span: &str) {
        let result = match chunk.encoding {
            Encoding::Aggregate => Aggregate::ALL.iter().try_for_each(|&kind| {
                match aggregate::get(&chunk.data, kind).map_err(|d| d.to_string())? {
                    // Old versions of Thanos wrote aggregates of no samples.
                    Some(inner) if inner.sample_count() == Ok(0) => Ok(()),
                    Some(inner) => check_samples(&inner, meta, kind == Aggregate::Counter),
                    None => Ok(()),
                }
            }),
            _ => check_samples(chunk, meta, false),
        };
        let counted = chunk.sample_count().map_err(|d| d.to_string());
        match result.and(counted) {
            Ok(count) => {
                let count = u64::from(count);
                self.found.samples += count;
                match chunk.encoding {
                    Encoding::Xor => self.found.floats += count,
                    Encoding::Histogram | Encoding::FloatHistogram => {
                        self.found.histograms += count;
                    }
                    Encoding::Aggregate => self.found.downsampled = true,
                    _ => {}
                }
            }
            Err(what) => {
                self.found.chunk_lost = true;
                if let Some(segment) = self.block.chunks.segment_of(meta.reference) {
                    let at = meta.reference & 0xffff_ffff;
                    self.add(segment.path(), Some(at), format!("{span}: {what}"));
                }
            }
        }
    }

    /// Every byte of a segment belongs to a chunk that a series has.
    fn segments(&mut self, walked: bool) {
        if !walked || self.found.chunk_lost {
            return;
        }
        let block = self.block;
        for (i, segment) in block.chunks.segments().iter().enumerate() {
            let (found, there) = (self.found.chunk_bytes[i], segment.size() - HEADER_LEN);
            if found != there {
                self.add(
                    segment.path(),
                    None,
                    format!("{there} bytes of chunks, where series have {found}"),
                );
            }
        }
    }

    /// Postings and series say the same: each entry of a list is a series with that label, and
    /// there are as many entries as labels.
    fn postings(&mut self) {
        let index = &self.block.index;
        let mut entries = 0;
        for name in index.label_names() {
            if let Err(e) = self.postings_of(name, &mut entries) {
                return self.error(&e);
            }
            if self.full() {
                return;
            }
        }
        if entries != self.found.labels {
            let labels = self.found.labels;
            self.index_problem(format!(
                "{entries} postings, where series have {labels} labels"
            ));
        }
        match index.all_postings() {
            Ok(all) => {
                if !all.eq(self.found.series.iter().copied()) {
                    self.index_problem("the postings of all series are not all series");
                }
            }
            Err(e) => self.error(&e),
        }
    }

    fn postings_of(&mut self, name: &str, entries: &mut u64) -> crate::Result<()> {
        let index = &self.block.index;
        let mut entry = SeriesEntry::default();
        let mut values = index.label_values(name, "")?;
        while let Some(found) = values.next()? {
            for reference in index.postings(name, found.value)? {
                *entries += 1;
                let has_label = self.found.series.binary_search(&reference).is_ok() && {
                    index.series(reference, &mut entry)?;
                    index.labels(&entry)?.get(name) == Some(found.value)
                };
                if !has_label {
                    self.index_problem(format!(
                        "series {} is in the postings of {name}={:?} and does not have it",
                        reference.0, found.value
                    ));
                }
                if self.full() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn stats(&mut self) {
        if self.found.chunk_lost {
            return;
        }
        let (stats, found) = (&self.block.meta.stats, &self.found);
        // Versions before native histograms do not count by kind, and Thanos leaves in a downsampled
        // block the counts by kind of the one that it was made of.
        let thanos = self.block.meta.thanos.as_ref();
        let downsampled = found.downsampled || thanos.is_some_and(|t| t.downsample.resolution > 0);
        let kinds_counted =
            !downsampled && stats.num_float_samples + stats.num_histogram_samples > 0;
        let mut counts = vec![
            ("numSeries", stats.num_series, found.series.len() as u64),
            ("numChunks", stats.num_chunks, found.chunks),
            ("numSamples", stats.num_samples, found.samples),
        ];
        if kinds_counted {
            counts.push(("numFloatSamples", stats.num_float_samples, found.floats));
            counts.push((
                "numHistogramSamples",
                stats.num_histogram_samples,
                found.histograms,
            ));
        }
        for (name, said, counted) in counts {
            if said != counted {
                let what = format!("{name} is {said}, where the block has {counted}");
                self.add(Path::new(META_FILE), None, what);
            }
        }
    }

    fn tombstones(&mut self) {
        let block = self.block;
        for (reference, _) in block.tombstones.iter() {
            let known = u32::try_from(reference)
                .is_ok_and(|r| self.found.series.binary_search(&SeriesRef(r)).is_ok());
            if !known {
                let what = format!("a tombstone of series {reference}, which the index lacks");
                self.add(Path::new(TOMBSTONES_FILE), None, what);
            }
        }
    }
}

/// Decodes all samples: their times ascend from the meta's first to its last. The counter of an
/// aggregate chunk has the raw values at both ends added, which may repeat the time beside them.
fn check_samples(chunk: &Chunk, meta: &ChunkMeta, is_counter: bool) -> Result<(), String> {
    let count = chunk.sample_count().map_err(|d| d.to_string())?;
    let (mut first, mut last) = (None, None);
    let mut decoded = 0u16;
    for sample in chunk.samples() {
        let t = sample.map_err(|d| d.to_string())?.t;
        if last.is_some_and(|last| t < last || (t == last && !is_counter)) {
            return Err(format!("sample at {t} is out of order"));
        }
        decoded += 1;
        first = first.or(Some(t));
        last = Some(t);
    }
    if decoded != count {
        return Err(format!("{decoded} samples, where {count} are announced"));
    }
    let (Some(first), Some(last)) = (first, last) else {
        return Err("no samples".to_owned());
    };
    let starts = first == meta.min_time || (is_counter && first < meta.min_time);
    match starts && last == meta.max_time {
        true => Ok(()),
        false => Err(format!("samples are from {first} to {last}")),
    }
}
