//! An answer to a request for series: the sorted series of many blocks merged into one stream.
//!
//! Each block is read by a task of its own that is one batch ahead. A block that fails is left out
//! with a warning, or ends the answer, as the request says; a limit always ends it. So are chunks that only
//! later versions can read.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::vec;

use futures::stream::{self, Stream};
use model::Matcher;
use runtime::Clock;
use runtime::process::blocking;
use runtime::tasks::Owned;
use storeapi::{Frame, PartialResponse, Series, StoreError};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, error::TryRecvError};

use crate::block::Block;
use crate::limits::{Place, Usage};
use crate::producers::{self, Gathered};
use crate::select::{Batch, BlockSelect, Deps, Selected, Wanted};

/// Series of a frame.
const FRAME_SERIES: usize = 512;

/// Chunks of a frame, after which no further series is added.
const FRAME_CHUNKS: usize = 8192;

/// Blocks of an answer whose first series are looked for at once.
const BEGINNING: usize = 256;

/// What an answer is made of.
#[derive(Debug)]
pub struct Question {
    /// The blocks to read, and the matchers for the series of each.
    pub blocks: Vec<(Arc<Block>, Arc<[Matcher]>)>,
    /// What is wanted of each.
    pub wanted: Arc<Wanted>,
    /// What the request may cost.
    pub usage: Arc<Usage>,
    /// What to do when a block cannot be read.
    pub partial_response: PartialResponse,
    /// Series that suffice; 0 for all.
    pub limit: usize,
}

/// A block that is being read.
#[derive(Debug)]
struct Input {
    block: Arc<Block>,
    /// See [`producers::overlapping`].
    producer: Option<u32>,
    batches: mpsc::Receiver<Result<Batch, StoreError>>,
    _task: Owned<()>,
    batch: vec::IntoIter<Selected>,
    /// It was said that chunks are left out.
    has_told: bool,
}

/// The next series of an input.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    next: Selected,
    input: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_labels = (self.next.series.labels).cmp(&other.next.series.labels);
        by_labels.then(self.input.cmp(&other.input))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An answer that is being given. Dropping it ends the work on it.
#[derive(Debug)]
pub struct Answer {
    deps: Arc<Deps>,
    clock: Arc<dyn Clock>,
    inputs: Vec<Input>,
    heads: BinaryHeap<Reverse<Head>>,
    /// The series that was merged last, which may get more chunks.
    last: Option<Gathered>,
    /// Inputs whose next batch is waited for.
    pending: Vec<usize>,
    warnings: VecDeque<String>,
    partial_response: PartialResponse,
    /// Series that may still be sent.
    left: usize,
    place: Place,
}

impl Answer {
    /// Starts to read the blocks. `place` is given back when the answer ends.
    pub fn start(deps: Arc<Deps>, clock: Arc<dyn Clock>, question: Question, place: Place) -> Self {
        let producers = producers::overlapping(&question.blocks);
        let beginning = Arc::new(Semaphore::new(BEGINNING));
        let inputs: Vec<Input> = (question.blocks.into_iter())
            .zip(producers)
            .map(|((block, matchers), producer)| {
                let (sender, batches) = mpsc::channel(1);
                let read = read_block(
                    Arc::clone(&deps),
                    (Arc::clone(&block), matchers),
                    Arc::clone(&question.wanted),
                    Arc::clone(&question.usage),
                    (sender, Arc::clone(&beginning)),
                );
                Input {
                    block,
                    producer,
                    batches,
                    _task: Owned::spawn(read),
                    batch: Vec::new().into_iter(),
                    has_told: false,
                }
            })
            .collect();
        Self {
            deps,
            clock,
            heads: BinaryHeap::with_capacity(inputs.len()),
            last: None,
            pending: (0..inputs.len()).collect(),
            inputs,
            warnings: VecDeque::new(),
            partial_response: question.partial_response,
            left: match question.limit {
                0 => usize::MAX,
                limit => limit,
            },
            place,
        }
    }

