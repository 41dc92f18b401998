//! Answers, as a server writes them.

use std::io::{self, Write};

use model::TimeRange;
use prost::Message as _;
use proto::labels_to_wire;
use proto::prometheus::{self, ChunkedReadResponse, ChunkedSeries, TimeSeries, chunk};
use tsdb::chunk::{Encoding, TimedChunk};

use super::ReadError;
use super::frames;
use super::series::WholeSeries;

/// Bytes of labels and chunks of a frame, as in Prometheus.
const FRAME_BYTES: usize = 1 << 20;

/// The samples of a series within `range`; nothing when there are none. Takes each from `left`.
pub(super) fn time_series(
    series: &WholeSeries,
    range: TimeRange,
    left: &mut u64,
) -> Result<Option<TimeSeries>, OutOfSamples> {
    let mut message = TimeSeries::default();
    for chunk in &series.chunks {
        for sample in chunk.chunk.samples() {
            let sample = sample.map_err(|damage| ReadError::Chunk(damage.to_string()))?;
            if sample.t >= range.max {
                break;
            }
            if sample.t >= range.min {
                *left = left.checked_sub(1).ok_or(OutOfSamples::Exceeded)?;
                message.push(&sample);
            }
        }
    }
    if message.samples.is_empty() && message.histograms.is_empty() {
        return Ok(None);
    }
    message.labels = labels_to_wire(&series.labels);
    Ok(Some(message))
}

/// Why samples cannot be given.
#[derive(Debug)]
pub(super) enum OutOfSamples {
    /// More than the limit.
    Exceeded,
    /// They cannot be read.
    Unreadable(ReadError),
}

impl From<ReadError> for OutOfSamples {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// Writes the chunks of a series as frames, with one series a frame, as clients expect it.
pub(super) fn write_frames(
    series: WholeSeries,
    query: usize,
    out: &mut dyn Write,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    let labels = labels_to_wire(&series.labels);
    let labels_bytes: usize = labels.iter().map(prost::Message::encoded_len).sum();
    let mut frame = ChunkedReadResponse {
        chunked_series: vec![ChunkedSeries {
            labels,
            chunks: Vec::new(),
        }],
        query_index: query as i64,
    };
    let mut chunks = series.chunks.into_iter().peekable();
    while chunks.peek().is_some() {
        let mut bytes = labels_bytes;
        let filled = &mut frame.chunked_series[0].chunks;
        filled.clear();
        while bytes < FRAME_BYTES
            && let Some(chunk) = chunks.next()
        {
            let chunk = chunk_to_wire(chunk);
            bytes += chunk.encoded_len();
            filled.push(chunk);
        }
        buffer.clear();
        frames::push(&frame.encode_to_vec(), buffer);
        out.write_all(buffer)?;
    }
    Ok(())
}

fn chunk_to_wire(chunk: TimedChunk) -> prometheus::Chunk {
    let kind = match chunk.chunk.encoding {
        Encoding::Xor => chunk::Encoding::Xor,
        Encoding::Histogram => chunk::Encoding::Histogram,
        Encoding::FloatHistogram => chunk::Encoding::FloatHistogram,
        _ => chunk::Encoding::Unknown,
    };
    prometheus::Chunk {
        min_time_ms: chunk.min_time,
        max_time_ms: chunk.max_time,
        r#type: kind.into(),
        data: chunk.chunk.data,
    }
}
