//! The blocks in a data directory.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ulid::Ulid;

use crate::block::Block;
use crate::error::{Error, Result};

/// A hint in `meta.json`: the block's samples came out of order.
pub(super) const FROM_OUT_OF_ORDER: &str = "from-out-of-order";
/// A hint in `meta.json`: the block's series had ended.
const FROM_STALE_SERIES: &str = "from-stale-series";

/// The blocks of a data directory; `B` is how they are held.
#[derive(Debug)]
pub struct Blocks<B = Block> {
    /// Those to read, in order of time.
    pub readable: Vec<B>,
    /// Those that could not be opened.
    pub unreadable: Vec<(PathBuf, Error)>,
    /// Those that a newer block was made from.
    pub superseded: Vec<Ulid>,
}

impl<B> Default for Blocks<B> {
    fn default() -> Self {
        Self {
            readable: Vec::new(),
            unreadable: Vec::new(),
            superseded: Vec::new(),
        }
    }
}

impl Blocks {
    /// Opens all blocks in the directory `path`; what is no block is left alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::collect(path, |_, dir| Block::open(dir))
    }
}

impl Blocks<Arc<Block>> {
    /// Opens the blocks in the directory `path` that are not among `known`, which stay open.
    ///
    /// # Errors
    /// As [`Blocks::open`].
    pub(super) fn reopen(path: &Path, known: &[Arc<Block>]) -> Result<Self> {
        let known: HashMap<Ulid, &Arc<Block>> = known.iter().map(|b| (b.meta().ulid, b)).collect();
        Self::collect(path, |ulid, dir| match known.get(&ulid) {
            Some(block) => Ok(Arc::clone(block)),
            None => Block::open(dir).map(Arc::new),
        })
    }
}

impl<B: Borrow<Block>> Blocks<B> {
    fn collect(path: &Path, mut open: impl FnMut(Ulid, &Path) -> Result<B>) -> Result<Self> {
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(path).map_err(|e| Error::io("list", path, e))? {
            let entry = entry.map_err(|e| Error::io("list", path, e))?;
            let name = entry.file_name();
            let Some(ulid) = name.to_str().and_then(|n| Ulid::from_string(n).ok()) else {
                continue;
            };
            match open(ulid, &entry.path()) {
                Ok(block) => readable.push(block),
                Err(error) => unreadable.push((entry.path(), error)),
            }
        }
        let meta = |b: &B| -> (i64, Ulid) {
            let meta = Borrow::<Block>::borrow(b).meta();
            (meta.min_time, meta.ulid)
        };
        let parents: HashSet<Ulid> = readable
            .iter()
            .flat_map(|b| b.borrow().meta().compaction.parents.iter().map(|p| p.ulid))
            .collect();
        let (mut readable, superseded): (Vec<B>, Vec<B>) = readable
            .into_iter()
            .partition(|b| !parents.contains(&meta(b).1));
        readable.sort_by_key(meta);
        Ok(Self {
            readable,
            unreadable,
            superseded: superseded.iter().map(|b| meta(b).1).collect(),
        })
    }
}

/// The time up to which blocks hold everything that came in order.
pub(super) fn in_order_end<B: Borrow<Block>>(blocks: &[B]) -> Option<i64> {
    let is_in_order = |hint: &String| hint != FROM_OUT_OF_ORDER && hint != FROM_STALE_SERIES;
    let blocks = blocks.iter().map(|b| b.borrow().meta());
    let in_order = blocks.filter(|meta| meta.compaction.hints.iter().all(is_in_order));
    in_order.map(|meta| meta.max_time).max()
}
