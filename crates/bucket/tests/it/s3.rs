//! An S3 server in this process: objects with tags, ranges and conditions, and faults in turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bucket::{Bucket, Patience};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// Nothing comes any more after so many bytes of the body.
    Stall(usize),
    /// The body has so many bytes, and its length is said accordingly.
    Short(usize),
    /// It is done, and the connection closed without an answer.
    Lose,
    /// A status and S3's code for an error.
    Refuse(&'static str, &'static str),
    /// As `Cut`, and the object is replaced then.
    CutAndReplace(usize, &'static str),
}

#[derive(Default)]
pub(crate) struct State {
    /// Contents with the numbers of their versions.
    pub(crate) objects: BTreeMap<String, (Vec<u8>, u32)>,
    /// Keys of objects that are listed although they are gone.
    pub(crate) lagging: Vec<String>,
    pub(crate) faults: VecDeque<Fault>,
    /// What every request meets once there are no faults in turn.
    pub(crate) always: Option<Fault>,
    /// Requests, each as its method, its range and its condition.
    pub(crate) log: Vec<String>,
    /// Connections that the client closed in a stall.
    pub(crate) given_up: usize,
}

impl State {
    pub(crate) fn put(&mut self, key: &str, content: &[u8]) {
        let version = self.objects.get(key).map_or(1, |(_, version)| version + 1);
        self.objects
            .insert(key.to_owned(), (content.to_vec(), version));
    }
}

pub(crate) struct S3 {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { drop(serve(stream, &state).await) });
            }
        });
        Self { port, state }
    }

    /// The bucket, which gives up a try after so much silence.
    pub(crate) fn bucket(&self, silence: Duration) -> Bucket {
        let timeout = format!("response_header_timeout: {}ms", silence.as_millis());
        self.bucket_with(&timeout)
    }

    /// The bucket with this said of its connections.
    pub(crate) fn bucket_with(&self, http_config: &str) -> Bucket {
        let yaml = format!(
            "{{type: S3, config: {{bucket: b, endpoint: '127.0.0.1:{}', insecure: true, access_key: a, \
             secret_key: s, region: us-east-1, http_config: {{{http_config}}}}}}}",
            self.port,
        );
        Bucket::open(&yaml, Patience::Interactive).unwrap()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets these go wrong in turn, from now on, and forgets what was asked.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state();
        state.faults = faults.into_iter().collect();
        state.log.clear();
    }

    /// What was asked since.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Waits until clients have closed so many connections in a stall.
    pub(crate) async fn wait_given_up(&self, count: usize) {
        for _ in 0..500 {
            if self.state().given_up >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the connection stays open");
    }
}

struct Asked {
    method: String,
    key: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Asked {
    async fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut line = lines.next().unwrap_or_default().split(' ');
        let method = line.next().unwrap_or_default().to_owned();
        let target = line.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length");
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await?;
        Ok(Self {
            key: path.trim_start_matches("/b").trim_matches('/').to_owned(),
            method,
            query: query.to_owned(),
            headers,
            body,
        })
    }

    fn said(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte and the one behind the last of what is asked for.
    fn range(&self, size: usize) -> (usize, usize) {
        let range = self.said("range").and_then(|r| r.strip_prefix("bytes="));
        let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
            return (0, size);
        };
        let to: usize = to.parse().unwrap();
        (from.parse().unwrap(), size.min(to + 1))
    }
}

/// A status, headers and a body.
type Answer = (&'static str, String, Vec<u8>);

fn refusal(status: &'static str, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let kind = "Content-Type: application/xml\r\n".to_owned();
    (status, kind, body.into_bytes())
}

fn listing(state: &State) -> Answer {
    let objects = state.objects.iter();
    let objects = objects.map(|(key, (content, version))| (key, content.len(), *version));
    let gone = state.lagging.iter().map(|key| (key, 1, 1));
    let rows: String = objects
        .chain(gone)
        .map(|(key, size, version)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>\
                 <ETag>\"{version}\"</ETag><Size>{size}</Size></Contents>"
            )
        })
        .collect();
    let body = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>\
         {rows}</ListBucketResult>"
    );
    let kind = "Content-Type: application/xml\r\n".to_owned();
    ("200 OK", kind, body.into_bytes())
}

fn answer(asked: &Asked, state: &mut State) -> Answer {
    if asked.query.contains("list-type=2") {
        return listing(state);
    }
    let found = state.objects.get(&asked.key).cloned();
    if asked.method == "PUT" {
        if found.is_some() && asked.said("if-none-match") == Some("*") {
            return refusal("412 Precondition Failed", "PreconditionFailed");
        }
        state.put(&asked.key, &asked.body);
        return ("200 OK", "ETag: \"1\"\r\n".to_owned(), Vec::new());
    }
    let Some((content, version)) = found else {
        return refusal("404 Not Found", "NoSuchKey");
    };
    let tag = format!("\"{version}\"");
    if asked.said("if-match").is_some_and(|wanted| wanted != tag) {
        return refusal("412 Precondition Failed", "PreconditionFailed");
    }
    let (from, to) = asked.range(content.len());
    let mut headers = format!("ETag: {tag}\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
    if asked.said("range").is_none() {
        return ("200 OK", headers, content);
    }
    let of = content.len();
    headers.push_str(&format!("Content-Range: bytes {from}-{}/{of}\r\n", to - 1));
    ("206 Partial Content", headers, content[from..to].to_vec())
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let asked = Asked::read(&mut stream).await?;
    let (fault, (status, headers, mut body)) = {
        let mut state = state.lock().unwrap();
        let parts = ["range", "if-match", "if-none-match"].map(|name| asked.said(name));
        let parts = [Some(asked.method.as_str())].into_iter().chain(parts);
        state
            .log
            .push(parts.flatten().collect::<Vec<_>>().join(" "));
        let fault = state.faults.pop_front().or(state.always);
        let fault = fault.unwrap_or(Fault::None);
        let answer = match fault {
            Fault::Refuse(status, code) => refusal(status, code),
            _ => answer(&asked, &mut state),
        };
        if let Fault::CutAndReplace(_, content) = fault {
            state.put(&asked.key, content.as_bytes());
        }
        (fault, answer)
    };
    let whole = body.len();
    let length = match fault {
        Fault::Lose => return Ok(()),
        Fault::Short(bytes) => {
            body.truncate(bytes);
            bytes
        }
        Fault::Cut(bytes) | Fault::Stall(bytes) | Fault::CutAndReplace(bytes, _) => {
            body.truncate(bytes);
            whole
        }
        Fault::None | Fault::Refuse(..) => whole,
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    if matches!(fault, Fault::Stall(_)) {
        // Until the client closes.
        let _ = stream.read_u8().await;
        state.lock().unwrap().given_up += 1;
    }
    Ok(())
}
