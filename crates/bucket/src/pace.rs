//! Keeping to the pace of a store that says it is asked for too much.
//!
//! Below the store's own retries, where every answer is seen, those with 429 or 503 (`SlowDown`) bring
//! how many requests are made at once to a quarter, and every round of others allows one more. Where such an answer
//! says how long to stay away (`Retry-After`, in seconds), nothing is asked until then. So a store that
//! is overloaded is not kept so by those who try again: their number goes down with every refusal, to one.
//! A store that refuses nothing is asked without a bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// Requests at once that count as no bound: more than anything here makes.
const UNBOUNDED: f64 = 1024.0;

/// What a refusal leaves of the requests that are made at once. A request is tried few times, and of
/// many that come at once each should be taken within these.
const LEFT: f64 = 0.25;

/// How often who waits for a place looks without being told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How fast a store may be asked.
#[derive(Debug)]
pub(crate) struct Pace {
    state: Mutex<State>,
    /// Told when there may be a place.
    freed: Notify,
    /// How long a request waits for its turn, and how long a store may keep us away.
    wait_max: Duration,
    throttled: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Requests that may be made at once.
    limit: f64,
    in_flight: usize,
    /// Most requests that were made at once so far.
    peak: usize,
    /// Nothing is asked before.
    resume: Option<Instant>,
    /// How often the limit went down.
    cuts: u64,
}

/// A request on its way; its place is free when it is dropped.
struct Place<'a> {
    pace: &'a Pace,
    /// The cuts before it was made.
    cuts: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pace.state().in_flight -= 1;
        self.pace.freed.notify_one();
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(Duration::from_secs(15))
    }
}

impl Pace {
    /// Without a bound; requests wait for `wait_max` at most when there is one.
    pub(crate) fn new(wait_max: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                limit: UNBOUNDED,
                in_flight: 0,
                peak: 0,
                resume: None,
                cuts: 0,
            }),
            freed: Notify::new(),
            wait_max,
            throttled: AtomicU64::new(0),
        }
    }

    /// Answers that asked for fewer requests.
    pub(crate) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// How many requests are made at once at most; nothing while there is no bound.
    pub(crate) fn limit(&self) -> Option<f64> {
        let limit = self.state().limit;
        (limit < UNBOUNDED).then(|| limit.floor())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may be made.
    async fn place(&self) -> Place<'_> {
        loop {
            let freed = self.freed.notified();
            let resume = {
                let mut state = self.state();
                let now = Instant::now();
                state.resume = state.resume.filter(|at| *at > now);
                if state.resume.is_none() && (state.in_flight as f64) < state.limit.floor() {
                    state.in_flight += 1;
                    state.peak = state.peak.max(state.in_flight);
                    let cuts = state.cuts;
                    return Place { pace: self, cuts };
                }
                state.resume
            };
            match resume {
                Some(at) => sleep_until(at).await,
                // Who was told and gave up tells nobody.
                None => drop(timeout(LOOK_EVERY, freed).await),
            }
        }
    }

    /// Takes note of an answer that is not a refusal.
    fn answered(&self) {
        let mut state = self.state();
        if state.limit < UNBOUNDED {
            state.limit += 1.0 / state.limit;
            // A bound above what is ever asked for bounds nothing.
            if state.limit > state.peak as f64 {
                state.limit = UNBOUNDED;
            }
            self.freed.notify_one();
        }
    }

    /// Takes note of a refusal, and of how long the store wants nothing.
    fn refused(&self, place: &Place<'_>, stay_away: Option<Duration>) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        // Of many that were made together, one counts.
        if place.cuts == state.cuts {
            let made = state.limit.min(state.in_flight as f64);
            state.limit = (made * LEFT).max(1.0);
            state.cuts += 1;
        }
        let until = stay_away.map(|time| Instant::now() + time.min(self.wait_max));
        state.resume = state.resume.max(until);
    }
}

/// Makes clients that keep to a pace.
#[derive(Debug)]
pub(crate) struct PacedConnector(pub(crate) Arc<Pace>);

impl HttpConnector for PacedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(PacedService {
            client: ReqwestConnector::default().connect(options)?,
            pace: Arc::clone(&self.0),
        }))
    }
}

#[derive(Debug)]
struct PacedService {
    client: HttpClient,
    pace: Arc<Pace>,
}

/// Why a request was not made.
#[derive(Debug, thiserror::Error)]
#[error("the store asks for fewer requests, and there was no turn for this one in time")]
struct NoTurn;

#[async_trait]
impl HttpService for PacedService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = timeout(self.pace.wait_max, self.pace.place()).await;
        let place = place.map_err(|_| HttpError::new(HttpErrorKind::Timeout, NoTurn))?;
        let answer = self.client.execute(request).await;
        if let Ok(answer) = &answer {
            match answer.status().as_u16() {
                429 | 503 => self.pace.refused(&place, retry_after(answer)),
                _ => self.pace.answered(),
            }
        }
        drop(place);
        answer
    }
}

/// What an answer says in seconds; one that names a time instead is as if it said nothing.
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let said = answer.headers().get("retry-after")?.to_str().ok()?;
    said.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a test waits for what does not come.
    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn refusals_lessen_what_is_made_at_once_and_answers_bring_it_back() {
        let pace = Pace::new(Duration::from_secs(15));
        assert_eq!(pace.limit(), None);
        let mut made = Vec::new();
        for _ in 0..40 {
            made.push(pace.place().await);
        }
        for place in &made {
            pace.refused(place, None);
        }
        assert_eq!((pace.limit(), pace.throttled()), (Some(10.0), 40));
        assert!(timeout(SHORT, pace.place()).await.is_err());
        made.truncate(9);
        made.push(pace.place().await);
        assert!(timeout(SHORT, pace.place()).await.is_err());
        pace.refused(made.last().unwrap(), None);
        assert_eq!(pace.limit(), Some(2.0), "2.5");
        made.clear();
        for _ in 0..10 {
            pace.refused(&pace.place().await, None);
        }
        assert_eq!(pace.limit(), Some(1.0), "never none");
        for _ in 0..400 {
            drop(pace.place().await);
            pace.answered();
        }
        assert!(pace.limit().is_some_and(|limit| limit > 20.0));
        for _ in 0..400 {
            drop(pace.place().await);
            pace.answered();
        }
        assert_eq!(pace.limit(), None, "40 were made at once at most");
    }

    #[tokio::test]
    async fn a_store_is_left_alone_for_as_long_as_it_says() {
        let pace = Pace::new(SHORT * 4);
        let begin = Instant::now();
        pace.refused(&pace.place().await, Some(SHORT * 2));
        drop(pace.place().await);
        assert!(begin.elapsed() >= SHORT * 2);
        // Not for as long as it likes: this would never end.
        let begin = Instant::now();
        let place = pace.place().await;
        pace.refused(&place, Some(Duration::from_secs(86_400)));
        pace.refused(&place, Some(SHORT));
        drop(place);
        drop(pace.place().await);
        assert!(begin.elapsed() >= SHORT * 4);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_its_turn_to_others() {
        let pace = Pace::new(Duration::from_secs(15));
        let first = pace.place().await;
        pace.refused(&first, None);
        let mut given_up = Box::pin(pace.place());
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(first);
        drop(given_up);
        timeout(LOOK_EVERY * 2, pace.place()).await.unwrap();
    }
}
