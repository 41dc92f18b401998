//! What the labels of a series must be like.

use super::outcome::Reason;

/// How many labels a series may have, and how long they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelLimits {
    /// Labels of a series.
    pub count_max: usize,
    /// Bytes of a name.
    pub name_bytes_max: usize,
    /// Bytes of a value.
    pub value_bytes_max: usize,
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self {
            count_max: 64,
            name_bytes_max: 1024,
            value_bytes_max: 4096,
        }
    }
}

impl LabelLimits {
    /// What of these labels is beyond the limits, in words to follow them; nothing when they are within.
    pub(crate) fn excess(&self, labels: &[(&str, &str)]) -> String {
        let Self {
            count_max,
            name_bytes_max,
            value_bytes_max,
        } = *self;
        if labels.len() > count_max {
            // Who decodes looks at no more of them than it must.
            let found = labels.len();
            return format!(" with {found} labels or more where {count_max} may be");
        }
        let longest = |len: fn(&(&str, &str)) -> usize| labels.iter().map(len).max().unwrap_or(0);
        let (name, value) = (
            longest(|label| label.0.len()),
            longest(|label| label.1.len()),
        );
        if name > name_bytes_max {
            return format!(" with a name of {name} bytes where {name_bytes_max} may be");
        }
        if value > value_bytes_max {
            return format!(" with a value of {value} bytes where {value_bytes_max} may be");
        }
        String::new()
    }
}

/// Brings labels into the order and form of a label set: sorted as Prometheus' receiver does, and
/// without those that have no value.
///
/// # Errors
/// Why they cannot be the labels of a series.
#[inline]
pub(crate) fn normalize(
    labels: &mut Vec<(&str, &str)>,
    limits: &LabelLimits,
) -> Result<(), Reason> {
    if labels.len() > limits.count_max {
        return Err(Reason::TooManyLabels);
    }
    let mut is_sorted = true;
    let mut has_empty = false;
    let mut has_name = false;
    let mut before = "";
    for (i, (name, value)) in labels.iter().enumerate() {
        if name.is_empty() {
            return Err(Reason::EmptyLabelName);
        }
        if name.len() > limits.name_bytes_max {
            return Err(Reason::LabelNameTooLong);
        }
        if value.len() > limits.value_bytes_max {
            return Err(Reason::LabelValueTooLong);
        }
        is_sorted &= i == 0 || before < *name;
        has_empty |= value.is_empty();
        has_name |= *name == model::labels::METRIC_NAME && !value.is_empty();
        before = name;
    }
    if !is_sorted {
        labels.sort_by_key(|(name, _)| *name);
        if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Reason::DuplicateLabel);
        }
    }
    if !has_name {
        return Err(Reason::NoMetricName);
    }
    if has_empty {
        labels.retain(|(_, value)| !value.is_empty());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_told_with_numbers() {
        let limits = LabelLimits {
            count_max: 2,
            name_bytes_max: 3,
            value_bytes_max: 4,
        };
        for (labels, said) in [
            (&[("a", "1"), ("b", "2")][..], ""),
            (
                &[("a", ""), ("b", ""), ("c", "")],
                " with 3 labels or more where 2 may be",
            ),
            (&[("long", "1")], " with a name of 4 bytes where 3 may be"),
            (
                &[("a", "1"), ("b", "value")],
                " with a value of 5 bytes where 4 may be",
            ),
        ] {
            assert_eq!(limits.excess(labels), said);
        }
    }

    #[test]
    fn labels_become_a_set_or_are_refused() {
        let check = |mut labels: Vec<(&'static str, &'static str)>,
                     expected: Result<&str, Reason>| {
            let limits = LabelLimits {
                count_max: 4,
                name_bytes_max: 8,
                value_bytes_max: 8,
            };
            let result = normalize(&mut labels, &limits).map(|()| {
                let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                pairs.join(",")
            });
            assert_eq!(result.as_deref().map_err(|r| *r), expected);
        };
        check(vec![("__name__", "m"), ("a", "1")], Ok("__name__=m,a=1"));
        check(
            vec![("b", "2"), ("__name__", "m"), ("a", "")],
            Ok("__name__=m,b=2"),
        );
        check(
            vec![("__name__", ""), ("a", "1")],
            Err(Reason::NoMetricName),
        );
        check(vec![], Err(Reason::NoMetricName));
        check(
            vec![("__name__", "m"), ("a", "1"), ("a", "1")],
            Err(Reason::DuplicateLabel),
        );
        check(
            vec![("__name__", "m"), ("", "1")],
            Err(Reason::EmptyLabelName),
        );
        check(
            vec![("__name__", "m"), ("a23456789", "1")],
            Err(Reason::LabelNameTooLong),
        );
        check(
            vec![("__name__", "m"), ("a", "123456789")],
            Err(Reason::LabelValueTooLong),
        );
        check(
            vec![
                ("__name__", "m"),
                ("a", "1"),
                ("b", "1"),
                ("c", "1"),
                ("d", "1"),
            ],
            Err(Reason::TooManyLabels),
        );
    }
}
