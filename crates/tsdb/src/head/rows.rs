//! What one append puts into a log: rows are gathered and become records.
//!
//! A record holds one kind of value, and a replay applies records in their order. So a change of the
//! kind ends the records before it, and series come before their samples. Floats are encoded last of
//! all, when it is known whether they may be relative to what the log's segment has.

use std::ops::Range;

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};

use super::FloatRecords;
use crate::batch::SeriesRef;
use crate::wal::record::{self, RecordType};
use crate::wal::{
    MmapMarker, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefSample, RefTombstone,
    RefValue,
};

/// Rows of one record at most, and bytes of series in one.
const ROWS_MAX: usize = 100_000;
const SERIES_BYTES_MAX: usize = 4 << 20;
/// Memory that is kept from one append to the next.
const BYTES_KEPT: usize = 4 << 20;

/// A record, or what becomes one.
#[derive(Debug, Clone)]
enum Piece {
    /// A whole record in `bytes`.
    Record(Range<usize>),
    /// Rows of `floats`.
    Floats(Range<usize>),
}

/// Rows on their way into a log.
#[derive(Debug)]
pub(super) struct Rows {
    float_records: FloatRecords,
    /// A record of series, with its type byte.
    series: Vec<u8>,
    floats: Vec<RefSample>,
    /// For each float that is logged as a change the value before it, if its segment has that.
    before: Vec<Option<f64>>,
    histograms: Vec<RefHistogram>,
    float_histograms: Vec<RefFloatHistogram>,
    exemplars: Vec<RefExemplar>,
    metadata: Vec<RefMetadata>,
    /// Whole records, one after the other.
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Floats that are in `pieces`.
    sealed: usize,
    /// Records of floats.
    float_bytes: Vec<u8>,
}

impl Rows {
    /// None yet, whose floats become records as `float_records` says.
    pub(super) fn new(float_records: FloatRecords) -> Self {
        Self {
            float_records,
            series: Vec::new(),
            floats: Vec::new(),
            before: Vec::new(),
            histograms: Vec::new(),
            float_histograms: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
            bytes: Vec::new(),
            pieces: Vec::new(),
            sealed: 0,
            float_bytes: Vec::new(),
        }
    }

    pub(super) fn series(&mut self, series: SeriesRef, labels: &Labels) {
        if self.series.len() > SERIES_BYTES_MAX {
            self.seal();
        }
        if self.series.is_empty() {
            self.series.push(RecordType::Series as u8);
        }
        record::put_series(series.0, labels, &mut self.series);
    }

    /// A float, and the value before it of the same series if that is in the segment being written.
    #[inline]
    pub(super) fn float(&mut self, series: SeriesRef, t: i64, value: f64, before: Option<f64>) {
        if !self.histograms.is_empty()
            || !self.float_histograms.is_empty()
            || self.floats.len() - self.sealed >= ROWS_MAX
        {
            self.seal();
        }
        let series = series.0;
        self.floats.push(RefValue { series, t, value });
        if self.float_records == FloatRecords::Changes {
            self.before.push(before);
        }
    }

    pub(super) fn histogram(&mut self, series: SeriesRef, t: i64, value: Histogram) {
        if self.has_floats() || !self.float_histograms.is_empty() {
            self.seal();
        }
        let series = series.0;
        self.histograms.push(RefValue { series, t, value });
    }

    pub(super) fn float_histogram(&mut self, series: SeriesRef, t: i64, value: FloatHistogram) {
        if self.has_floats() || !self.histograms.is_empty() {
            self.seal();
        }
        let series = series.0;
        self.float_histograms.push(RefValue { series, t, value });
    }

