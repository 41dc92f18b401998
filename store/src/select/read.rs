//! Reading the selected series of a block by coalesced ranges.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::{Labels, Matcher};
use runtime::process::blocking;
use storeapi::{Series, StoreError};
use tsdb::block::ChunkReader;
use tsdb::index::{LastLabels, Reader, SeriesEntry, SeriesRef};
use tsdb::source::ByteSource;

use super::chunks::{Decoded, chunk_ranges, decode_chunks, extent_of};
use super::{Deps, Entry, Places, Selection, Wanted, go_on};
use crate::block::{Block, OpenBlock};
use crate::error::of_block;
use crate::limits::Usage;
use crate::order::Runs;
use crate::postings::read_index;
use crate::sparse::{Extents, Sparse};
use crate::stats::DataType;

/// Series of the first batch, so that the first answer comes soon; batches grow from there.
const BATCH_FIRST: usize = 256;

/// A series whose chunks are to be read.
pub(super) type Found = (Labels, Places);

/// A series of a block.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    /// See [`Places::hidden`].
    pub hidden: u64,
    /// The series.
    pub series: Series,
}

/// Some series of a block, in order of their labels.
#[derive(Debug, Default)]
pub struct Batch {
    /// The series.
    pub series: Vec<Selected>,
    /// Why some of their chunks are left out, if any are.
    pub left_out: Option<StoreError>,
}

/// Reads the selected series of a block.
#[derive(Debug)]
pub struct BlockSelect {
    block: Arc<Block>,
    open: Arc<OpenBlock>,
    deps: Arc<Deps>,
    usage: Arc<Usage>,
    selection: Arc<Selection>,
    /// Position in the references.
    next: usize,
    batch: usize,
    runs: Runs<Places>,
    found: VecDeque<Found>,
}

impl BlockSelect {
    /// Opens the block and finds the series that `matchers` may select, which are those that
    /// external labels left.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged, or a limit is reached.
    pub async fn new(
        deps: Arc<Deps>,
        block: Arc<Block>,
        matchers: Arc<[Matcher]>,
        wanted: Arc<Wanted>,
        usage: Arc<Usage>,
    ) -> Result<Self, StoreError> {
        let (open, selection) = Selection::find(&deps, &block, matchers, wanted, &usage).await?;
        Ok(Self {
            block,
            open,
            deps,
            usage,
            selection: Arc::new(selection),
            next: 0,
            batch: BATCH_FIRST,
            runs: Runs::default(),
            found: VecDeque::new(),
        })
    }

    /// Whether the block has no series that may be selected.
    pub fn is_empty(&self) -> bool {
        self.selection.refs.is_empty()
    }

    /// The next series, in order of their labels; `None` after the last.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged, or a limit is reached. Nothing comes after.
    pub async fn next(&mut self) -> Result<Option<Batch>, StoreError> {
        go_on(&self.selection.wanted.stop)?;
        while self.next < self.selection.refs.len()
            && (self.selection.is_reordered || self.found.is_empty())
        {
            self.read_entries().await?;
        }
        if self.found.is_empty() {
            return Ok(None);
        }
        let batch = self.take_batch();
        self.usage.series(batch.len())?;
        if self.selection.wanted.skip_chunks {
            let series = batch.into_iter().map(|(labels, places)| Selected {
                hidden: places.hidden,
                series: Series {
                    labels,
                    chunks: Vec::new(),
                },
            });
            return Ok(Some(Batch {
                series: series.collect(),
                left_out: None,
            }));
        }
        let count = |(_, places): &Found| places.chunks.len();
        self.usage.chunks(batch.iter().map(count).sum())?;
        let batch = Arc::new(batch);
        let (chunks, left_out) = self.read_chunks(&batch).await?;
        // Of downsampled chunks nothing may be left.
        let found = batch.iter().zip(chunks).filter(|(_, c)| !c.is_empty());
        let series = found.map(|((labels, places), chunks)| Selected {
            hidden: places.hidden,
            series: Series {
                labels: labels.clone(),
                chunks,
            },
        });
        Ok(Some(Batch {
            series: series.collect(),
            left_out: left_out.map(|e| of_block(&e)),
        }))
    }

