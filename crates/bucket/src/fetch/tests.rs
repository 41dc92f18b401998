use std::collections::BTreeSet;

use model::TimeRange;
use model::labels::NameScheme;
use model::relabel::{RelabelAction, RelabelConfig};
use tsdb::block::meta::Thanos;

use super::*;
use crate::faults::{Fault, FaultStore};
use crate::metrics::Operation;

const HOUR_MS: i64 = 3_600_000;

fn id(n: u128) -> Ulid {
    Ulid::from_parts(1_000_000_000, n)
}

fn meta(n: u128, labels: &[(&str, &str)], sources: &[u128]) -> Meta {
    let mut meta = Meta::new(id(n), TimeRange::new(0, 2 * HOUR_MS));
    meta.compaction.sources = sources.iter().map(|s| id(*s)).collect();
    meta.thanos = Some(Thanos {
        labels: (labels.iter())
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        ..Thanos::default()
    });
    meta
}

async fn put(bucket: &Bucket, meta: &Meta) {
    let id = meta.ulid;
    bucket
        .put(&format!("{id}/chunks/000001"), "ccc")
        .await
        .unwrap();
    bucket.put(&format!("{id}/index"), "ii").await.unwrap();
    bucket
        .put(&format!("{id}/meta.json"), meta.to_bytes())
        .await
        .unwrap();
}

fn ids(view: &View) -> Vec<Ulid> {
    view.blocks.keys().copied().collect()
}

async fn view_of(bucket: &Bucket, filter: Filter, now_ms: i64) -> View {
    let fetcher = Fetcher::new(bucket.clone(), None, vec![filter]);
    fetcher.sync(now_ms).await.unwrap()
}

#[tokio::test]
async fn a_sync_is_one_listing_and_what_is_new() {
    let bucket = Bucket::in_memory();
    let dir = tempfile::tempdir().unwrap();
    for n in 1..=3 {
        put(&bucket, &meta(n, &[("a", "b")], &[n])).await;
    }
    bucket.put("debug/metas/x.json", "{}").await.unwrap();
    let lists = || bucket.metrics().count(Operation::Iter);
    let gets = || bucket.metrics().count(Operation::Get);
    let fetcher = Fetcher::new(bucket.clone(), Some(dir.path()), Vec::new());
    let view = fetcher.sync(0).await.unwrap();
    assert_eq!(ids(&view), [id(1), id(2), id(3)]);
    let files = &view.blocks[&id(1)].files;
    assert_eq!(
        (files.index_bytes, files.segments.get(1)),
        (Some(2), Some(3))
    );
    assert_eq!((lists(), gets()), (1, 3));

    put(&bucket, &meta(4, &[("a", "b")], &[4])).await;
    bucket
        .delete(&format!("{}/meta.json", id(1)))
        .await
        .unwrap();
    let view = fetcher.sync(0).await.unwrap();
    assert_eq!(ids(&view), [id(2), id(3), id(4)]);
    assert!(view.partial.contains_key(&id(1)));
    assert_eq!((lists(), gets()), (2, 4));

    // After a restart the copies on disk do.
    let restarted = Fetcher::new(bucket.clone(), Some(dir.path()), Vec::new());
    assert_eq!(ids(&restarted.sync(0).await.unwrap()), ids(&view));
    assert_eq!((lists(), gets()), (3, 4));
    assert!(
        !dir.path()
            .join("meta-syncer")
            .join(id(1).to_string())
            .exists()
    );

    // A torn copy is read again.
    let copy = dir
        .path()
        .join("meta-syncer")
        .join(id(2).to_string())
        .join("meta.json");
    std::fs::write(copy, "{").unwrap();
    let restarted = Fetcher::new(bucket.clone(), Some(dir.path()), Vec::new());
    assert_eq!(ids(&restarted.sync(0).await.unwrap()), ids(&view));
    assert_eq!(gets(), 5);
    assert_eq!(bucket.metrics().count(Operation::Attributes), 0);
}

