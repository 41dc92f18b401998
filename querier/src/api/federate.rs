//! `/federate`: the newest samples of selected series as text or messages, for another Prometheus to
//! scrape.
//!
//! A series is shown with the time of its newest sample, unless that is older than the lookback or a
//! stale marker. Each has a label `instance`, if an empty one, so that who scrapes adds none. Native
//! histograms cannot be written as text and are left out there, as by Prometheus; those with listed
//! bounds are shown as histograms of the classic kind in either form.

mod classic;
mod messages;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use model::Labels;
use model::labels::is_legacy_metric_name;
use promql::columns::{StepValue, Steps};
use promql::parse::parse_expr;
use promql::value::QueryValue;
use runtime::http::{Method, Request, Response, StatusCode, header};

use super::answer::ApiError;
use super::params::{self, QueryOptions};
use super::{Api, Call, query};

/// Where it is.
pub(super) const PATH: &str = "/federate";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Text for who takes names of any letters, in quotes.
const TEXT_UTF_8: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
const TEXT_1_UTF_8: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const MESSAGES: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
     encoding=delimited; escaping=underscores";
const MESSAGES_UTF_8: &str = "application/vnd.google.protobuf; \
     proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=allow-utf-8";

/// The form of an answer.
enum Form {
    /// Text, with names of any letters in quotes, or as [`legacy`] writes them.
    Text {
        content_type: &'static str,
        is_utf_8: bool,
    },
    /// Messages, each after its length, with names as `name` writes them.
    Messages {
        content_type: &'static str,
        name: fn(&str) -> String,
    },
}

/// The form that a request would rather have. Text is what everybody takes.
fn negotiated(request: &Request) -> Form {
    let accept = request.headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let text = Form::Text {
        content_type: TEXT,
        is_utf_8: false,
    };
    let (mut best, mut best_weight) = (text, 0.0);
    for one in accept.unwrap_or_default().split(',') {
        let mut parts = one.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let said = |name: &str| {
            let found = parameters.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| *value)
        };
        let weight: f64 = said("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let is_messages = kind == "application/vnd.google.protobuf"
            && said("proto") == Some("io.prometheus.client.MetricFamily")
            && said("encoding") == Some("delimited");
        if weight <= best_weight || !(is_messages || kind == "text/plain") {
            continue;
        }
        best_weight = weight;
        best = match (is_messages, said("escaping")) {
            (false, Some("allow-utf-8")) => Form::Text {
                content_type: match said("version") {
                    Some("1.0.0") => TEXT_1_UTF_8,
                    _ => TEXT_UTF_8,
                },
                is_utf_8: true,
            },
            (false, _) => Form::Text {
                content_type: TEXT,
                is_utf_8: false,
            },
            (true, Some("allow-utf-8")) => Form::Messages {
                content_type: MESSAGES_UTF_8,
                name: str::to_owned,
            },
            (true, _) => Form::Messages {
                content_type: MESSAGES,
                name: legacy,
            },
        };
    }
    best
}

/// Newest samples by metric and labels, numbers before histograms.
type Newest = BTreeMap<(String, bool, Labels), (i64, StepValue)>;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Response {
    if call.request.method != Method::GET {
        return Response::not_allowed("GET, OPTIONS");
    }
    if let Err(reason) = params::selectors(api, &call.form) {
        return Response::text(StatusCode::BAD_REQUEST, &reason);
    }
    let form = negotiated(call.request);
    match newest(api, call) {
        Ok(newest) => match form {
            Form::Text {
                content_type,
                is_utf_8,
            } => {
                let body = text::write(&newest, is_utf_8);
                Response::bytes(StatusCode::OK, content_type, body)
            }
            Form::Messages { content_type, name } => {
                let body = messages::write(&newest, name);
                Response::bytes(StatusCode::OK, content_type, body)
            }
        },
        Err(error) => Response::text(error.kind.status(), &error.message),
    }
}

/// The newest samples of the series that one of the selectors accepts.
fn newest(api: &Api, call: &Call<'_>) -> Result<Newest, ApiError> {
    let lookback_ms = api.settings().engine.lookback_ms;
    let mut newest = Newest::new();
    let selectors: BTreeSet<&str> = call.form.all("match[]").collect();
    for selector in selectors {
        // Which series have a sample that is no stale marker, and when that was.
        let QueryValue::Vector(alive) = evaluate(api, call, selector)? else {
            continue;
        };
        let alive: HashSet<Labels> = alive.into_iter().map(|(labels, _)| labels).collect();
        let samples = format!("{selector}\n[{lookback_ms}ms]");
        let QueryValue::Matrix(samples) = evaluate(api, call, &samples)? else {
            continue;
        };
        for series in samples {
            let last = series.points.last();
            if let Some((t, value)) = last
                && alive.contains(&series.labels)
                && !series.labels.metric_name().is_empty()
            {
                let name = series.labels.metric_name().to_owned();
                let is_histogram = matches!(value, StepValue::Histogram(_));
                newest.insert((name, is_histogram, series.labels), (t, value));
            }
        }
    }
    Ok(newest)
}

fn evaluate(api: &Api, call: &Call<'_>, text: &str) -> Result<QueryValue, ApiError> {
    let syntax = api.settings().syntax();
    let expr = parse_expr(text, syntax).map_err(ApiError::bad_data)?;
    let circumstances = query::Circumstances {
        steps: Steps::instant(call.now_ms),
        end: None,
        is_instant: true,
        max_resolution: 0,
        options: QueryOptions::default(),
    };
    let task = circumstances.task((&expr, text));
    let evaluated = query::counted(api, call, || query::evaluate(api, call, &task, None));
    Ok(evaluated?.result.value)
}

/// A name as readers of the text format take it that were not asked for more: what it may not have
/// becomes an underscore.
fn legacy(name: &str) -> String {
    if is_legacy_metric_name(name) {
        return name.to_owned();
    }
    let legacy = name.char_indices().map(|(at, c)| match c {
        'a'..='z' | 'A'..='Z' | '_' | ':' => c,
        '0'..='9' if at > 0 => c,
        _ => '_',
    });
    legacy.collect()
}
