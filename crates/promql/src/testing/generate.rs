//! Random expressions and series for them, for tests that compare evaluators and for fuzzing.
//!
//! Every kind of node, function, aggregation and modifier comes up. An expression always parses with
//! all features on; its evaluation may fail. Series are text of the script language, over
//! [`data::SPAN_MS`] from time 0 on.

pub mod choices;
pub mod data;

mod call;

use choices::Choices;

/// Deepest nesting of operators and calls.
const DEPTH_MAX: u32 = 4;

const SELECTORS: [&str; 23] = [
    "c",
    "c{job=\"a\"}",
    "c{instance!~\"1|2\"}",
    "g",
    "g{job=\"a\"}",
    "g{instance=\"0\"}",
    "irr",
    "irr{zone=\"\"}",
    "h",
    "h{job=\"b\"}",
    "h{instance=\"0\"}",
    "hg",
    "hc",
    "hc{job=\"a\"}",
    "mix",
    "mix{job=\"b\"}",
    "st",
    "sth",
    "b_bucket",
    "{__name__=~\"c|g\"}",
    "{__name__=~\"c|g\", job=\"a\"}",
    "{job=\"a\", instance=\"0\"}",
    "nothing{job=\"a\"}",
];
const RANGES: [&str; 11] = [
    "30s",
    "1m",
    "90s",
    "2m",
    "5m",
    "7m13s",
    "17s",
    "20m",
    "31s",
    "1ms",
    "4m59s999ms",
];
const STRUCTURED_RANGES: [&str; 5] = [
    "step() + 1m",
    "max_of(step(), 2m)",
    "range() / 2 + 1",
    "min_of(range() + 30s, 3m)",
    "-(1m - 3 * 1m)",
];
const SUBQUERY_STEPS: [&str; 6] = ["30s", "1m", "17s", "", "step() + 30s", "2m"];
const OFFSETS: [&str; 8] = [
    "30s",
    "-30s",
    "1m",
    "-2m30s",
    "17s",
    "1ms",
    "(step() + 1s)",
    "-90s",
];
const ATS: [&str; 6] = ["start()", "end()", "600", "0", "333.333", "1200"];
const NUMBERS: [&str; 16] = [
    "1", "0", "-1", "0.5", "2", "100", "1e3", "NaN", "Inf", "-Inf", "0.1", "30s", "3", "-2.5",
    "1e300", "0.99",
];
const LABELS: [&str; 5] = ["job", "instance", "zone", "le", "__name__"];

/// An expression of any type that a range query takes: an instant vector, or now and then a scalar.
pub fn expression(choices: &mut dyn Choices) -> String {
    match choices.below(16) {
        15 => scalar(choices, 0),
        14 => sorted(choices),
        _ => vector(choices, 0),
    }
}

fn pick<'a>(choices: &mut dyn Choices, from: &[&'a str]) -> &'a str {
    from[choices.below(from.len())]
}

fn modifiers(choices: &mut dyn Choices) -> String {
    let mut text = String::new();
    if choices.below(5) == 4 {
        text += " offset ";
        text += pick(choices, &OFFSETS);
    }
    if choices.below(8) == 7 {
        text += " @ ";
        text += pick(choices, &ATS);
    }
    text
}

fn selector(choices: &mut dyn Choices) -> String {
    let name = pick(choices, &SELECTORS);
    let smoothed = if choices.below(16) == 15 {
        " smoothed"
    } else {
        ""
    };
    format!("{name}{smoothed}{}", modifiers(choices))
}

fn range_vector(choices: &mut dyn Choices, depth: u32) -> String {
    let range = if choices.below(8) == 7 {
        pick(choices, &STRUCTURED_RANGES)
    } else {
        pick(choices, &RANGES)
    };
    if depth < DEPTH_MAX && choices.below(5) == 4 {
        let inner = vector(choices, depth + 1);
        let step = pick(choices, &SUBQUERY_STEPS);
        return format!("({inner})[{range}:{step}]{}", modifiers(choices));
    }
    let name = pick(choices, &SELECTORS);
    format!("{name}[{range}]{}", modifiers(choices))
}

fn vector(choices: &mut dyn Choices, depth: u32) -> String {
    if depth >= DEPTH_MAX {
        return selector(choices);
    }
    match choices.below(16) {
        0 | 1 => selector(choices),
        2..5 => call::of_range(choices, depth),
        5..8 => aggregation(choices, depth),
        8..10 => call::of_vector(choices, depth),
        10..13 => binary(choices, depth),
        13 => set_operation(choices, depth),
        14 => call::of_histogram(choices, depth),
        _ => call::of_labels(choices, depth),
    }
}

fn label_list(choices: &mut dyn Choices) -> String {
    let count = choices.below(3);
    let labels: Vec<_> = (0..count).map(|_| pick(choices, &LABELS)).collect();
    labels.join(", ")
}

fn grouping(choices: &mut dyn Choices) -> String {
    match choices.below(3) {
        0 => String::new(),
        1 => format!(" by ({})", label_list(choices)),
        _ => format!(" without ({})", label_list(choices)),
    }
}

