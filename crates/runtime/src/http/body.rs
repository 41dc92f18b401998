//! Bodies on the async side: what comes in, within limits, and what goes out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has this many bytes or more, which are more than it may.
    TooLarge(u64),
    /// Its connection failed.
    Failed,
    /// It did not arrive in time.
    TooSlow,
}

/// Reads a body of at most `max` bytes.
pub(super) async fn read(mut body: Incoming, max: usize) -> Result<Bytes, Unread> {
    let declared = body.size_hint().lower();
    if declared > max as u64 {
        return Err(Unread::TooLarge(declared));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Unread::Failed)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > max - whole.len() {
            return Err(Unread::TooLarge((whole.len() + data.len()) as u64));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// A piece of a body on its way from the thread that writes it.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// The body is complete. Without it, the channel's end means that the writer failed.
    End,
}

/// A body that goes out.
pub(super) enum Outgoing {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Piece>),
    /// Comes about while it is sent.
    Streamed(BoxStream<'static, Bytes>),
    /// All pieces went out.
    Done,
}

impl Outgoing {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let pieces = match &mut *self {
            Self::Done => return Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Streamed(pieces) => {
                let piece = ready!(pieces.as_mut().poll_next(cx));
                return Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))));
            }
            Self::Pieces(pieces) => pieces,
        };
        let piece = ready!(pieces.poll_recv(cx));
        if !matches!(piece, Some(Piece::Data(_))) {
            *self = Self::Done;
        }
        Poll::Ready(match piece {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::End) => None,
            None => Some(Err(io::Error::other("the body could not be written"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pieces(_) | Self::Streamed(_) => false,
            Self::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces(_) | Self::Streamed(_) => SizeHint::default(),
            Self::Done => SizeHint::with_exact(0),
        }
    }
}
