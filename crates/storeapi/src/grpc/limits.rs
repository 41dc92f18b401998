//! What one request may make a store send.

use model::ErrorKind;

use crate::store::StoreError;

/// Limits of one answer; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Series, each part of one counted.
    pub series_max: u64,
    /// Samples.
    pub samples_max: u64,
}

impl Limits {
    /// Series that an answer may have unless somebody says otherwise.
    pub const SERIES: u64 = 5_000_000;
    /// Samples that an answer may have unless somebody says otherwise.
    pub const SAMPLES: u64 = 2_000_000_000;
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
            return Err(exceeded(
                "series",
                series_max,
                "--store.limits.request-series",
            ));
        }
        if samples_max > 0 && self.samples > samples_max {
            return Err(exceeded(
                "samples",
                samples_max,
                "--store.limits.request-samples",
            ));
        }
        Ok(())
    }
}

fn exceeded(what: &str, limit: u64, flag: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Exhausted,
        format!(
            "the answer has more than {limit} {what}; select less, or raise the store's limit {flag}"
        ),
    )
}
