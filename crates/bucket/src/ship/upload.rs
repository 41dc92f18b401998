//! One block into a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::time::Rfc3339;
use serde_json::Map;
use tsdb::block::meta::{FileDesc, Thanos};
use tsdb::block::{Block, CHUNKS_DIR, INDEX_FILE, META_FILE, Meta};
use ulid::Ulid;

use super::hash::HashFunction;
use super::stats::index_stats;
use crate::client::Bucket;
use crate::error::{Error, Result};
use crate::transfer::on_blocking_thread;

/// Version of the part of Thanos in `meta.json`.
const THANOS_VERSION: u32 = 1;

/// Files of a block sent at once.
const FILES_PARALLEL: usize = 2;

/// Who uploads a block, and for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// External labels; not empty.
    pub labels: BTreeMap<String, String>,
    /// The component, such as `sidecar`.
    pub source: String,
    /// Milliseconds per sample: 0 (raw), 300,000 or 3,600,000.
    pub resolution: i64,
    /// What others keep with the block.
    pub extensions: Option<serde_json::Value>,
    /// How its files are hashed.
    pub hash: HashFunction,
    /// What rewrites did to the block, in Thanos' form.
    pub rewrites: Vec<serde_json::Value>,
}

impl Origin {
    /// A component that uploads raw blocks.
    pub fn new(source: &str, labels: BTreeMap<String, String>) -> Self {
        Self {
            labels,
            source: source.to_owned(),
            resolution: 0,
            extensions: None,
            hash: HashFunction::None,
            rewrites: Vec::new(),
        }
    }
}

/// What came of an upload.
#[derive(Debug, Clone, PartialEq)]
pub enum Uploaded {
    /// The block is in the bucket now, with this `meta.json`.
    Now(Box<Meta>),
    /// It was there before.
    Before,
}

/// Brings the block in `dir` into the bucket at `now_ms`.
///
/// The block in `dir` is checked in depth first, and not changed.
///
/// # Errors
/// [`Error::Refused`] when it has no external labels or fails the check, [`Error::Block`] when it
/// cannot be opened, [`Error::Store`] and [`Error::Length`] when the store fails. The block is not
/// visible then; the next try goes on where this one ended.
pub async fn upload_block(
    bucket: &Bucket,
    dir: &Path,
    origin: &Origin,
    now_ms: i64,
) -> Result<Uploaded> {
    upload_block_if(bucket, dir, origin, now_ms, std::future::ready(Ok(()))).await
}

/// As [`upload_block`], where `permitted` is asked right before the block becomes visible: uploading
/// takes long, and whoever did it may have lost the right to meanwhile.
///
/// # Errors
/// As [`upload_block`], and what `permitted` fails with.
pub async fn upload_block_if(
    bucket: &Bucket,
    dir: &Path,
    origin: &Origin,
    now_ms: i64,
    permitted: impl Future<Output = Result<()>>,
) -> Result<Uploaded> {
    let checked = prepare(dir, origin, now_ms).await?;
    let id = checked.meta.ulid;
    let there = objects(bucket, id).await?;
    if there.contains_key(META_FILE) {
        return Ok(Uploaded::Before);
    }
    let started = Instant::now();
    let (index, chunks): (Vec<_>, Vec<_>) =
        (checked.files.iter()).partition(|file| file.name == INDEX_FILE);
    let mut sent = 0;
    for files in [chunks, index] {
        let missing = (files.into_iter()).filter(|f| there.get(&f.name) != Some(&f.size));
        let uploads = missing.map(|file| async move {
            let key = format!("{id}/{}", file.name);
            bucket.upload_file(&file.path, &key).await
        });
        let uploads: Vec<_> = uploads.collect();
        let sizes = stream::iter(uploads).buffer_unordered(FILES_PARALLEL);
        let sizes: Vec<u64> = sizes.try_collect().await?;
        sent += sizes.iter().sum::<u64>();
    }
    let there = objects(bucket, id).await?;
    for file in &checked.files {
        let found = there.get(&file.name).copied().unwrap_or(0);
        if found != file.size {
            return Err(Error::Length {
                key: format!("{id}/{}", file.name),
                expected: file.size,
                found,
            });
        }
    }
    permitted.await?;
    bucket
        .put(&format!("{id}/{META_FILE}"), checked.meta.to_bytes())
        .await?;
    bucket.metrics().uploaded(now_ms);
    let rate = sent as f64 / started.elapsed().as_secs_f64().max(1e-3) / 1e6;
    tracing::info!(block = %id, bytes = sent, mb_per_second = rate, "uploaded block");
    Ok(Uploaded::Now(Box::new(checked.meta)))
}

