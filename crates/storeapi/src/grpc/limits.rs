//! What one request may make a store send.

use model::ErrorKind;
use tsdb::chunk::SAMPLES_PER_CHUNK;

use crate::store::{ChunkData, Series, StoreError};

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

    /// Counts series that are about to be sent.
    pub(super) fn count(&mut self, series: &[Series]) -> Result<(), StoreError> {
        if self.limits.series_max > 0 {
            self.series += series.len() as u64;
            if self.series > self.limits.series_max {
                return Err(exceeded(
                    "series",
                    self.limits.series_max,
                    "--store.limits.request-series",
                ));
            }
        }
        if self.limits.samples_max > 0 {
            let chunks = series.iter().flat_map(|series| &series.chunks);
            self.samples += chunks.map(|chunk| samples(&chunk.data)).sum::<u64>();
            if self.samples > self.limits.samples_max {
                return Err(exceeded(
                    "samples",
                    self.limits.samples_max,
                    "--store.limits.request-samples",
                ));
            }
        }
        Ok(())
    }
}

/// Samples of a chunk; of damaged ones, which the asker will tell, the usual number.
fn samples(data: &ChunkData) -> u64 {
    let count = data
        .parts()
        .next()
        .and_then(|chunk| chunk.sample_count().ok());
    u64::from(count.unwrap_or(SAMPLES_PER_CHUNK))
}

fn exceeded(what: &str, limit: u64, flag: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Exhausted,
        format!(
            "the answer has more than {limit} {what}; select less, or raise the store's limit {flag}"
        ),
    )
}
