use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures::TryStreamExt as _;
use model::{Labels, TimeRange};
use tsdb::block::{Block, BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use ulid::Ulid;

use super::*;
use crate::client::Bucket;
use crate::error::Error;
use crate::faults::{Fault, FaultStore};
use model::figure::Value;

const NOW_MS: i64 = 1_700_000_000_000;

/// Writes a block of a few series from `hour` on and returns its name.
fn write_block(dir: &Path, hour: i64, level: u32) -> Ulid {
    let range = TimeRange::new(hour * 3_600_000, (hour + 2) * 3_600_000);
    let id = Ulid::from_parts(range.max as u64, u128::from(level));
    let mut writer = BlockWriter::create(dir, id).unwrap();
    let mut symbols = vec![
        "__name__".to_owned(),
        "metric".to_owned(),
        "series".to_owned(),
    ];
    symbols.extend((0..20).map(|i| format!("{i:03}")));
    symbols.sort();
    for symbol in &symbols {
        writer.add_symbol(symbol).unwrap();
    }
    for i in 0..20 {
        let value = format!("{i:03}");
        let labels = Labels::from_pairs([("__name__", "metric"), ("series", &value)]);
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for t in (range.min..range.max).step_by(15_000) {
            chunks.extend(encoder.push_float(t, (t / 1000 * i) as f64).unwrap());
        }
        chunks.extend(encoder.finish());
        writer.add_series(&labels, &chunks).unwrap();
    }
    let mut meta = Meta::new(id, range);
    meta.compaction.level = level;
    writer.finish(meta).unwrap().unwrap();
    id
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("replica".to_owned(), "a".to_owned())])
}

fn config(dir: &Path) -> ShipperConfig {
    ShipperConfig {
        dir: dir.to_owned(),
        source: "sidecar".to_owned(),
        state_file: META_FILE_NAME.to_owned(),
        upload_compacted: false,
        allow_out_of_order: false,
        hash: HashFunction::None,
    }
}

async fn keys(bucket: &Bucket) -> Vec<String> {
    let listed: Vec<_> = bucket.list("").try_collect().await.unwrap();
    let mut keys: Vec<_> = listed.into_iter().map(|o| o.key).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn a_block_gets_thanos_part() {
    let dir = tempfile::tempdir().unwrap();
    let id = write_block(dir.path(), 0, 1);
    let bucket = Bucket::in_memory();
    let path = dir.path().join(id.to_string());
    let origin = Origin {
        hash: HashFunction::Sha256,
        ..Origin::new("sidecar", labels())
    };
    let uploaded = upload_block(&bucket, &path, &origin, NOW_MS).await.unwrap();
    let Uploaded::Now(meta) = uploaded else {
        panic!("it was not there before");
    };
    assert_eq!(
        keys(&bucket).await,
        [
            format!("{id}/chunks/000001"),
            format!("{id}/index"),
            format!("{id}/meta.json")
        ]
    );
    let bytes = bucket
        .get(&format!("{id}/meta.json"), 1 << 20)
        .await
        .unwrap();
    let read = Meta::parse(&bytes, Path::new("meta.json")).unwrap();
    assert_eq!(read, *meta);
    let thanos = read.thanos.unwrap();
    assert_eq!(thanos.labels, labels());
    assert_eq!((thanos.version, thanos.source.as_str()), (1, "sidecar"));
    assert_eq!(thanos.upload_time.as_deref(), Some("2023-11-14T22:13:20Z"));
    assert_eq!(thanos.segment_files, ["000001"]);
    for file in &thanos.files {
        // Nothing can hold its own hash.
        let expected = match file.rel_path.as_str() {
            "meta.json" => None,
            name => HashFunction::Sha256.of(&path.join(name)).unwrap(),
        };
        assert_eq!(file.hash, expected, "{}", file.rel_path);
    }
    let files: Vec<_> = (thanos.files.iter())
        .map(|f| (f.rel_path.as_str(), f.size_bytes > 0))
        .collect();
    assert_eq!(
        files,
        [
            ("chunks/000001", true),
            ("index", true),
            ("meta.json", false)
        ]
    );
    assert_eq!(
        upload_block(&bucket, &path, &origin, NOW_MS).await.unwrap(),
        Uploaded::Before
    );
}

#[test]
fn stats_bound_every_series_and_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let id = write_block(dir.path(), 0, 1);
    let block = Block::open(&dir.path().join(id.to_string())).unwrap();
    let stats = index_stats(&block).unwrap();
    let mut walk = block.index().walk();
    let mut entry = tsdb::index::SeriesEntry::default();
    let mut largest = 0;
    while walk.next_into(&mut entry).unwrap().is_some() {
        for chunk in &entry.chunks {
            // At these sizes the length before the data takes one or two bytes.
            let data = block.chunk(chunk.reference).unwrap().data.len() as u64;
            largest = largest.max(data + 5 + if data < 128 { 1 } else { 2 });
        }
    }
    assert!(
        (largest..=largest + 4).contains(&stats.chunk_max_size),
        "{stats:?} {largest}"
    );
    assert!(
        stats.series_max_size >= 48 && stats.series_max_size.is_multiple_of(16),
        "{stats:?}"
    );
}

