//! The gateway's port: its endpoints, and what each takes. Its answers are those of [`answer`](super::answer).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use runtime::http::{
    Cost, Handler, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use runtime::process::{Shutdown, blocking};

use super::access::Denied;
use super::address::{Address, AddressError};
use super::answer::{Refusal, not_allowed, of_refusal, plain};
use super::intake::{Intake, Origin, Step};
use super::native;
use super::push::{self, Form};
use super::stats::{Stats, WINDOW};
use super::{Options, Profile, targets};
use crate::exposition::Format;
use crate::protocols::LateManager;
use crate::protocols::metricbeat;
use crate::protocols::points::Reason;
use crate::protocols::pushgateway::handler::is_protobuf;
use crate::protocols::rate::{Allowances, Rate};
use crate::protocols::sink::{Sink, StoreError, encoding_of};
use crate::receive::Encoding;

/// Says that the body tells what to report.
const CONF_REFRESH: HeaderName = HeaderName::from_static("conf-refresh");

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
    stats: Stats,
    /// Takes Metricbeat's events below `/beat`.
    beats: metricbeat::handler::Endpoint,
    /// What scrapes in the same process.
    scraping: LateManager,
}

/// What sends to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Importer {
    /// Lookout's clients and gateways.
    Standard,
    Prometheus,
    OpenTsdb,
    /// Metricbeat, to which it is an Elasticsearch.
    Metricbeat,
}

impl Importer {
    /// That of a path.
    fn of_path(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("prom") => Self::Prometheus,
            Some("opentsdb") => Self::OpenTsdb,
            Some("beat") => Self::Metricbeat,
            _ => Self::Standard,
        }
    }

    /// Its name in the gateway's configuration and figures.
    const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Prometheus => "prometheus",
            Self::OpenTsdb => "opentsdb",
            Self::Metricbeat => "metricbeat",
        }
    }
}

impl Refusal {
    /// Its name as the value of a label.
    const fn name(&self) -> &'static str {
        match self {
            Self::Refusing => "refusing",
            Self::NoApp => "no_app",
            Self::Cell => "wrong_zone",
            Self::Address(_) => "invalid_address",
            Self::Denied(_) => "denied",
            Self::NotRecords(_) | Self::Push(_) => Reason::Malformed.name(),
            Self::Store(error) => error.name(),
        }
    }
}

