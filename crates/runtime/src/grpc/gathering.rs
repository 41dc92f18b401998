//! A socket that gathers what is written to it before it sends.
//!
//! HTTP/2 writes the headers of a request before its body is known to fit, and a frame of data before
//! the trailers that come right after it: a packet for each, and perhaps a thread woken at the other
//! end. Here what is short waits until whoever else is ready to run had a turn, which is when the rest is there, and goes out
//! with it. What is long goes out at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait at most. Fewer than an answer's first message has before the next one is begun, so
/// that none waits for another to be made.
const WAITING_BYTES_MAX: usize = 32 << 10;

/// A stream that gathers short writes.
#[derive(Debug)]
pub(super) struct Gathering<T> {
    stream: T,
    /// What was written and not sent.
    waiting: Vec<u8>,
    /// Bytes of it that were.
    sent: usize,
    /// The others had their turn since there is something that waits.
    is_due: bool,
}

impl<T> Gathering<T> {
    pub(super) const fn new(stream: T) -> Self {
        Self {
            stream,
            waiting: Vec::new(),
            sent: 0,
            is_due: false,
        }
    }

    pub(super) const fn get_ref(&self) -> &T {
        &self.stream
    }
}

impl<T: AsyncWrite + Unpin> Gathering<T> {
    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let left = &self.waiting[self.sent..];
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, left))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.waiting.clear();
        (self.sent, self.is_due) = (0, false);
        Poll::Ready(Ok(()))
    }

    /// Whether so many bytes more may wait.
    fn has_room(&self, bytes: usize) -> bool {
        // What is being sent is not added to.
        self.sent == 0 && self.waiting.len() + bytes < WAITING_BYTES_MAX
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gathering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathering<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        if self.has_room(bytes) {
            for buf in bufs {
                self.waiting.extend_from_slice(buf);
            }
            return Poll::Ready(Ok(bytes));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Puts off what waits, once; who asks comes again, as he is woken.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() && !std::mem::replace(&mut self.is_due, true) {
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::FutureExt as _;
    use futures::future::poll_fn;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// What can be read at once.
    fn there(far: &mut DuplexStream) -> Vec<u8> {
        let mut read = vec![0; 2 * WAITING_BYTES_MAX];
        let len = far.read(&mut read).now_or_never();
        read.truncate(len.map_or(0, Result::unwrap));
        read
    }

    #[tokio::test]
    async fn what_is_short_waits_for_a_turn_of_others() {
        let (near, mut far) = duplex(1 << 20);
        let mut near = Gathering::new(near);
        for _ in 0..2 {
            near.write_all(b"head").await.unwrap();
            near.flush().await.unwrap();
            assert_eq!(there(&mut far), b"");
            // Here the others had theirs.
            near.write_all(b"body").await.unwrap();
            near.flush().await.unwrap();
            assert_eq!(there(&mut far), b"headbody");
        }
    }

    #[tokio::test]
    async fn who_put_off_what_waits_is_woken() {
        let (near, mut far) = duplex(1 << 20);
        let mut near = Gathering::new(near);
        near.write_all(b"all").await.unwrap();
        let mut turns = 0;
        let flushed = poll_fn(|cx| {
            turns += 1;
            match Pin::new(&mut near).poll_flush(cx) {
                Poll::Ready(Ok(())) if turns == 2 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        });
        flushed.await;
        assert_eq!(there(&mut far), b"all");
    }

    #[tokio::test]
    async fn what_is_long_goes_out_at_once_and_in_order() {
        let (near, mut far) = duplex(1 << 20);
        let mut near = Gathering::new(near);
        near.write_all(b"head").await.unwrap();
        let long = vec![7; WAITING_BYTES_MAX];
        near.write_all(&long).await.unwrap();
        assert_eq!(there(&mut far), [b"head", &long[..]].concat());
    }

    #[tokio::test]
    async fn an_end_leaves_nothing_behind_though_the_socket_takes_little() {
        let (near, mut far) = duplex(3);
        let mut near = Gathering::new(near);
        near.write_all(b"some bytes").await.unwrap();
        let mut read = Vec::new();
        let (ended, all) = tokio::join!(near.shutdown(), far.read_to_end(&mut read));
        ended.unwrap();
        all.unwrap();
        assert_eq!(read, b"some bytes");
    }
}
