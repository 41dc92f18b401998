use std::collections::BTreeSet;

use model::Histogram;
use proptest::prelude::*;

use super::*;
use crate::chunk::SeriesEncoder;

type Places = Vec<vec::IntoIter<Result<Sample, String>>>;

fn floats(places: &[&[(i64, f64)]]) -> Places {
    let place = |samples: &&[(i64, f64)]| {
        let samples: Vec<_> = samples
            .iter()
            .map(|&(t, v)| {
                Ok(Sample {
                    t,
                    value: Value::Float(v),
                })
            })
            .collect();
        samples.into_iter()
    };
    places.iter().map(place).collect()
}

proptest! {
    #[test]
    fn every_time_comes_out_once_in_order(
        places in prop::collection::vec(prop::collection::btree_set(-20i64..20, 0..20), 0..5),
    ) {
        let rows: Vec<Vec<_>> = places.iter().map(|p| p.iter().map(|&t| (t, 1.0)).collect()).collect();
        let slices: Vec<&[(i64, f64)]> = rows.iter().map(Vec::as_slice).collect();
        let found: Vec<_> = SampleMerge::new(floats(&slices)).map(|s| s.unwrap().t).collect();
        let expected: BTreeSet<_> = places.into_iter().flatten().collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn of_two_samples_at_a_time_that_of_the_waiting_place_is_taken() {
    let a = [(1, 1.0), (2, 1.0), (4, 1.0)];
    let b = [(2, 2.0), (3, 2.0), (4, 2.0)];
    let found: Vec<_> = SampleMerge::new(floats(&[&a, &b]))
        .map(|s| match s.unwrap() {
            Sample {
                t,
                value: Value::Float(v),
            } => (t, v),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, [(1, 1.0), (2, 2.0), (3, 2.0), (4, 1.0)]);
}

#[test]
fn an_error_is_the_end() {
    let mut places = floats(&[&[(1, 1.0), (5, 1.0)]]);
    places.push(
        vec![
            Ok(Sample {
                t: 2,
                value: Value::Float(2.0),
            }),
            Err("damaged".to_owned()),
        ]
        .into_iter(),
    );
    let found: Vec<_> = SampleMerge::new(places).map(|s| s.map(|s| s.t)).collect();
    assert_eq!(found, [Ok(1), Ok(2), Err("damaged".to_owned())]);
}

fn histograms(times: &[i64]) -> Vec<TimedChunk> {
    let mut encoder = SeriesEncoder::new();
    for &t in times {
        let value = Histogram {
            count: 10,
            zero_count: 10,
            ..Histogram::default()
        };
        encoder.push_histogram(t, &value).unwrap();
    }
    encoder.finish().into_iter().collect()
}

#[test]
fn histograms_forget_resets_when_the_place_changes() {
    let mut chunks = histograms(&[1, 2, 5, 6]);
    chunks.extend(histograms(&[3, 4]));
    chunks.extend(histograms(&[7, 8]));
    let hints: Vec<_> = merged_samples(chunks)
        .map(|s| match s.unwrap().value {
            Value::Histogram(h) => h.counter_reset_hint,
            other => panic!("{other:?}"),
        })
        .collect();
    use CounterResetHint::{NotReset, Unknown};
    assert_eq!(
        hints,
        [
            Unknown, NotReset, Unknown, NotReset, Unknown, NotReset, Unknown, NotReset
        ]
    );
}

#[test]
fn damage_in_a_chunk_comes_after_the_chunks_before_it() {
    let mut chunks = histograms(&[1, 2]);
    chunks.extend(histograms(&[3, 4]));
    chunks[1].chunk.data = chunks[1].chunk.data.slice(..5);
    let found: Vec<_> = merged_samples(chunks).map(|s| s.is_ok()).collect();
    assert_eq!(found, [true, true, false]);
}
