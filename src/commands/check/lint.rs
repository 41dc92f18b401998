//! What Prometheus' conventions ask of a metric. The findings are those of client_golang's
//! `promlint`, in the words that its users look for.

use std::collections::BTreeSet;

use ingester::exposition::MetricType;

/// What is known of a family of series.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// Its type, if it is said.
    pub(super) kind: Option<MetricType>,
    /// Something is said of what it means.
    pub(super) has_help: bool,
    /// Names of labels of its series.
    pub(super) labels: BTreeSet<String>,
}

/// Units by their base unit.
const UNITS: [(&str, &[&str]); 11] = [
    ("amperes", &["amperes"]),
    ("bytes", &["bytes", "bits"]),
    ("celsius", &["celsius", "fahrenheit", "rankine"]),
    ("grams", &["grams", "pounds", "ounces"]),
    ("joules", &["joules", "calories"]),
    ("kelvin", &["kelvin", "kelvins"]),
    ("meters", &["meters", "inches", "yards", "miles"]),
    ("metres", &["metres"]),
    ("moles", &["moles"]),
    ("seconds", &["seconds", "minutes", "hours", "days", "weeks"]),
    ("volts", &["volts"]),
];
/// What may stand before a unit.
const PREFIXES: [&str; 19] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "mebi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];
/// Units that are written short.
const ABBREVIATIONS: [&str; 14] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];
/// Types that names do not repeat.
const TYPES: [&str; 4] = ["counter", "gauge", "summary", "histogram"];

/// What could be better about a family, sorted.
pub(super) fn problems(name: &str, family: &Family) -> Vec<String> {
    let mut found = Vec::new();
    if !family.has_help {
        found.push("no help text".to_owned());
    }
    of_unit(name, &mut found);
    of_type(name, family, &mut found);
    of_spelling(name, family, &mut found);
    found.sort();
    found
}

/// Units other than the base units.
fn of_unit(name: &str, found: &mut Vec<String>) {
    for word in name.split('_') {
        for (base, units) in UNITS {
            let unit = units.iter().find(|unit| {
                let before = word.strip_suffix(**unit);
                before.is_some_and(|before| before.is_empty() || PREFIXES.contains(&before))
            });
            if unit.is_some() && word != base {
                found.push(format!("use base unit {base:?} instead of {word:?}"));
            }
        }
    }
}

/// Names and labels that belong to another type.
fn of_type(name: &str, family: &Family, found: &mut Vec<String>) {
    let kind = family.kind.unwrap_or(MetricType::Unknown);
    let is_histogram = matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
    let is_summary = kind == MetricType::Summary;
    let is_known = kind != MetricType::Unknown;
    let is_total = name.ends_with("_total");
    if kind == MetricType::Counter && !is_total {
        found.push("counter metrics should have \"_total\" suffix".to_owned());
    }
    if is_known && kind != MetricType::Counter && is_total {
        found.push("non-counter metrics should not have \"_total\" suffix".to_owned());
    }
    if is_known {
        for (is_wrong, what, suffix) in [
            (!is_histogram, "non-histogram", "_bucket"),
            (
                !is_histogram && !is_summary,
                "non-histogram and non-summary",
                "_count",
            ),
            (
                !is_histogram && !is_summary,
                "non-histogram and non-summary",
                "_sum",
            ),
        ] {
            if is_wrong && name.ends_with(suffix) {
                found.push(format!("{what} metrics should not have {suffix:?} suffix"));
            }
        }
        for (is_wrong, what, label) in [
            (!is_histogram, "non-histogram", "le"),
            (!is_summary, "non-summary", "quantile"),
        ] {
            if is_wrong && family.labels.contains(label) {
                found.push(format!("{what} metrics should not have {label:?} label"));
            }
        }
    }
    let lower = name.to_ascii_lowercase();
    for kind in TYPES
        .into_iter()
        .filter(|kind| words_after_first(&lower).any(|w| w == *kind))
    {
        found.push(format!("metric name should not include type '{kind}'"));
    }
}

/// The words of a name that an underscore stands before.
fn words_after_first(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').skip(1)
}

/// Letters, colons and abbreviations.
fn of_spelling(name: &str, family: &Family, found: &mut Vec<String>) {
    if name.contains(':') {
        found.push("metric names should not contain ':'".to_owned());
    }
    if is_camel_case(name) {
        let text = "metric names should be written in 'snake_case' not 'camelCase'";
        found.push(text.to_owned());
    }
    if family.labels.iter().any(|label| is_camel_case(label)) {
        let text = "label names should be written in 'snake_case' not 'camelCase'";
        found.push(text.to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if words_after_first(&lower).any(|word| ABBREVIATIONS.contains(&word)) {
        found.push("metric names should not contain abbreviated units".to_owned());
    }
}

/// A small letter before a large one.
fn is_camel_case(name: &str) -> bool {
    let pairs = name.as_bytes().windows(2);
    let mut pairs = pairs.map(|pair| (pair[0], pair[1]));
    pairs.any(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase())
}
