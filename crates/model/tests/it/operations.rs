//! Operations on histograms give what they give in Prometheus, to the last bit.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::histogram::{ClassicHistogram, MixedSchemas, Reconciled};
use model::{FloatHistogram, Histogram, Value};

use crate::fields::{float, integer};

const CASES: &str = include_str!("../data/histograms.tsv");

/// Floats in spans, counts and sums, written so that bits can be compared; any NaN equals another.
fn fields(h: &FloatHistogram) -> String {
    format!("{h:?}")
}

/// The histogram without the buckets that nothing is in.
fn compacted(text: &str) -> FloatHistogram {
    let mut h = float(text);
    h.compact(0);
    h
}

fn expected(reconciled: Reconciled, h: &FloatHistogram) -> String {
    let Reconciled {
        counter_reset_collision,
        custom_bounds,
    } = reconciled;
    format!("{counter_reset_collision} {custom_bounds} {}", fields(h))
}

fn sum(
    case: &[&str],
    add: fn(&mut FloatHistogram, &FloatHistogram) -> Result<Reconciled, MixedSchemas>,
) -> (String, String) {
    let mut h = float(case[1]);
    match add(&mut h, &float(case[2])) {
        Err(MixedSchemas) => ("err".to_owned(), case[3].to_owned()),
        Ok(reconciled) => {
            h.compact(0);
            let want = format!("{} {} {}", case[3], case[4], fields(&float(case[5])));
            (expected(reconciled, &h), want)
        }
    }
}

fn kahan_sum(case: &[&str]) -> (String, String) {
    let mut h = float(case[1]);
    let mut compensation = h.zero_compensation();
    let mut flags = String::new();
    for other in case[2].split('&') {
        match h.kahan_add(&float(other), &mut compensation) {
            Err(MixedSchemas) => flags.push('E'),
            Ok(did) => write!(
                flags,
                "{},{};",
                did.counter_reset_collision, did.custom_bounds
            )
            .unwrap(),
        }
    }
    let mut total = h.clone();
    let _ = total.add(&compensation).unwrap();
    let mut got = flags;
    // The hint of a compensation says nothing.
    compensation.counter_reset_hint = float(case[5]).counter_reset_hint;
    for mut h in [h, compensation, total] {
        got.push_str(&fields(h.compact(0)));
    }
    let want = case[4..7].iter().map(|text| fields(&compacted(text)));
    (got, case[3].to_owned() + &want.collect::<String>())
}

fn changed(case: &[&str], change: impl FnOnce(&mut FloatHistogram)) -> (String, String) {
    let mut h = float(case[1]);
    change(&mut h);
    (fields(&h), fields(&float(case.last().unwrap())))
}

fn integer_changed(case: &[&str], change: impl FnOnce(&mut Histogram)) -> (String, String) {
    let mut h = integer(case[1]);
    change(&mut h);
    (format!("{h:?}"), format!("{:?}", integer(case[3])))
}

fn buckets(h: &FloatHistogram) -> String {
    let mut text = String::new();
    for bucket in h.all() {
        write!(text, "{bucket}@{} ", bucket.index).unwrap();
    }
    text.push_str("/ ");
    for bucket in h.all().rev() {
        write!(text, "{bucket}@{} ", bucket.index).unwrap();
    }
    text
}

/// Input is `le:count,` for each bucket, and `c:count,` for the count of observations.
fn classic(case: &[&str]) -> (String, String) {
    let mut series = ClassicHistogram::default();
    for pair in case[1].split_terminator(',') {
        let (le, count) = pair.split_once(':').unwrap();
        let count = count.parse().unwrap();
        match le {
            "c" => series.set_count(count),
            le => series.add_bucket(le.parse().unwrap(), count),
        }
    }
    series.set_sum(3.5);
    let got = match series.convert() {
        Err(_) => "err".to_owned(),
        Ok(value) => format!("{value:?}"),
    };
    let want = match case[2] {
        "i" => format!("{:?}", Value::Histogram(Box::new(integer(case[3])))),
        "f" => format!("{:?}", Value::FloatHistogram(Box::new(float(case[3])))),
        other => other.to_owned(),
    };
    (got, want)
}

fn run(case: &[&str]) -> (String, String) {
    let argument = || case[2].parse().unwrap();
    let schema = || case[2].parse().unwrap();
    let plain = |got: String| (got, case.last().copied().unwrap().to_owned());
    match case[0] {
        "add" => sum(case, FloatHistogram::add),
        "sub" => sum(case, FloatHistogram::sub),
        "kahan" => kahan_sum(case),
        "mul" => changed(case, |h| _ = h.mul(argument())),
        "div" => changed(case, |h| _ = h.div(argument())),
        "below" => changed(case, |h| _ = h.keep_below(argument())),
        "above" => changed(case, |h| _ = h.keep_above(argument())),
        "compact" => changed(case, |h| _ = h.compact(case[2].parse().unwrap())),
        "reduce" => changed(case, |h| h.reduce_resolution(schema()).unwrap()),
        "icompact" => integer_changed(case, |h| _ = h.compact(case[2].parse().unwrap())),
        "ireduce" => integer_changed(case, |h| h.reduce_resolution(schema()).unwrap()),
        "tofloat" => (
            fields(&integer(case[1]).to_float()),
            fields(&float(case[2])),
        ),
        "reset" => plain(float(case[1]).detect_reset(&float(case[2])).to_string()),
        "equals" => plain(float(case[1]).equals(&float(case[2])).to_string()),
        "string" => plain(float(case[1]).to_string()),
        "istring" => plain(integer(case[1]).to_string()),
        "test" => plain(float(case[1]).test_expression()),
        "size" => plain(float(case[1]).size_bytes().to_string()),
        "valid" => plain(float(case[1]).validate().is_ok().to_string()),
        "ivalid" => plain(integer(case[1]).validate().is_ok().to_string()),
        "all" => plain(buckets(&float(case[1]))),
        "classic" => classic(case),
        other => panic!("operation {other}"),
    }
}

#[test]
fn results_are_those_of_prometheus() {
    let mut checked = BTreeMap::new();
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let case: Vec<&str> = line.split('\t').collect();
        let (got, want) = run(&case);
        assert_eq!(got, want, "{line}");
        *checked.entry(case[0]).or_insert(0) += 1;
    }
    assert_eq!(checked.len(), 22, "{checked:?}");
}
