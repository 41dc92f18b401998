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
