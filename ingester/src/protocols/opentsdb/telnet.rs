//! The telnet protocol on a connection: lines in, silence for each point that is stored, one line
//! for each that is not.
//!
//! All the whole lines that have arrived are decoded and stored together. What comes after them is
//! read only once they are durable, so a client that sends faster than the disk is held back. So is one
//! that sends more than it may, or while the storage takes nothing: most clients never read an
//! answer, so what they would be told they would lose. Only when that lasts beyond
//! [`Options::wait_max`] are its lines refused, and answered and counted. See
//! docs/adr/0206-lines-wait-for-the-storage.md.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::ErrorKind;
use runtime::http::RawProtocol;
use runtime::process::{Shutdown, blocking};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tsdb::batch::Reject;

use super::Options;
use super::line::{Command, NamedLines};
use crate::protocols::points::{Points, Reason};
use crate::protocols::sink::{Sink, StoreError};
use crate::receive::Reason as LabelReason;

/// Bytes of a line; OpenTSDB's own limit is 1024.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read before what is whole in them is stored.
const CHUNK_BYTES: usize = 256 << 10;
/// How long a connection may be silent between lines.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long the rest of a line may take, and the client to read answers.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Bytes of answers to the lines of one chunk; errors beyond that are only counted.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The tenant of all lines: the default one.
const TENANT: &str = "";

/// The pauses between two attempts to store the same lines, of which each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The protocol.
#[derive(Debug, Clone)]
pub struct Telnet {
    sink: Sink,
    options: Options,
}

/// What the lines of a chunk came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What to answer.
    pub text: String,
    /// The connection is to be closed.
    pub close: bool,
}

/// Whole lines that were read.
#[derive(Debug, Default)]
pub struct Lines {
    points: Points,
    /// What they are answered so far.
    pub reply: Reply,
}

/// True for an error that may be none a little later.
fn may_pass(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::Exhausted | ErrorKind::Unavailable)
}

impl Telnet {
    /// The protocol of a receiver.
    pub fn new(sink: Sink, options: Options) -> Self {
        Self { sink, options }
    }

    /// Reads whole lines, and answers what is no point.
    pub fn lines(&self, chunk: &[u8]) -> Lines {
        let mut read = Lines::default();
        let Lines { points, reply } = &mut read;
        let (names, left) = self.sink.names(self.options.names);
        points.rename(left);
        let options = Options {
            names,
            ..self.options
        };
        let named = self.sink.named(TENANT);
        let known = named.read();
        let mut lines = NamedLines::new(&known);
        let text = String::from_utf8_lossy(chunk);
        let mut from = 0;
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        for end in ends.chain([text.len()]) {
            let line = &text[std::mem::replace(&mut from, end + 1)..end];
            if lines.expected(line, points) {
                continue;
            }
            match Command::of_line(line) {
                Command::Nothing => {}
                Command::Put(arguments) => {
                    if let Err(error) = lines.put(line, arguments, &options, points) {
                        reply.line(format_args!("{error}"));
                    }
                }
                Command::Version => reply.line(format_args!(
                    "promontory with the interface of OpenTSDB 2.4.0\nBuilt without a revision"
                )),
                Command::Stats => reply.line(format_args!(
                    "tsd.connectionmgr.connections {} 1 type=total",
                    self.sink.now_ms() / 1000
                )),
                Command::Help => reply.line(format_args!(
                    "available commands: exit help put stats version"
                )),
                Command::DropCaches => reply.line(format_args!("Caches dropped")),
                Command::Unknown(word) => {
                    reply.line(format_args!("unknown command: {word}.  Try `help'."))
                }
                Command::Exit => {
                    reply.close = true;
                    break;
                }
            }
        }
        read
    }

