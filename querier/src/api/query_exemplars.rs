//! `/api/v1/query_exemplars`: exemplars of the series that an expression selects.

use model::TimeRange;
use model::time::{MAX_TIME_MS, MIN_TIME_MS};
use serde_json::json;
use storeapi::catalog::ExemplarsRequest;

use super::answer::{Answer, ApiError};
use super::{Api, Call, params, scope};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let form = &call.form;
    let start = params::time(form, "start", MIN_TIME_MS)?;
    let end = params::time(form, "end", MAX_TIME_MS)?;
    if end < start {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let (expr, text) = params::expression(api, form).map_err(without_name)?;
    if expr.selectors().is_empty() {
        return Ok(Answer::text("[]"));
    }
    let request = ExemplarsRequest {
        query: text.to_owned(),
        range: TimeRange::closed(start, end),
        asker: scope::asker(api, call)?,
    };
    let answer = api.wait_for(call, api.catalog.exemplars(request))?;
    Ok(Answer::tree(json!(answer.data)).with_store_warnings(answer.warnings))
}

/// Prometheus says here only what is wrong with the expression.
fn without_name(error: ApiError) -> ApiError {
    let prefix = "invalid parameter \"query\": ";
    match error.message.strip_prefix(prefix) {
        Some(message) => ApiError::bad_data(message),
        None => error,
    }
}
