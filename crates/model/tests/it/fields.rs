//! The notation of the conformance dumps for histograms: `hint=0 schema=1 ... pspans=[{0 2}] ...`.

use std::fmt::Debug;
use std::str::FromStr;

use model::{CounterResetHint, FloatHistogram, Histogram, Span};

/// The value of `name=` in `fields`, where lists are in brackets.
fn field<'a>(fields: &'a str, name: &str) -> &'a str {
    let (_, rest) = fields.split_once(&format!("{name}=")).unwrap();
    match rest.strip_prefix('[') {
        Some(list) => list.split_once(']').unwrap().0,
        None => rest.split(' ').next().unwrap(),
    }
}

fn number<T: FromStr<Err: Debug>>(fields: &str, name: &str) -> T {
    field(fields, name).parse().unwrap()
}

fn numbers<T: FromStr<Err: Debug>>(fields: &str, name: &str) -> Vec<T> {
    let list = field(fields, name).split_whitespace();
    list.map(|v| v.parse().unwrap()).collect()
}

fn spans(fields: &str, name: &str) -> Vec<Span> {
    let numbers: Vec<i64> = field(fields, name)
        .split(['{', '}', ' '])
        .filter(|v| !v.is_empty())
        .map(|v| v.parse().unwrap())
        .collect();
    let span = |pair: &[i64]| Span {
        offset: pair[0].try_into().unwrap(),
        length: pair[1].try_into().unwrap(),
    };
    numbers.chunks(2).map(span).collect()
}

fn sum(fields: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(field(fields, "sum"), 16).unwrap())
}

fn hint(fields: &str) -> CounterResetHint {
    match number::<u8>(fields, "hint") {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        other => panic!("hint {other}"),
    }
}

/// An integer histogram from its fields.
pub(crate) fn integer(fields: &str) -> Histogram {
    Histogram {
        counter_reset_hint: hint(fields),
        schema: number(fields, "schema"),
        zero_threshold: number(fields, "zt"),
        zero_count: number(fields, "zc"),
        count: number(fields, " count"),
        sum: sum(fields),
        positive_spans: spans(fields, "pspans"),
        negative_spans: spans(fields, "nspans"),
        positive_buckets: numbers(fields, "pb"),
        negative_buckets: numbers(fields, "nb"),
        custom_values: numbers(fields, "cv"),
    }
}

/// A float histogram from its fields.
pub(crate) fn float(fields: &str) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: hint(fields),
        schema: number(fields, "schema"),
        zero_threshold: number(fields, "zt"),
        zero_count: number(fields, "zc"),
        count: number(fields, " count"),
        sum: sum(fields),
        positive_spans: spans(fields, "pspans"),
        negative_spans: spans(fields, "nspans"),
        positive_buckets: numbers(fields, "pb"),
        negative_buckets: numbers(fields, "nb"),
        custom_values: numbers(fields, "cv"),
    }
}
