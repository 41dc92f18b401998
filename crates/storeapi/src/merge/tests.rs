use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::TryStreamExt as _;
use model::{ErrorKind, Labels};
use proptest::prelude::*;
use tsdb::Chunk;
use tsdb::chunk::Encoding;

use super::*;
use crate::store::{ChunkData, SeriesChunk};

fn chunk(min_time: i64, max_time: i64, content: u8) -> SeriesChunk {
    SeriesChunk {
        min_time,
        max_time,
        data: ChunkData::Raw(Chunk {
            encoding: Encoding::Xor,
            data: Bytes::from(vec![content; 3]),
        }),
    }
}

fn series(name: &str, chunks: &[SeriesChunk]) -> Series {
    Series {
        labels: Labels::from_pairs([("__name__", name)]),
        chunks: chunks.to_vec(),
    }
}

/// A stream that makes its reader wait before every frame.
fn slow(frames: Vec<Result<Frame, StoreError>>) -> Frames {
    stream::iter(frames)
        .then(|frame| async {
            tokio::task::yield_now().await;
            frame
        })
        .boxed()
}

fn fast(frames: Vec<Frame>) -> Frames {
    stream::iter(frames.into_iter().map(Ok)).boxed()
}

/// The result of a stream that never truly waits.
fn collect(frames: Frames) -> Result<Vec<Frame>, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(frames.try_collect())
}

fn flat(frames: Vec<Frame>) -> Vec<Series> {
    let series = frames.into_iter().flat_map(|frame| match frame {
        Frame::Series(series) => {
            assert!(!series.is_empty(), "a frame without series");
            series
        }
        Frame::Warning(text) => panic!("unexpected warning {text}"),
    });
    series.collect()
}

#[test]
fn equal_series_become_one_and_equal_chunks_too() {
    let a = vec![Frame::Series(vec![
        series("a", &[chunk(0, 9, 1), chunk(10, 19, 1)]),
        series("c", &[chunk(0, 9, 1)]),
    ])];
    let b = vec![Frame::Series(vec![
        series("a", &[chunk(0, 9, 1), chunk(5, 25, 1), chunk(10, 19, 2)]),
        series("b", &[chunk(0, 9, 1)]),
    ])];
    let expected = [
        series(
            "a",
            &[
                chunk(0, 9, 1),
                chunk(5, 25, 1),
                chunk(10, 19, 1),
                chunk(10, 19, 2),
            ],
        ),
        series("b", &[chunk(0, 9, 1)]),
        series("c", &[chunk(0, 9, 1)]),
    ];
    assert_eq!(
        flat(collect(merged(vec![fast(a), fast(b)])).unwrap()),
        expected
    );
}