fn aggregation(choices: &mut dyn Choices, depth: u32) -> String {
    const PLAIN: [&str; 8] = [
        "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar",
    ];
    const RANKS: [&str; 3] = ["topk", "bottomk", "limitk"];
    const RATIOS: [&str; 8] = ["0.5", "-0.5", "1", "-0.3", "0.8", "0", "1.5", "-1"];
    let grouping = grouping(choices);
    let inner = vector(choices, depth + 1);
    match choices.below(16) {
        0..10 => format!("{}{grouping} ({inner})", pick(choices, &PLAIN)),
        10..13 => {
            let (rank, k) = (
                pick(choices, &RANKS),
                pick(choices, &["1", "2", "3", "100", "0", "-1"]),
            );
            format!("{rank}{grouping} ({k}, {inner})")
        }
        13 => format!(
            "quantile{grouping} ({}, {inner})",
            scalar(choices, depth + 2)
        ),
        14 => format!(
            "limit_ratio{grouping} ({}, {inner})",
            pick(choices, &RATIOS)
        ),
        _ => format!(
            "count_values{grouping} (\"{}\", {inner})",
            pick(choices, &["v", "job"])
        ),
    }
}

fn matching(choices: &mut dyn Choices, operator: Matching) -> String {
    // With what may be included: no label may be matched on and included at once.
    const ON: [(&str, &str); 5] = [
        ("job, instance", "zone"),
        ("job", "zone, instance"),
        ("", "instance"),
        ("instance", "zone"),
        ("job, instance, zone", "le"),
    ];
    const IGNORING: [&str; 4] = ["zone", "instance", "zone, le", ""];
    let (modifier, include) = match choices.below(4) {
        0 | 1 => (String::new(), ""),
        2 => {
            let (on, include) = ON[choices.below(ON.len())];
            (format!(" on ({on})"), include)
        }
        _ => (format!(" ignoring ({})", pick(choices, &IGNORING)), "zone"),
    };
    if operator == Matching::Set {
        return modifier;
    }
    let group = if modifier.is_empty() {
        0
    } else {
        choices.below(4)
    };
    let include = pick(choices, &["", include]);
    let group = match group {
        2 => format!(" group_left ({include})"),
        3 => format!(" group_right ({include})"),
        _ => String::new(),
    };
    let fill = pick(
        choices,
        &[
            "",
            "",
            "",
            "",
            "",
            " fill (0)",
            " fill_left (1)",
            " fill_right (-2)",
            " fill_left (5) fill_right (NaN)",
        ],
    );
    format!("{modifier}{group}{fill}")
}

/// Which operators a matching is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matching {
    Set,
    OneToOne,
}

fn binary(choices: &mut dyn Choices, depth: u32) -> String {
    const OPERATORS: [&str; 22] = [
        "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "+", "-", "*",
        "/", "> bool", "== bool", "<= bool", "</", ">/",
    ];
    let operator = pick(choices, &OPERATORS);
    let left = vector(choices, depth + 1);
    match choices.below(5) {
        0 => format!("({left}) {operator} {}", scalar(choices, depth + 1)),
        // Trimming wants the histogram on its left.
        1 if !matches!(operator, "</" | ">/") => {
            format!("{} {operator} ({left})", scalar(choices, depth + 1))
        }
        2 => format!(
            "({left}) {operator}{} ({left})",
            matching(choices, Matching::OneToOne)
        ),
        _ => {
            let right = vector(choices, depth + 1);
            format!(
                "({left}) {operator}{} ({right})",
                matching(choices, Matching::OneToOne)
            )
        }
    }
}

fn set_operation(choices: &mut dyn Choices, depth: u32) -> String {
    let (left, right) = (vector(choices, depth + 1), vector(choices, depth + 1));
    let operator = pick(choices, &["and", "or", "unless"]);
    format!(
        "({left}) {operator}{} ({right})",
        matching(choices, Matching::Set)
    )
}

fn sorted(choices: &mut dyn Choices) -> String {
    let inner = vector(choices, 1);
    match choices.below(4) {
        0 => format!("sort({inner})"),
        1 => format!("sort_desc({inner})"),
        2 => format!("sort_by_label({inner}, \"instance\", \"job\")"),
        _ => format!("sort_by_label_desc({inner}, \"job\")"),
    }
}

fn scalar(choices: &mut dyn Choices, depth: u32) -> String {
    if depth >= DEPTH_MAX {
        return pick(choices, &NUMBERS).to_owned();
    }
    match choices.below(12) {
        0..6 => pick(choices, &NUMBERS).to_owned(),
        6 => pick(
            choices,
            &["time()", "pi()", "start()", "end()", "step()", "range()"],
        )
        .to_owned(),
        7 => format!("scalar({})", vector(choices, depth + 1)),
        8 => {
            let (a, b) = (scalar(choices, depth + 1), scalar(choices, depth + 1));
            let operator = pick(
                choices,
                &["+", "-", "*", "/", "%", "^", "atan2", "> bool", "== bool"],
            );
            format!("({a} {operator} {b})")
        }
        9 => {
            let (a, b) = (scalar(choices, depth + 1), scalar(choices, depth + 1));
            format!("{}({a}, {b})", pick(choices, &["max_of", "min_of"]))
        }
        10 => format!("-({})", scalar(choices, depth + 1)),
        _ => format!("scalar({})", selector(choices)),
    }
}

#[cfg(test)]
mod tests {
    use super::choices::Seeded;
    use super::*;
    use crate::parse::{Options, parse_expr};

    #[test]
    fn every_expression_parses() {
        let mut choices = Seeded::new(1);
        for _ in 0..2000 {
            let text = expression(&mut choices);
            let parsed = parse_expr(&text, Options::all_features());
            assert!(parsed.is_ok(), "{text}: {:?}", parsed.err());
        }
    }

    #[test]
    fn without_choices_it_ends() {
        assert_eq!(expression(&mut choices::Bytes::new(&[])), "c");
    }
}
