//! Series of the head.

use std::sync::Arc;
use std::vec;

use model::{Labels, TimeRange};
use promql::columns::Samples;
use promql::source::{SelectRequest, Series, SourceError};
use tsdb::Encoding;
use tsdb::chunk::{TimedChunk, xor};
use tsdb::head::Head;
use tsdb::head::index::SeriesId;
use tsdb::merge::merged_samples;

use crate::blocks::{damaged, push};

/// Selected series of the head in order of their labels.
pub(super) struct HeadSet {
    head: Arc<Head>,
    series: vec::IntoIter<SeriesId>,
    range: TimeRange,
}

impl HeadSet {
    pub(super) fn new(head: Arc<Head>, request: &SelectRequest) -> Self {
        Self {
            series: head.select(&request.matchers).into_iter(),
            head,
            range: request.range,
        }
    }

    /// The next series that has chunks in the range asked for.
    pub(super) fn next(&mut self) -> Option<HeadSeries> {
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

impl Series for HeadSeries {
    fn labels(&self) -> &Labels {
        self.head.labels(self.id)
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let chunks = self.head.chunks(self.id, range);
        let deleted = self.head.deleted(self.id);
        if deleted.is_none() && follow_each_other(&chunks) {
            return chunks.iter().try_for_each(|chunk| decode(chunk, out));
        }
        for sample in merged_samples(chunks) {
            let sample = sample.map_err(damaged)?;
            if !deleted.is_some_and(|d| d.contains(sample.t)) {
                push(sample, out);
            }
        }
        Ok(())
    }
}

fn follow_each_other(chunks: &[TimedChunk]) -> bool {
    chunks.windows(2).all(|w| w[0].max_time < w[1].min_time)
}

/// Appends a chunk's samples to the columns.
fn decode(chunk: &TimedChunk, out: &mut Samples) -> Result<(), SourceError> {
    let chunk = &chunk.chunk;
    if chunk.encoding == Encoding::Xor {
        return xor::decode_columns(&chunk.data, &mut out.ts, &mut out.values).map_err(damaged);
    }
    for sample in chunk.samples() {
        push(sample.map_err(damaged)?, out);
    }
    Ok(())
}
