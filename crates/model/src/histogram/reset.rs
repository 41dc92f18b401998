//! Detection of counter resets.

use super::arithmetic::shared_bounds;
use super::layout::{self, Indices};
use super::schema::is_custom_schema;
use super::zero::buckets_within_zero;
use super::{CounterResetHint, FloatHistogram, Span};

impl FloatHistogram {
    /// True when this histogram cannot follow `previous` without a counter reset in between: the
    /// count of observations or of a bucket went down, or a populated bucket is gone.
    ///
    /// A hint decides if there is one. The hint of a gauge histogram is not, so that functions for
    /// counters do on gauges what they would do on counters. A higher resolution or a smaller zero
    /// threshold only comes with a reset. If they went the other way, `previous` is compared as it
    /// would look then, unless that would split one of its populated buckets, which is a reset.
    /// With other custom bounds than before, the buckets between shared bounds are compared.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if is_custom_schema(self.schema) {
            if !is_custom_schema(previous.schema) {
                return true;
            }
            if self.custom_values != previous.custom_values {
                return self.detect_custom_reset(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let zero = previous.zero_for_threshold(self.zero_threshold, None);
        if zero.threshold != self.zero_threshold || self.zero_count < zero.count {
            return true;
        }
        let frame = Frame {
            schema: self.schema,
            lowered_by: previous.schema.abs_diff(self.schema),
            threshold: self.zero_threshold,
        };
        frame.went_down(
            (&previous.positive_spans, &previous.positive_buckets),
            (&self.positive_spans, &self.positive_buckets),
        ) || frame.went_down(
            (&previous.negative_spans, &previous.negative_buckets),
            (&self.negative_spans, &self.negative_buckets),
        )
    }

    fn detect_custom_reset(&self, previous: &Self) -> bool {
        let bounds = shared_bounds(&self.custom_values, &previous.custom_values);
        let mut before = vec![0.0; bounds.len() + 1];
        let mut now = before.clone();
        for (to, count) in previous.buckets_at(&bounds) {
            before[to] += count;
        }
        for (to, count) in self.buckets_at(&bounds) {
            now[to] += count;
        }
        now.iter().zip(&before).any(|(now, before)| now < before)
    }
}

/// What the buckets of two histograms are compared in.
struct Frame {
    schema: i32,
    /// How much higher the schema of the previous histogram is.
    lowered_by: u32,
    /// Buckets that end within it are in the zero bucket.
    threshold: f64,
}

impl Frame {
    fn went_down(&self, previous: (&[Span], &[f64]), now: (&[Span], &[f64])) -> bool {
        if self.lowered_by == 0 {
            return self.fell(previous, now);
        }
        let counts = previous.1.iter().copied();
        let (spans, buckets) = layout::reduce(previous.0, counts, self.lowered_by, |sum, count| {
            *sum += count;
        });
        self.fell((&spans, &buckets), now)
    }

    /// True when a bucket has less than it had, where those that are not there have nothing.
    fn fell(&self, previous: (&[Span], &[f64]), now: (&[Span], &[f64])) -> bool {
        if previous.0 == now.0 && previous.1.len() == now.1.len() {
            // What nearly all samples take: the layout is that of the sample before.
            let first = self.within_zero(now);
            let before = previous.1[first..].iter();
            return now.1[first..]
                .iter()
                .zip(before)
                .any(|(now, before)| now < before);
        }
        let mut now = self.counts(now).peekable();
        self.counts(previous).any(|(index, before)| {
            while now.next_if(|&(at, _)| at < index).is_some() {}
            match now.next_if(|&(at, _)| at == index) {
                Some((_, count)) => count < before,
                None => before != 0.0,
            }
        })
    }

    fn counts<'a>(
        &self,
        side: (&'a [Span], &'a [f64]),
    ) -> impl Iterator<Item = (i32, f64)> + use<'a> {
        Indices::new(side.0, side.1.len())
            .zip(side.1.iter().copied())
            .skip(self.within_zero(side))
    }

    fn within_zero(&self, side: (&[Span], &[f64])) -> usize {
        buckets_within_zero(side.0, side.1.len(), self.schema, self.threshold)
    }
}
