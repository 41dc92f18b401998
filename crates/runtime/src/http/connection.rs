//! What happens to one request between the socket and the handler.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::body::{self, Outgoing, Unread};
use super::call_log::HttpCall;
use super::coding::Coding;
use super::figures::{HttpMetrics, Running};
use super::password::Passwords;
use super::paths::{Place, WebPaths};
use super::request::{Abandonment, Request};
use super::server::{HttpLimits, Service};
use super::writer::{self, Answer};
use super::{Cost, Handler, Origins, Response, page};
use crate::followed::Followed;
use crate::process::Shutdown;
use crate::request_log::CallLog;
use crate::web_config::Web;

/// What the requests of all connections share.
pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) limits: HttpLimits,
    pub(super) metrics: Arc<HttpMetrics>,
    /// How requests are logged, and the port that they come in by.
    pub(super) log: Option<(CallLog, u16)>,
    pub(super) small: Arc<Semaphore>,
    pub(super) large: Arc<Semaphore>,
    /// What the web configuration says, where there is one.
    pub(super) web: Option<Arc<Followed<Web>>>,
    pub(super) passwords: Passwords,
    /// Where the server is found, if anything is said of that.
    pub(super) paths: Option<WebPaths>,
    /// Ends answers that would go on.
    pub(super) shutdown: Shutdown,
}

impl Shared {
    /// Answers a request of `peer`.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        peer: Option<IpAddr>,
    ) -> Result<Answer, Infallible> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let is_head = request.method() == Method::HEAD;
        let asked = request.uri().path();
        let (place, root) = match &self.paths {
            Some(paths) => (paths.place(asked), paths.seen_from(request.headers())),
            None => (Place::Inside(asked), String::new()),
        };
        let (path, elsewhere) = match place {
            Place::Inside(path) => (path.to_owned(), None),
            Place::Elsewhere(path) => {
                let query = request.uri().query();
                let query = query.map_or_else(String::new, |query| format!("?{query}"));
                (
                    asked.to_owned(),
                    Some(redirected(&format!("{path}{query}"))),
                )
            }
            Place::Outside => {
                let answer = line(StatusCode::NOT_FOUND, "404 page not found");
                (asked.to_owned(), Some(answer))
            }
        };
        let mut running = self.metrics.begin(&path, &request);
        let logged = self.log.as_ref().and_then(|(log, port)| {
            let logged = HttpCall::of(&request, log, (&path, *port), peer)?;
            logged.started(running.handler());
            Some(logged)
        });
        let web = match &self.web {
            Some(web) => Some(web.now().await),
            None => None,
        };
        let mut answer = match self.admit(web.as_deref(), &request).await {
            Ok(()) => match elsewhere {
                Some(answer) => answer,
                None => match self.route(request, (&path, peer), &mut running).await {
                    Ok(answer) | Err(answer) => answer,
                },
            },
            Err(answer) => answer,
        };
        WebPaths::lead_below(&root, answer.headers_mut());
        page::guard(answer.headers_mut());
        for (name, value) in web.iter().flat_map(|web| &web.headers) {
            answer.headers_mut().insert(name, value.clone());
        }
        if let Some(logged) = logged {
            logged.finished(running.handler(), (answer.status(), running.took()));
        }
        running.answered(answer.status());
        if let Some(origin) = origin {
            self.origins().allow(&origin, answer.headers_mut());
        }
        if is_head {
            answer = answer.map(|_| Outgoing::Done);
        }
        Ok(answer)
    }

    /// Pages of which origins may read answers.
    fn origins(&self) -> &Origins {
        (self.paths.as_ref()).map_or(&Origins::Any, WebPaths::origins)
    }

    /// Refuses a request that the web configuration lets not in.
    async fn admit(
        &self,
        web: Option<&Web>,
        request: &hyper::Request<Incoming>,
    ) -> Result<(), Answer> {
        let Some(users) = web.map(|web| &web.users).filter(|users| !users.is_empty()) else {
            return Ok(());
        };
        if self.passwords.admits(users, request.headers()).await {
            return Ok(());
        }
        let mut answer = line(StatusCode::UNAUTHORIZED, "Unauthorized");
        let basic = HeaderValue::from_static("Basic");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        Err(answer)
    }

    /// Answers what the server itself knows; an error is an answer too.
    async fn route(
        &self,
        request: hyper::Request<Incoming>,
        (path, peer): (&str, Option<IpAddr>),
        running: &mut Running,
    ) -> Result<Answer, Answer> {
        let Some(handler) = self.service.handler() else {
            if let Some(early) = self.service.early_handler(path) {
                running.found();
                return self.handle(early, request, path, peer).await;
            }
            return match path {
                "/-/healthy" => Ok(line(StatusCode::OK, "Promontory is healthy.")),
                _ => Err(line(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Promontory is not ready; it reads its data.",
                )),
            };
        };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if request.method() == Method::OPTIONS && !matches!(path, "/-/healthy" | "/-/ready") {
            running.is_about_options();
            let mut answer = Answer::new(Outgoing::Done);
            *answer.status_mut() = StatusCode::NO_CONTENT;
            return Ok(answer);
        }
        running.found();
        match path {
            "/-/healthy" | "/-/ready" if !is_read && request.method() != Method::OPTIONS => {
                let mut answer = line(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
                answer.headers_mut().insert(header::ALLOW, methods);
                return Err(answer);
            }
            "/-/healthy" => return Ok(line(StatusCode::OK, "Promontory is healthy.")),
            "/-/ready" if self.service.is_ready() => {
                return Ok(line(StatusCode::OK, &self.service.remarks()));
            }
            "/-/ready" => {
                return Err(line(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Promontory is not ready; what it works with cannot be reached.",
                ));
            }
            _ => {}
        }
        self.handle(handler, request, path, peer).await
    }

    /// Has the handler answer, on a thread of its own.
    async fn handle(
        &self,
        handler: Arc<dyn Handler>,
        request: hyper::Request<Incoming>,
        path: &str,
        peer: Option<IpAddr>,
    ) -> Result<Answer, Answer> {
        let (head, body) = request.into_parts();
        if !handler.only_reads(path)
            && let Some(mut reason) = self.origins().refusal(&head.method, &head.headers)
        {
            // Who has no such flag has no paths.
            if self.paths.is_some() {
                reason.push_str(", and those whose origin --web.cors.origin names");
            }
            return Err(line(StatusCode::FORBIDDEN, &reason));
        }
        let reading = body::read(body, self.limits.body_bytes_max);
        let body = match timeout(self.limits.body_time_max, reading).await {
            Ok(Ok(body)) => body,
            Ok(Err(unread)) => return Err(closing(unread, &self.limits)),
            Err(_) => return Err(closing(Unread::TooSlow, &self.limits)),
        };
        let (places, name) = match handler.cost(path) {
            Cost::Small => (&self.small, ("small", self.limits.small_max, None)),
            Cost::Large => {
                let (max, flag) = (self.limits.large_max, self.limits.large_flag);
                (&self.large, ("large", max, flag))
            }
        };
        let begin = Instant::now();
        let waiting = Arc::clone(places).acquire_owned();
        let Ok(Ok(place)) = timeout(self.limits.queue_time_max, waiting).await else {
            return Err(overloaded(name, self.limits.queue_time_max));
        };
        let coding = Coding::wanted(&head.headers);
        let abandonment = Abandonment::default();
        let request = Request {
            method: head.method,
            path: path.to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
            peer,
            waited: begin.elapsed(),
            abandonment: abandonment.clone(),
        };
        let (sender, answer) = oneshot::channel();
        let ends = (self.limits.stall_max, self.shutdown.clone());
        // Not awaited: the answer comes through the channel, before its body is complete.
        drop(spawn_blocking(move || {
            let _place = place;
            let response = handler.handle(request);
            if let Err(error) = writer::send(response, coding, sender, ends) {
                tracing::debug!(%error, "answer was cut");
            }
        }));
        let waiting = AbandonOnDrop(Some(abandonment));
        let answer = answer.await;
        waiting.disarm();
        // The sender is dropped unused when the handler panics, or fails before its first piece.
        answer.map_err(|_| {
            line(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal error; see the log",
            )
        })
    }
}

