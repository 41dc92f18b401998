//! `/api/v1/parse_query`: the syntax tree of an expression.

use promql::print::to_json;

use super::answer::{Answer, ApiError};
use super::{Api, Call, params};

pub(super) fn answer(_: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let (expr, _) = params::expression(&call.form)?;
    Ok(Answer::tree(to_json(&expr)))
}
