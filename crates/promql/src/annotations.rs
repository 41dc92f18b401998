//! Warnings and infos that a query yields beside its result, worded as Prometheus words them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use model::float::G;
use model::labels::quoted;
use model::time::Rfc3339;

use crate::ast::PosRange;

/// What was being done to histograms when an annotation was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramOp {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramOp {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// One kind of annotation with what its text needs. Names are those of metrics, `""` when unknown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    InvalidRatio {
        got: f64,
        capped: f64,
    },
    InvalidQuantile {
        got: f64,
    },
    BadBucketLabel {
        name: String,
        value: String,
    },
    MixedFloatsHistograms {
        name: String,
    },
    MixedFloatsHistogramsAgg,
    MixedClassicNative {
        name: String,
    },
    NotCounter {
        name: String,
    },
    NotGauge {
        name: String,
    },
    MixedExponentialCustom {
        name: String,
    },
    IncompatibleBucketLayout {
        op: &'static str,
    },
    SortInRangeQuery,
    CounterResetCollision {
        op: HistogramOp,
    },
    /// Merged over series and steps, which are counted.
    StartTimeOverlap {
        name: String,
        count: usize,
    },
    PossibleNonCounter {
        name: String,
    },
    PossibleNonCounterLabel {
        name: String,
        kind: String,
    },
    ForcedMonotonicity(ForcedMonotonicity),
    IncompatibleTypes {
        op: &'static str,
        left: &'static str,
        right: &'static str,
    },
    IgnoredInAggregation {
        op: &'static str,
    },
    IgnoredInMixedRange {
        name: String,
    },
    QuantileNanResult {
        name: String,
    },
    QuantileNanSkew {
        name: String,
    },
    FractionNans {
        name: String,
    },
    MismatchedCustomBuckets {
        op: HistogramOp,
    },
    /// A warning of the source, shown as it is.
    Source(String),
}

/// Where and how far `histogram_quantile` had to repair its input; merged over steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ForcedMonotonicity {
    pub(crate) name: String,
    /// Earliest and latest step, in milliseconds.
    pub(crate) ts: (i64, i64),
    /// Lowest and highest upper bound of the repaired buckets.
    pub(crate) buckets: (f64, f64),
    /// Largest repaired difference.
    pub(crate) max_diff: f64,
    /// Number of repaired inputs.
    pub(crate) count: usize,
}

impl ForcedMonotonicity {
    fn merge(&mut self, other: &Self) {
        self.ts = (self.ts.0.min(other.ts.0), self.ts.1.max(other.ts.1));
        self.buckets = (
            self.buckets.0.min(other.buckets.0),
            self.buckets.1.max(other.buckets.1),
        );
        self.max_diff = self.max_diff.max(other.max_diff);
        self.count += other.count;
    }
}

/// ` for metric name "x"`, or nothing when the name is not known.
fn maybe_for_metric(mut text: String, name: &str) -> String {
    if !name.is_empty() {
        let _ = write!(text, " for metric name {}", quoted(name));
    }
    text
}

impl Note {
    const OVERLAP: &'static str =
        "sample has start time that overlaps with previous sample timestamp";

    /// Infos are hints; the rest are warnings.
    pub(crate) const fn is_info(&self) -> bool {
        matches!(
            self,
            Self::PossibleNonCounter { .. }
                | Self::PossibleNonCounterLabel { .. }
                | Self::ForcedMonotonicity(_)
                | Self::IncompatibleTypes { .. }
                | Self::IgnoredInAggregation { .. }
                | Self::IgnoredInMixedRange { .. }
                | Self::QuantileNanResult { .. }
                | Self::QuantileNanSkew { .. }
                | Self::FractionNans { .. }
                | Self::MismatchedCustomBuckets { .. }
        )
    }

