use super::*;

#[test]
fn compares_as_the_operator_says() {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    for (op, pattern, value, expected) in [
        (Equal, "a", "a", true),
        (Equal, "a", "b", false),
        (Equal, "", "", true),
        (NotEqual, "a", "a", false),
        (NotEqual, "a", "", true),
        (Regex, "a|b", "b", true),
        (Regex, "a|b", "ab", false),
        (Regex, "a.c", "a\nc", true),
        (NotRegex, "a.*", "abc", false),
        (NotRegex, "a.*", "bc", true),
    ] {
        let m = Matcher::new(op, "l", pattern).unwrap();
        assert_eq!(m.matches(value), expected, "{m} on {value:?}");
        assert_ne!(m.inverse().matches(value), expected, "inverse of {m}");
        assert_eq!(m.matches_empty(), m.matches(""), "{m}");
    }
}

#[test]
fn prints_as_promql() {
    for (op, name, value, printed) in [
        (MatchOp::Equal, "job", "api", r#"job="api""#),
        (MatchOp::NotEqual, "a.b", "x\n", r#""a.b"!="x\n""#),
        (MatchOp::Regex, "job", "a|b", r#"job=~"a|b""#),
        (MatchOp::NotRegex, "job", r"\d", r#"job!~"\\d""#),
    ] {
        assert_eq!(Matcher::new(op, name, value).unwrap().to_string(), printed);
    }
}

#[test]
fn matchers_are_equal_when_written_alike() {
    let of = |op, value| Matcher::new(op, "l", value).unwrap();
    assert_eq!(of(MatchOp::Regex, "a|b"), of(MatchOp::Regex, "a|b"));
    assert_ne!(of(MatchOp::Regex, "a|b"), of(MatchOp::Regex, "b|a"));
    assert_ne!(of(MatchOp::Equal, "a"), of(MatchOp::Regex, "a"));
}
