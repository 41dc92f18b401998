//! The question.

use model::{Matcher, TimeRange};
use prost::Message as _;
use proto::prometheus::{self, read_request};

use super::ReadError;
use crate::snappy;
use crate::store::QueryHints;

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseType {
    /// All samples in one message.
    Samples,
    /// A stream of encoded chunks.
    StreamedXorChunks,
}

/// A question for series.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadQuery {
    /// Samples outside are not needed.
    pub range: TimeRange,
    /// All must accept a series' labels.
    pub matchers: Vec<Matcher>,
    /// What the series are for.
    pub hints: QueryHints,
}

/// Questions, and how they may be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRequest {
    /// The questions; answers refer to them by number.
    pub queries: Vec<ReadQuery>,
    /// The kind of answer that suits the client best among those that can be given.
    pub response_type: ResponseType,
}

impl ReadRequest {
    /// Reads a body of at most `bytes_max` bytes when decompressed.
    ///
    /// # Errors
    /// When it cannot be read, or the client takes no answer of a kind that is known.
    pub fn decode(body: &[u8], bytes_max: usize) -> Result<Self, ReadError> {
        let mut message = Vec::new();
        snappy::decompress(body, bytes_max, &mut message)?;
        let message = prometheus::ReadRequest::decode(message.as_slice())?;
        let queries = message.queries.iter().map(query_from_wire);
        Ok(Self {
            queries: queries.collect::<Result<_, _>>()?,
            response_type: negotiate(&message.accepted_response_types)?,
        })
    }

    /// The body that asks this; a client that takes chunks takes samples as well.
    ///
    /// # Errors
    /// When there is more than a snappy block can hold.
    pub fn encode(&self) -> Result<Vec<u8>, ReadError> {
        let accepted = match self.response_type {
            ResponseType::Samples => vec![read_request::ResponseType::Samples],
            ResponseType::StreamedXorChunks => vec![
                read_request::ResponseType::StreamedXorChunks,
                read_request::ResponseType::Samples,
            ],
        };
        let message = prometheus::ReadRequest {
            queries: self.queries.iter().map(query_to_wire).collect(),
            accepted_response_types: accepted.into_iter().map(i32::from).collect(),
        };
        Ok(snappy::compress(&message.encode_to_vec())?)
    }
}

/// The first kind in the client's order that is known; samples for a client that names none.
fn negotiate(accepted: &[i32]) -> Result<ResponseType, ReadError> {
    if accepted.is_empty() {
        return Ok(ResponseType::Samples);
    }
    let mut known = accepted.iter().filter_map(|kind| match kind {
        0 => Some(ResponseType::Samples),
        1 => Some(ResponseType::StreamedXorChunks),
        _ => None,
    });
    let first = known.next();
    first.ok_or_else(|| ReadError::ResponseTypes(accepted.to_vec()))
}

fn query_from_wire(query: &prometheus::Query) -> Result<ReadQuery, ReadError> {
    let matchers = query.matchers.iter().map(Matcher::try_from);
    let hints = query.hints.as_ref().map(|hints| QueryHints {
        step_ms: hints.step_ms,
        range_ms: hints.range_ms,
        func: hints.func.clone(),
        grouping: hints.grouping.clone(),
        by: hints.by,
    });
    Ok(ReadQuery {
        range: TimeRange::closed(query.start_timestamp_ms, query.end_timestamp_ms),
        matchers: matchers.collect::<Result<_, _>>()?,
        hints: hints.unwrap_or_default(),
    })
}

fn query_to_wire(query: &ReadQuery) -> prometheus::Query {
    let (start, end) = (query.range.min, query.range.max.saturating_sub(1));
    let hints = &query.hints;
    prometheus::Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: query.matchers.iter().map(Into::into).collect(),
        hints: Some(prometheus::ReadHints {
            step_ms: hints.step_ms,
            func: hints.func.clone(),
            start_ms: start,
            end_ms: end,
            grouping: hints.grouping.clone(),
            by: hints.by,
            range_ms: hints.range_ms,
        }),
    }
}
