//! Shipping what a directory of blocks has that the bucket lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use model::ErrorKind;
use tokio::sync::Mutex;
use tsdb::block::{META_FILE, Meta};
use ulid::Ulid;

use super::hash::HashFunction;
use super::state;
use super::upload::{Origin, Uploaded, upload_block};
use crate::client::Bucket;
use crate::error::{Error, Result};
use crate::fetch::Fetcher;
use crate::paths::{BlockObject, parse_block_id};
use crate::transfer::on_blocking_thread;
use model::figure::{Figure, LabelPairs, Value};

/// How a directory is shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipperConfig {
    /// Prometheus' data directory.
    pub dir: PathBuf,
    /// The component that ships, such as `sidecar`.
    pub source: String,
    /// Name of the file in `dir` that lists what is shipped.
    pub state_file: String,
    /// Whether blocks that Prometheus merged are shipped, not only those of level 1.
    pub upload_compacted: bool,
    /// Whether a block is shipped although an older one failed, and a merged block although it
    /// overlaps one in the bucket.
    pub allow_out_of_order: bool,
    /// How files of blocks are hashed.
    pub hash: HashFunction,
}

/// What one look at the directory came to.
#[derive(Debug, Default)]
pub struct Shipped {
    /// Blocks that were uploaded now.
    pub uploaded: Vec<Ulid>,
    /// Damaged blocks: they are left alone until the next start.
    pub quarantined: BTreeMap<Ulid, String>,
    /// Blocks that could not be uploaded now.
    pub failed: BTreeMap<Ulid, Error>,
    /// Blocks that wait for one of those.
    pub waiting: usize,
    /// Blocks of the directory for which nothing is left to do: they are in the bucket, or are never
    /// to be.
    pub settled: BTreeSet<Ulid>,
}

/// Brings finished blocks of one directory into a bucket.
#[derive(Debug)]
pub struct Shipper {
    bucket: Bucket,
    config: ShipperConfig,
    /// Damaged blocks, and how; also keeps two looks from running at once.
    quarantined: Mutex<BTreeMap<Ulid, String>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    syncs: AtomicU64,
    sync_failures: AtomicU64,
    uploads: AtomicU64,
    upload_failures: AtomicU64,
    quarantined: AtomicU64,
    pending: AtomicU64,
}

