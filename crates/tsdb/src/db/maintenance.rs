//! What keeps a database small and fast: cutting blocks from the head, merging blocks, dropping old
//! ones.
//!
//! Every step leaves the directory such that a crash loses nothing and doubles nothing: a block
//! appears whole, under its final name, before what it was made from goes away; until then both are
//! there, and whoever reads drops what is the same.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use model::{ErrorKind, TimeRange};
use ulid::{Generator, Ulid};

use super::blocks::{Blocks, FROM_OUT_OF_ORDER};
use super::cut::write_block;
use super::database::{BlockSet, Db};
use super::leftovers::remove_block;
use super::plan;
use super::retention::Candidate;
use super::written::Written;
use crate::batch::WriteError;
use crate::block::{Block, Meta};
use crate::error::{Error, Result};
use crate::merge::{Overlap, compact};

/// Directories of the head whose files count for retention by size.
const HEAD_DIRS: [&str; 3] = ["wal", "wbl", "chunks_head"];
/// Of the time between two calls no more is taken for quiet: a clock that jumps, or a machine that was
/// asleep, leaves writers time to write.
const QUIET_STEP_MS: i64 = 600_000;

/// What maintenance remembers from one time to the next.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    ulids: Generator,
    /// Blocks that cannot be read, and that were reported.
    reported: HashSet<PathBuf>,
    pub(super) quiet: Quiet,
}

/// How long nothing was written.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// When it was last looked at, and what had been written until then.
    seen: Option<(i64, Written)>,
    /// In milliseconds.
    pub(super) length: i64,
}

impl Quiet {
    /// Takes note that it is `now_ms`, and `written` was written so far. For how many milliseconds that
    /// has been all.
    fn note(&mut self, now_ms: i64, written: Written) -> i64 {
        self.length = match self.seen.replace((now_ms, written)) {
            Some((before_ms, before)) if before == written => {
                let passed = now_ms.saturating_sub(before_ms).clamp(0, QUIET_STEP_MS);
                self.length.saturating_add(passed)
            }
            _ => 0,
        };
        self.length
    }
}

/// What [`Db::compact`] or [`Db::flush`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Blocks that were cut from the head.
    pub cut: Vec<Ulid>,
    /// Blocks that were merged from others.
    pub merged: Vec<Ulid>,
}

impl Maintenance {
    /// A name for a block that is made at `now_ms`; later names are greater, whatever the clock does.
    fn ulid(&mut self, now_ms: i64) -> Ulid {
        let now = UNIX_EPOCH + Duration::from_millis(now_ms.max(0).unsigned_abs());
        self.ulids
            .generate_from_datetime(now)
            .unwrap_or_else(|overflow| overflow.commit_overflow_random())
    }
}

/// One call of [`Db::compact`] or [`Db::flush`].
struct Work<'a> {
    db: &'a Db,
    maintenance: &'a mut Maintenance,
    now_ms: i64,
    done: Compacted,
}

impl Db {
    /// Cuts blocks from the head while it covers more than one and a half of their length, then
    /// those of what came out of order, then merges blocks, if the options say so.
    ///
    /// What is cut depends on the times of samples, and not on `now_ms`, until nothing was written for
    /// one and a half of the blocks' length: then everything is. It is to be called every few minutes.
    ///
    /// Merging goes on where cutting failed. What failed is tried again the next time, but for
    /// merging damaged blocks.
    ///
    /// # Errors
    /// The first error.
    pub fn compact(&self, now_ms: i64) -> Result<Compacted, WriteError> {
        let mut work = Work {
            db: self,
            maintenance: &mut self.maintenance.lock(),
            now_ms,
            done: Compacted::default(),
        };
        let cut = work.cut_due().and_then(|()| work.cut_idle());
        let merged = work.merge_all();
        cut?;
        merged?;
        Ok(work.done)
    }

    /// Cuts blocks of everything that is in the head, for a shutdown after which nothing is to stay
    /// behind. Nobody may append any more.
    ///
    /// # Errors
    /// The first error; the head keeps what is not in blocks then.
    pub fn flush(&self, now_ms: i64) -> Result<Compacted, WriteError> {
        let mut work = Work {
            db: self,
            maintenance: &mut self.maintenance.lock(),
            now_ms,
            done: Compacted::default(),
        };
        while let Some(span) = self.head.in_order_span() {
            work.cut_in_order(span)?;
        }
        work.cut_out_of_order()?;
        Ok(work.done)
    }

