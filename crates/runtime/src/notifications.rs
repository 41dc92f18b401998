//! What an operator should know at once, as `/api/v1/notifications` lists it and
//! `/api/v1/notifications/live` sends it while it changes.
//!
//! Paths, fields, the number of streams and the answer to one too many are those of Prometheus 3. A
//! live answer is a stream of server-sent events: what is so now, then each change, and a comment
//! where there is none for long. It occupies no thread (ADR 0330), and ends when the server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use hyper::{Method, StatusCode, header};
use model::time::Rfc3339;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::timeout;

use crate::http::{Cost, Handler, HeaderValue, PathPattern, Request, Response, Routes};
use crate::metrics::{Collect, Exposition, Registry};

/// Where notifications are listed.
const PATH: &str = "/api/v1/notifications";
/// Where they are sent while they change.
const LIVE_PATH: &str = "/api/v1/notifications/live";
/// Streams at once.
const STREAMS_MAX: usize = 16;
/// Changes that wait for a slow reader; with more its stream ends, and it comes back.
const CHANGES_AHEAD: usize = 16;
/// After so long without a change a comment says that the stream lives: proxies cut those that are
/// still for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Prometheus' text for a configuration that changed and cannot be used.
pub const RELOAD_FAILED: &str = "Configuration reload has failed.";

/// One thing to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Notification {
    text: &'static str,
    /// When it was last said, in milliseconds.
    date_ms: i64,
    is_active: bool,
}

/// What an operator should know at once. Clones share it.
#[derive(Debug, Clone)]
pub struct Notifications {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held while a change is sent, so that nobody who begins to listen misses one or hears it twice.
    active: Mutex<Vec<Notification>>,
    changes: broadcast::Sender<Notification>,
    places: Arc<Semaphore>,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Default for Notifications {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                active: Mutex::default(),
                changes: broadcast::Sender::new(CHANGES_AHEAD),
                places: Arc::new(Semaphore::new(STREAMS_MAX)),
                sent: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }),
        }
    }
}

impl Notifications {
    /// No notifications yet; figures of their streams are shown by `registry`.
    pub fn shown_by(registry: &Registry) -> Self {
        let notifications = Self::default();
        registry.register(Arc::new(notifications.clone()));
        notifications
    }

    /// Says `text`, or says it again with a new date.
    pub fn raise(&self, text: &'static str, now_ms: i64) {
        let mut active = self.shared.active.lock();
        active.retain(|known| known.text != text);
        let notification = Notification {
            text,
            date_ms: now_ms,
            is_active: true,
        };
        active.push(notification);
        self.tell(notification);
    }

    /// Says that `text` is not so any more, if it was.
    pub fn withdraw(&self, text: &str) {
        let mut active = self.shared.active.lock();
        let Some(at) = active.iter().position(|known| known.text == text) else {
            return;
        };
        let known = active.remove(at);
        self.tell(Notification {
            is_active: false,
            ..known
        });
    }

    /// True while `text` is so.
    pub fn says(&self, text: &str) -> bool {
        let active = self.shared.active.lock();
        active.iter().any(|known| known.text == text)
    }

    /// All that is so.
    pub(crate) fn texts(&self) -> Vec<&'static str> {
        let active = self.shared.active.lock();
        active.iter().map(|known| known.text).collect()
    }

    /// Adds the endpoints to `routes`.
    pub fn add_to(&self, routes: Routes) -> Routes {
        routes
            .with(PathPattern::Exact(PATH), Arc::new(self.clone()))
            .with(PathPattern::Exact(LIVE_PATH), Arc::new(self.clone()))
    }

    fn tell(&self, notification: Notification) {
        // Nobody may listen.
        let told = self.shared.changes.send(notification).unwrap_or(0);
        self.shared.sent.fetch_add(told as u64, Ordering::Relaxed);
    }

    fn listed(&self) -> Response {
        let active = self.shared.active.lock().clone();
        let data: Vec<_> = active.iter().map(Notification::shown).collect();
        let body = json!({ "status": "success", "data": data }).to_string();
        Response::bytes(StatusCode::OK, "application/json", body)
    }

    fn live(&self) -> Response {
        match self.events(KEEP_ALIVE) {
            Some(events) => Response::streamed(StatusCode::OK, "text/event-stream", events),
            // A browser asks again after everything else.
            None => Response::empty(StatusCode::NO_CONTENT),
        }
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
    }

    /// The events of a new stream, if there is a place for it; `keep_alive` is the longest silence.
    fn events(&self, keep_alive: Duration) -> Option<impl Stream<Item = Bytes> + Send + use<>> {
        let place = Arc::clone(&self.shared.places).try_acquire_owned().ok()?;
        let active = self.shared.active.lock();
        let listener = Listener {
            now: active.clone().into_iter(),
            changes: self.shared.changes.subscribe(),
            keep_alive,
            shared: Arc::clone(&self.shared),
            _place: place,
        };
        drop(active);
        Some(stream::unfold(listener, async |mut listener| {
            let event = listener.next().await?;
            Some((event, listener))
        }))
    }
}

