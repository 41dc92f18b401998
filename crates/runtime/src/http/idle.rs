//! A socket that gives up when nothing moves on it.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Fails reads and writes once neither made progress for a while. This catches what no timeout of
/// HTTP does: a client that stops in the middle of its body, or stops reading the answer.
#[derive(Debug)]
pub(super) struct IdleStream {
    stream: TcpStream,
    idle_max: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl IdleStream {
    pub(super) fn new(stream: TcpStream, idle_max: Duration) -> Self {
        Self {
            stream,
            idle_max,
            alarm: Box::pin(sleep(idle_max)),
        }
    }

    /// Passes on what an operation came to, unless it waits and the time is up.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if operation.is_ready() {
            self.alarm.as_mut().reset(Instant::now() + self.idle_max);
            return operation;
        }
        let timed_out = self.alarm.as_mut().poll(cx);
        timed_out.map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "idle connection")))
    }
}

impl AsyncRead for IdleStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch(cx, read)
    }
}

impl AsyncWrite for IdleStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
