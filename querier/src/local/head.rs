//! Series of the head.

use std::vec;

use model::{ErrorKind, Labels, TimeRange};
use promql::source::SourceError;
use storeapi::SeriesRequest;
use tsdb::chunk::TimedChunk;
use tsdb::head::{Head, SelectedSeries};

use crate::blocks::without;

/// Selected series of the head in order of their labels.
pub(super) struct HeadSet(vec::IntoIter<SelectedSeries>);

impl HeadSet {
    pub(super) fn new(head: &Head, request: &SeriesRequest) -> Result<Self, SourceError> {
        let found = head.select_until(&request.matchers, request.range, &request.stop);
        let found = found
            .map_err(|e| SourceError::caused_by(ErrorKind::Cancelled, "look for head series", e))?;
        Ok(Self(found.into_iter()))
    }

    /// The next series that has chunks in the range asked for.
    pub(super) fn advance(&mut self) -> Option<HeadSeries> {
        self.0.next().map(HeadSeries)
    }
}

/// One series of the head.
pub(super) struct HeadSeries(SelectedSeries);

impl HeadSeries {
    pub(super) fn labels(&self) -> &Labels {
        self.0.labels()
    }

    /// Its chunks in `range`, in order of time, without what is deleted.
    pub(super) fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>, SourceError> {
        let chunks = self.0.chunks(range);
        let chunks = chunks.map_err(|e| SourceError::caused_by(e.kind(), "read head chunks", e))?;
        match self.0.deleted() {
            Some(deleted) => without(chunks, deleted),
            None => Ok(chunks),
        }
    }
}
