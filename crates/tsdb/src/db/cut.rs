//! Cutting blocks from a head.

use std::collections::HashSet;
use std::path::Path;

use model::{Labels, TimeRange};

use super::selection::{keep_samples, keep_undeleted};
use crate::block::{BlockWriter, Intervals, Meta};
use crate::chunk::TimedChunk;
use crate::error::Result;
use crate::head::CutSeries;
use crate::merge::merge_chunks;

/// Writes a block of the samples that series have in the range of `meta`, in the directory `dir`; no
/// block when there are none. `cut` gives the series in order of their labels, each time it is
/// called: once for the strings in their labels, once for their chunks.
///
/// Chunks that lie within the range and overlap no other are copied, the rest is encoded anew.
///
/// # Errors
/// What `cut` fails with, [`crate::Error::Io`]. Nothing is left in `dir` then.
pub(super) fn write_block<I>(
    dir: &Path,
    meta: Meta,
    cut: impl Fn(TimeRange) -> I,
) -> Result<Option<Meta>>
where
    I: Iterator<Item = Result<CutSeries>>,
{
    let range = meta.range();
    let mut writer = BlockWriter::create(dir, meta.ulid)?;
    for symbol in symbols(cut(range))? {
        writer.add_symbol(&symbol)?;
    }
    for series in cut(range) {
        let series = series?;
        let chunks = within(series.chunks, range, series.deleted.as_deref())?;
        writer.add_series(&series.labels, &chunks)?;
    }
    writer.finish(meta)
}

/// The strings that labels consist of, sorted.
fn symbols(series: impl Iterator<Item = Result<CutSeries>>) -> Result<Vec<Box<str>>> {
    let mut symbols: HashSet<Box<str>, ahash::RandomState> = HashSet::default();
    let mut add = |labels: &Labels| {
        for text in labels.iter().flat_map(<[&str; 2]>::from) {
            if !symbols.contains(text) {
                symbols.insert(text.into());
            }
        }
    };
    for one in series {
        add(&one?.labels);
    }
    let mut symbols: Vec<_> = symbols.into_iter().collect();
    symbols.sort_unstable();
    Ok(symbols)
}

/// What chunks have in a range and is not deleted, without overlaps.
fn within(
    chunks: Vec<TimedChunk>,
    range: TimeRange,
    deleted: Option<&Intervals>,
) -> Result<Vec<TimedChunk>> {
    let mut inside = Vec::with_capacity(chunks.len());
    for timed in merge_chunks(chunks)? {
        if range.contains(timed.min_time) && range.contains(timed.max_time) {
            keep_undeleted(timed, deleted, &mut inside)?;
        } else if TimeRange::closed(timed.min_time, timed.max_time).overlaps(range) {
            let is_left = |t| range.contains(t) && !deleted.is_some_and(|d| d.contains(t));
            keep_samples(&timed, is_left, &mut inside)?;
        }
    }
    Ok(inside)
}
