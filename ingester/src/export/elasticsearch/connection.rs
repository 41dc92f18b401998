//! Requests to the nodes of a cluster: the one that answered last, and the next when it does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::config::Elasticsearch;
use crate::export::remote_write::retry_after_ms;
use crate::scrape::client::{Clients, Error, HttpClient, read_body};

/// Bytes of an answer: one that lists what became of each document of a request.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Characters of an answer that are shown.
const SAID_CHARS_MAX: usize = 300;

/// As much of what a server says as is shown.
pub(super) fn shortened(said: &str) -> String {
    said.trim().chars().take(SAID_CHARS_MAX).collect()
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// How long to wait before the next request, in milliseconds, where that is said.
    pub(super) after_ms: Option<u64>,
}

impl Answer {
    /// Its JSON; null where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and words, for people.
    pub(super) fn said(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        let words = match (&error["type"], &error["reason"]) {
            (Value::String(kind), Value::String(reason)) => format!("{kind}: {reason}"),
            _ => error.as_str().map_or_else(
                || String::from_utf8_lossy(&self.body).into_owned(),
                str::to_owned,
            ),
        };
        format!("{}: {}", self.status, shortened(&words))
    }

    /// True where the server does not know what was asked for, rather than having refused it: such
    /// paths are taken for names of indices, which must not begin so.
    pub(super) fn is_unknown_path(&self) -> bool {
        if !self.status.is_client_error() {
            return false;
        }
        let json = self.json();
        let error = &json["error"];
        let is_unhandled = error
            .as_str()
            .is_some_and(|e| e.contains("no handler found"));
        is_unhandled || error["type"] == "invalid_index_name_exception"
    }
}

/// What asks a cluster.
#[derive(Debug)]
pub(super) struct Connection {
    urls: Vec<String>,
    /// The node that is asked first.
    current: AtomicUsize,
    client: HttpClient,
    timeout: Duration,
}

impl Connection {
    pub(super) fn new(config: &Elasticsearch, clients: &Clients) -> Result<Self, Error> {
        Ok(Self {
            urls: config.urls.clone(),
            current: AtomicUsize::new(0),
            client: clients.client(&config.http, true)?,
            timeout: Duration::from_millis(config.timeout_ms.unsigned_abs()),
        })
    }

    /// Asks one node after the other, until one answers. A body comes with its type.
    ///
    /// # Errors
    /// What is wrong with the last one.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Answer, String> {
        let mut reason = String::new();
        for _ in 0..self.urls.len() {
            let node = self.current.load(Ordering::Relaxed);
            let url = &self.urls[node % self.urls.len()];
            let request = self.ask_node(method.clone(), format!("{url}{path}"), body.clone());
            match request.await {
                Ok(answer) => {
                    // It may have lost the others, or be a proxy that has no node.
                    if matches!(answer.status.as_u16(), 502..=504) {
                        self.turn_from(node);
                    }
                    return Ok(answer);
                }
                Err(error) => reason = error.to_string(),
            }
            self.turn_from(node);
        }
        Err(reason)
    }

    /// As [`Connection::ask`], with JSON.
    pub(super) async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, String> {
        let json = ("application/json", Bytes::from(body.to_string()));
        self.ask(method, path, Some(json)).await
    }

    async fn ask_node(
        &self,
        method: Method,
        url: String,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Answer, Error> {
        let request = self.client.request(method, url).await?;
        let mut request = request.timeout(self.timeout);
        if let Some((content_type, body)) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        let answer = request.send().await?;
        let (status, after_ms) = (answer.status(), retry_after_ms(answer.headers()));
        Ok(Answer {
            status,
            after_ms,
            body: read_body(answer, ANSWER_BYTES_MAX, 1024).await?,
        })
    }

    /// Has the node behind this one asked first, unless another request saw to that.
    fn turn_from(&self, node: usize) {
        let next = (node + 1) % self.urls.len();
        let turned =
            self.current
                .compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed);
        // Another request turned from it as well.
        let _ = turned;
    }
}
