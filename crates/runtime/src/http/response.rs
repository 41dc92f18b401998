//! An answer, whose body is bytes, a function that writes them, or a stream that goes on.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use hyper::{HeaderMap, StatusCode, header};

use super::HeaderValue;

/// Writes a body. An error ends the connection, so that the client sees that the answer is cut.
pub(super) type WriteBody = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// An answer.
pub struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

pub(super) enum Body {
    Bytes(Bytes),
    Written(WriteBody),
    Streamed(BoxStream<'static, Bytes>),
}

impl Response {
    /// An answer with these bytes.
    pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(status, content_type, Body::Bytes(body.into()))
    }

    /// An answer whose body `write` produces while it is sent.
    pub fn written(
        status: StatusCode,
        content_type: &'static str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self::new(status, content_type, Body::Written(Box::new(write)))
    }

    /// An answer that is sent as it comes about, which may take as long as the client stays. It
    /// occupies no thread, and ends when the server shuts down.
    pub fn streamed(
        status: StatusCode,
        content_type: &'static str,
        pieces: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Self {
        Self::new(status, content_type, Body::Streamed(pieces.boxed()))
    }

    /// An answer without a body, and so without a type of it.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Bytes(Bytes::new()),
        }
    }

    /// A line of text, as the errors of the server itself are.
    pub fn text(status: StatusCode, line: &str) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", format!("{line}\n"))
    }

    /// Refuses a request's method; `methods` are those that it may have, with `", "` between them.
    pub fn not_allowed(methods: &'static str) -> Self {
        Self::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
            .with_header(header::ALLOW, HeaderValue::from_static(methods))
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers that the handler set.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The whole body, or what there is now of one that goes on, for a caller that is not a server.
    ///
    /// # Errors
    /// What writing the body fails with.
    pub fn into_bytes(self) -> io::Result<Bytes> {
        match self.body {
            Body::Bytes(bytes) => Ok(bytes),
            Body::Written(write) => {
                let mut bytes = Vec::new();
                write(&mut bytes)?;
                Ok(bytes.into())
            }
            Body::Streamed(mut pieces) => {
                let mut bytes = Vec::new();
                while let Some(Some(piece)) = pieces.next().now_or_never() {
                    bytes.extend_from_slice(&piece);
                }
                Ok(bytes.into())
            }
        }
    }

    fn new(status: StatusCode, content_type: &'static str, body: Body) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers,
            body,
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