/// Names and sizes of the objects of a block, below its directory.
async fn objects(bucket: &Bucket, id: Ulid) -> Result<BTreeMap<String, u64>> {
    let dir = id.to_string();
    let mut found = BTreeMap::new();
    let mut objects = bucket.list(&dir);
    while let Some(object) = objects.try_next().await? {
        if let Some(name) = (object.key.strip_prefix(&dir)).and_then(|k| k.strip_prefix('/')) {
            found.insert(name.to_owned(), object.size);
        }
    }
    Ok(found)
}

/// A file that belongs to a block.
struct LocalFile {
    name: String,
    path: PathBuf,
    size: u64,
}

/// A block that may be uploaded.
struct Checked {
    /// As it will be in the bucket.
    meta: Meta,
    files: Vec<LocalFile>,
}

async fn prepare(dir: &Path, origin: &Origin, now_ms: i64) -> Result<Checked> {
    let (path, origin) = (dir.to_owned(), origin.clone());
    let prepared = on_blocking_thread(move || Ok(check(&path, &origin, now_ms)));
    let prepared = prepared.await;
    prepared.map_err(|e| Error::local("check", dir, e))?
}

fn check(dir: &Path, origin: &Origin, now_ms: i64) -> Result<Checked> {
    let id = dir.file_name().and_then(|n| n.to_str());
    let id = id.and_then(|n| Ulid::from_string(n).ok());
    let block = Block::open(dir).map_err(|source| Error::Block {
        action: "open",
        block: id.unwrap_or_default(),
        source,
    })?;
    let id = block.meta().ulid;
    if origin.labels.is_empty() {
        let reason = "its producer has no external labels; set them, so that its series can be told from others'";
        return Err(Error::Refused {
            block: id,
            reason: reason.to_owned(),
        });
    }
    if let Some(problem) = block.verify().into_iter().next() {
        return Err(Error::Refused {
            block: id,
            reason: format!("it is damaged: {problem}"),
        });
    }
    let index_stats = index_stats(&block).map_err(|source| Error::Block {
        action: "read",
        block: id,
        source,
    })?;
    let files = files(dir).map_err(|e| Error::local("read", dir, e))?;
    let mut meta = block.meta().clone();
    let described = files.iter().map(|file| {
        let hash = origin.hash.of(&file.path);
        let hash = hash.map_err(|e| Error::local("read", &file.path, e))?;
        Ok(FileDesc {
            hash,
            ..desc(&file.name, file.size)
        })
    });
    let mut descs: Vec<FileDesc> = described.collect::<Result<_>>()?;
    descs.push(desc(META_FILE, 0));
    descs.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
    let segment = |desc: &FileDesc| {
        let (dir, name) = desc.rel_path.split_once('/')?;
        (dir == CHUNKS_DIR).then(|| name.to_owned())
    };
    let mut thanos = Thanos {
        version: THANOS_VERSION,
        segment_files: descs.iter().filter_map(segment).collect(),
        labels: origin.labels.clone(),
        source: origin.source.clone(),
        files: descs,
        index_stats,
        extensions: origin.extensions.clone(),
        rewrites: origin.rewrites.clone(),
        upload_time: Some(Rfc3339(now_ms).to_string()),
        ..Thanos::default()
    };
    thanos.downsample.resolution = origin.resolution;
    meta.thanos = Some(thanos);
    Ok(Checked { meta, files })
}

fn desc(name: &str, size: u64) -> FileDesc {
    FileDesc {
        rel_path: name.to_owned(),
        size_bytes: size,
        hash: None,
        unknown: Map::new(),
    }
}

/// The files of a block that go into a bucket besides `meta.json`: tombstones do not.
fn files(dir: &Path) -> io::Result<Vec<LocalFile>> {
    let mut files = Vec::new();
    let mut add = |name: String| {
        let path = dir.join(&name);
        let size = fs::metadata(&path)?.len();
        files.push(LocalFile { name, path, size });
        io::Result::Ok(())
    };
    add(INDEX_FILE.to_owned())?;
    for entry in fs::read_dir(dir.join(CHUNKS_DIR))? {
        let name = entry?.file_name();
        let name = name
            .to_str()
            .filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if let Some(name) = name {
            add(format!("{CHUNKS_DIR}/{name}"))?;
        }
    }
    Ok(files)
}
