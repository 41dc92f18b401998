//! What the records of a log say.
//!
//! The first byte of a record is its type. Types 1 to 10 are read and written; the enhanced types
//! 11 to 13, which carry start timestamps, are read without those; everything else is skipped by
//! readers, so that a newer writer's log stays readable. Type 80 is our own: float samples in a seventh
//! of the bytes ([`changes`]).
//!
//! Source: Prometheus' `tsdb/record`. The structs here are the disk's view and hold series by the
//! reference that the log gave them.

mod changes;
mod histograms;
mod series;
mod values;

use model::{FloatHistogram, Histogram, Labels};

use crate::error::Corruption;

pub use changes::{CHANGES_MAX, Changes, check_changes, encode_changes};
pub use histograms::{
    decode_float_histograms, decode_histograms, encode_float_histograms, encode_histograms,
};
pub use series::{
    decode_exemplars, decode_markers, decode_metadata, decode_min_valid_time, decode_series,
    decode_tombstones, encode_exemplars, encode_markers, encode_metadata, encode_series,
    encode_tombstones, put_series,
};
pub use values::{decode_samples, encode_samples};

/// What a record holds, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordType {
    /// Label sets and the references that stand for them from here on.
    Series = 1,
    /// Float samples.
    Samples = 2,
    /// Deleted ranges of time.
    Tombstones = 3,
    /// Exemplars.
    Exemplars = 4,
    /// WBL only: a series' out-of-order samples up to here are in a head chunk file.
    MmapMarkers = 5,
    /// Type, unit and help of series.
    Metadata = 6,
    /// Integer histograms.
    Histograms = 7,
    /// Float histograms.
    FloatHistograms = 8,
    /// Integer histograms with custom buckets.
    CustomHistograms = 9,
    /// Float histograms with custom buckets.
    CustomFloatHistograms = 10,
    /// Float samples with start timestamps.
    SamplesV2 = 11,
    /// Integer histograms with start timestamps.
    HistogramsV2 = 12,
    /// Float histograms with start timestamps.
    FloatHistogramsV2 = 13,
    /// Checkpoints only: the time before which everything was dropped.
    MinValidTime = 14,
    /// Float samples, each relative to the one before of its series. Not known to Prometheus.
    Changes = 80,
    /// Nothing but bytes up to the end of a block. Not known to Prometheus.
    Filler = 81,
}

impl RecordType {
    /// The type of a record; `None` for one that is empty or of a type not known here.
    pub fn of(record: &[u8]) -> Option<Self> {
        Some(match *record.first()? {
            1 => Self::Series,
            2 => Self::Samples,
            3 => Self::Tombstones,
            4 => Self::Exemplars,
            5 => Self::MmapMarkers,
            6 => Self::Metadata,
            7 => Self::Histograms,
            8 => Self::FloatHistograms,
            9 => Self::CustomHistograms,
            10 => Self::CustomFloatHistograms,
            11 => Self::SamplesV2,
            12 => Self::HistogramsV2,
            13 => Self::FloatHistogramsV2,
            14 => Self::MinValidTime,
            80 => Self::Changes,
            81 => Self::Filler,
            _ => return None,
        })
    }
}

/// A label set and its reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefSeries {
    /// The reference that other records use.
    pub series: u64,
    /// The series' labels.
    pub labels: Labels,
}

/// A value of a series at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefValue<V> {
    /// Reference of the series.
    pub series: u64,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value.
    pub value: V,
}

/// A float sample.
pub type RefSample = RefValue<f64>;
/// An integer histogram sample.
pub type RefHistogram = RefValue<Histogram>;
/// A float histogram sample.
pub type RefFloatHistogram = RefValue<FloatHistogram>;

/// A deleted range of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefTombstone {
    /// Reference of the series.
    pub series: u64,
    /// First deleted millisecond.
    pub min: i64,
    /// Last deleted millisecond.
    pub max: i64,
}

impl RefTombstone {
    /// True for the range that Prometheus writes when it drops a series altogether, rather than
    /// samples of it.
    pub const fn drops_series(&self) -> bool {
        self.min == i64::MIN && self.max == i64::MAX
    }
}

/// An exemplar of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct RefExemplar {
    /// Reference of the series.
    pub series: u64,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The observed value.
    pub value: f64,
    /// The exemplar's own labels, such as a trace id.
    pub labels: Labels,
}

/// What is known of a series apart from its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefMetadata {
    /// Reference of the series.
    pub series: u64,
    /// 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set.
    pub metric_type: u8,
    /// Unit, such as `seconds`; often empty.
    pub unit: String,
    /// Help text.
    pub help: String,
}

/// Says that a series' out-of-order samples before this record are in a head chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MmapMarker {
    /// Reference of the series.
    pub series: u64,
    /// The head chunk: file number in the upper 32 bits, offset in the lower.
    pub chunk: u64,
}

/// Decodes records without keeping what they hold, to tell sound from damaged ones.
#[derive(Debug, Default)]
pub struct Checker {
    samples: Vec<RefSample>,
}

impl Checker {
    /// Decodes one record; records of unknown types are sound.
    ///
    /// # Errors
    /// [`Corruption`] with the offset in the record.
    pub fn check(&mut self, record: &[u8]) -> Result<(), Corruption> {
        use RecordType as T;
        match RecordType::of(record) {
            Some(T::Series) => decode_series(record, &mut Vec::new()),
            Some(T::Samples | T::SamplesV2) => {
                self.samples.clear();
                decode_samples(record, &mut self.samples)
            }
            Some(T::Tombstones) => decode_tombstones(record, &mut Vec::new()),
            Some(T::Exemplars) => decode_exemplars(record, &mut Vec::new()),
            Some(T::MmapMarkers) => decode_markers(record, &mut Vec::new()),
            Some(T::Metadata) => decode_metadata(record, &mut Vec::new()),
            Some(T::Histograms | T::CustomHistograms | T::HistogramsV2) => {
                decode_histograms(record, &mut Vec::new())
            }
            Some(T::FloatHistograms | T::CustomFloatHistograms | T::FloatHistogramsV2) => {
                decode_float_histograms(record, &mut Vec::new())
            }
            Some(T::Changes) => check_changes(record),
            Some(T::MinValidTime) => decode_min_valid_time(record).map(drop),
            Some(T::Filler) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