    fn text(&self) -> String {
        match self {
            Self::Source(text) => text.clone(),
            Self::InvalidRatio { got, capped } => format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                G(*got),
                G(*capped)
            ),
            Self::InvalidQuantile { got } => {
                format!("quantile value should be between 0 and 1, got {}", G(*got))
            }
            Self::BadBucketLabel { name, value } => maybe_for_metric(
                format!(
                    "bucket label \"le\" is missing or has a malformed value of {}",
                    quoted(value)
                ),
                name,
            ),
            Self::MixedFloatsHistograms { name } => maybe_for_metric(
                "encountered a mix of histograms and floats".to_owned(),
                name,
            ),
            Self::MixedFloatsHistogramsAgg => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Self::MixedClassicNative { name } => maybe_for_metric(
                "vector contains a mix of classic and native histograms".to_owned(),
                name,
            ),
            Self::NotCounter { name } => {
                format!(
                    "this native histogram metric is not a counter: {}",
                    quoted(name)
                )
            }
            Self::NotGauge { name } => {
                format!(
                    "this native histogram metric is not a gauge: {}",
                    quoted(name)
                )
            }
            Self::MixedExponentialCustom { name } => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                quoted(name)
            ),
            Self::IncompatibleBucketLayout { op } => {
                format!("incompatible bucket layout encountered for binary operator {op}")
            }
            Self::SortInRangeQuery => {
                "sort is ineffective for range queries since results are always ordered by labels"
                    .to_owned()
            }
            Self::CounterResetCollision { op } => {
                format!(
                    "conflicting counter resets during histogram {}",
                    op.as_str()
                )
            }
            Self::StartTimeOverlap { name, count } => {
                let mut text = format!("{} for metric {}", Self::OVERLAP, quoted(name));
                if *count > 1 {
                    let _ = write!(text, " ({count} occurrences)");
                }
                text
            }
            _ => self.info_text(),
        }
    }

    fn info_text(&self) -> String {
        match self {
            Self::PossibleNonCounter { name } => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quoted(name)
            ),
            Self::PossibleNonCounterLabel { name, kind } => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quoted(kind),
                quoted(name)
            ),
            Self::ForcedMonotonicity(f) => f.text(),
            Self::IncompatibleTypes { op, left, right } => format!(
                "incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}"
            ),
            Self::IgnoredInAggregation { op } => format!("ignored histogram in {op} aggregation"),
            Self::IgnoredInMixedRange { name } => maybe_for_metric(
                "ignored histograms in a range containing both floats and histograms".to_owned(),
                name,
            ),
            Self::QuantileNanResult { name } => maybe_for_metric(
                "input to histogram_quantile has NaN observations, result is NaN".to_owned(),
                name,
            ),
            Self::QuantileNanSkew { name } => maybe_for_metric(
                "input to histogram_quantile has NaN observations, result is skewed higher"
                    .to_owned(),
                name,
            ),
            Self::FractionNans { name } => maybe_for_metric(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
                    .to_owned(),
                name,
            ),
            Self::MismatchedCustomBuckets { op } => {
                format!("mismatched custom buckets were reconciled during {}", op.as_str())
            }
            _ => String::new(),
        }
    }

    /// What two annotations share when one stands for both.
    fn key(&self) -> String {
        match self {
            Self::StartTimeOverlap { name, .. } => format!("{}{name}", Self::OVERLAP),
            Self::ForcedMonotonicity(f) => {
                maybe_for_metric(ForcedMonotonicity::HEAD.to_owned(), &f.name)
            }
            _ => self.text(),
        }
    }
}

/// Rounded to two significant digits.
fn two_digits(v: f64) -> f64 {
    format!("{v:.1e}").parse().unwrap_or(v)
}

impl ForcedMonotonicity {
    const HEAD: &'static str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

    fn text(&self) -> String {
        let mut text = maybe_for_metric(Self::HEAD.to_owned(), &self.name);
        let _ = write!(
            text,
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            G(self.buckets.0),
            G(self.buckets.1),
            G(two_digits(self.max_diff)),
            self.count,
            Rfc3339(self.ts.0 / 1000 * 1000),
            Rfc3339(self.ts.1 / 1000 * 1000),
        );
        text
    }
}

/// Whether it is an info, and what two annotations share when one stands for both.
type Key = (bool, String);

/// The annotations of a query, each text once.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Of two with one key the position further right in the query stays.
    notes: Mutex<BTreeMap<Key, (Note, Option<PosRange>)>>,
}

impl Notes {
    /// Adds `note` about the sub-expression at `span`.
    pub(crate) fn add(&self, note: Note, span: PosRange) {
        self.insert(note, Some(span));
    }

    /// Adds a warning of the source, which concerns no position.
    pub(crate) fn add_source_warning(&self, text: String) {
        self.insert(Note::Source(text), None);
    }

    fn insert(&self, mut note: Note, span: Option<PosRange>) {
        let mut notes = self.notes.lock().expect("no panic while adding a note");
        let key = (note.is_info(), note.key());
        if let Some((old, old_span)) = notes.get_mut(&key) {
            match (&mut note, &*old) {
                (Note::ForcedMonotonicity(a), Note::ForcedMonotonicity(b)) => a.merge(b),
                (
                    Note::StartTimeOverlap { count, .. },
                    Note::StartTimeOverlap { count: before, .. },
                ) => *count += before,
                _ => {}
            }
            *old = note;
            if span.map(|s| s.start) > old_span.map(|s| s.start) {
                *old_span = span;
            }
            return;
        }
        notes.insert(key, (note, span));
    }

    /// The annotations as the user sees them, with `(line:column)` of the offending part of `query`.
    pub(crate) fn render(&self, query: &str) -> Annotations {
        let notes = self.notes.lock().expect("no panic while adding a note");
        let mut out = Annotations::default();
        for (note, span) in notes.values() {
            let text = note.text();
            let mut full = match note {
                Note::Source(_) => text,
                _ if note.is_info() => format!("PromQL info: {text}"),
                _ => format!("PromQL warning: {text}"),
            };
            if let Some((line, column)) = span.and_then(|s| s.line_col(query)) {
                let _ = write!(full, " ({line}:{column})");
            }
            if note.is_info() {
                out.infos.push(full);
            } else {
                out.warnings.push(full);
            }
        }
        out
    }
}

/// The annotations of a finished query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// Results may be wrong; sorted.
    pub(crate) warnings: Vec<String>,
    /// Results are as asked for, but perhaps not as meant; sorted.
    pub(crate) infos: Vec<String>,
}