    /// Stores the points of lines. What is not answered with an error is durable afterwards.
    ///
    /// # Errors
    /// When none of them is, which may pass.
    pub fn try_store(&self, lines: &mut Lines) -> Result<(), StoreError> {
        let Lines { points, reply } = lines;
        if points.is_empty() {
            return Ok(());
        }
        let stored = self.sink.try_store(TENANT, points)?;
        let by_storage = stored.refusals.kept().iter();
        for refused in by_storage.filter(|refused| refused.series.is_some()) {
            let (reason, shown) = (refused.reason, &refused.shown);
            let what = match reason {
                Reason::Series(LabelReason::Head(Reject::SeriesLimit)) => "Please throttle writes",
                _ => "storage exception",
            };
            reply.line(format_args!("put: {what}: {reason}: {shown}"));
        }
        Ok(())
    }

    /// Refuses points that could not be stored.
    pub fn give_up(&self, lines: &mut Lines, error: &StoreError) {
        let Lines { points, reply } = lines;
        self.sink.give_up(TENANT, points, error);
        if may_pass(error) {
            let lost = points.batch().len();
            reply.line(format_args!(
                "put: Please throttle writes: {error}; {lost} data points were not stored"
            ));
        } else {
            tracing::error!(%error, "write failed");
            reply.line(format_args!("put: storage exception: {error}"));
        }
    }

    /// Does what the whole lines of `chunk` ask for. It waits while the storage takes nothing, but not
    /// beyond the longest wait nor the end of the process.
    async fn take(self: &Arc<Self>, chunk: Vec<u8>, shutdown: &mut Shutdown) -> Reply {
        let until = Instant::now() + self.options.wait_max;
        let mut pause = PAUSE_MIN;
        let telnet = Arc::clone(self);
        let mut lines = blocking(move || telnet.lines(&chunk)).await;
        loop {
            let telnet = Arc::clone(self);
            let result;
            (lines, result) = blocking(move || {
                let result = telnet.try_store(&mut lines);
                (lines, result)
            })
            .await;
            let Err(error) = result else {
                return lines.reply;
            };
            let may_wait = may_pass(&error) && Instant::now() + pause <= until;
            let has_waited = may_wait
                && tokio::select! {
                    () = shutdown.requested() => false,
                    () = sleep(pause) => true,
                };
            if !has_waited {
                self.give_up(&mut lines, &error);
                return lines.reply;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn converse(
        self: Arc<Self>,
        mut stream: TcpStream,
        mut shutdown: Shutdown,
    ) -> io::Result<()> {
        let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK_BYTES);
        loop {
            let patience = if buffer.is_empty() {
                IDLE_MAX
            } else {
                STALL_MAX
            };
            let room = CHUNK_BYTES - buffer.len();
            let mut limited = (&mut stream).take(room as u64);
            let read = tokio::select! {
                read = timeout(patience, limited.read_buf(&mut buffer)) => read??,
                () = shutdown.requested() => return Ok(()),
            };
            // The last line may lack its end.
            let whole = if read == 0 {
                buffer.len()
            } else {
                memchr::memrchr(b'\n', &buffer).map_or(0, |at| at + 1)
            };
            if whole == 0 && buffer.len() > LINE_BYTES_MAX {
                let refusal = format!("error: line longer than {LINE_BYTES_MAX} bytes\n");
                timeout(STALL_MAX, stream.write_all(refusal.as_bytes())).await??;
                return Ok(());
            }
            if whole > 0 {
                let rest = buffer.split_off(whole);
                let chunk = std::mem::replace(&mut buffer, Vec::with_capacity(CHUNK_BYTES));
                buffer.extend_from_slice(&rest);
                let reply = self.take(chunk, &mut shutdown).await;
                timeout(STALL_MAX, stream.write_all(reply.text.as_bytes())).await??;
                if reply.close {
                    return Ok(());
                }
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

impl RawProtocol for Telnet {
    fn begins_with(&self, byte: u8) -> bool {
        !byte.is_ascii_uppercase()
    }

    fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        shutdown: Shutdown,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if let Err(error) = self.converse(stream, shutdown).await {
                tracing::debug!(%error, "connection ended early");
            }
        })
    }
}

impl Reply {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        if self.text.len() < ANSWER_BYTES_MAX {
            writeln!(self.text, "{line}").expect("writing to a String");
        }
    }
}
