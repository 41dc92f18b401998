//! Requests over HTTP/1.0 to a server on 127.0.0.1, enough to ask a peer a question.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The headers, with the line of the status.
    pub head: String,
    /// The body, decoded as UTF-8.
    pub body: String,
}

impl Answer {
    /// The value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = headers.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }
}

/// Asks `127.0.0.1:port` for `path`, which carries its query string already encoded.
///
/// # Errors
/// When the connection fails, times out after 30 s, or the answer is not HTTP.
pub fn get(port: u16, path: &str) -> io::Result<Answer> {
    send(port, "GET", path, &[], b"")
}

/// Sends a form, which is encoded already, to `path` of `127.0.0.1:port`.
///
/// # Errors
/// As [`get`].
pub fn post_form(port: u16, path: &str, form: &str) -> io::Result<Answer> {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    send(port, "POST", path, &headers, form.as_bytes())
}

/// Sends a body to `path` of `127.0.0.1:port`.
///
/// # Errors
/// As [`get`].
pub fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    send(port, "POST", path, headers, body)
}

/// Sends a request of any method to `path` of `127.0.0.1:port`.
///
/// # Errors
/// As [`get`].
pub fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    // A server that answers without the body and closes resets what follows; its answer counts.
    let written = stream.write_all(&[request.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    written.or_else(|error| parse(&answer).map(drop).ok_or(error))?;
    read?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Encodes `text` for use as a value in a query string.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(b))
            }
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
