//! The series of one mapped block.

use std::collections::VecDeque;
use std::sync::Arc;

use model::stop::Pace;
use model::{Labels, Matcher};
use storeapi::{SeriesChunk, StoreError};
use tsdb::block::ChunkReader;
use tsdb::index::{LastLabels, SeriesEntry, SeriesRef};
use tsdb::{ChunkMeta, Encoding};

use super::ViewedChunk;
use crate::block::{Block, OpenBlock};
use crate::limits::Usage;
use crate::order::Runs;
use crate::select::{Deps, Places, Selection, Wanted, shown_chunk};

/// Nanoseconds or so that an entry of a series takes.
const SERIES_WORK: usize = 1000;

/// Reads the selected series of a block in order of their labels, one by one: a query of many blocks
/// holds one of each.
#[derive(Debug)]
pub(super) struct MappedBlock {
    block: Arc<Block>,
    open: Arc<OpenBlock>,
    selection: Selection,
    /// Position in the references.
    next: usize,
    runs: Runs<Places>,
    entry: SeriesEntry,
    last: LastLabels,
    found: VecDeque<(Labels, Places)>,
}

impl MappedBlock {
    /// Opens a block and finds its series that `matchers` select.
    pub(super) async fn open(
        deps: &Deps,
        block: &Arc<Block>,
        matchers: Arc<[Matcher]>,
        wanted: Arc<Wanted>,
        usage: &Usage,
    ) -> Result<Self, StoreError> {
        let (open, selection) = Selection::find(deps, block, matchers, wanted, usage).await?;
        Ok(Self {
            block: Arc::clone(block),
            open,
            selection,
            next: 0,
            runs: Runs::default(),
            entry: SeriesEntry::default(),
            last: LastLabels::default(),
            found: VecDeque::new(),
        })
    }

    pub(super) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Whether it has no series that may be selected.
    pub(super) fn is_empty(&self) -> bool {
        self.selection.refs.is_empty()
    }

    /// Whether its series have to be sorted before the first is known.
    pub(super) fn is_reordered(&self) -> bool {
        self.selection.is_reordered
    }

    /// The next series: its labels as they are shown, and its chunks.
    pub(super) fn next(&mut self) -> tsdb::Result<Option<(Labels, Places)>> {
        let refs = &*Arc::clone(&self.selection.refs);
        let wanted = Arc::clone(&self.selection.wanted);
        let pace = Pace::new(&wanted.stop);
        while self.next < refs.len() && (self.selection.is_reordered || self.found.is_empty()) {
            pace.spend(SERIES_WORK)?;
            let index = self.open.index();
            let series = SeriesRef(refs[self.next]);
            index.series_within(series, wanted.range, &mut self.entry)?;
            let entry = self.selection.entry(index, &self.entry, &mut self.last)?;
            self.next += 1;
            let is_last = self.next == refs.len();
            self.selection
                .in_order(entry, &mut self.runs, &mut self.found, is_last);
        }
        Ok(self.found.pop_front())
    }

    fn chunks(&self) -> tsdb::Result<&ChunkReader> {
        match &*self.open {
            OpenBlock::Local { chunks, .. } => Ok(chunks),
            OpenBlock::Remote { .. } => {
                Err(tsdb::Error::Invalid("the block is not mapped".to_owned()))
            }
        }
    }

