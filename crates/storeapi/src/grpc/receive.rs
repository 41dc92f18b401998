//! A stream of messages as it is received: they stay where the connection put them.
//!
//! tonic gathers a stream in a buffer of its own, which copies every byte once more. Here a
//! message is a slice of the HTTP/2 frame that it came in; only one that came in several is put
//! together.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::Full;
use prost::Message;
use runtime::grpc::MessageLimit;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http::{self, HeaderValue, Method, StatusCode, Version, header};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// The messages of an answer.
pub(super) struct Received {
    body: Body,
    parts: Parts,
    limit: MessageLimit,
    is_at_end: bool,
}

impl Received {
    /// Calls the method at `path`, whose messages may be as large as `limit`.
    ///
    /// # Errors
    /// What the connection fails with, or the peer says at once.
    pub(super) async fn call(
        mut channel: Channel,
        limit: MessageLimit,
        path: &'static str,
        metadata: MetadataMap,
        message: &impl Message,
    ) -> Result<Self, Status> {
        let failed = |error: tonic::transport::Error| Status::from_error(error.into());
        let ready = poll_fn(|cx| channel.poll_ready(cx));
        ready.await.map_err(failed)?;
        let asked = request(path, metadata, message);
        let answer = channel.call(asked).await.map_err(failed)?;
        let (head, body) = answer.into_parts();
        Ok(Self {
            is_at_end: ends_with(&head)?,
            body,
            parts: Parts::default(),
            limit,
        })
    }

    /// The next message; nothing after the last.
    ///
    /// # Errors
    /// When the connection fails, the peer says that it did, or what it sent are no messages.
    pub(super) async fn message(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.parts.take(self.limit)? {
                return Ok(Some(message));
            }
            if self.is_at_end {
                return Ok(None);
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            let Some(frame) = frame.transpose()? else {
                return Err(Status::unknown("the answer ended without a status"));
            };
            match frame.into_data() {
                Ok(data) => self.parts.push(data),
                Err(frame) => {
                    self.is_at_end = true;
                    let status = frame.trailers_ref().and_then(Status::from_header_map);
                    match status {
                        Some(status) if status.code() == Code::Ok => {}
                        Some(status) => return Err(status),
                        None => {
                            return Err(Status::unknown("the answer ended without a status"));
                        }
                    }
                    if self.parts.len > 0 {
                        return Err(Status::internal("the answer ended within a message"));
                    }
                }
            }
        }
    }
}

/// Whether an answer is no more than its headers: an error, or, from servers in Go, one without
/// messages.
fn ends_with(head: &http::response::Parts) -> Result<bool, Status> {
    match Status::from_header_map(&head.headers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        Some(_) => Ok(true),
        None if head.status != StatusCode::OK => Err(of_http(head.status)),
        None => Ok(false),
    }
}

fn request(
    path: &'static str,
    metadata: MetadataMap,
    message: &impl Message,
) -> http::Request<Body> {
    let len = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + len);
    framed.put_u8(0);
    // Matchers have kilobytes.
    framed.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode_raw(&mut framed);
    let mut request = http::Request::new(Body::new(Full::new(framed.freeze())));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    // The channel adds who is asked.
    *request.uri_mut() = http::Uri::from_static(path);
    *request.headers_mut() = metadata.into_headers();
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, grpc);
    request
}

/// What it means that something which does not speak gRPC answered.
fn of_http(status: StatusCode) -> Status {
    let code = match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the answer is HTTP {status} and not gRPC"))
}

/// What was received and is not yet taken.
#[derive(Debug, Default)]
struct Parts {
    parts: VecDeque<Bytes>,
    /// Bytes of all parts.
    len: usize,
}

