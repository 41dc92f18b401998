//! Answers from blocks that are mapped: their series are merged and sent from where they lie.
//!
//! Nothing is read ahead of its place in the answer, so that an answer holds the labels of one
//! series of each block, and what is on its way. Only of a block whose series change their order, since
//! the request or the external labels take away or replace labels of theirs, are the labels and the places of
//! the chunks of all selected series held and sorted first. The work is done in steps of a message each, see
//! [`crate::steps`].

mod block;

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use model::Labels;
use runtime::Clock;
use storeapi::wire::encode::{ChunkRef, DataRef};
use storeapi::wire::message::{MESSAGE_BYTES, MessageWriter, Written};
use storeapi::{Frame, Series, SeriesChunk, StoreError};
use tsdb::ChunkMeta;
use tsdb::block::segments::ChunkView;

use crate::answer::Question;
use crate::block::Block;
use crate::error::of_block;
use crate::limits::Place;
use crate::producers::{self, Gathered};
use crate::select::{Deps, Places, go_on};
use crate::steps::{Step, Steps};
use block::MappedBlock;

/// Series of a frame, for readers in this process.
const FRAME_SERIES: usize = 64;

/// So many blocks have their first series looked for in the time of a message.
const BEGINS_SOON_BLOCKS: usize = 64;

/// Blocks that are opened at once.
const OPENING: usize = 16;

/// The next series of a block.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    labels: Labels,
    places: Places,
    input: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_labels = self.labels.cmp(&other.labels);
        by_labels.then(self.input.cmp(&other.input))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A block that is read.
#[derive(Debug)]
struct Input {
    block: MappedBlock,
    /// See [`producers::overlapping`].
    producer: Option<u32>,
    /// It is damaged, and nothing more is read of it.
    has_failed: bool,
    /// It was said that chunks are left out.
    has_told: bool,
}

/// An answer that is being given.
#[derive(Debug)]
pub struct MappedAnswer {
    deps: Arc<Deps>,
    clock: Arc<dyn Clock>,
    question: Question,
    inputs: Vec<Input>,
    heads: BinaryHeap<Reverse<Head>>,
    /// The heads are there.
    has_begun: bool,
    /// The series at hand, with its chunks in each block that has it.
    labels: Labels,
    parts: Vec<(usize, Places)>,
    warnings: VecDeque<String>,
    /// Series that may still be sent.
    left: usize,
    place: Place,
}

impl MappedAnswer {
    /// Opens the blocks and finds their series. `place` is given back when the answer ends.
    ///
    /// # Errors
    /// When a block cannot be read that the answer must not lack, or a limit is reached.
    pub async fn start(
        deps: Arc<Deps>,
        clock: Arc<dyn Clock>,
        mut question: Question,
        place: Place,
    ) -> Result<Self, StoreError> {
        let blocks = std::mem::take(&mut question.blocks);
        let producers = producers::overlapping(&blocks);
        let mut answer = Self {
            deps: Arc::clone(&deps),
            clock,
            inputs: Vec::with_capacity(blocks.len()),
            heads: BinaryHeap::with_capacity(blocks.len()),
            has_begun: false,
            labels: Labels::empty(),
            parts: Vec::new(),
            warnings: VecDeque::new(),
            left: match question.limit {
                0 => usize::MAX,
                limit => limit,
            },
            question,
            place,
        };
        let wanted = Arc::clone(&answer.question.wanted);
        let usage = Arc::clone(&answer.question.usage);
        let opening = blocks.into_iter().zip(producers);
        let opening = opening.map(|((block, matchers), producer)| {
            let (deps, wanted, usage) = (&deps, Arc::clone(&wanted), &*usage);
            async move {
                let opened = MappedBlock::open(deps, &block, matchers, wanted, usage).await;
                (block, producer, opened)
            }
        });
        let mut opening = stream::iter(opening).buffered(OPENING);
        while let Some((block, producer, opened)) = opening.next().await {
            match opened {
                // A query of a few series is one of most blocks, and need not hold them.
                Ok(block) if block.is_empty() => {}
                Ok(block) => {
                    let counted = usage.block();
                    counted.inspect_err(|_| deps.stats.queries_limited.add(1))?;
                    answer.inputs.push(Input {
                        block,
                        producer,
                        has_failed: false,
                        has_told: false,
                    });
                }
                Err(e) => answer.lacks(&block, &e)?,
            }
        }
        drop(opening);
        answer.place.found();
        Ok(answer)
    }

    /// Whether its first step takes no longer than others: that looks at every block, and at all series
    /// of a block whose series are in another order once they have their external labels.
    pub fn begins_soon(&self) -> bool {
        let is_ordered = |input: &Input| !input.block.is_reordered();
        self.inputs.len() <= BEGINS_SOON_BLOCKS && self.inputs.iter().all(is_ordered)
    }

    /// Counts chunks of so many bytes among what the request reads of files.
    fn charge(&self, bytes: usize) -> Result<(), StoreError> {
        let charged = self.question.usage.mapped_bytes(bytes as u64);
        charged.inspect_err(|_| self.deps.stats.queries_limited.add(1))
    }

