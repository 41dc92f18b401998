//! The gateway's port.
//!
//! | | Lookout's clients | others |
//! |---|---|---|
//! | taken | 200 | 202 |
//! | nothing can be read | 400 | 400 |
//! | no application | 403, `Wait-Minutes` | 400 |
//! | too much | 555 | 400 `RATE_LIMITED` |
//! | the storage takes nothing now | 503, `Wait-Minutes` | 503 |
//!
//! The reason of a refusal is in the header `Err`, and but for 403 in the body as well. Points that
//! are wrong in a request of which others are right are counted, not answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::ErrorKind;
use runtime::http::{
    Cost, Handler, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};

use super::access::Denied;
use super::address::{Address, AddressError};
use super::intake::{Intake, Origin, Step};
use super::native::{self, NotRecords};
use super::push::{self, Form, PushError};
use super::{Options, targets};
use crate::exposition::Format;
use crate::protocols::LateManager;
use crate::protocols::metricbeat;
use crate::protocols::pushgateway::handler::is_protobuf;
use crate::protocols::rate::{Allowances, Rate};
use crate::protocols::sink::{Sink, StoreError};
use crate::receive::Encoding;

const TEXT: &str = "text/plain; charset=utf-8";
/// The reason of a refusal.
const ERR: HeaderName = HeaderName::from_static("err");
/// For how long a client is to be silent.
const WAIT_MINUTES: HeaderName = HeaderName::from_static("wait-minutes");
/// Says that the body tells what to report.
const CONF_REFRESH: HeaderName = HeaderName::from_static("conf-refresh");
/// What Lookout's client knows as the gateway's limit.
const GATEWAY_LIMIT: u16 = 555;

/// What a body of Lookout's own may be compressed by; the gateway itself knows the last one only.
const ENCODINGS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"zstd", b"snappy"];

/// Whether the gateway takes anything at all. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Switch {
    is_refusing: Arc<AtomicBool>,
}

impl Switch {
    /// Makes the gateway refuse every request, or take them again.
    pub fn refuse(&self, refuse: bool) {
        self.is_refusing.store(refuse, Ordering::Relaxed);
    }

    fn is_refusing(&self) -> bool {
        self.is_refusing.load(Ordering::Relaxed)
    }
}

/// The endpoints.
#[derive(Debug)]
pub struct Gateway {
    sink: Sink,
    options: Options,
    switch: Switch,
    rates: Allowances,
    /// Takes Metricbeat's events below `/beat`.
    beats: metricbeat::handler::Endpoint,
    /// What scrapes in the same process.
    scraping: LateManager,
}

/// What sends to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Importer {
    /// Lookout's clients and gateways.
    Standard,
    Prometheus,
    OpenTsdb,
}

/// Why a request was refused as a whole.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("lookout gateway is in refuse requests mode")]
    Refusing,
    #[error("APP_NAME_NULL")]
    NoApp,
    #[error("this gateway is for another zone")]
    Cell,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotRecords(#[from] NotRecords),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handler for Gateway {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        let (method, path) = (&request.method, request.path.as_str());
        let importer = match path.split('/').nth(1) {
            Some("prom") => Importer::Prometheus,
            Some("opentsdb") => Importer::OpenTsdb,
            _ => Importer::Standard,
        };
        let is_push = matches!(*method, Method::POST | Method::PUT);
        let result = match (method, path) {
            (&Method::GET, "/datas") => self.check(&request),
            (&Method::POST, "/datas") => self.report(&request),
            (_, path)
                if let Some(below) = path.strip_prefix("/beat")
                    && is_below(below) =>
            {
                self.take_beat(&request, below)
            }
            (&Method::GET, "/prom/targets") => self.targets(),
            (&Method::GET, "/lookout/metrics") => Err(AddressError::NoApp.into()),
            (&Method::POST, "/opentsdb/api/put" | "/opentsdb/api/put/") => {
                self.put_opentsdb(&request)
            }
            (_, "/datas" | "/opentsdb/api/put") => return not_allowed(),
            _ => match path.strip_prefix("/lookout/metrics") {
                Some(tags) if is_below(tags) && *method == Method::POST => {
                    self.report_tagged(&request, tags)
                }
                Some(tags) if is_below(tags) => return not_allowed(),
                _ => match path.strip_prefix("/prom/metrics") {
                    Some(tags) if tags.starts_with("/job/") || tags.starts_with("/job@base64/") => {
                        if !is_push {
                            return not_allowed();
                        }
                        self.push_prometheus(&request, tags)
                    }
                    _ => return plain(StatusCode::NOT_FOUND, "404 page not found"),
                },
            },
        };
        result.unwrap_or_else(|refusal| {
            // What the storage refused was counted there.
            if !matches!(
                refusal,
                Refusal::Store(StoreError::Write(_) | StoreError::Rate { .. })
            ) {
                self.sink.failed();
            }
            of_refusal(importer, &refusal)
        })
    }
}

