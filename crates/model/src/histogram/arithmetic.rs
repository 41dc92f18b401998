//! Arithmetic of float histograms, in the order of operations that Prometheus has.

use super::convert::reduce_counts;
use super::layout::{self, Indices, Spans};
use super::merge::{Addend, Side};
use super::schema::{bound, is_custom_schema};
use super::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::kahan;

/// One of two histograms has custom buckets, the other an exponential schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot combine a histogram that has custom buckets with one that has an exponential schema"
)]
pub struct MixedSchemas;

/// What a sum or difference had to make up for; each deserves an annotation of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Reconciled {
    /// One histogram says that a counter reset happened, the other that none did.
    pub counter_reset_collision: bool,
    /// Custom bounds differ; the result has those that are in both.
    pub custom_bounds: bool,
}

impl FloatHistogram {
    /// Multiplies counts and sum. A negative factor makes it a gauge histogram.
    pub fn mul(&mut self, factor: f64) -> &mut Self {
        self.scale(|v| v * factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
        self
    }

    /// Divides counts and sum. A negative divisor makes it a gauge histogram; division by zero
    /// leaves no buckets.
    pub fn div(&mut self, divisor: f64) -> &mut Self {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.negative_spans.clear();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        }
        self.scale(|v| v / divisor);
        if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
        self
    }

    fn scale(&mut self, by: impl Fn(f64) -> f64) {
        let totals = [&mut self.zero_count, &mut self.count, &mut self.sum];
        let buckets = self
            .positive_buckets
            .iter_mut()
            .chain(&mut self.negative_buckets);
        for v in totals.into_iter().chain(buckets) {
            *v = by(*v);
        }
    }

    /// Adds `other`, bucket by bucket. Schema and zero threshold change if those of `other` are
    /// coarser. The result may have empty buckets; [`FloatHistogram::compact`] drops them.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if only one of the two has custom buckets.
    pub fn add(&mut self, other: &Self) -> Result<Reconciled, MixedSchemas> {
        self.add_signed(other, 1.0)
    }

    /// Subtracts `other`; see [`FloatHistogram::add`]. The counter reset hint becomes that of a
    /// sum, so that means can be computed with it; the result of PromQL's `-` is a gauge histogram,
    /// which its caller has to see to.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if only one of the two has custom buckets.
    pub fn sub(&mut self, other: &Self) -> Result<Reconciled, MixedSchemas> {
        self.add_signed(other, -1.0)
    }