    /// Takes the first series of each block.
    fn begin(&mut self) -> Result<(), StoreError> {
        (0..self.inputs.len()).try_for_each(|input| self.advance(input))
    }

    /// Puts the next series of a block in line.
    fn advance(&mut self, input: usize) -> Result<(), StoreError> {
        let from = &mut self.inputs[input];
        if from.has_failed {
            return Ok(());
        }
        match from.block.next() {
            Ok(Some((labels, places))) => {
                let usage = &self.question.usage;
                let counted = usage.series(1).and_then(|()| match self.skips_chunks() {
                    true => Ok(()),
                    false => usage.chunks(places.chunks.len()),
                });
                if let Err(error) = counted {
                    self.deps.stats.queries_limited.add(1);
                    return Err(error);
                }
                self.heads.push(Reverse(Head {
                    labels,
                    places,
                    input,
                }));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(e) => self.fail(input, &of_block(&e)),
        }
    }

    fn skips_chunks(&self) -> bool {
        self.question.wanted.skip_chunks
    }

    /// Goes on without what is left of a block, or not at all.
    fn fail(&mut self, input: usize, error: &StoreError) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.inputs[input].has_failed, true) {
            return Ok(());
        }
        self.heads.retain(|Reverse(head)| head.input != input);
        let block = Arc::clone(self.inputs[input].block.block());
        self.lacks(&block, error)
    }

    /// Notes that the answer lacks what a block has; an error when it must not.
    fn lacks(&mut self, block: &Block, error: &StoreError) -> Result<(), StoreError> {
        let noted = (&*self.deps.stats, self.clock.now_ms());
        let lacking = block.lacking(error, self.question.partial_response, noted)?;
        self.warnings.push_back(lacking);
        Ok(())
    }

    /// Makes the next series the one at hand; false when there is none, or enough were sent.
    fn next_series(&mut self) -> Result<bool, StoreError> {
        self.parts.clear();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.begin()?;
        }
        if self.left == 0 {
            return Ok(false);
        }
        while let Some(Reverse(head)) = self.heads.peek() {
            if !self.parts.is_empty() && head.labels != self.labels {
                break;
            }
            let Some(Reverse(head)) = self.heads.pop() else {
                break;
            };
            self.labels = head.labels;
            self.parts.push((head.input, head.places));
            self.advance(head.input)?;
        }
        if self.parts.is_empty() {
            return Ok(false);
        }
        Ok(true)
    }

    /// Says once that chunks of a block are left out; an error when none may be.
    fn tell(&mut self, input: usize, error: &tsdb::Error) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.inputs[input].has_told, true) {
            return Ok(());
        }
        let block = Arc::clone(self.inputs[input].block.block());
        self.lacks(&block, &of_block(error))
    }

    /// What of the series at hand lies in several blocks whose times overlap, by whose it is.
    fn is_of_overlapping_blocks(&self) -> bool {
        let is_one = |(input, _): &&(usize, Places)| self.inputs[*input].producer.is_some();
        self.parts.len() > 1 && self.parts.iter().filter(is_one).count() > 1
    }

    /// Adds the series at hand to the messages; full ones go to `out`.
    fn write(
        &mut self,
        writer: &mut MessageWriter,
        out: &mut Vec<Written>,
    ) -> Result<(), StoreError> {
        if !self.skips_chunks() && self.is_of_overlapping_blocks() {
            let Some(series) = self.read()? else {
                return Ok(());
            };
            let chunks: Vec<ChunkRef<'_>> = series.chunks.iter().map(ChunkRef::from).collect();
            return writer.push_split(&series.labels, &chunks, out);
        }
        let (mut failed, mut left_out) = (None, Vec::new());
        let count = |(_, places): &(usize, Places)| places.chunks.len();
        let mut found = Vec::with_capacity(self.parts.iter().map(count).sum());
        let wanted = &*self.question.wanted;
        if !wanted.skip_chunks {
            for (input, places) in &self.parts {
                let block = &self.inputs[*input].block;
                match block.view(&places.chunks, wanted, &mut found) {
                    Ok(lacking) => left_out.extend(lacking.map(|e| (*input, e))),
                    Err(e) => failed = failed.or(Some((*input, of_block(&e)))),
                }
            }
        }
        self.charge(found.iter().map(ViewedChunk::bytes).sum())?;
        let mut chunks: Vec<ChunkRef<'_>> = found.iter().map(ViewedChunk::as_ref).collect();
        if self.parts.len() > 1 {
            in_order(&mut chunks);
        }
        // Of downsampled chunks nothing may be left.
        if wanted.skip_chunks || !chunks.is_empty() {
            writer.push_split(&self.labels, &chunks, out)?;
            self.left -= 1;
            self.place.sent(chunks.iter().map(ChunkRef::bytes));
        }
        drop(chunks);
        drop(found);
        for (input, error) in left_out {
            self.tell(input, &error)?;
        }
        match failed {
            Some((input, error)) => self.fail(input, &error),
            None => Ok(()),
        }
    }

    /// The series at hand, for readers in this process.
    fn read(&mut self) -> Result<Option<Series>, StoreError> {
        let mut gathered = Gathered::new(std::mem::take(&mut self.labels));
        if self.skips_chunks() {
            self.left -= 1;
            self.place.sent(std::iter::empty());
            return Ok(Some(gathered.finish()));
        }
        for (input, places) in std::mem::take(&mut self.parts) {
            let from = &self.inputs[input];
            match from.block.read(&places.chunks, &self.question.wanted) {
                Ok((chunks, left_out)) => {
                    let origin = from.producer.map(|producer| (producer, places.hidden));
                    self.charge(chunks.iter().map(|chunk| chunk.data.bytes()).sum())?;
                    gathered.push(origin, chunks);
                    if let Some(error) = left_out {
                        self.tell(input, &error)?;
                    }
                }
                Err(e) => self.fail(input, &of_block(&e))?,
            }
        }
        let series = gathered.finish();
        // Of downsampled chunks nothing may be left.
        if series.chunks.is_empty() {
            return Ok(None);
        }
        self.left -= 1;
        let chunks = series.chunks.iter();
        self.place.sent(chunks.map(|chunk| chunk.data.bytes()));
        Ok(Some(series))
    }
}