    /// Opens blocks that appeared in the directory, and removes those that are older or more than
    /// the options say, or that another was made from.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn retain(&self) -> Result<()> {
        reload(self, &mut self.maintenance.lock(), |_| false)
    }
}

impl Work<'_> {
    fn cut_due(&mut self) -> Result<(), WriteError> {
        let length = self.db.options.head.chunk_range;
        let mut has_cut = false;
        while let Some((first, last)) = self.db.head.in_order_span()
            && last.saturating_sub(first) > length / 2 * 3
        {
            self.cut_in_order((first, last))?;
            has_cut = true;
        }
        if has_cut {
            self.cut_out_of_order()?;
        }
        Ok(())
    }

    /// Cuts everything once nobody has written for long and the newest sample is as old: no newer one
    /// may ever come that would make the head long enough.
    fn cut_idle(&mut self) -> Result<(), WriteError> {
        let db = self.db;
        let long = db.options.head.chunk_range / 2 * 3;
        let quiet = (self.maintenance.quiet).note(self.now_ms, db.written.read());
        let Some(covered) = db.head.time_range() else {
            return Ok(());
        };
        if quiet <= long || self.now_ms.saturating_sub(covered.max) <= long {
            return Ok(());
        }
        if let Some((_, last)) = db.head.in_order_span() {
            // Somebody may begin to write again right now.
            db.head.refuse_in_order_before(last.saturating_add(1))?;
            while let Some((first, _)) = db.head.in_order_span()
                && first <= last
            {
                self.cut_in_order((first, last))?;
            }
        }
        self.cut_out_of_order()
    }

    /// Cuts the first block of samples that came in order between `first` and `last`.
    fn cut_in_order(&mut self, (first, last): (i64, i64)) -> Result<(), WriteError> {
        let db = self.db;
        let mut range = aligned(first, db.options.head.chunk_range);
        range.min = first;
        if last < range.max {
            // Nothing newer is there. As in Prometheus, a block covers what it holds.
            range.max = last.saturating_add(1);
        }
        let meta = Meta::new(self.maintenance.ulid(self.now_ms), range);
        self.write(meta, |range| db.head.cut(range))?;
        db.head.truncate(range.max).map(drop)
    }

    /// Cuts blocks of all that came out of order so far.
    fn cut_out_of_order(&mut self) -> Result<(), WriteError> {
        let db = self.db;
        let Some(cut) = db.head.begin_out_of_order_cut()? else {
            return Ok(());
        };
        let length = db.options.head.chunk_range;
        for begin in db.head.out_of_order_ranges(&cut, length)? {
            let range = aligned(begin, length);
            let mut meta = Meta::new(self.maintenance.ulid(self.now_ms), range);
            meta.compaction.hints = vec![FROM_OUT_OF_ORDER.to_owned()];
            self.write(meta, |range| db.head.cut_out_of_order(&cut, range))?;
        }
        db.head.finish_out_of_order_cut(&cut).map(drop)
    }

    /// Writes a block from the head and has it read.
    fn write<I>(&mut self, meta: Meta, cut: impl Fn(TimeRange) -> I) -> Result<()>
    where
        I: Iterator<Item = Result<crate::head::CutSeries>>,
    {
        let started = meta.ulid;
        if let Some(meta) = write_block(&self.db.dir, meta, cut)? {
            tracing::info!(block = %started, range = %meta.range(), series = meta.stats.num_series,
                samples = meta.stats.num_samples, "cut a block from the head");
            self.done.cut.push(started);
            reload(self.db, self.maintenance, |_| false)?;
        }
        Ok(())
    }

    fn merge_all(&mut self) -> Result<()> {
        let Some(longest) = self.db.options.merge_max else {
            return Ok(());
        };
        let ranges = plan::ranges(self.db.options.head.chunk_range, longest);
        let mut failed = None;
        loop {
            let blocks = self.db.blocks.load_full();
            let metas: Vec<&Meta> = blocks.iter().map(|b| b.meta()).collect();
            let planned = plan::plan(&metas, &ranges);
            let is_planned = |b: &&Arc<Block>| planned.contains(&b.meta().ulid);
            let sources: BlockSet = blocks.iter().filter(is_planned).cloned().collect();
            if sources.is_empty() {
                return failed.map_or(Ok(()), Err);
            }
            match self.merge(&sources) {
                Ok(()) => {}
                // The next plan is without them.
                Err(error) if is_fault_of_blocks(&error) => {
                    mark_failed(&self.db.dir, &sources)?;
                    let is_source =
                        |b: &Block| sources.iter().any(|s| s.meta().ulid == b.meta().ulid);
                    reload(self.db, self.maintenance, is_source)?;
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes one block of `sources`, and removes them.
    fn merge(&mut self, sources: &[Arc<Block>]) -> Result<()> {
        let db = self.db;
        let bytes: u64 = sources.iter().map(|b| b.size_bytes()).sum();
        if !db.disk.has_room_for(bytes.saturating_mul(2)) {
            let full = io::ErrorKind::StorageFull.into();
            return Err(Error::io("merge blocks in", &db.dir, full));
        }
        let ulid = self.maintenance.ulid(self.now_ms);
        let refs: Vec<&Block> = sources.iter().map(|b| &**b).collect();
        let merged = compact(&refs, &db.dir, ulid, Overlap::Union)?;
        if merged.is_some() {
            tracing::info!(block = %ulid, sources = sources.len(), "merged blocks");
            self.done.merged.push(ulid);
        } else {
            // Nothing is left of them.
            for source in sources {
                remove_block(&db.dir, source.meta().ulid)?;
            }
        }
        reload(db, self.maintenance, |_| false)
    }
}

/// The aligned range of a length that `t` is in.
fn aligned(t: i64, length: i64) -> TimeRange {
    let min = t.div_euclid(length).saturating_mul(length);
    TimeRange::new(min, min.saturating_add(length))
}

/// True when trying again cannot help.
fn is_fault_of_blocks(error: &Error) -> bool {
    error.kind() != ErrorKind::Unavailable
}

/// Notes in blocks that merging them failed.
fn mark_failed(dir: &Path, blocks: &[Arc<Block>]) -> Result<()> {
    for block in blocks {
        let mut meta = block.meta().clone();
        meta.compaction.failed = true;
        meta.replace_in(&dir.join(meta.ulid.to_string()))?;
    }
    Ok(())
}

/// Reads what blocks there are now; those open already stay open unless they are `stale`. Blocks
/// that are not to be kept are removed once nobody can find them any more.
fn reload(db: &Db, maintenance: &mut Maintenance, stale: impl Fn(&Block) -> bool) -> Result<()> {
    let mut known = BlockSet::clone(&db.blocks.load());
    known.retain(|b| !stale(b));
    let found = Blocks::reopen(&db.dir, &known)?;
    for (path, error) in found.unreadable {
        if !maintenance.reported.contains(&path) {
            tracing::error!(path = %path.display(), %error, "a block cannot be read and is left out");
            maintenance.reported.insert(path);
        }
    }
    let mut doomed: HashSet<Ulid> = found.superseded.into_iter().collect();
    let (deletable, mut kept): (BlockSet, BlockSet) =
        (found.readable.into_iter()).partition(|b| b.meta().compaction.deletable);
    doomed.extend(deletable.iter().map(|b| b.meta().ulid));
    let retention = db.options.retention;
    let mut expired = retention.expired(candidates(&kept), head_bytes(&db.dir)?);
    if db.options.hold_unreleased {
        let released = db.released.lock();
        expired.retain(|ulid| released.contains(ulid));
    }
    kept.retain(|b| !expired.contains(&b.meta().ulid));
    for ulid in &expired {
        tracing::info!(block = %ulid, "removing a block that retention does not keep");
    }
    doomed.extend(expired);
    db.blocks.store(Arc::new(kept));
    // Those who read them have them mapped.
    doomed
        .into_iter()
        .try_for_each(|ulid| remove_block(&db.dir, ulid))
}

fn candidates(blocks: &BlockSet) -> Vec<Candidate> {
    let candidate = |b: &Arc<Block>| Candidate {
        ulid: b.meta().ulid,
        max_time: b.meta().max_time,
        bytes: b.size_bytes(),
    };
    blocks.iter().map(candidate).collect()
}

/// Bytes of logs and head chunks.
fn head_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut todo: Vec<PathBuf> = HEAD_DIRS.iter().map(|name| dir.join(name)).collect();
    while let Some(path) = todo.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // Logs come and go.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("list", &path, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list", &path, e))?;
            match entry.metadata() {
                Ok(found) if found.is_dir() => todo.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("read", &entry.path(), e)),
            }
        }
    }
    Ok(bytes)
}
