//! Quantiles of what was observed in the last minutes.
//!
//! Observations are counted in buckets whose bounds grow by a twentieth, so that a quantile is off by
//! less than that; those of two minutes each are kept apart, so that old ones can be forgotten.

use std::time::{Duration, Instant};

/// How many ages there are, and how long each lasts: as long as in Prometheus' client libraries.
const AGES: usize = 5;
const AGE: Duration = Duration::from_secs(120);

/// The upper bound of the first bucket, in whatever unit is observed, and what bounds grow by.
const FIRST: f64 = 1e-6;
const GROWTH: f64 = 1.05;
/// Buckets, up to some 4000 seconds.
const BUCKETS: usize = 454;

/// How often something was observed, the sum of all observations, and quantiles of the newest.
#[derive(Debug)]
pub struct Quantiles {
    wanted: &'static [f64],
    count: u64,
    sum: f64,
    /// In a ring, made when first needed.
    ages: [Vec<u32>; AGES],
    current: usize,
    /// When the current age began.
    began: Option<Instant>,
}

impl Quantiles {
    /// Without observations; `wanted` are between 0 and 1.
    pub fn new(wanted: &'static [f64]) -> Self {
        Self {
            wanted,
            count: 0,
            sum: 0.0,
            ages: [const { Vec::new() }; AGES],
            current: 0,
            began: None,
        }
    }

    /// Counts an observation made at `now`.
    pub fn observe(&mut self, value: f64, now: Instant) {
        self.count += 1;
        self.sum += value;
        let began = *self.began.get_or_insert(now);
        let passed = ages_since(began, now);
        if passed > 0 {
            for _ in 0..passed.min(AGES) {
                self.current = (self.current + 1) % AGES;
                self.ages[self.current].fill(0);
            }
            self.began = Some(began + AGE * u32::try_from(passed).unwrap_or(u32::MAX));
        }
        let age = &mut self.ages[self.current];
        age.resize(BUCKETS, 0);
        age[bucket_of(value)] += 1;
    }

    /// The wanted quantiles as of `now`, not a number where nothing was observed of late; how often
    /// something was observed, and the sum.
    pub fn read(&self, now: Instant) -> (Vec<(f64, f64)>, u64, f64) {
        let passed = self.began.map_or(AGES, |began| ages_since(began, now));
        // The oldest ages are over by now.
        let newest = (0..AGES.saturating_sub(passed))
            .map(|back| &self.ages[(self.current + AGES - back) % AGES]);
        let mut counts = vec![0_u64; BUCKETS];
        for age in newest {
            for (all, count) in counts.iter_mut().zip(age) {
                *all += u64::from(*count);
            }
        }
        let all: u64 = counts.iter().sum();
        let quantile = |wanted: f64| {
            let rank = ((all as f64 * wanted).ceil() as u64).max(1);
            let mut below = 0;
            let bucket = counts.iter().position(|count| {
                below += count;
                below >= rank
            });
            bucket.map_or(f64::NAN, |bucket| FIRST * GROWTH.powi(bucket as i32))
        };
        let quantiles = self.wanted.iter().map(|q| (*q, quantile(*q))).collect();
        (quantiles, self.count, self.sum)
    }
}

fn ages_since(began: Instant, now: Instant) -> usize {
    let ages = now.saturating_duration_since(began).as_secs() / AGE.as_secs();
    usize::try_from(ages).unwrap_or(usize::MAX)
}

fn bucket_of(value: f64) -> usize {
    // What is no number, and what is below the first bound, is in the first.
    let steps = ((value / FIRST).ln() / GROWTH.ln()).ceil().max(0.0);
    (steps as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near_and_old_observations_forgotten() {
        let start = Instant::now();
        let mut quantiles = Quantiles::new(&[0.5, 0.9, 1.0]);
        for i in 1..=1000 {
            quantiles.observe(f64::from(i) / 100.0, start);
        }
        let (read, count, sum) = quantiles.read(start);
        for ((quantile, value), expected) in read.into_iter().zip([5.0, 9.0, 10.0]) {
            assert!((value / expected - 1.0).abs() < 0.05, "{quantile} {value}");
        }
        assert_eq!((count, sum.round()), (1000, 5005.0));
        quantiles.observe(100.0, start + AGE * 4);
        let (read, ..) = quantiles.read(start + AGE * 4);
        assert!(read[0].1 < 6.0, "{read:?}");
        let (read, ..) = quantiles.read(start + AGE * 5);
        assert!((read[0].1 / 100.0 - 1.0).abs() < 0.05, "{read:?}");
        let (read, count, _) = quantiles.read(start + AGE * 9);
        assert!(read.iter().all(|(_, value)| value.is_nan()), "{read:?}");
        assert_eq!(count, 1001);
    }

    #[test]
    fn whatever_is_observed_is_in_some_bucket() {
        let now = Instant::now();
        let mut quantiles = Quantiles::new(&[0.5]);
        for value in [
            f64::NAN,
            f64::NEG_INFINITY,
            -1.0,
            0.0,
            1e-9,
            1e300,
            f64::INFINITY,
        ] {
            quantiles.observe(value, now);
        }
        assert_eq!(quantiles.read(now).1, 7);
    }
}