impl Gateway {
    /// The endpoints of a receiver.
    pub fn new(
        sink: Sink,
        options: Options,
        beats: metricbeat::Options,
        switch: Switch,
        scraping: LateManager,
    ) -> Self {
        Self {
            beats: metricbeat::handler::Endpoint::new(sink.clone(), beats),
            sink,
            options,
            switch,
            rates: Allowances::default(),
            scraping,
        }
    }

    /// Tells a client whether it may report here, and what.
    fn check(&self, request: &Request) -> Result<Response, Refusal> {
        self.app_of_client(request)?;
        let cell = text_of(request, "cell");
        if let (Some(ours), Some(theirs)) = (&self.options.cell, cell)
            && !theirs.is_empty()
            && ours != theirs
        {
            return Err(Refusal::Cell);
        }
        let known = text_of(request, "conf-id").unwrap_or_default();
        Ok(match self.options.refresh.answer(known) {
            Some(config) => Response::bytes(StatusCode::OK, "application/json", config)
                .with_header(CONF_REFRESH, HeaderValue::from_static("true")),
            None => plain(StatusCode::OK, "OK"),
        })
    }

    /// Takes what Lookout's client reports.
    fn report(&self, request: &Request) -> Result<Response, Refusal> {
        let app = self.app_of_client(request)?;
        let address = Address {
            app: app.to_owned(),
            step: Step::NONE,
            tags: Vec::new(),
        };
        self.take(request, Importer::Standard, address)
    }

    /// Takes Lookout's records of something that is not its client.
    fn report_tagged(&self, request: &Request, tags: &str) -> Result<Response, Refusal> {
        self.check_switch()?;
        let address = Address {
            // It counts as Lookout's own, which are not aligned.
            step: Step::NONE,
            ..Address::of_path(tags)?
        };
        self.take(request, Importer::Standard, address)
    }

    fn push_prometheus(&self, request: &Request, tags: &str) -> Result<Response, Refusal> {
        self.check_switch()?;
        let address = Address::of_path(tags)?;
        self.check_access(request, &address.app)?;
        self.take(request, Importer::Prometheus, address)
    }

    fn put_opentsdb(&self, request: &Request) -> Result<Response, Refusal> {
        self.check_switch()?;
        let tags = ["app", "step", "ip"].iter();
        let tags = tags.filter_map(|name| {
            let value = text_of(request, name)?;
            Some(((*name).to_owned(), value.to_owned()))
        });
        let address = Address::of_tags(tags.collect())?;
        self.check_access(request, &address.app)?;
        self.take(request, Importer::OpenTsdb, address)
    }

    /// Answers Metricbeat, to which this is an Elasticsearch.
    fn take_beat(&self, request: &Request, path: &str) -> Result<Response, Refusal> {
        self.check_switch()?;
        self.check_access(request, "")?;
        let ip = request.peer.map(|ip| ip.to_canonical().to_string());
        let extra: Vec<_> = ip.iter().map(|ip| ("ip", ip.as_str())).collect();
        Ok(self.beats.answer(request, path, &extra))
    }

    /// Shows what is scraped.
    fn targets(&self) -> Result<Response, Refusal> {
        self.check_switch()?;
        let scraping = self.scraping.get();
        let targets = scraping.map(|scraping| scraping.targets(None).active_targets);
        let text = targets::text(&targets.unwrap_or_default());
        Ok(Response::bytes(StatusCode::OK, "application/json", text))
    }

    fn check_switch(&self) -> Result<(), Refusal> {
        if self.switch.is_refusing() {
            return Err(Refusal::Refusing);
        }
        Ok(())
    }

