//! Flags of how long queries take by what they read.

use runtime::Error;

use super::refused;
use crate::figures::Bounds;

/// Flags of figures that tell queries apart by what they read.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TelemetryFlags {
    /// Bound, in seconds, of how long queries take, in thanos_store_api_query_duration_seconds. May be
    /// repeated, in ascending order. Not said, 0.1, 0.25, 0.75, 1.25, 1.75, 2.5, 3, 5 and 10.
    #[arg(
        long = "query.telemetry.request-duration-seconds-quantiles",
        value_name = "SECONDS"
    )]
    pub seconds: Vec<f64>,
    /// Bound of the samples that a query reads, by which it is counted there. May be repeated, in
    /// ascending order. Not said, 100, 1000, 10000, 100000 and 1000000.
    #[arg(
        long = "query.telemetry.request-samples-quantiles",
        value_name = "COUNT"
    )]
    pub samples: Vec<f64>,
    /// Bound of the series that a query reads, by which it is counted there. May be repeated, in
    /// ascending order. Not said, 10, 100, 1000, 10000 and 100000.
    #[arg(
        long = "query.telemetry.request-series-seconds-quantiles",
        value_name = "COUNT"
    )]
    pub series: Vec<f64>,
}

impl TelemetryFlags {
    /// The bounds.
    ///
    /// # Errors
    /// [`Error::Flag`] for bounds that do not ascend.
    pub(super) fn resolve(&self) -> Result<Bounds, Error> {
        let default = Bounds::default();
        Ok(Bounds {
            seconds: ascending(
                "query.telemetry.request-duration-seconds-quantiles",
                (&self.seconds, default.seconds),
            )?,
            samples: ascending(
                "query.telemetry.request-samples-quantiles",
                (&self.samples, default.samples),
            )?,
            series: ascending(
                "query.telemetry.request-series-seconds-quantiles",
                (&self.series, default.series),
            )?,
        })
    }
}

/// The bounds that were said, or else those that are usual.
fn ascending(flag: &'static str, (said, default): (&[f64], Vec<f64>)) -> Result<Vec<f64>, Error> {
    if said.is_empty() {
        return Ok(default);
    }
    let is_fine = said.iter().all(|bound| bound.is_finite()) && said.is_sorted_by(|a, b| a < b);
    match is_fine {
        true => Ok(said.to_vec()),
        false => Err(refused(
            flag,
            "say numbers, each greater than the one before",
        )),
    }
}
