//! PromQL over a [`Store`].
//!
//! A select becomes one stream of series, of which no more is held than the batch at hand: the next
//! one is asked for when the engine wants it. The engine is synchronous, so whoever evaluates a query
//! waits here for stores; what is there already costs no waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::vec;

use futures::future::FutureExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use model::{ErrorKind, Labels, Matcher, Stop, TimeRange};
use promql::columns::Samples;
use promql::source::{Hints, SelectRequest, Series, SeriesSet, Source, SourceError};
use promql::stats::FanOutStats;
use storeapi::proxy::{Asked, FanOut};
use storeapi::wire::encode::ChunkRef;
use storeapi::{
    Frame, PartialResponse, QueryHints, SeriesChunk, SeriesRequest, Shard, Store, StoreError,
};
use tokio::runtime::{EnterGuard, Handle};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::decode::{Reading, Wanted};
use crate::dedup::Dedup;
use crate::lanes::Lane;

/// What a query asks of stores, beside what its expression does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Labels that tell replicas apart; none when replicas are to stay apart.
    pub replica_labels: Vec<String>,
    /// How replicas become one series.
    pub dedup: Dedup,
    /// What to do when a store fails.
    pub partial_response: PartialResponse,
    /// Coarsest resolution that will do, in milliseconds; 0 for samples as they were.
    pub max_resolution: i64,
    /// Whom the query is for; empty for the default tenant.
    pub tenant: String,
    /// What every series must match beside what the query says, to keep tenants apart.
    pub enforced: Option<Matcher>,
    /// Only series of this shard are wanted.
    pub shard: Option<Shard>,
}

impl Scope {
    /// How the chunks of a selector inside the function `func` are read.
    fn reading(&self, func: &str) -> Reading {
        let wanted = Wanted::of_function(func);
        Reading {
            wanted,
            // Without replicas, what overlaps are copies.
            dedup: if self.replica_labels.is_empty() {
                Dedup::Chain
            } else {
                self.dedup
            },
            // Of a counter without resets none could be counted.
            is_counter: wanted == Wanted::Counter && func != "resets",
        }
    }

    /// The matchers, and what is enforced.
    pub fn matchers(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        matchers.iter().chain(&self.enforced).cloned().collect()
    }

    fn request(&self, request: &SelectRequest, wanted: Wanted) -> SeriesRequest {
        let hints = &request.hints;
        SeriesRequest {
            range: request.range,
            matchers: self.matchers(&request.matchers),
            max_resolution: self.resolution(hints),
            aggregates: wanted.aggregates().to_vec(),
            partial_response: self.partial_response,
            without_replica_labels: self.replica_labels.clone(),
            hints: QueryHints {
                step_ms: hints.step_ms,
                range_ms: hints.range_ms,
                func: hints.func.clone(),
                grouping: hints.grouping.clone(),
                by: hints.by,
            },
            tenant: self.tenant.clone(),
            // [`Patience::wait`] is called on such threads.
            may_block: true,
            shard: self.shard.clone(),
            stop: request.stop.clone(),
            ..SeriesRequest::default()
        }
    }

    /// Functions that compare samples need two of them in their range.
    fn resolution(&self, hints: &Hints) -> i64 {
        match hints.func.as_str() {
            "rate"
            | "irate"
            | "increase"
            | "delta"
            | "idelta"
            | "deriv"
            | "predict_linear"
            | "holt_winters"
            | "double_exponential_smoothing"
            | "xrate"
            | "xincrease"
            | "xdelta" => self.max_resolution.min(hints.range_ms / 2),
            _ => self.max_resolution,
        }
    }
}

/// Ends waiting for stores. Clones end together.
#[derive(Debug, Clone)]
pub struct Patience {
    runtime: Handle,
    /// What the query drives itself, in place of the runtime.
    lane: Option<Arc<Lane>>,
    deadline: Option<Instant>,
    given_up: watch::Sender<bool>,
}

impl Patience {
    /// Waits on `runtime` until the time is up.
    pub fn new(runtime: Handle, timeout: Duration) -> Self {
        Self {
            runtime,
            lane: None,
            deadline: Instant::now().checked_add(timeout),
            given_up: watch::Sender::new(false),
        }
    }

    /// The same patience, on a lane.
    pub fn on(&self, lane: Lane) -> Self {
        Self {
            lane: Some(Arc::new(lane)),
            ..self.clone()
        }
    }

