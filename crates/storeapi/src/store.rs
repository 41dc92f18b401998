//! The seam between whoever has series and whoever asks for them.

use std::fmt;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::{ErrorKind, Labels, Matcher, Stop, TimeRange};
use tsdb::Chunk;

use crate::proxy::FanOut;
use crate::wire::message::Written;

/// A source of series: an ingester's TSDB, a sidecar's Prometheus, a bucket, a peer over gRPC, or a
/// querier's fan-out over all of these.
///
/// All times are milliseconds since the Unix epoch. Every method may be called at any time and by
/// many at once. Dropping a returned future or stream cancels its work.
pub trait Store: Send + Sync + fmt::Debug {
    /// What the store has, as of now; from memory.
    fn info(&self) -> Info;

    /// Series that all matchers accept and that may have samples in the range.
    ///
    /// Batches come in order of labels, external labels added and replica labels removed; the same
    /// label set may come again right after itself, with further chunks. Chunks of one
    /// [`Series`] are in order of (`min_time`, `max_time`), overlap the range, and may reach beyond
    /// it. Warnings come before series where they can. An error ends the stream.
    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>>;

    /// What [`Store::series`] answers, as messages of at most `batch` series that are ready to be
    /// sent; nothing where it takes frames to make messages of.
    fn messages(
        &self,
        request: &SeriesRequest,
        batch: usize,
    ) -> Option<BoxStream<'static, Result<Written, StoreError>>> {
        let _ = (request, batch);
        None
    }

    /// Names of labels of the series that all matchers accept, sorted, each once.
    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>>;

    /// Values of the label `name` among the series that all matchers accept, sorted, each once.
    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>>;

    /// True when answers come from this machine's memory and disks, so that nobody waits for them
    /// longer than it takes to make them.
    fn is_local(&self) -> bool {
        false
    }

    /// True when an answer is made by whoever polls it, on whichever runtime is the current one, and
    /// leaves nothing there that others need: its reader may drive it on a runtime of his own.
    fn is_portable(&self) -> bool {
        false
    }
}

/// What a store has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// External labels of what the store has, one set for each producer. None at all means that it
    /// may have anything.
    pub label_sets: Vec<Labels>,
    /// Time of the first sample, or [`i64::MIN`] when that is not known.
    pub min_time: i64,
    /// Time of the last sample, inside; [`i64::MAX`] for a store that takes writes.
    pub max_time: i64,
    /// The parts of the store by their external labels, each with its own range of time.
    pub parts: Vec<InfoPart>,
    /// The store removes replica labels, and sorts after that.
    pub supports_without_replica_labels: bool,
    /// The store answers for a shard of its series when asked.
    pub supports_sharding: bool,
}

/// A part of a store: a tenant, or the blocks of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoPart {
    /// Its external labels.
    pub labels: Labels,
    /// Time of its first sample.
    pub min_time: i64,
    /// Time of its last sample, inside.
    pub max_time: i64,
}

/// What to do when a part of the answer cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartialResponse {
    /// Answer with the rest, and with a warning.
    #[default]
    Warn,
    /// Fail.
    Abort,
}

/// An aggregate that a downsampled chunk may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Samples as they were; what data that is not downsampled has.
    Raw,
    /// Number of samples.
    Count,
    /// Sum of samples.
    Sum,
    /// Least sample.
    Min,
    /// Greatest sample.
    Max,
    /// The counter, with resets that can still be told.
    Counter,
}

/// A question for series.
#[derive(Debug, Clone, Default)]
pub struct SeriesRequest {
    /// Samples outside are not needed. Empty ranges answer nothing.
    pub range: TimeRange,
    /// All must accept a series' labels, external labels included.
    pub matchers: Vec<Matcher>,
    /// Coarsest resolution that will do, in milliseconds; 0 for samples as they were.
    pub max_resolution: i64,
    /// Aggregates wanted of downsampled chunks.
    pub aggregates: Vec<Aggregate>,
    /// What to do when a part of the answer cannot be had.
    pub partial_response: PartialResponse,
    /// Only labels are wanted.
    pub skip_chunks: bool,
    /// Labels to remove from every series, its own and external ones.
    pub without_replica_labels: Vec<String>,
    /// Only series of this shard are wanted.
    pub shard: Option<Shard>,
    /// Series that suffice; 0 for all.
    pub limit: usize,
    /// What the series are for.
    pub hints: QueryHints,
    /// Whom the question is for, forwarded on every hop; empty for the default tenant.
    pub tenant: String,
    /// The answer is only ever polled on a thread that may block, so that a store does its work
    /// right there. It concerns this process alone.
    pub may_block: bool,
    /// Messages need not have the hashes of chunks. It concerns those who write messages alone.
    pub without_hashes: bool,
    /// Where a fan-out takes down what each of its members answers.
    pub fan_out: Option<FanOut>,
    /// Ends the work of making the answer, where that looks at it. It concerns this process alone.
    pub stop: Stop,
}

