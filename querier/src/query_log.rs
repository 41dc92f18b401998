//! What is noted of queries: all of them in a file, as Prometheus' `query_log_file` has them, and slow
//! ones in the log of the process, as Thanos' query frontend has them.
//!
//! A line of the file is a JSON object. Its fields, their order and the form of times are those of
//! Prometheus 3; behind them stand the tenant, and which panel of which dashboard asked, where Grafana
//! says so. The file is only ever appended to. It is opened anew when the configuration was read
//! again, so that it can be moved away before.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::time::Rfc3339;
use parking_lot::Mutex;
use promql::columns::Steps;
use promql::stats::QueryStats;
use runtime::http::{HeaderMap, Request, header};
use runtime::metrics::{Collect, Exposition};
use serde::Serialize;

/// Header in which Grafana names the dashboard that asks.
const DASHBOARD: &str = "x-dashboard-uid";
/// Header in which Grafana names its panel.
const PANEL: &str = "x-panel-id";
/// Header with the ids of the trace that a request is part of, by W3C.
const TRACE: &str = "traceparent";
/// What stands for the ids of a request without a trace.
const NO_TRACE: (&str, &str) = ("00000000000000000000000000000000", "0000000000000000");

/// The file that queries go to, and how often it was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFile {
    /// The file; none when queries are not logged.
    pub path: Option<PathBuf>,
    /// When this changes the file is opened anew.
    pub generation: u64,
}

/// Says which file queries go to now.
type Where = Box<dyn Fn() -> LogFile + Send + Sync>;

/// Notes queries.
pub struct QueryLog {
    to: Where,
    slow: Slow,
    open: Mutex<Open>,
    failures: AtomicU64,
}

impl fmt::Debug for QueryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryLog")
            .field("slow", &self.slow)
            .finish_non_exhaustive()
    }
}

/// Which queries are slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slow {
    /// None is noted.
    #[default]
    Never,
    /// Those that take longer are noted.
    After(Duration),
    /// All are noted.
    Always,
}

impl Slow {
    fn is(self, took: Duration) -> bool {
        match self {
            Self::Never => false,
            Self::After(limit) => took > limit,
            Self::Always => true,
        }
    }
}

/// The file as it was opened last.
#[derive(Debug, Default)]
struct Open {
    said: LogFile,
    file: Option<File>,
    /// A line could not be written, which is said once.
    has_failed: bool,
}

/// Who asks, over either protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// Its address, as far as the connection tells.
    pub(crate) peer: Option<IpAddr>,
}

impl<'a> From<&'a Request> for Caller<'a> {
    fn from(request: &'a Request) -> Self {
        Self {
            method: request.method.as_str(),
            path: &request.path,
            headers: &request.headers,
            peer: request.peer,
        }
    }
}

impl<'a> Caller<'a> {
    /// What a header says, if it is text.
    fn said(&self, name: &str) -> &'a str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The ids of the trace and of the span that the request is part of.
    fn trace(&self) -> (&'a str, &'a str) {
        let mut parts = self.said(TRACE).split('-').skip(1);
        match (parts.next(), parts.next()) {
            (Some(trace), Some(span)) if trace.len() == 32 && span.len() == 16 => (trace, span),
            _ => NO_TRACE,
        }
    }

    fn address(&self) -> String {
        self.peer.map_or_else(String::new, |ip| ip.to_string())
    }
}

/// A query that came to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted<'a> {
    pub(crate) caller: Caller<'a>,
    pub(crate) tenant: &'a str,
    pub(crate) text: &'a str,
    pub(crate) steps: Steps,
    pub(crate) is_instant: bool,
    /// The end of the range that was asked for, which need not be a step.
    pub(crate) end_ms: i64,
    /// Why it has no result.
    pub(crate) error: Option<&'a str>,
    pub(crate) stats: &'a QueryStats,
    pub(crate) took: Duration,
    pub(crate) now_ms: i64,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    source: &'static str,
    msg: &'static str,
    params: Params<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    stats: Stats,
    #[serde(rename = "spanID")]
    span_id: &'a str,
    #[serde(rename = "traceID")]
    trace_id: &'a str,
    #[serde(rename = "httpRequest")]
    http_request: HttpRequest<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    #[serde(skip_serializing_if = "Grafana::is_empty")]
    grafana: Grafana<'a>,
}

#[derive(Serialize)]
struct Params<'a> {
    end: String,
    query: &'a str,
    start: String,
    /// Seconds.
    step: i64,
}

#[derive(Serialize)]
struct Stats {
    timings: Timings,
    samples: Samples,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    total_queryable_samples: u64,
    peak_samples: u64,
}

#[derive(Serialize)]
struct HttpRequest<'a> {
    #[serde(rename = "clientIP")]
    client_ip: String,
    method: &'a str,
    path: &'a str,
}

#[derive(Serialize)]
struct Grafana<'a> {
    #[serde(rename = "dashboardUID", skip_serializing_if = "str::is_empty")]
    dashboard: &'a str,
    #[serde(rename = "panelID", skip_serializing_if = "str::is_empty")]
    panel: &'a str,
}

impl Grafana<'_> {
    fn is_empty(&self) -> bool {
        self.dashboard.is_empty() && self.panel.is_empty()
    }
}

