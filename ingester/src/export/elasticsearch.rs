//! Elasticsearch, 6 and later, and OpenSearch.
//!
//! Before the first documents, and again every ten minutes and after each failure, it is made sure that
//! the template, the lifecycle and what a rotation needs are there ([`Setup`]). Where the server has
//! no lifecycles of its own, old indices are rolled over and removed from here ([`retention`]).
//!
//! Documents have ids that follow from series and time, and are only ever created: those that come
//! again are told so, and count as taken. What is refused for what it says is counted by reason and
//! holds up nothing; what is refused for the state of the server is sent again, that alone.

mod bulk;
mod connection;
mod document;
mod retention;
mod setup;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use reqwest::{Method, StatusCode};
use runtime::Clock;
use tokio::sync::Mutex;
use tsdb::batch::Batch;

use self::bulk::{Fate, fates};
use self::connection::{Answer, Connection};
use self::document::{Place, Writer, only, sayable};
use self::setup::{Ready, Setup};
use super::{Left, Sent, Target};
use crate::config::{Elasticsearch, Rotation};
use crate::scrape::client::{self, Clients};

/// How often it is looked after templates and old indices.
const LOOK_AFTER_EVERY_MS: i64 = 600_000;
/// What an answer need not say is left out of it.
const BULK_PATH: &str =
    "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

/// An Elasticsearch that samples are written to.
pub(super) struct ElasticsearchTarget {
    config: Elasticsearch,
    connection: Connection,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Bytes of a request; fewer once the server found one too large.
    request_bytes_max: AtomicUsize,
}

/// What was made sure of the server, and until when that is believed.
#[derive(Debug, Default)]
struct State {
    ready: Option<Ready>,
    due_ms: i64,
    /// When old indices are looked at next.
    look_after_ms: i64,
}

impl ElasticsearchTarget {
    /// Makes the client; reads the certificates that it needs. Nothing is asked yet.
    pub(super) fn new(
        config: &Elasticsearch,
        clients: &Clients,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, client::Error> {
        Ok(Self {
            connection: Connection::new(config, clients)?,
            request_bytes_max: AtomicUsize::new(config.request_bytes_max),
            config: config.clone(),
            clock,
            state: Mutex::default(),
        })
    }

    /// The server, with everything there that documents need.
    async fn ready(&self) -> Result<Ready, String> {
        let mut state = self.state.lock().await;
        let now_ms = self.clock.now_ms();
        if let Some(ready) = state.ready
            && now_ms < state.due_ms
        {
            return Ok(ready);
        }
        let is_first = state.ready.take().is_none();
        let ready = self.setup().run().await?;
        if is_first {
            let index = &self.config.index;
            tracing::info!(server = %ready.server, index, "an Elasticsearch is set up");
        }
        state.ready = Some(ready);
        state.due_ms = now_ms.saturating_add(LOOK_AFTER_EVERY_MS);
        Ok(ready)
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            config: &self.config,
            connection: &self.connection,
        }
    }

    /// Rolls over and removes indices where the server does not. Behind an alias, documents that wait to
    /// be sent again would be there twice if it came to stand for another index before that.
    async fn look_after(&self) {
        let mut state = self.state.lock().await;
        let now_ms = self.clock.now_ms();
        let is_ours = state.ready.is_some_and(|ready| !ready.has_policy);
        if !self.config.lifecycle.enabled || !is_ours || now_ms < state.look_after_ms {
            return;
        }
        state.look_after_ms = now_ms.saturating_add(LOOK_AFTER_EVERY_MS);
        if let Err(error) = self.setup().look_after(now_ms).await {
            tracing::warn!(error, "cannot look after the indices of an Elasticsearch");
        }
    }

    /// Has everything looked at again before the next documents are sent.
    async fn forget(&self) {
        // Whatever is there stays known as not being the first.
        self.state.lock().await.due_ms = i64::MIN;
    }

