//! Endpoints whose subjects a querier over local data does not have: what they answer is well
//! formed and empty, because Grafana and others ask without being told to.

use super::answer::{Answer, ApiError};
use super::{Api, Call};

/// Types and help texts by metric name.
pub(super) fn metadata(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text("{}"))
}

/// What is scraped.
pub(super) fn targets(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(
        r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#,
    ))
}

/// Recording and alerting rules.
pub(super) fn rules(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(r#"{"groups":[]}"#))
}

/// Alerts that fire or are about to.
pub(super) fn alerts(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(r#"{"alerts":[]}"#))
}

/// Where alerts are sent.
pub(super) fn alertmanagers(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(
        r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#,
    ))
}
