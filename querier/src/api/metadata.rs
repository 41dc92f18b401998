//! `/api/v1/metadata`: what all endpoints say of metrics.

use serde_json::json;
use storeapi::catalog::{MetadataByMetric, MetadataRequest};

use super::answer::{Answer, ApiError};
use super::{Api, Call, params, scope};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let form = &call.form;
    let limit = params::signed_limit(form, "limit")?;
    let per_metric = params::signed_limit(form, "limit_per_metric")?;
    let request = MetadataRequest {
        metric: form.get("metric").unwrap_or_default().to_owned(),
        limit,
        asker: scope::asker(api, call)?,
    };
    let answer = api.wait_for(call, api.catalog.metadata(request))?;
    let metrics = answer.data.into_iter();
    let metrics: MetadataByMetric = metrics
        .map(|(metric, mut variants)| {
            variants.truncate(per_metric.unwrap_or(usize::MAX));
            (metric, variants)
        })
        .collect();
    Ok(Answer::tree(json!(metrics)).with_store_warnings(answer.warnings))
}
