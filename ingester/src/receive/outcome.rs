//! What became of a request: what was written, and what was not and why.

use std::fmt;

use tsdb::batch::Reject;

/// Why a sample was refused, by the decoder or by the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No label `__name__`.
    NoMetricName,
    /// Two labels with one name.
    DuplicateLabel,
    /// A label without a name.
    EmptyLabelName,
    /// A label that is not UTF-8.
    InvalidUtf8,
    /// A reference to a symbol that is not there.
    BadSymbol,
    /// More labels than a series may have.
    TooManyLabels,
    /// A name that is too long.
    LabelNameTooLong,
    /// A value that is too long.
    LabelValueTooLong,
    /// A series without a sample.
    NoSamples,
    /// The label that names the tenant names none that can be.
    InvalidTenant,
    /// The head did not take it.
    Head(Reject),
}

/// Reasons of the decoder, then those of the head.
const REASONS: [Reason; 21] = [
    Reason::NoMetricName,
    Reason::DuplicateLabel,
    Reason::EmptyLabelName,
    Reason::InvalidUtf8,
    Reason::BadSymbol,
    Reason::TooManyLabels,
    Reason::LabelNameTooLong,
    Reason::LabelValueTooLong,
    Reason::NoSamples,
    Reason::InvalidTenant,
    Reason::Head(Reject::OutOfOrder),
    Reason::Head(Reject::TooOld),
    Reason::Head(Reject::OutOfBounds),
    Reason::Head(Reject::TooFarInFuture),
    Reason::Head(Reject::DuplicateTimestamp),
    Reason::Head(Reject::InvalidHistogram),
    Reason::Head(Reject::SeriesLimit),
    Reason::Head(Reject::ExemplarOutOfOrder),
    Reason::Head(Reject::ExemplarTooLong),
    Reason::Head(Reject::ExemplarOfUnknownSeries),
    Reason::Head(Reject::UnknownSeries),
];

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = REASONS.len();

    /// All reasons.
    pub const fn all() -> &'static [Self; Self::COUNT] {
        &REASONS
    }

    /// Its place among all.
    pub(super) fn index(self) -> usize {
        let place = REASONS.iter().position(|reason| *reason == self);
        place.expect("all reasons are listed")
    }

    /// Its name as the value of a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMetricName => "no_metric_name",
            Self::DuplicateLabel => "duplicate_label",
            Self::EmptyLabelName => "empty_label_name",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::BadSymbol => "bad_symbol",
            Self::TooManyLabels => "too_many_labels",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::NoSamples => "no_samples",
            Self::InvalidTenant => "invalid_tenant",
            Self::Head(Reject::OutOfOrder) => "out_of_order",
            Self::Head(Reject::TooOld) => "too_old",
            Self::Head(Reject::OutOfBounds) => "out_of_bounds",
            Self::Head(Reject::TooFarInFuture) => "too_far_in_future",
            Self::Head(Reject::DuplicateTimestamp) => "duplicate_timestamp",
            Self::Head(Reject::InvalidHistogram) => "invalid_histogram",
            Self::Head(Reject::SeriesLimit) => "series_limit",
            Self::Head(Reject::ExemplarOutOfOrder) => "exemplar_out_of_order",
            Self::Head(Reject::ExemplarTooLong) => "exemplar_too_long",
            Self::Head(Reject::ExemplarOfUnknownSeries) => "exemplar_of_unknown_series",
            Self::Head(Reject::UnknownSeries) => "unknown_series",
        }
    }

    /// True for exemplars, which are kept as far as that goes and never fail a request.
    pub const fn is_best_effort(self) -> bool {
        matches!(self, Self::Head(reject) if reject.is_of_exemplar())
    }
}

/// Worded as Prometheus and Thanos do where they have the same reason.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMetricName => "invalid metric name or labels: no __name__",
            Self::DuplicateLabel => "label set contains multiple labels with the same name",
            Self::EmptyLabelName => "label set contains a label with empty name or value",
            Self::InvalidUtf8 => "invalid metric name or labels: not UTF-8",
            Self::BadSymbol => "labels refer to symbols that are not there",
            Self::TooManyLabels => "too many labels (--receive.labels-max)",
            Self::LabelNameTooLong => "label name too long (--receive.label-name-bytes-max)",
            Self::LabelValueTooLong => "label value too long (--receive.label-value-bytes-max)",
            Self::NoSamples => "timeseries must contain at least one sample or histogram",
            Self::InvalidTenant => "the label for the tenant is not a valid tenant",
            Self::Head(reject) => return reject.fmt(f),
        })
    }
}

/// What was refused, counted by reason.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    counts: [usize; Reason::COUNT],
    first: Option<String>,
}

impl Refusals {
    /// Counts `samples` that were refused, at least one; `what` names them when they are the first.
    pub(crate) fn add(&mut self, reason: Reason, samples: usize, what: impl FnOnce() -> String) {
        self.counts[reason.index()] += samples.max(1);
        if self.first.is_none() && !reason.is_best_effort() {
            self.first = Some(format!("{}: {reason}", what()));
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many samples were refused for `reason`.
    pub fn count(&self, reason: Reason) -> usize {
        self.counts[reason.index()]
    }

    /// Reasons that occurred, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, usize)> {
        let all = REASONS.iter().copied().zip(self.counts);
        all.filter(|(_, count)| *count > 0)
    }

    /// What was refused first and why, in words.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// True when the request is to be answered as a success.
    pub fn is_empty(&self) -> bool {
        self.iter().all(|(reason, _)| reason.is_best_effort())
    }

    /// Adds what another step refused after this one.
    pub(super) fn merge(&mut self, later: &Self) {
        for (count, more) in self.counts.iter_mut().zip(later.counts) {
            *count += more;
        }
        if self.first.is_none() {
            self.first.clone_from(&later.first);
        }
    }
}

/// Names the first that was refused, and counts all by reason.
impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = &self.first {
            f.write_str(first)?;
        }
        f.write_str("; not stored:")?;
        for (i, (reason, count)) in self.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma} {count} {}", reason.name())?;
        }
        Ok(())
    }
}

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Series of the request.
    pub series: usize,
    /// Samples of the request, histograms included.
    pub samples: usize,
    /// Floats that are durable now.
    pub floats: usize,
    /// Histograms that are durable now.
    pub histograms: usize,
    /// Exemplars that are durable now.
    pub exemplars: usize,
    /// What was refused.
    pub refusals: Refusals,
}
