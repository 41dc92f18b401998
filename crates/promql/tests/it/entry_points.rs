//! The ways into the parser beside whole expressions with everything enabled.

use promql::ast::{Duration, DurationContext, DurationError, Expr, FunctionId, PosRange};
use promql::parse::{Features, Options, parse_expr, parse_selector};

#[test]
fn selectors_stand_alone() {
    let options = Options::default();
    for (text, expected) in [
        ("up", "__name__=\"up\""),
        ("{a=~\"b.*\", c!=\"\"}", "a=~\"b.*\" c!=\"\""),
        (" {'a b'=\"\"} # all may be empty here", "\"a b\"=\"\""),
        ("{}", ""),
        ("sum{by!~'x'}", "by!~\"x\" __name__=\"sum\""),
    ] {
        let matchers = parse_selector(text, options).unwrap();
        let printed: Vec<_> = matchers.iter().map(ToString::to_string).collect();
        assert_eq!(printed.join(" "), expected, "{text}");
    }
    for (text, expected) in [
        ("", "unknown position: parse error: unexpected end of input"),
        ("up[5m]", "1:3: parse error: unexpected \"[\""),
        ("rate(x)", "1:5: parse error: unexpected \"(\""),
        ("1", "1:1: parse error: unexpected number \"1\""),
        (
            "{a}",
            "1:3: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
    ] {
        let error = parse_selector(text, options).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn syntax_that_is_not_enabled_is_refused() {
    for (text, feature, expected) in [
        (
            "info(x)",
            "promql-experimental-functions",
            "1:1: parse error: function \"info\" is not enabled",
        ),
        (
            "limitk(1, x)",
            "promql-experimental-functions",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        (
            "x[5m] smoothed",
            "promql-extended-range-selectors",
            "1:1: parse error: smoothed modifier is experimental and not enabled",
        ),
        (
            "a + fill(0) b",
            "promql-binop-fill-modifiers",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
    ] {
        let mut options = Options::default();
        let error = parse_expr(text, options).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(options.features.enable(feature));
        assert!(parse_expr(text, options).is_ok(), "{text} with {feature}");
    }
    let mut features = Features::default();
    assert!(features.enable("promql-duration-expr") && !features.enable("exemplar-storage"));
    assert!(parse_expr("x[5m + step()]", Options::default()).is_ok());
}

/// The range of the selector `x[...]`.
fn range(text: &str) -> Duration {
    match parse_expr(&format!("x[{text}]"), Options::default()) {
        Ok(Expr::Matrix(matrix)) => matrix.range,
        other => panic!("{text} became {other:?}"),
    }
}

#[test]
fn durations_are_evaluated_with_the_query() {
    let context = DurationContext {
        step_ms: 15_000,
        range_ms: 3_600_000,
    };
    for (text, millis) in [
        ("5m", 300_000),
        ("0.25", 250),
        ("step() * 4 + 1s", 61_000),
        ("-(range() / -2) ^ 1", 1_800_000),
        ("2 ^ 3 ^ 2 % 100", 12_000),
        ("max_of(min_of(1h, range()), step())", 3_600_000),
    ] {
        assert_eq!(range(text).positive_millis(context), Ok(millis), "{text}");
    }
    let pos = PosRange::new(2, 14);
    for (text, error) in [
        ("step() - 15s", DurationError::NotPositive(pos)),
        (
            "1 / (1 - 1) ",
            DurationError::DivisionByZero(PosRange::new(2, 13)),
        ),
        ("1h % (0 * 1)", DurationError::ModuloByZero(pos)),
        ("range() ^ 99", DurationError::OutOfRange(pos)),
    ] {
        assert_eq!(range(text).positive_millis(context), Err(error), "{text}");
    }
    let negative = range("step() - 20s");
    assert_eq!(negative.offset_millis(context), Ok(-5000));
    assert_eq!(negative.as_millis(), None);
}

#[test]
fn every_node_knows_where_it_stands() {
    let text = "sum by (a) (-rate(x{a=\"b\"}[5m] offset 1m)) / on (a)\n  (y @ end())";
    let tree = parse_expr(text, Options::default()).unwrap();
    let mut found = Vec::new();
    tree.walk(&mut |expr| {
        let pos = expr.pos();
        found.push(&text[pos.start as usize..pos.end as usize]);
        if let Expr::Call(call) = expr {
            assert_eq!(call.function.id, FunctionId::Rate);
        }
    });
    assert_eq!(
        found,
        [
            text,
            "sum by (a) (-rate(x{a=\"b\"}[5m] offset 1m))",
            "-rate(x{a=\"b\"}[5m] offset 1m)",
            "rate(x{a=\"b\"}[5m] offset 1m)",
            "x{a=\"b\"}[5m] offset 1m",
            "(y @ end())",
            "y @ end()",
        ]
    );
    let paren = tree.children().nth(1).unwrap().pos();
    assert_eq!(paren.line_col(text), Some((2, 3)));
}
