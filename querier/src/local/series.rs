//! Series of the blocks and of the head, as frames of the StoreAPI.

use std::cmp::Ordering;

use model::ErrorKind;
use model::stop::{self, Pace, Stopped};
use promql::source::SourceError;
use storeapi::{ChunkData, Frame, Series, SeriesChunk, SeriesRequest, StoreError};
use tsdb::chunk::TimedChunk;

use super::head::{HeadSeries, HeadSet};
use super::{LocalStore, failed, without_labels};
use crate::blocks::{BlocksSeries, Found};

/// Series of a frame. Enough to make the frame's cost small, and few enough not to be long on
/// anybody's thread.
const FRAME_SERIES: usize = 64;

/// What reading a series counts for, next to a nanosecond.
const SERIES_WORK: usize = 1024;

/// Merges the series of blocks and head by their labels.
pub(super) struct Merged {
    blocks: Found,
    head: Option<HeadSet>,
    next_in_blocks: Option<BlocksSeries>,
    next_in_head: Option<HeadSeries>,
    request: SeriesRequest,
    left: usize,
}

impl Merged {
    pub(super) fn new(store: &LocalStore, request: SeriesRequest) -> Result<Self, SourceError> {
        let mut blocks = (store.blocks).find(&request.matchers, request.range, &request.stop)?;
        let head = store.head_within(request.range);
        let head = head.map(|head| HeadSet::new(&head, &request));
        let mut head = head.transpose()?;
        Ok(Self {
            next_in_blocks: blocks.advance()?,
            next_in_head: head.as_mut().and_then(HeadSet::advance),
            blocks,
            head,
            left: match request.limit {
                0 => usize::MAX,
                limit => limit,
            },
            request,
        })
    }

    fn take_from_blocks(&mut self) -> Result<Option<BlocksSeries>, SourceError> {
        let next = self.blocks.advance()?;
        Ok(std::mem::replace(&mut self.next_in_blocks, next))
    }

    fn take_from_head(&mut self) -> Option<HeadSeries> {
        let next = self.head.as_mut().and_then(HeadSet::advance);
        std::mem::replace(&mut self.next_in_head, next)
    }

    fn next_series(&mut self) -> Result<Option<Series>, SourceError> {
        use promql::source::Series as _;
        let order = match (&self.next_in_blocks, &self.next_in_head) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.labels().cmp(b.labels()),
        };
        let older = match order {
            Ordering::Greater => None,
            _ => self.take_from_blocks()?,
        };
        let newer = match order {
            Ordering::Less => None,
            _ => self.take_from_head(),
        };
        let labels = match (&older, &newer) {
            (Some(older), _) => older.labels().clone(),
            (None, Some(newer)) => newer.labels().clone(),
            (None, None) => return Ok(None),
        };
        let mut chunks = Vec::new();
        if !self.request.skip_chunks {
            let range = self.request.range;
            let older = older.map(|series| series.chunks(range)).transpose()?;
            let newer = newer.map(|series| series.chunks(range)).transpose()?;
            let all = older.into_iter().chain(newer).flatten();
            chunks.extend(all.map(series_chunk));
            let key = |chunk: &SeriesChunk| (chunk.min_time, chunk.max_time);
            if !chunks.is_sorted_by_key(key) {
                chunks.sort_by_key(key);
            }
        }
        Ok(Some(Series { labels, chunks }))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, StoreError> {
        let wanted = self.left.min(FRAME_SERIES);
        let mut batch = Vec::with_capacity(wanted);
        while batch.len() < wanted {
            match self.next_series().map_err(|e| failed(&e))? {
                Some(series) => batch.push(series),
                None => break,
            }
        }
        self.left -= batch.len();
        Ok((!batch.is_empty()).then_some(Frame::Series(batch)))
    }

    /// All series without some of their labels, in the order that they have then.
    pub(super) fn relabelled(&mut self) -> Result<Vec<Series>, StoreError> {
        let stop = self.request.stop.clone();
        let pace = Pace::new(&stop);
        let stopped = |e: Stopped| StoreError::new(ErrorKind::Cancelled, e.to_string());
        let mut all = Vec::new();
        while let Some(mut series) = self.next_series().map_err(|e| failed(&e))? {
            pace.spend(SERIES_WORK).map_err(stopped)?;
            series.labels = without_labels(&series.labels, &self.request.without_replica_labels);
            all.push(series);
        }
        stop::sort_by(&mut all, &pace, |a, b| a.labels.cmp(&b.labels)).map_err(stopped)?;
        all.truncate(self.left);
        Ok(all)
    }
}

impl Iterator for Merged {
    type Item = Result<Frame, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.next_frame().transpose();
        if matches!(frame, Some(Err(_))) {
            // An error ends the stream.
            self.left = 0;
        }
        frame
    }
}

fn series_chunk(timed: TimedChunk) -> SeriesChunk {
    SeriesChunk {
        min_time: timed.min_time,
        max_time: timed.max_time,
        data: ChunkData::Raw(timed.chunk),
    }
}
