//! The answer to a question for series, frame by frame.

use std::collections::VecDeque;
use std::sync::Arc;

use model::Labels;
use storeapi::external_labels::remaining_matchers;
use storeapi::{ChunkData, Frame, Series, SeriesChunk, SeriesRequest, StoreError};
use tsdb::block::Block;
use tsdb::chunk::TimedChunk;

use super::order::{Appearance, Merged, Ordered, Shown};
use super::store::{HeldBlocks, broken, limit, store_error, tolerate};
use super::tenants::{Tenant, Tenants};

/// Series in a frame, at most.
const FRAME_SERIES: usize = 64;
/// Bytes of chunks from which on a frame is full. A series with more is spread over several.
const FRAME_BYTES: usize = 1 << 20;

/// A frame, if there is one more, and what makes the next ones.
pub(super) type Step = Result<Option<(Frame, Frames)>, StoreError>;

/// Makes frames, one at a time.
#[derive(Debug)]
pub(super) struct Frames {
    request: SeriesRequest,
    warnings: VecDeque<String>,
    series: Merged,
    /// What is left of a series that did not fit into a frame.
    rest: Option<Series>,
    /// Label sets that may still come.
    remaining: usize,
    last: Labels,
}

impl Frames {
    /// Looks up what a request selects.
    ///
    /// # Errors
    /// When the request has no matchers beside those for external labels; when a part cannot be had
    /// and none may be missing.
    pub(super) fn open(
        tenants: &Tenants,
        held: &HeldBlocks,
        request: SeriesRequest,
    ) -> Result<Self, StoreError> {
        let partial = request.partial_response;
        let mut warnings = broken(tenants, &request.matchers, partial)?;
        let mut sources = Vec::new();
        for tenant in tenants.all() {
            let Some(matchers) = remaining_matchers(&request.matchers, &tenant.labels) else {
                continue;
            };
            if matchers.is_empty() {
                return Err(StoreError::no_matchers());
            }
            if request.range.is_empty() {
                continue;
            }
            let held = held.get(&tenant.name).map_or(&[][..], |blocks| blocks);
            match select((&tenant, held), &matchers, &request) {
                Ok(ordered) => sources.push(ordered),
                Err(error) => warnings.push(tolerate(&tenant.name, &error, partial)?),
            }
        }
        Ok(Self {
            series: Merged::new(sources).map_err(|e| store_error("at start", &e))?,
            remaining: limit(request.limit),
            request,
            warnings: warnings.into(),
            rest: None,
            last: Labels::empty(),
        })
    }

    /// Makes the next frame.
    pub(super) fn step(mut self) -> Step {
        if let Some(warning) = self.warnings.pop_front() {
            return Ok(Some((Frame::Warning(warning), self)));
        }
        let mut series = Vec::with_capacity(FRAME_SERIES);
        let mut bytes = 0;
        while series.len() < FRAME_SERIES && bytes < FRAME_BYTES {
            let Some(mut next) = self.next_series()? else {
                break;
            };
            let fits = fitting(&next.chunks, &mut bytes);
            if fits < next.chunks.len() {
                self.rest = Some(Series {
                    labels: next.labels.clone(),
                    chunks: next.chunks.split_off(fits),
                });
            }
            series.push(next);
        }
        Ok((!series.is_empty()).then_some((Frame::Series(series), self)))
    }

    fn next_series(&mut self) -> Result<Option<Series>, StoreError> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        let damaged = |e: &tsdb::Error| store_error("data", e);
        while let Some(Shown { labels, found }) = self.series.next().map_err(|e| damaged(&e))? {
            if self
                .request
                .shard
                .as_ref()
                .is_some_and(|s| !s.contains(&labels))
            {
                continue;
            }
            let chunks = match self.request.skip_chunks {
                true => Vec::new(),
                false => found.chunks().map_err(|e| damaged(&e))?,
            };
            if chunks.is_empty() && !self.request.skip_chunks {
                // All is deleted.
                continue;
            }
            if self.request.limit > 0 && labels != self.last {
                let Some(remaining) = self.remaining.checked_sub(1) else {
                    return Ok(None);
                };
                self.remaining = remaining;
                self.last = labels.clone();
            }
            let chunks = chunks.into_iter().map(shown).collect();
            return Ok(Some(Series { labels, chunks }));
        }
        Ok(None)
    }
}

/// How many of the chunks fit into a frame that has `bytes` already, at least one. Adds theirs.
fn fitting(chunks: &[SeriesChunk], bytes: &mut usize) -> usize {
    for (i, chunk) in chunks.iter().enumerate() {
        if i > 0 && *bytes >= FRAME_BYTES {
            return i;
        }
        if let ChunkData::Raw(raw) = &chunk.data {
            *bytes += raw.data.len();
        }
    }
    chunks.len()
}

fn shown(timed: TimedChunk) -> SeriesChunk {
    SeriesChunk {
        min_time: timed.min_time,
        max_time: timed.max_time,
        data: ChunkData::Raw(timed.chunk),
    }
}

/// The series of a tenant that are asked for.
fn select(
    (tenant, held): (&Tenant, &[Arc<Block>]),
    matchers: &[model::Matcher],
    request: &SeriesRequest,
) -> Result<Ordered, tsdb::Error> {
    let selection = (tenant.db).select_holding(held, matchers, request.range, &request.stop)?;
    let appearance = Appearance::new(&tenant.labels, &request.without_replica_labels);
    let mut is_mixed = false;
    for name in appearance.mixing() {
        // After the selection, so that it is known of all that it has.
        let values = tenant.db.label_values(name, &[], request.range, 1)?;
        is_mixed |= !values.is_empty();
    }
    Ordered::new(selection, appearance, is_mixed.then_some(&request.stop))
}
