//! OpenTSDB's JSON and lines: nothing panics, every point that is met is either kept or refused, what a decoder keeps
//! has labels in order, and points that are told by their bytes are what they are the long way.
#![no_main]

use ingester::protocols::named::Named;
use ingester::protocols::opentsdb::decode::{Decoded, decode, decode_named};
use ingester::protocols::opentsdb::{Options, line};
use ingester::protocols::points::Points;
use libfuzzer_sys::fuzz_target;
use tsdb::batch::SeriesRef;

fn check(points: &Points) {
    assert_eq!(points.batch().len() + points.refusals().len(), points.len());
    for series in points.batch().iter() {
        let names: Vec<_> = model::Labels::iter_encoded(series.labels).map(|(name, _)| name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(series.floats.iter().all(|float| float.v.is_finite() && float.t > 0));
    }
}

/// What became of points: of each that is kept its place, labels, value and time.
fn kept(points: &Points) -> Vec<(usize, &str, u64, i64)> {
    let batch = points.batch();
    let kept = batch.iter().enumerate().map(|(i, series)| {
        let float = series.floats[0];
        (points.origin(i), series.labels, float.v.to_bits(), float.t)
    });
    kept.collect()
}

/// Has points remembered as a head would that calls all series by a number of their labels.
fn teach(points: &Points, named: &mut Named) {
    let series = points.batch().iter().map(|series| {
        let hash = series.labels.bytes().fold(7, |hash, b| hash * 31 % 1_000_003 + u64::from(b));
        Some(SeriesRef(hash))
    });
    points.teach(&series.collect::<Vec<_>>(), named);
}

/// Decodes a body both ways.
fn json(body: &[u8], options: &Options, named: &mut Named) {
    let (mut slow, mut fast) = (Decoded::default(), Decoded::default());
    let read = decode(body, 1, options, &mut slow);
    assert_eq!(read, decode_named(body, 1, options, named, &mut fast));
    if read.is_ok() {
        check(&slow.points);
        assert_eq!(kept(&slow.points), kept(&fast.points));
        assert_eq!(slow.points.refusals(), fast.points.refusals());
        assert_eq!(slow.refused, fast.refused);
        teach(&fast.points, named);
    }
}

fuzz_target!(|data: &[u8]| {
    for strict in [false, true] {
        let options = Options { strict, ..Options::default() };
        // Bodies one after the other, apart by a byte that no JSON has; each once more when its points are known.
        let mut named = Named::default();
        for body in data.split(|b| *b == 0) {
            json(body, &options, &mut named);
            json(body, &options, &mut named);
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
