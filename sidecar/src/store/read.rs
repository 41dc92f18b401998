//! Series by remote read, streamed through: what came is passed on before the rest is asked for.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use model::{ErrorKind, TimeRange};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use runtime::process;
use storeapi::merge::{self, Frames};
use storeapi::remote_read::{self, FrameReader, ReadError, ReadQuery, ReadRequest, ResponseType};
use storeapi::{ChunkData, Frame, Series, SeriesChunk, StoreError};

use super::{Question, failed};
use crate::client::{BODY_BYTES_MAX, unreachable, whole};
use crate::order::{Disorder, Order};
use crate::source::Source;

/// Bytes of a message of the stream; Prometheus' usual limit is 1 MiB and one chunk.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The series that Prometheus has, as they are shown, in order.
pub(super) async fn series(source: Arc<Source>, question: Question) -> Frames {
    let response = match ask(&source, &question).await {
        Ok(response) => response,
        Err(error) => return failed(error),
    };
    let kind = response.headers().get(CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| {
        kind.as_bytes()
            .starts_with(b"application/x-streamed-protobuf")
    });
    if !is_stream {
        return sampled(response, &question).await;
    }
    let must_sort = question.removes_own_labels() || source.has_hidden_labels();
    let mut answer = Answer {
        response,
        reader: FrameReader::new(MESSAGE_BYTES_MAX),
        order: (!must_sort).then(Order::default),
        question,
        source,
    };
    let first = answer.next().await;
    if first.is_err() && answer.source.has_strange_chunks() {
        // Nothing was passed on yet, so that the question can be asked in another way.
        return match ask(&answer.source, &answer.question).await {
            Ok(response) => sampled(response, &answer.question).await,
            Err(error) => failed(error),
        };
    }
    let frames = stream::unfold(Some((Some(first), answer)), async |state| {
        let (first, mut answer) = state?;
        let next = match first {
            Some(first) => first,
            None => answer.next().await,
        };
        match next {
            Ok(Some(series)) => Some((Ok(Frame::Series(series)), Some((None, answer)))),
            Ok(None) => {
                let rest = answer.finish()?;
                Some((Ok(Frame::Series(rest)), None))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    match must_sort {
        true => merge::without_labels(frames.boxed(), Vec::new()),
        false => frames.boxed(),
    }
}

async fn ask(source: &Source, question: &Question) -> Result<Response, StoreError> {
    let query = ReadQuery {
        range: question.range,
        matchers: question.matchers.clone(),
        hints: question.request.hints.clone(),
    };
    let request = ReadRequest {
        queries: vec![query],
        response_type: match source.has_strange_chunks() {
            true => ResponseType::Samples,
            false => ResponseType::StreamedXorChunks,
        },
    };
    let body = request.encode().map_err(store_error)?;
    source.client().read(body).await
}

/// An answer with all samples at once, as servers without chunks give it.
async fn sampled(response: Response, question: &Question) -> Frames {
    let body = match whole(response, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return failed(error),
    };
    let decoding = process::blocking(move || remote_read::decode::samples(&body, BODY_BYTES_MAX));
    let series = match decoding.await {
        Ok(results) => results.into_iter().flatten(),
        Err(error) => return failed(store_error(error)),
    };
    let series: Vec<_> = series
        .map(|series| Series {
            labels: question.shown(&series.labels),
            chunks: series.chunks,
        })
        .collect();
    if series.is_empty() {
        return stream::empty().boxed();
    }
    let all = stream::iter([Ok(Frame::Series(series))]).boxed();
    merge::without_labels(all, Vec::new())
}

/// A streamed answer, read so far.
struct Answer {
    response: Response,
    reader: FrameReader,
    /// Puts series in order; nothing when all are sorted at the end.
    order: Option<Order>,
    question: Question,
    source: Arc<Source>,
}

impl Answer {
    /// Some more series; nothing when all were read.
    async fn next(&mut self) -> Result<Option<Vec<Series>>, StoreError> {
        let mut out = Vec::new();
        loop {
            while let Some(message) = self.reader.next_message().map_err(store_error)? {
                let frame = remote_read::decode::chunked_frame(message);
                let frame = frame.map_err(|error| self.refused(error))?;
                for series in frame.series {
                    self.take(series, &mut out)?;
                }
            }
            if !out.is_empty() {
                return Ok(Some(out));
            }
            match self.response.chunk().await.map_err(|e| unreachable(&e))? {
                Some(bytes) => self.reader.push(&bytes),
                None => {
                    let reader = std::mem::replace(&mut self.reader, FrameReader::new(0));
                    reader.finish().map_err(store_error)?;
                    return Ok(None);
                }
            }
        }
    }

    /// Why a message cannot be used; where samples would do, the next question is for those.
    fn refused(&self, error: ReadError) -> StoreError {
        if !matches!(error, ReadError::Encoding(_)) {
            return store_error(error);
        }
        self.source.found_strange_chunks(&error);
        StoreError::new(
            ErrorKind::Unavailable,
            format!("remote read of Prometheus: {error}; ask again, it is asked for samples then"),
        )
    }

    /// What waited for its place until the end.
    fn finish(&mut self) -> Option<Vec<Series>> {
        let mut rest = Vec::new();
        if let Some(order) = &mut self.order {
            order.finish(&mut rest);
        }
        (!rest.is_empty()).then_some(rest)
    }

    fn take(&mut self, series: Series, out: &mut Vec<Series>) -> Result<(), StoreError> {
        let labels = self.question.shown(&series.labels);
        let mut chunks = series.chunks;
        for chunk in &mut chunks {
            bound(chunk)?;
        }
        let range = self.question.range;
        chunks.retain(|c| TimeRange::closed(c.min_time, c.max_time).overlaps(range));
        if chunks.is_empty() {
            return Ok(());
        }
        match &mut self.order {
            None => out.push(Series { labels, chunks }),
            Some(order) => order.push(labels, chunks, out).map_err(|Disorder| {
                self.source.found_hidden_labels();
                StoreError::new(
                    ErrorKind::Unavailable,
                    "series of Prometheus have labels with the names of its external labels, \
                     which was not known; ask again",
                )
            })?,
        }
        Ok(())
    }
}

/// Prometheus says of a chunk that still grows that it never ends.
fn bound(chunk: &mut SeriesChunk) -> Result<(), StoreError> {
    let ChunkData::Raw(data) = &chunk.data else {
        return Ok(());
    };
    if chunk.max_time == i64::MAX {
        let damaged =
            |damage: tsdb::error::Corruption| store_error(ReadError::Chunk(damage.to_string()));
        let mut last = None;
        for sample in data.samples() {
            last = Some(sample.map_err(damaged)?.t);
        }
        chunk.max_time = last.unwrap_or(chunk.min_time);
    }
    Ok(())
}

fn store_error(error: ReadError) -> StoreError {
    StoreError::new(error.kind(), format!("remote read of Prometheus: {error}"))
}
