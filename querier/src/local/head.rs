//! Series of the head.

use std::sync::Arc;
use std::vec;

use model::{Labels, Matcher, TimeRange};
use promql::source::SourceError;
use tsdb::chunk::TimedChunk;
use tsdb::head::Head;
use tsdb::head::index::SeriesId;

use crate::blocks::without;

/// Selected series of the head in order of their labels.
pub(super) struct HeadSet {
    head: Arc<Head>,
    series: vec::IntoIter<SeriesId>,
    range: TimeRange,
}

impl HeadSet {
    pub(super) fn new(head: Arc<Head>, matchers: &[Matcher], range: TimeRange) -> Self {
        Self {
            series: head.select(matchers).into_iter(),
            head,
            range,
        }
    }

    /// The next series that has chunks in the range asked for.
    pub(super) fn advance(&mut self) -> Option<HeadSeries> {
        let id = self
            .series
            .find(|id| self.head.has_chunks(*id, self.range))?;
        Some(HeadSeries {
            head: Arc::clone(&self.head),
            id,
        })
    }
}

/// One series of the head.
pub(super) struct HeadSeries {
    head: Arc<Head>,
    id: SeriesId,
}

impl HeadSeries {
    pub(super) fn labels(&self) -> &Labels {
        self.head.labels(self.id)
    }

    /// Its chunks in `range`, in order of time, without what is deleted.
    pub(super) fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>, SourceError> {
        let chunks = self.head.chunks(self.id, range);
        match self.head.deleted(self.id) {
            Some(deleted) => without(chunks, deleted),
            None => Ok(chunks),
        }
    }
}
