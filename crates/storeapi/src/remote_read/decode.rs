//! Answers, as a client reads them.

use bytes::Bytes;
use model::Sample;
use prost::Message as _;
use proto::labels_from_wire;
use proto::prometheus::{ChunkedReadResponse, ChunkedSeries, ReadResponse, TimeSeries, chunk};
use tsdb::chunk::{Chunk, Encoding, SeriesEncoder, TimedChunk};

use super::ReadError;
use crate::snappy;
use crate::store::{ChunkData, Series, SeriesChunk};

/// The series of one message of a stream; chunks are slices of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkedFrame {
    /// Number of the question that is answered.
    pub query: usize,
    /// The series, or parts of one.
    pub series: Vec<Series>,
}

/// Reads a message of a stream.
///
/// # Errors
/// When it cannot be decoded, or a chunk is of a kind that cannot be read.
pub fn chunked_frame(message: Bytes) -> Result<ChunkedFrame, ReadError> {
    let message = ChunkedReadResponse::decode(message)?;
    let series = message.chunked_series.into_iter().map(chunked_series);
    Ok(ChunkedFrame {
        query: usize::try_from(message.query_index).unwrap_or(usize::MAX),
        series: series.collect::<Result<_, _>>()?,
    })
}

fn chunked_series(series: ChunkedSeries) -> Result<Series, ReadError> {
    let labels = labels_from_wire(&series.labels)?;
    let chunks = series.chunks.into_iter().map(|chunk| {
        let encoding = match chunk::Encoding::try_from(chunk.r#type) {
            Ok(chunk::Encoding::Xor) => Encoding::Xor,
            Ok(chunk::Encoding::Histogram) => Encoding::Histogram,
            Ok(chunk::Encoding::FloatHistogram) => Encoding::FloatHistogram,
            Ok(chunk::Encoding::Unknown) | Err(_) => {
                return Err(ReadError::Encoding(chunk.r#type));
            }
        };
        let data = Chunk {
            encoding,
            data: chunk.data,
        };
        data.sample_count()
            .map_err(|damage| ReadError::Chunk(damage.to_string()))?;
        Ok(SeriesChunk {
            min_time: chunk.min_time_ms,
            max_time: chunk.max_time_ms,
            data: ChunkData::Raw(data),
        })
    });
    let chunks = chunks.collect::<Result<_, _>>()?;
    Ok(Series { labels, chunks })
}

/// Reads an answer with samples, of at most `bytes_max` bytes when decompressed: the series of each
/// question, their samples encoded into chunks.
///
/// # Errors
/// When it cannot be decoded, or samples of a series are not in order of time.
pub fn samples(body: &[u8], bytes_max: usize) -> Result<Vec<Vec<Series>>, ReadError> {
    let mut message = Vec::new();
    snappy::decompress(body, bytes_max, &mut message)?;
    let message = ReadResponse::decode(Bytes::from(message))?;
    let of_query = |series: Vec<TimeSeries>| series.into_iter().map(sampled_series).collect();
    let results = message.results.into_iter();
    results.map(|result| of_query(result.timeseries)).collect()
}

fn sampled_series(series: TimeSeries) -> Result<Series, ReadError> {
    let labels = labels_from_wire(&series.labels)?;
    let broken = |error: tsdb::Error| ReadError::Chunk(error.to_string());
    let mut encoder = SeriesEncoder::new();
    let mut chunks: Vec<TimedChunk> = Vec::new();
    let mut floats = series.samples.iter().peekable();
    let mut histograms = series.histograms.iter().map(Sample::from).peekable();
    loop {
        // Floats and histograms come apart, each in order of time.
        let float_is_next = match (floats.peek(), histograms.peek()) {
            (Some(float), Some(histogram)) => float.timestamp <= histogram.t,
            (float, _) => float.is_some(),
        };
        if float_is_next {
            let Some(float) = floats.next() else { break };
            chunks.extend(
                encoder
                    .push_float(float.timestamp, float.value)
                    .map_err(broken)?,
            );
        } else {
            let Some(histogram) = histograms.next() else {
                break;
            };
            chunks.extend(encoder.push(&histogram).map_err(broken)?);
        }
    }
    chunks.extend(encoder.finish());
    let chunks = chunks.into_iter().map(SeriesChunk::from).collect();
    Ok(Series { labels, chunks })
}

impl From<TimedChunk> for SeriesChunk {
    fn from(chunk: TimedChunk) -> Self {
        Self {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            data: ChunkData::Raw(chunk.chunk),
        }
    }
}