#[tokio::test]
async fn a_damaged_meta_hides_only_its_block() {
    let bucket = Bucket::in_memory();
    put(&bucket, &meta(1, &[], &[1])).await;
    let wrong_name = meta(9, &[], &[9]).to_bytes();
    bucket
        .put(&format!("{}/meta.json", id(2)), wrong_name)
        .await
        .unwrap();
    bucket
        .put(&format!("{}/meta.json", id(3)), "{\"version\":")
        .await
        .unwrap();
    bucket
        .put(&format!("{}/deletion-mark.json", id(1)), "{")
        .await
        .unwrap();
    let fetcher = Fetcher::new(bucket, None, Vec::new());
    let view = fetcher.sync(0).await.unwrap();
    assert_eq!(ids(&view), [id(1)]);
    let corrupted: BTreeSet<_> = view.corrupted.keys().copied().collect();
    assert_eq!(corrupted, BTreeSet::from([id(2), id(3)]));
    assert!(
        view.blocks[&id(1)].deletion_mark.is_none(),
        "a torn mark is none"
    );
    let mut states = BTreeMap::new();
    fetcher.visit(&mut |f| {
        if f.name == "thanos_blocks_meta_synced" {
            states.insert(f.labels[0].1.to_owned(), format!("{:?}", f.value));
        }
    });
    assert_eq!(
        (
            states["loaded"].as_str(),
            states["corrupted-meta-json"].as_str()
        ),
        ("Gauge(1.0)", "Gauge(2.0)")
    );
}

#[tokio::test]
async fn marks_are_seen_and_hide_after_their_delay() {
    let bucket = Bucket::in_memory();
    put(&bucket, &meta(1, &[], &[1])).await;
    put(&bucket, &meta(2, &[], &[2])).await;
    let mark = DeletionMark::new(id(1), "x", 1000);
    let key = format!("{}/deletion-mark.json", id(1));
    bucket.put(&key, mark.to_json()).await.unwrap();
    let fetcher = Fetcher::new(bucket, None, vec![Filter::DeletionMarks(5_000)]);
    for (now_ms, visible) in [(1_005_000, 2), (1_005_001, 1)] {
        let view = fetcher.sync(now_ms).await.unwrap();
        assert_eq!(view.blocks.len(), visible, "at {now_ms}");
        assert_eq!(view.deletion_marks[&id(1)].time(), 1000);
    }
}

/// Who may not read a mark still serves the block; who would change it leaves it alone.
#[tokio::test]
async fn a_mark_that_cannot_be_read_hides_a_block_from_compactors_alone() {
    let inner = Bucket::in_memory();
    put(&inner, &meta(1, &[], &[1])).await;
    put(&inner, &meta(2, &[], &[2])).await;
    let key = format!("{}/deletion-mark.json", id(1));
    let mark = DeletionMark::new(id(1), "x", 1000).to_json();
    inner.put(&key, mark).await.unwrap();
    let (bucket, faults) = FaultStore::over(&inner);
    faults.on_keys("deletion-mark.json", Fault::Fail);
    let reader = Fetcher::of_outlines(bucket.clone(), None, Vec::new());
    let view = reader.sync(0).await.unwrap();
    assert_eq!((view.blocks.len(), view.failed.len()), (2, 0));
    let compactor = Fetcher::new(bucket, None, Vec::new());
    let view = compactor.sync(0).await.unwrap();
    assert_eq!(ids(&view), [id(2)]);
    assert!(view.failed.contains_key(&id(1)));
    faults.clear();
    let view = compactor.sync(0).await.unwrap();
    assert!(view.blocks[&id(1)].deletion_mark.is_some());
}

/// One object of anybody's does not keep all blocks from being seen.
#[tokio::test]
async fn names_that_a_client_does_not_take_hide_nothing_else() {
    let inner = Bucket::in_memory();
    put(&inner, &meta(1, &[], &[1])).await;
    put(&inner, &meta(2, &[], &[2])).await;
    let (bucket, faults) = FaultStore::over(&inner);
    let fetcher = Fetcher::new(bucket, None, Vec::new());
    faults.add_odd_name("foo//bar");
    assert_eq!(ids(&fetcher.sync(0).await.unwrap()), [id(1), id(2)]);
    faults.add_odd_name(&format!("{}//bar", id(2)));
    assert_eq!(ids(&fetcher.sync(0).await.unwrap()), [id(1)]);
}