/// A chunk where it lies, or what was made of it.
enum ViewedChunk<'a> {
    Raw(ChunkMeta, ChunkView<'a>),
    Made(SeriesChunk),
}

impl ViewedChunk<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Raw(_, view) => view.data().len(),
            Self::Made(chunk) => chunk.data.bytes(),
        }
    }

    fn as_ref(&self) -> ChunkRef<'_> {
        match self {
            Self::Raw(meta, view) => ChunkRef {
                min_time: meta.min_time,
                max_time: meta.max_time,
                data: DataRef::Raw(view.encoding(), view.data()),
            },
            Self::Made(chunk) => chunk.into(),
        }
    }
}

/// Puts the chunks of several blocks in order. Blocks of which one was made from the other hold the
/// same chunks, which are sent once.
fn in_order(chunks: &mut Vec<ChunkRef<'_>>) {
    let by_time = |chunk: &ChunkRef<'_>| (chunk.min_time, chunk.max_time);
    if !chunks.is_sorted_by(|a, b| by_time(a) < by_time(b)) {
        chunks.sort_by_key(by_time);
        chunks.dedup();
    }
}

/// An answer in messages.
#[derive(Debug)]
pub struct InMessages {
    answer: MappedAnswer,
    writer: MessageWriter,
}

impl InMessages {
    /// Messages as `writer` makes them.
    pub const fn new(answer: MappedAnswer, writer: MessageWriter) -> Self {
        Self { answer, writer }
    }

    fn fill(&mut self, out: &mut Vec<Written>) -> Result<bool, StoreError> {
        go_on(&self.answer.question.wanted.stop)?;
        while out.is_empty() {
            if !self.answer.next_series()? {
                self.warn(out);
                out.extend(self.writer.take());
                if let Some(last) = out.last_mut() {
                    last.is_last = true;
                }
                return Ok(true);
            }
            self.answer.write(&mut self.writer, out)?;
        }
        self.warn(out);
        Ok(false)
    }

    fn warn(&mut self, out: &mut Vec<Written>) {
        let warnings = self.answer.warnings.drain(..);
        out.extend(warnings.map(|text| Written::warning(&text)));
    }
}

impl Steps for InMessages {
    type Item = Written;

    fn step(&mut self) -> Step<Written> {
        let mut out = Vec::new();
        let is_last = self.fill(&mut out);
        Step::new(out, is_last)
    }
}

/// An answer in frames.
#[derive(Debug)]
pub struct InFrames(pub MappedAnswer);

impl InFrames {
    fn fill(&mut self, out: &mut Vec<Frame>) -> Result<bool, StoreError> {
        go_on(&self.0.question.wanted.stop)?;
        let mut frame = Vec::new();
        let mut bytes = 0;
        let mut is_last = false;
        while frame.len() < FRAME_SERIES && bytes < MESSAGE_BYTES && !is_last {
            if self.0.next_series()? {
                let series = self.0.read()?;
                let chunks = series.iter().flat_map(|series| &series.chunks);
                bytes += chunks.map(|chunk| chunk.data.bytes()).sum::<usize>();
                frame.extend(series);
            } else {
                is_last = true;
            }
        }
        out.extend(self.0.warnings.drain(..).map(Frame::Warning));
        if !frame.is_empty() {
            out.push(Frame::Series(frame));
        }
        Ok(is_last)
    }
}

impl Steps for InFrames {
    type Item = Frame;

    fn step(&mut self) -> Step<Frame> {
        let mut out = Vec::new();
        let is_last = self.fill(&mut out);
        Step::new(out, is_last)
    }
}
