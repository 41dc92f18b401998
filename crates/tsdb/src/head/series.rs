//! One series of the head: how samples are cut into chunks.
//!
//! The rules are Prometheus', so that the chunks of a replay are those that Prometheus would have:
//! a float chunk aims at 120 samples spread evenly over the rest of its chunk range, a histogram
//! chunk at 1024 bytes and ten samples or more.

use model::sample::is_stale;
use model::{FloatHistogram, Histogram, Sample, TimeRange, Value};

use super::SAMPLES_PER_CHUNK;
use super::chunk_files::{ChunkFiles, MappedChunk};
use super::out_of_order::OutOfOrder;
use crate::chunk::histogram::{Counts, Encoder, FloatEncoder, GenericEncoder};
use crate::chunk::{Chunk, Encoding, TimedChunk, xor};
use crate::error::Result;

/// A float chunk of more bytes takes no further sample: with the largest one it might pass 1 KiB.
const FLOAT_BYTES_MAX: usize = 1024 - 19;
/// Bytes that a histogram chunk aims at.
const HISTOGRAM_BYTES: usize = 1024;
/// A histogram chunk has at least so many samples, unless its chunk range ends.
const HISTOGRAM_SAMPLES_MIN: u16 = 10;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
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

/// What cutting chunks depends on, apart from the series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutting<'a> {
    /// Chunks are cut at multiples of this, in milliseconds.
    pub(super) chunk_range: i64,
    /// Where completed chunks are.
    pub(super) files: &'a ChunkFiles,
}

/// The samples of one series.
#[derive(Debug, Clone)]
pub(super) struct HeadSeries {
    open: Open,
    open_min: i64,
    /// Time of the newest sample in order; `i64::MIN` before the first.
    max_time: i64,
    /// The open chunk takes no sample from this time on.
    next_at: i64,
    /// True when `next_at` was predicted from the size of an open histogram chunk.
    is_end_predicted: bool,
    /// Completed chunks in head chunk files, in order of time.
    mapped: Vec<MappedChunk>,
    /// Completed chunks that are in no file yet.
    full: Vec<TimedChunk>,
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
            mapped: Vec::new(),
            full: Vec::new(),
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
    pub(super) fn is_empty(&self) -> bool {
        self.mapped.is_empty()
            && self.full.is_empty()
            && self.open.encoding().is_none()
            && self.out_of_order.is_none()
    }

    /// Time of the newest sample in order; `i64::MIN` before the first.
    pub(super) const fn max_time(&self) -> i64 {
        self.max_time
    }

    /// The first and the last time in order.
    pub(super) fn in_order_span(&self) -> Option<(i64, i64)> {
        let open = (self.open.encoding().is_some()).then_some((self.open_min, self.max_time));
        let mapped = self.mapped.iter().map(|c| (c.min_time, c.max_time));
        let full = self.full.iter().map(|c| (c.min_time, c.max_time));
        mapped.chain(full).chain(open).reduce(widen)
    }

    /// The first and the last time of what came out of order.
    pub(super) fn out_of_order_span(&self) -> Option<(i64, i64)> {
        self.out_of_order.as_ref()?.time_span()
    }

    /// The range of time from the first sample to the last.
    pub(super) fn time_range(&self) -> Option<TimeRange> {
        (self.in_order_span().into_iter())
            .chain(self.out_of_order_span())
            .reduce(widen)
            .map(|(min, max)| TimeRange::closed(min, max))
    }

    /// Adds chunks that are in head chunk files. Samples that are not newer than theirs are refused
    /// from here on.
    pub(super) fn add_mapped(&mut self, chunks: Vec<MappedChunk>) {
        if chunks.is_empty() {
            return;
        }
        self.close();
        self.mapped.extend(chunks);
        self.mapped.sort_by_key(|c| (c.min_time, c.max_time));
        let max_time = self.mapped.iter().map(|c| c.max_time).max();
        self.max_time = self.max_time.max(max_time.unwrap_or(i64::MIN));
    }

    /// What came out of order.
    pub(super) fn out_of_order(&mut self) -> &mut OutOfOrder {
        self.out_of_order.get_or_insert_default()
    }

