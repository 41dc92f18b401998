//! Doing one merge: download, check, merge, upload, mark what it was made of.
//!
//! At no moment does the bucket hold less than before. The merged block becomes visible with its
//! `meta.json`; from then on readers prefer it, since its sources cover theirs. Only then are the old
//! blocks marked. Whatever is cut off in between is found by the next pass: a merged block without
//! `meta.json` is a partial upload, old blocks without marks are covered by the merged one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bucket::{
    BlockFiles, BlockInfo, BlockObject, Bucket, Error as BucketError, HashFunction, Origin,
    Uploaded, upload_block_if,
};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use runtime::process::blocking;
use tsdb::block::{Block, CHUNKS_DIR, INDEX_FILE, META_FILE, Meta};
use tsdb::db::disk::free_bytes;
use tsdb::merge::Overlap;
use ulid::Ulid;

use crate::group::Group;
use crate::guard::Guard;

/// Objects of a block that are downloaded at once.
const FILES_PARALLEL: usize = 4;

/// Why a merge failed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The bucket failed.
    #[error("{}", .0.chain())]
    Bucket(#[from] BucketError),
    /// The blocks could not be merged.
    #[error(transparent)]
    Tsdb(#[from] tsdb::Error),
    /// The working directory failed.
    #[error("cannot use the working directory {}: {source}", path.display())]
    Work {
        /// The directory.
        path: PathBuf,
        /// The system's refusal.
        source: io::Error,
    },
    /// The disk would fill up. What is to be merged stays as it is, and so does other work on the disk.
    #[error(
        "merging takes {needed} bytes in {}, twice what the blocks have, and {free} are free; free some \
         space, or name a directory on a larger disk by --data-dir",
        path.display()
    )]
    NoRoom {
        /// The working directory.
        path: PathBuf,
        /// Bytes that the merge would write.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The blocks hold something else than was downloaded.
    #[error("block {0} changed while it was read")]
    Changed(Ulid),
}

/// What came of a merge.
#[derive(Debug)]
pub(crate) enum Merged {
    /// One block in the place of several.
    Into(Box<BlockInfo>),
    /// There was no sample in any of them.
    Empty,
    /// These blocks are damaged, and nothing was merged.
    Damaged(Vec<(Ulid, String)>),
}

/// What merges work with.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    pub(crate) bucket: Bucket,
    pub(crate) guard: Arc<Guard>,
    /// Blocks in work; may be lost at any time.
    pub(crate) dir: PathBuf,
    /// Blocks that are downloaded at once.
    pub(crate) downloads: usize,
    /// How files of blocks are hashed.
    pub(crate) hash: HashFunction,
    /// What becomes of samples where blocks overlap.
    pub(crate) overlap: Overlap,
}

/// A directory that goes away with the merge.
struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    fn new(path: PathBuf) -> Result<Self, MergeError> {
        let made = match path.exists() {
            true => fs::remove_dir_all(&path),
            false => Ok(()),
        };
        let made = made.and_then(|()| fs::create_dir_all(&path));
        match made {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(MergeError::Work { path, source }),
        }
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // Best effort: the next start empties the whole directory.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Workshop {
    /// Merges the blocks `ids` of `group` into the block `ulid`, and makes that visible at `now_ms`.
    pub(crate) async fn merge(
        &self,
        group: &Group,
        ids: &[Ulid],
        ulid: Ulid,
        now_ms: i64,
    ) -> Result<Merged, MergeError> {
        let started = Instant::now();
        let work = WorkDir::new(self.dir.join(group.key()))?;
        let members = group.members(ids);
        let missing: Vec<(Ulid, String)> = members.iter().filter_map(|b| missing(b)).collect();
        if !missing.is_empty() {
            return Ok(Merged::Damaged(missing));
        }
        ensure_room(
            &work.path,
            members.iter().map(|block| block.files.bytes).sum(),
        )?;
        let downloads = members.iter().map(|block| self.download(block, &work.path));
        let downloads: Vec<_> = downloads.collect();
        let sizes: Vec<u64> = stream::iter(downloads)
            .buffer_unordered(self.downloads.max(1))
            .try_collect()
            .await?;
        let bytes: u64 = sizes.iter().sum();
        let downloaded = started.elapsed();
        let (dir, sources, overlap) = (work.path.clone(), ids.to_vec(), self.overlap);
        let merged = blocking(move || merge_local(&dir, &sources, ulid, overlap)).await?;
        let took = started.elapsed();
        let meta = match merged {
            Local::Into(meta) => meta,
            Local::Empty => return Ok(Merged::Empty),
            Local::Damaged(damaged) => return Ok(Merged::Damaged(damaged)),
        };
        let origin = Origin {
            resolution: group.resolution,
            extensions: group.shared_extensions(ids),
            hash: self.hash,
            ..Origin::new("compactor", group.labels.clone())
        };
        self.guard.ensure().await?;
        let path = work.path.join(ulid.to_string());
        // Others may have begun to work here while it was uploaded.
        let permitted = self.guard.confirm();
        let uploaded = upload_block_if(&self.bucket, &path, &origin, now_ms, permitted);
        let uploaded = Box::pin(uploaded);
        let uploaded = match uploaded.await? {
            Uploaded::Now(meta) => meta,
            // Its name is new, so that nobody else can have uploaded it.
            Uploaded::Before => return Err(MergeError::Changed(ulid)),
        };
        tracing::info!(
            group = group.key(),
            block = %ulid,
            sources = ids.len(),
            bytes,
            samples = meta.stats.num_samples,
            download_ms = downloaded.as_millis() as u64,
            merge_ms = (took - downloaded).as_millis() as u64,
            mb_per_second = bytes as f64 / 1e6 / started.elapsed().as_secs_f64().max(1e-3),
            "merged blocks"
        );
        Ok(Merged::Into(Box::new(info(*uploaded))))
    }

    /// Downloads a block into a directory below `dir` and returns its size.
    async fn download(&self, block: &BlockInfo, dir: &Path) -> Result<u64, MergeError> {
        let id = block.meta.ulid;
        let target = dir.join(id.to_string());
        let chunks = target.join(CHUNKS_DIR);
        fs::create_dir_all(&chunks).map_err(|source| MergeError::Work {
            path: chunks.clone(),
            source,
        })?;
        let mut objects = vec![
            (BlockObject::Meta(id), target.join(META_FILE), None),
            (
                BlockObject::Index(id),
                target.join(INDEX_FILE),
                block.files.index_bytes,
            ),
        ];
        for (segment, size) in block.files.segments.iter() {
            let file = chunks.join(format!("{segment:06}"));
            objects.push((BlockObject::Chunks(id, segment), file, Some(size)));
        }
        let downloads = objects.into_iter().map(|(object, file, size)| async move {
            let got = self
                .bucket
                .download_file(&object.to_string(), &file)
                .await?;
            match size.is_none_or(|size| size == got) {
                true => Ok(got),
                false => Err(MergeError::Changed(id)),
            }
        });
        let downloads: Vec<_> = downloads.collect();
        let sizes: Vec<u64> = stream::iter(downloads)
            .buffer_unordered(FILES_PARALLEL)
            .try_collect()
            .await?;
        Ok(sizes.iter().sum())
    }
}

