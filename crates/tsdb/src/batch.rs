//! Writes: what a decoder hands to a head, and what became of it.
//!
//! A [`Batch`] holds the samples of many series in a few columns. It is made once by each decoder,
//! filled, appended and cleared, so that a write allocates nothing once its columns have grown.

use std::ops::Range;
use std::sync::Arc;

use model::{ErrorKind, Exemplar, FloatHistogram, Histogram, Labels, Metadata};

use crate::error::Error;

/// A series of one head, for as long as the head has it. Numbers are never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// A float at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float {
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value.
    pub v: f64,
}

/// A native histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum TimedHistogram {
    /// With integer counts.
    Integer(i64, Histogram),
    /// With float counts.
    Float(i64, FloatHistogram),
}

impl TimedHistogram {
    /// Milliseconds since the Unix epoch.
    pub const fn t(&self) -> i64 {
        match self {
            Self::Integer(t, _) | Self::Float(t, _) => *t,
        }
    }
}

/// Samples of many series.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Label sets one after the other, in the encoding of [`Labels`].
    labels: String,
    entries: Vec<Entry>,
    floats: Vec<Float>,
    histograms: Vec<TimedHistogram>,
    exemplars: Vec<Exemplar>,
    metadata: Vec<Metadata>,
    /// By number of the series, ascending: since when it counts.
    starts: Vec<(usize, i64)>,
}

/// One series of a batch: where its part of each column ends; it begins where the entry before ends.
#[derive(Debug, Clone, Copy)]
struct Entry {
    known: Option<SeriesRef>,
    labels_end: usize,
    floats_end: usize,
    histograms_end: usize,
    exemplars_end: usize,
    metadata_end: usize,
}

/// One series of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchSeries<'a> {
    /// The series, when the writer knows it; a head that no longer has it looks at the labels.
    pub known: Option<SeriesRef>,
    /// Its labels in the encoding of [`Labels`]; empty when only `known` names the series.
    pub labels: &'a str,
    /// Its floats, in the order in which they were sent.
    pub floats: &'a [Float],
    /// Its histograms, in the order in which they were sent.
    pub histograms: &'a [TimedHistogram],
    /// Its exemplars.
    pub exemplars: &'a [Exemplar],
    /// Its metadata, at most one.
    pub metadata: Option<&'a Metadata>,
}

