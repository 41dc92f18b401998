//! From a handler's answer to a body on the wire: buffered, compressed if asked, sent in pieces.
//!
//! Runs on the handler's thread. An answer that fits into one buffer goes out whole, with its
//! length; a longer one goes out piece by piece, and a slow reader makes the writer wait, but not
//! for ever.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::body::{Outgoing, Piece};
use super::coding::Coding;
use super::response::{Body, Response};

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow reader.
const PIECES_AHEAD: usize = 4;
/// Shorter bodies gain nothing from compression.
const CODING_MIN: usize = 256;

/// An answer as hyper takes it.
pub(super) type Answer = hyper::Response<Outgoing>;

/// Sends `response` through `answer`, its body compressed by `coding` unless it is already.
///
/// # Errors
/// When the reader went away or took nothing for `stall_max`, and what writing the body fails with.
pub(super) fn send(
    response: Response,
    coding: Coding,
    answer: oneshot::Sender<Answer>,
    stall_max: Duration,
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
            let mut head = hyper::Response::new(Outgoing::whole(bytes));
            *head.status_mut() = status;
            *head.headers_mut() = headers;
            return answer.send(head).map_err(|_| gone());
        }
        Body::Bytes(bytes) => Box::new(move |out: &mut dyn Write| out.write_all(&bytes)),
        Body::Written(write) => write,
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
