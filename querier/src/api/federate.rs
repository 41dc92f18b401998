//! `/federate`: the newest samples of selected series as text, for another Prometheus to scrape.
//!
//! A series is shown with the time of its newest sample, unless that is older than the lookback or a
//! stale marker. Each has a label `instance`, if an empty one, so that who scrapes adds none. Native
//! histograms cannot be written as text and are left out, as by Prometheus.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use model::Labels;
use model::float::G;
use model::labels::is_legacy_metric_name;
use promql::columns::{StepValue, Steps};
use promql::parse::parse_expr;
use promql::value::QueryValue;
use runtime::http::{Method, Response, StatusCode};
use runtime::metrics::push_escaped;

use super::answer::ApiError;
use super::params::{self, QueryOptions};
use super::{Api, Call, query};

/// Where it is.
pub(super) const PATH: &str = "/federate";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Newest samples by metric and labels.
type Newest = BTreeMap<(String, Labels), (i64, f64)>;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Response {
    if call.request.method != Method::GET {
        return Response::not_allowed("GET, OPTIONS");
    }
    if let Err(reason) = params::selectors(api, &call.form) {
        return Response::text(StatusCode::BAD_REQUEST, &reason);
    }
    match newest(api, call) {
        Ok(newest) => Response::bytes(StatusCode::OK, TEXT, text(&newest)),
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
            if let Some((t, StepValue::Float(v))) = last
                && alive.contains(&series.labels)
                && !series.labels.metric_name().is_empty()
            {
                let name = series.labels.metric_name().to_owned();
                newest.insert((name, series.labels), (t, v));
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
    Ok(query::evaluate(api, call, &task, None)?.result.value)
}

fn text(newest: &Newest) -> String {
    let mut out = String::new();
    let mut family = "";
    for ((name, labels), (t, v)) in newest {
        if name != family {
            family = name;
            let _ = writeln!(out, "# TYPE {} untyped", legacy(name));
        }
        out.push_str(&legacy(name));
        out.push('{');
        for (name, value) in labels.iter().filter(|(name, _)| *name != "__name__") {
            let _ = write!(out, "{}=\"", legacy(name));
            push_escaped(&mut out, value);
            out.push_str("\",");
        }
        match labels.get("instance") {
            None => out.push_str("instance=\"\""),
            Some(_) => drop(out.pop()),
        }
        let _ = writeln!(out, "}} {} {t}", G(*v));
    }
    out
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
