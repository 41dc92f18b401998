//! From the frames of a store to the messages of a stream.
//!
//! Askers that did not ask for batches get one series in a message, since old ones read nothing
//! else. A message is cut at about 256 KiB, which stays in a processor's cache from one end of a pipe to
//! the other; a series with many chunks comes in several.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use tonic::Status;

use super::limits::{Limits, Usage};
use super::status::to_status;
use crate::store::{Frame, Series, SeriesChunk, SeriesRequest, Store, StoreError};
use crate::wire::encode::{ChunkRef, Encoder, Message};
use crate::wire::message::{MESSAGE_BYTES, Written, written};

/// Most series in a message, whatever the asker says.
const BATCH_MAX: usize = 4_096;

/// Messages, each with gRPC's head.
pub(super) type MessageStream = BoxStream<'static, Result<Bytes, Status>>;

/// The messages of a store's answer, each with gRPC's head.
pub(super) fn messages(
    store: &dyn Store,
    request: SeriesRequest,
    batch: usize,
    limits: Limits,
) -> MessageStream {
    let batch = batch.clamp(1, BATCH_MAX);
    let mut usage = Usage::new(limits);
    if let Some(ready) = store.messages(&request, batch) {
        let counted = move |message: Result<Written, StoreError>| {
            let message = message.and_then(|message| {
                usage.count(message.series, message.samples)?;
                Ok(message.bytes)
            });
            message.map_err(|error| to_status(&error))
        };
        return ready.map(counted).boxed();
    }
    let mut encoder = Encoder::default();
    let messages = Messages::new(store.series(request), batch, usage);
    let encoded = move |message: Result<Message, Status>| {
        written(&mut encoder, &message?).map_err(|error| to_status(&error))
    };
    messages.map(encoded).boxed()
}

/// The messages of an answer in frames.
struct Messages {
    frames: BoxStream<'static, Result<Frame, StoreError>>,
    usage: Usage,
    /// Series in a message.
    batch: usize,
    /// Series that were not sent yet.
    waiting: VecDeque<Series>,
    /// What comes after them.
    after: Option<Result<Message, Status>>,
    is_done: bool,
}

impl Messages {
    fn new(
        frames: BoxStream<'static, Result<Frame, StoreError>>,
        batch: usize,
        usage: Usage,
    ) -> Self {
        Self {
            frames,
            usage,
            batch,
            waiting: VecDeque::new(),
            after: None,
            is_done: false,
        }
    }

    /// Takes in a frame.
    fn accept(&mut self, frame: Option<Result<Frame, StoreError>>) {
        match frame {
            Some(Ok(Frame::Series(series))) => {
                let chunks = series.iter().flat_map(|series| &series.chunks);
                let samples = chunks.map(|chunk| ChunkRef::from(chunk).samples()).sum();
                match self.usage.count(series.len() as u64, samples) {
                    Ok(()) => self.waiting.extend(series),
                    Err(error) => self.end(&error),
                }
            }
            Some(Ok(Frame::Warning(text))) => self.after = Some(Ok(Message::Warning(text))),
            Some(Err(error)) => self.end(&error),
            None => self.is_done = true,
        }
    }

    fn end(&mut self, error: &StoreError) {
        self.after = Some(Err(to_status(error)));
        self.is_done = true;
    }

    /// The next message of the series that wait.
    fn next_message(&mut self) -> Option<Message> {
        if self.batch == 1 {
            return self.next_part().map(|(series, _)| Message::Series(series));
        }
        let mut batch = Vec::with_capacity(self.batch.min(self.waiting.len()));
        let mut bytes = 0;
        while batch.len() < self.batch && bytes < MESSAGE_BYTES {
            let Some((series, len)) = self.next_part() else {
                break;
            };
            bytes += len;
            batch.push(series);
        }
        (!batch.is_empty()).then_some(Message::Batch(batch))
    }

    /// The first series that waits, or as much of it as fits a message; and the bytes of its chunks.
    fn next_part(&mut self) -> Option<(Series, usize)> {
        let first = self.waiting.front_mut()?;
        let mut bytes = 0;
        let mut fits = |chunk: &SeriesChunk| {
            let fits = bytes < MESSAGE_BYTES;
            bytes += chunk.data.bytes();
            fits
        };
        let fitting = first.chunks.iter().take_while(|chunk| fits(chunk)).count();
        if fitting == first.chunks.len() {
            return self.waiting.pop_front().map(|series| (series, bytes));
        }
        let rest = first.chunks.split_off(fitting);
        let chunks = std::mem::replace(&mut first.chunks, rest);
        let labels = first.labels.clone();
        Some((Series { labels, chunks }, bytes))
    }
}

impl Stream for Messages {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut is_pending = false;
        // Small frames are gathered to full messages while the store has them at hand.
        while !self.is_done
            && !is_pending
            && self.after.is_none()
            && self.waiting.len() < self.batch
        {
            match self.frames.as_mut().poll_next(cx) {
                Poll::Ready(frame) => self.accept(frame),
                Poll::Pending => is_pending = true,
            }
        }
        if let Some(message) = self.next_message() {
            return Poll::Ready(Some(Ok(message)));
        }
        if let Some(after) = self.after.take() {
            return Poll::Ready(Some(after));
        }
        if self.is_done {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}
