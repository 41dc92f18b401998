//! A store's stream of series, read on a thread that may block.

use std::vec;

use futures::StreamExt as _;
use futures::stream::{BoxStream, Fuse};
use model::Labels;
use tokio::runtime::Handle;
use tsdb::chunk::TimedChunk;
use tsdb::merge::merge_chunks;

use super::ReadError;
use crate::store::{ChunkData, Frame, Series, StoreError};

/// A series with all its chunks, in order of time and without overlap.
#[derive(Debug)]
pub(super) struct WholeSeries {
    pub(super) labels: Labels,
    pub(super) chunks: Vec<TimedChunk>,
}

/// Reads series one by one, with what a store hands out in parts put together.
pub(super) struct SeriesReader {
    /// Asked again after its end when the last series is handed out.
    stream: Fuse<BoxStream<'static, Result<Frame, StoreError>>>,
    runtime: Handle,
    batch: vec::IntoIter<Series>,
    ahead: Option<Series>,
}

impl SeriesReader {
    pub(super) fn new(
        stream: BoxStream<'static, Result<Frame, StoreError>>,
        runtime: Handle,
    ) -> Self {
        Self {
            stream: stream.fuse(),
            runtime,
            batch: Vec::new().into_iter(),
            ahead: None,
        }
    }

    /// The next series.
    pub(super) fn next(&mut self) -> Result<Option<WholeSeries>, ReadError> {
        let first = match self.ahead.take() {
            Some(series) => Some(series),
            None => self.pull()?,
        };
        let Some(Series { labels, chunks }) = first else {
            return Ok(None);
        };
        let mut whole = Vec::with_capacity(chunks.len());
        add_raw(&mut whole, chunks);
        while let Some(next) = self.pull()? {
            if next.labels != labels {
                self.ahead = Some(next);
                break;
            }
            add_raw(&mut whole, next.chunks);
        }
        let chunks = merge_chunks(whole).map_err(|error| ReadError::Chunk(error.to_string()))?;
        Ok(Some(WholeSeries { labels, chunks }))
    }

    fn pull(&mut self) -> Result<Option<Series>, ReadError> {
        loop {
            if let Some(series) = self.batch.next() {
                return Ok(Some(series));
            }
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(None),
                Some(Ok(Frame::Series(series))) => self.batch = series.into_iter(),
                Some(Ok(Frame::Warning(warning))) => {
                    tracing::debug!(warning, "warning that remote read cannot pass on");
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}

/// Adds chunks of samples; remote read knows no aggregates, and asks for none.
fn add_raw(whole: &mut Vec<TimedChunk>, chunks: Vec<crate::store::SeriesChunk>) {
    whole.extend(chunks.into_iter().filter_map(|chunk| match chunk.data {
        ChunkData::Raw(data) => Some(TimedChunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            chunk: data,
        }),
        ChunkData::Aggregates(_) => None,
    }));
}
