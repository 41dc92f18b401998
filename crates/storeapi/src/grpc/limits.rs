//! What one request may make a store send.

use model::ErrorKind;
use runtime::Memory;

use crate::store::StoreError;

/// Limits of one answer; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Series, each part of one counted.
    pub series_max: u64,
    /// Samples.
    pub samples_max: u64,
}

/// A quarter of the memory, at 400 bytes for a series with its labels.
const BYTES_PER_SERIES: u64 = 4 * 400;
/// A quarter of the memory, at a byte for a compressed sample.
const BYTES_PER_SAMPLE: u64 = 4;

impl Limits {
    /// What was said by flags; what nobody said follows from the memory.
    pub fn new(series_max: Option<u64>, samples_max: Option<u64>, memory: Memory) -> Self {
        // 0 would mean any number.
        let part = |parts| memory.part(parts).max(1);
        Self {
            series_max: series_max.unwrap_or_else(|| part(BYTES_PER_SERIES)),
            samples_max: samples_max.unwrap_or_else(|| part(BYTES_PER_SAMPLE)),
        }
    }
}

/// What of the limits an answer has used.
#[derive(Debug, Default)]
pub(super) struct Usage {
    limits: Limits,
    series: u64,
    samples: u64,
}

impl Usage {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Counts series that are about to be sent, and their samples.
    pub(super) fn count(&mut self, series: u64, samples: u64) -> Result<(), StoreError> {
        let Limits {
            series_max,
            samples_max,
        } = self.limits;
        self.series += series;
        self.samples += samples;
        if series_max > 0 && self.series > series_max {
            let flag = "--store.limits.request-series";
            return Err(exceeded(self.series, "series", series_max, flag));
        }
        if samples_max > 0 && self.samples > samples_max {
            let flag = "--store.limits.request-samples";
            return Err(exceeded(self.samples, "samples", samples_max, flag));
        }
        Ok(())
    }
}

fn exceeded(used: u64, what: &str, limit: u64, flag: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Exhausted,
        format!(
            "the answer has {used} {what} or more, and the limit of the store is {limit} ({flag}); select less"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_limit_its_flag_and_what_exceeded_it() {
        let limits = Limits {
            series_max: 5,
            samples_max: 100,
        };
        let mut usage = Usage::new(limits);
        usage.count(5, 100).unwrap();
        let error = usage.count(2, 0).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exhausted);
        for said in [
            "7 series",
            "limit of the store is 5 (--store.limits.request-series)",
        ] {
            assert!(error.message.contains(said), "{}", error.message);
        }
        let error = Usage::new(limits).count(1, 101).unwrap_err();
        for said in [
            "101 samples",
            "limit of the store is 100 (--store.limits.request-samples)",
        ] {
            assert!(error.message.contains(said), "{}", error.message);
        }
    }

    #[test]
    fn limits_that_nobody_said_follow_from_the_memory() {
        let memory = Memory {
            bytes: 16_000,
            ..Memory::default()
        };
        let limits = |series, samples| {
            let limits = Limits::new(series, samples, memory);
            (limits.series_max, limits.samples_max)
        };
        assert_eq!(limits(None, None), (10, 4000));
        assert_eq!(limits(Some(0), Some(7)), (0, 7));
    }
}
