//! The series of one block that a request asks for, batch by batch.
//!
//! A batch of series entries is read by coalesced ranges and decoded; then the chunks of as many of
//! them as fit into the bound of bytes. Decoding runs on threads that may block; what is in memory
//! is one batch of labels and places, and one of chunks.

mod chunks;
mod read;

use std::collections::VecDeque;
use std::sync::Arc;

use model::stop::Stopped;
use model::{ErrorKind, Labels, Matcher, Stop, TimeRange};
use storeapi::{Aggregate, Shard, StoreError};
use tsdb::ChunkMeta;
use tsdb::index::{LastLabels, Reader, SeriesEntry};

use crate::block::{Block, OpenBlock};
use crate::limits::Usage;
use crate::order::{Runs, shown};
use crate::pages::Pages;
use crate::postings::{Expanded, Finder};

pub use chunks::shown_chunk;
pub use read::{Batch, BlockSelect, Selected};

/// What a request wants of the series of every block.
#[derive(Debug)]
pub struct Wanted {
    /// Chunks outside are not sent.
    pub range: TimeRange,
    /// Aggregates of downsampled chunks; empty for all.
    pub aggregates: Vec<Aggregate>,
    /// Only labels are sent.
    pub skip_chunks: bool,
    /// Labels that are removed.
    pub without: Vec<String>,
    /// The share of series that is sent.
    pub shard: Option<Shard>,
    /// Most series entries that are read at once.
    pub batch_max: usize,
    /// Most bytes of chunks that are read at once, but for the chunks of a single series.
    pub batch_bytes: u64,
    /// Blocks that are files here are read by whoever polls the answer.
    pub may_block: bool,
    /// Ends the work: nobody waits for the answer.
    pub stop: Stop,
}

/// The series of a block that may be wanted. It does not change while the block is read.
#[derive(Debug)]
pub struct Selection {
    /// What is wanted of them.
    pub wanted: Arc<Wanted>,
    /// The series.
    pub refs: Arc<[u32]>,
    /// The order of series changes by more than what runs mend.
    pub is_reordered: bool,
    /// External labels that are shown.
    external: Labels,
    /// Labels are shown as they are in the index.
    is_plain: bool,
    /// Matchers to apply to the labels of series.
    deferred: Vec<Matcher>,
}

/// Where the chunks of a series lie in its block.
#[derive(Debug, PartialEq, Eq)]
pub struct Places {
    /// Stands for its labels that are not shown, which tell it from others that are shown alike; 0 for
    /// none.
    pub hidden: u64,
    /// The chunks.
    pub chunks: Vec<ChunkMeta>,
}

/// A series as decoded: own labels, unless they are shown as they are; shown labels; chunks.
pub type Entry = (Labels, Labels, Places);

impl Selection {
    /// Opens the block and finds the series that `matchers` may select, which are those that
    /// external labels left.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged, or a limit is reached.
    pub async fn find(
        deps: &Deps,
        block: &Block,
        matchers: Arc<[Matcher]>,
        wanted: Arc<Wanted>,
        usage: &Usage,
    ) -> Result<(Arc<OpenBlock>, Self), StoreError> {
        let open = deps.opener.open(block).await?;
        let Expanded { refs, deferred } = deps
            .finder(block, &open, usage, &wanted.stop)
            .find(&matchers, wanted.may_block)
            .await?;
        let external = shown(&Labels::empty(), block.external(), &wanted.without);
        let is_removed = |name: &str| wanted.without.iter().any(|w| w == name);
        let is_changed = |name: &str| block.external().get(name).is_some() || is_removed(name);
        let is_reordered = open.index().label_names().any(is_changed);
        let selection = Self {
            deferred: deferred.iter().map(|i| matchers[*i].clone()).collect(),
            is_plain: external.is_empty() && !is_reordered,
            external,
            is_reordered,
            refs,
            wanted,
        };
        Ok((open, selection))
    }

    /// The series of an entry that was read within the range of the request, unless that does not want
    /// it. `last` are the labels of the one before.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn entry(
        &self,
        index: &Reader,
        entry: &SeriesEntry,
        last: &mut LastLabels,
    ) -> tsdb::Result<Option<Entry>> {
        let wanted = &*self.wanted;
        if entry.chunks.is_empty() {
            return Ok(None);
        }
        let own = index.labels_after(entry, last)?;
        if !own.match_all(&self.deferred) {
            return Ok(None);
        }
        let hidden = self.hidden(&own, &self.external);
        let (own, shown) = match self.is_plain {
            true => (Labels::empty(), own),
            false => {
                let shown = shown(&own, &self.external, &wanted.without);
                (own, shown)
            }
        };
        if wanted.shard.as_ref().is_some_and(|s| !s.contains(&shown)) {
            return Ok(None);
        }
        let mut found = entry.chunks.clone();
        if !found.is_sorted_by_key(|c| (c.min_time, c.max_time)) {
            found.sort_by_key(|c| (c.min_time, c.max_time));
        }
        let places = Places {
            hidden,
            chunks: found,
        };
        Ok(Some((own, shown, places)))
    }

    /// What stands for those of a series' own labels that are not shown.
    fn hidden(&self, own: &Labels, replaced: &Labels) -> u64 {
        if !self.is_reordered {
            return 0;
        }
        let is_hidden = |name: &str| {
            self.wanted.without.iter().any(|w| w == name) || replaced.get(name).is_some()
        };
        let hidden = own.iter().filter(|(name, _)| is_hidden(name));
        match Labels::from_sorted(hidden) {
            none if none.is_empty() => 0,
            hidden => hidden.stable_hash(),
        }
    }

    /// Appends series to `out` in the order that they are shown in, as far as that is known;
    /// `is_last` says that there are no more.
    pub fn in_order(
        &self,
        entries: impl IntoIterator<Item = Entry>,
        runs: &mut Runs<Places>,
        out: &mut VecDeque<(Labels, Places)>,
        is_last: bool,
    ) {
        for (own, shown, places) in entries {
            match self.is_reordered || self.external.is_empty() {
                true => out.push_back((shown, places)),
                false => runs.push(own, shown, places, out),
            }
        }
        if is_last {
            runs.finish(out);
        }
        if is_last && self.is_reordered {
            out.make_contiguous().sort_by(|a, b| a.0.cmp(&b.0));
        }
    }
}

/// What reading blocks works with.
#[derive(Debug)]
pub struct Deps {
    /// For opening blocks.
    pub opener: crate::block::Opener,
    /// For reading objects.
    pub pages: Pages,
    /// Earlier results of matchers.
    pub expanded: crate::postings::ExpandedCache,
    /// Counts.
    pub stats: Arc<crate::stats::Stats>,
}

/// Fails when nobody waits for the answer any more.
pub(crate) fn go_on(stop: &Stop) -> Result<(), StoreError> {
    match stop.is_asked() {
        true => Err(StoreError::new(ErrorKind::Cancelled, Stopped.to_string())),
        false => Ok(()),
    }
}

impl Deps {
    /// For finding series of an open block.
    pub fn finder<'a>(
        &'a self,
        block: &'a Block,
        open: &'a Arc<OpenBlock>,
        usage: &'a Usage,
        stop: &'a Stop,
    ) -> Finder<'a> {
        Finder {
            block,
            open,
            pages: &self.pages,
            cache: &self.expanded,
            hits: &self.stats.expanded_postings,
            usage,
            stop,
        }
    }
}