impl Batch {
    /// A batch without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.entries.clear();
        self.floats.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.starts.clear();
    }

    /// Begins a series: what is pushed next belongs to it. The labels are sorted by name, unique, and
    /// have no empty value; the caller has checked that.
    pub fn series<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
        Labels::encode_sorted(labels, &mut self.labels);
        self.begin(None);
    }

    /// As [`Batch::series`], with the labels before and behind one of them in the encoding of
    /// [`Labels`].
    #[inline]
    pub fn series_around(&mut self, before: &str, label: (&str, &str), behind: &str) {
        self.labels.push_str(before);
        Labels::encode_sorted([label], &mut self.labels);
        self.labels.push_str(behind);
        self.begin(None);
    }

    /// Begins a series that a head is known to have, with its labels for the case that it was
    /// dropped meanwhile.
    pub fn known_series(&mut self, series: SeriesRef, labels: &Labels) {
        self.labels.push_str(labels.as_encoded());
        self.begin(Some(series));
    }

    /// As [`Batch::known_series`], with the labels in the encoding of [`Labels`], in parts.
    ///
    /// # Panics
    /// When a part is not UTF-8.
    #[inline]
    pub fn known_encoded(&mut self, series: SeriesRef, labels: [&[u8]; 3]) {
        for part in labels {
            let part = std::str::from_utf8(part);
            self.labels
                .push_str(part.expect("labels are not cut within a character"));
        }
        self.begin(Some(series));
    }

    /// Begins a series that a head is known to have. Should it have been dropped meanwhile, its samples
    /// are refused as [`Reject::UnknownSeries`].
    #[inline]
    pub fn only_known(&mut self, series: SeriesRef) {
        self.begin(Some(series));
    }

    /// True when a series has metadata.
    pub fn has_metadata(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// Whether any series has exemplars.
    pub fn has_exemplars(&self) -> bool {
        !self.exemplars.is_empty()
    }

    #[inline]
    fn begin(&mut self, known: Option<SeriesRef>) {
        self.entries.push(Entry {
            known,
            labels_end: self.labels.len(),
            floats_end: self.floats.len(),
            histograms_end: self.histograms.len(),
            exemplars_end: self.exemplars.len(),
            metadata_end: self.metadata.len(),
        });
    }

    #[inline]
    fn current(&mut self) -> &mut Entry {
        self.entries.last_mut().expect("a series was begun")
    }

    /// Adds a float to the series begun last.
    ///
    /// # Panics
    /// Like all that add to a series: when none was begun.
    #[inline]
    pub fn float(&mut self, t: i64, v: f64) {
        self.floats.push(Float { t, v });
        self.current().floats_end += 1;
    }

    /// Adds a histogram to the series begun last.
    pub fn histogram(&mut self, histogram: TimedHistogram) {
        self.histograms.push(histogram);
        self.current().histograms_end += 1;
    }

    /// Adds an exemplar to the series begun last.
    pub fn exemplar(&mut self, exemplar: Exemplar) {
        self.exemplars.push(exemplar);
        self.current().exemplars_end += 1;
    }

    /// Says since when the series that was begun as number `i` counts, in milliseconds: a head puts a
    /// zero there, before the first of its samples here, if the series has nothing as new. What
    /// is said of a series after something was said of a later one is not heard.
    pub fn start(&mut self, i: usize, start: i64) {
        if self.starts.last().is_none_or(|(last, _)| *last < i) {
            self.starts.push((i, start));
        }
    }

    /// Since when series count, by their numbers, ascending.
    pub fn starts(&self) -> &[(usize, i64)] {
        &self.starts
    }

    /// Sets the metadata of the series begun last.
    pub fn metadata(&mut self, metadata: Metadata) {
        let end = self.metadata.len();
        let begin = (self.entries.len().checked_sub(2)).map_or(0, |i| self.entries[i].metadata_end);
        if begin < end {
            self.metadata[begin] = metadata;
        } else {
            self.metadata.push(metadata);
            self.current().metadata_end += 1;
        }
    }

    /// Number of series, each counted as often as it was begun.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when no series was begun.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of samples, floats and histograms.
    pub fn sample_count(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// The series that was begun as number `i`.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, i: usize) -> BatchSeries<'_> {
        let before = i.checked_sub(1).map(|i| &self.entries[i]);
        self.between(before, &self.entries[i])
    }

    /// The series of `entry`, which follows the one of `before`.
    #[inline]
    fn between(&self, before: Option<&Entry>, entry: &Entry) -> BatchSeries<'_> {
        let range =
            |end: fn(&Entry) -> usize| -> Range<usize> { before.map_or(0, end)..end(entry) };
        BatchSeries {
            known: entry.known,
            labels: &self.labels[range(|e| e.labels_end)],
            floats: &self.floats[range(|e| e.floats_end)],
            histograms: &self.histograms[range(|e| e.histograms_end)],
            exemplars: &self.exemplars[range(|e| e.exemplars_end)],
            metadata: self.metadata[range(|e| e.metadata_end)].first(),
        }
    }

    /// The series in the order in which they were begun.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BatchSeries<'_>> {
        let mut before = None;
        self.entries
            .iter()
            .map(move |entry| self.between(before.replace(entry), entry))
    }
}

/// Why a sample was not taken. The rest of its batch was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// Older than the newest sample of its series, and no window for such samples is open.
    #[error("out of order sample")]
    OutOfOrder,
    /// Older than the window for samples that come out of order.
    #[error("too old sample")]
    TooOld,
    /// Older than what a head may take.
    #[error("out of bounds")]
    OutOfBounds,
    /// Further in the future than is allowed.
    #[error("too far in the future")]
    TooFarInFuture,
    /// Another value for a time that the series has a sample of.
    #[error("duplicate sample for timestamp")]
    DuplicateTimestamp,
    /// A histogram that contradicts itself.
    #[error("invalid histogram")]
    InvalidHistogram,
    /// The head holds as many series as it may.
    #[error("series limit reached")]
    SeriesLimit,
    /// An exemplar older than the newest of its series.
    #[error("out of order exemplar")]
    ExemplarOutOfOrder,
    /// An exemplar with more label text than OpenMetrics allows.
    #[error("exemplar labels are too long")]
    ExemplarTooLong,
    /// An exemplar of a series that the head does not have, or did not take.
    #[error("exemplar of an unknown series")]
    ExemplarOfUnknownSeries,
    /// The writer named a series that the head does not have, and no labels.
    #[error("unknown series")]
    UnknownSeries,
}

