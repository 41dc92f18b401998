//! Lanes, aggregates and counters.

use tsdb::chunk::xor::Encoder;

use super::*;

type Points = [(i64, f64)];

fn xor_chunk(points: &Points) -> Chunk {
    let mut encoder = Encoder::new();
    for (t, v) in points {
        encoder.append(*t, *v);
    }
    encoder.chunk()
}

fn times(points: &Points) -> (i64, i64) {
    (points[0].0, points[points.len() - 1].0)
}

fn raw(points: &Points) -> SeriesChunk {
    let (min_time, max_time) = times(points);
    SeriesChunk {
        min_time,
        max_time,
        data: ChunkData::Raw(xor_chunk(points)),
    }
}

fn aggregates((min_time, max_time): (i64, i64), found: Aggregates) -> SeriesChunk {
    SeriesChunk {
        min_time,
        max_time,
        data: ChunkData::Aggregates(Box::new(found)),
    }
}

fn reading(wanted: Wanted, dedup: Dedup) -> Reading {
    Reading {
        wanted,
        dedup,
        is_counter: wanted == Wanted::Counter,
    }
}

fn read(reading: Reading, chunks: &[SeriesChunk]) -> Vec<(i64, f64)> {
    let mut out = Samples::default();
    reading.read(chunks, TimeRange::ALL, &mut out).unwrap();
    out.ts.into_iter().zip(out.values).collect()
}

#[test]
fn functions_want_aggregates() {
    for (name, wanted) in [
        ("min", Wanted::Min),
        ("min_over_time", Wanted::Min),
        ("minute", Wanted::Average),
        ("max_over_time", Wanted::Max),
        ("count", Wanted::Count),
        ("count_values", Wanted::Count),
        ("sum_over_time", Wanted::Sum),
        ("sum", Wanted::Average),
        ("irate", Wanted::Counter),
        ("resets", Wanted::Counter),
        ("delta", Wanted::Average),
        ("", Wanted::Average),
    ] {
        assert_eq!(Wanted::of_function(name), wanted, "{name}");
    }
}

#[test]
fn chunks_that_follow_each_other_are_one_lane() {
    let chunks = [raw(&[(1, 1.0), (2, 2.0)]), raw(&[(3, 3.0)])];
    let all = [(1, 1.0), (2, 2.0), (3, 3.0)];
    assert_eq!(read(reading(Wanted::Average, Dedup::Penalty), &chunks), all);
}

#[test]
fn chunks_that_overlap_are_lanes() {
    let chunks = [
        raw(&[(0, 0.0), (10_000, 1.0), (20_000, 2.0)]),
        raw(&[(100, 0.5), (10_100, 1.5), (20_100, 2.5)]),
        raw(&[(30_000, 3.0), (40_000, 4.0)]),
        raw(&[(30_100, 3.5), (40_100, 4.5)]),
    ];
    let penalty = read(reading(Wanted::Average, Dedup::Penalty), &chunks);
    assert_eq!(
        penalty,
        [
            (0, 0.0),
            (10_000, 1.0),
            (20_000, 2.0),
            (30_000, 3.0),
            (40_000, 4.0)
        ]
    );
    let chain = read(reading(Wanted::Average, Dedup::Chain), &chunks);
    assert_eq!(chain.len(), 10);
}

#[test]
fn raw_counters_keep_their_resets_in_one_lane() {
    let chunks = [raw(&[(1, 5.0), (2, 1.0), (3, 2.0)])];
    let out = read(reading(Wanted::Counter, Dedup::Penalty), &chunks);
    assert_eq!(out, [(1, 5.0), (2, 1.0), (3, 2.0)]);
}

#[test]
fn counters_of_lanes_have_none() {
    let chunks = [
        raw(&[(0, 5.0), (10_000, 1.0), (20_000, 2.0)]),
        raw(&[(100, 5.0), (10_100, 1.0), (20_100, 2.0)]),
    ];
    let out = read(reading(Wanted::Counter, Dedup::Penalty), &chunks);
    assert_eq!(out, [(0, 5.0), (10_000, 6.0), (20_000, 7.0)]);
}

#[test]
fn aggregates_are_picked_or_divided() {
    let found = Aggregates {
        count: Some(xor_chunk(&[(299, 2.0), (599, 4.0)])),
        sum: Some(xor_chunk(&[(299, 3.0), (599, 10.0)])),
        max: Some(xor_chunk(&[(299, 2.5), (599, 9.0)])),
        ..Aggregates::default()
    };
    let chunks = [aggregates((299, 599), found)];
    let get = |wanted| read(reading(wanted, Dedup::Penalty), &chunks);
    assert_eq!(get(Wanted::Average), [(299, 1.5), (599, 2.5)]);
    assert_eq!(get(Wanted::Count), [(299, 2.0), (599, 4.0)]);
    assert_eq!(get(Wanted::Max), [(299, 2.5), (599, 9.0)]);
    let mut out = Samples::default();
    let refused = reading(Wanted::Min, Dedup::Penalty).read(&chunks, TimeRange::ALL, &mut out);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("no valid chunk found")
    );
}

#[test]
fn sums_and_counts_must_be_aligned() {
    let found = Aggregates {
        count: Some(xor_chunk(&[(299, 2.0)])),
        sum: Some(xor_chunk(&[(299, 3.0), (599, 10.0)])),
        ..Aggregates::default()
    };
    let chunks = [aggregates((299, 599), found)];
    let mut out = Samples::default();
    let refused = reading(Wanted::Average, Dedup::Penalty).read(&chunks, TimeRange::ALL, &mut out);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "sum and count timestamps not aligned"
    );
}

#[test]
fn a_repeated_time_tells_of_a_reset_between_downsampled_chunks() {
    let counter = |points: &Points| Aggregates {
        counter: Some(xor_chunk(points)),
        ..Aggregates::default()
    };
    // The raw counter ended at 3 after a reset; the next chunk begins with 4.
    let first = counter(&[(10, 10.0), (299, 13.0), (299, 3.0)]);
    let second = counter(&[(310, 4.0), (599, 8.0), (599, 8.0)]);
    let chunks = [
        aggregates((299, 299), first),
        aggregates((599, 599), second),
        raw(&[(610, 9.0), (620, 1.0)]),
    ];
    let out = read(reading(Wanted::Counter, Dedup::Penalty), &chunks);
    let expected = [
        (10, 10.0),
        (299, 13.0),
        (310, 14.0),
        (599, 18.0),
        (610, 19.0),
        (620, 20.0),
    ];
    assert_eq!(out, expected);
}

#[test]
fn damage_is_an_error() {
    let mut chunk = xor_chunk(&[(1, 1.0), (2, 5.0)]);
    chunk.data.truncate(5);
    let chunks = [SeriesChunk {
        min_time: 1,
        max_time: 2,
        data: ChunkData::Raw(chunk),
    }];
    let mut out = Samples::default();
    let refused = reading(Wanted::Average, Dedup::Chain).read(&chunks, TimeRange::ALL, &mut out);
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Corrupt);
}