    /// Makes it the current runtime on which stores are waited for.
    fn enter(&self) -> EnterGuard<'_> {
        self.lane
            .as_ref()
            .map_or(&self.runtime, |lane| lane.handle())
            .enter()
    }

    /// Waits no longer.
    pub fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    /// True when the time is up.
    pub fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Asked for once nobody waits any longer.
    pub fn stop(&self) -> Stop {
        let (patience, given_up) = (self.clone(), self.given_up.subscribe());
        Stop::when(move || *given_up.borrow() || patience.is_over())
    }

    /// What `future` comes to. Called on a thread that may block.
    ///
    /// # Errors
    /// When it took too long, or somebody gave up.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, SourceError> {
        let mut future = std::pin::pin!(future);
        if self.lane.is_none() {
            // Stores set timers and start tasks.
            let _inside = self.enter();
            if let Some(value) = future.as_mut().now_or_never() {
                return Ok(value);
            }
        }
        let mut given_up = self.given_up.subscribe();
        let cancelled = || SourceError::new(ErrorKind::Cancelled, "query was canceled");
        let patiently = async {
            let deadline = async {
                match self.deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                value = future => Ok(value),
                _ = given_up.wait_for(|given_up| *given_up) => Err(cancelled()),
                () = deadline => Err(timed_out()),
            }
        };
        match &self.lane {
            Some(lane) => lane.drive(patiently),
            None => self.runtime.block_on(patiently),
        }
    }
}

fn timed_out() -> SourceError {
    SourceError::new(
        ErrorKind::Exhausted,
        "query timed out while waiting for stores",
    )
}

/// Series of a store, for one query.
#[derive(Debug, Clone)]
pub struct StoreSource {
    store: Arc<dyn Store>,
    scope: Arc<Scope>,
    patience: Patience,
    warnings: Arc<Mutex<Vec<String>>>,
    /// What each store answers is taken down.
    is_measured: bool,
    read: Arc<Mutex<ReadStats>>,
}

/// What a query read of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Series, replicas of one counted once.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Samples in the chunks.
    pub samples: u64,
}

impl ReadStats {
    /// Adds what something else read.
    pub fn add(&mut self, other: Self) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.samples += other.samples;
    }

    fn count(&mut self, chunks: &[SeriesChunk]) {
        self.series += 1;
        self.chunks += chunks.len() as u64;
        let samples = chunks.iter().map(|chunk| ChunkRef::from(chunk).samples());
        self.samples += samples.sum::<u64>();
    }
}

impl StoreSource {
    /// The series of `store` as `scope` wants them.
    pub fn new(store: Arc<dyn Store>, scope: Scope, patience: Patience) -> Self {
        Self {
            store,
            scope: Arc::new(scope),
            patience,
            warnings: Arc::default(),
            is_measured: false,
            read: Arc::default(),
        }
    }

    /// The same, saying what each store answered if `is_measured`.
    #[must_use]
    pub fn measured(self, is_measured: bool) -> Self {
        Self {
            is_measured,
            ..self
        }
    }