impl Handler for Gateway {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        let (method, path) = (&request.method, request.path.as_str());
        let importer = Importer::of_path(path);
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
            (&Method::GET, "/lookout/metrics") => {
                self.check_switch().and(Err(AddressError::NoApp.into()))
            }
            (&Method::POST, "/opentsdb/api/put" | "/opentsdb/api/put/") => {
                self.put_opentsdb(&request)
            }
            (_, "/datas" | "/opentsdb/api/put" | "/opentsdb/api/put/") => return not_allowed(),
            _ => match path.strip_prefix("/lookout/metrics") {
                Some(tags) if is_below(tags) && *method == Method::POST => {
                    self.report_tagged(&request, tags)
                }
                Some(tags) if is_below(tags) => return not_allowed(),
                _ => match path.strip_prefix("/prom/metrics") {
                    Some(tags) if tags.starts_with("/job/") || tags.starts_with("/job@base64/") => {
                        if !is_push(&request) {
                            return not_allowed();
                        }
                        self.push_prometheus(&request, tags)
                    }
                    _ => return plain(StatusCode::NOT_FOUND, "404 page not found"),
                },
            },
        };
        result.unwrap_or_else(|refusal| {
            // What the sink refused was counted there.
            if !matches!(refusal, Refusal::Store(_)) {
                self.sink.refused("", refusal.name(), &refusal);
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
            stats: Stats::default(),
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
        let ip = request.peer.map(|ip| ip.to_string());
        let extra: Vec<_> = ip.iter().map(|ip| ("ip", ip.as_str())).collect();
        let begin = Instant::now();
        let response = self.beats.answer(request, path, &extra);
        if is_push(request) {
            self.note(request, Importer::Metricbeat, "", begin);
        }
        Ok(response)
    }

    /// Counts a push that was answered.
    fn note(&self, request: &Request, importer: Importer, app: &str, begin: Instant) {
        let (bytes, took) = (request.body.len(), begin.elapsed());
        self.stats.note(importer.name(), app, bytes, took);
    }

    /// Stores what the gateway has to say of itself.
    pub(in crate::protocols) fn tell(&self) {
        let (sink, names) = (&self.sink, self.options.names);
        let (totals, waiting) = (sink.totals(), sink.waiting_bytes());
        let points = self
            .stats
            .end_window((sink.now_ms(), names), totals, waiting);
        if let Err(error) = sink.repeat("", &points) {
            tracing::debug!(%error, "the gateway's own metrics were not stored");
        }
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
        let begin = Instant::now();
        let tenant = self.sink.tenant(&request.headers)?;
        let body = self.body(tenant, request, importer)?;
        let said = text_of(request, "client-ip").filter(|_| importer == Importer::Standard);
        let said = said.filter(|ip| !ip.is_empty()).map(str::to_owned);
        // By the gateway's rules the address of the connection is there before the tags of the request.
        let own = address.tags.iter().find(|(key, _)| key == "ip");
        let own = own.filter(|_| self.options.profile == Profile::General);
        let own = own.map(|(_, ip)| ip.clone());
        let peer = || request.peer.map(|ip| ip.to_string());
        let origin = Origin {
            ip: said.or(own).or_else(peer),
            tags: address.tags,
            step: address.step,
            now_ms: self.sink.now_ms(),
        };
        let (names, left) = self.sink.names(self.options.names);
        let mut intake = Intake::new(&self.options, names, &origin);
        intake.points.rename(left);
        let decoded = match importer {
            Importer::Standard => {
                native::decode(&body, self.options.information, &mut intake).map_err(Refusal::from)
            }
            Importer::Prometheus => {
                let honor = self.options.honor_timestamps;
                push::exposition(&body, form(request), honor, &mut intake).map_err(Refusal::from)
            }
            Importer::OpenTsdb | Importer::Metricbeat => {
                push::opentsdb(&body, self.options.labels, &mut intake).map_err(Refusal::from)
            }
        };
        decoded?;
        let stored = self.sink.store(tenant, &intake.points);
        self.note(request, importer, &address.app, begin);
        let stored = stored?;
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
            _ => StatusCode::ACCEPTED,
        };
        Ok(plain(status, ""))
    }

    /// The body, decompressed. Lookout's clients say `snappy` and mean a block; what else they may
    /// say is not compressed at all.
    fn body(
        &self,
        tenant: &str,
        request: &Request,
        importer: Importer,
    ) -> Result<Vec<u8>, StoreError> {
        let snappy = match importer {
            Importer::Prometheus => Encoding::SnappyFramed,
            _ => Encoding::Snappy,
        };
        if importer == Importer::Standard {
            let encoding = encoding_of(&request.headers, Some(snappy));
            let encoding = encoding.unwrap_or(Encoding::Identity);
            return self.sink.expand(tenant, encoding, &request.body);
        }
        (self.sink).decompress(tenant, &request.headers, Some(snappy), &request.body)
    }
}

/// Has `gateway` say what it did in each window until told to stop, once the data is open, which
/// `scraping` tells.
pub(in crate::protocols) async fn run(
    gateway: Arc<Gateway>,
    scraping: LateManager,
    mut shutdown: Shutdown,
) {
    let begin = tokio::time::Instant::now() + WINDOW;
    let mut ticks = tokio::time::interval_at(begin, WINDOW);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        if scraping.get().is_some() {
            let gateway = Arc::clone(&gateway);
            blocking(move || gateway.tell()).await;
        }
    }
}

/// True for a request that brings something.
fn is_push(request: &Request) -> bool {
    matches!(request.method, Method::POST | Method::PUT)
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
