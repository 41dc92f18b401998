//! Series in order of labels, made one where the labels are the same, and put in frames.

use std::cmp::Ordering;

use crate::store::{Aggregates, ChunkData, Frame, Series, SeriesChunk};

/// Series and bytes of chunks after which a frame is full.
const FRAME_SERIES: usize = 128;
const FRAME_BYTES: usize = 512 << 10;

/// Joins series that come in order of labels.
#[derive(Default)]
pub(super) struct Joiner {
    /// The series that may still get chunks.
    open: Option<Series>,
    /// Chunks of several series went into it.
    is_joined: bool,
    /// Complete series.
    complete: Vec<Series>,
    bytes: usize,
}

impl Joiner {
    /// Takes the next series.
    pub(super) fn push(&mut self, series: Series) {
        match &mut self.open {
            Some(open) if open.labels == series.labels => {
                // Replicas of a block have the same chunks, and nothing is to be done for them.
                if open.chunks != series.chunks {
                    self.is_joined = true;
                    open.chunks.extend(series.chunks);
                }
            }
            _ => {
                self.finish();
                self.open = Some(series);
            }
        }
    }

    /// No series is to follow that the last belongs to.
    pub(super) fn finish(&mut self) {
        let Some(mut series) = self.open.take() else {
            return;
        };
        if std::mem::take(&mut self.is_joined) {
            // Each input's chunks are in order, which this kind of sort makes use of.
            series.chunks.sort_by(compare);
            series.chunks.dedup();
        }
        self.bytes += series.chunks.iter().map(|c| c.data.bytes()).sum::<usize>();
        self.complete.push(series);
    }

    pub(super) fn is_full(&self) -> bool {
        self.complete.len() >= FRAME_SERIES || self.bytes >= FRAME_BYTES
    }

    /// A frame of the series that are complete.
    pub(super) fn take(&mut self) -> Option<Frame> {
        if self.complete.is_empty() {
            return None;
        }
        self.bytes = 0;
        Some(Frame::Series(std::mem::take(&mut self.complete)))
    }
}

/// By time, and then by content, so that equal chunks lie together and the order is always the same.
fn compare(a: &SeriesChunk, b: &SeriesChunk) -> Ordering {
    let times = (a.min_time, a.max_time).cmp(&(b.min_time, b.max_time));
    times.then_with(|| parts(&a.data).cmp(parts(&b.data)))
}

/// The encoded chunks of a chunk, where one is missing nothing.
fn parts(data: &ChunkData) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    const NONE: &Aggregates = &Aggregates {
        count: None,
        sum: None,
        min: None,
        max: None,
        counter: None,
    };
    let (raw, a) = match data {
        ChunkData::Raw(chunk) => (Some(chunk), NONE),
        ChunkData::Aggregates(a) => (None, &**a),
    };
    let all = [
        raw,
        a.count.as_ref(),
        a.sum.as_ref(),
        a.min.as_ref(),
        a.max.as_ref(),
        a.counter.as_ref(),
    ];
    all.map(|chunk| chunk.map(|c| (c.encoding.as_byte(), &c.data[..])))
        .into_iter()
}
