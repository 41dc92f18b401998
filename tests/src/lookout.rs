//! A stand-in for SOFALookout's client: its requests byte for byte, on a connection that is kept.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::http::Answer;

/// How long the client waits, for a connection as for an answer. The real one waits for a second, which a
/// machine that runs many tests may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records from which on the client compresses.
const COMPRESSED_FROM: usize = 100;

/// A client of one application.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// What each request begins with after its first line.
    head: String,
}

impl Client {
    /// Connects to the gateway at `127.0.0.1:port`.
    ///
    /// # Errors
    /// When there is no connection within the client's patience.
    pub fn connect(port: u16, app: &str) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let head = format!(
            "Client-Ip: 10.0.0.7\r\napp: {app}\r\nHost: 127.0.0.1:{port}\r\nConnection: Keep-Alive\r\nUser-Agent: LOOKOUT-CLIENT-V1\r\n"
        );
        Ok(Self {
            stream: BufReader::new(stream),
            head,
        })
    }

    /// Asks whether the gateway is for this client, as it does before it reports.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub fn check(&mut self) -> io::Result<Answer> {
        let request = format!("GET /datas HTTP/1.1\r\nConf-Id: \r\n{}\r\n", self.head);
        self.exchange(request.as_bytes(), b"")
    }

    /// Reports records of one priority, compressed when they are many.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub fn report(&mut self, records: &[String]) -> io::Result<Answer> {
        let text = records.join("\t").into_bytes();
        let (kind, body) = if records.len() < COMPRESSED_FROM {
            ("Content-Type: text/plain\r\n", text)
        } else {
            let packed = snap::raw::Encoder::new().compress_vec(&text);
            let kind = "Content-Type: application/octet-stream\r\nContent-Encoding: snappy\r\n";
            (kind, packed.map_err(io::Error::other)?)
        };
        let request = format!(
            "POST /datas HTTP/1.1\r\npri: NORMAL\r\n{}Content-Length: {}\r\n{kind}\r\n",
            self.head,
            body.len()
        );
        self.exchange(request.as_bytes(), &body)
    }

    fn exchange(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer> {
        let stream = self.stream.get_mut();
        stream.write_all(head)?;
        stream.write_all(body)?;
        let wrong = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut");
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(wrong)?;
        let (mut length, mut head) = (0, line);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(wrong());
            }
            head.push_str(&line);
            match line.trim_end().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().map_err(|_| wrong())?;
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status,
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}