    /// Reads a batch of series entries.
    async fn read_entries(&mut self) -> Result<(), StoreError> {
        let selection = Arc::clone(&self.selection);
        let end = selection.refs.len().min(self.next + self.batch);
        let refs = self.next..end;
        self.next = end;
        self.batch = (self.batch * 4).min(selection.wanted.batch_max.max(1));
        let is_last = end == selection.refs.len();
        let estimate = self.block.series_estimate();
        let index = self.open.index();
        let ranges = match &*self.open {
            OpenBlock::Local { .. } => Vec::new(),
            OpenBlock::Remote { .. } => {
                let at = |i: usize| index.series_offset(SeriesRef(selection.refs[i]));
                refs.clone().map(|i| at(i)..at(i) + estimate).collect()
            }
        };
        let stop = &self.selection.wanted.stop;
        let finder = self.deps.finder(&self.block, &self.open, &self.usage, stop);
        let entries = read_index(&finder, (DataType::Series, ranges), move |index| {
            decode_entries(index, &selection, refs.clone())
        });
        let entries = entries.await?;
        self.selection
            .in_order(entries, &mut self.runs, &mut self.found, is_last);
        Ok(())
    }

    /// Takes as many series as the bounds allow, but at least one.
    fn take_batch(&mut self) -> Vec<Found> {
        let wanted = &self.selection.wanted;
        let mut bytes = 0;
        let mut count = 0;
        for (_, places) in self.found.iter().take(wanted.batch_max.max(1)) {
            bytes += extent_of(&places.chunks, self.block.chunk_estimate());
            if count > 0 && bytes > wanted.batch_bytes {
                break;
            }
            count += 1;
        }
        self.found.drain(..count).collect()
    }

    async fn read_chunks(&self, batch: &Arc<Vec<Found>>) -> Result<Decoded, StoreError> {
        let mut ranges = chunk_ranges(batch, self.block.chunk_estimate());
        let mut extents: BTreeMap<usize, Extents> = BTreeMap::new();
        loop {
            for (segment, ranges) in ranges {
                // A segment that is not there is damage that decoding reports.
                if let Some(object) = self.block.segment(segment) {
                    let held = extents.entry(segment).or_default();
                    self.deps
                        .pages
                        .fetch(&object, ranges, held, (DataType::Chunks, &self.usage))
                        .await?;
                }
            }
            let segments = self.segments(&extents);
            let sources = segments
                .iter()
                .map(|s| Arc::<Sparse>::clone(s) as Arc<dyn ByteSource>);
            let reader = ChunkReader::of_ranges(sources.collect());
            let (work, wanted) = (Arc::clone(batch), Arc::clone(&self.selection.wanted));
            let result = blocking(move || decode_chunks(&reader, &work, &wanted)).await;
            ranges = BTreeMap::new();
            for (number, segment) in segments.iter().enumerate() {
                let missing = segment.take_missing();
                if !missing.is_empty() {
                    ranges.insert(number, missing);
                }
            }
            match result {
                Err(_) if !ranges.is_empty() => {}
                result => return result.map_err(|e| of_block(&e)),
            }
        }
    }

    /// The segments up to the last of which something was read.
    fn segments(&self, extents: &BTreeMap<usize, Extents>) -> Vec<Arc<Sparse>> {
        let last = extents
            .last_key_value()
            .map_or(0, |(segment, _)| segment + 1);
        let segments = (0..last).filter_map(|number| {
            let object = self.block.segment(number)?;
            let held = extents.get(&number).cloned().unwrap_or_default();
            let path = object.object.to_string();
            Some(Arc::new(Sparse::new(&path, object.size, None, held)))
        });
        segments.collect()
    }
}

/// Reads series entries, and leaves out what the request does not want.
fn decode_entries(
    index: &Reader,
    selection: &Selection,
    refs: Range<usize>,
) -> tsdb::Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(refs.len());
    let mut entry = SeriesEntry::default();
    let mut last = LastLabels::default();
    let mut failed = None;
    let range = selection.wanted.range;
    for reference in &selection.refs[refs] {
        match index.series_within(SeriesRef(*reference), range, &mut entry) {
            Ok(()) if failed.is_some() => {}
            Ok(()) => entries.extend(selection.entry(index, &entry, &mut last)?),
            // Goes on, so that all that is missing is known at once.
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    match failed {
        Some(e) => Err(e),
        None => Ok(entries),
    }
}
