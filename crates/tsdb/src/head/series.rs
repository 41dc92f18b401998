//! One series of the head: how samples are cut into chunks.
//!
//! The rules are Prometheus', so that the chunks of a replay are those that Prometheus would have:
//! a float chunk aims at 120 samples spread evenly over the rest of its chunk range, a histogram
//! chunk at 1024 bytes and ten samples or more.

use model::sample::is_stale;
use model::{FloatHistogram, Histogram, Sample, TimeRange, Value};

use super::SAMPLES_PER_CHUNK;
use super::out_of_order::OutOfOrder;
use crate::chunk::histogram::{Counts, Encoder, FloatEncoder, GenericEncoder};
use crate::chunk::{Chunk, Encoding, TimedChunk, xor};

/// A float chunk of more bytes takes no further sample: with the largest one it might pass 1 KiB.
const FLOAT_BYTES_MAX: usize = 1024 - 19;
/// Bytes that a histogram chunk aims at.
const HISTOGRAM_BYTES: usize = 1024;
/// A histogram chunk has at least so many samples, unless its chunk range ends.
const HISTOGRAM_SAMPLES_MIN: u16 = 10;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is the newest of its series.
    InOrder,
    /// It is not newer than what the series has; nothing was done.
    NotNewer,
    /// Its histogram contradicts itself; nothing was done.
    Invalid,
}

#[derive(Debug, Clone, Default)]
enum Open {
    #[default]
    None,
    Float(xor::Encoder),
    Histogram(Box<Encoder>),
    FloatHistogram(Box<FloatEncoder>),
}

impl Open {
    fn chunk(&self) -> Option<Chunk> {
        match self {
            Self::None => None,
            Self::Float(encoder) => Some(encoder.chunk()),
            Self::Histogram(encoder) => Some(encoder.chunk()),
            Self::FloatHistogram(encoder) => Some(encoder.chunk()),
        }
    }

    fn encoding(&self) -> Option<Encoding> {
        match self {
            Self::None => None,
            Self::Float(_) => Some(Encoding::Xor),
            Self::Histogram(_) => Some(Encoding::Histogram),
            Self::FloatHistogram(_) => Some(Encoding::FloatHistogram),
        }
    }
}

/// The samples of one series.
#[derive(Debug, Clone)]
pub struct HeadSeries {
    open: Open,
    open_min: i64,
    /// Time of the newest sample in order; `i64::MIN` before the first.
    max_time: i64,
    /// The open chunk takes no sample from this time on.
    next_at: i64,
    /// True when `next_at` was predicted from the size of an open histogram chunk.
    is_end_predicted: bool,
    completed: Vec<TimedChunk>,
    out_of_order: Option<Box<OutOfOrder>>,
}

impl Default for HeadSeries {
    fn default() -> Self {
        Self {
            open: Open::None,
            open_min: 0,
            max_time: i64::MIN,
            next_at: 0,
            is_end_predicted: false,
            completed: Vec::new(),
            out_of_order: None,
        }
    }
}

/// The end of the chunk range that `t` is in.
fn range_end(t: i64, chunk_range: i64) -> i64 {
    (t / chunk_range)
        .saturating_mul(chunk_range)
        .saturating_add(chunk_range)
}

/// When a chunk should end that is `1/ratio_to_full` full after the time from `start` to `current`,
/// so that chunks up to `max` are of equal length.
fn chunk_end(start: i64, current: i64, max: i64, ratio_to_full: f64) -> i64 {
    let length = max.saturating_sub(start) as f64;
    let chunks = length / (current.saturating_sub(start).saturating_add(1) as f64 * ratio_to_full);
    if chunks <= 1.0 {
        return max;
    }
    (start as f64 + length / chunks.floor()) as i64
}

impl HeadSeries {
    /// True when there is not a single sample.
    pub fn is_empty(&self) -> bool {
        self.completed.is_empty() && self.open.encoding().is_none() && self.out_of_order.is_none()
    }

    /// The range of time from the first sample to the last.
    pub fn time_range(&self) -> Option<TimeRange> {
        let open = (self.open.encoding().is_some()).then_some((self.open_min, self.max_time));
        let completed = self.completed.iter().map(|c| (c.min_time, c.max_time));
        let out_of_order = self.out_of_order.iter().filter_map(|o| o.time_span());
        open.into_iter()
            .chain(completed)
            .chain(out_of_order)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .map(|(min, max)| TimeRange::closed(min, max))
    }

