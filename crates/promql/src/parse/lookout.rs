//! What the Lookout dialect adds to selectors: sets of values, and dots in names.

use model::matcher::MatchOp;

use super::token::Kind;

/// The operator that a set of values comes to.
pub(super) const fn set_op(kind: Kind) -> Option<MatchOp> {
    match kind {
        Kind::InSet => Some(MatchOp::Regex),
        Kind::NotInSet => Some(MatchOp::NotRegex),
        _ => None,
    }
}

/// The regular expression that matches exactly the values of a set, which are separated by bars.
pub(super) fn set_pattern(set: &str) -> String {
    let values: Vec<_> = set.split('|').map(literal_pattern).collect();
    values.join("|")
}

/// The regular expression that matches exactly `text`.
pub fn literal_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::super::{Features, Options, parse_expr};
    use super::*;

    fn lookout() -> Options {
        let features = Features {
            lookout: true,
            ..Features::default()
        };
        Options {
            features,
            ..Options::default()
        }
    }

    /// The expression as Prometheus writes it.
    fn plain(text: &str) -> String {
        parse_expr(text, lookout()).unwrap().to_string()
    }

    #[test]
    fn what_was_taken_already_may_be_of_the_dialect() {
        let given = parse_expr(r#"rate(a.b{x=~|"y"}[5m])"#, super::super::GIVEN).unwrap();
        assert_eq!(given.selectors().len(), 1);
    }

    #[test]
    fn the_dialect_is_read() {
        for (text, expected) in [
            (
                r#"jvm.memory.heap.used{app="a"}"#,
                r#"{__name__="jvm.memory.heap.used",app="a"}"#,
            ),
            (
                "sum.of.x + on.y",
                r#"{__name__="sum.of.x"} + {__name__="on.y"}"#,
            ),
            ("rate(a.b[5m])", r#"rate({__name__="a.b"}[5m])"#),
            (r#"up{a=~|"x|y.z"}"#, r#"up{a=~"x|y\\.z"}"#),
            (r#"up{a!~|"x|y"}"#, r#"up{a!~"x|y"}"#),
            ("increase2(a[5m])", "increase2(a[5m])"),
            ("Increase2(a[5m])", "increase2(a[5m])"),
            (
                "zhistogram_quantile(0.9, sum by (_bucket) (x.buckets))",
                r#"zhistogram_quantile(0.9, sum by (_bucket) ({__name__="x.buckets"}))"#,
            ),
            ("sum2_over_time(a[1m]) * 1.5", "sum2_over_time(a[1m]) * 1.5"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn prometheus_does_not_know_it() {
        for text in [
            "jvm.memory",
            r#"up{a=~|"x"}"#,
            "increase2(a[5m])",
            "sum2_over_time(a[5m])",
            "zhistogram_quantile(0.9, a)",
        ] {
            assert!(parse_expr(text, Options::all_features()).is_err(), "{text}");
        }
    }

    #[test]
    fn sets_are_exact() {
        for (set, yes, no) in [
            ("a.b|c", "a.b", "axb"),
            ("a|", "", "b"),
            ("(x)", "(x)", "x"),
            ("é-1", "é-1", "e"),
        ] {
            let matcher = model::Matcher::new(MatchOp::Regex, "l", &set_pattern(set)).unwrap();
            assert!(matcher.matches(yes) && !matcher.matches(no), "{set}");
        }
    }
}
