//! Writing a block, so that it appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Labels, TimeRange};
use ulid::Ulid;

use super::files::{sync_dir, write_new};
use super::meta::{META_FILE, Meta, Stats};
use super::segment_writer::{ChunkWriter, SEGMENT_SIZE};
use super::{CHUNKS_DIR, INDEX_FILE, TOMBSTONES_FILE, Tombstones};
use crate::chunk::{ChunkMeta, Encoding, TimedChunk};
use crate::error::{Error, Result};
use crate::index::Writer;

/// What the name of a block under construction ends with. Prometheus and Thanos delete such
/// directories when they start.
pub const TMP_SUFFIX: &str = ".tmp-for-creation";

/// Writes a block front to back with bounded memory: [`BlockWriter::add_symbol`] for every string
/// that labels consist of, in ascending order; then [`BlockWriter::add_series`] in ascending order
/// of labels; then [`BlockWriter::finish`]. Dropped before that, it removes what it wrote.
#[derive(Debug)]
pub struct BlockWriter {
    ulid: Ulid,
    tmp: TmpDir,
    index: Writer,
    chunks: ChunkWriter,
    stats: Stats,
    /// Times of the samples so far.
    covered: Option<TimeRange>,
    metas: Vec<ChunkMeta>,
}

/// A directory that is removed unless it got its final name.
#[derive(Debug)]
struct TmpDir {
    path: PathBuf,
    parent: PathBuf,
    renamed: bool,
}

impl Drop for TmpDir {
    fn drop(&mut self) {
        if !self.renamed {
            // Best effort: what is left is recognised by its name and removed at the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl BlockWriter {
    /// Begins the block `ulid` in the directory `parent`.
    ///
    /// # Errors
    /// [`Error::Io`], also when such a block is under construction already.
    pub fn create(parent: &Path, ulid: Ulid) -> Result<Self> {
        Self::with_segment_size(parent, ulid, SEGMENT_SIZE)
    }

    /// Begins a block whose chunk segments have at most `segment_size` bytes, unless a chunk alone
    /// is larger.
    ///
    /// # Errors
    /// As [`BlockWriter::create`].
    pub fn with_segment_size(parent: &Path, ulid: Ulid, segment_size: u64) -> Result<Self> {
        let path = parent.join(format!("{ulid}{TMP_SUFFIX}"));
        fs::create_dir(&path).map_err(|e| Error::io("create", &path, e))?;
        let tmp = TmpDir {
            path,
            parent: parent.to_owned(),
            renamed: false,
        };
        let chunks = ChunkWriter::create(&tmp.path.join(CHUNKS_DIR), segment_size)?;
        let index = Writer::create(&tmp.path.join(INDEX_FILE))?;
        Ok(Self {
            ulid,
            tmp,
            index,
            chunks,
            stats: Stats::default(),
            covered: None,
            metas: Vec::new(),
        })
    }

    /// Adds a string that labels consist of.
    ///
    /// # Errors
    /// As [`Writer::add_symbol`].
    pub fn add_symbol(&mut self, symbol: &str) -> Result<()> {
        self.index.add_symbol(symbol)
    }

    /// Adds a series with its chunks in order of time. A series without chunks is left out, as by
    /// Prometheus.
    ///
    /// # Errors
    /// As [`Writer::add_series`]; [`Error::Invalid`] also when a chunk is empty or cannot be read.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[TimedChunk]) -> Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.add_chunks(chunks).map_err(|e| match e {
            Error::Invalid(what) => Error::Invalid(format!("series {labels}: {what}")),
            other => other,
        })?;
        self.index.add_series(labels, &self.metas).map(drop)
    }

    /// Adds a series whose labels are given as symbols, name and value, numbered in the order in
    /// which they were added; otherwise as [`add_series`](Self::add_series).
    ///
    /// # Errors
    /// As [`Writer::add_series_symbols`].
    pub fn add_series_symbols(
        &mut self,
        labels: &[(u32, u32)],
        chunks: &[TimedChunk],
    ) -> Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.add_chunks(chunks)?;
        self.index.add_series_symbols(labels, &self.metas).map(drop)
    }

    /// Writes the chunks of a series and notes where they are.
    fn add_chunks(&mut self, chunks: &[TimedChunk]) -> Result<()> {
        self.chunks.begin_series();
        self.metas.clear();
        for timed in chunks {
            self.count_samples(timed)?;
            self.metas.push(ChunkMeta {
                min_time: timed.min_time,
                max_time: timed.max_time,
                reference: self.chunks.add(&timed.chunk)?,
            });
            let covered = TimeRange::closed(timed.min_time, timed.max_time);
            self.covered = Some(match self.covered {
                None => covered,
                Some(so_far) => {
                    TimeRange::new(so_far.min.min(covered.min), so_far.max.max(covered.max))
                }
            });
        }
        self.stats.num_series += 1;
        self.stats.num_chunks += chunks.len() as u64;
        Ok(())
    }

    fn count_samples(&mut self, timed: &TimedChunk) -> Result<()> {
        let invalid = |what: String| Error::Invalid(format!("chunk at {}: {what}", timed.min_time));
        let count = timed
            .chunk
            .sample_count()
            .map_err(|damage| invalid(damage.to_string()))?;
        if count == 0 {
            return Err(invalid("no samples".to_owned()));
        }
        let count = u64::from(count);
        self.stats.num_samples += count;
        match timed.chunk.encoding {
            Encoding::Xor => self.stats.num_float_samples += count,
            Encoding::Histogram | Encoding::FloatHistogram => {
                self.stats.num_histogram_samples += count;
            }
            _ => {}
        }
        Ok(())
    }

    /// What was added so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Where the block is until it is finished.
    pub fn tmp_dir(&self) -> &Path {
        &self.tmp.path
    }

    /// Completes the block, makes it durable and gives it its name. Of `meta`, name and stats are
    /// set. Without series there is no block: the result is `None` and nothing is left.
    ///
    /// # Errors
    /// [`Error::Invalid`] when samples lie outside of `meta`'s range, [`Error::Io`].
    pub fn finish(self, mut meta: Meta) -> Result<Option<Meta>> {
        let Some(covered) = self.covered else {
            return Ok(None);
        };
        if covered.min < meta.min_time || covered.max > meta.max_time {
            return Err(Error::Invalid(format!(
                "samples in {covered}, outside of the block's range {}",
                meta.range()
            )));
        }
        meta.ulid = self.ulid;
        meta.stats = self.stats;
        let mut tmp = self.tmp;
        self.chunks.finish()?;
        self.index.finish()?;
        write_new(
            &tmp.path.join(TOMBSTONES_FILE),
            &Tombstones::default().encode(),
        )?;
        write_new(&tmp.path.join(META_FILE), &meta.to_bytes())?;
        sync_dir(&tmp.path)?;
        let path = tmp.parent.join(self.ulid.to_string());
        fs::rename(&tmp.path, &path).map_err(|e| Error::io("rename to", &path, e))?;
        tmp.renamed = true;
        sync_dir(&tmp.parent)?;
        Ok(Some(meta))
    }
}
