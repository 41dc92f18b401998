//! `/api/v1/parse_query`: the syntax tree of an expression.

use promql::print::to_json;

use super::answer::{Answer, ApiError};
use super::{Api, Call, params};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let (expr, _) = params::expression(api, &call.form)?;
    Ok(Answer::tree(to_json(&expr)))
}
