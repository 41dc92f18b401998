//! Distributions with fixed buckets.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts observations by upper bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: Cow<'static, [f64]>,
    /// One more than bounds: the last counts what is above all of them.
    counts: Box<[AtomicU64]>,
    sum_bits: AtomicU64,
}

impl Histogram {
    /// Bounds in seconds for requests, as Prometheus' client libraries have them.
    pub const SECONDS: &'static [f64] = &[
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ];

    /// Bounds in seconds for what Thanos' servers and stores do.
    pub const THANOS_SECONDS: &'static [f64] = &[
        0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0,
    ];

    /// `N` bounds, of which each is twice the one before.
    pub const fn doubling<const N: usize>(first: f64) -> [f64; N] {
        let mut bounds = [first; N];
        let mut i = 1;
        while i < N {
            bounds[i] = bounds[i - 1] * 2.0;
            i += 1;
        }
        bounds
    }

    /// A histogram over ascending bounds.
    pub fn new(bounds: impl Into<Cow<'static, [f64]>>) -> Self {
        let bounds = bounds.into();
        Self {
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            bounds,
            sum_bits: AtomicU64::new(0f64.to_bits()),
        }
    }

    /// Counts an observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.add_sum(value);
    }

    /// A tally of observations to be added later.
    pub fn tally(&self) -> Tally {
        Tally {
            bounds: self.bounds.clone(),
            counts: vec![0; self.bounds.len() + 1].into(),
            sum: 0.0,
        }
    }

    /// Adds what a tally of this histogram counted.
    pub fn add(&self, tally: &Tally) {
        for (count, more) in self.counts.iter().zip(&tally.counts) {
            if *more > 0 {
                count.fetch_add(*more, Ordering::Relaxed);
            }
        }
        self.add_sum(tally.sum);
    }

    fn add_sum(&self, value: f64) {
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // Always `Ok`: `add` never gives up.
        let _ = (self.sum_bits).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The number of observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// Bounds, the last of them infinity, with the number of observations up to each, and the sum of all.
    pub fn read(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut below = 0;
        let buckets: Vec<_> = (bounds.zip(&self.counts))
            .map(|(bound, count)| {
                below += count.load(Ordering::Relaxed);
                (bound, below)
            })
            .collect();
        let sum = f64::from_bits(self.sum_bits.load(Ordering::Relaxed));
        (buckets, sum)
    }
}

/// Observations that their only owner counts, to be added to a histogram all at once.
#[derive(Debug)]
pub struct Tally {
    bounds: Cow<'static, [f64]>,
    counts: Box<[u64]>,
    sum: f64,
}

impl Tally {
    /// Counts an observation.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_may_double() {
        assert_eq!(
            Histogram::doubling::<4>(100.0),
            [100.0, 200.0, 400.0, 800.0]
        );
    }

    #[test]
    fn bounds_are_inside() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 3.0] {
            histogram.observe(value);
        }
        let expected = vec![(1.0, 2), (2.0, 3), (f64::INFINITY, 4)];
        assert_eq!(histogram.read(), (expected, 6.0));
        let mut tally = histogram.tally();
        tally.observe(1.5);
        tally.observe(9.0);
        histogram.add(&tally);
        let expected = vec![(1.0, 2), (2.0, 4), (f64::INFINITY, 6)];
        assert_eq!(histogram.read(), (expected, 16.5));
    }
}
