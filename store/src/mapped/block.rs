//! The series of one mapped block.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{Labels, Matcher};
use storeapi::{SeriesChunk, StoreError};
use tsdb::block::ChunkReader;
use tsdb::index::{LastLabels, SeriesEntry, SeriesRef};
use tsdb::{ChunkMeta, Encoding};

use super::ViewedChunk;
use crate::block::{Block, OpenBlock};
use crate::limits::Usage;
use crate::order::Runs;
use crate::select::{Deps, Entries, Selection, Wanted, shown_chunk};

/// Series entries that are decoded in a row.
const ENTRIES: usize = 32;

/// Reads the selected series of a block in order of their labels.
#[derive(Debug)]
pub(super) struct MappedBlock {
    block: Arc<Block>,
    open: Arc<OpenBlock>,
    selection: Selection,
    /// Position in the references.
    next: usize,
    runs: Runs<Vec<ChunkMeta>>,
    entry: SeriesEntry,
    last: LastLabels,
    found: VecDeque<(Labels, Vec<ChunkMeta>)>,
}

impl MappedBlock {
    /// Opens a block and finds its series that `matchers` select.
    pub(super) async fn open(
        deps: &Deps,
        block: &Arc<Block>,
        matchers: Vec<Matcher>,
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

    /// The next series: its labels as they are shown, and its chunks.
    pub(super) fn next(&mut self) -> tsdb::Result<Option<(Labels, Vec<ChunkMeta>)>> {
        let refs = &*Arc::clone(&self.selection.refs);
        while self.next < refs.len() && (self.selection.is_reordered || self.found.is_empty()) {
            let end = refs.len().min(self.next + ENTRIES);
            let mut entries: Entries = Vec::with_capacity(end - self.next);
            for reference in &refs[self.next..end] {
                let index = self.open.index();
                index.series(SeriesRef(*reference), &mut self.entry)?;
                let entry = self.selection.entry(index, &self.entry, &mut self.last)?;
                entries.extend(entry);
            }
            self.next = end;
            self.selection
                .in_order(entries, &mut self.runs, &mut self.found, end == refs.len());
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

    /// Appends chunks of a series to `out`, where they lie.
    pub(super) fn view<'a>(
        &'a self,
        metas: &[ChunkMeta],
        wanted: &Wanted,
        out: &mut Vec<ViewedChunk<'a>>,
    ) -> tsdb::Result<()> {
        let chunks = self.chunks()?;
        for meta in metas {
            let view = chunks.view(meta.reference)?;
            if view.encoding() == Encoding::Aggregate {
                let chunk = chunks.chunk(meta.reference)?;
                let shown = shown_chunk(chunk, meta, &wanted.aggregates)?;
                out.extend(shown.map(ViewedChunk::Made));
            } else {
                out.push(ViewedChunk::Raw(*meta, view));
            }
        }
        Ok(())
    }

    /// Chunks of a series.
    pub(super) fn read(
        &self,
        metas: &[ChunkMeta],
        wanted: &Wanted,
    ) -> tsdb::Result<Vec<SeriesChunk>> {
        let chunks = self.chunks()?;
        let mut read = Vec::with_capacity(metas.len());
        for meta in metas {
            let chunk = chunks.chunk(meta.reference)?;
            read.extend(shown_chunk(chunk, meta, &wanted.aggregates)?);
        }
        Ok(read)
    }
}