    /// Appends chunks of a series to `out`, where they lie. Returns why some are left out, if any are: only
    /// later versions can read them.
    pub(super) fn view<'a>(
        &'a self,
        metas: &[ChunkMeta],
        wanted: &Wanted,
        out: &mut Vec<ViewedChunk<'a>>,
    ) -> tsdb::Result<Option<tsdb::Error>> {
        let chunks = self.chunks()?;
        let mut left_out = None;
        for meta in metas {
            let view = match chunks.view(meta.reference) {
                Err(e @ tsdb::Error::Unsupported { .. }) => {
                    left_out = left_out.or(Some(e));
                    continue;
                }
                view => view?,
            };
            if view.encoding() == Encoding::Aggregate {
                let chunk = chunks.chunk(meta.reference)?;
                let shown = shown_chunk(chunk, meta, &wanted.aggregates)?;
                out.extend(shown.map(ViewedChunk::Made));
            } else {
                out.push(ViewedChunk::Raw(*meta, view));
            }
        }
        Ok(left_out)
    }

    /// Chunks of a series, and why some are left out, if any are.
    pub(super) fn read(
        &self,
        metas: &[ChunkMeta],
        wanted: &Wanted,
    ) -> tsdb::Result<(Vec<SeriesChunk>, Option<tsdb::Error>)> {
        let chunks = self.chunks()?;
        let mut read = Vec::with_capacity(metas.len());
        let mut left_out = None;
        for meta in metas {
            match chunks.chunk(meta.reference) {
                Err(e @ tsdb::Error::Unsupported { .. }) => left_out = left_out.or(Some(e)),
                chunk => read.extend(shown_chunk(chunk?, meta, &wanted.aggregates)?),
            }
        }
        Ok((read, left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bucket::Bucket;
    use bucket::fetch::{LabelSets, Outline};
    use model::{Stop, TimeRange};
    use runtime::ManualClock;
    use tsdb::block::{BlockWriter, Meta};
    use tsdb::chunk::SeriesEncoder;
    use ulid::Ulid;

    use super::*;
    use crate::block::Opener;
    use crate::limits::Limits;
    use crate::pages::Pages;
    use crate::postings::ExpandedCache;

    /// Writes a block of series that differ in one label.
    fn write(parent: &std::path::Path, series: usize) -> Arc<Block> {
        let mut writer = BlockWriter::create(parent, Ulid::from_parts(1, 1)).unwrap();
        let names: Vec<String> = (0..series).map(|i| format!("{i:06}")).collect();
        for symbol in names.iter().map(String::as_str).chain(["i"]) {
            writer.add_symbol(symbol).unwrap();
        }
        for name in &names {
            let mut encoder = SeriesEncoder::new();
            encoder.push_float(1_000, 1.0).unwrap();
            let chunks: Vec<_> = encoder.finish().into_iter().collect();
            let labels = Labels::from_pairs([("i", name)]);
            writer.add_series(&labels, &chunks).unwrap();
        }
        let meta = Meta::new(Ulid::from_parts(1, 1), TimeRange::new(0, 2_000));
        let meta = writer.finish(meta).unwrap().unwrap();
        let outline = Outline::new(&meta, &mut LabelSets::default());
        Arc::new(Block::new(Arc::new(outline), 0, Vec::new()))
    }

    /// A block of so many series, and what it is read with.
    fn block_of(series: usize) -> (Arc<Block>, Deps, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let block = write(dir.path(), series);
        let bucket = Bucket::in_directory(dir.path()).unwrap();
        let stats = Arc::<crate::stats::Stats>::default();
        let clock = Arc::new(ManualClock::new(0));
        let bounds = (1 << 20, Duration::from_secs(60));
        let opener = Opener::new(
            bucket.clone(),
            dir.path().into(),
            clock,
            Arc::clone(&stats),
            bounds,
        );
        let deps = Deps {
            opener,
            pages: Pages::new(bucket, Arc::clone(&stats), 1 << 20, 1 << 20),
            expanded: ExpandedCache::new(1 << 20, Arc::default()),
            stats,
        };
        (block, deps, dir)
    }

    fn wanted(stop: Stop) -> Arc<Wanted> {
        Arc::new(Wanted {
            range: TimeRange::ALL,
            aggregates: Vec::new(),
            skip_chunks: false,
            without: Vec::new(),
            shard: None,
            batch_max: 1_000,
            batch_bytes: 1 << 20,
            may_block: false,
            stop,
        })
    }

    const UNLIMITED: Limits = Limits {
        series_max: 0,
        samples_max: 0,
        blocks_max: 0,
        bytes_max: 0,
        mapped_bytes_max: 0,
    };

    #[tokio::test]
    async fn who_does_not_wait_ends_the_search() {
        let (block, deps, _dir) = block_of(1_000);
        let usage = Usage::new(UNLIMITED);
        let every = Matcher::new(model::MatchOp::Regex, "i", ".*[0-9]").unwrap();
        for (stop, is_found) in [(Stop::when(|| true), false), (Stop::never(), true)] {
            let matchers = Arc::from([every.clone()]);
            let opened = MappedBlock::open(&deps, &block, matchers, wanted(stop), &usage).await;
            let kind = opened.map(drop).map_err(|e| e.kind);
            let expected = is_found.then_some(()).ok_or(model::ErrorKind::Cancelled);
            assert_eq!(kind, expected);
        }
    }

    #[tokio::test]
    async fn one_series_is_held_however_many_a_block_has() {
        let (block, deps, _dir) = block_of(1_000);
        let usage = Usage::new(UNLIMITED);
        let wanted = wanted(Stop::never());
        let opened = MappedBlock::open(&deps, &block, Arc::default(), wanted, &usage).await;
        let mut opened = opened.unwrap();
        let mut count = 0;
        while opened.next().unwrap().is_some() {
            count += 1;
            assert!(opened.found.is_empty(), "{count} series");
        }
        assert_eq!(count, 1_000);
    }
}