    /// What was read so far by selects that came to their end.
    pub fn read_stats(&self) -> ReadStats {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stores wanted the user to know so far, each once: the answer lacks something.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock();
        warnings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The label sets of series, in order, each once, and at most `limit` of them if that is not 0.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub fn label_sets(
        &self,
        matchers: Vec<Matcher>,
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>, SourceError> {
        let request = SelectRequest {
            matchers,
            range,
            hints: Hints::default(),
            stop: self.patience.stop(),
        };
        let request = SeriesRequest {
            skip_chunks: true,
            max_resolution: i64::MAX,
            limit,
            ..self.scope.request(&request, Wanted::Average)
        };
        let mut frames = self.frames(request);
        let mut sets: Vec<Labels> = Vec::new();
        while let Some(series) = frames.next()? {
            if sets.last() != Some(&series.labels) {
                if limit > 0 && sets.len() == limit {
                    break;
                }
                sets.push(series.labels);
            }
        }
        Ok(sets)
    }

    fn frames(&self, mut request: SeriesRequest) -> Frames {
        let _inside = self.patience.enter();
        let fan_out = self.is_measured.then(FanOut::default);
        request.fan_out.clone_from(&fan_out);
        Frames {
            stream: self.store.series(request),
            is_at_end: false,
            batch: Vec::new().into_iter(),
            patience: self.patience.clone(),
            warnings: Arc::clone(&self.warnings),
            own_warnings: Vec::new(),
            fan_out,
        }
    }
}

impl Source for StoreSource {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let reading = self.scope.reading(&request.hints.func);
        let frames = self.frames(self.scope.request(request, reading.wanted));
        Ok(Box::new(Found {
            frames,
            ahead: None,
            reading,
            read: ReadStats::default(),
            of_query: Arc::clone(&self.read),
        }))
    }
}

/// The series of a stream, one by one.
struct Frames {
    stream: BoxStream<'static, Result<Frame, StoreError>>,
    is_at_end: bool,
    batch: vec::IntoIter<storeapi::Series>,
    patience: Patience,
    /// Of all selects of the query.
    warnings: Arc<Mutex<Vec<String>>>,
    /// Of this select.
    own_warnings: Vec<String>,
    /// What its stores answered, if that is taken down.
    fan_out: Option<FanOut>,
}

impl Drop for Frames {
    fn drop(&mut self) {
        // What ends a stream may need the runtime too.
        let inside = self.patience.enter();
        self.stream = futures::stream::empty().boxed();
        drop(inside);
        if let (false, Some(lane)) = (self.is_at_end, &self.patience.lane) {
            // The store hears that nobody listens any more.
            lane.settle();
        }
    }
}

impl Frames {
    fn next(&mut self) -> Result<Option<storeapi::Series>, SourceError> {
        loop {
            if let Some(series) = self.batch.next() {
                return Ok(Some(series));
            }
            // Streams are not to be asked again after their end.
            if self.is_at_end {
                return Ok(None);
            }
            match self.patience.wait(self.stream.next())? {
                None => self.is_at_end = true,
                Some(Ok(Frame::Series(batch))) => self.batch = batch.into_iter(),
                Some(Ok(Frame::Warning(warning))) => self.warn(warning),
                Some(Err(error)) => return Err(failed(error)),
            }
        }
    }

    fn warn(&mut self, warning: String) {
        if !self.own_warnings.contains(&warning) {
            let mut all = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            if !all.contains(&warning) {
                all.push(warning.clone());
            }
            drop(all);
            self.own_warnings.push(warning);
        }
    }
}

pub(crate) fn failed(error: StoreError) -> SourceError {
    SourceError::new(error.kind, error.message)
}

/// The series found, each label set once.
struct Found {
    frames: Frames,
    ahead: Option<storeapi::Series>,
    reading: Reading,
    read: ReadStats,
    /// What all selects of the query read.
    of_query: Arc<Mutex<ReadStats>>,
}

impl Drop for Found {
    fn drop(&mut self) {
        let mut all = self.of_query.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(self.read);
    }
}

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let first = match self.ahead.take() {
            Some(series) => Some(series),
            None => self.frames.next()?,
        };
        let Some(storeapi::Series { labels, mut chunks }) = first else {
            return Ok(None);
        };
        let mut is_in_parts = false;
        loop {
            match self.frames.next()? {
                Some(next) if next.labels == labels => {
                    is_in_parts = true;
                    chunks.extend(next.chunks);
                }
                next => {
                    self.ahead = next;
                    break;
                }
            }
        }
        if is_in_parts {
            chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
            chunks.dedup();
        }
        self.read.count(&chunks);
        Ok(Some(Box::new(Encoded {
            labels,
            chunks,
            reading: self.reading,
        })))
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.frames.own_warnings)
    }

    fn fan_out(&mut self) -> Vec<FanOutStats> {
        let asked = self.frames.fan_out.as_ref().map(FanOut::take);
        asked.into_iter().flatten().map(stats_of).collect()
    }
}

/// What a store answered, in the engine's terms.
fn stats_of(asked: Asked) -> FanOutStats {
    FanOutStats {
        name: asked.name,
        time: asked.time,
        bytes: asked.bytes,
        responses: asked.responses,
        series: asked.series,
        chunks: asked.chunks,
        samples: asked.samples,
        error: asked.error,
    }
}

/// A series that is decoded when it is read.
struct Encoded {
    labels: Labels,
    chunks: Vec<SeriesChunk>,
    reading: Reading,
}

impl Series for Encoded {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        self.reading.read(&self.chunks, range, out)
    }
}

/// Patience for stores that answer at once; their runtime is gone.
#[cfg(test)]
pub(crate) fn never_waits() -> Patience {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    Patience::new(runtime.handle().clone(), Duration::from_secs(60))
}

#[cfg(test)]
mod tests;
