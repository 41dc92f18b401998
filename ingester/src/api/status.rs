//! What the process says about itself, and what it scrapes.

use model::time::Rfc3339;
use runtime::http::{Form, Response};
use serde_json::{Map, Value, json};

use super::Api;
use super::answer::{ApiError, success};
use super::series::limit;

pub(super) fn build_info(api: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    Ok(success(api.about.build_info(), &[]))
}

pub(super) fn config(api: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    Ok(success(json!({ "yaml": api.control.config_yaml() }), &[]))
}

pub(super) fn flags(api: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    Ok(success(json!(api.about.flags), &[]))
}

/// What receivers did, and the points that were refused last.
pub(super) fn ingest(api: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    Ok(success(api.control.ingest(), &[]))
}

pub(super) fn runtime_info(api: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    let started = Rfc3339(api.about.started_ms).to_string();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let retention = api.about.flags.get("tsdb.retention");
    let data = json!({
        "startTime": started,
        "serverTime": Rfc3339(api.clock.now_ms()).to_string(),
        "CWD": "",
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": retention.map_or("", String::as_str),
    });
    Ok(success(data, &[]))
}

/// Figures of the heads together; with `all_tenants`, as Thanos has it, one entry a tenant.
pub(super) fn tsdb(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let heads = api.control.heads();
    let statistics = |series: usize, range: Option<(i64, i64)>| {
        let (min, max) = range.unwrap_or((i64::MAX, i64::MIN));
        json!({
            "headStats": {
                "numSeries": series,
                "numLabelPairs": 0,
                "chunkCount": 0,
                "minTime": min,
                "maxTime": max,
            },
            "seriesCountByMetricName": [],
            "labelValueCountByLabelName": [],
            "memoryInBytesByLabelName": [],
            "seriesCountByLabelValuePair": [],
        })
    };
    if form.get("all_tenants") == Some("true") {
        let entries = heads.iter().map(|head| {
            let mut entry = statistics(head.series, head.range);
            entry["tenant"] = json!(head.tenant);
            entry
        });
        return Ok(success(Value::Array(entries.collect()), &[]));
    }
    let ranges = heads.iter().filter_map(|head| head.range);
    let whole = ranges.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
    let series = heads.iter().map(|head| head.series).sum();
    Ok(success(statistics(series, whole), &[]))
}

/// Done: before that, nothing but the server's health is answered.
pub(super) fn wal_replay(_: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    let data = json!({ "min": 0, "max": 0, "current": 0, "state": "done" });
    Ok(success(data, &[]))
}

pub(super) fn targets(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let mut data = api
        .control
        .targets(form.get("scrapePool").filter(|pool| !pool.is_empty()));
    let emptied = match form.get("state") {
        Some("active") => Some("droppedTargets"),
        Some("dropped") => Some("activeTargets"),
        _ => None,
    };
    if let Some(emptied) = emptied {
        data[emptied] = json!([]);
    }
    Ok(success(data, &[]))
}

pub(super) fn scrape_pools(api: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    Ok(success(
        json!({ "scrapePools": api.control.scrape_pools() }),
        &[],
    ))
}

pub(super) fn metadata(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let metrics_max = match limit(form)? {
        0 => usize::MAX,
        max => max,
    };
    let metric = form.get("metric").filter(|metric| !metric.is_empty());
    let mut data = Map::new();
    for (metric, variants) in api.control.metadata(metric).into_iter().take(metrics_max) {
        data.insert(metric, json!(variants));
    }
    Ok(success(Value::Object(data), &[]))
}
