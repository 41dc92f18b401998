//! How a request's matchers meet external labels.

use model::matcher::Matcher;
use model::{Labels, LabelsBuilder};

/// The matchers that are left for a store's own series, or `None` when the external labels already
/// rule the whole store out, which is an empty answer and not an error.
///
/// A matcher on the name of an external label is decided by that label alone, since external
/// labels win over a series' own; all others are kept in their order.
pub fn remaining_matchers(matchers: &[Matcher], external: &Labels) -> Option<Vec<Matcher>> {
    let mut left = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match external.get(matcher.name()) {
            Some(value) if !matcher.matches(value) => return None,
            Some(_) => {}
            None => left.push(matcher.clone()),
        }
    }
    Some(left)
}

/// A series' labels as the store shows them: external labels added, and winning.
pub fn with_external(series: &Labels, external: &Labels) -> Labels {
    if external.is_empty() {
        return series.clone();
    }
    let mut builder = LabelsBuilder::from_labels(series);
    for (name, value) in external {
        builder.set(name, value);
    }
    builder.labels()
}

#[cfg(test)]
mod tests {
    use model::matcher::MatchOp;

    use super::*;

    fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
        Matcher::new(op, name, value).unwrap()
    }

    #[test]
    fn external_labels_decide_matchers_on_their_names() {
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
        let job = matcher(MatchOp::Equal, "job", "api");
        let check = |m: Matcher, expected: Option<Vec<Matcher>>| {
            assert_eq!(remaining_matchers(&[m, job.clone()], &external), expected);
        };
        check(
            matcher(MatchOp::Equal, "cluster", "eu"),
            Some(vec![job.clone()]),
        );
        check(
            matcher(MatchOp::Regex, "cluster", "e."),
            Some(vec![job.clone()]),
        );
        check(matcher(MatchOp::Equal, "cluster", "us"), None);
        check(matcher(MatchOp::Equal, "cluster", ""), None);
        let other = matcher(MatchOp::NotEqual, "zone", "1");
        check(other.clone(), Some(vec![other, job.clone()]));
    }

    #[test]
    fn external_labels_win() {
        let series = Labels::from_pairs([("__name__", "up"), ("replica", "mine")]);
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
        let shown = with_external(&series, &external);
        assert_eq!(
            shown.to_string(),
            r#"{__name__="up", cluster="eu", replica="a"}"#
        );
    }
}
