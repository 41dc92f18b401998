//! Expected against actual results.

use std::collections::BTreeMap;

use model::sample::is_stale;
use model::{CounterResetHint, FloatHistogram, Labels};

use super::script::{ExpectedSeries, When};
use crate::columns::StepValue;
use crate::parse::series::SequenceValue;

/// Largest relative difference of two floats that count as equal.
const EPSILON: f64 = 1e-6;

/// A series of an actual result with its values by time in milliseconds.
pub(super) type ActualSeries = (Labels, Vec<(i64, StepValue)>);

/// True when the floats are equal but for rounding. NaN equals NaN, the stale marker only itself.
fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn all_almost_equal(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b))
}

/// True when the histograms are equal but for rounding and empty buckets. The counter reset hint
/// counts only when the script states one.
fn same_histogram(expected: &FloatHistogram, hint_stated: bool, actual: &FloatHistogram) -> bool {
    let (mut expected, mut actual) = (expected.clone(), actual.clone());
    expected.compact(0);
    actual.compact(0);
    (!hint_stated || expected.counter_reset_hint == actual.counter_reset_hint)
        && expected.schema == actual.schema
        && almost_equal(expected.count, actual.count)
        && almost_equal(expected.sum, actual.sum)
        && expected.zero_threshold == actual.zero_threshold
        && almost_equal(expected.zero_count, actual.zero_count)
        && expected.positive_spans == actual.positive_spans
        && expected.negative_spans == actual.negative_spans
        && all_almost_equal(&expected.positive_buckets, &actual.positive_buckets)
        && all_almost_equal(&expected.negative_buckets, &actual.negative_buckets)
        && expected.custom_values == actual.custom_values
}

fn same_value(expected: &SequenceValue, actual: &StepValue) -> bool {
    match (expected, actual) {
        (SequenceValue::Float(expected), StepValue::Float(actual)) => {
            almost_equal(*expected, *actual)
        }
        (
            SequenceValue::Histogram {
                histogram,
                has_hint,
            },
            StepValue::Histogram(actual),
        ) => same_histogram(histogram, *has_hint, actual),
        _ => false,
    }
}

fn show(value: &StepValue) -> String {
    match value {
        StepValue::Float(v) => v.to_string(),
        StepValue::Histogram(h) => {
            let hint = match h.counter_reset_hint {
                CounterResetHint::Unknown => "",
                CounterResetHint::Reset => " (reset)",
                CounterResetHint::NotReset => " (not_reset)",
                CounterResetHint::Gauge => " (gauge)",
            };
            format!("{h}{hint}")
        }
    }
}

fn show_expected(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "nothing".to_owned(),
        SequenceValue::Float(v) => v.to_string(),
        SequenceValue::Histogram { histogram, .. } => histogram.to_string(),
    }
}

/// Compares scalars.
pub(super) fn scalar(expected: f64, actual: f64) -> Result<(), String> {
    if almost_equal(expected, actual) {
        return Ok(());
    }
    Err(format!("expected {expected}, got {actual}"))
}

/// Compares an instant vector; its order counts only when `ordered`.
pub(super) fn vector(
    expected: &[ExpectedSeries],
    ordered: bool,
    actual: &[(Labels, StepValue)],
) -> Result<(), String> {
    let mut places: BTreeMap<&Labels, (usize, &StepValue)> = BTreeMap::new();
    for (place, (labels, value)) in actual.iter().enumerate() {
        if places.insert(labels, (place, value)).is_some() {
            return Err(format!("{labels} comes twice"));
        }
    }
    for (place, series) in expected.iter().enumerate() {
        let Some((actual_place, actual)) = places.remove(&series.labels) else {
            return Err(format!("{} is missing", series.labels));
        };
        if ordered && place != actual_place {
            let (place, actual_place) = (place + 1, actual_place + 1);
            return Err(format!(
                "{} is number {actual_place} instead of {place}",
                series.labels
            ));
        }
        match series.values.first() {
            Some(expected) if same_value(expected, actual) => {}
            Some(expected) => {
                return Err(format!(
                    "{}: expected {}, got {}",
                    series.labels,
                    show_expected(expected),
                    show(actual)
                ));
            }
            None => return Err(format!("{}: the script states no value", series.labels)),
        }
    }
    match places.first_key_value() {
        Some((labels, (_, value))) => Err(format!("{labels} {} is unexpected", show(value))),
        None => Ok(()),
    }
}

/// Compares series over the steps of `when`. The actual ones must come sorted.
pub(super) fn matrix(
    expected: &[ExpectedSeries],
    when: When,
    actual: &[ActualSeries],
) -> Result<(), String> {
    if let Some(pair) = actual.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        return Err(format!("{} comes before {}", pair[0].0, pair[1].0));
    }
    let mut by_labels: BTreeMap<_, _> = actual.iter().map(|(l, values)| (l, values)).collect();
    for series in expected {
        let points = points(&series.values, when)
            .ok_or_else(|| format!("{}: more values than steps are stated", series.labels))?;
        let Some(actual) = by_labels.remove(&series.labels) else {
            return Err(format!("{} is missing", series.labels));
        };
        let same = points.len() == actual.len()
            && points
                .iter()
                .zip(actual)
                .all(|((t, expected), (at, actual))| t == at && same_value(expected, actual));
        if !same {
            let expected: Vec<_> = points
                .iter()
                .map(|(t, v)| format!("{}@{t}", show_expected(v)))
                .collect();
            let actual: Vec<_> = actual
                .iter()
                .map(|(t, v)| format!("{}@{t}", show(v)))
                .collect();
            return Err(format!(
                "{}: expected {}, got {}",
                series.labels,
                expected.join(" "),
                actual.join(" ")
            ));
        }
    }
    match by_labels.first_key_value() {
        Some((labels, _)) => Err(format!("{labels} is unexpected")),
        None => Ok(()),
    }
}

/// The stated values with their times; `None` when there are more than steps.
fn points(values: &[SequenceValue], when: When) -> Option<Vec<(i64, &SequenceValue)>> {
    let (start, end, step) = match when {
        When::Instant(t) => (t, t, 1),
        When::Range { start, end, step } => (start, end, step),
    };
    let mut points = Vec::with_capacity(values.len());
    for (i, item) in values.iter().enumerate() {
        let t = start + i as i64 * step;
        if t > end {
            return None;
        }
        if *item != SequenceValue::Omitted {
            points.push((t, item));
        }
    }
    Some(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_equal_but_for_rounding() {
        let stale = model::sample::STALE_NAN;
        for (a, b, expected) in [
            (1.0, 1.0 + 1e-7, true),
            (1.0, 1.0 + 1e-5, false),
            (0.0, 1e-300, false),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, stale, false),
            (stale, stale, true),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, false),
            (f64::MAX, f64::MAX / 2.0, false),
        ] {
            assert_eq!(almost_equal(a, b), expected, "{a} {b}");
        }
    }
}
