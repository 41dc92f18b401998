//! Blocks of the bucket: what is known of one from the listing, and opening its index.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bucket::{BlockFiles, BlockObject, Bucket, Outline, Tag};
use model::{ErrorKind, Labels, TimeRange};
use moka::future::Cache;
use parking_lot::Mutex;
use runtime::Clock;
use runtime::process::blocking;
use storeapi::{PartialResponse, StoreError};
use tsdb::block::ChunkReader;
use tsdb::block::segments::CHUNK_GUESS;
use tsdb::cursor::crc32c;
use tsdb::index::{Reader, SERIES_GUESS};
use tsdb::source::Memory;
use ulid::Ulid;

use crate::error::of_block;
use crate::header::{self, HEADER_FILE, Header};
use crate::pages::PagedObject;
use crate::stats::Stats;

/// Size of a chunk, where `meta.json` does not say; as in Thanos.
const CHUNK_BYTES: u64 = 16_000;

/// How long a damaged block is not tried again.
const QUARANTINE_MS: i64 = 5 * 60 * 1000;

/// A block that is served. There are as many in memory as the bucket has, so that nothing is held
/// that a block can be opened without.
#[derive(Debug)]
pub struct Block {
    outline: Arc<Outline>,
    index_bytes: u64,
    /// What the listing says identifies the index' content.
    index_e_tag: Option<Tag>,
    segments: Segments,
    quarantine: Mutex<Option<Box<Quarantine>>>,
}

/// Sizes of `chunks/000001` and on.
#[derive(Debug)]
enum Segments {
    One(u64),
    Many(Box<[u64]>),
}

/// Why a block is not tried, and until when.
#[derive(Debug)]
struct Quarantine {
    until_ms: i64,
    error: StoreError,
}

impl Block {
    /// A block with the sizes of its index and its segments, as the bucket lists them.
    pub fn new(outline: Arc<Outline>, index_bytes: u64, segments: Vec<u64>) -> Self {
        Self {
            outline,
            index_bytes,
            index_e_tag: None,
            segments: match segments[..] {
                [bytes] => Segments::One(bytes),
                _ => Segments::Many(segments.into()),
            },
            quarantine: Mutex::default(),
        }
    }

    /// The same, whose index is read only while the store says that it has this content.
    #[must_use]
    pub fn with_index_tag(mut self, e_tag: Option<Tag>) -> Self {
        self.index_e_tag = e_tag;
        self
    }

    /// True when the listing shows the same index.
    pub fn has_index_of(&self, files: &BlockFiles) -> bool {
        files.index_bytes == Some(self.index_bytes) && files.index_e_tag == self.index_e_tag
    }

    /// The block's name.
    pub fn id(&self) -> Ulid {
        self.outline.id
    }

    /// What is held of its `meta.json`.
    pub fn outline(&self) -> &Arc<Outline> {
        &self.outline
    }

    /// Its external labels.
    pub fn external(&self) -> &Labels {
        &self.outline.labels
    }

    /// What it covers.
    pub fn range(&self) -> TimeRange {
        self.outline.range
    }

    /// Milliseconds per sample; 0 when it is not downsampled.
    pub fn resolution(&self) -> i64 {
        self.outline.resolution
    }

    /// Stands for what the index holds, as far as the listing tells.
    fn content(&self) -> u32 {
        let tag = self.index_e_tag.as_ref().map_or("", Tag::bare);
        crc32c(format!("{} {tag}", self.index_bytes).as_bytes())
    }

    /// The index, for reading.
    pub fn index(&self) -> PagedObject {
        PagedObject {
            object: BlockObject::Index(self.id()),
            size: self.index_bytes,
            e_tag: self.index_e_tag.clone(),
            content: self.content(),
        }
    }

    /// A chunk segment, counted from 0, for reading; `None` when there is no such segment.
    pub fn segment(&self, number: usize) -> Option<PagedObject> {
        let sizes = match &self.segments {
            Segments::One(bytes) => std::slice::from_ref(bytes),
            Segments::Many(sizes) => sizes,
        };
        let size = *sizes.get(number)?;
        let object = BlockObject::Chunks(self.id(), u32::try_from(number).ok()?.checked_add(1)?);
        Some(PagedObject {
            object,
            size,
            e_tag: None,
            content: self.content(),
        })
    }

