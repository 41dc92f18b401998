//! `/api/v1/query_range`: an expression at many instants.

use promql::columns::Steps;

use super::answer::{Answer, ApiError};
use super::{Api, Call, params, query};

/// Steps that lie between the first and the last at most, which keeps answers at a size that a
/// graph can show.
pub(super) const INTERVALS_MAX: usize = 11_000;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let form = &call.form;
    let limit = params::limit(form)?;
    let start = params::required_time(form, "start")?;
    let end = params::required_time(form, "end")?;
    if end < start {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step = form.get("step").unwrap_or_default();
    let step_ns = params::duration_ns(step).map_err(|e| ApiError::parameter("step", e))?;
    let step = step_ns / 1_000_000;
    if step <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (i128::from(end) - i128::from(start)) / i128::from(step) > INTERVALS_MAX as i128 {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let options = params::query_options(form)?;
    let steps = Steps::range(start, end, step);
    query::evaluate(api, call, &options, (steps, false, limit))
}
