//! The first line of a connection, in which people type what a URL may not have.
//!
//! `curl -g 'http://host/api/v1/query?query=up{job="x"}'` sends the quotes as they are, and the servers
//! of Prometheus and Thanos take them; the parser of HTTP here does not. Quotes and angle brackets
//! are therefore encoded on the way, in the first request of a connection only: programs that ask
//! again on the same one encode what they send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at a time while the line lasts. Encoded they are three times as many at most.
const READ_BYTES: usize = 2_048;

/// A connection whose first line is made valid.
#[derive(Debug)]
pub(super) struct RequestLine<S> {
    stream: S,
    /// What was read and not taken yet.
    pending: Vec<u8>,
    taken: usize,
    is_over: bool,
}

impl<S> RequestLine<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            taken: 0,
            is_over: false,
        }
    }

    /// Keeps what was read, encoded up to the end of the line.
    fn keep(&mut self, read: &[u8]) {
        self.pending.clear();
        self.taken = 0;
        for (at, byte) in read.iter().enumerate() {
            match byte {
                b'"' => self.pending.extend_from_slice(b"%22"),
                b'<' => self.pending.extend_from_slice(b"%3C"),
                b'>' => self.pending.extend_from_slice(b"%3E"),
                b'\n' => {
                    self.is_over = true;
                    self.pending.extend_from_slice(&read[at..]);
                    return;
                }
                byte => self.pending.push(*byte),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestLine<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.pending.len() {
            if this.is_over {
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            this.keep(read.filled());
        }
        let left = &this.pending[this.taken..];
        let count = left.len().min(buf.remaining());
        buf.put_slice(&left[..count]);
        this.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestLine<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