#[test]
fn warnings_come_first_and_errors_end() {
    let warned = vec![
        Ok(Frame::Warning("slow".into())),
        Ok(Frame::Series(vec![series("b", &[])])),
    ];
    let broken = StoreError::new(ErrorKind::Unavailable, "gone");
    let sound = vec![
        Ok(Frame::Series(vec![series("a", &[])])),
        Err(broken.clone()),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let all: Vec<_> = runtime.block_on(merged(vec![slow(sound), slow(warned)]).collect());
    // The error is met before the series that it would be the end of.
    assert_eq!(all, [Ok(Frame::Warning("slow".into())), Err(broken)]);
}

#[test]
fn what_is_known_is_not_held_back() {
    let endless = stream::iter([Ok(Frame::Series(vec![series("a", &[]), series("b", &[])]))])
        .chain(stream::pending())
        .boxed();
    let other = fast(vec![Frame::Series(vec![series("z", &[])])]);
    let mut all = merged(vec![endless, other]);
    let first = all.next().now_or_never().unwrap().unwrap().unwrap();
    // The last series might still get chunks.
    assert_eq!(first, Frame::Series(vec![series("a", &[])]));
    assert!(all.next().now_or_never().is_none());
}

#[test]
fn removed_labels_leave_order_and_one_series_each() {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let part = |pairs, n| Series {
        labels: labels(pairs),
        chunks: vec![chunk(n, n + 1, 0)],
    };
    let frames = fast(vec![
        Frame::Warning("first".into()),
        Frame::Series(vec![
            part(&[("a", "1"), ("pod", "x")], 1),
            part(&[("a", "1"), ("pod", "y")], 2),
        ]),
        Frame::Series(vec![
            part(&[("a", "2"), ("pod", "x")], 3),
            part(&[("a", "2"), ("pod", "y")], 4),
        ]),
    ]);
    let mut got = collect(without_labels(frames, vec!["replica".into(), "a".into()])).unwrap();
    assert_eq!(got.remove(0), Frame::Warning("first".into()));
    let expected = [("x", [1, 3]), ("y", [2, 4])].map(|(pod, at)| Series {
        labels: labels(&[("pod", pod)]),
        chunks: at.map(|n| chunk(n, n + 1, 0)).to_vec(),
    });
    assert_eq!(flat(got), expected);
}

#[test]
fn limits_count_series_not_parts() {
    let frames = || {
        fast(vec![
            Frame::Series(vec![series("a", &[chunk(0, 1, 0)])]),
            Frame::Series(vec![series("a", &[chunk(2, 3, 0)]), series("b", &[])]),
            Frame::Series(vec![series("c", &[])]),
        ])
    };
    let names = |limit| {
        let got = flat(collect(limited(frames(), limit)).unwrap());
        let names = got.iter().map(|s| s.labels.metric_name().to_owned());
        names.collect::<String>()
    };
    assert_eq!(names(0), "aabc");
    assert_eq!(names(1), "aa");
    assert_eq!(names(2), "aab");
    assert_eq!(names(9), "aabc");
}

#[test]
fn shards_are_filtered() {
    let all: Vec<_> = (0..50).map(|i| series(&format!("m{i:02}"), &[])).collect();
    let of_shard = |index| {
        let shard = Shard {
            index,
            total: 3,
            by: false,
            labels: Vec::new(),
        };
        let frames = all.chunks(7).map(|c| Frame::Series(c.to_vec())).collect();
        flat(collect(in_shard(fast(frames), shard)).unwrap())
    };
    let parts = [of_shard(0), of_shard(1), of_shard(2)];
    assert!(parts.iter().all(|part| !part.is_empty()));
    let mut joined = parts.concat();
    joined.sort_by(|a, b| a.labels.cmp(&b.labels));
    assert_eq!(joined, all);
}

/// Sorted series of one store, cut into frames.
fn any_input() -> impl Strategy<Value = Vec<Vec<Series>>> {
    let chunks = prop::collection::vec((0..20_i64, 0..3_i64, 0..2_u8), 0..4);
    let named = prop::collection::btree_map("[a-f]{1,2}", chunks, 0..12);
    (named, 1..5_usize).prop_map(|(named, frame)| {
        let all: Vec<_> = named
            .into_iter()
            .map(|(name, chunks)| {
                let mut chunks: Vec<_> = chunks
                    .into_iter()
                    .map(|(min, len, content)| chunk(min, min + len, content))
                    .collect();
                chunks.sort_by_key(|c| (c.min_time, c.max_time));
                series(&name, &chunks)
            })
            .collect();
        all.chunks(frame).map(<[Series]>::to_vec).collect()
    })
}

proptest! {
    #[test]
    fn a_merge_is_the_union(inputs in prop::collection::vec((any_input(), any::<bool>()), 2..6)) {
        let mut expected = BTreeMap::<Labels, Vec<SeriesChunk>>::new();
        for series in inputs.iter().flat_map(|(input, _)| input).flatten() {
            let chunks = expected.entry(series.labels.clone()).or_default();
            chunks.extend(series.chunks.iter().cloned());
        }
        let streams = inputs.iter().map(|(input, is_slow)| {
            let frames = input.iter().map(|series| Ok(Frame::Series(series.clone()))).collect();
            if *is_slow { slow(frames) } else { stream::iter(frames).boxed() }
        });
        let got = flat(collect(merged(streams.collect())).unwrap());
        prop_assert!(got.is_sorted_by(|a, b| a.labels < b.labels));
        prop_assert_eq!(got.len(), expected.len());
        for series in got {
            let mut wanted = expected.remove(&series.labels).unwrap();
            let key = |c: &SeriesChunk| (c.min_time, c.max_time, format!("{:?}", c.data));
            wanted.sort_by_key(key);
            prop_assert!(series.chunks.is_sorted_by_key(|c| (c.min_time, c.max_time)));
            let mut chunks = series.chunks.clone();
            chunks.sort_by_key(key);
            // Series of one store only are as that store gave them.
            let stores = inputs.iter().filter(|(input, _)| {
                input.iter().flatten().any(|s| s.labels == series.labels)
            });
            if stores.count() > 1 {
                wanted.dedup();
            }
            prop_assert_eq!(chunks, wanted);
        }
    }
}

#[tokio::test]
async fn nothing_is_asked_for_before_it_is_needed() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let many = stream::iter(0..10_000).map(move |i| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Frame::Series(vec![series(&format!("{i:05}"), &[])]))
    });
    let mut all = merged(vec![
        many.boxed(),
        fast(vec![Frame::Series(vec![series("x", &[])])]),
    ]);
    all.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(taken.load(Ordering::SeqCst) < 200);
}
