//! Classic histograms as native ones: the samples of one histogram, which a target exposes one after the
//! other, become a single sample whose buckets have the bounds that `le` says.

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::labels::METRIC_NAME;
use model::{CounterResetHint, Exemplar, FloatHistogram, Histogram, Labels, LabelsBuilder, Span};
use tsdb::batch::TimedHistogram;

/// What a sample says of its histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scrape) enum Place {
    /// How many observations are at most this large.
    Bucket(f64),
    /// The sum of all observations.
    Sum,
    /// How many observations there are.
    Count,
}

/// What the labels of a sample of the histogram `family` say of it, and those of the histogram; nothing
/// if it is no such sample.
pub(super) fn place(labels: &Labels, family: &str) -> Option<(Place, Labels)> {
    let suffix = labels.metric_name().strip_prefix(family)?;
    let place = match suffix {
        "_bucket" => Place::Bucket(
            labels
                .get("le")?
                .parse()
                .ok()
                .filter(|le: &f64| !le.is_nan())?,
        ),
        "_sum" => Place::Sum,
        "_count" => Place::Count,
        _ => return None,
    };
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(METRIC_NAME, family).delete("le");
    Some((place, builder.labels()))
}

/// What was read of a histogram.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Bounds and how many observations are at most that large, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    /// Something contradicts itself.
    is_wrong: bool,
    /// Those of its buckets; and whether they say their time.
    pub(super) exemplars: Vec<(Exemplar, bool)>,
}

impl Collected {
    /// Takes a sample.
    pub(super) fn add(&mut self, place: Place, value: f64) {
        match place {
            Place::Sum => self.sum = value,
            Place::Count => {
                self.is_wrong |= value < 0.0;
                self.count = Some(value);
            }
            Place::Bucket(le) => {
                let at = self.buckets.partition_point(|(bound, _)| *bound < le);
                if self.buckets.get(at).is_some_and(|(bound, _)| *bound == le) {
                    return;
                }
                self.buckets.insert(at, (le, value));
            }
        }
    }

    /// The histogram; nothing if what was read contradicts itself.
    pub(super) fn histogram(&mut self, t: i64) -> Option<TimedHistogram> {
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        // What is no number is no error here; the check of the histogram finds it.
        let counts = || self.buckets.iter().map(|(_, count)| *count);
        let falls = counts().zip(counts().skip(1)).any(|(a, b)| b < a);
        let is_less = counts().next().is_some_and(|first| first < 0.0);
        let total = counts().next_back();
        if self.is_wrong || falls || is_less || total != Some(count) {
            return None;
        }
        let whole = |count: f64| count.fract() == 0.0 && count < INTEGERS_END;
        let histogram = match counts().all(whole) {
            true => TimedHistogram::Integer(t, self.integers(count)),
            false => TimedHistogram::Float(t, self.floats(count)),
        };
        let is_sound = match &histogram {
            TimedHistogram::Integer(_, h) => h.validate().is_ok(),
            TimedHistogram::Float(_, h) => h.validate().is_ok(),
        };
        is_sound.then_some(histogram)
    }

    fn floats(&self, count: f64) -> FloatHistogram {
        let mut below = 0.0;
        let each = self.buckets.iter().map(|(_, at_most)| {
            let own = at_most - below;
            below = *at_most;
            own
        });
        let mut histogram = FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_buckets: each.collect(),
            positive_spans: self.spans(),
            custom_values: self.bounds(),
            ..FloatHistogram::default()
        };
        histogram.compact(0);
        histogram
    }

    /// The counts are whole numbers below [`INTEGERS_END`].
    fn integers(&self, count: f64) -> Histogram {
        let (mut below, mut previous) = (0, 0);
        let deltas = self.buckets.iter().map(|(_, at_most)| {
            let own = *at_most as i64 - below;
            let delta = own - previous;
            (below, previous) = (*at_most as i64, own);
            delta
        });
        let mut histogram = Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: count as u64,
            sum: self.sum,
            positive_buckets: deltas.collect(),
            positive_spans: self.spans(),
            custom_values: self.bounds(),
            ..Histogram::default()
        };
        histogram.compact(2);
        histogram
    }

    fn spans(&self) -> Vec<Span> {
        let length = u32::try_from(self.buckets.len()).expect("bodies hold fewer buckets");
        vec![Span { offset: 0, length }]
    }

    /// The last bound is not listed: it is that of all.
    fn bounds(&self) -> Vec<f64> {
        let bounds = self.buckets.iter().map(|(bound, _)| *bound);
        bounds.filter(|bound| *bound != f64::INFINITY).collect()
    }
}

/// From here on not every integer is a float, nor fits an `i64` with its differences.
const INTEGERS_END: f64 = 9_007_199_254_740_992.0;