impl Reject {
    /// Whether it is an exemplar that was refused; the sample beside it was not, for this reason.
    pub const fn is_of_exemplar(self) -> bool {
        matches!(
            self,
            Self::ExemplarOutOfOrder | Self::ExemplarTooLong | Self::ExemplarOfUnknownSeries
        )
    }
}

/// A sample or exemplar that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// The series' number in its batch.
    pub series: usize,
    /// Time of the sample, or of the exemplar.
    pub t: i64,
    /// Why.
    pub reason: Reject,
}

/// How far a log must be durable for a write to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CommitPoint(pub u64);

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// By series of the batch, in its order: the series of the head, unless it was refused.
    pub series: Vec<Option<SeriesRef>>,
    /// Floats taken, also those that the head had already.
    pub floats: usize,
    /// Histograms taken, also those that the head had already.
    pub histograms: usize,
    /// Exemplars taken.
    pub exemplars: usize,
    /// What was not taken, in order of the batch.
    pub rejected: Vec<Rejection>,
    /// Until where the log must be durable before the write may be acknowledged.
    pub commit: CommitPoint,
}

impl Appended {
    /// Whether a sample of this series of the batch was not taken.
    pub fn rejected_sample_of(&self, series: usize) -> bool {
        let first = self.rejected.partition_point(|r| r.series < series);
        let of_it = self.rejected[first..].iter();
        of_it
            .take_while(|r| r.series == series)
            .any(|r| !r.reason.is_of_exemplar())
    }
}

/// Why a whole batch was not taken, or cannot be made durable. It may be sent again when its kind
/// is [`ErrorKind::Unavailable`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Whoever was asked does not take it, for a reason that is for the writer to read.
    #[error("{reason}")]
    Refused {
        /// What the writer should do about it.
        kind: ErrorKind,
        /// What is wrong and what to do, lowercase.
        reason: String,
    },
    /// The logs cannot be written.
    #[error(transparent)]
    Storage(Arc<Error>),
}

impl WriteError {
    /// What the writer should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { kind, .. } => *kind,
            Self::Storage(error) => error.kind(),
        }
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use model::MetricType;

    use super::*;

    #[test]
    fn columns_belong_to_the_series_begun_last() {
        let mut batch = Batch::new();
        batch.series([("__name__", "a")]);
        batch.float(1, 1.5);
        batch.float(2, 2.5);
        let labels = Labels::from_pairs([("__name__", "b"), ("job", "x")]);
        batch.known_series(SeriesRef(7), &labels);
        batch.histogram(TimedHistogram::Integer(3, Histogram::default()));
        let of_type = |kind| Metadata {
            kind,
            unit: String::new(),
            help: String::new(),
        };
        batch.metadata(of_type(MetricType::Gauge));
        batch.metadata(of_type(MetricType::Counter));

        assert_eq!((batch.len(), batch.sample_count()), (2, 3));
        let (first, second) = (batch.get(0), batch.get(1));
        assert_eq!(
            first.floats,
            [Float { t: 1, v: 1.5 }, Float { t: 2, v: 2.5 }]
        );
        assert_eq!(
            first.labels,
            Labels::from_pairs([("__name__", "a")]).as_encoded()
        );
        assert!(first.histograms.is_empty() && first.metadata.is_none());
        assert_eq!(
            (second.known, second.labels),
            (Some(SeriesRef(7)), labels.as_encoded())
        );
        assert_eq!((second.floats.len(), second.histograms[0].t()), (0, 3));
        assert_eq!(second.metadata, Some(&of_type(MetricType::Counter)));

        batch.clear();
        assert!(batch.is_empty() && batch.sample_count() == 0);
    }
}