    /// Bytes to read for a series of which only the place is known.
    pub fn series_estimate(&self) -> u64 {
        // What is longer than this is rare, and takes a second read.
        u64::from(self.outline.series_bytes_max).clamp(SERIES_GUESS, 4096)
    }

    /// Bytes to read for a chunk of which only the place is known.
    pub fn chunk_estimate(&self) -> u64 {
        match u64::from(self.outline.chunk_bytes_max) {
            0 => CHUNK_BYTES,
            size => size.clamp(CHUNK_GUESS, 1 << 20),
        }
    }

    /// Sets the block aside for a while when `error` says that it is damaged.
    fn note(&self, error: &StoreError, now_ms: i64) {
        if error.kind != ErrorKind::Corrupt {
            return;
        }
        let mut quarantine = self.quarantine.lock();
        if quarantine.as_ref().is_none_or(|q| q.until_ms <= now_ms) {
            tracing::warn!(block = %self.id(), error = %error, "block is damaged; queries go on without it");
            *quarantine = Some(Box::new(Quarantine {
                until_ms: now_ms + QUARANTINE_MS,
                error: error.clone(),
            }));
        }
    }

    /// The warning of an answer that lacks the block because of `error`. The failure is counted, and
    /// the block set aside when it is damaged.
    ///
    /// # Errors
    /// The failure, when nothing may be lacking, a limit was reached, or the work was stopped.
    pub fn lacking(
        &self,
        error: &StoreError,
        partial: PartialResponse,
        (stats, now_ms): (&Stats, i64),
    ) -> Result<String, StoreError> {
        match error.kind {
            ErrorKind::Exhausted => {
                stats.queries_limited.add(1);
                return Err(error.clone());
            }
            // It says nothing of the block.
            ErrorKind::Cancelled => return Err(error.clone()),
            _ => {}
        }
        stats.block_failures.add(1);
        self.note(error, now_ms);
        let message = format!("block {}: {error}", self.id());
        match partial {
            PartialResponse::Abort => Err(StoreError::new(error.kind, message)),
            PartialResponse::Warn => Ok(message),
        }
    }

    fn check_quarantine(&self, now_ms: i64) -> Result<(), StoreError> {
        match &*self.quarantine.lock() {
            Some(q) if now_ms < q.until_ms => Err(q.error.clone()),
            _ => Ok(()),
        }
    }
}

/// How a block is read.
#[derive(Debug)]
pub enum OpenBlock {
    /// Its files are mapped.
    Local {
        /// The index.
        index: Reader,
        /// The segments.
        chunks: ChunkReader,
    },
    /// Its objects are read in ranges.
    Remote {
        /// The index, of which the header's sections can be read.
        index: Reader,
        /// The header.
        header: Arc<Header>,
    },
}

impl OpenBlock {
    /// The index; of a remote block just the header's sections can be read.
    pub fn index(&self) -> &Reader {
        match self {
            Self::Local { index, .. } | Self::Remote { index, .. } => index,
        }
    }
}

/// Opens blocks, keeps them open while they are in use, and closes them after.
pub struct Opener {
    bucket: Bucket,
    data_dir: PathBuf,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    /// By what the index was when they were opened.
    open: Cache<PagedObject, Arc<OpenBlock>>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

/// Memory that an open block is counted for beside its index: handles, mappings, the cache's own.
const OPEN_BYTES_MIN: usize = 8192;

impl Opener {
    /// Index-headers are kept below `data_dir`. What open indexes hold in memory is at most
    /// `bytes_max` beside those in use; they are closed when `idle` has passed without use.
    pub fn new(
        bucket: Bucket,
        data_dir: PathBuf,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
        (bytes_max, idle): (u64, Duration),
    ) -> Self {
        let open = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_: &PagedObject, open: &Arc<OpenBlock>| {
                u32::try_from(open.index().heap_bytes() + OPEN_BYTES_MIN).unwrap_or(u32::MAX)
            })
            .time_to_idle(idle)
            .build();
        Self {
            bucket,
            data_dir,
            clock,
            stats,
            open,
        }
    }

