//! From the chunks of one series to columns of samples.
//!
//! Chunks that overlap in time are put into lanes without overlap; each lane is what one replica, or
//! one copy, has to say. A single lane, the usual case, is decoded straight into the columns.
//!
//! Chunks of different resolutions are no copies: a window's aggregate stands beside the samples that
//! it is made of, and a downsampled counter has no resets where the raw one has. Without replicas
//! they are read one after the other, each from where the one before ended; samples as they were that
//! overlap each other, as those that came late do, are one among them ([`Piece`]).

use std::sync::Arc;

use model::{ErrorKind, Sample, TimeRange, Value};
use promql::columns::Samples;
use promql::source::SourceError;
use storeapi::{Aggregate, Aggregates, ChunkData, SeriesChunk};
use tsdb::chunk::aggregate::CounterResets;
use tsdb::chunk::xor;
use tsdb::{Chunk, Corruption, Encoding};

use crate::dedup::Dedup;

/// What of downsampled data stands for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Sum by count.
    Average,
    /// Number of samples.
    Count,
    /// Sum of samples.
    Sum,
    /// Least sample.
    Min,
    /// Greatest sample.
    Max,
    /// The counter, without resets.
    Counter,
}

impl Wanted {
    /// What the function or aggregation around a selector looks at, as Thanos decides it.
    pub fn of_function(name: &str) -> Self {
        let starts = |prefix: &str| {
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        if starts("min") {
            return Self::Min;
        }
        if starts("max") {
            return Self::Max;
        }
        if starts("count") {
            return Self::Count;
        }
        if name.starts_with("sum_") {
            return Self::Sum;
        }
        match name {
            "rate" | "increase" | "irate" | "resets" | "xrate" | "xincrease" => Self::Counter,
            _ => Self::Average,
        }
    }

    /// The aggregates to ask a store for.
    pub const fn aggregates(self) -> &'static [Aggregate] {
        match self {
            Self::Average => &[Aggregate::Count, Aggregate::Sum],
            Self::Count => &[Aggregate::Count],
            Self::Sum => &[Aggregate::Sum],
            Self::Min => &[Aggregate::Min],
            Self::Max => &[Aggregate::Max],
            Self::Counter => &[Aggregate::Counter],
        }
    }
}

/// Number of floats in a chunk of samples as they were, as it says itself.
fn float_count(data: &ChunkData) -> usize {
    match data {
        ChunkData::Raw(chunk) if chunk.encoding == Encoding::Xor => {
            xor::count(&chunk.data).map_or(0, usize::from)
        }
        _ => 0,
    }
}

/// How chunks become samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What of downsampled data is looked at.
    pub wanted: Wanted,
    /// How lanes become one.
    pub dedup: Dedup,
    /// Values of lanes are to be continued across resets where lanes are joined.
    pub is_counter: bool,
}

impl Reading {
    /// Appends the samples of `chunks`, in order of (`min_time`, `max_time`), to `out`. Samples
    /// outside `range` may come too.
    ///
    /// # Errors
    /// When a chunk is damaged, or lacks what is wanted.
    pub fn read(
        &self,
        chunks: &[SeriesChunk],
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        let is_raw = chunks.iter().all(is_raw);
        // What is read after downsampled chunks goes on without resets, whose form demands it.
        let without_resets = self.wanted == Wanted::Counter && !is_raw;
        if chunks.windows(2).all(|w| w[0].max_time < w[1].min_time) {
            return self.read_lane(chunks.iter().map(Piece::One), without_resets, out);
        }
        if self.dedup == Dedup::Chain && !is_raw {
            let all = clusters(chunks);
            return self.read_lane(all.iter().map(Piece::of), without_resets, out);
        }
        let is_counter = match self.dedup {
            // Lanes that begin at different times would differ by the resets between those.
            Dedup::Chain => false,
            // A raw lane must be what a downsampled one is.
            Dedup::Penalty => self.is_counter || without_resets,
        };
        let mut samples = Vec::new();
        for lane in lanes(chunks.iter()) {
            let mut of_lane = Samples::default();
            self.read_lane(lane.into_iter().map(Piece::One), is_counter, &mut of_lane)?;
            bound(&mut of_lane, range);
            samples.push(of_lane);
        }
        self.dedup.merge(&samples, is_counter, out);
        Ok(())
    }