/// Abandons a request when the client goes away, which drops the future that waits.
struct AbandonOnDrop(Option<Abandonment>);

impl AbandonOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        if let Some(abandonment) = &self.0 {
            abandonment.abandon();
        }
    }
}

/// Leads a client to a path from the root, with the same method.
fn redirected(location: &str) -> Answer {
    let mut answer = line(StatusCode::TEMPORARY_REDIRECT, "moved");
    // A path that came in a request can go out in a header.
    if let Ok(location) = HeaderValue::from_str(location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// A line of text.
fn line(status: StatusCode, text: &str) -> Answer {
    let response = Response::text(status, text);
    let mut answer = Answer::new(Outgoing::whole(format!("{text}\n")));
    *answer.status_mut() = status;
    *answer.headers_mut() = response.headers;
    answer
}

/// Refuses a request whose body was not read to its end, so the connection cannot go on.
fn closing(unread: Unread, limits: &HttpLimits) -> Answer {
    let (status, text) = match unread {
        Unread::TooLarge(bytes) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body has {bytes} bytes or more, and the limit is {}{}",
                limits.body_bytes_max,
                of_flag(limits.body_flag)
            ),
        ),
        Unread::TooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {:?}", limits.body_time_max),
        ),
        Unread::Failed => (
            StatusCode::BAD_REQUEST,
            "the body cannot be read".to_owned(),
        ),
    };
    let mut answer = line(status, &text);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// The flag of a limit, in parentheses.
fn of_flag(flag: Option<&str>) -> String {
    flag.map_or_else(String::new, |flag| format!(" (--{flag})"))
}

/// Refuses a request that found no place among those of its kind: their name, their number, and the
/// flag that says it.
fn overloaded((name, places, flag): (&str, usize, Option<&str>), waited: Duration) -> Answer {
    let flag = of_flag(flag);
    let mut answer = line(
        StatusCode::SERVICE_UNAVAILABLE,
        &format!(
            "overloaded: {places} {name} requests are answered already, the limit{flag}, and no place \
             became free within {waited:?}"
        ),
    );
    let seconds = HeaderValue::from_static("5");
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}
