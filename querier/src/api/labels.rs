//! `/api/v1/labels`: the names of labels.

use super::answer::{Answer, ApiError};
use super::{Api, Call, params};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let limit = params::limit(&call.form)?;
    let range = params::range(&call.form)?;
    let selectors = params::selectors(&call.form).map_err(ApiError::bad_data)?;
    let names = api.source.label_names(&selectors, range)?;
    Ok(Answer::strings(names, limit))
}
