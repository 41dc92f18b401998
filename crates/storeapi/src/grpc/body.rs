//! The body of an answer that is a stream of messages: they go to the connection as they are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::frames::MessageStream;

/// Messages with gRPC's head each, and a status at the end.
pub(super) struct MessageBody {
    messages: Option<MessageStream>,
}

impl MessageBody {
    pub(super) fn new(messages: MessageStream) -> Self {
        Self {
            messages: Some(messages),
        }
    }
}

impl http_body::Body for MessageBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        let status = match ready!(messages.as_mut().poll_next(cx)) {
            Some(Ok(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.messages = None;
        let mut trailers = HeaderMap::new();
        let trailers = status.add_header(&mut trailers).map(|()| trailers);
        Poll::Ready(Some(trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_none()
    }
}