    /// Appends the samples of pieces one after the other, of each what is after those before it; resets
    /// of counters are taken out when told so.
    fn read_lane<'a>(
        &self,
        pieces: impl Iterator<Item = Piece<'a>> + Clone,
        without_resets: bool,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        if without_resets {
            return self.read_counter(pieces, out);
        }
        out.reserve_floats(pieces.clone().map(Piece::float_count).sum());
        for piece in pieces {
            let begin = (out.ts.len(), out.hist_ts.len());
            self.decode_piece(piece, out)?;
            drop_overlap(begin, out);
        }
        Ok(())
    }

    /// Appends a counter with its resets taken out.
    fn read_counter<'a>(
        &self,
        pieces: impl Iterator<Item = Piece<'a>>,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        let mut resets = CounterResets::new();
        let mut last = i64::MIN;
        // What is taken up where other samples ended may be behind them; it does not go back, nor does
        // what follows it before it has caught up.
        let mut least = f64::NEG_INFINITY;
        let begin = out.ts.len();
        let mut of_piece = Samples::default();
        for piece in pieces {
            of_piece.clear();
            self.decode_piece(piece, &mut of_piece)?;
            // Within a chunk the last time may be repeated, and that means something; between chunks it
            // is an overlap.
            let before = last;
            let read = (&out.ts[begin..], &out.values[begin..]);
            if let Some((total, skipped)) = overlap(&of_piece, before, read) {
                resets.resume(total, skipped);
                least = read.1[read.1.len() - 1];
            }
            for (&t, &v) in of_piece.ts.iter().zip(&of_piece.values) {
                if t > before
                    && let Some((t, v)) = resets.push(t, v)
                {
                    out.push_float(t, v.max(least), 0);
                    last = t;
                }
            }
            for (&t, h) in of_piece.hist_ts.iter().zip(&of_piece.hists) {
                if t > before && out.hist_ts.last().is_none_or(|last| t > *last) {
                    out.push_hist(t, Arc::clone(h), 0);
                    last = last.max(t);
                }
            }
        }
        Ok(())
    }

    /// Appends the samples of a piece.
    fn decode_piece(&self, piece: Piece<'_>, out: &mut Samples) -> Result<(), SourceError> {
        let overlapping = match piece {
            Piece::One(chunk) => {
                return match &chunk.data {
                    ChunkData::Raw(chunk) => decode(chunk, out),
                    ChunkData::Aggregates(found) => self.decode_aggregates(found, out),
                };
            }
            Piece::Overlapping(chunks) => chunks,
        };
        let mut samples = Vec::new();
        for lane in lanes(overlapping.iter().copied()) {
            let mut of_lane = Samples::default();
            self.read_lane(lane.into_iter().map(Piece::One), false, &mut of_lane)?;
            samples.push(of_lane);
        }
        Dedup::Chain.merge(&samples, false, out);
        Ok(())
    }

    fn decode_aggregates(&self, found: &Aggregates, out: &mut Samples) -> Result<(), SourceError> {
        let chunk = match self.wanted {
            Wanted::Average => {
                let (Some(sum), Some(count)) = (&found.sum, &found.count) else {
                    return Err(no_aggregate());
                };
                return decode_average(sum, count, out);
            }
            Wanted::Count => &found.count,
            Wanted::Sum => &found.sum,
            Wanted::Min => &found.min,
            Wanted::Max => &found.max,
            Wanted::Counter => &found.counter,
        };
        decode(chunk.as_ref().ok_or_else(no_aggregate)?, out)
    }
}

/// What is read as a whole.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    One(&'a SeriesChunk),
    /// Samples as they were whose chunks overlap: all of them are wanted.
    Overlapping(&'a [&'a SeriesChunk]),
}

impl<'a> Piece<'a> {
    fn of(cluster: &'a Vec<&'a SeriesChunk>) -> Self {
        match cluster.as_slice() {
            [only] => Self::One(only),
            chunks => Self::Overlapping(chunks),
        }
    }

    /// Number of floats in chunks of samples as they were, as they say themselves.
    fn float_count(self) -> usize {
        match self {
            Self::One(chunk) => float_count(&chunk.data),
            Self::Overlapping(chunks) => chunks.iter().map(|chunk| float_count(&chunk.data)).sum(),
        }
    }
}

/// True for samples as they were.
const fn is_raw(chunk: &SeriesChunk) -> bool {
    matches!(chunk.data, ChunkData::Raw(_))
}

/// Puts chunks of samples as they were that overlap each other together, in the place of the first of
/// them; chunks come in order of their first times.
fn clusters(chunks: &[SeriesChunk]) -> Vec<Vec<&SeriesChunk>> {
    let mut clusters: Vec<Vec<&SeriesChunk>> = Vec::new();
    // The last cluster of samples as they were, and its end.
    let mut open: Option<(usize, i64)> = None;
    for chunk in chunks {
        match &mut open {
            Some((at, end)) if is_raw(chunk) && chunk.min_time <= *end => {
                clusters[*at].push(chunk);
                *end = chunk.max_time.max(*end);
                continue;
            }
            _ if is_raw(chunk) => open = Some((clusters.len(), chunk.max_time)),
            _ => {}
        }
        clusters.push(vec![chunk]);
    }
    clusters
}

/// Puts chunks, in order of their first times, into lanes without overlap: each into the first lane
/// that ends before it.
fn lanes<'a>(chunks: impl Iterator<Item = &'a SeriesChunk>) -> Vec<Vec<&'a SeriesChunk>> {
    let mut lanes: Vec<Vec<&SeriesChunk>> = Vec::new();
    for chunk in chunks {
        let ends_before = |lane: &&mut Vec<&SeriesChunk>| {
            lane.last()
                .is_some_and(|last| last.max_time < chunk.min_time)
        };
        match lanes.iter_mut().find(ends_before) {
            Some(lane) => lane.push(chunk),
            None => lanes.push(vec![chunk]),
        }
    }
    lanes
}