/// Looks before anything is downloaded whether blocks of `bytes` and what is made of them will find room.
fn ensure_room(dir: &Path, bytes: u64) -> Result<(), MergeError> {
    let needed = bytes.saturating_mul(2);
    let free = free_bytes(dir)?;
    match free < needed {
        true => Err(MergeError::NoRoom {
            path: dir.to_owned(),
            needed,
            free,
        }),
        false => Ok(()),
    }
}

/// What the listing shows to be missing of a block, whose `meta.json` says what there should be.
fn missing(block: &BlockInfo) -> Option<(Ulid, String)> {
    let (id, files) = (block.meta.ulid, &block.files);
    if files.index_bytes.is_none() {
        return Some((id, "it has no index".to_owned()));
    }
    let listed = block.meta.thanos.iter().flat_map(|t| &t.files);
    for file in listed.filter(|f| f.size_bytes > 0) {
        let object = BlockObject::parse(&format!("{id}/{}", file.rel_path));
        let found = match object {
            Some(BlockObject::Index(_)) => files.index_bytes,
            Some(BlockObject::Chunks(_, segment)) => files.segments.get(segment),
            _ => continue,
        };
        if found != Some(file.size_bytes) {
            let found = found.map_or("is missing".to_owned(), |n| format!("has {n} bytes"));
            let what = format!("{} of {} bytes {found}", file.rel_path, file.size_bytes);
            return Some((id, what));
        }
    }
    None
}

/// What came of merging downloaded blocks.
enum Local {
    Into(Box<Meta>),
    Empty,
    Damaged(Vec<(Ulid, String)>),
}

/// Checks the blocks in `dir` in depth and merges them.
fn merge_local(
    dir: &Path,
    ids: &[Ulid],
    ulid: Ulid,
    overlap: Overlap,
) -> Result<Local, MergeError> {
    let mut blocks = Vec::with_capacity(ids.len());
    let mut damaged = Vec::new();
    for &id in ids {
        match Block::open(&dir.join(id.to_string())) {
            Ok(block) => match block.verify().first() {
                None => blocks.push(block),
                Some(problem) => damaged.push((id, problem.to_string())),
            },
            Err(e @ tsdb::Error::Io { .. }) => return Err(e.into()),
            Err(e) => damaged.push((id, e.to_string())),
        }
    }
    if !damaged.is_empty() {
        return Ok(Local::Damaged(damaged));
    }
    let blocks: Vec<&Block> = blocks.iter().collect();
    Ok(match tsdb::merge::compact(&blocks, dir, ulid, overlap)? {
        Some(meta) => Local::Into(Box::new(meta)),
        None => Local::Empty,
    })
}

/// What is known of a block that was just uploaded.
fn info(meta: Meta) -> BlockInfo {
    let mut files = BlockFiles::default();
    for file in meta.thanos.iter().flat_map(|t| &t.files) {
        files.bytes += file.size_bytes;
        match BlockObject::parse(&format!("{}/{}", meta.ulid, file.rel_path)) {
            Some(BlockObject::Index(_)) => files.index_bytes = Some(file.size_bytes),
            Some(BlockObject::Chunks(_, segment)) => {
                files.segments.insert(segment, file.size_bytes);
            }
            _ => {}
        }
    }
    BlockInfo::new(meta, files)
}