#[tokio::test]
async fn an_upload_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let id = write_block(dir.path(), 0, 1);
    let path = dir.path().join(id.to_string());
    let origin = Origin::new("sidecar", labels());
    let bucket = Bucket::in_memory();
    let chunks = fs::read(path.join("chunks/000001")).unwrap();
    bucket
        .put(&format!("{id}/chunks/000001"), chunks)
        .await
        .unwrap();
    bucket
        .put(&format!("{id}/index"), "half of it")
        .await
        .unwrap();
    let before = bucket.metrics().count(crate::metrics::Operation::Upload);
    upload_block(&bucket, &path, &origin, NOW_MS).await.unwrap();
    let sent = bucket.metrics().count(crate::metrics::Operation::Upload) - before;
    assert_eq!(sent, 2, "index and meta.json");
    let index = bucket.get(&format!("{id}/index"), 1 << 30).await.unwrap();
    assert!(index == fs::read(path.join("index")).unwrap());
}

#[tokio::test]
async fn level_one_is_shipped_once_and_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let (late, early) = (write_block(dir.path(), 2, 1), write_block(dir.path(), 0, 1));
    let merged = write_block(dir.path(), 4, 2);
    let bucket = Bucket::in_memory();
    let shipper = Shipper::new(bucket.clone(), config(dir.path()));
    let shipped = shipper.sync(&labels(), NOW_MS).await.unwrap();
    assert_eq!(shipped.uploaded, [early, late]);
    let state = fs::read_to_string(dir.path().join(META_FILE_NAME)).unwrap();
    assert_eq!(
        state,
        format!(
            "{{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"{early}\",\n\t\t\"{late}\"\n\t]\n}}\n"
        )
    );
    assert!(
        shipper
            .sync(&labels(), NOW_MS)
            .await
            .unwrap()
            .uploaded
            .is_empty()
    );
    // Without its list it looks at the bucket.
    fs::remove_file(dir.path().join(META_FILE_NAME)).unwrap();
    assert!(
        shipper
            .sync(&labels(), NOW_MS)
            .await
            .unwrap()
            .uploaded
            .is_empty()
    );
    assert_eq!(
        fs::read_to_string(dir.path().join(META_FILE_NAME)).unwrap(),
        state
    );
    // A block that is gone leaves the list.
    fs::remove_dir_all(dir.path().join(early.to_string())).unwrap();
    let mut with_merged = config(dir.path());
    with_merged.upload_compacted = true;
    let shipped = Shipper::new(bucket, with_merged)
        .sync(&labels(), NOW_MS)
        .await
        .unwrap();
    assert_eq!(shipped.uploaded, [merged]);
    let state = fs::read_to_string(dir.path().join(META_FILE_NAME)).unwrap();
    assert!(!state.contains(&early.to_string()));
    assert!(!dir.path().join("thanos").exists());
}