/// Who reads a stream.
struct Listener {
    /// What was so when it began.
    now: std::vec::IntoIter<Notification>,
    changes: broadcast::Receiver<Notification>,
    keep_alive: Duration,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event; nothing when changes were missed.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(notification) = self.now.next() {
            return Some(notification.event());
        }
        match timeout(self.keep_alive, self.changes.recv()).await {
            Ok(Ok(notification)) => Some(notification.event()),
            Ok(Err(broadcast::error::RecvError::Lagged(missed))) => {
                self.shared.dropped.fetch_add(missed, Ordering::Relaxed);
                None
            }
            Ok(Err(broadcast::error::RecvError::Closed)) => None,
            Err(_) => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

impl Notification {
    fn shown(&self) -> Value {
        json!({
            "text": self.text,
            "date": Rfc3339(self.date_ms).to_string(),
            "active": self.is_active,
        })
    }

    fn event(&self) -> Bytes {
        format!("data: {}\n\n", self.shown()).into()
    }
}

impl Handler for Notifications {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        match (request.method, request.path.as_str()) {
            (Method::GET, LIVE_PATH) => self.live(),
            (Method::GET, _) => self.listed(),
            _ => Response::not_allowed("GET, OPTIONS"),
        }
    }
}

impl Collect for Notifications {
    fn collect(&self, out: &mut Exposition) {
        let streams = STREAMS_MAX - self.shared.places.available_permits();
        out.gauge(
            "prometheus_api_notification_active_subscribers",
            "Streams of notifications that are read.",
            &[],
            streams as f64,
        );
        out.counter(
            "prometheus_api_notification_updates_sent_total",
            "Notifications that were put into streams.",
            &[],
            self.shared.sent.load(Ordering::Relaxed),
        );
        out.counter(
            "prometheus_api_notification_updates_dropped_total",
            "Notifications that readers were too slow for.",
            &[],
            self.shared.dropped.load(Ordering::Relaxed),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::StreamExt as _;

    use super::*;

    const FULL: &str = "The disk is full.";

    fn text(event: Option<Bytes>) -> String {
        String::from_utf8(event.expect("the stream goes on").to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_stream_begins_with_what_is_so_and_goes_on_with_changes() {
        let notifications = Notifications::default();
        notifications.raise(RELOAD_FAILED, 1_000);
        let mut events = pin!(notifications.events(Duration::from_millis(10)).unwrap());
        assert_eq!(
            text(events.next().await),
            "data: {\"active\":true,\"date\":\"1970-01-01T00:00:01Z\",\
             \"text\":\"Configuration reload has failed.\"}\n\n"
        );
        notifications.withdraw(FULL);
        assert_eq!(text(events.next().await), ":\n\n");
        notifications.raise(FULL, 2_000);
        notifications.withdraw(RELOAD_FAILED);
        assert!(text(events.next().await).contains(FULL));
        let gone = text(events.next().await);
        assert!(gone.contains("\"active\":false"), "{gone}");
        let listed = notifications.listed().into_bytes().unwrap();
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        assert_eq!(
            listed["data"],
            json!([{"text": FULL, "date": "1970-01-01T00:00:02Z", "active": true}])
        );
    }

    #[tokio::test]
    async fn streams_are_bounded_and_a_slow_one_ends() {
        let notifications = Notifications::default();
        let mut streams: Vec<_> = (0..STREAMS_MAX)
            .map(|_| Box::pin(notifications.events(Duration::from_millis(10)).unwrap()))
            .collect();
        assert_eq!(notifications.live().status(), StatusCode::NO_CONTENT);
        for i in 0..=CHANGES_AHEAD {
            notifications.raise(FULL, i as i64);
        }
        assert_eq!(streams[0].next().await, None);
        drop(streams);
        assert_eq!(notifications.live().status(), StatusCode::OK);
        let mut figures = Exposition::default();
        notifications.collect(&mut figures);
        let figures = figures.into_text();
        assert!(figures.contains("_updates_dropped_total 1\n"), "{figures}");
    }
}
