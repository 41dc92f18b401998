//! `/api/v1/status/tsdb` and `/api/v1/status/tsdb/blocks`: what is in the heads of all endpoints that
//! have some, and in the data directory.

use serde_json::{Value, json};
use storeapi::catalog::StatisticsRequest;
use storeapi::catalog::statistics::{HeadStatistics, RANKS_MAX};
use tsdb::block::Block;

use super::answer::{Answer, ApiError};
use super::{Api, Call, scope};
use crate::settings::DEFAULT_TENANT;

/// Entries of each ranking, when nothing is said.
const RANKS: usize = 10;
/// Entries of each ranking that every endpoint is asked for at least: what is below in one may be
/// far above when all are summed.
const ASKED_MIN: usize = 1_000;

/// As Prometheus has it, of all heads together; with `all_tenants`, as Thanos has it, one entry a
/// tenant.
pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let form = &call.form;
    let ranks = match form.get("limit") {
        None | Some("") => RANKS,
        Some(text) => text.parse().unwrap_or(0),
    };
    if ranks == 0 {
        return Err(ApiError::bad_data("limit must be a positive number"));
    }
    if ranks > RANKS_MAX {
        let reason = format_args!("limit must not exceed {RANKS_MAX}");
        return Err(ApiError::bad_data(reason));
    }
    let request = StatisticsRequest {
        limit: Some(ranks.max(ASKED_MIN)),
        asker: scope::asker(api, call)?,
    };
    let answer = api.wait_for(call, api.catalog.statistics(request))?;
    let mut heads = answer.data;
    if let Some(local) = &api.local {
        let count = || HeadStatistics::of(local.head());
        let local = api.head_statistics.get_or_init(count).clone();
        let known = heads.remove(DEFAULT_TENANT).unwrap_or_default();
        let joined = HeadStatistics::joined([known, local]);
        heads.insert(DEFAULT_TENANT.to_owned(), joined);
    }
    if let Some(tenant) = scope::only_tenant(api, call)? {
        heads.retain(|name, _| *name == tenant);
    }
    if form.get("all_tenants") == Some("true") {
        let entries = heads.iter().map(|(tenant, head)| {
            let mut entry = head.to_json(ranks);
            entry["tenant"] = json!(tenant);
            entry
        });
        let entries = Value::Array(entries.collect());
        return Ok(Answer::tree(entries).with_store_warnings(answer.warnings));
    }
    let joined = HeadStatistics::joined(heads.into_values());
    Ok(Answer::tree(joined.to_json(ranks)).with_store_warnings(answer.warnings))
}

/// The blocks, as their `meta.json` describes them.
pub(super) fn blocks(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    let blocks = api.local.iter().flat_map(|local| local.blocks().iter());
    let metas: Vec<_> = blocks.map(Block::meta).collect();
    Ok(Answer::tree(json!({ "blocks": metas })))
}
