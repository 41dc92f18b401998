//! What a store promises to whoever asks it.

use model::{ErrorKind, Labels, Matcher, Stop, TimeRange};
use store::Gateway;
use store::limits::Limits;
use storeapi::{Aggregate, ChunkData, LabelsRequest, Series, SeriesRequest, Shard, Store};

use crate::support::{
    Answer, ByMessages, Recipe, Setup, TWO_HOURS, UNLIMITED, buckets, copy_block, everything,
    floats, grid,
};

fn recipe(n: u64, external: &'static [(&'static str, &'static str)]) -> Recipe {
    Recipe {
        n,
        external,
        resolution: 0,
        range: TWO_HOURS,
        series: grid(50),
    }
}

fn after(range: TimeRange) -> TimeRange {
    TimeRange::new(range.max, 2 * range.max - range.min)
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_one_producer_join_and_replicas_fall_together() {
    for (bucket, _dir) in buckets() {
        recipe(1, &[("replica", "a")]).put(&bucket).await;
        recipe(2, &[("replica", "b")]).put(&bucket).await;
        let mut next = recipe(3, &[("replica", "a")]);
        next.range = after(TWO_HOURS);
        next.put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        let all = setup.series(everything()).await.unwrap();
        assert_eq!(all.series.len(), 100);
        assert_eq!(all.series[0].chunks.len(), 8, "both blocks of a");
        assert_eq!(all.series[1].chunks.len(), 4);
        let request = SeriesRequest {
            without_replica_labels: vec!["replica".to_owned()],
            ..everything()
        };
        let without = setup.series(request).await.unwrap();
        assert_eq!(without.series.len(), 50);
        assert_eq!(
            without.series[0].chunks.len(),
            8,
            "equal chunks are sent once"
        );
        let info = setup.gateway.info();
        assert_eq!(info.label_sets.len(), 2);
        assert_eq!(
            (info.min_time, info.max_time),
            (TWO_HOURS.min, next.range.max - 1)
        );
    }
}

/// The times of a series' samples, chunk by chunk.
fn times(series: &Series) -> Vec<i64> {
    let raw = series.chunks.iter().map(|chunk| match &chunk.data {
        ChunkData::Raw(chunk) => chunk,
        ChunkData::Aggregates(_) => panic!("only samples were written"),
    });
    raw.flat_map(|chunk| chunk.samples().map(|sample| sample.unwrap().t))
        .collect()
}

/// The answers of a gateway in frames and, where it gives them so, in messages.
async fn both_ways(gateway: &Gateway, request: &SeriesRequest) -> Vec<Vec<Series>> {
    let messages = ByMessages(gateway.clone());
    let mut answers = Vec::new();
    for store in [gateway as &dyn Store, &messages] {
        let answer = Answer::of(store, request.clone()).await.unwrap();
        assert_eq!(answer.warnings, [""; 0]);
        answers.push(answer.series);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn late_samples_of_a_producer_lie_among_its_others() {
    let on_time = || TWO_HOURS.min..TWO_HOURS.max;
    let all: Vec<i64> = on_time().step_by(15_000).collect();
    // Of every ten, three came late, and with them a copy of some that had not.
    let is_late = |t: i64| matches!(t / 15_000 % 10, 3..6);
    let early = |labels: &Labels| {
        floats(
            all.iter()
                .copied()
                .filter(|t| labels.len() < 3 || !is_late(*t)),
        )
    };
    let late = |_: &Labels| floats(all.iter().copied().filter(|t| t / 15_000 % 10 < 6));
    for (bucket, _dir) in buckets() {
        recipe(1, &[("replica", "a")])
            .put_chunks(&bucket, early)
            .await;
        recipe(2, &[("replica", "a")])
            .put_chunks(&bucket, late)
            .await;
        let setup = Setup::over(bucket.clone(), UNLIMITED).await;
        let without = SeriesRequest {
            without_replica_labels: vec!["replica".to_owned()],
            ..everything()
        };
        for request in [everything(), without.clone()] {
            for answer in both_ways(&setup.gateway, &request).await {
                assert_eq!(answer.len(), 50);
                for series in &answer {
                    assert_eq!(times(series), all, "{}", series.labels);
                }
            }
        }
        // What another producer has stays as it is, for whoever reads both to choose from.
        recipe(3, &[("replica", "b")])
            .put_chunks(&bucket, late)
            .await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        for answer in both_ways(&setup.gateway, &without).await {
            assert_eq!(answer.len(), 50);
            let of_b = late(&Labels::empty()).len();
            assert_eq!(answer[0].chunks.len(), all.len().div_ceil(120) + of_b);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn series_of_a_block_that_are_shown_alike_stay_apart() {
    let times_of = |from: i64| (from..TWO_HOURS.max).step_by(30_000);
    let series = |replica: &str| Labels::from_pairs([("__name__", "m"), ("replica", replica)]);
    let request = SeriesRequest {
        without_replica_labels: vec!["replica".to_owned()],
        ..everything()
    };
    for (bucket, _dir) in buckets() {
        for (n, offset) in [(1, 0), (2, 15_000)] {
            let mut block = recipe(n, &[("c", "x")]);
            block.series = vec![series("a"), series("b")];
            let chunks = |labels: &Labels| {
                let jitter = i64::from(labels.get("replica") == Some("b"));
                floats(times_of(TWO_HOURS.min + offset + jitter))
            };
            block.put_chunks(&bucket, chunks).await;
        }
        let setup = Setup::over(bucket, UNLIMITED).await;
        for answer in both_ways(&setup.gateway, &request).await {
            assert_eq!(answer.len(), 1);
            for (of, jitter) in [("a", 0), ("b", 1)] {
                let chunks = answer[0].chunks.iter();
                let own =
                    chunks.filter(|chunk| (chunk.min_time - TWO_HOURS.min) % 15_000 == jitter);
                let own = Series {
                    labels: Labels::empty(),
                    chunks: own.cloned().collect(),
                };
                let expected = (TWO_HOURS.min..TWO_HOURS.max).step_by(15_000);
                let expected: Vec<i64> = expected.map(|t| t + jitter).collect();
                assert_eq!(times(&own), expected, "{of}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn series_stay_sorted_when_labels_come_and_go() {
    for (bucket, _dir) in buckets() {
        let mut recipe = recipe(1, &[("m", "ext")]);
        recipe.series = vec![
            Labels::from_pairs([("a", "1")]),
            Labels::from_pairs([("a", "1"), ("b", "1")]),
            Labels::from_pairs([("a", "1"), ("b", "1"), ("z", "1")]),
            Labels::from_pairs([("a", "2"), ("m", "own")]),
            Labels::from_pairs([("b", "0")]),
        ];
        recipe.put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        // The answer's order is checked by `series`.
        let shown = setup.series(everything()).await.unwrap().labels();
        assert_eq!(shown[0], r#"{a="1", b="1", m="ext"}"#);
        assert_eq!(shown.len(), 5);
        let request = SeriesRequest {
            without_replica_labels: vec!["a".to_owned(), "m".to_owned()],
            ..everything()
        };
        let shown = setup.series(request).await.unwrap().labels();
        assert_eq!(shown[0], "{}");
        let request = LabelsRequest {
            range: TimeRange::ALL,
            without_replica_labels: vec!["a".to_owned()],
            ..LabelsRequest::default()
        };
        let names = setup.gateway.label_names(request.clone()).await.unwrap();
        assert_eq!(names.values, ["b", "m", "z"]);
        let values = setup
            .gateway
            .label_values("a".to_owned(), request.clone())
            .await;
        assert!(values.unwrap().values.is_empty());
        let unnamed = setup.gateway.label_values(String::new(), request).await;
        assert_eq!(unnamed.unwrap_err().kind, ErrorKind::Invalid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_and_limits_cut_the_answer() {
    for (bucket, _dir) in buckets() {
        recipe(1, &[("c", "x")]).put(&bucket).await;
        let setup = Setup::over(bucket.clone(), UNLIMITED).await;
        let mut count = 0;
        for index in 0..3 {
            let request = SeriesRequest {
                shard: Some(Shard {
                    index,
                    total: 3,
                    by: true,
                    labels: vec!["i".to_owned()],
                }),
                ..everything()
            };
            count += setup.series(request).await.unwrap().series.len();
        }
        assert_eq!(count, 50);
        let request = SeriesRequest {
            limit: 7,
            ..everything()
        };
        assert_eq!(setup.series(request).await.unwrap().series.len(), 7);
        for (limits, flag) in [
            (
                Limits {
                    series_max: 49,
                    ..UNLIMITED
                },
                "--store.limits.request-series",
            ),
            (
                Limits {
                    samples_max: 1000,
                    ..UNLIMITED
                },
                "--store.limits.request-samples",
            ),
            (
                Limits {
                    bytes_max: 100,
                    ..UNLIMITED
                },
                "--store.grpc.downloaded-bytes-limit",
            ),
            // The references of the series fit, their chunks do not.
            (
                Limits {
                    bytes_max: 50 * 4 + 100,
                    mapped_bytes_max: 100,
                    ..UNLIMITED
                },
                "--store.grpc.downloaded-bytes-limit",
            ),
        ] {
            let limited = Setup::over(bucket.clone(), limits).await;
            let error = limited.series(everything()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Exhausted);
            assert!(error.message.contains(flag), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_blocks_with_series_of_the_answer_count() {
    for (bucket, _dir) in buckets() {
        for (n, name, copies) in [(1, "few", 1), (2, "most", 297)] {
            let mut block = recipe(n * 1_000, &[("c", "x")]);
            block.series = vec![Labels::from_pairs([("__name__", name)])];
            block.put_chunks(&bucket, |_| floats([TWO_HOURS.min])).await;
            for copy in 1..=copies {
                let copied = recipe(n * 1_000 + copy, &[]).id();
                copy_block(&bucket, block.id(), copied).await;
            }
        }
        let of = |name: &str| SeriesRequest {
            matchers: vec![Matcher::equal("__name__", name)],
            ..everything()
        };
        let limited = |blocks_max| Limits {
            blocks_max,
            ..UNLIMITED
        };
        let setup = Setup::over(bucket.clone(), limited(2)).await;
        assert_eq!(setup.series(of("few")).await.unwrap().series.len(), 1);
        let error = setup.series(of("most")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exhausted);
        assert!(
            error.message.contains("--store.limits.request-blocks"),
            "{error}"
        );
        let setup = Setup::over(bucket, limited(298)).await;
        assert_eq!(setup.series(of("most")).await.unwrap().series.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_for_who_does_not_wait() {
    for (bucket, _dir) in buckets() {
        recipe(1, &[("c", "x")]).put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        let request = SeriesRequest {
            stop: Stop::when(|| true),
            ..everything()
        };
        let error = setup.series(request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
        // The block is not to blame.
        assert_eq!(setup.series(everything()).await.unwrap().series.len(), 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_of_series_that_are_sent() {
    for (bucket, _dir) in buckets() {
        let mut recipe = recipe(1, &[("c", "x")]);
        recipe.resolution = 300_000;
        // Of every other series nothing is left where sums alone are wanted.
        let is_odd = |labels: &Labels| {
            let i = labels.get("i").unwrap_or_default();
            i.ends_with(['1', '3', '5', '7', '9'])
        };
        recipe.put_downsampled(&bucket, is_odd).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        let request = |limit| SeriesRequest {
            max_resolution: 300_000,
            aggregates: vec![Aggregate::Sum],
            limit,
            ..everything()
        };
        for (limit, sent) in [(0, 25), (7, 7)] {
            let answer = Answer::of(&setup.gateway, request(limit)).await.unwrap();
            assert_eq!(answer.series.len(), sent);
            let all = answer.series.iter();
            assert!(all.clone().all(|s| s.chunks.len() == 1));
            let same = setup.series(request(limit)).await.unwrap();
            assert_eq!(same.series.len(), sent);
        }
        let stats = setup.gateway.stats();
        let asked = stats.queries.get();
        // Two or three answers to each of the two questions.
        assert_eq!(stats.series.get(), (25 + 7) * asked / 2);
        assert_eq!(stats.chunks.get(), stats.series.get());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_in_an_empty_range() {
    for (bucket, _dir) in buckets() {
        recipe(1, &[]).put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        let middle = TWO_HOURS.min + 3_600_000;
        for before in [0, 1, 600_000] {
            let request = SeriesRequest {
                range: TimeRange::new(middle, middle - before),
                ..everything()
            };
            let answer = setup.series(request).await.unwrap();
            assert!(answer.series.is_empty(), "{before}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn matchers_decide_by_external_labels_and_series() {
    for (bucket, _dir) in buckets() {
        recipe(1, &[("c", "x")]).put(&bucket).await;
        recipe(2, &[("c", "y")]).put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        let count = async |matchers: &[Matcher]| {
            let request = SeriesRequest {
                matchers: matchers.to_vec(),
                ..everything()
            };
            match setup.series(request).await {
                Ok(answer) => Some(answer.series.len()),
                Err(e) => {
                    assert_eq!(e.kind, ErrorKind::Invalid);
                    None
                }
            }
        };
        let some = Matcher::not_equal("i", "");
        assert_eq!(count(&[]).await, None);
        assert_eq!(count(&[Matcher::equal("c", "x")]).await, None);
        let with = |m: Matcher| [m, some.clone()];
        assert_eq!(count(&with(Matcher::equal("c", "x"))).await, Some(50));
        assert_eq!(count(&[Matcher::equal("i", "000003")]).await, Some(2));
        assert_eq!(
            count(&[Matcher::equal("c", "y"), Matcher::equal("i", "000003")]).await,
            Some(1)
        );
        assert_eq!(count(&[Matcher::equal("c", "z")]).await, Some(0));
        assert_eq!(count(&with(Matcher::not_equal("c", "z"))).await, Some(100));
        let empty = SeriesRequest {
            range: TimeRange::new(5, 5),
            ..everything()
        };
        assert_eq!(setup.series(empty).await.unwrap().series.len(), 0);
    }
}