    fn add_signed(&mut self, other: &Self, sign: f64) -> Result<Reconciled, MixedSchemas> {
        let mut reconciled = self.reconcile_kinds(other)?;
        if !is_custom_schema(self.schema) {
            let theirs = self.reconcile_zero(other, None);
            self.zero_count += sign * theirs.count;
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if is_custom_schema(self.schema) && self.custom_values != other.custom_values {
            reconciled.custom_bounds = true;
            self.intersect_custom(other, sign, &mut Vec::new());
            return Ok(reconciled);
        }
        let reduced;
        let other = if other.schema > self.schema {
            reduced = other.at_schema(self.schema);
            &reduced
        } else {
            other
        };
        if other.schema < self.schema {
            let by = self.schema.abs_diff(other.schema);
            reduce_counts(&mut self.positive_spans, &mut self.positive_buckets, by);
            reduce_counts(&mut self.negative_spans, &mut self.negative_buckets, by);
            self.schema = other.schema;
        }
        let [positive, negative] = other.addends(self.schema, self.zero_threshold);
        self.positive_side().add(&positive, sign);
        self.negative_side().add(&negative, sign);
        Ok(reconciled)
    }

    /// A histogram to keep what [`FloatHistogram::kahan_add`] loses by rounding: all counts zero.
    #[must_use]
    pub fn zero_compensation(&self) -> Self {
        Self {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            custom_values: self.custom_values.clone(),
            ..Self::default()
        }
    }

    /// Adds `other` as [`FloatHistogram::add`] does, and to `compensation` what rounding loses. The
    /// total is this histogram plus the compensation, which [`FloatHistogram::add`] yields.
    ///
    /// Start with [`FloatHistogram::zero_compensation`]; pass the same two histograms each time.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if only one of the two has custom buckets.
    pub fn kahan_add(
        &mut self,
        other: &Self,
        compensation: &mut Self,
    ) -> Result<Reconciled, MixedSchemas> {
        let mut reconciled = self.reconcile_kinds(other)?;
        let lost = compensation;
        if !is_custom_schema(self.schema) {
            let theirs = self.reconcile_zero(other, Some(lost));
            for count in [theirs.count, theirs.compensation] {
                (self.zero_count, lost.zero_count) =
                    kahan::add(count, self.zero_count, lost.zero_count);
            }
        }
        (self.count, lost.count) = kahan::add(other.count, self.count, lost.count);
        (self.sum, lost.sum) = kahan::add(other.sum, self.sum, lost.sum);
        if is_custom_schema(self.schema) && self.custom_values != other.custom_values {
            reconciled.custom_bounds = true;
            self.intersect_custom(other, 1.0, &mut lost.positive_buckets);
        } else {
            self.kahan_add_buckets(other, lost);
        }
        self.share_layout(lost);
        Ok(reconciled)
    }

    fn kahan_add_buckets(&mut self, other: &Self, lost: &mut Self) {
        if other.schema < self.schema {
            let by = self.schema.abs_diff(other.schema);
            let Self {
                positive_spans,
                positive_buckets,
                ..
            } = self;
            kahan_reduce(
                positive_spans,
                positive_buckets,
                &mut lost.positive_buckets,
                by,
            );
            let Self {
                negative_spans,
                negative_buckets,
                ..
            } = self;
            kahan_reduce(
                negative_spans,
                negative_buckets,
                &mut lost.negative_buckets,
                by,
            );
            self.schema = other.schema;
        }
        if other.schema == self.schema {
            let [positive, negative] = other.addends(self.schema, self.zero_threshold);
            self.positive_side()
                .kahan_add(&mut lost.positive_buckets, &positive, None);
            self.negative_side()
                .kahan_add(&mut lost.negative_buckets, &negative, None);
            return;
        }
        let by = other.schema.abs_diff(self.schema);
        let mut other = other.clone();
        let (mut positive_lost, mut negative_lost) = (Vec::new(), Vec::new());
        kahan_reduce(
            &mut other.positive_spans,
            &mut other.positive_buckets,
            &mut positive_lost,
            by,
        );
        kahan_reduce(
            &mut other.negative_spans,
            &mut other.negative_buckets,
            &mut negative_lost,
            by,
        );
        let [positive, negative] = other.addends(self.schema, self.zero_threshold);
        self.positive_side()
            .kahan_add(&mut lost.positive_buckets, &positive, Some(&positive_lost));
        self.negative_side()
            .kahan_add(&mut lost.negative_buckets, &negative, Some(&negative_lost));
    }

    /// Gives `to` the layout of this histogram.
    fn share_layout(&self, to: &mut Self) {
        to.schema = self.schema;
        to.zero_threshold = self.zero_threshold;
        to.positive_spans.clone_from(&self.positive_spans);
        to.negative_spans.clone_from(&self.negative_spans);
        to.custom_values.clone_from(&self.custom_values);
    }

    fn positive_side(&mut self) -> Side<'_> {
        Side {
            spans: &mut self.positive_spans,
            buckets: &mut self.positive_buckets,
        }
    }

