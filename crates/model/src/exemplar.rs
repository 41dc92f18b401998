//! Exemplars: single observations, with labels such as a trace id, that stand for a sample.

use std::cmp::Ordering;

use crate::labels::Labels;

/// Most characters (Unicode code points) that names and values of an exemplar's labels may have
/// together, as OpenMetrics demands.
pub const LABELS_CHARS_MAX: usize = 128;

/// One observation beside the samples of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Labels beyond those of the series.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value observed.
    pub value: f64,
}

impl Exemplar {
    /// The order in which exemplars of a series are stored: by time, then value, then labels.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_value = || self.value.partial_cmp(&other.value);
        (self.t.cmp(&other.t))
            .then_with(|| by_value().unwrap_or(Ordering::Equal))
            .then_with(|| self.labels.cmp(&other.labels))
    }

    /// True when names and values of the labels are few enough for OpenMetrics.
    pub fn labels_fit(&self) -> bool {
        let chars = |s: &str| s.chars().count();
        let all: usize = (self.labels.iter())
            .map(|(name, value)| chars(name) + chars(value))
            .sum();
        all <= LABELS_CHARS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(t: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar {
            labels: Labels::from_pairs([("trace_id", trace)]),
            t,
            value,
        }
    }

    #[test]
    fn order_is_time_value_labels() {
        let sorted = [
            exemplar(1, 9.0, "b"),
            exemplar(2, -1.0, "b"),
            exemplar(2, 3.0, "a"),
            exemplar(2, 3.0, "b"),
        ];
        assert!(sorted.is_sorted_by(|a, b| a.order(b).is_lt()));
    }

    #[test]
    fn labels_are_counted_in_characters() {
        assert!(exemplar(0, 0.0, &"ü".repeat(120)).labels_fit());
        assert!(!exemplar(0, 0.0, &"ü".repeat(121)).labels_fit());
    }
}
