//! The router: decodes records and hands samples to the worker that owns their series.

use std::collections::{HashMap, VecDeque};

use hashbrown::HashTable;
use model::{Labels, Value};

use super::mapped::MappedChunks;
use super::parts::Parts;
use super::worker::{BATCH_SIZE, Row, Share, Work, Worker};
use super::{Log, ReplayReport, SeriesId};
use crate::block::{Interval, Intervals};
use crate::error::Corruption;
use crate::head::HeadOptions;
use crate::head::series::HeadSeries;
use crate::wal::record::{self, Changes, RecordType};
use crate::wal::references::References;
use crate::wal::{
    MmapMarker, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefSample, RefSeries,
    RefTombstone, RefValue,
};

/// Decoded records, reused from one to the next.
#[derive(Default)]
struct Scratch {
    series: Vec<RefSeries>,
    samples: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    float_histograms: Vec<RefFloatHistogram>,
    tombstones: Vec<RefTombstone>,
    exemplars: Vec<RefExemplar>,
    metadata: Vec<RefMetadata>,
    markers: Vec<MmapMarker>,
}

/// The state of a replay, apart from samples.
pub(super) struct Router<'scope> {
    options: HeadOptions,
    mapped: MappedChunks,
    workers: Vec<Worker<'scope>>,
    /// Samples on their way to each worker.
    batches: Vec<Vec<Row>>,
    references: References<SeriesId>,
    /// By series: the first reference that it had.
    first_references: Vec<u64>,
    /// All other references.
    aliases: Vec<u64>,
    /// The highest reference, known or not.
    last_reference: u64,
    labels: Vec<Labels>,
    /// By series: samples in order up to this time are in chunks from disk.
    covered: Vec<i64>,
    by_labels: HashTable<SeriesId>,
    hasher: ahash::RandomState,
    deleted: HashMap<SeriesId, Intervals>,
    exemplars: VecDeque<(SeriesId, RefExemplar)>,
    metadata: HashMap<SeriesId, RefMetadata>,
    changes: Changes,
    scratch: Scratch,
    pub(super) report: ReplayReport,
}

impl<'scope> Router<'scope> {
    pub(super) fn new(
        options: HeadOptions,
        mapped: MappedChunks,
        workers: Vec<Worker<'scope>>,
        report: ReplayReport,
    ) -> Self {
        Self {
            options,
            mapped,
            batches: workers
                .iter()
                .map(|_| Vec::with_capacity(BATCH_SIZE))
                .collect(),
            workers,
            references: References::default(),
            first_references: Vec::new(),
            aliases: Vec::new(),
            last_reference: 0,
            labels: Vec::new(),
            covered: Vec::new(),
            by_labels: HashTable::new(),
            hasher: ahash::RandomState::new(),
            deleted: HashMap::new(),
            exemplars: VecDeque::new(),
            metadata: HashMap::new(),
            changes: Changes::default(),
            scratch: Scratch::default(),
            report,
        }
    }

    /// Says that the records to come are of another segment.
    pub(super) fn begin_segment(&mut self) {
        self.changes.begin_segment();
    }

