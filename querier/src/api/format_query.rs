//! `/api/v1/format_query`: an expression, laid out for reading.

use promql::print::pretty;

use super::answer::{Answer, ApiError};
use super::{Api, Call, json, params};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let (expr, _) = params::expression(api, &call.form)?;
    let text = pretty(&expr);
    Ok(Answer::new(move |out| {
        let mut buffer = Vec::new();
        json::push_string(&mut buffer, &text);
        out.write_all(&buffer)
    }))
}
