//! One block from its spill.

use std::collections::BTreeSet;
use std::path::Path;

use model::{Labels, TimeRange};
use tsdb::Result;
use tsdb::block::{BlockWriter, Meta, TMP_SUFFIX};
use ulid::Ulid;

use super::dictionary::SeriesId;
use super::journal::remove_dir;
use super::spill::SpillReader;
use super::track::join;

/// The labels of all series of the input, and their order.
#[derive(Debug)]
pub(super) struct SortedSeries {
    labels: Vec<Labels>,
    /// Position of each series in the order of labels.
    ranks: Vec<u32>,
}

impl SortedSeries {
    pub(super) fn new(labels: Vec<Labels>) -> Self {
        let mut order: Vec<u32> = (0..labels.len() as u32).collect();
        order.sort_by(|a, b| labels[*a as usize].cmp(&labels[*b as usize]));
        let mut ranks = vec![0; labels.len()];
        for (rank, id) in order.into_iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        Self { labels, ranks }
    }

    fn labels(&self, id: SeriesId) -> &Labels {
        &self.labels[id as usize]
    }
}

/// What was made.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) meta: Meta,
    /// Samples left out because their series had one at their time.
    pub(super) dropped: u64,
}

/// Makes the block `ulid` in the directory `output` of the samples in the file `spill`.
///
/// Its range is that of its samples, as with promtool.
pub(super) fn block(
    output: &Path,
    ulid: Ulid,
    spill: &Path,
    series: &SortedSeries,
) -> Result<Built> {
    let samples = SpillReader::open(spill)?;
    let mut ids: Vec<SeriesId> = samples.series().collect();
    if let Some(id) = ids.iter().find(|id| **id as usize >= series.labels.len()) {
        let what = format!("{} names series {id}, which has no labels", spill.display());
        return Err(tsdb::Error::Invalid(what));
    }
    ids.sort_unstable_by_key(|id| series.ranks[*id as usize]);

    // A run that was killed may have left it.
    remove_dir(&output.join(format!("{ulid}{TMP_SUFFIX}")))?;
    let mut writer = BlockWriter::create(output, ulid)?;
    let symbols: BTreeSet<&str> = ids
        .iter()
        .flat_map(|id| series.labels(*id))
        .flat_map(|(name, value)| [name, value])
        .collect();
    for symbol in symbols {
        writer.add_symbol(symbol)?;
    }
    let mut range = TimeRange::new(i64::MAX, i64::MIN);
    let mut dropped = 0;
    for id in ids {
        let (chunks, dropped_here) = join(samples.chunks(id)?);
        dropped += dropped_here;
        if let (Some(first), Some(last)) = (chunks.first(), chunks.last()) {
            range.min = range.min.min(first.min_time);
            range.max = range.max.max(last.max_time + 1);
        }
        writer.add_series(series.labels(id), &chunks)?;
    }
    let meta = writer
        .finish(Meta::new(ulid, range))?
        .ok_or_else(|| tsdb::Error::Invalid(format!("{} is empty", spill.display())))?;
    Ok(Built { meta, dropped })
}
