//! Putting together what a replay found.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::{Exemplar, Labels, Metadata, MetricType};

use super::{ReplayReport, Replayed, SeriesId};
use crate::batch::SeriesRef;
use crate::block::Intervals;
use crate::head::chunk_files::ChunkFiles;
use crate::head::entry::{Entry, State};
use crate::head::series::HeadSeries;
use crate::head::{Head, HeadOptions};
use crate::wal::references::References;
use crate::wal::{RefExemplar, RefMetadata};

/// What a replay found, by the numbers of series.
pub(super) struct Parts {
    pub(super) labels: Vec<Labels>,
    pub(super) samples: Vec<HeadSeries>,
    pub(super) first_references: Vec<u64>,
    pub(super) aliases: Vec<u64>,
    pub(super) references: References<SeriesId>,
    /// The highest reference that was met.
    pub(super) last_reference: u64,
    pub(super) deleted: HashMap<SeriesId, Intervals>,
    pub(super) exemplars: VecDeque<(SeriesId, RefExemplar)>,
    pub(super) metadata: HashMap<SeriesId, RefMetadata>,
    pub(super) report: ReplayReport,
}

impl Parts {
    /// Makes a head of the series that have samples.
    pub(super) fn into_head(self, options: HeadOptions, files: ChunkFiles) -> Replayed {
        let mut aliases = self.aliases;
        let mut last = self.last_reference;
        let mut entries: Vec<Option<Arc<Entry>>> = Vec::with_capacity(self.samples.len());
        for (id, (labels, samples)) in (0..).zip(self.labels.into_iter().zip(self.samples)) {
            let first = self.first_references[id as usize];
            if samples.is_empty() {
                aliases.push(first);
                entries.push(None);
                continue;
            }
            // When the log gave its reference to another series later, it gets a new one.
            let is_logged = self.references.get(first) == Some(id);
            last += u64::from(!is_logged);
            let entry = Entry::new(SeriesRef(if is_logged { first } else { last }), labels);
            *entry.state.lock() = State {
                samples,
                is_logged,
                ..State::default()
            };
            entries.push(Some(Arc::new(entry)));
        }
        let entry = |id: SeriesId| entries[id as usize].as_ref();
        let head = Head::new(options, files);
        for (id, metadata) in self.metadata {
            if let Some(entry) = entry(id) {
                entry.state.lock().metadata = Some(head.interned(&of_log(metadata)));
            }
        }
        for (
            id,
            RefExemplar {
                t, value, labels, ..
            },
        ) in self.exemplars
        {
            if let Some(entry) = entry(id) {
                let exemplar = Exemplar { labels, t, value };
                head.exemplars.lock().push(entry, exemplar);
            }
        }
        for (id, intervals) in self.deleted {
            if let Some(entry) = entry(id) {
                head.deleted
                    .write()
                    .insert(entry.series, Arc::new(intervals));
            }
        }
        let mut entries: Vec<_> = entries.into_iter().flatten().collect();
        entries.sort_unstable_by_key(|e| e.series);
        head.adopt(&entries, last);
        Replayed {
            head,
            aliases,
            report: self.report,
        }
    }
}

fn of_log(metadata: RefMetadata) -> Metadata {
    Metadata {
        kind: MetricType::from_number(metadata.metric_type),
        unit: metadata.unit,
        help: metadata.help,
    }
}
