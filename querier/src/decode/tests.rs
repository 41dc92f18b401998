//! Lanes, aggregates and counters.

use tsdb::chunk::xor::Encoder;

use super::*;

type Points = [(i64, f64)];
type Owned = Vec<(i64, f64)>;

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

/// A sample every 60 from `from` to before `to`: a counter that grows by 1 and restarts with 1 at `reset`, and
/// its value with the reset taken out.
fn counted(from: i64, to: i64, reset: i64) -> (Owned, Owned) {
    let times = (from..to).step_by(60);
    let whole = |t: i64| 1000.0 + (t / 60) as f64;
    let lost = |t: i64| if t >= reset { whole(reset) - 1.0 } else { 0.0 };
    let raw = times.clone().map(|t| (t, whole(t) - lost(t)));
    (raw.collect(), times.map(|t| (t, whole(t))).collect())
}

/// All aggregates of `points` by windows of `step`, of which `whole` has no resets.
fn downsampled(points: &Points, whole: &Points, step: i64) -> SeriesChunk {
    let mut windows: Vec<(i64, Vec<f64>, f64)> = Vec::new();
    for (&(t, v), &(_, total)) in points.iter().zip(whole) {
        let end = t - t % step + step - 1;
        match windows.last_mut() {
            Some(window) if window.0 == end => {
                window.1.push(v);
                window.2 = total;
            }
            _ => windows.push((end, vec![v], total)),
        }
    }
    let last = points[points.len() - 1];
    let end = windows.len() - 1;
    windows[end].0 = last.0;
    let each = |of: &dyn Fn(&[f64]) -> f64| {
        let points: Vec<_> = windows.iter().map(|(t, v, _)| (*t, of(v))).collect();
        Some(xor_chunk(&points))
    };
    let fold = |f: fn(f64, f64) -> f64| move |v: &[f64]| v.iter().copied().reduce(f).unwrap();
    // A batch counts from its first sample.
    let base = whole[0].1 - points[0].1;
    let mut counter = vec![points[0]];
    counter.extend(windows.iter().map(|(t, _, total)| (*t, total - base)));
    counter.push(last);
    let found = Aggregates {
        count: each(&|v| v.len() as f64),
        sum: each(&|v| v.iter().sum()),
        min: each(&fold(f64::min)),
        max: each(&fold(f64::max)),
        counter: Some(xor_chunk(&counter)),
    };
    aggregates((windows[0].0, last.0), found)
}

fn sorted(mut chunks: Vec<SeriesChunk>) -> Vec<SeriesChunk> {
    chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
    chunks
}

/// Chunks of `len` samples, and coarser ones of windows of the given lengths, of the same samples.
fn beside(points: &Points, whole: &Points, len: usize, steps: &[i64]) -> Vec<SeriesChunk> {
    let mut chunks: Vec<_> = points.chunks(len).map(raw).collect();
    for &step in steps {
        let batches = points.chunks(240).zip(whole.chunks(240));
        chunks.extend(batches.map(|(points, whole)| downsampled(points, whole, step)));
    }
    sorted(chunks)
}

#[test]
fn resolutions_beside_each_other_make_one_counter() {
    for reset in [i64::MAX, 3000, 7320, 11_040, 14_460] {
        let (points, whole) = counted(0, 30_000, reset);
        let only_coarse = |step| {
            let batches = points.chunks(240).zip(whole.chunks(240));
            let chunks = batches.map(|(points, whole)| downsampled(points, whole, step));
            chunks.collect::<Vec<_>>()
        };
        let both_coarse = sorted([only_coarse(300), only_coarse(3600)].concat());
        let cases = [
            beside(&points, &whole, 120, &[300]),
            beside(&points, &whole, 70, &[300]),
            beside(&points[50..], &whole[50..], 120, &[300]),
            beside(&points, &whole, 120, &[300, 3600]),
            both_coarse,
        ];
        for (case, chunks) in cases.iter().enumerate() {
            for dedup in [Dedup::Chain, Dedup::Penalty] {
                for is_counter in [true, false] {
                    let counter = Reading {
                        is_counter,
                        ..reading(Wanted::Counter, dedup)
                    };
                    let context = format!("reset {reset}, case {case}, {counter:?}");
                    let read = read(counter, chunks);
                    assert!(read.is_sorted_by(|a, b| a.0 < b.0), "{context}");
                    assert!(read.is_sorted_by(|a, b| a.1 <= b.1), "{context}");
                    let grown = read[read.len() - 1].1 - read[0].1;
                    let span = whole[whole.len() - 1].1 - whole[(read[0].0 / 60) as usize].1;
                    if dedup == Dedup::Chain {
                        assert_eq!(grown, span, "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn samples_and_their_aggregates_are_not_counted_twice() {
    let (points, whole) = counted(0, 30_000, i64::MAX);
    let chunks = beside(&points, &whole, 120, &[300]);
    let count = |wanted| -> f64 {
        let read = read(reading(wanted, Dedup::Chain), &chunks);
        read.iter().map(|(_, v)| v).sum()
    };
    let all: f64 = points.iter().map(|(_, v)| v).sum();
    let sum = count(Wanted::Sum);
    // Windows in which a lane begins or ends are seen in part or twice.
    assert!((sum - all).abs() < all * 0.02, "{sum} of {all}");
}

#[test]
fn late_samples_beside_a_downsampled_chunk_are_all_read() {
    // Every 60 up to 30,000, of which some came late, in chunks of their own; and what follows,
    // downsampled.
    let (points, whole) = counted(0, 45_000, i64::MAX);
    let (of_raw, coarse) = points.split_at(500);
    let is_late = |t: i64| matches!(t / 60 % 10, 3 | 4);
    let (late, on_time): (Owned, Owned) = of_raw.iter().partition(|(t, _)| is_late(*t));
    let mut chunks: Vec<_> = on_time.chunks(120).map(raw).collect();
    chunks.extend(late.chunks(30).map(raw));
    chunks.push(downsampled(coarse, &whole[500..], 300));
    for wanted in [Wanted::Average, Wanted::Counter] {
        let found = read(reading(wanted, Dedup::Chain), &sorted(chunks.clone()));
        assert_eq!(found[..500], *of_raw, "{wanted:?}");
        assert!(found.len() > 500, "{wanted:?}");
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{wanted:?}");
    }
}

#[test]
fn a_counter_taken_up_from_behind_does_not_go_back_in_later_chunks() {
    let counter = Aggregates {
        counter: Some(xor_chunk(&[(150, 40.0), (199, 45.0), (260, 60.0)])),
        ..Aggregates::default()
    };
    let chunks = [
        raw(&[(0, 1.0), (100, 50.0), (200, 100.0)]),
        aggregates((150, 260), counter),
        raw(&[(300, 61.0), (400, 130.0)]),
    ];
    let found = read(reading(Wanted::Counter, Dedup::Chain), &chunks);
    assert!(found.is_sorted_by(|a, b| a.1 <= b.1), "{found:?}");
    assert_eq!(found[found.len() - 1], (400, 135.0));
}

#[test]
fn copies_of_a_counter_that_restarted_stay_one_counter() {
    let (points, _) = counted(0, 30_000, 5000);
    let copies = [points.chunks(120), points.chunks(70)];
    let chunks = sorted(copies.into_iter().flatten().map(raw).collect());
    assert_eq!(
        read(reading(Wanted::Counter, Dedup::Chain), &chunks),
        points
    );
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