impl Shipper {
    /// A shipper; nothing is read yet.
    pub fn new(bucket: Bucket, config: ShipperConfig) -> Self {
        Self {
            bucket,
            config,
            quarantined: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Ships what is finished and not in the bucket, the oldest first. A damaged block is set
    /// aside and the others go on; after any other failure the rest waits for the next look, so
    /// that the bucket has no gaps, unless blocks may go out of order.
    ///
    /// # Errors
    /// [`Error::Local`] when the directory cannot be read or its list of shipped blocks not be
    /// written. What happens to single blocks is in [`Shipped`].
    pub async fn sync(&self, labels: &BTreeMap<String, String>, now_ms: i64) -> Result<Shipped> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        let shipped = self.look(labels, now_ms).await;
        if shipped.as_ref().map_or(true, |s| !s.failed.is_empty()) {
            self.counts.sync_failures.fetch_add(1, Ordering::Relaxed);
        }
        shipped
    }

    async fn look(&self, labels: &BTreeMap<String, String>, now_ms: i64) -> Result<Shipped> {
        let mut quarantined = self.quarantined.lock().await;
        let dir = &self.config.dir;
        let state_path = dir.join(&self.config.state_file);
        let (path, from) = (state_path.clone(), dir.clone());
        let (mut known, blocks) =
            on_blocking_thread(move || Ok((state::read(&path), finished_blocks(&from)?)))
                .await
                .map_err(|e| Error::local("read", dir, e))?;
        let local: BTreeSet<Ulid> = blocks.iter().map(|m| m.ulid).collect();
        let before = known.clone();
        known.retain(|id| local.contains(id));
        let mut shipped = Shipped::default();
        let origin = Origin {
            hash: self.config.hash,
            ..Origin::new(&self.config.source, labels.clone())
        };
        let mut overlaps = Overlaps::default();
        let pending = (blocks.iter()).filter(|m| self.is_pending(m, &known, &quarantined));
        self.counts
            .pending
            .store(pending.count() as u64, Ordering::Relaxed);
        for meta in &blocks {
            let id = meta.ulid;
            if !self.is_pending(meta, &known, &quarantined) {
                continue;
            }
            if !shipped.failed.is_empty() && !self.config.allow_out_of_order {
                shipped.waiting += 1;
                continue;
            }
            match self.ship(meta, &origin, &mut overlaps, now_ms).await {
                Ok(uploaded) => {
                    known.insert(id);
                    self.counts.pending.fetch_sub(1, Ordering::Relaxed);
                    if matches!(uploaded, Uploaded::Now(_)) {
                        self.counts.uploads.fetch_add(1, Ordering::Relaxed);
                        shipped.uploaded.push(id);
                    }
                    self.write_state(&state_path, &blocks, &known).await?;
                }
                Err(error) if is_damage(&error, labels) => {
                    let what = error.chain();
                    tracing::error!(block = %id, problem = what, "damaged block is not shipped");
                    self.counts.quarantined.fetch_add(1, Ordering::Relaxed);
                    self.counts.pending.fetch_sub(1, Ordering::Relaxed);
                    quarantined.insert(id, what);
                }
                Err(error) => {
                    tracing::warn!(block = %id, error = error.chain(), "block is not shipped; it is tried again");
                    self.counts.upload_failures.fetch_add(1, Ordering::Relaxed);
                    shipped.failed.insert(id, error);
                }
            }
        }
        if known != before || !state_path.exists() {
            self.write_state(&state_path, &blocks, &known).await?;
        }
        shipped.quarantined.clone_from(&quarantined);
        let is_settled = |meta: &&Meta| known.contains(&meta.ulid) || !self.wants(meta);
        shipped.settled = (blocks.iter().filter(is_settled))
            .map(|meta| meta.ulid)
            .collect();
        Ok(shipped)
    }

    /// Whether a block is one to ship that neither is in the bucket nor damaged.
    fn is_pending(
        &self,
        meta: &Meta,
        known: &BTreeSet<Ulid>,
        quarantined: &BTreeMap<Ulid, String>,
    ) -> bool {
        let is_settled = known.contains(&meta.ulid) || quarantined.contains_key(&meta.ulid);
        !is_settled && self.wants(meta)
    }

    /// Whether a block is one to ship.
    fn wants(&self, meta: &Meta) -> bool {
        let level = self.config.upload_compacted || meta.compaction.level <= 1;
        level && meta.stats.num_samples > 0
    }

    async fn ship(
        &self,
        meta: &Meta,
        origin: &Origin,
        overlaps: &mut Overlaps,
        now_ms: i64,
    ) -> Result<Uploaded> {
        let key = BlockObject::Meta(meta.ulid).to_string();
        if self.bucket.attributes(&key).await?.is_some() {
            return Ok(Uploaded::Before);
        }
        if meta.compaction.level > 1 && !self.config.allow_out_of_order {
            overlaps.check(&self.bucket, meta, origin, now_ms).await?;
        }
        let linked = Linked::new(&self.config.dir, meta.ulid).await?;
        upload_block(&self.bucket, &linked.dir, origin, now_ms).await
    }

    /// Writes the list of shipped blocks, in the order of `blocks`.
    async fn write_state(
        &self,
        path: &Path,
        blocks: &[Meta],
        known: &BTreeSet<Ulid>,
    ) -> Result<()> {
        let ids = blocks
            .iter()
            .map(|m| m.ulid)
            .filter(|id| known.contains(id));
        let (to, ids): (_, Vec<Ulid>) = (path.to_owned(), ids.collect());
        let written = on_blocking_thread(move || state::write(&to, &ids));
        written.await.map_err(|e| Error::local("write", path, e))
    }

    /// Calls `visit` for each figure of the work so far, with these labels.
    pub fn visit(&self, labels: LabelPairs<'_>, visit: &mut dyn FnMut(Figure<'_>)) {
        let counts = &self.counts;
        for (name, help, count) in [
            (
                "thanos_shipper_dir_syncs_total",
                "Looks at the directory of blocks.",
                &counts.syncs,
            ),
            (
                "thanos_shipper_dir_sync_failures_total",
                "Looks at the directory of blocks after which some were not shipped.",
                &counts.sync_failures,
            ),
            (
                "thanos_shipper_uploads_total",
                "Blocks uploaded.",
                &counts.uploads,
            ),
            (
                "thanos_shipper_upload_failures_total",
                "Uploads of blocks that failed.",
                &counts.upload_failures,
            ),
            (
                "thanos_shipper_corrupted_blocks_total",
                "Damaged blocks that were set aside.",
                &counts.quarantined,
            ),
        ] {
            visit(Figure {
                name,
                help,
                labels,
                value: Value::Counter(count.load(Ordering::Relaxed) as f64),
            });
        }
        for (name, help, value) in [
            (
                "thanos_shipper_upload_compacted_done",
                "Whether blocks that Prometheus merged are shipped.",
                f64::from(u8::from(self.config.upload_compacted)),
            ),
            (
                "promontory_shipper_pending_blocks",
                "Finished blocks that are not in the bucket yet.",
                counts.pending.load(Ordering::Relaxed) as f64,
            ),
        ] {
            visit(Figure {
                name,
                help,
                labels,
                value: Value::Gauge(value),
            });
        }
    }
}

