//! Requests whose messages are compressed with snappy, which Go's senders use and tonic does not know.
//!
//! In gRPC the name stands for the framed format, never for bare blocks. A request is read whole,
//! its messages are decompressed within [`MessageLimit`], and it goes on as if it had never
//! been compressed. Answers are not compressed: no sender asks for that.

use std::convert::Infallible;
use std::future::Future;
use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use super::message_limit::MessageLimit;
use crate::process;

const ENCODING: &str = "grpc-encoding";
/// Before each message: whether it is compressed, and its length.
const HEADER_LEN: usize = 5;

/// Decompresses requests for the service within.
#[derive(Debug, Clone)]
pub(super) struct Decompress<S> {
    inner: S,
    limit: MessageLimit,
}

impl<S> Decompress<S> {
    pub(super) const fn new(inner: S, limit: MessageLimit) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Request<Body>> for Decompress<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send,
    S: 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was made ready is the one to call.
        let ready = self.inner.clone();
        let mut service = std::mem::replace(&mut self.inner, ready);
        let limit = self.limit;
        let encoding = request.headers().get(ENCODING);
        if encoding.is_none_or(|name| name.as_bytes() != b"snappy") {
            return Box::pin(service.call(request));
        }
        Box::pin(async move {
            match decompressed(request, limit).await {
                Ok(request) => service.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

async fn decompressed(
    request: Request<Body>,
    limit: MessageLimit,
) -> Result<Request<Body>, Status> {
    let (mut head, body) = request.into_parts();
    let body = Limited::new(body, limit.bytes).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => too_long(limit),
        false => Status::invalid_argument(format!("read a request: {error}")),
    })?;
    let body = body.to_bytes();
    let messages = process::blocking(move || decompress_all(body, limit)).await?;
    head.headers.remove(ENCODING);
    Ok(Request::from_parts(head, Body::new(Full::new(messages))))
}

/// The messages of a body, decompressed to at most `limit` together.
fn decompress_all(mut body: Bytes, limit: MessageLimit) -> Result<Bytes, Status> {
    let mut out = BytesMut::new();
    let mut message = Vec::new();
    while !body.is_empty() {
        if body.len() < HEADER_LEN {
            return Err(cut());
        }
        let flag = body.get_u8();
        let len = body.get_u32() as usize;
        if len > body.len() {
            return Err(cut());
        }
        let packed = body.split_to(len);
        message.clear();
        let left = limit.bytes.saturating_sub(out.len());
        match flag {
            0 => message.extend_from_slice(&packed),
            1 => {
                // One byte more tells a message that is too long from one that just fits.
                let decoder = snap::read::FrameDecoder::new(&packed[..]);
                let mut decoder = decoder.take(left as u64 + 1);
                decoder.read_to_end(&mut message).map_err(|error| {
                    Status::invalid_argument(format!("snappy of a message: {error}"))
                })?;
            }
            other => {
                let text = format!("a message begins with {other} instead of 0 or 1");
                return Err(Status::invalid_argument(text));
            }
        }
        if message.len() > left {
            return Err(too_long(limit));
        }
        let len = u32::try_from(message.len()).map_err(|_| cut())?;
        out.put_u8(0);
        out.put_u32(len);
        out.extend_from_slice(&message);
    }
    Ok(out.freeze())
}

fn too_long(limit: MessageLimit) -> Status {
    Status::resource_exhausted(format!(
        "the request has more bytes than the limit of the server, {limit}; send less at once"
    ))
}

fn cut() -> Status {
    Status::invalid_argument("the request ends within a message")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tonic::Code;

    use super::*;

    fn framed(flag: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![flag];
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn packed(payload: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(payload).unwrap();
        framed(1, &encoder.into_inner().unwrap())
    }

    #[test]
    fn messages_are_unpacked_one_by_one() {
        let long = vec![7; 200_000];
        let body = [
            packed(b"one"),
            framed(0, b"two"),
            packed(&long),
            packed(b""),
        ]
        .concat();
        let expected = [
            framed(0, b"one"),
            framed(0, b"two"),
            framed(0, &long),
            framed(0, b""),
        ];
        assert_eq!(
            decompress_all(body.into(), MessageLimit { bytes: 1 << 20 }).unwrap(),
            expected.concat()
        );
    }

    #[test]
    fn damage_and_bombs_are_refused() {
        let code = |body: &[u8], bytes| {
            let body = Bytes::copy_from_slice(body);
            let refused = decompress_all(body, MessageLimit { bytes }).map(|_| ());
            refused.unwrap_err().code()
        };
        let bomb = packed(&vec![0; 10_000_000]);
        assert!(bomb.len() < 1_000_000);
        assert_eq!(code(&bomb, 1_000_000), Code::ResourceExhausted);
        let sound = packed(b"some bytes that are here");
        for cut in 1..sound.len() {
            assert_eq!(code(&sound[..cut], 1_000), Code::InvalidArgument, "{cut}");
        }
        assert_eq!(code(&framed(2, b""), 10), Code::InvalidArgument);
        assert_eq!(
            code(&framed(1, b"not snappy"), 1_000),
            Code::InvalidArgument
        );
    }

    /// Answers with the request's own body.
    #[derive(Clone)]
    struct Echo;

    impl Service<Request<Body>> for Echo {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            assert!(!request.headers().contains_key(ENCODING));
            std::future::ready(Ok(Response::new(request.into_body())))
        }
    }

    #[tokio::test]
    async fn requests_go_on_as_if_never_compressed() {
        let mut service = Decompress::new(Echo, MessageLimit::default());
        let request = |encoding: Option<&str>, body: Vec<u8>| {
            let mut request = Request::builder();
            if let Some(encoding) = encoding {
                request = request.header(ENCODING, encoding);
            }
            let body = Body::new(Full::new(Bytes::from(body)));
            request.body(body).unwrap()
        };
        for request in [
            request(Some("snappy"), packed(b"hello")),
            request(None, framed(0, b"hello")),
        ] {
            let answer = service.call(request).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, framed(0, b"hello"));
        }
        let broken = request(Some("snappy"), vec![1, 2]);
        let answer = service.call(broken).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "3");

        // Even packed it is more than there may be.
        let mut service = Decompress::new(Echo, MessageLimit { bytes: 4 });
        let answer = service.call(request(Some("snappy"), packed(b"hello")));
        assert_eq!(answer.await.unwrap().headers()["grpc-status"], "8");
    }
}