#[tokio::test]
async fn time_and_labels_choose_blocks() {
    let bucket = Bucket::in_memory();
    put(&bucket, &meta(1, &[("team", "a")], &[1])).await;
    put(&bucket, &meta(2, &[("team", "b")], &[2])).await;
    let at = |min, max| {
        Filter::TimePartition(TimeBounds {
            min: TimeBound::At(min),
            max: TimeBound::At(max),
        })
    };
    assert_eq!(
        view_of(&bucket, at(2 * HOUR_MS, 9 * HOUR_MS), 0)
            .await
            .blocks
            .len(),
        0
    );
    assert_eq!(
        view_of(&bucket, at(2 * HOUR_MS - 1, 9 * HOUR_MS), 0)
            .await
            .blocks
            .len(),
        2
    );
    let keep = |label: &str, regex: &str| {
        let rule = RelabelConfig {
            source_labels: Some(vec![label.to_owned()]),
            regex: Some(regex.to_owned()),
            action: RelabelAction::Keep,
            ..RelabelConfig::default()
        };
        Filter::Shard(vec![rule.compile(NameScheme::Legacy).unwrap()])
    };
    assert_eq!(ids(&view_of(&bucket, keep("team", "b"), 0).await), [id(2)]);
    let view = view_of(&bucket, keep("__block_id", &id(1).to_string()), 0).await;
    assert_eq!(ids(&view), [id(1)]);
    assert_eq!(view.excluded["label-excluded"], 1);
}

#[tokio::test]
async fn fresh_blocks_are_hidden_but_for_those_of_compactors() {
    let bucket = Bucket::in_memory();
    let made_ms = 1_000_000_000;
    put(&bucket, &meta(1, &[], &[1])).await;
    let mut late = meta(2, &[], &[2]);
    late.thanos.as_mut().unwrap().upload_time = Some("1970-01-12T13:46:50Z".to_owned());
    put(&bucket, &late).await;
    let mut merged = meta(3, &[], &[3]);
    merged.thanos.as_mut().unwrap().source = "compactor".to_owned();
    put(&bucket, &merged).await;
    let delay = Filter::ConsistencyDelay(1000);
    for (now_ms, seen) in [
        (made_ms + 999, vec![id(3)]),
        (made_ms + 1000, vec![id(1), id(3)]),
        (made_ms + 11_000, vec![id(1), id(2), id(3)]),
    ] {
        assert_eq!(
            ids(&view_of(&bucket, delay.clone(), now_ms).await),
            seen,
            "{now_ms}"
        );
    }
}

