//! The series of one block that a request asks for, batch by batch.
//!
//! A batch of series entries is read by coalesced ranges and decoded; then the chunks of as many of
//! them as fit into the bound of bytes. Decoding runs on threads that may block; what is in memory
//! is one batch of labels and places, and one of chunks.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::stop::Stopped;
use model::{ErrorKind, Labels, Matcher, Stop, TimeRange};
use runtime::process::blocking;
use storeapi::{Aggregate, Aggregates, ChunkData, Series, SeriesChunk, Shard, StoreError};
use tsdb::block::ChunkReader;
use tsdb::chunk::aggregate;
use tsdb::index::{LastLabels, Reader, SeriesEntry, SeriesRef};
use tsdb::source::ByteSource;
use tsdb::{ChunkMeta, Corruption, Encoding};

use crate::block::{Block, OpenBlock};
use crate::error::of_block;
use crate::limits::Usage;
use crate::order::{Runs, shown};
use crate::pages::Pages;
use crate::postings::{Expanded, Finder, read_index};
use crate::sparse::{Extents, Sparse};
use crate::stats::DataType;

/// Series of the first batch, so that the first answer comes soon; batches grow from there.
const BATCH_FIRST: usize = 256;

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

/// A series whose chunks are to be read.
type Found = (Labels, Vec<ChunkMeta>);

/// A series as decoded: own labels, unless they are shown as they are; shown labels; chunks.
pub type Entry = (Labels, Labels, Vec<ChunkMeta>);

impl Selection {
    /// Opens the block and finds the series that `matchers` may select, which are those that
    /// external labels left.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged, or a limit is reached.
    pub async fn find(
        deps: &Deps,
        block: &Block,
        matchers: Vec<Matcher>,
        wanted: Arc<Wanted>,
        usage: &Usage,
    ) -> Result<(Arc<OpenBlock>, Self), StoreError> {
        let open = deps.opener.open(block).await?;
        let matchers: Arc<[Matcher]> = matchers.into();
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

    /// The series of an entry, unless the request does not want it. `last` are the labels of the
    /// one before.
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
        let range = wanted.range;
        let chunks = entry.chunks.iter();
        let chunks = chunks.filter(|c| c.min_time < range.max && range.min <= c.max_time);
        let count = chunks.clone().count();
        if count == 0 {
            return Ok(None);
        }
        let own = index.labels_after(entry, last)?;
        if !own.match_all(&self.deferred) {
            return Ok(None);
        }
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
        let mut found = Vec::with_capacity(count);
        found.extend(chunks.copied());
        if !found.is_sorted_by_key(|c| (c.min_time, c.max_time)) {
            found.sort_by_key(|c| (c.min_time, c.max_time));
        }
        Ok(Some((own, shown, found)))
    }