#[tokio::test]
async fn a_merged_block_must_not_overlap_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    write_block(dir.path(), 0, 1);
    let bucket = Bucket::in_memory();
    Shipper::new(bucket.clone(), config(dir.path()))
        .sync(&labels(), NOW_MS)
        .await
        .unwrap();
    let merged = write_block(dir.path(), 1, 2);
    let mut with_merged = config(dir.path());
    with_merged.upload_compacted = true;
    let refused = Shipper::new(bucket.clone(), with_merged.clone());
    let shipped = refused.sync(&labels(), NOW_MS).await.unwrap();
    assert!(matches!(shipped.failed[&merged], Error::Overlap { .. }));
    with_merged.allow_out_of_order = true;
    let allowed = Shipper::new(bucket, with_merged);
    assert_eq!(
        allowed.sync(&labels(), NOW_MS).await.unwrap().uploaded,
        [merged]
    );
}

#[tokio::test]
async fn a_damaged_block_is_set_aside_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (bad, good) = (write_block(dir.path(), 0, 1), write_block(dir.path(), 2, 1));
    let chunks = dir.path().join(bad.to_string()).join("chunks/000001");
    let mut bytes = fs::read(&chunks).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&chunks, bytes).unwrap();
    let bucket = Bucket::in_memory();
    let shipper = Shipper::new(bucket.clone(), config(dir.path()));
    let shipped = shipper.sync(&labels(), NOW_MS).await.unwrap();
    assert_eq!(shipped.uploaded, [good]);
    assert!(shipped.quarantined[&bad].contains("damaged"), "{shipped:?}");
    assert!(
        keys(&bucket)
            .await
            .iter()
            .all(|k| k.starts_with(&good.to_string()))
    );
}

#[tokio::test]
async fn blocks_wait_for_a_bucket_that_is_down_and_it_shows() {
    fn pending(shipper: &Shipper) -> f64 {
        let mut pending = f64::NAN;
        shipper.visit(&[], &mut |figure| {
            if let ("promontory_shipper_pending_blocks", Value::Gauge(value)) =
                (figure.name, figure.value)
            {
                pending = value;
            }
        });
        pending
    }
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<_> = (0..3).map(|i| write_block(dir.path(), i * 2, 1)).collect();
    let (bucket, faults) = FaultStore::over(&Bucket::in_memory());
    let shipper = Shipper::new(bucket, config(dir.path()));
    faults.at(1, Fault::KillBefore);
    for _ in 0..3 {
        let shipped = shipper.sync(&labels(), NOW_MS).await.unwrap();
        assert_eq!((shipped.failed.len(), shipped.waiting), (1, 2));
        assert!(shipped.settled.is_empty(), "retention must keep them");
        assert_eq!(pending(&shipper), 3.0);
    }
    faults.clear();
    let shipped = shipper.sync(&labels(), NOW_MS).await.unwrap();
    assert_eq!(shipped.uploaded, ids);
    assert_eq!(pending(&shipper), 0.0);
    let damaged = write_block(dir.path(), 6, 1);
    fs::write(dir.path().join(format!("{damaged}/chunks/000001")), b"").unwrap();
    shipper.sync(&labels(), NOW_MS).await.unwrap();
    assert_eq!(pending(&shipper), 0.0, "it will never be shipped");
}

#[tokio::test]
async fn nothing_is_shipped_without_external_labels() {
    let dir = tempfile::tempdir().unwrap();
    let id = write_block(dir.path(), 0, 1);
    let bucket = Bucket::in_memory();
    let shipper = Shipper::new(bucket.clone(), config(dir.path()));
    let shipped = shipper.sync(&BTreeMap::new(), NOW_MS).await.unwrap();
    assert!(matches!(shipped.failed[&id], Error::Refused { .. }));
    assert!(keys(&bucket).await.is_empty());
    assert_eq!(
        shipper.sync(&labels(), NOW_MS).await.unwrap().uploaded,
        [id]
    );
}

/// Every sample of the blocks that a reader sees in the bucket, by block.
async fn readable(bucket: &Bucket, dir: &Path) -> BTreeMap<Ulid, Vec<String>> {
    let fetcher = crate::Fetcher::new(bucket.clone(), None, Vec::new());
    let view = fetcher.sync(i64::MAX / 2).await.unwrap();
    let mut blocks = BTreeMap::new();
    for (id, info) in view.blocks {
        let to = dir.join(id.to_string());
        fs::create_dir_all(to.join("chunks")).unwrap();
        let mut names = vec!["meta.json".to_owned(), "index".to_owned()];
        let segments = info.files.segments.numbers();
        names.extend(segments.map(|segment| format!("chunks/{segment:06}")));
        for name in names {
            let bytes = bucket.get(&format!("{id}/{name}"), 1 << 30).await.unwrap();
            fs::write(to.join(name), bytes).unwrap();
        }
        blocks.insert(id, samples(&to));
        fs::remove_dir_all(to).unwrap();
    }
    blocks
}