    /// The directory of a block's local files.
    fn dir(&self, id: Ulid) -> PathBuf {
        self.data_dir.join(id.to_string())
    }

    /// True when blocks are files here, which are mapped.
    pub fn is_local(&self) -> bool {
        self.bucket.is_local()
    }

    /// Opens a block, unless it is open; many callers at once wait for one opening.
    ///
    /// # Errors
    /// When its index cannot be read, or was found damaged a short while ago.
    pub async fn open(&self, block: &Block) -> Result<Arc<OpenBlock>, StoreError> {
        block.check_quarantine(self.clock.now_ms())?;
        let opening = self.open.try_get_with(block.index(), async {
            self.stats.index_opens.add(1);
            self.open_new(block).await.map(Arc::new)
        });
        opening.await.map_err(|e| StoreError::clone(&e))
    }

    /// Makes the index-header of a block that has none; reads nothing otherwise.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub async fn prepare(&self, block: &Block) -> Result<(), StoreError> {
        let path = self.dir(block.id()).join(HEADER_FILE);
        let content = block.content();
        let stands = move || path.exists() && header::check_content(&path, content).is_ok();
        if self.is_local() || blocking(stands).await {
            return Ok(());
        }
        self.open(block).await.map(drop)
    }

    /// Forgets a block that is no longer served, and removes its local files.
    pub async fn forget(&self, block: &Block) {
        self.open.invalidate(&block.index()).await;
        let dir = self.dir(block.id());
        // What cannot be removed now goes with the next start's cleanup.
        let _ = blocking(move || std::fs::remove_dir_all(dir)).await;
    }

    /// Removes the local files of blocks that `is_served` does not know.
    pub async fn clean(&self, is_served: impl Fn(Ulid) -> bool + Send + 'static) {
        let dir = self.data_dir.clone();
        blocking(move || {
            let Ok(entries) = std::fs::read_dir(dir) else {
                return;
            };
            for entry in entries.flatten() {
                let id = entry
                    .file_name()
                    .to_str()
                    .and_then(bucket::paths::parse_block_id);
                if id.is_some_and(|id| !is_served(id)) {
                    let _ = std::fs::remove_dir_all(entry.path());
                }
            }
        })
        .await;
    }

    async fn open_new(&self, block: &Block) -> Result<OpenBlock, StoreError> {
        let index = self.bucket.local_path(&block.index().object.to_string());
        if let Some(index) = index {
            return blocking(move || open_local(&index))
                .await
                .map_err(|e| of_block(&e));
        }
        let path = self.dir(block.id()).join(HEADER_FILE);
        let (size, content) = (block.index_bytes, block.content());
        let open = || {
            let path = path.clone();
            blocking(move || open_remote(&path, size, content))
        };
        match open().await {
            Ok(open) => return Ok(open),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                self.stats.headers_damaged.add(1);
                tracing::warn!(block = %block.id(), error = %e, "index-header cannot be used and is made anew");
            }
        }
        header::build(&self.bucket, &block.index(), &path).await?;
        self.stats.headers_built.add(1);
        open().await.map_err(|e| of_block(&e))
    }
}

/// Opens a block whose files are here; `index` is one of them.
fn open_local(index: &Path) -> tsdb::Result<OpenBlock> {
    Ok(OpenBlock::Local {
        index: Reader::open(Arc::new(Memory::map(index)?))?,
        chunks: ChunkReader::open(&index.with_file_name(tsdb::block::CHUNKS_DIR))?,
    })
}

/// Opens the header at `path` of an index of `size` bytes and this content.
fn open_remote(path: &Path, size: u64, content: u32) -> tsdb::Result<OpenBlock> {
    header::check_content(path, content)?;
    let header = Arc::new(Header::open(path, size)?);
    let index = Reader::open(Arc::<Header>::clone(&header))?;
    Ok(OpenBlock::Remote { index, header })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_nobody_reads_is_small() {
        // What docs/benchmarking.md says a block takes rests on it.
        assert_eq!(size_of::<Block>(), 88);
    }
}
