//! What the process says about itself, and what it scrapes.

use std::collections::BTreeMap;

use model::Labels;
use model::labels::quoted;
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
    Ok(success(api.about.runtime_info(api.clock.now_ms()), &[]))
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
    let limit = match form.get("limit") {
        None | Some("") => None,
        Some(text) => {
            let number = text.parse::<i64>();
            let number = number.map_err(|_| ApiError::bad_data("limit must be a number"))?;
            // As in Prometheus, less than 1 is no limit.
            usize::try_from(number).ok().filter(|limit| *limit > 0)
        }
    };
    let matching = |target: &Labels| target.match_all(&matchers);
    let found = api.control.targets_metadata(&matching, metric, limit);
    Ok(success(json!(found), &[]))
}

/// What each relabelling rule of a pool does to given labels.
pub(super) fn relabel_steps(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let said = |name: &str| {
        let text = form.get(name).filter(|text| !text.is_empty());
        text.ok_or_else(|| ApiError::bad_data(format!("no {name} parameter provided")))
    };
    let (pool, labels) = (said("scrapePool")?, said("labels")?);
    let labels: Option<BTreeMap<String, String>> = serde_json::from_str(labels)
        .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}")))?;
    let labels = Labels::from_pairs(labels.unwrap_or_default());
    let Some(steps) = api.control.relabel_steps(pool, &labels) else {
        let pool = quoted(pool);
        let text = format!("error retrieving scrape config: scrape pool {pool} not found");
        return Err(ApiError::bad_data(text));
    };
    Ok(success(json!({ "steps": steps }), &[]))
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
