//! `/api/v1/status/tsdb` and `/api/v1/status/tsdb/blocks`: what is in the data directory.

use serde_json::json;
use storeapi::catalog::statistics::{HeadStatistics, RANKS_MAX};
use tsdb::block::Block;

use super::answer::{Answer, ApiError};
use super::{Api, Call, params};

/// Entries of each ranking, when nothing is said.
const RANKS: usize = 10;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let ranks = match call.form.get("limit") {
        None | Some("") => RANKS,
        Some(_) => params::limit(&call.form)?,
    };
    if !(1..=RANKS_MAX).contains(&ranks) {
        let reason = format!("limit must be between 1 and {RANKS_MAX}");
        return Err(ApiError::parameter("limit", reason));
    }
    let count = || match &api.local {
        Some(local) => HeadStatistics::of(local.head()),
        None => HeadStatistics::default(),
    };
    let statistics = api.head_statistics.get_or_init(count);
    Ok(Answer::tree(statistics.to_json(ranks)))
}

/// The blocks, as their `meta.json` describes them.
pub(super) fn blocks(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    let blocks = api.local.iter().flat_map(|local| local.blocks().iter());
    let metas: Vec<_> = blocks.map(Block::meta).collect();
    Ok(Answer::tree(json!({ "blocks": metas })))
}
