//! Reading a head: series by matchers, label names and values, exemplars, metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::stop::{self, Pace, Stopped};
use model::{Exemplar, Labels, Matcher, Metadata, Stop, TimeRange};

use super::chunk_files::ChunkFiles;
use super::entry::Entry;
use super::readers::Pin;
use super::{Head, LabelCounts};
use crate::batch::SeriesRef;
use crate::block::Intervals;
use crate::chunk::TimedChunk;
use crate::error::{Error, Result};

/// A series that was selected. Its chunks are read when they are asked for, and hold what was
/// appended by then; truncation waits until nobody holds the series any longer, but not for ever.
#[derive(Debug, Clone)]
pub struct SelectedSeries {
    entry: Arc<Entry>,
    deleted: Option<Arc<Intervals>>,
    shared: Arc<Shared>,
}

/// What all series of one selection have in common.
#[derive(Debug)]
struct Shared {
    files: Arc<ChunkFiles>,
    pin: Pin,
}

impl SelectedSeries {
    /// The series' number in its head.
    pub fn series(&self) -> SeriesRef {
        self.entry.series
    }

    /// The series' labels.
    pub fn labels(&self) -> &Labels {
        &self.entry.labels
    }

    /// The chunks that overlap `range`, those of samples that came out of order included, in order
    /// of their first times.
    ///
    /// # Errors
    /// When a head chunk file cannot be read; [`Error::TooSlow`] when the head no longer waited for
    /// this reader.
    pub fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>> {
        let state = self.entry.state.lock();
        if self.shared.pin.is_revoked() {
            return Err(Error::TooSlow);
        }
        state.samples.chunks(range, &self.shared.files)
    }

    /// What is deleted of the series; `None` when nothing is. It hides samples of the head only.
    pub fn deleted(&self) -> Option<&Intervals> {
        self.deleted.as_deref()
    }

    /// The newest metadata.
    pub fn metadata(&self) -> Option<Arc<Metadata>> {
        self.entry.state.lock().metadata.clone()
    }
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series' labels.
    pub labels: Labels,
    /// In the order in which they came, which is that of their times.
    pub exemplars: Vec<Exemplar>,
}

impl Head {
    /// The series that all matchers accept and that have chunks in `range`, in order of their
    /// labels.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SelectedSeries> {
        self.select_until(matchers, range, &Stop::never())
            .expect("nobody asks for a stop")
    }

    /// As [`Head::select`], for who may `stop` waiting for it.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn select_until(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        stop: &Stop,
    ) -> Result<Vec<SelectedSeries>, Stopped> {
        /// What looking at the chunks of a series counts for.
        const SERIES_WORK: usize = 64;
        let overlaps = self
            .time_range()
            .is_some_and(|covered| covered.overlaps(range));
        if !overlaps {
            return Ok(Vec::new());
        }
        let pace = Pace::new(stop);
        let (pin, mut found) = loop {
            let pin = self.readers.pin();
            let mut found = self.index.select_at_pace(matchers, &pace)?;
            found.retain(|entry| {
                pace.goes_on(SERIES_WORK) && entry.state.lock().samples.has_chunks(range)
            });
            pace.finish()?;
            // Otherwise what was forgotten meanwhile would be missing.
            if !pin.is_revoked() {
                break (pin, found);
            }
        };
        let files = Arc::clone(&self.files);
        let shared = Arc::new(Shared { files, pin });
        stop::sort_by(&mut found, &pace, |a, b| a.labels.cmp(&b.labels))?;
        let deleted = self.deleted.read();
        let found = found.into_iter();
        Ok(found
            .map(|entry| SelectedSeries {
                deleted: deleted.get(&entry.series).cloned(),
                entry,
                shared: Arc::clone(&shared),
            })
            .collect())
    }

    /// The label names of the series that all matchers accept, ascending.
    pub fn label_names(&self, matchers: &[Matcher]) -> Vec<String> {
        if matchers.is_empty() {
            return self.index.label_names();
        }
        let found = self.index.select(matchers);
        let names = found.iter().flat_map(|e| e.labels.iter());
        let names: BTreeSet<&str> = names.map(|(name, _)| name).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The values that the label `name` has in the series that all matchers accept, ascending.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> Vec<String> {
        if matchers.is_empty() {
            let values = self.index.label_values(name);
            return values.iter().map(|value| value.to_string()).collect();
        }
        let found = self.index.select(matchers);
        let values: BTreeSet<&str> = found.iter().filter_map(|e| e.labels.get(name)).collect();
        values.into_iter().map(str::to_owned).collect()
    }

    /// How many series have each value of each label, in no order.
    pub fn label_counts(&self) -> Vec<LabelCounts> {
        self.index.counts()
    }

    /// Number of chunks of all series, open ones included.
    pub fn chunk_count(&self) -> usize {
        let all = self.index.all();
        all.iter()
            .map(|e| e.state.lock().samples.chunk_count())
            .sum()
    }

    /// Exemplars at times in `range` of the series that some of the selectors select, by the labels
    /// of their series.
    pub fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for (entry, exemplar) in self.exemplars.lock().iter() {
            let is_meant = range.contains(exemplar.t)
                && selectors
                    .iter()
                    .any(|matchers| entry.labels.match_all(matchers));
            if !is_meant {
                continue;
            }
            match found.get_mut(&entry.labels) {
                Some(exemplars) => exemplars.push(exemplar.clone()),
                None => drop(found.insert(entry.labels.clone(), vec![exemplar.clone()])),
            }
        }
        let found = found.into_iter();
        found
            .map(|(labels, exemplars)| SeriesExemplars { labels, exemplars })
            .collect()
    }

    /// The metadata of all series that have some: metric name and metadata, each pair once, in order
    /// of names.
    pub fn metadata(&self) -> Vec<(String, Arc<Metadata>)> {
        let mut found: BTreeMap<String, Vec<Arc<Metadata>>> = BTreeMap::new();
        for entry in self.index.all() {
            let Some(metadata) = entry.state.lock().metadata.clone() else {
                continue;
            };
            let name = entry.labels.metric_name();
            match found.get_mut(name) {
                Some(all) if all.contains(&metadata) => {}
                Some(all) => all.push(metadata),
                None => drop(found.insert(name.to_owned(), vec![metadata])),
            }
        }
        let found = found.into_iter();
        found
            .flat_map(|(name, all)| all.into_iter().map(move |m| (name.clone(), m)))
            .collect()
    }
}
