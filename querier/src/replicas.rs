//! Series of all stores, of which replicas are one: what remote read answers from.
//!
//! Whoever reads it cannot join replicas, so that is done here as for queries: labels that tell
//! replicas apart go, and where chunks overlap their samples are joined and encoded anew. Where
//! tenants see only their own, so they do here.

use std::vec;

use futures::stream::{self, BoxStream, Fuse, StreamExt as _};
use model::{ErrorKind, TimeRange};
use promql::columns::Samples;
use storeapi::{ChunkData, Frame, Series, SeriesChunk, SeriesRequest, StoreError};
use tsdb::chunk::{SeriesEncoder, TimedChunk};

use crate::decode::{Reading, Wanted};
use crate::evaluator::Evaluator;

/// What all stores of `evaluator` answer, replicas as one series.
pub(crate) fn joined(
    evaluator: &Evaluator,
    mut request: SeriesRequest,
) -> BoxStream<'static, Result<Frame, StoreError>> {
    let settings = &evaluator.settings;
    let tenancy = &settings.tenancy;
    let enforced = tenancy.enforced(tenancy.named(&request.tenant));
    request.matchers.extend(enforced);
    request
        .without_replica_labels
        .clone_from(&settings.replica_labels);
    let range = request.range;
    let frames = evaluator.fan_out(&[]).series(request);
    if settings.replica_labels.is_empty() {
        return frames;
    }
    let joined = Joined {
        range,
        reading: Reading {
            wanted: Wanted::Average,
            dedup: settings.dedup,
            is_counter: false,
        },
        frames: frames.fuse(),
        batch: Vec::new().into_iter(),
        ahead: None,
    };
    stream::unfold(Some(joined), async |joined| {
        let mut joined = joined?;
        match joined.next().await {
            Ok(frame) => frame.map(|frame| (Ok(frame), Some(joined))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// Series in which the samples of replicas are joined.
struct Joined {
    /// Asked again after their end, for what came before it may be two answers.
    frames: Fuse<BoxStream<'static, Result<Frame, StoreError>>>,
    batch: vec::IntoIter<Series>,
    ahead: Option<Series>,
    range: TimeRange,
    reading: Reading,
}

impl Joined {
    /// One series, or a warning; nothing at the end.
    async fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        let mut whole = match self.ahead.take() {
            Some(series) => series,
            None => match self.pull().await? {
                Some(Ok(series)) => series,
                Some(Err(warning)) => return Ok(Some(Frame::Warning(warning))),
                None => return Ok(None),
            },
        };
        loop {
            match self.pull().await? {
                Some(Ok(next)) if next.labels == whole.labels => whole.chunks.extend(next.chunks),
                Some(Ok(next)) => {
                    self.ahead = Some(next);
                    break;
                }
                // Warnings come before the series; one that does not is about what is missing now.
                Some(Err(warning)) => {
                    return Err(StoreError::new(ErrorKind::Unavailable, warning));
                }
                None => break,
            }
        }
        let chunks = self.join(whole.chunks)?;
        let labels = whole.labels;
        Ok(Some(Frame::Series(vec![Series { labels, chunks }])))
    }

    /// The next part of a series, or a warning.
    async fn pull(&mut self) -> Result<Option<Result<Series, String>>, StoreError> {
        loop {
            if let Some(series) = self.batch.next() {
                return Ok(Some(Ok(series)));
            }
            match self.frames.next().await.transpose()? {
                Some(Frame::Series(batch)) => self.batch = batch.into_iter(),
                Some(Frame::Warning(warning)) => return Ok(Some(Err(warning))),
                None => return Ok(None),
            }
        }
    }

    /// Chunks without overlap.
    fn join(&self, mut chunks: Vec<SeriesChunk>) -> Result<Vec<SeriesChunk>, StoreError> {
        chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
        chunks.dedup();
        if chunks.windows(2).all(|w| w[0].max_time < w[1].min_time) {
            return Ok(chunks);
        }
        let mut samples = Samples::default();
        let read = self.reading.read(&chunks, self.range, &mut samples);
        read.map_err(|error| StoreError::new(error.kind, error.to_string()))?;
        encode(&samples).map_err(|error| StoreError::new(error.kind(), error.to_string()))
    }
}

/// Samples of both kinds as chunks, in order of time.
fn encode(samples: &Samples) -> Result<Vec<SeriesChunk>, tsdb::Error> {
    let mut encoder = SeriesEncoder::new();
    let mut chunks: Vec<TimedChunk> = Vec::new();
    let mut histograms = samples.hist_ts.iter().zip(&samples.hists).peekable();
    for (&t, &v) in samples.ts.iter().zip(&samples.values) {
        while let Some((&at, histogram)) = histograms.next_if(|(at, _)| **at < t) {
            chunks.extend(encoder.push_float_histogram(at, histogram)?);
        }
        chunks.extend(encoder.push_float(t, v)?);
        // Of a float and a histogram at one time, the float is kept.
        histograms.next_if(|(at, _)| **at == t);
    }
    for (&at, histogram) in histograms {
        chunks.extend(encoder.push_float_histogram(at, histogram)?);
    }
    chunks.extend(encoder.finish());
    let shown = |timed: TimedChunk| SeriesChunk {
        min_time: timed.min_time,
        max_time: timed.max_time,
        data: ChunkData::Raw(timed.chunk),
    };
    Ok(chunks.into_iter().map(shown).collect())
}