/// Whether an error is about the block itself, so that trying again is of no use.
fn is_damage(error: &Error, labels: &BTreeMap<String, String>) -> bool {
    match error {
        // Without external labels every block is refused, and none is damaged.
        Error::Refused { .. } => !labels.is_empty(),
        Error::Block { source, .. } => {
            matches!(source.kind(), ErrorKind::Corrupt | ErrorKind::Invalid)
        }
        _ => false,
    }
}

/// The finished blocks in a directory, the oldest first. What has no readable `meta.json` is not
/// finished, or is damaged and Prometheus' to report.
fn finished_blocks(dir: &Path) -> io::Result<Vec<Meta>> {
    let mut blocks = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(parse_block_id) else {
            continue;
        };
        let path = entry.path().join(META_FILE);
        let Ok(bytes) = fs::read(&path) else {
            continue;
        };
        match Meta::parse(&bytes, &path) {
            Ok(meta) if meta.ulid == id => blocks.push(meta),
            Ok(_) => tracing::warn!(block = %id, "meta.json names another block; not shipped"),
            Err(error) => tracing::warn!(block = %id, %error, "block is not shipped"),
        }
    }
    blocks.sort_by_key(|m| (m.min_time, m.ulid));
    Ok(blocks)
}

/// A block under hard links of its own, so that Prometheus may delete it while it is read.
struct Linked {
    dir: PathBuf,
}

impl Linked {
    async fn new(data_dir: &Path, id: Ulid) -> Result<Self> {
        let from = data_dir.join(id.to_string());
        let dir = data_dir.join("thanos/upload").join(id.to_string());
        let to = dir.clone();
        let linked = on_blocking_thread(move || {
            if to.exists() {
                fs::remove_dir_all(&to)?;
            }
            link_all(&from, &to)
        });
        // Owned at once, so that a part of the links goes away too.
        let this = Self { dir };
        linked
            .await
            .map_err(|e| Error::local("link", &this.dir, e))?;
        Ok(this)
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        // Best effort: the next upload of the block removes what is left. The directories above go with
        // the last one, so that nothing of it keeps a tenant that could be removed.
        let _ = fs::remove_dir_all(&self.dir);
        for above in self.dir.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(above);
        }
    }
}

fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => link_all(&entry.path(), &target)?,
            false => fs::hard_link(entry.path(), target)?,
        }
    }
    Ok(())
}

/// What the bucket holds of the same producer, read when it is first asked for.
#[derive(Default)]
struct Overlaps {
    blocks: Option<Vec<Meta>>,
}

impl Overlaps {
    async fn check(
        &mut self,
        bucket: &Bucket,
        meta: &Meta,
        origin: &Origin,
        now_ms: i64,
    ) -> Result<()> {
        if self.blocks.is_none() {
            let view = Fetcher::new(bucket.clone(), None, Vec::new())
                .sync(now_ms)
                .await?;
            let same = view
                .blocks
                .into_values()
                .filter(|b| *b.labels() == origin.labels);
            self.blocks = Some(same.map(|b| Meta::clone(&b.meta)).collect());
        }
        let mut blocks = self.blocks.iter().flatten();
        match blocks.find(|other| other.range().overlaps(meta.range())) {
            None => Ok(()),
            Some(other) => Err(Error::Overlap {
                block: meta.ulid,
                other: other.ulid,
            }),
        }
    }
}