impl Parts {
    fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push_back(part);
        }
    }

    /// The first message, if all of it is there.
    fn take(&mut self, limit: MessageLimit) -> Result<Option<Bytes>, Status> {
        let Some(prefix) = self.prefix() else {
            return Ok(None);
        };
        let [compressed, len @ ..] = prefix;
        if compressed != 0 {
            let text = "the peer sent a compressed message, which was not asked for";
            return Err(Status::unimplemented(text));
        }
        let len = u32::from_be_bytes(len);
        limit.check(u64::from(len))?;
        let len = len as usize;
        if self.len - PREFIX_BYTES < len {
            return Ok(None);
        }
        self.skip(PREFIX_BYTES);
        Ok(Some(self.split(len)))
    }

    /// What is before the first message, if it is there.
    fn prefix(&self) -> Option<[u8; PREFIX_BYTES]> {
        if self.len < PREFIX_BYTES {
            return None;
        }
        let mut prefix = [0; PREFIX_BYTES];
        let bytes = self.parts.iter().flat_map(|part| part.iter());
        for (to, from) in prefix.iter_mut().zip(bytes) {
            *to = *from;
        }
        Some(prefix)
    }

    fn skip(&mut self, mut count: usize) {
        while count > 0 {
            count -= self.split_first(count).len();
        }
    }

    /// The first `count` bytes, of as many as there are.
    fn split(&mut self, count: usize) -> Bytes {
        if count == 0 {
            return Bytes::new();
        }
        let first = self.split_first(count);
        if first.len() == count {
            return first;
        }
        let mut whole = BytesMut::with_capacity(count);
        whole.extend_from_slice(&first);
        while whole.len() < count {
            let part = self.split_first(count - whole.len());
            whole.extend_from_slice(&part);
        }
        whole.freeze()
    }

    /// Bytes of the first part, at most `count` and at least one; there must be any.
    fn split_first(&mut self, count: usize) -> Bytes {
        let part = self.parts.front_mut().expect("as many bytes were counted");
        let taken = part.split_to(count.min(part.len()));
        if part.is_empty() {
            self.parts.pop_front();
        }
        self.len -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for message in messages {
            stream.push(0);
            stream.extend((message.len() as u32).to_be_bytes());
            stream.extend(message);
        }
        stream
    }

    proptest! {
        #[test]
        fn messages_are_found_wherever_frames_end(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1..20_usize, 1..40),
        ) {
            let stream = Bytes::from(framed(&messages));
            let (mut parts, mut found, mut at) = (Parts::default(), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(stream.len());
                parts.push(stream.slice(at..end));
                while let Some(message) = parts.take(MessageLimit::default()).unwrap() {
                    found.push(message.to_vec());
                }
                at = end;
                if at == stream.len() {
                    break;
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert_eq!(parts.len, 0);
        }
    }

    #[test]
    fn an_answer_may_be_no_more_than_its_headers() {
        let ends = |http: u16, status: Option<&'static str>| {
            let mut answer = http::Response::builder().status(http);
            if let Some(status) = status {
                answer = answer.header("grpc-status", status);
            }
            ends_with(&answer.body(()).unwrap().into_parts().0).map_err(|e| e.code())
        };
        assert_eq!(ends(200, None), Ok(false));
        assert_eq!(ends(200, Some("0")), Ok(true));
        assert_eq!(ends(200, Some("5")), Err(Code::NotFound));
        assert_eq!(ends(503, None), Err(Code::Unavailable));
    }

    #[test]
    fn a_message_in_one_frame_stays_where_it_is() {
        let frame = Bytes::from(framed(&[vec![7; 100]]));
        let at = frame[PREFIX_BYTES..].as_ptr();
        let mut parts = Parts::default();
        parts.push(frame);
        let message = parts.take(MessageLimit::default()).unwrap().unwrap();
        assert_eq!((message.as_ptr(), message.len()), (at, 100));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (prefix, code) in [
            ([1, 0, 0, 0, 0], Code::Unimplemented),
            ([0, 0x04, 0, 0, 1], Code::ResourceExhausted),
        ] {
            let mut parts = Parts::default();
            parts.push(Bytes::copy_from_slice(&prefix));
            assert_eq!(
                parts.take(MessageLimit::default()).unwrap_err().code(),
                code
            );
        }
    }
}
