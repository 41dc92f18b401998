//! The body of `_bulk`: a line that says what to do, a line with the document, and so on.
//!
//! All the lines that say what to do are read before anything is stored, as Elasticsearch does: a
//! body that is damaged there is refused as a whole. A document that is damaged is refused by
//! itself.

use serde::Deserialize;

use super::event::{Context, Decoder, EventError, NUMBERS_MAX};
use crate::protocols::json::Scalar;
use crate::protocols::points::Points;

/// Actions of one request. Each is answered with an item that is larger than the smallest action.
const ACTIONS_MAX: usize = 100_000;
/// Bytes of labels after which a chunk is stored before further events are decoded.
const CHUNK_LABEL_BYTES: usize = 16 << 20;

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To store it.
    Index,
    /// To store it, if there is none with its id.
    Create,
    /// To change it, which no sample can be.
    Update,
    /// To delete it.
    Delete,
}

impl Operation {
    /// Its name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// True when the document is to be stored.
    pub fn stores(self) -> bool {
        matches!(self, Self::Index | Self::Create)
    }
}

/// One action of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Action<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// The index it names.
    pub index: Option<String>,
    /// The type of document it names.
    pub kind: Option<String>,
    /// The id it names.
    pub id: Option<String>,
    /// The document.
    pub document: &'a [u8],
}

/// A body that is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// It has nothing.
    #[error("request body is required")]
    Empty,
    /// It ends within a line, or before a document.
    #[error("The bulk request must be terminated by a newline [\n]")]
    Unterminated,
    /// A line does not say what to do.
    #[error("Malformed action/metadata line [{line}], {source}")]
    Action {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// It asks for more than may be asked for at once.
    #[error("more than {ACTIONS_MAX} actions; send fewer at once")]
    TooMany,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionLine<'a> {
    #[serde(borrow)]
    Index(Target<'a>),
    Create(Target<'a>),
    Update(Target<'a>),
    Delete(Target<'a>),
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(default, rename = "_index")]
    index: Option<String>,
    #[serde(default, rename = "_type")]
    kind: Option<String>,
    #[serde(borrow, default, rename = "_id")]
    id: Scalar<'a>,
}

/// Reads what is to be done with which documents.
///
/// # Errors
/// [`BulkError`]; nothing may be stored then.
pub fn actions(body: &[u8]) -> Result<Vec<Action<'_>>, BulkError> {
    if body.trim_ascii().is_empty() {
        return Err(BulkError::Empty);
    }
    if body.last() != Some(&b'\n') {
        return Err(BulkError::Unterminated);
    }
    let ends = memchr::memchr_iter(b'\n', body);
    let mut lines = ends
        .scan(0, |start, end| {
            Some(&body[std::mem::replace(start, end + 1)..end])
        })
        .enumerate();
    let mut actions = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if actions.len() == ACTIONS_MAX {
            return Err(BulkError::TooMany);
        }
        let wrong = |source| BulkError::Action {
            line: number + 1,
            source,
        };
        let (operation, target) = match serde_json::from_slice(line).map_err(wrong)? {
            ActionLine::Index(target) => (Operation::Index, target),
            ActionLine::Create(target) => (Operation::Create, target),
            ActionLine::Update(target) => (Operation::Update, target),
            ActionLine::Delete(target) => (Operation::Delete, target),
        };
        let document = match operation {
            Operation::Delete => &[][..],
            _ => lines.next().ok_or(BulkError::Unterminated)?.1,
        };
        actions.push(Action {
            operation,
            index: target.index,
            kind: target.kind,
            id: target.id.text().map(|id| id.into_owned()),
            document,
        });
    }
    Ok(actions)
}

/// Events of a body that are stored together.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Their points.
    pub points: Points,
    /// The events, in order of the body.
    pub events: Vec<ChunkEvent>,
}

/// An event of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkEvent {
    /// The number of its action in the body.
    pub action: usize,
    /// The number of its first point; they go up to that of the next event.
    pub first_point: usize,
    /// Why it has none.
    pub error: Option<EventError>,
}

/// Decodes the documents of actions, chunk by chunk.
#[derive(Debug)]
pub struct Documents<'b, 'a> {
    actions: &'b [Action<'a>],
    next: usize,
    decoder: Decoder<'a>,
}

impl<'b, 'a> Documents<'b, 'a> {
    /// Those of `actions`.
    pub fn new(actions: &'b [Action<'a>]) -> Self {
        Self {
            actions,
            next: 0,
            decoder: Decoder::default(),
        }
    }

    /// Decodes as many as should be stored together into `chunk`; false when there are no more.
    ///
    /// A chunk has fewer points than the refusals that [`Points`] tells apart.
    pub fn next_chunk(&mut self, context: &Context<'_>, chunk: &mut Chunk) -> bool {
        chunk.points.clear();
        chunk.events.clear();
        let mut label_bytes = 0;
        while let Some(action) = self.actions.get(self.next) {
            if chunk.points.len() >= NUMBERS_MAX || label_bytes >= CHUNK_LABEL_BYTES {
                break;
            }
            if action.operation.stores() {
                let first_point = chunk.points.len();
                let points = &mut chunk.points;
                let decoded = self.decoder.event(action.document, context, points);
                chunk.events.push(ChunkEvent {
                    action: self.next,
                    first_point,
                    error: decoded.err(),
                });
                label_bytes += decoded.unwrap_or_default();
            }
            self.next += 1;
        }
        !chunk.events.is_empty()
    }
}