/// The series of a block with all samples; the block must be whole.
fn samples(dir: &Path) -> Vec<String> {
    let block = Block::open(dir).unwrap();
    assert!(block.verify().is_empty());
    let mut series = Vec::new();
    let mut walk = block.index().walk();
    let mut entry = tsdb::index::SeriesEntry::default();
    while walk.next_into(&mut entry).unwrap().is_some() {
        let mut text = format!("{:?}", entry.labels);
        for chunk in &entry.chunks {
            for sample in block.chunk(chunk.reference).unwrap().samples() {
                text.push_str(&format!(" {:?}", sample.unwrap()));
            }
        }
        series.push(text);
    }
    series
}

/// Kills a shipper before and after each of its operations on the bucket, and loses answers. At no
/// time does a reader see a part of a block, and in the end everything is there, once.
#[tokio::test]
async fn a_shipper_may_be_killed_at_every_operation() {
    use crate::faults::{Fault, FaultStore};
    let dir = tempfile::tempdir().unwrap();
    let expected: BTreeMap<Ulid, Vec<String>> = (0..3)
        .map(|hour| {
            let id = write_block(dir.path(), 2 * hour, 1);
            (id, samples(&dir.path().join(id.to_string())))
        })
        .collect();
    let downloads = tempfile::tempdir().unwrap();
    let state = dir.path().join(META_FILE_NAME);
    let mut kills = 0;
    for fault in [Fault::KillBefore, Fault::KillAfter, Fault::LoseAnswer] {
        for n in 1.. {
            let _ = fs::remove_file(&state);
            let inner = Bucket::in_memory();
            let (faulty, faults) = FaultStore::over(&inner);
            faults.at(n, fault);
            let shipper = Shipper::new(faulty.clone(), config(dir.path()));
            // Its error is no business of this test.
            let _ = shipper.sync(&labels(), NOW_MS).await;
            if faults.operations() < n {
                break;
            }
            kills += 1;
            for (id, found) in readable(&inner, downloads.path()).await {
                assert_eq!(found, expected[&id], "{fault:?} {n}: {:?}", faults.log());
            }
            // What is said to be shipped is there.
            let listed = fs::read_to_string(&state).unwrap_or_default();
            let there = readable(&inner, downloads.path()).await;
            for id in expected
                .keys()
                .filter(|id| listed.contains(&id.to_string()))
            {
                assert!(there.contains_key(id), "{fault:?} {n}: {:?}", faults.log());
            }
            // The next process goes on.
            faults.clear();
            let shipper = Shipper::new(faulty, config(dir.path()));
            let shipped = shipper.sync(&labels(), NOW_MS).await.unwrap();
            assert!(shipped.failed.is_empty(), "{fault:?} {n}: {shipped:?}");
            assert_eq!(shipped.settled, expected.keys().copied().collect());
            assert_eq!(readable(&inner, downloads.path()).await, expected);
            assert_eq!(keys(&inner).await.len(), 9, "nothing is left over");
        }
    }
    assert!(kills > 3 * 3 * 5, "only {kills} operations were seen");
    assert!(!dir.path().join("thanos").exists());
}

/// What components run in tasks can move between threads.
#[test]
fn work_can_be_a_task() {
    fn is_send<T: Send>(_: T) {}
    let shipper = Shipper::new(Bucket::in_memory(), config(Path::new("none")));
    is_send(shipper.sync(&labels(), NOW_MS));
    let fetcher = crate::Fetcher::new(Bucket::in_memory(), None, Vec::new());
    is_send(fetcher.sync(NOW_MS));
    is_send(crate::delete::delete_block(
        fetcher.bucket(),
        Ulid::default(),
    ));
    let plan = crate::ReadPlan::default();
    is_send(fetcher.bucket().get_ranges("k", &[], &plan));
}