    pub(super) fn exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) {
        self.exemplars.push(RefExemplar {
            series: series.0,
            t: exemplar.t,
            value: exemplar.value,
            labels: exemplar.labels.clone(),
        });
    }

    pub(super) fn metadata(&mut self, series: SeriesRef, metadata: &Metadata) {
        self.metadata.push(RefMetadata {
            series: series.0,
            metric_type: metadata.kind.number(),
            unit: metadata.unit.clone(),
            help: metadata.help.clone(),
        });
    }

    /// Says that all out-of-order samples of a series up to here are in a head chunk.
    pub(super) fn marker(&mut self, series: SeriesRef, chunk: u64) {
        self.seal();
        let marker = MmapMarker {
            series: series.0,
            chunk,
        };
        self.record(|out| record::encode_markers(&[marker], out));
    }

    /// Says what is deleted.
    pub(super) fn tombstones(&mut self, stones: &[RefTombstone]) {
        if !stones.is_empty() {
            self.seal();
            self.record(|out| record::encode_tombstones(stones, out));
        }
    }

    /// True when there are floats that are in no piece yet.
    fn has_floats(&self) -> bool {
        self.floats.len() > self.sealed
    }

    fn record(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        encode(&mut self.bytes);
        self.pieces.push(Piece::Record(begin..self.bytes.len()));
    }

    /// Makes pieces of all rows so far.
    fn seal(&mut self) {
        if !self.series.is_empty() {
            let mut series = std::mem::take(&mut self.series);
            self.record(|out| out.append(&mut series));
            self.series = series;
        }
        if !self.metadata.is_empty() {
            let metadata = std::mem::take(&mut self.metadata);
            self.record(|out| record::encode_metadata(&metadata, out));
        }
        if self.has_floats() {
            self.pieces
                .push(Piece::Floats(self.sealed..self.floats.len()));
            self.sealed = self.floats.len();
        }
        let histograms = std::mem::take(&mut self.histograms);
        for encoded in record::encode_histograms(&histograms) {
            self.record(|out| out.extend_from_slice(&encoded));
        }
        let float_histograms = std::mem::take(&mut self.float_histograms);
        for encoded in record::encode_float_histograms(&float_histograms) {
            self.record(|out| out.extend_from_slice(&encoded));
        }
        if !self.exemplars.is_empty() {
            let exemplars = std::mem::take(&mut self.exemplars);
            self.record(|out| record::encode_exemplars(&exemplars, out));
        }
    }

    /// True when there are floats that can be read in the segment being written only.
    pub(super) fn are_relative(&self) -> bool {
        self.before.iter().any(Option::is_some)
    }

    /// Takes away what floats are relative to: their records can be read in any segment then.
    pub(super) fn make_whole(&mut self) {
        self.before.clear();
    }

    /// The records of everything gathered.
    pub(super) fn records(&mut self) -> Vec<&[u8]> {
        self.seal();
        self.float_bytes.clear();
        let mut ends = Vec::new();
        for piece in &self.pieces {
            if let Piece::Floats(rows) = piece {
                let (floats, out) = (&self.floats[rows.clone()], &mut self.float_bytes);
                match self.float_records {
                    FloatRecords::Samples => record::encode_samples(floats, out),
                    FloatRecords::Changes => {
                        let before = self.before.get(rows.clone()).unwrap_or_default();
                        record::encode_changes(floats, before, out);
                    }
                }
                ends.push(self.float_bytes.len());
            }
        }
        let mut begin = 0;
        let mut ends = ends.into_iter();
        let record = |piece: &Piece| match piece {
            Piece::Record(range) => &self.bytes[range.clone()],
            Piece::Floats(_) => {
                let end = ends.next().expect("each piece of floats was encoded");
                &self.float_bytes[std::mem::replace(&mut begin, end)..end]
            }
        };
        self.pieces.iter().map(record).collect()
    }

    /// Forgets everything but the memory, of which a large append may have left too much.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.floats.clear();
        self.before.clear();
        self.sealed = 0;
        self.bytes.shrink_to(BYTES_KEPT);
        self.float_bytes.clear();
        self.float_bytes.shrink_to(BYTES_KEPT);
        self.floats.shrink_to(BYTES_KEPT / size_of::<RefSample>());
        self.before.shrink_to(BYTES_KEPT / size_of::<RefSample>());
    }
}