    async fn write(&self, batch: &Batch) -> Sent {
        let ready = match self.ready().await {
            Ok(ready) => ready,
            Err(reason) => return Sent::nothing(reason, None),
        };
        let mut sent = Sent::default();
        let writer = Writer {
            config: &self.config,
            doc_type: ready.server.doc_type(),
            bytes_max: self.request_bytes_max.load(Ordering::Relaxed),
        };
        let (places, unsayable) = sayable(batch);
        sent.unsayable = unsayable;
        let mut left = Unfinished::default();
        let mut rest = &places[..];
        while !rest.is_empty() {
            let request = writer.request(batch, rest);
            let (those, behind) = rest.split_at(request.documents);
            rest = behind;
            let post = self.post(batch, (those, request.body), ready, (&mut sent, &mut left));
            if let Again::Later = post.await {
                break;
            }
        }
        // Those behind a request that nobody took now.
        left.places.extend_from_slice(rest);
        if !left.places.is_empty() {
            self.forget().await;
            sent.left = Some(Left {
                batch: Some(only(batch, &left.places)),
                after_ms: left.after_ms,
                reason: left.reason,
            });
        }
        sent
    }

    /// Sends one request; says whether more may follow now.
    async fn post(
        &self,
        batch: &Batch,
        (places, body): (&[Place], Vec<u8>),
        ready: Ready,
        (sent, left): (&mut Sent, &mut Unfinished),
    ) -> Again {
        let body = Bytes::from(body);
        let mut path = BULK_PATH.to_owned();
        if self.config.rotation == Rotation::Rollover && ready.server.can_require_alias() {
            // An index of the alias' name would be made otherwise.
            path.push_str("&require_alias=true");
        }
        let lines = ("application/x-ndjson", body.clone());
        let answer = match self.connection.ask(Method::POST, &path, Some(lines)).await {
            Ok(answer) => answer,
            Err(reason) => return left.all(places, reason, None),
        };
        match answer.status {
            StatusCode::OK => self.read(batch, (places, &answer), (sent, left)).await,
            StatusCode::PAYLOAD_TOO_LARGE if places.len() > 1 => {
                let smaller = (body.len() / 2).max(1);
                self.request_bytes_max.fetch_min(smaller, Ordering::Relaxed);
                left.all(places, answer.said(), Some(0))
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                sent.refuse(answer.status.as_str(), places.len(), &answer.said());
                Again::Now
            }
            _ => left.all(places, answer.said(), answer.after_ms),
        }
    }

    /// Reads what became of each document.
    async fn read(
        &self,
        batch: &Batch,
        (places, answer): (&[Place], &Answer),
        (sent, left): (&mut Sent, &mut Unfinished),
    ) -> Again {
        let fates = match fates(&answer.body, places.len()) {
            Ok(fates) => fates,
            Err(reason) => return left.all(places, reason, None),
        };
        let mut missing = Vec::new();
        for (place, fate) in places.iter().zip(fates) {
            match fate {
                Fate::Taken => sent.taken += 1,
                Fate::Refused { reason, said } => sent.refuse(&reason, 1, &said),
                Fate::Later { reason } => left.add(*place, reason),
                Fate::NoIndex { reason } => {
                    if self.config.rotation.is_by_date() {
                        let index = document::index_of(&self.config, place.t_ms(batch));
                        if !missing.contains(&index) {
                            missing.push(index);
                        }
                    }
                    left.add(*place, reason);
                }
            }
        }
        // Not every server makes indices that documents ask for.
        for index in missing {
            let path = format!("/{index}");
            // Whether it is there is seen when documents come again.
            let _ = self.connection.ask(Method::PUT, &path, None).await;
        }
        Again::Now
    }
}

impl Target for ElasticsearchTarget {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Sent> {
        self.write(batch).boxed()
    }

    fn rest(&self) -> BoxFuture<'_, ()> {
        self.look_after().boxed()
    }
}

/// Whether the next request may be sent now.
enum Again {
    Now,
    Later,
}

/// Samples that are to be sent again.
#[derive(Default)]
struct Unfinished {
    places: Vec<Place>,
    after_ms: Option<u64>,
    reason: String,
}

impl Unfinished {
    fn add(&mut self, place: Place, reason: String) {
        self.places.push(place);
        self.reason = reason;
    }

    fn all(&mut self, places: &[Place], reason: String, after_ms: Option<u64>) -> Again {
        self.places.extend_from_slice(places);
        (self.reason, self.after_ms) = (reason, after_ms);
        Again::Later
    }
}
