//! What blocks are made of: the series of a head with their chunks in a range of time.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, TimeRange};

use super::Head;
use super::entry::Entry;
use crate::batch::{SeriesRef, WriteError};
use crate::block::Intervals;
use crate::chunk::TimedChunk;
use crate::error::Result;

/// A series to be written into a block.
#[derive(Debug, Clone)]
pub struct CutSeries {
    /// The series' number in its head.
    pub series: SeriesRef,
    /// The series' labels.
    pub labels: Labels,
    /// Chunks that overlap the range. Those of samples in order follow each other; others may
    /// overlap. They may reach beyond the range.
    pub chunks: Vec<TimedChunk>,
    /// What is deleted and to be left out; `None` when nothing is.
    pub deleted: Option<Arc<Intervals>>,
}

/// Everything that came out of order up to a point, for blocks of it; see
/// [`Head::begin_out_of_order_cut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfOrderCut {
    /// First and last time, both inside.
    pub span: (i64, i64),
    /// The last segment of the out-of-order log that has some of it.
    pub(super) segment: Option<u32>,
    /// The reference of the last chunk of it.
    pub(super) chunk: u64,
}

/// Series with their chunks, read one at a time.
struct Cut<'a> {
    head: &'a Head,
    entries: std::vec::IntoIter<Arc<Entry>>,
    range: TimeRange,
    /// Only what came out of order, up to this chunk; only what came in order when absent.
    out_of_order: Option<u64>,
}

impl Head {
    /// The series that have samples in order in `range`, in order of their labels, with the chunks
    /// that hold them. Nothing may be appended to the range any longer: it ends no later than half a
    /// chunk range before the newest sample, or [`Head::refuse_in_order_before`] was called.
    pub fn cut(&self, range: TimeRange) -> impl Iterator<Item = Result<CutSeries>> {
        self.cut_of(range, None)
    }

    /// Ends the buffers of what came out of order and the segment of its log, so that blocks of
    /// everything up to here can be cut with [`Head::cut_out_of_order`] and the rest be kept by
    /// [`Head::finish_out_of_order_cut`]. `None` when nothing came out of order.
    /// Nothing either while chunks of them cannot be written: they wait for the next cut.
    ///
    /// # Errors
    /// As [`Head::append`].
    pub fn begin_out_of_order_cut(&self) -> Result<Option<OutOfOrderCut>, WriteError> {
        let mut logs = self.logs()?.lock()?;
        let Some(span) = self.out_of_order_span() else {
            return Ok(None);
        };
        let mut chunk = 0;
        for entry in self.index.all() {
            let mut state = entry.state.lock();
            if !state.samples.has_out_of_order() {
                continue;
            }
            let samples = state.samples.out_of_order();
            logs.write_buffer(entry.series, samples, &self.files);
            if samples.has_full() {
                // What is in no file only the log has, which would be removed after the cut.
                logs.write()?;
                return Ok(None);
            }
            chunk = samples.last_reference().max(chunk);
        }
        logs.write()?;
        Ok(Some(OutOfOrderCut {
            span,
            segment: logs.end_wbl_segment()?,
            chunk,
        }))
    }

    /// The series with samples of `cut` in `range`, in order of their labels, with the chunks that
    /// hold them.
    pub fn cut_out_of_order(
        &self,
        cut: &OutOfOrderCut,
        range: TimeRange,
    ) -> impl Iterator<Item = Result<CutSeries>> {
        self.cut_of(range, Some(cut.chunk))
    }

    /// The begins of the ranges, aligned to multiples of `length` milliseconds, that have samples of
    /// `cut`. There may be ages between two of them.
    ///
    /// # Errors
    /// When chunks cannot be read.
    pub fn out_of_order_ranges(&self, cut: &OutOfOrderCut, length: i64) -> Result<BTreeSet<i64>> {
        let begin = |t: i64| t.div_euclid(length).saturating_mul(length);
        let mut begins = BTreeSet::new();
        for series in self.cut_out_of_order(cut, TimeRange::ALL) {
            for chunk in series?.chunks {
                let (first, last) = (begin(chunk.min_time), begin(chunk.max_time));
                begins.extend([first, last]);
                if last.saturating_sub(first) > length {
                    for sample in chunk.chunk.samples() {
                        let sample = sample.map_err(|damage| damage.in_file(self.files.dir()))?;
                        begins.insert(begin(sample.t));
                    }
                }
            }
        }
        Ok(begins)
    }

    fn cut_of(&self, range: TimeRange, out_of_order: Option<u64>) -> Cut<'_> {
        let mut entries = self.index.all();
        entries.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Cut {
            head: self,
            entries: entries.into_iter(),
            range,
            out_of_order,
        }
    }
}

impl Cut<'_> {
    fn read(&self, entry: &Entry) -> Result<Option<CutSeries>> {
        let samples = &entry.state.lock().samples;
        let files = &self.head.files;
        let chunks = match self.out_of_order {
            None => samples.in_order_chunks(self.range, files)?,
            Some(until) => samples.out_of_order_until(until, self.range, files)?,
        };
        Ok((!chunks.is_empty()).then(|| CutSeries {
            series: entry.series,
            labels: entry.labels.clone(),
            chunks,
            deleted: self.head.deleted.read().get(&entry.series).cloned(),
        }))
    }
}

impl Iterator for Cut<'_> {
    type Item = Result<CutSeries>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.entries.next()?;
            if let Some(series) = self.read(&entry).transpose() {
                return Some(series);
            }
        }
    }
}
