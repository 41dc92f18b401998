//! Small blocks, and what a reader of the bucket sees of them.

use std::collections::BTreeMap;
use std::path::Path;

use bucket::{BlockObject, Bucket, Fetcher, Filter, Origin, View, upload_block};
use model::{Labels, Sample, TimeRange, Value};
use tempfile::TempDir;
use tsdb::block::meta::Meta;
use tsdb::block::{Block, BlockWriter};
use tsdb::chunk::SeriesEncoder;
use ulid::Ulid;

pub(super) const HOUR_MS: i64 = 3_600_000;

/// Values by external labels, series and time.
pub(super) type Samples = BTreeMap<(String, String, i64), u64>;

/// What a block is to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub(super) replica: &'static str,
    /// First hour.
    pub(super) from: i64,
    /// Hour after the last.
    pub(super) to: i64,
    /// Offset of its samples in seconds.
    pub(super) offset: i64,
}

pub(super) const fn spec(replica: &'static str, from: i64, to: i64) -> Spec {
    Spec {
        replica,
        from,
        to,
        offset: 0,
    }
}

pub(super) fn labels(replica: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("replica".to_owned(), replica.to_owned())])
}

/// A directory in memory, where the machine has such a place: each block is flushed, and these tests write thousands.
pub(super) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    dir.unwrap()
}

/// Writes the block number `n` and uploads it as a sidecar at `now_ms`.
pub(super) async fn upload(bucket: &Bucket, spec: Spec, n: u128, now_ms: i64) -> Ulid {
    let dir = scratch();
    let id = write(dir.path(), spec, n, now_ms);
    let origin = Origin::new("sidecar", labels(spec.replica));
    let path = dir.path().join(id.to_string());
    upload_block(bucket, &path, &origin, now_ms).await.unwrap();
    id
}

fn write(dir: &Path, spec: Spec, n: u128, now_ms: i64) -> Ulid {
    let id = Ulid::from_parts(now_ms as u64, n);
    let range = TimeRange::new(spec.from * HOUR_MS, spec.to * HOUR_MS);
    let mut writer = BlockWriter::create(dir, id).unwrap();
    for symbol in ["__name__", "a", "b", "c", "up"] {
        writer.add_symbol(symbol).unwrap();
    }
    for (s, value) in ["a", "b", "c"].into_iter().enumerate() {
        let labels = Labels::from_pairs([("__name__", "up"), ("a", value)]);
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        let times = (range.min + spec.offset * 1000..range.max).step_by(300_000);
        for t in times {
            let v = (t / 1000 * (s as i64 + 1)) as f64;
            chunks.extend(encoder.push_float(t, v).unwrap());
        }
        chunks.extend(encoder.finish());
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer.finish(Meta::new(id, range)).unwrap().unwrap();
    id
}

/// What a store gateway shows at `now_ms`.
pub(super) async fn view(bucket: &Bucket, now_ms: i64) -> View {
    let filters = vec![Filter::DeletionMarks(24 * HOUR_MS), Filter::Duplicates];
    let fetcher = Fetcher::new(bucket.clone(), None, filters);
    fetcher.sync(now_ms).await.unwrap()
}

/// All that can be read from the bucket; panics when something cannot.
pub(super) async fn read(bucket: &Bucket, now_ms: i64) -> Samples {
    let view = view(bucket, now_ms).await;
    let mut samples = Samples::new();
    for (id, info) in &view.blocks {
        let dir = scratch();
        let path = dir.path().join(id.to_string());
        std::fs::create_dir_all(path.join("chunks")).unwrap();
        let mut objects = vec![(BlockObject::Meta(*id), "meta.json".to_owned())];
        objects.push((BlockObject::Index(*id), "index".to_owned()));
        for segment in info.files.segments.numbers() {
            let name = format!("chunks/{segment:06}");
            objects.push((BlockObject::Chunks(*id, segment), name));
        }
        for (object, name) in objects {
            let file = path.join(name);
            bucket
                .download_file(&object.to_string(), &file)
                .await
                .unwrap();
        }
        let block = Block::open(&path).unwrap();
        assert_eq!(block.verify(), [], "block {id}");
        let external = format!("{:?}", info.labels());
        add(&block, &external, &mut samples);
    }
    samples
}

fn add(block: &Block, external: &str, samples: &mut Samples) {
    let mut walk = block.index().walk();
    let mut entry = tsdb::index::SeriesEntry::default();
    while walk.next_into(&mut entry).unwrap().is_some() {
        let series = block.index().labels(&entry).unwrap().to_string();
        for chunk in &entry.chunks {
            for sample in block.chunk(chunk.reference).unwrap().samples() {
                let Sample { t, value, .. } = sample.unwrap();
                let Value::Float(v) = value else {
                    panic!("only floats were written");
                };
                let key = (external.to_owned(), series.clone(), t);
                let before = samples.insert(key, v.to_bits());
                assert!(before.is_none_or(|b| b == v.to_bits()), "{series} at {t}");
            }
        }
    }
}
