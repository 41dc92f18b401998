//! A socket that waits a moment for more before it writes.
//!
//! A client's HTTP/2 connection has the headers of a request sent before its body is known to fit,
//! which takes a packet, and wakes the server, for each. Here what is to be written first waits until
//! whoever else is ready to run had a turn, which is when the body is there, and goes out with it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose first write after a flush waits for a turn.
#[derive(Debug)]
pub(super) struct Gathering<T> {
    stream: T,
    /// The others had their turn since the last flush.
    is_due: bool,
}

impl<T> Gathering<T> {
    pub(super) const fn new(stream: T) -> Self {
        Self {
            stream,
            is_due: false,
        }
    }

    /// Lets others run first, once.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.is_due, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_due(cx));
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_due(cx));
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_due = false;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn the_first_write_waits_for_a_turn_of_others() {
        let (near, mut far) = duplex(100);
        let mut near = Gathering::new(near);
        for _ in 0..2 {
            let mut turns = 0;
            let written = poll_fn(|cx| {
                turns += 1;
                Pin::new(&mut near).poll_write(cx, b"ab")
            });
            assert_eq!(written.await.unwrap(), 2);
            assert_eq!(turns, 2);
            // What follows does not wait.
            let next = poll_fn(|cx| Pin::new(&mut near).poll_write(cx, b"c").map(Some));
            assert!(futures::future::FutureExt::now_or_never(next).is_some());
            near.flush().await.unwrap();
            let mut read = [0; 3];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"abc");
        }
    }
}
