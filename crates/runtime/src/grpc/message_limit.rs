//! How large a message of a peer may be.
//!
//! A message is held whole before it is read, so that its length, which the peer says, is bounded.
//! Both a server's requests and a client's answers go through [`Bounded`], which looks at nothing but
//! the lengths.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Channel;

/// What gRPC has before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Most bytes of a message that is taken from a peer. Peers of ours send less than 1 MB at a time, but
/// for lists of label values, which are one message each, as in Thanos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimit {
    /// The bytes.
    pub bytes: usize,
}

impl Default for MessageLimit {
    fn default() -> Self {
        Self { bytes: 64 << 20 }
    }
}

impl fmt::Display for MessageLimit {
    /// The limit and where it comes from, for errors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes (--grpc.max-message-size)", self.bytes)
    }
}

impl MessageLimit {
    /// Whether a message of so many bytes is taken.
    ///
    /// # Errors
    /// What the peer, or the user, is told when it is not.
    pub fn check(self, bytes: u64) -> Result<(), Status> {
        if bytes <= self.bytes as u64 {
            return Ok(());
        }
        Err(Status::resource_exhausted(format!(
            "a message has {bytes} bytes, and the limit of its receiver is {self}; ask for less or send less at once, or raise it there"
        )))
    }
}

/// A body of messages that are no larger than they may be.
struct Bounded {
    body: Body,
    limit: MessageLimit,
    /// What came of the next message's prefix.
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
    /// Bytes of the message that are still to come.
    left: u64,
}

impl Bounded {
    const fn new(body: Body, limit: MessageLimit) -> Self {
        Self {
            body,
            limit,
            prefix: [0; PREFIX_BYTES],
            prefix_len: 0,
            left: 0,
        }
    }

    /// Looks at what comes next.
    fn look(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.left > 0 {
                let skipped = data
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= skipped as u64;
                data = &data[skipped..];
                continue;
            }
            let taken = data.len().min(PREFIX_BYTES - self.prefix_len);
            self.prefix[self.prefix_len..][..taken].copy_from_slice(&data[..taken]);
            self.prefix_len += taken;
            data = &data[taken..];
            if self.prefix_len == PREFIX_BYTES {
                let [_, len @ ..] = self.prefix;
                self.left = u64::from(u32::from_be_bytes(len));
                self.limit.check(self.left)?;
                self.prefix_len = 0;
            }
        }
        Ok(())
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.look(data)
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A server's services, whose requests are bounded. Each finds the limit among its extensions.
#[derive(Debug, Clone)]
pub(super) struct BoundedRequests<S> {
    inner: S,
    limit: MessageLimit,
}

impl<S> BoundedRequests<S> {
    pub(super) const fn new(inner: S, limit: MessageLimit) -> Self {
        Self { inner, limit }
    }
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for BoundedRequests<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let limit = self.limit;
        let mut request = request.map(|body| Body::new(Bounded::new(body, limit)));
        request.extensions_mut().insert(limit);
        self.inner.call(request)
    }
}

/// A channel whose answers are bounded. Clients over it need no limit of their own.
#[derive(Debug, Clone)]
pub struct BoundedChannel {
    channel: Channel,
    limit: MessageLimit,
}

impl BoundedChannel {
    /// The channel, of whose answers no message may be larger than `limit`.
    pub const fn new(channel: Channel, limit: MessageLimit) -> Self {
        Self { channel, limit }
    }
}

impl Service<Request<Body>> for BoundedChannel {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Body>, tonic::transport::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answering, limit) = (self.channel.call(request), self.limit);
        Box::pin(async move {
            let answer = answering.await?;
            Ok(answer.map(|body| Body::new(Bounded::new(body, limit))))
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use http_body_util::StreamBody;
    use tonic::Code;

    use super::*;

    /// What a body of messages of these sizes, cut into pieces of `piece` bytes, comes to.
    async fn received(sizes: &[u32], piece: usize) -> Result<usize, Code> {
        let mut stream = Vec::new();
        for &size in sizes {
            stream.push(0);
            stream.extend(size.to_be_bytes());
            stream.resize(stream.len() + size as usize, 1);
        }
        let pieces: Vec<_> = stream
            .chunks(piece)
            .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = Body::new(StreamBody::new(futures::stream::iter(pieces)));
        let bounded = Bounded::new(body, MessageLimit { bytes: 100 });
        let collected = bounded.collect().await.map_err(|status| status.code())?;
        Ok(collected.to_bytes().len())
    }

    #[tokio::test]
    async fn messages_are_bounded_wherever_pieces_end() {
        for piece in [1, 2, 3, 7, 105, 1_000] {
            assert_eq!(received(&[0, 100, 3, 100], piece).await, Ok(203 + 20));
            let refused = received(&[100, 0, 101], piece).await;
            assert_eq!(refused, Err(Code::ResourceExhausted));
        }
    }

    #[test]
    fn errors_name_value_limit_and_flag() {
        let error = MessageLimit::default().check(70_000_000).unwrap_err();
        for said in ["70000000 bytes", "67108864 bytes (--grpc.max-message-size)"] {
            assert!(error.message().contains(said), "{}", error.message());
        }
    }
}
