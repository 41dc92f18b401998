//! `/api/v1/query_exemplars`: none are kept yet, so the answer to a query that makes sense is empty.

use model::time::{MAX_TIME_MS, MIN_TIME_MS};

use super::answer::{Answer, ApiError};
use super::{Api, Call, params};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let start = params::time(&call.form, "start", MIN_TIME_MS)?;
    let end = params::time(&call.form, "end", MAX_TIME_MS)?;
    if end < start {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    params::expression(api, &call.form)?;
    Ok(Answer::text("[]"))
}
