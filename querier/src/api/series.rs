//! `/api/v1/series`: the label sets of series.

use super::answer::{Answer, ApiError, truncate};
use super::{Api, Call, json, params};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    if call.form.get("match[]").is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params::limit(&call.form)?;
    let range = params::range(&call.form)?;
    let selectors = params::selectors(&call.form).map_err(|e| ApiError::parameter("match[]", e))?;
    let mut sets = api.source.label_sets(&selectors, range)?;
    let warnings = truncate(&mut sets, limit);
    let mut answer = Answer::new(move |out| json::write_label_sets(out, &sets));
    answer.warnings = warnings;
    Ok(answer)
}
