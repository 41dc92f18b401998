//! From the frames of a store to the messages of a stream.
//!
//! Askers that did not ask for batches get one series in a message, since old ones read nothing
//! else. A message is cut at about 192 KiB, which stays in a processor's cache from one end of a pipe to
//! the other; a series with many chunks comes in several.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use tonic::Status;

use super::limits::{Limits, Usage};
use super::status::to_status;
use crate::store::{Frame, Series, SeriesRequest, Store, StoreError};
use crate::wire::encode::ChunkRef;
use crate::wire::message::{MessageWriter, Written};

/// Most series in a message, whatever the asker says.
const BATCH_MAX: usize = 4_096;

/// Messages, each with gRPC's head.
pub(super) type MessageStream = BoxStream<'static, Result<Bytes, Status>>;

/// Messages, and what they count for.
type WrittenStream = BoxStream<'static, Result<Written, Status>>;

/// The messages of a store's answer, each with gRPC's head.
pub(super) fn messages(
    store: &dyn Store,
    request: SeriesRequest,
    batch: usize,
    limits: Limits,
) -> MessageStream {
    let may_block = request.may_block;
    let written = written(store, request, batch.clamp(1, BATCH_MAX), limits);
    match may_block {
        true => paced(written),
        false => written.map_ok(|message| message.bytes).boxed(),
    }
}

fn written(
    store: &dyn Store,
    request: SeriesRequest,
    batch: usize,
    limits: Limits,
) -> WrittenStream {
    let mut usage = Usage::new(limits);
    if let Some(ready) = store.messages(&request, batch) {
        let counted = move |message: Result<Written, StoreError>| {
            let message = message.and_then(|message| {
                usage.count(message.series, message.samples)?;
                Ok(message)
            });
            message.map_err(|error| to_status(&error))
        };
        return ready.map(counted).boxed();
    }
    let writer = MessageWriter::new(batch).without_hashes(request.without_hashes);
    Messages::new(store.series(request), writer, usage).boxed()
}

/// Messages that are made by the thread that sends them: each is sent before the next is made, but the
/// last, after which nothing is made and the end can go with it. The first waits as the others do, for the
/// end of the answer before it on the same connection.
fn paced(messages: WrittenStream) -> MessageStream {
    stream::unfold((messages, false), async |(mut messages, mut is_due)| {
        poll_fn(|cx| match std::mem::replace(&mut is_due, true) {
            true => Poll::Ready(()),
            // Whoever was woken before, as the connection was by the last message, comes first.
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        let message = messages.next().await?;
        let is_due = message.as_ref().is_ok_and(|message| message.is_last);
        Some((message.map(|message| message.bytes), (messages, is_due)))
    })
    .boxed()
}

/// The messages of an answer in frames.
struct Messages {
    frames: BoxStream<'static, Result<Frame, StoreError>>,
    usage: Usage,
    /// Series that were not written yet.
    waiting: VecDeque<Series>,
    writer: MessageWriter,
    /// Messages that are full.
    full: VecDeque<Written>,
    /// What comes after them, and the series that were written.
    after: Option<Result<Written, Status>>,
    is_done: bool,
}

impl Messages {
    fn new(
        frames: BoxStream<'static, Result<Frame, StoreError>>,
        writer: MessageWriter,
        usage: Usage,
    ) -> Self {
        Self {
            frames,
            usage,
            waiting: VecDeque::new(),
            writer,
            full: VecDeque::new(),
            after: None,
            is_done: false,
        }
    }

    /// Takes in a frame.
    fn accept(&mut self, frame: Option<Result<Frame, StoreError>>) -> Result<(), StoreError> {
        match frame {
            Some(Ok(Frame::Series(series))) => {
                let chunks = series.iter().flat_map(|series| &series.chunks);
                let samples = chunks.map(|chunk| ChunkRef::from(chunk).samples()).sum();
                self.usage.count(series.len() as u64, samples)?;
                self.waiting.extend(series);
            }
            Some(Ok(Frame::Warning(text))) => {
                self.after = Some(Ok(Written::warning(&text)));
            }
            Some(Err(error)) => return Err(error),
            None => self.is_done = true,
        }
        Ok(())
    }

    fn write(&mut self, series: &Series) -> Result<(), StoreError> {
        let chunks: Vec<_> = series.chunks.iter().map(ChunkRef::from).collect();
        (self.writer).push_split(&series.labels, &chunks, &mut self.full)
    }

    /// Ends the answer after what was written.
    fn end(&mut self, error: &StoreError) {
        self.after = Some(Err(to_status(error)));
        self.waiting.clear();
        self.is_done = true;
    }
}

impl Stream for Messages {
    type Item = Result<Written, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Small frames are gathered to full messages while the store has them at hand.
        let mut is_pending = false;
        while self.full.is_empty() && !is_pending {
            let done = if let Some(series) = self.waiting.pop_front() {
                self.write(&series)
            } else if self.is_done || self.after.is_some() {
                break;
            } else {
                match self.frames.as_mut().poll_next(cx) {
                    Poll::Ready(frame) => self.accept(frame),
                    Poll::Pending => {
                        is_pending = true;
                        Ok(())
                    }
                }
            };
            if let Err(error) = done {
                self.end(&error);
            }
        }
        if let Some(mut message) = self.full.pop_front().or_else(|| self.writer.take()) {
            message.is_last = self.is_done && self.full.is_empty() && self.after.is_none();
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_the_connection_has_already_goes_before_each_message_but_the_end() {
        let message = |is_last| {
            let mut message = Written::warning("so");
            message.is_last = is_last;
            Ok(message)
        };
        let all = [message(false), message(true)];
        let mut paced = paced(stream::iter(all).boxed());
        // The end of an answer before it may not have been sent.
        assert!(paced.next().now_or_never().is_none(), "first");
        assert!(paced.next().now_or_never().is_some_and(|m| m.is_some()));
        assert!(paced.next().now_or_never().is_none(), "second");
        assert!(paced.next().now_or_never().is_some_and(|m| m.is_some()));
        assert!(paced.next().now_or_never().is_some_and(|end| end.is_none()));
    }
}