    /// Adds chunks that were completed and written to disk. Samples that are not newer than theirs
    /// are refused from here on.
    pub fn add_completed(&mut self, chunks: Vec<TimedChunk>) {
        if chunks.is_empty() {
            return;
        }
        self.close();
        self.completed.extend(chunks);
        self.completed.sort_by_key(|c| (c.min_time, c.max_time));
        let max_time = self.completed.iter().map(|c| c.max_time).max();
        self.max_time = self.max_time.max(max_time.unwrap_or(i64::MIN));
    }

    /// What came out of order.
    pub fn out_of_order(&mut self) -> &mut OutOfOrder {
        self.out_of_order.get_or_insert_default()
    }

    /// Appends a float. A stale marker after a histogram becomes a stale histogram.
    pub fn append_float(&mut self, t: i64, v: f64, chunk_range: i64) -> Appended {
        if t <= self.max_time {
            return Appended::NotNewer;
        }
        if is_stale(v) {
            match self.newest_encoding() {
                Some(Encoding::Histogram) => {
                    let stale = Histogram {
                        sum: v,
                        ..Histogram::default()
                    };
                    return self.append_histogram(t, &stale, chunk_range);
                }
                Some(Encoding::FloatHistogram) => {
                    let stale = FloatHistogram {
                        sum: v,
                        ..FloatHistogram::default()
                    };
                    return self.append_float_histogram(t, &stale, chunk_range);
                }
                _ => {}
            }
        }
        if let Open::Float(encoder) = &mut self.open
            && encoder.byte_len() <= FLOAT_BYTES_MAX
        {
            let count = encoder.count();
            if count == SAMPLES_PER_CHUNK / 4 {
                self.next_at = chunk_end(self.open_min, self.max_time, self.next_at, 4.0);
            }
            if t < self.next_at && count < 2 * SAMPLES_PER_CHUNK {
                encoder.append(t, v);
                self.max_time = t;
                return Appended::InOrder;
            }
        }
        self.close();
        let mut encoder = xor::Encoder::new();
        encoder.append(t, v);
        self.start(t, Open::Float(encoder), chunk_range);
        Appended::InOrder
    }

    /// Appends a histogram.
    pub fn append_histogram(&mut self, t: i64, h: &Histogram, chunk_range: i64) -> Appended {
        self.append_counts(
            (t, h),
            chunk_range,
            |open| match open {
                Open::Histogram(encoder) => Some(encoder),
                _ => None,
            },
            Open::Histogram,
        )
    }

    /// Appends a float histogram.
    pub fn append_float_histogram(
        &mut self,
        t: i64,
        h: &FloatHistogram,
        chunk_range: i64,
    ) -> Appended {
        self.append_counts(
            (t, h),
            chunk_range,
            |open| match open {
                Open::FloatHistogram(encoder) => Some(encoder),
                _ => None,
            },
            Open::FloatHistogram,
        )
    }

    fn append_counts<C: Counts>(
        &mut self,
        (t, histogram): (i64, &C::Histogram),
        chunk_range: i64,
        of: impl Fn(&mut Open) -> Option<&mut Box<GenericEncoder<C>>>,
        into: impl Fn(Box<GenericEncoder<C>>) -> Open,
    ) -> Appended {
        if t <= self.max_time {
            return Appended::NotNewer;
        }
        if self.open.encoding().is_none() {
            self.reopen(chunk_range, &into);
        }
        let Some(encoder) = of(&mut self.open) else {
            let mut encoder = Box::<GenericEncoder<C>>::default();
            if encoder.append(t, histogram).is_err() {
                return Appended::Invalid;
            }
            self.close();
            self.start(t, into(encoder), chunk_range);
            return Appended::InOrder;
        };
        let (count, bytes) = (encoder.count(), encoder.byte_len());
        let range_end_at = if self.is_end_predicted {
            range_end(self.open_min, chunk_range)
        } else {
            self.next_at
        };
        if !self.is_end_predicted && bytes >= HISTOGRAM_BYTES / 4 {
            let ratio = HISTOGRAM_BYTES as f64 / bytes as f64;
            self.next_at = chunk_end(self.open_min, self.max_time, self.next_at, ratio);
            self.is_end_predicted = true;
        }
        let is_full = t >= self.next_at || bytes >= 2 * HISTOGRAM_BYTES;
        if is_full && (count >= HISTOGRAM_SAMPLES_MIN || t >= range_end_at) {
            // The encoder goes on, so that the next chunk's header can tell of a counter reset.
            let full = encoder.cut();
            let appended = encoder.append(t, histogram);
            self.complete(full);
            self.open_min = t;
            self.next_at = range_end(t, chunk_range);
            self.is_end_predicted = false;
            if appended.is_err() {
                self.open = Open::None;
                return Appended::Invalid;
            }
        } else {
            match encoder.append(t, histogram) {
                Ok(None) => {}
                Ok(Some(finished)) => {
                    self.complete(finished);
                    self.open_min = t;
                    self.next_at = range_end(t, chunk_range);
                }
                Err(_) => return Appended::Invalid,
            }
        }
        self.max_time = t;
        Appended::InOrder
    }