/// A share of all series: those whose hash over some labels, modulo `total`, is `index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Which share.
    pub index: u64,
    /// Number of shares; at least 1.
    pub total: u64,
    /// `labels` are those to hash; else those not to hash.
    pub by: bool,
    /// Names of labels.
    pub labels: Vec<String>,
}

/// What series are for; a store may ignore all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryHints {
    /// Distance between steps in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// Width of the range selector in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation around the selector, `""` when there is none.
    pub func: String,
    /// Labels of the aggregation around the selector.
    pub grouping: Vec<String>,
    /// `grouping` is the labels to keep (`by`), not those to drop (`without`).
    pub by: bool,
}

/// A question for names or values of labels.
#[derive(Debug, Clone, Default)]
pub struct LabelsRequest {
    /// Only what has samples here counts, as far as the store can tell.
    pub range: TimeRange,
    /// All must accept a series' labels, external labels included.
    pub matchers: Vec<Matcher>,
    /// What to do when a part of the answer cannot be had.
    pub partial_response: PartialResponse,
    /// Labels that are as if no series had them.
    pub without_replica_labels: Vec<String>,
    /// Strings that suffice; 0 for all.
    pub limit: usize,
    /// Whom the question is for, forwarded on every hop; empty for the default tenant.
    pub tenant: String,
    /// As [`SeriesRequest::may_block`].
    pub may_block: bool,
}

/// Sorted strings, and what the user should know about them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strings {
    /// Sorted, each once.
    pub values: Vec<String>,
    /// Parts that are missing, in words.
    pub warnings: Vec<String>,
}

/// A piece of an answer to [`Store::series`].
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Series, at least one.
    Series(Vec<Series>),
    /// What the user should know, such as a part that is missing.
    Warning(String),
}

/// A series, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// All its labels.
    pub labels: Labels,
    /// Its chunks, in order of (`min_time`, `max_time`); none when they were not asked for.
    pub chunks: Vec<SeriesChunk>,
}

/// The samples of a series over some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesChunk {
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample, inside.
    pub max_time: i64,
    /// The samples, as they were or aggregated.
    pub data: ChunkData,
}

/// What a chunk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkData {
    /// Samples as they were.
    Raw(Chunk),
    /// Aggregates of samples; never empty.
    Aggregates(Box<Aggregates>),
}

impl ChunkData {
    /// The encoded chunks: the samples as they were, or what aggregates there are.
    pub fn parts(&self) -> impl Iterator<Item = &Chunk> {
        let (raw, aggregates) = match self {
            Self::Raw(chunk) => (Some(chunk), None),
            Self::Aggregates(aggregates) => (None, Some(aggregates)),
        };
        let aggregates = aggregates.into_iter().flat_map(|a| {
            [&a.count, &a.sum, &a.min, &a.max, &a.counter]
                .into_iter()
                .flatten()
        });
        raw.into_iter().chain(aggregates)
    }

    /// Bytes of the encoded chunks.
    pub fn bytes(&self) -> usize {
        self.parts().map(|chunk| chunk.data.len()).sum()
    }
}

/// Aggregates of a downsampled chunk, those that were asked for and are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aggregates {
    /// Number of samples.
    pub count: Option<Chunk>,
    /// Sum of samples.
    pub sum: Option<Chunk>,
    /// Least sample.
    pub min: Option<Chunk>,
    /// Greatest sample.
    pub max: Option<Chunk>,
    /// The counter.
    pub counter: Option<Chunk>,
}

/// Why a store cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What the caller should do about it.
    pub kind: ErrorKind,
    /// What went wrong and what to do, lowercase.
    pub message: String,
}

impl StoreError {
    /// What a question for the values of a label without a name is answered.
    pub fn empty_label_name() -> Self {
        Self::new(ErrorKind::Invalid, "label name parameter cannot be empty")
    }

    /// An error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What a store answers to [`Store::series`] when external labels were all that was asked for:
    /// that would be all it has, and Thanos' stores refuse it.
    pub fn no_matchers() -> Self {
        Self::new(
            ErrorKind::Invalid,
            "no matchers specified (excluding external labels)",
        )
    }
}