    /// Appends series to `out` in the order that they are shown in, as far as that is known;
    /// `is_last` says that there are no more.
    pub fn in_order(
        &self,
        entries: impl IntoIterator<Item = Entry>,
        runs: &mut Runs<Vec<ChunkMeta>>,
        out: &mut VecDeque<(Labels, Vec<ChunkMeta>)>,
        is_last: bool,
    ) {
        for (own, shown, chunks) in entries {
            match self.is_reordered || self.external.is_empty() {
                true => out.push_back((shown, chunks)),
                false => runs.push(own, shown, chunks, out),
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
    runs: Runs<Vec<ChunkMeta>>,
    found: VecDeque<Found>,
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

impl BlockSelect {
    /// Opens the block and finds the series that `matchers` may select, which are those that
    /// external labels left.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged, or a limit is reached.
    pub async fn new(
        deps: Arc<Deps>,
        block: Arc<Block>,
        matchers: Vec<Matcher>,
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

    /// The next series, in order of their labels; `None` after the last.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged, or a limit is reached. Nothing comes after.
    pub async fn next(&mut self) -> Result<Option<Vec<Series>>, StoreError> {
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
            let series = batch.into_iter().map(|(labels, _)| Series {
                labels,
                chunks: Vec::new(),
            });
            return Ok(Some(series.collect()));
        }
        self.usage
            .chunks(batch.iter().map(|(_, chunks)| chunks.len()).sum())?;
        let batch = Arc::new(batch);
        let chunks = self.read_chunks(&batch).await?;
        let labels = Arc::unwrap_or_clone(batch)
            .into_iter()
            .map(|(labels, _)| labels);
        let series = labels
            .zip(chunks)
            .map(|(labels, chunks)| Series { labels, chunks });
        // Of downsampled chunks nothing may be left.
        Ok(Some(series.filter(|s| !s.chunks.is_empty()).collect()))
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
        for (_, chunks) in self.found.iter().take(wanted.batch_max.max(1)) {
            bytes += extent_of(chunks, self.block.chunk_estimate());
            if count > 0 && bytes > wanted.batch_bytes {
                break;
            }
            count += 1;
        }
        self.found.drain(..count).collect()
    }

    async fn read_chunks(
        &self,
        batch: &Arc<Vec<Found>>,
    ) -> Result<Vec<Vec<SeriesChunk>>, StoreError> {
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

/// Bytes between the first of a series' chunks and the end of the last, which lie side by side.
fn extent_of(chunks: &[ChunkMeta], estimate: u64) -> u64 {
    match (chunks.first(), chunks.last()) {
        (Some(first), Some(last)) if first.reference >> 32 == last.reference >> 32 => {
            last.reference.saturating_sub(first.reference) + estimate / 4
        }
        _ => chunks.len() as u64 * estimate,
    }
}

/// The ranges of chunks by their segments. A chunk that another follows ends there, if that is near.
fn chunk_ranges(batch: &[Found], estimate: u64) -> BTreeMap<usize, Vec<Range<u64>>> {
    let mut references: Vec<u64> = batch
        .iter()
        .flat_map(|(_, chunks)| chunks.iter().map(|c| c.reference))
        .collect();
    references.sort_unstable();
    references.dedup();
    let mut ranges: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
    for (i, reference) in references.iter().enumerate() {
        let at = reference & 0xffff_ffff;
        let until_next = references
            .get(i + 1)
            .map_or(u64::MAX, |next| next - reference);
        let segment = (reference >> 32) as usize;
        // Readers look at more than a short chunk has.
        let bytes = estimate.min(until_next.max(tsdb::block::segments::CHUNK_GUESS));
        ranges.entry(segment).or_default().push(at..at + bytes);
    }
    ranges
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
    for reference in &selection.refs[refs] {
        match index.series(SeriesRef(*reference), &mut entry) {
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

/// Reads the chunks of each series.
fn decode_chunks(
    chunks: &ChunkReader,
    batch: &[Found],
    wanted: &Wanted,
) -> tsdb::Result<Vec<Vec<SeriesChunk>>> {
    let mut series = Vec::with_capacity(batch.len());
    let mut failed = None;
    for (_, metas) in batch {
        let mut read = Vec::with_capacity(metas.len());
        for meta in metas {
            match chunks.chunk(meta.reference) {
                Ok(_) if failed.is_some() => {}
                Ok(chunk) => read.extend(shown_chunk(chunk, meta, &wanted.aggregates)?),
                // Goes on, so that all that is missing is known at once.
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        series.push(read);
    }
    match failed {
        Some(e) => Err(e),
        None => Ok(series),
    }
}

/// A chunk as it is sent; nothing when it has none of the aggregates.
///
/// # Errors
/// When it is damaged.
pub fn shown_chunk(
    chunk: tsdb::Chunk,
    meta: &ChunkMeta,
    aggregates: &[Aggregate],
) -> tsdb::Result<Option<SeriesChunk>> {
    let data = match chunk.encoding {
        Encoding::Aggregate => match aggregates_of(&chunk, meta, aggregates)? {
            Some(found) => ChunkData::Aggregates(Box::new(found)),
            None => return Ok(None),
        },
        _ => ChunkData::Raw(chunk),
    };
    Ok(Some(SeriesChunk {
        min_time: meta.min_time,
        max_time: meta.max_time,
        data,
    }))
}

fn aggregates_of(
    chunk: &tsdb::Chunk,
    meta: &ChunkMeta,
    wanted: &[Aggregate],
) -> tsdb::Result<Option<Aggregates>> {
    let damage = |d: Corruption| d.in_file(format!("chunk {:#x}", meta.reference).as_ref());
    let [count, sum, min, max, counter] = aggregate::decode(&chunk.data).map_err(damage)?;
    let keep = |kind: Aggregate, chunk: Option<tsdb::Chunk>| {
        chunk.filter(|_| wanted.is_empty() || wanted.contains(&kind))
    };
    let found = Aggregates {
        count: keep(Aggregate::Count, count),
        sum: keep(Aggregate::Sum, sum),
        min: keep(Aggregate::Min, min),
        max: keep(Aggregate::Max, max),
        counter: keep(Aggregate::Counter, counter),
    };
    Ok(Some(found).filter(|f| *f != Aggregates::default()))
}