impl QueryLog {
    /// Notes slow queries, and all of them in the file that `to` says at the time.
    pub fn new(slow: Slow, to: impl Fn() -> LogFile + Send + Sync + 'static) -> Self {
        Self {
            to: Box::new(to),
            slow,
            open: Mutex::default(),
            failures: AtomicU64::new(0),
        }
    }

    /// Notes slow queries, and all of them in `file`, if there is one.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn with_file(slow: Slow, file: Option<PathBuf>) -> io::Result<Self> {
        if let Some(path) = &file {
            append(path)?;
        }
        let said = LogFile {
            path: file,
            generation: 0,
        };
        Ok(Self::new(slow, move || said.clone()))
    }

    /// Notes a query.
    pub(crate) fn note(&self, query: &Noted<'_>) {
        if self.slow.is(query.took) {
            query.say();
        }
        let said = (self.to)();
        if said.path.is_none() && self.open.lock().file.is_none() {
            return;
        }
        let mut open = self.open.lock();
        let written = open.follow(said).and_then(|()| match &mut open.file {
            // One write, so that lines of two processes do not mix.
            Some(file) => file.write_all(&query.line()),
            None => Ok(()),
        });
        let failed = u64::from(written.is_err());
        self.failures.fetch_add(failed, Ordering::Relaxed);
        match written {
            Ok(()) => open.has_failed = false,
            Err(error) if !open.has_failed => {
                open.has_failed = true;
                let file = open.said.path.clone().unwrap_or_default();
                tracing::error!(file = %file.display(), %error, "queries cannot be logged");
            }
            Err(_) => {}
        }
    }
}

impl Collect for QueryLog {
    fn collect(&self, out: &mut Exposition) {
        let is_enabled = (self.to)().path.is_some();
        out.gauge(
            "prometheus_engine_query_log_enabled",
            "Whether queries are logged to a file.",
            &[],
            f64::from(u8::from(is_enabled)),
        );
        out.counter(
            "prometheus_engine_query_log_failures_total",
            "Queries that could not be logged to the file.",
            &[],
            self.failures.load(Ordering::Relaxed),
        );
    }
}

impl Open {
    /// Opens the file that is said now, unless it is open.
    fn follow(&mut self, said: LogFile) -> io::Result<()> {
        let is_open = self.file.is_some() == said.path.is_some();
        if self.said == said && is_open {
            return Ok(());
        }
        self.file = None;
        self.said = said;
        self.file = self.said.path.as_deref().map(append).transpose()?;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// A time in milliseconds, with all three digits of them.
fn time(ms: i64) -> String {
    let second = Rfc3339(ms.saturating_sub(ms.rem_euclid(1000))).to_string();
    let second = second.trim_end_matches('Z');
    format!("{second}.{:03}Z", ms.rem_euclid(1000))
}

impl Noted<'_> {
    /// The line of the file.
    fn line(&self) -> Vec<u8> {
        let (prepare, eval) = (self.stats.prepare_time, self.stats.eval_time);
        let caller = self.caller;
        let (trace_id, span_id) = caller.trace();
        let line = Line {
            time: time(self.now_ms),
            level: "INFO",
            source: "querier",
            msg: "promql query logged",
            params: Params {
                end: time(self.end_ms),
                query: self.text,
                start: time(self.steps.start),
                step: match self.is_instant {
                    true => 0,
                    false => self.steps.step / 1000,
                },
            },
            error: self.error,
            stats: Stats {
                timings: Timings {
                    eval_total_time: (prepare + eval).as_secs_f64(),
                    result_sort_time: 0.0,
                    query_preparation_time: prepare.as_secs_f64(),
                    inner_eval_time: eval.as_secs_f64(),
                    exec_queue_time: 0.0,
                    exec_total_time: self.took.as_secs_f64(),
                },
                samples: Samples {
                    total_queryable_samples: self.stats.samples_total,
                    peak_samples: self.stats.samples_peak,
                },
            },
            span_id,
            trace_id,
            http_request: HttpRequest {
                client_ip: caller.address(),
                method: caller.method,
                path: caller.path,
            },
            tenant: self.tenant,
            grafana: Grafana {
                dashboard: caller.said(DASHBOARD),
                panel: caller.said(PANEL),
            },
        };
        // Numbers and strings alone.
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Notes the query in the log of the process, in the words of Thanos' query frontend.
    fn say(&self) {
        let or_dash = |text| match text {
            "" => "-",
            text => text,
        };
        let caller = self.caller;
        tracing::info!(
            method = caller.method,
            host = caller.said(header::HOST.as_str()),
            path = caller.path,
            remote_addr = caller.address(),
            time_taken_ms = self.took.as_millis() as u64,
            grafana_dashboard_uid = or_dash(caller.said(DASHBOARD)),
            grafana_panel_id = or_dash(caller.said(PANEL)),
            trace_id = caller.trace().0,
            tenant = self.tenant,
            samples = self.stats.samples_total,
            peak_samples = self.stats.samples_peak,
            error = self.error.unwrap_or_default(),
            param_query = self.text,
            param_start = time(self.steps.start),
            param_end = time(self.end_ms),
            param_step = self.steps.step / 1000,
            "slow query detected"
        );
    }
}

#[cfg(test)]
mod tests;