    /// The application that a client of Lookout is of.
    fn app_of_client<'r>(&self, request: &'r Request) -> Result<&'r str, Refusal> {
        self.check_switch()?;
        let app = text_of(request, "app").filter(|app| !app.is_empty());
        app.ok_or(Refusal::NoApp)
    }

    /// Checks the token of a push, and the rate of its application.
    fn check_access(&self, request: &Request, said: &str) -> Result<(), Refusal> {
        let access = &self.options.access;
        let app = access.app(&request.headers)?.unwrap_or(said);
        let rate = Rate {
            per_second: access.rates.of(app),
            burst_seconds: 1,
        };
        if self.rates.spend(app, 1, rate, self.sink.now_ms()) {
            return Ok(());
        }
        Err(Denied::Rate.into())
    }

    /// Decodes and stores a request.
    fn take(
        &self,
        request: &Request,
        importer: Importer,
        address: Address,
    ) -> Result<Response, Refusal> {
        let tenant = self.sink.tenant(&request.headers)?;
        let body = self.body(request, importer)?;
        let said = text_of(request, "client-ip").filter(|_| importer == Importer::Standard);
        let said = said.filter(|ip| !ip.is_empty()).map(str::to_owned);
        // A tag of the request goes before the address of its connection.
        let own = address.tags.iter().find(|(key, _)| key == "ip");
        let own = own.map(|(_, ip)| ip.clone());
        let peer = || request.peer.map(|ip| ip.to_canonical().to_string());
        let origin = Origin {
            ip: said.or(own).or_else(peer),
            tags: address.tags,
            step: address.step,
            now_ms: self.sink.now_ms(),
        };
        let mut intake = Intake::new(&self.options, &origin);
        let decoded = match importer {
            Importer::Standard => {
                native::decode(&body, self.options.information, &mut intake).map_err(Refusal::from)
            }
            Importer::Prometheus => {
                let honor = self.options.honor_timestamps;
                push::exposition(&body, form(request), honor, &mut intake).map_err(Refusal::from)
            }
            Importer::OpenTsdb => {
                push::opentsdb(&body, self.options.labels, &mut intake).map_err(Refusal::from)
            }
        };
        decoded?;
        let stored = self.sink.store(tenant, &intake.points)?;
        if let Some(id) = text_of(request, "x-debug-id") {
            let id = &id[..id.floor_char_boundary(128)];
            let (points, refused) = (stored.points, stored.refusals.len());
            let app = address.app;
            tracing::info!(
                debug_id = id,
                ?importer,
                app,
                points,
                refused,
                "request was stored"
            );
        }
        let status = match importer {
            Importer::Standard => StatusCode::OK,
            Importer::Prometheus | Importer::OpenTsdb => StatusCode::ACCEPTED,
        };
        Ok(plain(status, ""))
    }

    /// The body, decompressed. Lookout's clients say `snappy` and mean a block; what else they may
    /// say is not compressed at all.
    fn body(&self, request: &Request, importer: Importer) -> Result<Vec<u8>, StoreError> {
        let snappy = match importer {
            Importer::Prometheus => Encoding::SnappyFramed,
            Importer::Standard | Importer::OpenTsdb => Encoding::Snappy,
        };
        let said = request.headers.get(header::CONTENT_ENCODING);
        let said = said.map_or(&b""[..], |value| value.as_bytes());
        if importer == Importer::Standard && !ENCODINGS.contains(&said) {
            return Ok(request.body.to_vec());
        }
        (self.sink).decompress(&request.headers, Some(snappy), &request.body)
    }
}

/// True for what follows a path that may have segments below.
fn is_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// How the exposition of a request is written.
fn form(request: &Request) -> Form {
    if is_protobuf(&request.headers) {
        return Form::Protobuf;
    }
    let content_type = text_of(request, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if content_type.starts_with("application/openmetrics-text") {
        return Form::Text(Format::OpenMetrics);
    }
    Form::Text(Format::Text)
}

/// A header that is text.
fn text_of<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let value = request.headers.get(name)?.to_str().ok()?;
    Some(value.trim())
}

pub(super) fn plain(status: StatusCode, body: &'static str) -> Response {
    Response::bytes(status, TEXT, body)
}

fn not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed")
}

fn of_refusal(importer: Importer, refusal: &Refusal) -> Response {
    let is_standard = importer == Importer::Standard;
    let mut minutes = None;
    let status = match refusal {
        Refusal::NoApp => {
            minutes = Some("5");
            StatusCode::FORBIDDEN
        }
        Refusal::Cell => StatusCode::PRECONDITION_FAILED,
        Refusal::Store(error) if !error.is_too_large() => match error.kind() {
            ErrorKind::Exhausted if is_standard => {
                StatusCode::from_u16(GATEWAY_LIMIT).expect("three digits")
            }
            ErrorKind::Unavailable | ErrorKind::Cancelled => {
                minutes = is_standard.then_some("1");
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(%error, "write failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::BAD_REQUEST,
    };
    let reason = match refusal {
        Refusal::Store(StoreError::Rate { .. }) => Denied::Rate.to_string(),
        other => other.to_string(),
    };
    let in_header: String = (reason.chars())
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect();
    let body = if status == StatusCode::FORBIDDEN {
        String::new()
    } else {
        reason
    };
    let mut response = Response::bytes(status, TEXT, body);
    if let Ok(err) = HeaderValue::from_str(&in_header) {
        response = response.with_header(ERR, err);
    }
    match minutes {
        Some(minutes) => response.with_header(WAIT_MINUTES, HeaderValue::from_static(minutes)),
        None => response,
    }
}
