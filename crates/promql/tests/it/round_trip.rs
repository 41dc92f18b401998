//! What is printed parses to the tree that it was printed from.

use promql::parse::{Options, parse_expr};
use promql::print::{pretty, to_json};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// A text, by the type of its value.
type Text = BoxedStrategy<String>;

/// Durations for brackets and, in parentheses, offsets.
fn duration() -> Text {
    let leaf = select(vec![
        "5m", "1h30m", "300", "0.5", "250ms", "90d", "step()", "range()", "1e3",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 8, 2, |inner| {
            let op = select(vec!["+", "-", "*", "/", "%", "^"]);
            prop_oneof![
                (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
                inner.clone().prop_map(|a| format!("({a})")),
                inner.clone().prop_map(|a| format!("-{a}")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("max_of({a}, {b})")),
            ]
        })
        .boxed()
}

fn matcher() -> Text {
    let name = select(vec!["job", "on", "\"a b\"", "'é.x'", "__name__", "le"]);
    let op = select(vec!["=", "!=", "=~", "!~"]);
    let value = select(vec![
        "\"\"",
        "\"a\"",
        "'b\"'",
        "`c\\d`",
        "\"x|y.*\"",
        "\"\\u00e9\\n\"",
        "\"\\\\.\"",
    ]);
    (name, op, value)
        .prop_map(|(name, op, value)| format!("{name}{op}{value}"))
        .boxed()
}

fn selector() -> Text {
    let name = select(vec![
        "up", "a:b", "sum", "offset", "start", "and", "fill", "Inf_",
    ]);
    let named = (name, prop::collection::vec(matcher(), 0..3)).prop_map(|(name, matchers)| {
        if matchers.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", matchers.join(", "))
        }
    });
    let quoted = matcher().prop_map(|m| format!("{{\"a name\", {m}}}"));
    prop_oneof![3 => named, 1 => quoted].boxed()
}

fn modifiers() -> Text {
    let at = select(vec!["", " @ 1.5", " @ -3", " @ start()", " @ end()"]);
    let offset = prop_oneof![
        Just(String::new()),
        Just(" offset 5m".to_owned()),
        Just(" offset -0.25".to_owned()),
        Just(" offset -step()".to_owned()),
        duration().prop_map(|d| format!(" offset ({d})")),
    ];
    (at, offset)
        .prop_map(|(at, offset)| format!("{at}{offset}"))
        .boxed()
}

fn matching() -> Text {
    select(vec![
        "",
        "",
        "bool ",
        "on () ",
        "on (a, \"b c\") ",
        "ignoring (by) group_left ",
        "on (a) group_right (c, d) ",
        "fill (1e6) ",
        "on (a) fill_left (-1) fill_right (NaN) ",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

/// A scalar.
fn scalar() -> Text {
    select(vec![
        "1",
        "-2.5",
        "1e21",
        "0x1F",
        "1_000",
        "Inf",
        "NaN",
        "5m",
        "-1h30m",
        "0.00001",
        "time()",
        "(1 + 2 ^ -pi())",
        "min_of(step(), 3)",
        "1 == bool 2",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

fn string() -> Text {
    select(vec!["\"a\"", "'\\xff'", "`\\d`", "\"é☺\\t\\u200b\""])
        .prop_map(str::to_owned)
        .boxed()
}

/// An instant vector.
fn expr() -> Text {
    let leaf = prop_oneof![
        3 => (selector(), modifiers()).prop_map(|(s, m)| format!("{s}{m}")),
        2 => (selector(), duration(), modifiers()).prop_map(|(s, d, m)| format!("rate({s}[{d}]{m})")),
        1 => selector().prop_map(|s| format!("increase({s}[5m] anchored offset 1m)")),
        1 => selector().prop_map(|s| format!("{s} smoothed")),
        1 => scalar().prop_map(|s| format!("vector({s})")),
    ];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let op = || select(vec!["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">=", "</", ">/"]);
        let set_op = select(vec!["and", "or", "unless", "and on (a)", "or ignoring ()"]);
        let clause = select(vec!["", "by (a)", "without ()", "by (\"x y\", on)"]);
        let aggregate = select(vec!["sum(", "topk(2, ", "count_values('l', ", "quantile(0.5, ", "limitk(1, "]);
        let call = (inner.clone(), scalar(), string()).prop_map(|(v, s, t)| {
            format!("label_join(round(info({v}, {{}}), {s}), {t}, {t}, {t}, \"l\")")
        });
        let subquery = (inner.clone(), duration(), prop::option::of(duration()), modifiers())
            .prop_map(|(a, range, step, m)| {
                format!("max_over_time({a}[{range}:{}]{m})", step.unwrap_or_default())
            });
        let v = inner;
        prop_oneof![
            3 => (v.clone(), op(), matching(), v.clone()).prop_map(|(a, op, m, b)| format!("{a} {op} {m}{b}")),
            2 => (v.clone(), set_op, v.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            2 => (v.clone(), op(), scalar()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            2 => v.clone().prop_map(|a| format!("({a})")),
            1 => v.clone().prop_map(|a| format!("-{a}")),
            1 => v.clone().prop_map(|a| format!("+{a}")),
            3 => (aggregate, clause, v.clone()).prop_map(|(op, clause, v)| format!("{op}{v}) {clause}")),
            1 => v.clone().prop_map(|v| format!("sort_desc(abs({v}))")),
            1 => call,
            2 => subquery,
        ]
    })
    .boxed()
}

/// Random bytes of the language.
fn soup() -> Text {
    let words = vec![
        "a",
        "sum",
        "by",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        "=",
        "=~",
        "\"x\"",
        "5m",
        "1",
        ":",
        "offset",
        "@",
        "start()",
        "-",
        "+",
        "^",
        "or",
        "on",
        "group_left",
        "bool",
        "rate",
        " ",
        "#\n",
        "'",
        "\\",
        "é",
        "step()",
        "smoothed",
        "fill(1)",
        "==",
    ];
    prop::collection::vec(select(words), 0..20)
        .prop_map(|words| words.join(" "))
        .boxed()
}

/// The tree with matchers in the order in which they are printed.
fn canonical(mut tree: Value) -> Value {
    match &mut tree {
        Value::Array(items) => {
            for item in &mut *items {
                *item = canonical(item.take());
            }
            if items.first().is_some_and(|item| item["value"].is_string()) {
                items.sort_by_key(ToString::to_string);
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                *field = canonical(field.take());
            }
        }
        _ => {}
    }
    tree
}

/// Checks that both printed forms of an accepted text have the tree of the text.
fn check(text: &str) -> Result<bool, TestCaseError> {
    let options = Options::all_features();
    let Ok(tree) = parse_expr(text, options) else {
        return Ok(false);
    };
    let printed = tree.to_string();
    // As in Prometheus, infinity is printed with its sign, which then belongs to the power.
    if printed.contains("Inf") && printed.contains('^') {
        return Ok(false);
    }
    for form in [&printed, &pretty(&tree)] {
        let again = parse_expr(form, options)
            .map_err(|e| TestCaseError::fail(format!("{e}: {form} of {text}")))?;
        prop_assert_eq!(again.to_string(), &printed[..], "{}", text);
        prop_assert_eq!(
            canonical(to_json(&again)),
            canonical(to_json(&tree)),
            "{}",
            text
        );
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn printed_expressions_parse_to_the_same_tree(text in expr()) {
        check(&text)?;
    }

    #[test]
    fn no_text_panics(text in prop_oneof![soup(), any::<String>()]) {
        check(&text)?;
    }
}

#[test]
fn the_generator_makes_expressions_worth_printing() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = expr();
    let accepted = (0..500)
        .filter(|_| {
            let text = strategy.new_tree(&mut runner).unwrap().current();
            check(&text).unwrap()
        })
        .count();
    assert!(accepted > 250, "only {accepted} of 500 were accepted");
}
