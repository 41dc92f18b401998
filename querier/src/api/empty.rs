//! Endpoints whose subjects a querier does not have: what they answer is well formed and empty,
//! because Grafana and others ask without being told to.

use super::answer::{Answer, ApiError};
use super::{Api, Call};

/// Where alerts are sent.
pub(super) fn alertmanagers(_: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::text(
        r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#,
    ))
}
