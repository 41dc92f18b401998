//! `/api/v1/series`: the label sets of series.

use super::answer::{Answer, ApiError, truncate};
use super::{Api, Call, json, params, scope};
use crate::store_source::StoreSource;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    if call.form.get("match[]").is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params::limit(&call.form)?;
    let range = params::metadata_range(&call.form, call.now_ms, api.settings())?;
    let selectors =
        params::selectors(api, &call.form).map_err(|e| ApiError::parameter("match[]", e))?;
    let scope = scope::scope(api, call, 0)?;
    let store = api
        .evaluator
        .fan_out(&scope::store_matchers(api, &call.form)?);
    let patience = api.evaluator.patience_with(&*store, &api.leash(call, None));
    let source = StoreSource::new(store, scope, patience);
    // One more than is shown tells that something is left out.
    let enough = if limit == 0 { 0 } else { limit + 1 };
    let mut sets = Vec::new();
    for matchers in selectors {
        sets.extend(source.label_sets(matchers, range, enough)?);
    }
    sets.sort();
    sets.dedup();
    let warnings = truncate(&mut sets, limit);
    let mut answer = Answer::new(move |out| json::write_label_sets(out, &sets));
    answer.warnings = warnings;
    Ok(answer.with_store_warnings(source.warnings()))
}