/// Cuts off what is outside.
fn bound(samples: &mut Samples, range: TimeRange) {
    fn cut<T>(ts: &mut Vec<i64>, values: &mut Vec<T>, range: TimeRange) {
        let end = ts.partition_point(|t| *t < range.max);
        let start = ts.partition_point(|t| *t < range.min);
        ts.truncate(end);
        values.truncate(end);
        ts.drain(..start.min(end));
        values.drain(..start.min(end));
    }
    cut(&mut samples.ts, &mut samples.values, range);
    cut(&mut samples.hist_ts, &mut samples.hists, range);
}

/// Removes of the samples from `begin` on those that are not after all before them.
fn drop_overlap((floats, hists): (usize, usize), out: &mut Samples) {
    let last_float = floats.checked_sub(1).map(|i| out.ts[i]);
    let last_hist = hists.checked_sub(1).map(|i| out.hist_ts[i]);
    let Some(last) = last_float.max(last_hist) else {
        return;
    };
    let skip = out.ts[floats..].partition_point(|t| *t <= last);
    if skip > 0 {
        out.ts.drain(floats..floats + skip);
        out.values.drain(floats..floats + skip);
    }
    let skip = out.hist_ts[hists..].partition_point(|t| *t <= last);
    if skip > 0 {
        out.hist_ts.drain(hists..hists + skip);
        out.hists.drain(hists..hists + skip);
    }
}

/// Where a chunk, of which the samples up to `before` are skipped, meets what was read: the total at
/// the time of the last of those, and its value. Chunks of different resolutions count from different
/// samples, so that a reset since then sets their values apart.
fn overlap(chunk: &Samples, before: i64, (ts, totals): (&[i64], &[f64])) -> Option<(f64, f64)> {
    let skipped = chunk.ts.partition_point(|t| *t <= before);
    // Those that go on after the chunk begin with what the chunk before it ended with.
    let goes_on = skipped < chunk.ts.len();
    let last = (0..skipped).rev().find(|&i| !chunk.values[i].is_nan());
    let last = last.filter(|_| goes_on)?;
    let read = ts.partition_point(|t| *t <= chunk.ts[last]);
    Some((*totals.get(read.checked_sub(1)?)?, chunk.values[last]))
}

fn decode_average(sum: &Chunk, count: &Chunk, out: &mut Samples) -> Result<(), SourceError> {
    let mut counts = Samples::default();
    decode(count, &mut counts)?;
    let begin = (out.ts.len(), out.hist_ts.len());
    decode(sum, out)?;
    let (ts, hist_ts) = (&out.ts[begin.0..], &out.hist_ts[begin.1..]);
    let is_aligned = match (ts.is_empty(), hist_ts.is_empty()) {
        (_, true) => ts == counts.ts,
        (true, false) => hist_ts == counts.ts,
        (false, false) => false,
    };
    if !is_aligned {
        return Err(SourceError::new(
            ErrorKind::Corrupt,
            "sum and count timestamps not aligned",
        ));
    }
    for (v, count) in out.values[begin.0..].iter_mut().zip(&counts.values) {
        *v /= count;
    }
    for (h, count) in out.hists[begin.1..].iter_mut().zip(&counts.values) {
        Arc::make_mut(h).div(*count);
    }
    Ok(())
}

/// Appends a chunk's samples.
fn decode(chunk: &Chunk, out: &mut Samples) -> Result<(), SourceError> {
    if chunk.encoding == Encoding::Xor {
        return xor::decode_columns(&chunk.data, &mut out.ts, &mut out.values).map_err(damaged);
    }
    chunk
        .encoding
        .check_readable()
        .map_err(|error| SourceError::caused_by(error.kind(), "decode chunk", error))?;
    for sample in chunk.samples() {
        push(sample.map_err(damaged)?, out);
    }
    Ok(())
}

/// Appends a sample to the columns.
pub(crate) fn push(sample: Sample, out: &mut Samples) {
    match sample.value {
        Value::Float(v) => out.push_float(sample.t, v, 0),
        Value::Histogram(h) => out.push_hist(sample.t, Arc::new(h.to_float()), 0),
        Value::FloatHistogram(h) => out.push_hist(sample.t, Arc::new(*h), 0),
    }
}

pub(crate) fn damaged(corruption: Corruption) -> SourceError {
    SourceError::caused_by(ErrorKind::Corrupt, "decode chunk", corruption)
}

fn no_aggregate() -> SourceError {
    SourceError::new(
        ErrorKind::Corrupt,
        "no valid chunk found: a downsampled chunk lacks the aggregate that the query needs; query with a finer max_source_resolution",
    )
}

#[cfg(test)]
mod tests;
