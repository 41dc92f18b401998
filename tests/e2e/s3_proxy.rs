//! What stands between us and an S3 server, and refuses requests while it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A refusal: status, and S3's code and message.
pub(crate) type Refusal = (u16, &'static str, &'static str);

/// A proxy that ends with its test's process.
pub(crate) struct S3Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    refusal: Option<Refusal>,
    connections: Vec<TcpStream>,
}

impl S3Proxy {
    /// Passes everything on to a server on the port `to`.
    pub(crate) fn start(to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // Connections end when either side says so.
                thread::spawn(move || serve(stream, to, &shared));
            }
        });
        Ok(Self { port, state })
    }

    /// Refuses everything from now on, or nothing. Connections that are open end.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refusal = refusal;
        for connection in state.connections.drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, to: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let refusal = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
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
        return write!(
            stream,
            "HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let upstream = TcpStream::connect(("127.0.0.1", to))?;
    let (mut from, mut into) = (stream.try_clone()?, upstream.try_clone()?);
    let forward = thread::spawn(move || {
        let copied = std::io::copy(&mut from, &mut into);
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