    /// The answer's frames.
    pub fn frames(self) -> impl Stream<Item = Result<Frame, StoreError>> + Send {
        stream::unfold(Some(self), |answer| async move {
            let mut answer = answer?;
            match answer.next().await {
                Ok(Some(frame)) => Some((Ok(frame), Some(answer))),
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        loop {
            for input in std::mem::take(&mut self.pending) {
                self.refill(input).await?;
            }
            self.place.found();
            if let Some(warning) = self.warnings.pop_front() {
                return Ok(Some(Frame::Warning(warning)));
            }
            let gathered = self.merge()?;
            if !gathered.is_empty() {
                let series = finished(gathered).await;
                for series in &series {
                    let chunks = series.chunks.iter();
                    self.place.sent(chunks.map(|chunk| chunk.data.bytes()));
                }
                return Ok(Some(Frame::Series(series)));
            }
            if self.pending.is_empty() && self.warnings.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Merges series until a frame is full or a batch has to be waited for.
    fn merge(&mut self) -> Result<Vec<Gathered>, StoreError> {
        let mut out: Vec<Gathered> = Vec::with_capacity(FRAME_SERIES + 1);
        let mut chunks = 0;
        let mut last = self.last.take();
        while self.pending.is_empty() && out.len() < FRAME_SERIES && chunks < FRAME_CHUNKS {
            let Some(Reverse(Head { next, input })) = self.heads.pop() else {
                out.extend(last);
                return Ok(out);
            };
            let series = next.series;
            let producer = self.inputs[input].producer;
            let origin = producer.map(|producer| (producer, next.hidden));
            chunks += series.chunks.len();
            match &mut last {
                Some(last) if last.labels == series.labels => last.push(origin, series.chunks),
                _ if self.left == 0 => {
                    // The limit is reached, and what is left of the inputs is not wanted.
                    self.heads.clear();
                    self.inputs.clear();
                    out.extend(last);
                    return Ok(out);
                }
                _ => {
                    self.left -= 1;
                    let mut gathered = Gathered::new(series.labels);
                    gathered.push(origin, series.chunks);
                    out.extend(last.replace(gathered));
                }
            }
            self.advance(input)?;
        }
        // What comes next may belong to the same series.
        self.last = last;
        Ok(out)
    }

    /// Puts the next series of an input in line, or notes that it has to be waited for.
    fn advance(&mut self, input: usize) -> Result<(), StoreError> {
        loop {
            let from = &mut self.inputs[input];
            if let Some(next) = from.batch.next() {
                self.heads.push(Reverse(Head { next, input }));
                return Ok(());
            }
            match from.batches.try_recv() {
                Ok(batch) => self.take(input, batch)?,
                Err(TryRecvError::Empty) => {
                    self.pending.push(input);
                    return Ok(());
                }
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Waits for the next series of an input.
    async fn refill(&mut self, input: usize) -> Result<(), StoreError> {
        while self.inputs[input].batch.as_slice().is_empty() {
            match self.inputs[input].batches.recv().await {
                Some(batch) => self.take(input, batch)?,
                None => return Ok(()),
            }
        }
        self.advance(input)
    }

    fn take(&mut self, input: usize, batch: Result<Batch, StoreError>) -> Result<(), StoreError> {
        let from = &mut self.inputs[input];
        let lacks = match batch {
            Ok(batch) => {
                from.batch = batch.series.into_iter();
                let is_told =
                    batch.left_out.is_some() && std::mem::replace(&mut from.has_told, true);
                batch.left_out.filter(|_| !is_told)
            }
            Err(e) => Some(e),
        };
        if let Some(e) = lacks {
            let noted = (&*self.deps.stats, self.clock.now_ms());
            let lacking = from.block.lacking(&e, self.partial_response, noted)?;
            self.warnings.push_back(lacking);
        }
        Ok(())
    }
}

/// The series, of which those whose chunks have to be decoded are finished on a thread for that.
async fn finished(gathered: Vec<Gathered>) -> Vec<Series> {
    let finish = |gathered: Vec<Gathered>| gathered.into_iter().map(Gathered::finish).collect();
    match gathered.iter().any(Gathered::is_to_be_merged) {
        true => blocking(move || finish(gathered)).await,
        false => finish(gathered),
    }
}

/// Reads a block to its end or until nobody waits for it.
async fn read_block(
    deps: Arc<Deps>,
    (block, matchers): (Arc<Block>, Arc<[Matcher]>),
    wanted: Arc<Wanted>,
    usage: Arc<Usage>,
    (batches, beginning): (mpsc::Sender<Result<Batch, StoreError>>, Arc<Semaphore>),
) {
    let read = async {
        let mut place = Some(beginning.acquire().await.expect("never closed"));
        let held = Arc::clone(&usage);
        let mut select = BlockSelect::new(deps, block, matchers, wanted, usage).await?;
        if !select.is_empty() {
            held.block()?;
        }
        while let Some(batch) = select.next().await? {
            place = None;
            if batches.send(Ok(batch)).await.is_err() {
                break;
            }
        }
        drop(place);
        Ok(())
    };
    if let Err(e) = read.await {
        // Nobody waits when the answer has ended.
        let _ = batches.send(Err(e)).await;
    }
}
