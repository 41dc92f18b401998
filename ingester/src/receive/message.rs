//! Series that were decoded already, as gRPC hands them over.

use model::{Sample, Value};
use proto::prometheus::{Label, TimeSeries};
use tsdb::batch::TimedHistogram;

use super::decoded::{DecodeOptions, Decoded};
use super::outcome::Reason;
use super::v1::new_exemplar;
use super::wire::DecodeError;

/// Fills `out`, which is cleared before, with `series`.
///
/// # Errors
/// [`DecodeError`] when there is more than a request may hold.
pub fn fill(
    series: &[TimeSeries],
    options: &DecodeOptions,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    out.clear();
    let mut labels = Vec::with_capacity(32);
    for one in series {
        let samples = one.samples.len() + one.histograms.len();
        out.count(samples, options)?;
        if samples == 0 && one.exemplars.is_empty() {
            continue;
        }
        if !texts(&one.labels, &mut labels) {
            out.refuse(Reason::InvalidUtf8, samples, &labels);
            continue;
        }
        let Some(batch) = out.begin(&mut labels, samples, options, None) else {
            continue;
        };
        for sample in &one.samples {
            batch.float(sample.timestamp, sample.value);
        }
        for histogram in &one.histograms {
            let Sample { t, value } = Sample::from(histogram);
            match value {
                Value::Histogram(histogram) => {
                    batch.histogram(TimedHistogram::Integer(t, *histogram));
                }
                Value::FloatHistogram(histogram) => {
                    batch.histogram(TimedHistogram::Float(t, *histogram));
                }
                Value::Float(v) => batch.float(t, v),
            }
        }
        let mut of_exemplar = Vec::new();
        for exemplar in &one.exemplars {
            if texts(&exemplar.labels, &mut of_exemplar)
                && let Some(exemplar) =
                    new_exemplar(&of_exemplar, exemplar.timestamp, exemplar.value)
            {
                batch.exemplar(exemplar);
            }
        }
    }
    Ok(())
}

/// Fills `out` with labels; false when one is not UTF-8.
fn texts<'a>(labels: &'a [Label], out: &mut Vec<(&'a str, &'a str)>) -> bool {
    out.clear();
    for label in labels {
        let name = std::str::from_utf8(&label.name);
        let value = std::str::from_utf8(&label.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return false;
        };
        out.push((name, value));
    }
    true
}