    /// Opens the last completed chunk again, when it came from disk and is one of `C`.
    ///
    /// Whether a histogram starts a chunk depends on the chunk before it, down to when that one was
    /// expected to end. So its samples are appended once more, to find out; where that does not
    /// lead to the same chunk, its end was not predicted because the chunk before it had been.
    fn reopen<C: Counts>(
        &mut self,
        chunk_range: i64,
        into: &impl Fn(Box<GenericEncoder<C>>) -> Open,
    ) {
        let Some(last) = self.completed.last() else {
            return;
        };
        if last.chunk.encoding != C::ENCODING {
            return;
        }
        let Ok(encoder) = GenericEncoder::<C>::resume(&last.chunk.data) else {
            return;
        };
        let again = [false, true].into_iter().find_map(|is_end_predicted| {
            let mut again = Self::default();
            for sample in last.chunk.samples() {
                let Sample { t, value } = sample.ok()?;
                match value {
                    Value::Float(_) => return None,
                    Value::Histogram(h) => again.append_histogram(t, &h, chunk_range),
                    Value::FloatHistogram(h) => again.append_float_histogram(t, &h, chunk_range),
                };
                again.is_end_predicted |= is_end_predicted;
            }
            again.completed.is_empty().then_some(again)
        });
        if let Some(again) = again {
            self.completed.pop();
            self.open = into(Box::new(encoder));
            self.open_min = again.open_min;
            self.next_at = again.next_at;
            self.is_end_predicted = again.is_end_predicted;
        }
    }

    /// The encoding of the chunk that holds the newest sample in order.
    fn newest_encoding(&self) -> Option<Encoding> {
        let completed = || self.completed.last().map(|c| c.chunk.encoding);
        self.open.encoding().or_else(completed)
    }

    fn start(&mut self, t: i64, open: Open, chunk_range: i64) {
        self.open = open;
        self.open_min = t;
        self.max_time = t;
        self.next_at = range_end(t, chunk_range);
        self.is_end_predicted = false;
    }

    /// Completes the open chunk.
    fn close(&mut self) {
        if let Some(chunk) = std::mem::take(&mut self.open).chunk() {
            self.complete(chunk);
        }
    }

    fn complete(&mut self, chunk: Chunk) {
        self.completed.push(TimedChunk {
            min_time: self.open_min,
            max_time: self.max_time,
            chunk,
        });
    }

    /// True when some chunk overlaps `range`.
    pub fn has_chunks(&self, range: TimeRange) -> bool {
        let overlaps = |min: i64, max: i64| min < range.max && max >= range.min;
        overlaps(self.open_min, self.max_time)
            || self
                .completed
                .iter()
                .any(|c| overlaps(c.min_time, c.max_time))
            || self
                .out_of_order
                .as_ref()
                .is_some_and(|o| o.chunks().any(|c| overlaps(c.min_time, c.max_time)))
    }

    /// All chunks that overlap `range`, in order of their first times.
    pub fn chunks(&self, range: TimeRange) -> Vec<TimedChunk> {
        let overlaps = |c: &TimedChunk| c.min_time < range.max && c.max_time >= range.min;
        let mut found: Vec<_> = self
            .completed
            .iter()
            .filter(|c| overlaps(c))
            .cloned()
            .collect();
        if self.open_min < range.max && self.max_time >= range.min {
            found.extend(self.open.chunk().map(|chunk| TimedChunk {
                min_time: self.open_min,
                max_time: self.max_time,
                chunk,
            }));
        }
        if let Some(out_of_order) = &self.out_of_order {
            found.extend(out_of_order.chunks().filter(overlaps));
        }
        found.sort_by_key(|c| c.min_time);
        found
    }
}

#[cfg(test)]
mod tests;
