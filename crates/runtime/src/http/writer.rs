//! From a handler's answer to a body on the wire: buffered, compressed if asked, sent in pieces.
//!
//! Runs on the handler's thread. An answer that fits into one buffer goes out whole, with its
//! length; a longer one goes out piece by piece, and a slow reader makes the writer wait, but not
//! for ever.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::body::{Outgoing, Piece};
use super::coding::Coding;
use super::response::{Body, Response};
use crate::process::Shutdown;

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader.
const PIECES_AHEAD: usize = 4;
/// Shorter bodies gain nothing from compression.
const CODING_MIN: usize = 256;

/// An answer as hyper takes it.
pub(super) type Answer = hyper::Response<Outgoing>;

/// Sends `response` through `answer`, its body compressed by `coding` unless it is already or goes on
/// until `shutdown`.
///
/// # Errors
/// When the reader went away or took nothing for `stall_max`, and what writing the body fails with.
pub(super) fn send(
    response: Response,
    coding: Coding,
    answer: oneshot::Sender<Answer>,
    (stall_max, mut shutdown): (Duration, Shutdown),
) -> io::Result<()> {
    let Response {
        status,
        mut headers,
        body,
    } = response;
    let coding = match headers.contains_key(header::CONTENT_ENCODING) {
        true => Coding::Identity,
        false => coding,
    };
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let write = match body {
        Body::Bytes(bytes) if coding == Coding::Identity || bytes.len() < CODING_MIN => {
            return send_whole((status, headers, Outgoing::whole(bytes)), answer);
        }
        Body::Bytes(bytes) => Box::new(move |out: &mut dyn Write| out.write_all(&bytes)),
        Body::Written(write) => write,
        Body::Streamed(pieces) => {
            let end = Box::pin(async move { shutdown.requested().await });
            let pieces = Outgoing::Streamed(pieces.take_until(end).boxed());
            return send_whole((status, headers, pieces), answer);
        }
    };
    if let Some(name) = coding.name() {
        headers.insert(header::CONTENT_ENCODING, name);
    }
    let mut head = hyper::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    let sink = Pieces {
        head: Some((head, answer)),
        pieces: None,
        buffer: Vec::with_capacity(PIECE_BYTES),
        runtime: Handle::current(),
        stall_max,
    };
    coding.encode(sink, write)?.finish()
}

/// Sends an answer whose body needs nobody any more.
fn send_whole(
    (status, headers, body): (StatusCode, HeaderMap, Outgoing),
    answer: oneshot::Sender<Answer>,
) -> io::Result<()> {
    let mut head = hyper::Response::new(body);
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    answer.send(head).map_err(|_| gone())
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client went away")
}

/// Collects what is written into pieces.
struct Pieces {
    /// Held back until the first piece is full, or all is written.
    head: Option<(hyper::Response<()>, oneshot::Sender<Answer>)>,
    pieces: Option<mpsc::Sender<Piece>>,
    buffer: Vec<u8>,
    runtime: Handle,
    stall_max: Duration,
}

impl Pieces {
    /// Sends what is collected, and before the first piece the head.
    fn send_piece(&mut self) -> io::Result<()> {
        if let Some((head, answer)) = self.head.take() {
            let (pieces, outgoing) = mpsc::channel(PIECES_AHEAD);
            let head = head.map(|()| Outgoing::Pieces(outgoing));
            answer.send(head).map_err(|_| gone())?;
            self.pieces = Some(pieces);
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES));
        self.push(Piece::Data(full.into()))
    }

    fn push(&self, piece: Piece) -> io::Result<()> {
        let Some(pieces) = &self.pieces else {
            return Ok(());
        };
        let sent = self
            .runtime
            .block_on(timeout(self.stall_max, pieces.send(piece)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client stopped reading",
            )),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        if let Some((head, answer)) = self.head.take() {
            let whole = Bytes::from(std::mem::take(&mut self.buffer));
            let head = head.map(|()| Outgoing::whole(whole));
            return answer.send(head).map_err(|_| gone());
        }
        if !self.buffer.is_empty() {
            self.send_piece()?;
        }
        self.push(Piece::End)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.buffer.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == PIECE_BYTES {
            self.send_piece()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
