//! OpenTSDB's JSON and lines: nothing panics, every point that is met is either kept or refused, and what a decoder
//! keeps has labels in order.
#![no_main]

use ingester::protocols::opentsdb::{Options, decode, line};
use ingester::protocols::points::Points;
use libfuzzer_sys::fuzz_target;

fn check(points: &Points) {
    assert_eq!(points.batch().len() + points.refusals().len(), points.len());
    for series in points.batch().iter() {
        let names: Vec<_> = model::Labels::iter_encoded(series.labels).map(|(name, _)| name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(series.floats.iter().all(|float| float.v.is_finite() && float.t > 0));
    }
}

fuzz_target!(|data: &[u8]| {
    for strict in [false, true] {
        let options = Options { strict, ..Options::default() };
        let mut decoded = decode::Decoded::default();
        if decode::decode(data, 1, &options, &mut decoded).is_ok() {
            check(&decoded.points);
        }
        let mut points = Points::new();
        for text in String::from_utf8_lossy(data).lines() {
            if let line::Command::Put(arguments) = line::Command::of_line(text) {
                let _ = line::decode(arguments, &options, &mut points);
            }
        }
        check(&points);
    }
});
