use std::path::Path;
use std::sync::LazyLock;

use model::sample::STALE_NAN;
use model::{CounterResetHint, Span};

use super::*;
use crate::head::CHUNK_RANGE;
use crate::head::chunk_files::ChunkFiles;

/// Two hours, and no files.
fn cutting() -> Cutting<'static> {
    static NO_FILES: LazyLock<ChunkFiles> = LazyLock::new(|| ChunkFiles::new(Path::new("")));
    Cutting {
        chunk_range: CHUNK_RANGE,
        files: &NO_FILES,
    }
}

fn all_chunks(series: &HeadSeries) -> Vec<TimedChunk> {
    series.chunks(TimeRange::ALL, cutting().files).unwrap()
}

/// First and last time and number of samples of every chunk.
fn cuts(series: &HeadSeries) -> Vec<(i64, i64, u16)> {
    all_chunks(series)
        .iter()
        .map(|c| (c.min_time, c.max_time, c.chunk.sample_count().unwrap()))
        .collect()
}

fn floats(times: impl Iterator<Item = i64>, value: impl Fn(i64) -> f64) -> HeadSeries {
    let mut series = HeadSeries::default();
    for t in times {
        assert_eq!(
            series.append_float(t, value(t), cutting()),
            Appended::InOrder
        );
    }
    series
}

fn histogram(count: u64, buckets: usize) -> Histogram {
    Histogram {
        count: count * buckets as u64,
        sum: 1.0,
        positive_spans: vec![Span {
            offset: 0,
            length: u32::try_from(buckets).unwrap(),
        }],
        positive_buckets: (0..buckets)
            .map(|i| {
                if i == 0 {
                    i64::try_from(count).unwrap()
                } else {
                    0
                }
            })
            .collect(),
        ..Histogram::default()
    }
}

#[test]
fn float_chunks_are_spread_evenly_over_their_range() {
    // Every 15 s, 480 samples in two hours: four chunks of 120.
    let series = floats((0..480).map(|i| i * 15_000), |t| t as f64);
    assert_eq!(
        cuts(&series),
        [
            (0, 1_785_000, 120),
            (1_800_000, 3_585_000, 120),
            (3_600_000, 5_385_000, 120),
            (5_400_000, 7_185_000, 120)
        ]
    );
    // Every minute: one chunk, which ends with its range.
    let series = floats((100..140).map(|i| i * 60_000), |_| 1.0);
    assert_eq!(
        cuts(&series),
        [(6_000_000, 7_140_000, 20), (7_200_000, 8_340_000, 20)]
    );
}

