//! What stands between us and an S3 server, and refuses requests while it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A refusal: status, and S3's code and message. One with status 503 asks to stay away for a second.
pub(crate) type Refusal = (u16, &'static str, &'static str);

/// A proxy that ends with its test's process.
pub(crate) struct S3Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when writes are no longer held.
    released: Condvar,
    refused: AtomicUsize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what a client sends, but for writes of objects that are held.
    fn forward(&self, from: &mut TcpStream, into: &mut TcpStream) -> std::io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            // A client sends a request after it has the answer to the one before.
            let line = bytes[..read].split(|b| *b == b'\r').next();
            let line = String::from_utf8_lossy(line.unwrap_or_default());
            let mut state = self.state();
            let is_held = |state: &State| {
                let held = state.held.map(|name| format!("{name} HTTP/1.1"));
                held.is_some_and(|end| line.starts_with("PUT ") && line.ends_with(&end))
            };
            while is_held(&state) {
                state.is_holding = true;
                let waited = self.released.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            into.write_all(&bytes[..read])?;
        }
    }
}

#[derive(Default)]
struct State {
    refusal: Option<Refusal>,
    /// Writes of objects whose names end so wait.
    held: Option<&'static str>,
    is_holding: bool,
    connections: Vec<TcpStream>,
}

impl S3Proxy {
    /// Passes everything on to a server on the port `to`.
    pub(crate) fn start(to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // Connections end when either side says so.
                thread::spawn(move || serve(stream, to, &shared));
            }
        });
        Ok(Self { port, shared })
    }

    /// Has writes of objects whose names end with `name` wait from now on, or nothing any more.
    pub(crate) fn hold(&self, name: Option<&'static str>) {
        let mut state = self.shared.state();
        (state.held, state.is_holding) = (name, false);
        self.shared.released.notify_all();
    }

    /// Whether a write waits, or did since [`S3Proxy::hold`].
    pub(crate) fn is_holding(&self) -> bool {
        self.shared.state().is_holding
    }

    /// Requests that were refused.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Refuses everything from now on, or nothing. Connections that are open end.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        let mut state = self.shared.state();
        state.refusal = refusal;
        for connection in state.connections.drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, to: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    let refusal = {
        let mut state = shared.state();
        state.connections.push(stream.try_clone()?);
        state.refusal
    };
    if let Some((status, code, message)) = refusal {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
            head.extend(byte);
        }
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let after = if status == 503 {
            "Retry-After: 1\r\n"
        } else {
            ""
        };
        shared.refused.fetch_add(1, Ordering::Relaxed);
        return write!(
            stream,
            "HTTP/1.1 {status} Refused\r\n{after}Content-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let upstream = TcpStream::connect(("127.0.0.1", to))?;
    let (mut from, mut into) = (stream.try_clone()?, upstream.try_clone()?);
    let shared = Arc::clone(shared);
    let forward = thread::spawn(move || {
        let copied = shared.forward(&mut from, &mut into);
        let _ = into.shutdown(Shutdown::Write);
        copied
    });
    let mut upstream = upstream;
    std::io::copy(&mut upstream, &mut stream)?;
    stream.shutdown(Shutdown::Both)?;
    // A panic there would be a bug of this file.
    let _ = forward.join();
    Ok(())
}