    /// The newest sample in order, unless there is none.
    ///
    /// # Errors
    /// When its chunk cannot be read.
    pub(super) fn newest(&self, files: &ChunkFiles) -> Result<Option<Sample>> {
        if let Open::Float(encoder) = &self.open {
            return Ok(encoder.last().map(|(t, v)| Sample {
                t,
                value: Value::Float(v),
            }));
        }
        let chunk = match self.open.chunk() {
            Some(open) => Some(open),
            None => self.newest_completed(files)?.map(|c| c.chunk),
        };
        let last = chunk.and_then(|chunk| chunk.samples().last().and_then(|s| s.ok()));
        Ok(last)
    }

    /// The completed chunk with the newest samples.
    fn newest_completed(&self, files: &ChunkFiles) -> Result<Option<TimedChunk>> {
        match (self.mapped.last(), self.full.last()) {
            (Some(mapped), full) if full.is_none_or(|f| f.max_time < mapped.max_time) => {
                files.read(mapped).map(Some)
            }
            (_, full) => Ok(full.cloned()),
        }
    }

    /// The last float of an open chunk of floats.
    #[inline]
    pub(super) fn last_float(&self) -> Option<f64> {
        match &self.open {
            Open::Float(encoder) => encoder.last().map(|(_, value)| value),
            _ => None,
        }
    }

