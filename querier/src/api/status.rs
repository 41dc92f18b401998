//! `/api/v1/status/...`: what the process says about itself.

use model::time::Rfc3339;
use serde_json::json;

use super::answer::{Answer, ApiError};
use super::{Api, Call};

/// Versions.
pub(super) fn build_info(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::tree(api.about.build_info()))
}

/// The configuration file, of which a querier has none.
pub(super) fn config(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(r#"{"yaml":"{}\n"}"#))
}

/// The flags as they took effect.
pub(super) fn flags(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::tree(json!(api.about.flags)))
}

/// How the process runs.
pub(super) fn runtime_info(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let started = Rfc3339(api.about.started_ms).to_string();
    let unreadable = api
        .local
        .as_ref()
        .map(|local| &local.report().unreadable_blocks);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Answer::tree(json!({
        "startTime": started,
        "serverTime": Rfc3339(call.now_ms).to_string(),
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "corruptionCount": unreadable.map_or(0, Vec::len),
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": "",
    })))
}