    /// Applies a record.
    pub(super) fn record(&mut self, bytes: &[u8], log: Log) -> Result<(), Corruption> {
        self.report.records += 1;
        let Some(record_type) = RecordType::of(bytes) else {
            self.report.unknown_records += 1;
            return Ok(());
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = match log {
            Log::Wal => self.wal_record(record_type, bytes, &mut scratch),
            Log::OutOfOrder => self.wbl_record(record_type, bytes, &mut scratch),
        };
        self.scratch = scratch;
        result
    }

    fn wal_record(
        &mut self,
        record_type: RecordType,
        bytes: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), Corruption> {
        match record_type {
            RecordType::Series => {
                record::decode_series(bytes, &mut scratch.series)?;
                scratch.series.drain(..).for_each(|s| self.series(s));
            }
            RecordType::Tombstones => {
                record::decode_tombstones(bytes, &mut scratch.tombstones)?;
                scratch.tombstones.drain(..).for_each(|s| self.tombstone(s));
            }
            RecordType::Exemplars => {
                record::decode_exemplars(bytes, &mut scratch.exemplars)?;
                scratch.exemplars.drain(..).for_each(|e| self.exemplar(e));
            }
            RecordType::Metadata => {
                record::decode_metadata(bytes, &mut scratch.metadata)?;
                scratch.metadata.drain(..).for_each(|m| self.metadata(m));
            }
            // Markers belong into a WBL, the least valid time only says what a checkpoint dropped,
            // and fillers say nothing.
            RecordType::MmapMarkers | RecordType::MinValidTime | RecordType::Filler => {}
            _ => self.sample_record(record_type, bytes, scratch, false)?,
        }
        Ok(())
    }

    fn wbl_record(
        &mut self,
        record_type: RecordType,
        bytes: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), Corruption> {
        match record_type {
            RecordType::MmapMarkers => {
                record::decode_markers(bytes, &mut scratch.markers)?;
                scratch.markers.drain(..).for_each(|m| self.marker(m));
            }
            RecordType::Series
            | RecordType::Tombstones
            | RecordType::Exemplars
            | RecordType::Metadata
            | RecordType::MinValidTime
            | RecordType::Filler => {}
            _ => self.sample_record(record_type, bytes, scratch, true)?,
        }
        Ok(())
    }

    /// Applies a record of float or histogram samples.
    fn sample_record(
        &mut self,
        record_type: RecordType,
        bytes: &[u8],
        scratch: &mut Scratch,
        out_of_order: bool,
    ) -> Result<(), Corruption> {
        use RecordType as T;
        match record_type {
            T::Samples | T::SamplesV2 => {
                record::decode_samples(bytes, &mut scratch.samples)?;
                for sample in scratch.samples.drain(..) {
                    self.sample(sample, out_of_order, Value::Float);
                }
            }
            T::Changes => {
                let lost = self.changes.decode(bytes, &mut scratch.samples)?;
                self.report.unknown_series += lost;
                for sample in scratch.samples.drain(..) {
                    self.sample(sample, out_of_order, Value::Float);
                }
            }
            T::Histograms | T::CustomHistograms | T::HistogramsV2 => {
                record::decode_histograms(bytes, &mut scratch.histograms)?;
                for sample in scratch.histograms.drain(..) {
                    self.sample(sample, out_of_order, |h| Value::Histogram(Box::new(h)));
                }
            }
            _ => {
                record::decode_float_histograms(bytes, &mut scratch.float_histograms)?;
                for sample in scratch.float_histograms.drain(..) {
                    self.sample(sample, out_of_order, |h| Value::FloatHistogram(Box::new(h)));
                }
            }
        }
        Ok(())
    }

    /// The worker of a series, and its slot there.
    fn place(&self, series: SeriesId) -> (usize, u32) {
        let workers = self.workers.len() as u32;
        ((series % workers) as usize, series / workers)
    }

    #[inline]
    fn sample<V>(&mut self, sample: RefValue<V>, out_of_order: bool, value: impl Fn(V) -> Value) {
        self.report.samples += 1;
        if !out_of_order && sample.t < self.options.min_valid_time {
            return;
        }
        let Some(series) = self.references.get(sample.series) else {
            self.report.unknown_series += 1;
            self.last_reference = self.last_reference.max(sample.series);
            return;
        };
        // Its series would refuse it as not newer than what it has.
        if !out_of_order && sample.t <= self.covered[series as usize] {
            return;
        }
        let (worker, slot) = self.place(series);
        self.batches[worker].push(Row {
            slot,
            out_of_order,
            t: sample.t,
            value: value(sample.value),
        });
        if self.batches[worker].len() >= BATCH_SIZE {
            self.flush(worker);
        }
    }

    fn flush(&mut self, worker: usize) {
        if self.batches[worker].is_empty() {
            return;
        }
        let empty = self.workers[worker].emptied.try_recv();
        let empty = empty.unwrap_or_else(|_| Vec::with_capacity(BATCH_SIZE));
        let full = std::mem::replace(&mut self.batches[worker], empty);
        self.hand_over(worker, Work::Rows(full));
    }

    /// Lets the owner of a series do something after all samples that came before.
    fn after_samples(&mut self, series: SeriesId, work: impl FnOnce(u32) -> Work) {
        let (worker, slot) = self.place(series);
        self.flush(worker);
        self.hand_over(worker, work(slot));
    }

    fn hand_over(&self, worker: usize, work: Work) {
        self.workers[worker]
            .queue
            .send(work)
            .expect("workers live until their queue is closed");
    }

    fn series(&mut self, found: RefSeries) {
        let hash = self.hasher.hash_one(&found.labels);
        let known = self
            .by_labels
            .find(hash, |id| self.labels[*id as usize] == found.labels);
        let series = match known {
            Some(&series) => {
                if self.first_references[series as usize] != found.series {
                    self.aliases.push(found.series);
                }
                series
            }
            None => {
                let series = SeriesId::try_from(self.labels.len())
                    .expect("memory ends long before four billion label sets");
                self.labels.push(found.labels);
                self.covered.push(i64::MIN);
                self.first_references.push(found.series);
                let (labels, hasher) = (&self.labels, &self.hasher);
                self.by_labels
                    .insert_unique(hash, series, |id| hasher.hash_one(&labels[*id as usize]));
                series
            }
        };
        self.references.insert(found.series, series);
        self.last_reference = self.last_reference.max(found.series);
        if let Some(chunks) = self.mapped.take(found.series) {
            let covered = &mut self.covered[series as usize];
            let until = chunks.in_order.iter().map(|chunk| chunk.max_time).max();
            *covered = until.map_or(*covered, |until| until.max(*covered));
            self.after_samples(series, |slot| Work::Chunks {
                slot,
                in_order: chunks.in_order,
                out_of_order: chunks.out_of_order,
            });
        }
    }

    /// Counts what is about a series that no record introduced.
    fn known(&mut self, reference: u64) -> Option<SeriesId> {
        let series = self.references.get(reference);
        self.report.unknown_series += u64::from(series.is_none());
        series
    }

    fn tombstone(&mut self, stone: RefTombstone) {
        if stone.max < self.options.min_valid_time {
            return;
        }
        let Some(series) = self.known(stone.series) else {
            return;
        };
        if !stone.drops_series() {
            let (min, max) = (stone.min, stone.max);
            self.deleted
                .entry(series)
                .or_default()
                .add(Interval { min, max });
            return;
        }
        // Another series record with the same labels begins a series of its own.
        let hash = self.hasher.hash_one(&self.labels[series as usize]);
        if let Ok(entry) = self.by_labels.find_entry(hash, |id| *id == series) {
            entry.remove();
        }
        self.references.remove(stone.series);
        self.deleted.remove(&series);
        self.metadata.remove(&series);
        self.covered[series as usize] = i64::MIN;
        self.after_samples(series, |slot| Work::Drop { slot });
    }

    fn exemplar(&mut self, exemplar: RefExemplar) {
        if exemplar.t < self.options.min_valid_time || self.options.exemplars_max == 0 {
            return;
        }
        if let Some(series) = self.known(exemplar.series) {
            if self.exemplars.len() >= self.options.exemplars_max {
                self.exemplars.pop_front();
            }
            self.exemplars.push_back((series, exemplar));
        }
    }

    fn metadata(&mut self, metadata: RefMetadata) {
        if let Some(series) = self.known(metadata.series) {
            self.metadata.insert(series, metadata);
        }
    }

    /// All out-of-order samples of the series up to here are in a chunk that was read, or are to be.
    fn marker(&mut self, marker: MmapMarker) {
        let is_there = self.mapped.has(marker);
        if let Some(series) = self.known(marker.series) {
            self.after_samples(series, |slot| match is_there {
                true => Work::ClearBuffer { slot },
                false => Work::EndBuffer { slot },
            });
        }
    }

    /// Waits for the workers and puts their shares together.
    pub(super) fn finish(mut self) -> Parts {
        for worker in 0..self.workers.len() {
            self.flush(worker);
        }
        let mut shares: Vec<_> = self
            .workers
            .drain(..)
            .map(|worker| {
                drop(worker.queue);
                let Share {
                    series,
                    invalid_histograms,
                } = worker.thread.join().expect("workers do not panic");
                self.report.invalid_histograms += invalid_histograms;
                series.into_iter()
            })
            .collect();
        let workers = shares.len();
        let series = (0..self.labels.len()).map(|id| shares[id % workers].next());
        let series: Vec<HeadSeries> = series.map(Option::unwrap_or_default).collect();
        Parts {
            samples: series,
            labels: self.labels,
            first_references: self.first_references,
            aliases: self.aliases,
            references: self.references,
            last_reference: self.last_reference.max(self.mapped.last_series()),
            deleted: self.deleted,
            exemplars: self.exemplars,
            metadata: self.metadata,
            report: self.report,
        }
    }
}