    /// Appends a float. A stale marker after a histogram becomes a stale histogram.
    #[inline]
    pub(super) fn append_float(&mut self, t: i64, v: f64, cutting: Cutting<'_>) -> Appended {
        if t <= self.max_time {
            return Appended::NotNewer;
        }
        if is_stale(v)
            && let Some(stale) = self.stale_histogram(v)
        {
            return match stale {
                Value::Float(_) => Appended::Invalid,
                Value::Histogram(h) => self.append_histogram(t, &h, cutting),
                Value::FloatHistogram(h) => self.append_float_histogram(t, &h, cutting),
            };
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
        self.start(t, Open::Float(encoder), cutting.chunk_range);
        Appended::InOrder
    }

    /// The histogram that a stale marker becomes, when the newest sample is one.
    pub(super) fn stale_histogram(&self, marker: f64) -> Option<Value> {
        match self.newest_encoding()? {
            Encoding::Histogram => Some(Value::Histogram(Box::new(Histogram {
                sum: marker,
                ..Histogram::default()
            }))),
            Encoding::FloatHistogram => Some(Value::FloatHistogram(Box::new(FloatHistogram {
                sum: marker,
                ..FloatHistogram::default()
            }))),
            _ => None,
        }
    }

    /// Appends a histogram.
    pub(super) fn append_histogram(
        &mut self,
        t: i64,
        h: &Histogram,
        cutting: Cutting<'_>,
    ) -> Appended {
        self.append_counts(
            (t, h),
            cutting,
            |open| match open {
                Open::Histogram(encoder) => Some(encoder),
                _ => None,
            },
            Open::Histogram,
        )
    }

    /// Appends a float histogram.
    pub(super) fn append_float_histogram(
        &mut self,
        t: i64,
        h: &FloatHistogram,
        cutting: Cutting<'_>,
    ) -> Appended {
        self.append_counts(
            (t, h),
            cutting,
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
        Cutting { chunk_range, files }: Cutting<'_>,
        of: impl Fn(&mut Open) -> Option<&mut Box<GenericEncoder<C>>>,
        into: impl Fn(Box<GenericEncoder<C>>) -> Open,
    ) -> Appended {
        if t <= self.max_time {
            return Appended::NotNewer;
        }
        let Some(encoder) = of(&mut self.open) else {
            let (mut encoder, is_end_predicted) = match self.open.encoding() {
                Some(_) => Default::default(),
                None => self.after_newest::<C>(t, Cutting { chunk_range, files }),
            };
            if encoder.append(t, histogram).is_err() {
                return Appended::Invalid;
            }
            self.close();
            self.start(t, into(encoder), chunk_range);
            self.is_end_predicted = is_end_predicted;
            return Appended::InOrder;
        };
        let (count, bytes) = (encoder.count(), encoder.byte_len());
        let is_full = self.is_full(t, count, bytes, chunk_range);
        let encoder = of(&mut self.open).expect("it was there");
        if is_full {
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

    /// An encoder for the chunk after the newest one, which is completed: its header says whether a
    /// counter reset lies between. Also whether the end of that chunk counts as predicted.
    ///
    /// That depends on the chunk before, when it did not end because it was full. So its samples
    /// are appended once more, to find out; where that does not lead to the same chunk, its own end
    /// was not predicted because the chunk before it had been.
    fn after_newest<C: Counts>(
        &self,
        t: i64,
        cutting: Cutting<'_>,
    ) -> (Box<GenericEncoder<C>>, bool) {
        let newest = self.newest_completed(cutting.files).ok().flatten();
        let newest = newest.filter(|c| c.chunk.encoding == C::ENCODING);
        let Some(chunk) = newest.map(|c| c.chunk) else {
            return Default::default();
        };
        let Ok(mut encoder) = GenericEncoder::<C>::resume(&chunk.data) else {
            return Default::default();
        };
        let again = [false, true].into_iter().find_map(|is_end_predicted| {
            let mut again = Self::default();
            for sample in chunk.samples() {
                let Sample { t, value } = sample.ok()?;
                match value {
                    Value::Float(_) => return None,
                    Value::Histogram(h) => again.append_histogram(t, &h, cutting),
                    Value::FloatHistogram(h) => again.append_float_histogram(t, &h, cutting),
                };
                again.is_end_predicted |= is_end_predicted;
            }
            again.full.is_empty().then_some(again)
        });
        let (count, bytes) = (encoder.count(), encoder.byte_len());
        let is_end_predicted = again.is_some_and(|mut again| {
            !again.is_full(t, count, bytes, cutting.chunk_range) && again.is_end_predicted
        });
        encoder.cut();
        (Box::new(encoder), is_end_predicted)
    }

    /// True when an open histogram chunk of so many samples and bytes takes no sample at `t`.
    fn is_full(&mut self, t: i64, count: u16, bytes: usize, chunk_range: i64) -> bool {
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
        is_full && (count >= HISTOGRAM_SAMPLES_MIN || t >= range_end_at)
    }

    /// The encoding of the chunk that holds the newest sample in order.
    fn newest_encoding(&self) -> Option<Encoding> {
        let mapped = self.mapped.last().map(|c| (c.max_time, c.encoding));
        let full = self.full.last().map(|c| (c.max_time, c.chunk.encoding));
        let completed = || mapped.into_iter().chain(full).max_by_key(|(t, _)| *t);
        self.open.encoding().or_else(|| completed().map(|(_, e)| e))
    }

    fn start(&mut self, t: i64, open: Open, chunk_range: i64) {
        self.open = open;
        self.open_min = t;
        self.max_time = t;
        self.next_at = range_end(t, chunk_range);
        self.is_end_predicted = false;
    }

    /// Completes the open chunk.
    pub(super) fn close(&mut self) {
        if let Some(chunk) = std::mem::take(&mut self.open).chunk() {
            self.complete(chunk);
        }
    }

    fn complete(&mut self, chunk: Chunk) {
        self.full.push(TimedChunk {
            min_time: self.open_min,
            max_time: self.max_time,
            chunk,
        });
    }

    /// True when there are completed chunks in order that are in no file yet.
    pub(super) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Completed chunks in order that are in no file yet.
    pub(super) fn full(&self) -> &[TimedChunk] {
        &self.full
    }

    /// Says where a completed chunk has been written; nothing changes when the series has it no
    /// longer.
    pub(super) fn written(&mut self, mapped: MappedChunk) {
        let times = |full: &TimedChunk| (full.min_time, full.max_time);
        let is_meant = |full: &TimedChunk| times(full) == (mapped.min_time, mapped.max_time);
        let Some(place) = self.full.iter().position(is_meant) else {
            return;
        };
        self.full.remove(place);
        if self.full.is_empty() {
            self.full = Vec::new();
        }
        let is_last = (self.mapped.last()).is_none_or(|m| m.max_time < mapped.min_time);
        self.mapped.push(mapped);
        if !is_last {
            self.mapped.sort_by_key(|c| (c.min_time, c.max_time));
        }
    }

    /// The least number of a head chunk file that the series has a chunk in.
    pub(super) fn first_file(&self) -> Option<u32> {
        let out_of_order = self.out_of_order.iter().filter_map(|o| o.first_file());
        let mapped = self.mapped.iter().map(MappedChunk::file);
        mapped.chain(out_of_order).min()
    }

    /// Drops chunks in order that end before `time`.
    pub(super) fn drop_before(&mut self, time: i64) {
        self.mapped.retain(|c| c.max_time >= time);
        self.full.retain(|c| c.max_time >= time);
        if self.open.encoding().is_some() && self.max_time < time {
            self.open = Open::None;
        }
    }

    /// True when something came out of order.
    pub(super) const fn has_out_of_order(&self) -> bool {
        self.out_of_order.is_some()
    }

    /// True when something came out of order and fills chunks that are in no file.
    pub(super) fn has_full_out_of_order(&self) -> bool {
        self.out_of_order.as_ref().is_some_and(|o| o.has_full())
    }

    /// Number of chunks, open ones included.
    pub(super) fn chunk_count(&self) -> usize {
        let out_of_order = self.out_of_order.as_ref().map_or(0, |o| o.chunk_count());
        let open = usize::from(self.open.encoding().is_some());
        self.mapped.len() + self.full.len() + open + out_of_order
    }

    /// Drops what came out of order in chunks in files, up to the one of reference `until`.
    pub(super) fn drop_out_of_order(&mut self, until: u64) {
        if let Some(out_of_order) = &mut self.out_of_order {
            out_of_order.drop_until(until);
            if out_of_order.is_empty() {
                self.out_of_order = None;
            }
        }
    }

    /// True when some chunk overlaps `range`.
    pub(super) fn has_chunks(&self, range: TimeRange) -> bool {
        let overlaps = |min: i64, max: i64| min < range.max && max >= range.min;
        (self.open.encoding().is_some() && overlaps(self.open_min, self.max_time))
            || self.mapped.iter().any(|c| overlaps(c.min_time, c.max_time))
            || self.full.iter().any(|c| overlaps(c.min_time, c.max_time))
            || self
                .out_of_order
                .as_ref()
                .is_some_and(|o| o.overlaps(range))
    }

    /// The chunks in order that overlap `range`, by time.
    ///
    /// # Errors
    /// When a chunk cannot be read from its file.
    pub(super) fn in_order_chunks(
        &self,
        range: TimeRange,
        files: &ChunkFiles,
    ) -> Result<Vec<TimedChunk>> {
        let overlaps = |min: i64, max: i64| min < range.max && max >= range.min;
        let mapped = self
            .mapped
            .iter()
            .filter(|c| overlaps(c.min_time, c.max_time));
        let mut found = mapped.map(|c| files.read(c)).collect::<Result<Vec<_>>>()?;
        let full = self
            .full
            .iter()
            .filter(|c| overlaps(c.min_time, c.max_time));
        found.extend(full.cloned());
        if overlaps(self.open_min, self.max_time)
            && let Some(chunk) = self.open.chunk()
        {
            found.push(TimedChunk {
                min_time: self.open_min,
                max_time: self.max_time,
                chunk,
            });
        }
        Ok(found)
    }

    /// Those of the chunks of what came out of order that overlap `range` and are in files, up to
    /// the chunk of reference `until`, in no order.
    ///
    /// # Errors
    /// When a chunk cannot be read from its file.
    pub(super) fn out_of_order_until(
        &self,
        until: u64,
        range: TimeRange,
        files: &ChunkFiles,
    ) -> Result<Vec<TimedChunk>> {
        self.out_of_order
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |o| o.chunks_until(until, range, files))
    }

    /// The chunks of what came out of order that overlap `range`, in no order.
    ///
    /// # Errors
    /// When a chunk cannot be read from its file.
    pub(super) fn out_of_order_chunks(
        &self,
        range: TimeRange,
        files: &ChunkFiles,
    ) -> Result<Vec<TimedChunk>> {
        self.out_of_order
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |o| o.chunks(range, files))
    }

    /// All chunks that overlap `range`, in order of their first times.
    ///
    /// # Errors
    /// When a chunk cannot be read from its file.
    pub(super) fn chunks(&self, range: TimeRange, files: &ChunkFiles) -> Result<Vec<TimedChunk>> {
        let mut found = self.in_order_chunks(range, files)?;
        found.extend(self.out_of_order_chunks(range, files)?);
        found.sort_by_key(|c| c.min_time);
        Ok(found)
    }
}

/// The span of two spans.
fn widen(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.min(b.0), a.1.max(b.1))
}

#[cfg(test)]
mod tests;
