//! What one append puts into a log: rows are gathered and become records.
//!
//! A record holds one kind of value, and a replay applies records in their order. So a change of the
//! kind ends the records before it, and series come before their samples.

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};

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

/// Rows on their way into a log.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// A record of series, with its type byte.
    series: Vec<u8>,
    floats: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    float_histograms: Vec<RefFloatHistogram>,
    exemplars: Vec<RefExemplar>,
    metadata: Vec<RefMetadata>,
    /// Whole records, one after the other.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Rows {
    pub(super) fn series(&mut self, series: SeriesRef, labels: &Labels) {
        if self.series.len() > SERIES_BYTES_MAX {
            self.seal();
        }
        if self.series.is_empty() {
            self.series.push(RecordType::Series as u8);
        }
        record::put_series(series.0, labels, &mut self.series);
    }

    #[inline]
    pub(super) fn float(&mut self, series: SeriesRef, t: i64, value: f64) {
        if !self.histograms.is_empty()
            || !self.float_histograms.is_empty()
            || self.floats.len() >= ROWS_MAX
        {
            self.seal();
        }
        let series = series.0;
        self.floats.push(RefValue { series, t, value });
    }

    pub(super) fn histogram(&mut self, series: SeriesRef, t: i64, value: Histogram) {
        if !self.floats.is_empty() || !self.float_histograms.is_empty() {
            self.seal();
        }
        let series = series.0;
        self.histograms.push(RefValue { series, t, value });
    }

    pub(super) fn float_histogram(&mut self, series: SeriesRef, t: i64, value: FloatHistogram) {
        if !self.floats.is_empty() || !self.histograms.is_empty() {
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

    fn record(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Makes records of all rows so far.
    fn seal(&mut self) {
        if !self.series.is_empty() {
            self.bytes.append(&mut self.series);
            self.ends.push(self.bytes.len());
        }
        if !self.metadata.is_empty() {
            let metadata = std::mem::take(&mut self.metadata);
            self.record(|out| record::encode_metadata(&metadata, out));
        }
        if !self.floats.is_empty() {
            record::encode_samples(&self.floats, &mut self.bytes);
            self.ends.push(self.bytes.len());
            self.floats.clear();
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

    /// The records of everything gathered.
    pub(super) fn records(&mut self) -> Vec<&[u8]> {
        self.seal();
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let ranges = begins.zip(self.ends.iter().copied());
        ranges.map(|(begin, end)| &self.bytes[begin..end]).collect()
    }

    /// Forgets everything but the memory, of which a large append may have left too much.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(BYTES_KEPT);
        self.floats.shrink_to(BYTES_KEPT / size_of::<RefSample>());
    }
}
