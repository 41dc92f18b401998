//! Damaged blocks, blocks that disappear, and a bucket that fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use bucket::Bucket;
use bucket::faults::{Fault, FaultStore};
use futures::StreamExt as _;
use model::{ErrorKind, Labels, Matcher};
use storeapi::{Frame, PartialResponse, SeriesRequest, Store};

use crate::support::{
    Answer, ByMessages, Recipe, Setup, TWO_HOURS, UNLIMITED, buckets, everything, floats, grid,
};

fn recipe(n: u64, external: &'static [(&'static str, &'static str)]) -> Recipe {
    Recipe {
        n,
        external,
        resolution: 0,
        range: TWO_HOURS,
        series: grid(2000),
    }
}

fn aborting() -> SeriesRequest {
    SeriesRequest {
        partial_response: PartialResponse::Abort,
        ..everything()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_left_out_with_a_warning() {
    for (object, at) in [("index", 3), ("index", 60_000), ("chunks/000001", 5_000)] {
        let bucket = Bucket::in_memory();
        recipe(1, &[("c", "sound")]).put(&bucket).await;
        let bad = recipe(2, &[("c", "bad")]).put(&bucket).await;
        let key = format!("{bad}/{object}");
        let mut bytes = bucket.get(&key, u64::MAX).await.unwrap().to_vec();
        bytes[at] ^= 0x10;
        bucket.put(&key, bytes).await.unwrap();
        let setup = Setup::over(bucket, UNLIMITED).await;
        let answer = setup.series(everything()).await.unwrap();
        let sound = answer
            .labels()
            .iter()
            .filter(|l| l.contains("sound"))
            .count();
        if object == "index" && at == 3 {
            // The first bytes of an index are not read: the header's own are.
            assert_eq!(answer.series.len(), 4000);
            continue;
        }
        assert_eq!(sound, 2000, "{key}");
        assert_eq!(answer.warnings.len(), 1, "{key}: {:?}", answer.warnings);
        assert!(answer.warnings[0].contains(&bad.to_string()));
        let error = setup.series(aborting()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        let reads = setup.reads();
        setup.series(everything()).await.unwrap();
        assert_eq!(
            setup.reads(),
            reads,
            "a damaged block is not tried again for a while"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_that_is_mapped_is_left_out_with_a_warning() {
    for (object, at) in [("index", 60_000), ("chunks/000001", 5_000)] {
        let dir = tempfile::tempdir().unwrap();
        recipe(1, &[("c", "sound")]).write(dir.path());
        let bad = recipe(2, &[("c", "bad")]).write(dir.path());
        let key = format!("{bad}/{object}");
        let mut bytes = std::fs::read(dir.path().join(&key)).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(dir.path().join(&key), bytes).unwrap();
        for by_messages in [false, true] {
            let bucket = Bucket::in_directory(dir.path()).unwrap();
            let setup = Setup::over(bucket, UNLIMITED).await;
            let store: &dyn Store = match by_messages {
                true => &ByMessages(setup.gateway.clone()),
                false => &setup.gateway,
            };
            let answer = Answer::of(store, everything()).await.unwrap();
            let labels = answer.labels();
            let sound = labels.iter().filter(|l| l.contains("sound")).count();
            assert_eq!(sound, 2000, "{key}");
            assert_eq!(answer.warnings.len(), 1, "{key}: {:?}", answer.warnings);
            assert!(answer.warnings[0].contains(&bad.to_string()));
            let error = Answer::of(store, aborting()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
        }
    }
}

/// Makes the first chunk of a segment one of an encoding that only later versions read.
fn encode_newly(segment: &mut [u8]) {
    const HEADER: usize = 8;
    let len = segment[HEADER..].iter().take_while(|b| **b >= 0x80).count() + 1;
    let uvarint = segment[HEADER..HEADER + len].iter().rev();
    let payload = uvarint.fold(0, |all, b| all << 7 | usize::from(b & 0x7f));
    let (begin, end) = (HEADER + len, HEADER + len + 1 + payload);
    segment[begin] = 4;
    let crc = tsdb::cursor::crc32c(&segment[begin..end]);
    segment[end..end + 4].copy_from_slice(&crc.to_be_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_a_later_version_are_left_out_with_a_warning() {
    for (bucket, _dir) in buckets() {
        let (before, after) = (TWO_HOURS.min, TWO_HOURS.max - 15_000);
        let one_chunk = |_: &Labels| floats([before, after]);
        recipe(1, &[("c", "sound")])
            .put_chunks(&bucket, one_chunk)
            .await;
        let newer = recipe(2, &[("c", "newer")])
            .put_chunks(&bucket, one_chunk)
            .await;
        let key = format!("{newer}/chunks/000001");
        let mut bytes = bucket.get(&key, u64::MAX).await.unwrap().to_vec();
        encode_newly(&mut bytes);
        bucket.put(&key, bytes).await.unwrap();
        let setup = Setup::over(bucket, UNLIMITED).await;
        let messages = ByMessages(setup.gateway.clone());
        for store in [&setup.gateway as &dyn Store, &messages] {
            for _ in 0..2 {
                let answer = Answer::of(store, everything()).await.unwrap();
                assert_eq!(answer.series.len(), 3999, "all but one");
                let [warning] = &answer.warnings[..] else {
                    panic!("one warning, not {:?}", answer.warnings);
                };
                for said in [newer.to_string().as_str(), "XOR2", "chunk_encoding.floats"] {
                    assert!(warning.contains(said), "{warning}");
                }
            }
            let error = Answer::of(store, aborting()).await.unwrap_err();
            assert!(error.message.contains("XOR2"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_down_is_a_warning_or_an_error_and_heals() {
    let whole = Bucket::in_memory();
    recipe(1, &[("c", "x")]).put(&whole).await;
    let (bucket, faults) = FaultStore::over(&whole);
    let setup = Setup::over(bucket, UNLIMITED).await;
    faults.on_keys("chunks", Fault::Fail);
    let answer = setup.series(everything()).await.unwrap();
    assert_eq!(answer.series.len(), 0);
    assert_eq!(answer.warnings.len(), 1);
    let error = setup.series(aborting()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    faults.clear();
    assert_eq!(setup.series(aborting()).await.unwrap().series.len(), 2000);
    faults.on_keys("index", Fault::Truncate);
    let again = Setup::over(setup.bucket.clone(), UNLIMITED).await;
    assert_eq!(
        again.series(aborting()).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    faults.clear();
    assert_eq!(again.series(aborting()).await.unwrap().series.len(), 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_outlive_their_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let id = recipe(1, &[("c", "x")]).write(dir.path());
    let setup = Setup::over(Bucket::in_directory(dir.path()).unwrap(), UNLIMITED).await;
    let mut frames = setup.gateway.series(aborting());
    let first = frames.next().await.unwrap().unwrap();
    let block = Arc::clone(setup.gateway.blocks().get(id).unwrap());
    std::fs::remove_dir_all(dir.path().join(id.to_string())).unwrap();
    setup.sync().await;
    setup.gateway.opener().forget(&block).await;
    let mut count = match first {
        Frame::Series(series) => series.len(),
        Frame::Warning(warning) => panic!("{warning}"),
    };
    while let Some(frame) = frames.next().await {
        if let Frame::Series(series) = frame.unwrap() {
            count += series.len();
        }
    }
    assert_eq!(count, 2000, "mapped files stay");
    assert_eq!(setup.series(aborting()).await.unwrap().series.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_between_two_reads_is_never_mixed_with_what_it_was() {
    let small = |name: &'static str, count: u32| Recipe {
        series: grid(count)
            .iter()
            .map(|labels| Labels::from_pairs(labels.iter().chain([("of", name)])))
            .collect(),
        ..recipe(1, &[("c", "x")])
    };
    let (old, new) = (small("old", 60), small("a newer one", 70));
    let mut right = BTreeSet::new();
    for block in [&old, &new] {
        let bucket = Bucket::in_memory();
        block.put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        right.extend(setup.series(aborting()).await.unwrap().dump());
    }
    let replacement = Bucket::in_memory();
    let id = new.put(&replacement).await;
    for objects in [
        &["index"][..],
        &["chunks/000001"],
        &["index", "chunks/000001"],
    ] {
        let bucket = Bucket::in_memory();
        old.put(&bucket).await;
        let setup = Setup::over(bucket, UNLIMITED).await;
        // The header is read, and nothing else.
        let nothing = SeriesRequest {
            matchers: vec![Matcher::equal("__name__", "absent")],
            ..aborting()
        };
        assert!(setup.series(nothing).await.unwrap().series.is_empty());
        for object in objects {
            let key = format!("{id}/{object}");
            let bytes = replacement.get(&key, u64::MAX).await.unwrap();
            setup.bucket.put(&key, bytes).await.unwrap();
        }
        let error = setup.series(aborting()).await.unwrap_err();
        // The listing says which content of an index is meant; chunks tell by themselves.
        let is_seen = objects.contains(&"index");
        let expected = match is_seen {
            true => ErrorKind::Unavailable,
            false => ErrorKind::Corrupt,
        };
        assert_eq!(error.kind, expected, "{objects:?}: {error}");
        let is_said = error.to_string().contains("was replaced");
        assert_eq!(is_said, is_seen, "{objects:?}: {error}");
        let answer = setup.series(everything()).await.unwrap();
        assert_eq!(answer.warnings.len(), 1, "{objects:?}");
        let invented: Vec<_> = answer.dump().difference(&right).cloned().collect();
        assert_eq!(invented, Vec::<String>::new(), "{objects:?}");
    }
}
