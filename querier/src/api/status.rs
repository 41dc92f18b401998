//! `/api/v1/status/...`: what the process says about itself.

use promql::ast::{AggregateOp, BinaryOp, FUNCTIONS};
use promql::parse::Features;
use runtime::http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError, ErrorType};
use super::{Api, Call};

/// Versions.
pub(super) fn build_info(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::tree(api.about.build_info()))
}

/// Versions, without the envelope of the API.
pub(super) fn version(api: &Api) -> Response {
    let body = api.about.build_info().to_string();
    Response::bytes(StatusCode::OK, "application/json", body)
}

/// What changes data, in Prometheus' words.
pub(super) const ADMIN: [&str; 3] = [
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/clean_tombstones",
    "/api/v1/admin/tsdb/snapshot",
];

/// Says of one of [`ADMIN`] that it is not to be had, as Prometheus does unless told otherwise.
pub(super) fn admin_disabled(method: &Method) -> Response {
    if !matches!(*method, Method::POST | Method::PUT) {
        return Response::not_allowed("OPTIONS, POST, PUT");
    }
    disabled("admin APIs disabled")
}

/// What starts a process anew or ends it, in Prometheus' words.
pub(super) const LIFECYCLE: [&str; 2] = ["/-/quit", "/-/reload"];

/// Says of one of [`LIFECYCLE`] that it is not to be had, as Prometheus does unless told otherwise.
pub(super) fn lifecycle_disabled(method: &Method) -> Response {
    if !matches!(*method, Method::POST | Method::PUT) {
        let refused = "Only POST or PUT requests allowed";
        return Response::text(StatusCode::METHOD_NOT_ALLOWED, refused).with_header(
            header::ALLOW,
            HeaderValue::from_static("OPTIONS, POST, PUT"),
        );
    }
    Response::text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

/// Where Prometheus 3.15 searches for names and values, once that is enabled.
pub(super) const SEARCH: [&str; 3] = [
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
    "/api/v1/search/metric_names",
];

/// Says of one of [`SEARCH`] that it is not to be had, as Prometheus does unless told
/// otherwise.
pub(super) fn search_disabled(method: &Method) -> Response {
    if !matches!(*method, Method::GET | Method::POST) {
        return Response::not_allowed("GET, OPTIONS, POST");
    }
    disabled("search API disabled")
}

fn disabled(what: &'static str) -> Response {
    let error = ApiError {
        kind: ErrorType::Disabled,
        message: what.to_owned(),
    };
    error.respond()
}

/// The configuration file, of which a querier has none.
pub(super) fn config(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(r#"{"yaml":"{}\n"}"#))
}

/// The flags as they took effect.
pub(super) fn flags(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::tree(json!(api.about.flags)))
}

/// How far the log is replayed: before that is done, nothing but the server's health is answered.
pub(super) fn wal_replay(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(
        r#"{"min":0,"max":0,"current":0,"state":"done"}"#,
    ))
}

/// What the API and the engine can do, by category.
pub(super) fn features(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    let engine = &api.settings().engine;
    let syntax = api.settings().syntax().features;
    let (functions, operators) = language(syntax);
    Ok(Answer::tree(json!({
        "api": {
            "admin": false,
            "exclude_alerts": true,
            "label_values_match": true,
            "openapi_3.1": true,
            "openapi_3.2": true,
            "query_stats": true,
            "query_warnings": true,
            "search": false,
            "time_range_labels": true,
            "time_range_series": true,
        },
        "promql": {
            "anchored": syntax.extended_range_selectors,
            "at_modifier": true,
            "bool": true,
            "by": true,
            "delayed_name_removal": engine.delayed_name_removal,
            "duration_expr": true,
            "fill": syntax.binop_fill_modifiers,
            "fill_left": syntax.binop_fill_modifiers,
            "fill_right": syntax.binop_fill_modifiers,
            "group_left": true,
            "group_right": true,
            "ignoring": true,
            "negative_offset": true,
            "offset": true,
            "on": true,
            "per_query_lookback_delta": true,
            "per_step_stats": true,
            "smoothed": syntax.extended_range_selectors,
            "subqueries": true,
            "type_and_unit_labels": engine.type_and_unit_labels,
            "without": true,
        },
        "promql_functions": functions,
        "promql_operators": operators,
    })))
}

/// Functions and operators by name, and whether they are enabled. Matchers and `@` are operators too,
/// as Prometheus counts them.
fn language(syntax: Features) -> (Map<String, Value>, Map<String, Value>) {
    let is_on = |is_experimental: bool| !is_experimental || syntax.experimental_functions;
    let functions = FUNCTIONS
        .iter()
        .map(|f| (f.name.to_owned(), is_on(f.is_experimental).into()));
    let binary = BinaryOp::ALL.iter().map(|op| (op.as_str(), true));
    let aggregators = AggregateOp::ALL
        .iter()
        .map(|op| (op.as_str(), is_on(op.is_experimental())));
    let operators = binary
        .chain(aggregators)
        .chain(["=~", "!~", "@"].map(|name| (name, true)))
        .map(|(name, is_on)| (name.to_owned(), is_on.into()));
    (functions.collect(), operators.collect())
}

/// How the process runs.
pub(super) fn runtime_info(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut info = api.about.runtime_info(call.now_ms);
    if let Some(local) = &api.local {
        info["corruptionCount"] = local.report().unreadable_blocks.len().into();
    }
    Ok(Answer::tree(info))
}
