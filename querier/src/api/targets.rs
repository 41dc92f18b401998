//! `/api/v1/targets` and `/api/v1/scrape_pools`: what all endpoints that scrape have for targets.

use std::collections::BTreeSet;

use serde_json::json;
use storeapi::catalog::{TargetState, Targets, TargetsRequest};

use super::answer::{Answer, ApiError};
use super::{Api, Call, scope};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let form = &call.form;
    let state = form.get("state").map(str::to_ascii_lowercase);
    let state = match state.as_deref() {
        None | Some("" | "any") => TargetState::Any,
        Some("active") => TargetState::Active,
        Some("dropped") => TargetState::Dropped,
        // As in Prometheus.
        Some(_) => return Ok(Answer::tree(json!(Targets::default()))),
    };
    let request = TargetsRequest {
        state,
        asker: scope::asker(api, call)?,
    };
    let answer = api.wait_for(call, api.catalog.targets(request))?;
    let mut targets = answer.data;
    if let Some(pool) = form.get("scrapePool").filter(|pool| !pool.is_empty()) {
        targets.active_targets.retain(|t| t.scrape_pool == pool);
        targets.dropped_targets.retain(|t| t.scrape_pool == pool);
    }
    Ok(Answer::tree(json!(targets)).with_store_warnings(answer.warnings))
}

/// Names of scrape pools, sorted.
pub(super) fn pools(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let request = TargetsRequest {
        state: TargetState::Any,
        asker: scope::asker(api, call)?,
    };
    let answer = api.wait_for(call, api.catalog.targets(request))?;
    let active = answer
        .data
        .active_targets
        .into_iter()
        .map(|target| target.scrape_pool);
    let dropped = answer
        .data
        .dropped_targets
        .into_iter()
        .map(|target| target.scrape_pool);
    let pools: BTreeSet<String> = active
        .chain(dropped)
        .filter(|pool| !pool.is_empty())
        .collect();
    Ok(Answer::tree(json!({ "scrapePools": pools })).with_store_warnings(answer.warnings))
}
