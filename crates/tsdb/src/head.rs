//! The head: the newest samples of all series, in memory, as a replay of the logs leaves them.
//!
//! A replay reads, in this order, the head chunk files, the newest checkpoint, the WAL's segments
//! and the WBL, and leaves a set of series that can be selected by matchers: completed chunks in
//! time order, one open chunk, and chunks of what came out of order. Nothing is written.
//!
//! Series are numbered from zero in the order of their first record. While replaying they are
//! spread over workers by that number, so that each is appended to by one thread only.
//!
//! Reading order: [`series`] (cutting chunks), [`out_of_order`], [`index`] (labels to series),
//! [`replay`] (filling all of it from a data directory).

pub mod index;
pub mod out_of_order;
pub mod replay;
pub mod series;

use std::collections::HashMap;

use model::{Labels, Matcher, TimeRange};

use crate::block::Intervals;
use crate::chunk::TimedChunk;
use crate::wal::{RefExemplar, RefMetadata};
use index::{HeadIndex, SeriesId};
pub use replay::{ReplayOptions, ReplayReport, replay};
use series::HeadSeries;

/// How long a chunk range is unless Prometheus was told otherwise: two hours, in milliseconds.
pub const CHUNK_RANGE: i64 = 2 * 60 * 60 * 1000;

/// Samples that a float chunk aims at.
pub const SAMPLES_PER_CHUNK: u16 = 120;

/// Queryable series of a head.
#[derive(Debug, Default)]
pub struct Head {
    series: Vec<HeadSeries>,
    index: HeadIndex,
    deleted: HashMap<SeriesId, Intervals>,
    exemplars: Vec<(SeriesId, RefExemplar)>,
    metadata: HashMap<SeriesId, RefMetadata>,
    time_range: Option<TimeRange>,
}

impl Head {
    /// The time between the first sample and the last, unless there is none.
    pub fn time_range(&self) -> Option<TimeRange> {
        self.time_range
    }

    /// Number of series that have samples.
    pub fn series_count(&self) -> usize {
        self.index.len()
    }

    /// Labels to series.
    pub fn index(&self) -> &HeadIndex {
        &self.index
    }

    /// The labels of a series.
    pub fn labels(&self, series: SeriesId) -> &Labels {
        self.index.labels(series)
    }

    /// The series that all matchers accept, in order of their labels.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<SeriesId> {
        let mut found = self.index.select(matchers);
        found.sort_unstable_by(|a, b| self.labels(*a).cmp(self.labels(*b)));
        found
    }

    /// The chunks of a series that overlap `range`, those of samples that came out of order
    /// included, in order of their first times.
    pub fn chunks(&self, series: SeriesId, range: TimeRange) -> Vec<TimedChunk> {
        self.series[series as usize].chunks(range)
    }

    /// True when a series has chunks that overlap `range`.
    pub fn has_chunks(&self, series: SeriesId, range: TimeRange) -> bool {
        self.series[series as usize].has_chunks(range)
    }

    /// What is deleted of a series; `None` when nothing is. It hides samples of the head only.
    pub fn deleted(&self, series: SeriesId) -> Option<&Intervals> {
        self.deleted.get(&series)
    }

    /// Exemplars, in the order in which they were appended.
    pub fn exemplars(&self) -> impl Iterator<Item = (SeriesId, &RefExemplar)> {
        self.exemplars.iter().map(|(series, e)| (*series, e))
    }

    /// The newest metadata of a series.
    pub fn metadata(&self, series: SeriesId) -> Option<&RefMetadata> {
        self.metadata.get(&series)
    }
}
