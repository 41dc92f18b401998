//! What the process says about itself, and what it scrapes.

use model::Labels;
use promql::parse::{Options, parse_selector};
use runtime::http::{Form, Response};
use serde_json::{Value, json};
use storeapi::catalog::statistics::{HeadStatistics, RANKS_MAX};
use storeapi::catalog::{MetadataByMetric, TargetState};

use super::Api;
use super::answer::{ApiError, success};
use super::series::{limit, number};

/// Entries of each ranking of a head, when nothing is said.
const RANKS: usize = 10;

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
    let mut info = api.about.runtime_info(api.clock.now_ms());
    let retention = api.about.flags.get("tsdb.retention");
    info["storageRetention"] = retention.map_or("", String::as_str).into();
    Ok(success(info, &[]))
}

/// Figures of the heads together; with `all_tenants`, as Thanos has it, one entry a tenant.
pub(super) fn tsdb(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let ranks = match number(form, "limit")? {
        0 if form.get("limit").is_none_or(str::is_empty) => RANKS,
        ranks => ranks,
    };
    if !(1..=RANKS_MAX).contains(&ranks) {
        let reason = format_args!("limit must be between 1 and {RANKS_MAX}");
        return Err(ApiError::parameter("limit", reason));
    }
    let heads = api.control.heads().into_iter();
    if form.get("all_tenants") == Some("true") {
        let entries = heads.map(|(tenant, head)| {
            let mut entry = head.to_json(ranks);
            entry["tenant"] = json!(tenant);
            entry
        });
        return Ok(success(Value::Array(entries.collect()), &[]));
    }
    let joined = HeadStatistics::joined(heads.map(|(_, head)| head));
    Ok(success(joined.to_json(ranks), &[]))
}

/// Done: before that, nothing but the server's health is answered.
pub(super) fn wal_replay(_: &Api, _: &Form, _: &str) -> Result<Response, ApiError> {
    let data = json!({ "min": 0, "max": 0, "current": 0, "state": "done" });
    Ok(success(data, &[]))
}

pub(super) fn targets(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let pool = form.get("scrapePool").filter(|pool| !pool.is_empty());
    let mut targets = api.control.targets(pool);
    targets.keep(match form.get("state") {
        Some("active") => TargetState::Active,
        Some("dropped") => TargetState::Dropped,
        _ => TargetState::Any,
    });
    Ok(success(json!(targets), &[]))
}

pub(super) fn targets_metadata(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let selector = form.get("match_target").filter(|text| !text.is_empty());
    let matchers = match selector {
        None => Vec::new(),
        Some(text) => parse_selector(text, Options::default())
            .map_err(|error| ApiError::parameter("match_target", error))?,
    };
    let metric = form.get("metric").filter(|metric| !metric.is_empty());
    let limit = Some(limit(form)?).filter(|limit| *limit > 0);
    let matching = |target: &Labels| target.match_all(&matchers);
    let found = api.control.targets_metadata(&matching, metric, limit);
    Ok(success(json!(found), &[]))
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
    let variants_max = match number(form, "limit_per_metric")? {
        0 => usize::MAX,
        max => max,
    };
    let all = api.control.metadata(metric).into_iter().take(metrics_max);
    let cut = all.map(|(metric, mut variants)| {
        variants.truncate(variants_max);
        (metric, variants)
    });
    Ok(success(json!(cut.collect::<MetadataByMetric>()), &[]))
}