    fn negative_side(&mut self) -> Side<'_> {
        Side {
            spans: &mut self.negative_spans,
            buckets: &mut self.negative_buckets,
        }
    }

    /// The positive and negative buckets beyond the zero threshold of a sum with this schema.
    fn addends(&self, schema: i32, threshold: f64) -> [Addend<'_>; 2] {
        [
            Addend::new(
                &self.positive_spans,
                &self.positive_buckets,
                schema,
                threshold,
            ),
            Addend::new(
                &self.negative_spans,
                &self.negative_buckets,
                schema,
                threshold,
            ),
        ]
    }

    /// Refuses to mix custom with exponential buckets and makes the counter reset hint that of a
    /// sum: gauge if either is one, else unknown unless both are the same.
    fn reconcile_kinds(&mut self, other: &Self) -> Result<Reconciled, MixedSchemas> {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        if is_custom_schema(self.schema) != is_custom_schema(other.schema) {
            return Err(MixedSchemas);
        }
        let hints = (self.counter_reset_hint, other.counter_reset_hint);
        self.counter_reset_hint = match hints {
            (ours, theirs) if ours == theirs => ours,
            (Gauge, _) | (_, Gauge) => Gauge,
            _ => Unknown,
        };
        Ok(Reconciled {
            counter_reset_collision: matches!(hints, (Reset, NotReset) | (NotReset, Reset)),
            custom_bounds: false,
        })
    }

    /// Adds `other` times `sign` where custom bounds differ: both are brought to the bounds that
    /// they share. `lost` holds what compensates the buckets, or nothing, and is brought to them too.
    fn intersect_custom(&mut self, other: &Self, sign: f64, lost: &mut Vec<f64>) {
        let bounds = shared_bounds(&self.custom_values, &other.custom_values);
        let mut sums = vec![(0.0, 0.0); bounds.len() + 1];
        let lost_counts = std::mem::take(lost)
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        for ((to, count), lost) in self.buckets_at(&bounds).zip(lost_counts) {
            for count in std::iter::once(count).chain(lost) {
                sums[to] = kahan::add(count, sums[to].0, sums[to].1);
            }
        }
        for (to, count) in other.buckets_at(&bounds) {
            sums[to] = kahan::add(sign * count, sums[to].0, sums[to].1);
        }
        let mut spans = Spans::default();
        self.positive_buckets.clear();
        for (i, &(sum, lost_count)) in sums.iter().enumerate() {
            if sum != 0.0 || lost_count != 0.0 {
                spans.push(i as i32);
                self.positive_buckets.push(sum);
                lost.push(lost_count);
            }
        }
        self.positive_spans = spans.finish();
        self.custom_values = bounds;
    }

    /// The custom buckets in order, each with its place among those of `bounds`, which are some of
    /// the bounds of this histogram.
    pub(super) fn buckets_at<'a>(
        &'a self,
        bounds: &'a [f64],
    ) -> impl Iterator<Item = (usize, f64)> + 'a {
        let mut place = 0;
        Indices::new(&self.positive_spans, self.positive_buckets.len())
            .zip(&self.positive_buckets)
            .map(move |(index, &count)| {
                let upper = bound(index, CUSTOM_BUCKETS_SCHEMA, &self.custom_values);
                while bounds.get(place).is_some_and(|&bound| bound < upper) {
                    place += 1;
                }
                (place, count)
            })
    }
}

/// The bounds that are in both of two ascending lists.
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut shared = Vec::with_capacity(a.len().min(b.len()));
    let mut b = b.iter().peekable();
    for bound in a {
        while b.next_if(|&b| b < bound).is_some() {}
        if b.next_if_eq(&bound).is_some() {
            shared.push(*bound);
        }
    }
    shared
}

/// Lowers the schema of one side by `by`; `lost` holds what compensates its buckets, or nothing.
fn kahan_reduce(spans: &mut Vec<Span>, counts: &mut Vec<f64>, lost: &mut Vec<f64>, by: u32) {
    lost.resize(counts.len(), 0.0);
    let pairs = counts.iter().copied().zip(lost.iter().copied());
    let (reduced, pairs) = layout::reduce(spans, pairs, by, |sum, (count, lost)| {
        *sum = kahan::add(count, sum.0, sum.1);
        *sum = kahan::add(lost, sum.0, sum.1);
    });
    *spans = reduced;
    (*counts, *lost) = pairs.into_iter().unzip();
}