#[tokio::test]
async fn covered_blocks_are_hidden_within_their_group() {
    /// Names, a label and sources.
    type Blocks<'a> = &'a [(u128, &'a str, &'a [u128])];
    let cases: [(Blocks<'_>, &[u128]); 5] = [
        (&[(1, "a", &[1]), (2, "a", &[2])], &[]),
        (
            &[(1, "a", &[1]), (2, "a", &[2]), (3, "a", &[1, 2])],
            &[1, 2],
        ),
        (&[(1, "b", &[1]), (3, "a", &[1, 2])], &[]),
        // Equal sources: the older stays.
        (&[(4, "a", &[1, 2]), (5, "a", &[1, 2])], &[5]),
        // Covered by two together, not by one.
        (
            &[(4, "a", &[1, 2]), (5, "a", &[2, 3]), (6, "a", &[1, 3])],
            &[],
        ),
    ];
    for (blocks, hidden) in cases {
        let bucket = Bucket::in_memory();
        for (n, label, sources) in blocks {
            put(&bucket, &meta(*n, &[("l", label)], sources)).await;
        }
        let view = view_of(&bucket, Filter::Duplicates, 0).await;
        let hidden: Vec<Ulid> = hidden.iter().map(|n| id(*n)).collect();
        assert_eq!(view.duplicates, hidden, "{blocks:?}");
        assert_eq!(view.blocks.len() + hidden.len(), blocks.len());
        // Who holds no sources reads those that matter, from copies or the bucket.
        let dir = tempfile::tempdir().unwrap();
        for data_dir in [None, Some(dir.path())] {
            let filters = vec![Filter::Duplicates];
            let fetcher = Fetcher::of_outlines(bucket.clone(), data_dir, filters);
            for _ in 0..2 {
                let view = fetcher.sync(0).await.unwrap();
                assert_eq!(view.duplicates, hidden, "{blocks:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_marked_hides_only_what_is_marked_too() {
    let bucket = Bucket::in_memory();
    for (n, sources) in [(1, &[1][..]), (2, &[2]), (3, &[1, 2]), (4, &[1])] {
        put(&bucket, &meta(n, &[("l", "a")], sources)).await;
    }
    for n in [2, 3] {
        let mark = DeletionMark::new(id(n), "", 1).to_json();
        let key = BlockObject::DeletionMark(id(n)).to_string();
        bucket.put(&key, mark).await.unwrap();
    }
    let hidden = async |filter| view_of(&bucket, filter, 0).await.duplicates;
    assert_eq!(hidden(Filter::Duplicates).await, [id(1), id(2), id(4)]);
    assert_eq!(hidden(Filter::DuplicatesOfKept).await, [id(2), id(4)]);
}

#[tokio::test]
async fn sources_are_read_of_blocks_that_may_cover_others() {
    let bucket = Bucket::in_memory();
    let id = |day: u64, n: u128| Ulid::from_parts(day * 24 * 3_600_000, n);
    let make = async |block: Ulid, sources: &[Ulid]| {
        let mut meta = Meta::new(block, TimeRange::new(0, HOUR_MS));
        meta.compaction.sources = sources.to_vec();
        put(&bucket, &meta).await;
    };
    let gets = || bucket.metrics().count(Operation::Get);
    for day in 1..=4 {
        make(id(day, 0), &[id(day, 0)]).await;
    }
    make(id(9, 1), &[id(5, 0), id(6, 0), id(7, 0)]).await;
    let fetcher = Fetcher::of_outlines(bucket.clone(), None, vec![Filter::Duplicates]);
    assert_eq!(fetcher.sync(0).await.unwrap().blocks.len(), 5);
    assert_eq!(gets(), 5, "none may cover another one");
    make(id(9, 2), &[id(1, 0), id(3, 0)]).await;
    let view = fetcher.sync(0).await.unwrap();
    assert_eq!(view.duplicates, [id(1, 0), id(3, 0)]);
    assert_eq!(gets(), 7, "the new one, and it for its sources");
}

#[tokio::test]
async fn a_meta_is_read_when_it_is_asked_for() {
    let bucket = Bucket::in_memory();
    let dir = tempfile::tempdir().unwrap();
    let mut written = meta(1, &[("a", "b")], &[1, 2]);
    written.thanos.as_mut().unwrap().source = "sidecar".to_owned();
    put(&bucket, &written).await;
    let marks = [
        NoCompactMark::new(id(1), crate::NoCompactReason::Manual, "", 1).to_json(),
        DeletionMark::new(id(1), "", 1).to_json(),
    ];
    let [no_compact, deletion] = marks;
    let key = |object: BlockObject| object.to_string();
    bucket
        .put(&key(BlockObject::NoCompactMark(id(1))), no_compact)
        .await
        .unwrap();
    bucket
        .put(&key(BlockObject::DeletionMark(id(1))), deletion)
        .await
        .unwrap();
    let gets = || bucket.metrics().count(Operation::Get);
    let fetcher = Fetcher::of_outlines(bucket.clone(), Some(dir.path()), Vec::new());
    let view = fetcher.sync(0).await.unwrap();
    assert!(view.blocks[&id(1)].deletion_mark.is_some());
    assert_eq!(gets(), 2, "the other mark is for compactors");
    assert_eq!(fetcher.copy(id(1)), Some(written.clone()));
    assert_eq!(fetcher.meta(id(1)).await.unwrap(), written);
    assert_eq!(gets(), 2);
    let copy = dir.path().join(format!("meta-syncer/{}/meta.json", id(1)));
    std::fs::write(copy, "{").unwrap();
    assert_eq!(fetcher.copy(id(1)), None);
    assert_eq!(fetcher.meta(id(1)).await.unwrap(), written);
    assert_eq!(fetcher.copy(id(1)), Some(written), "made anew");
    assert_eq!(gets(), 3);
    assert!(fetcher.meta(id(2)).await.is_err());
}

#[tokio::test]
async fn a_folder_needs_no_copies() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = Bucket::in_directory(dir.path()).unwrap();
    put(&bucket, &meta(1, &[], &[1])).await;
    for _ in 0..2 {
        let fetcher = Fetcher::new(bucket.clone(), Some(data.path()), Vec::new());
        assert_eq!(ids(&fetcher.sync(0).await.unwrap()), [id(1)]);
    }
    assert_eq!(bucket.metrics().count(Operation::Get), 0);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    assert!(
        dir.path()
            .join(id(1).to_string())
            .join("meta.json")
            .exists()
    );
}

#[tokio::test]
async fn replica_labels_go_but_not_all_labels() {
    let bucket = Bucket::in_memory();
    put(&bucket, &meta(1, &[("r", "1"), ("x", "y")], &[1])).await;
    put(&bucket, &meta(2, &[("r", "2")], &[2])).await;
    let view = view_of(&bucket, Filter::ReplicaLabels(vec!["r".to_owned()]), 0).await;
    let labels = |n| view.blocks[&id(n)].labels().clone();
    assert_eq!(
        labels(1),
        BTreeMap::from([("x".to_owned(), "y".to_owned())])
    );
    assert_eq!(
        labels(2),
        BTreeMap::from([("r".to_owned(), "deduped".to_owned())])
    );
}