#[test]
fn a_float_chunk_ends_at_twice_its_samples_or_at_a_kilobyte() {
    // The rate grows after the prediction at 30 samples.
    let times = || {
        let slow = (0..30).map(|i| i * 60_000);
        slow.chain((0..600).map(|i| 1_800_000 + i))
    };
    let series = floats(times(), |_| 1.0);
    assert_eq!(cuts(&series)[0].2, 240);
    // Values that share no bits take eight bytes and more.
    let noise = |t: i64| f64::from_bits((t as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
    let series = floats(times(), noise);
    let chunks = all_chunks(&series);
    assert!(chunks[0].chunk.data.len() > FLOAT_BYTES_MAX);
    assert!(chunks.iter().all(|c| c.chunk.data.len() <= 1024));
}

#[test]
fn only_newer_samples_are_taken() {
    let mut series = floats([10, 20].into_iter(), |_| 1.0);
    for t in [20, 15, i64::MIN] {
        assert_eq!(series.append_float(t, 1.0, cutting()), Appended::NotNewer);
        let h = Histogram::default();
        assert_eq!(
            series.append_histogram(t, &h, cutting()),
            Appended::NotNewer
        );
    }
    assert_eq!(cuts(&series), [(10, 20, 2)]);
    assert_eq!(series.time_range(), Some(TimeRange::closed(10, 20)));
}

#[test]
fn histogram_chunks_aim_at_a_size_and_are_cut_at_resets() {
    let mut series = HeadSeries::default();
    for i in 0..100i64 {
        let h = histogram(if i < 50 { 10 } else { 5 }, 20);
        series.append_histogram(i * 15_000, &h, cutting());
    }
    let first_of_second = cuts(&series).iter().position(|c| c.0 == 50 * 15_000);
    assert!(first_of_second.is_some(), "{:?}", cuts(&series));
    let mut wide = HeadSeries::default();
    for i in 0..60i64 {
        let count = 10 + u64::try_from(i * i).unwrap();
        wide.append_histogram(i * 15_000, &histogram(count, 160), cutting());
    }
    let cuts = cuts(&wide);
    assert!(cuts.len() > 1);
    let all_but_last = &cuts[..cuts.len() - 1];
    assert!(
        all_but_last.iter().all(|c| c.2 >= HISTOGRAM_SAMPLES_MIN),
        "{cuts:?}"
    );
}

#[test]
fn kinds_take_turns_and_a_stale_marker_is_of_the_kind_before() {
    let mut series = floats([1].into_iter(), |_| 1.0);
    series.append_histogram(2, &histogram(1, 1), cutting());
    series.append_float(3, STALE_NAN, cutting());
    series.append_float_histogram(4, &FloatHistogram::default(), cutting());
    series.append_float(5, STALE_NAN, cutting());
    series.append_float(6, 1.0, cutting());
    let encodings: Vec<_> = all_chunks(&series)
        .iter()
        .map(|c| (c.chunk.encoding, c.min_time))
        .collect();
    use Encoding::{FloatHistogram as F, Histogram as H, Xor};
    assert_eq!(encodings, [(Xor, 1), (H, 2), (F, 4), (Xor, 6)]);
}

#[test]
fn a_chunk_from_disk_stays_and_the_next_one_knows_whether_a_reset_lies_between() {
    let sample = |i: i64| {
        // A reset every 40 samples.
        let count = 10 + u64::try_from(i % 40).unwrap();
        (i * 15_000, histogram(count, 12))
    };
    let dir = tempfile::tempdir().unwrap();
    let files = ChunkFiles::new(dir.path());
    files.open_for_writing().unwrap();
    let cutting = Cutting {
        files: &files,
        ..cutting()
    };
    let mut whole = HeadSeries::default();
    for (t, h) in (0..200).map(sample) {
        whole.append_histogram(t, &h, cutting);
    }
    let all = all_chunks(&whole);
    let full: Vec<_> = whole
        .full()
        .iter()
        .map(|chunk| (1, chunk.clone()))
        .collect();
    let written = files.write(&full, false).unwrap();
    written.into_iter().for_each(|chunk| whole.written(chunk));
    for cut in 1..all.len() {
        let mut series = HeadSeries::default();
        series.add_mapped(whole.mapped[..cut].to_vec());
        for (t, h) in (0..200).map(sample) {
            series.append_histogram(t, &h, cutting);
        }
        let found = series.chunks(TimeRange::ALL, &files).unwrap();
        assert_eq!(found[..=cut], all[..=cut], "{cut} chunks from disk");
        let samples = |chunks: &[TimedChunk]| -> Vec<Sample> {
            let samples = chunks.iter().flat_map(|c| c.chunk.samples());
            samples.map(Result::unwrap).collect()
        };
        assert_eq!(samples(&found), samples(&all), "{cut} chunks from disk");
    }
}

#[test]
fn a_histogram_that_contradicts_itself_is_left_out() {
    let mut bad = histogram(1, 3);
    bad.positive_buckets.pop();
    let mut series = HeadSeries::default();
    assert_eq!(
        series.append_histogram(1, &bad, cutting()),
        Appended::Invalid
    );
    assert!(series.is_empty());
    series.append_histogram(2, &histogram(1, 3), cutting());
    assert_eq!(
        series.append_histogram(3, &bad, cutting()),
        Appended::Invalid
    );
    assert_eq!(cuts(&series), [(2, 2, 1)]);
}

#[test]
fn gauges_keep_their_hint() {
    let mut series = HeadSeries::default();
    for t in 0..3 {
        let mut h = histogram(u64::try_from(5 - t).unwrap(), 2);
        h.counter_reset_hint = CounterResetHint::Gauge;
        series.append_histogram(t, &h, cutting());
    }
    assert_eq!(cuts(&series), [(0, 2, 3)]);
}
