//! Parameters that several endpoints take, read as Prometheus reads them.

use std::time::Duration;

use model::labels::quoted;
use model::time::{DurationMs, MAX_TIME_MS, MIN_TIME_MS, parse_timestamp};
use model::{Matcher, TimeRange};
use promql::ast::Expr;
use promql::parse::{parse_expr, parse_selector};
use runtime::http::Form;

use super::Api;
use super::answer::ApiError;
use crate::settings::Settings;

/// An instant in milliseconds; `default` when it is not given.
pub(super) fn time(form: &Form, name: &str, default: i64) -> Result<i64, ApiError> {
    match form.get(name) {
        None | Some("") => Ok(default),
        Some(text) => parse_timestamp(text).map_err(|e| {
            let reason = format!("invalid time value for '{name}': {e}");
            ApiError::parameter(name, reason)
        }),
    }
}

/// An instant in milliseconds that must be given.
pub(super) fn required_time(form: &Form, name: &str) -> Result<i64, ApiError> {
    let text = form.get(name).unwrap_or_default();
    parse_timestamp(text).map_err(|e| ApiError::parameter(name, e))
}

/// The range from `start` to `end`, both included, of a question about labels; when they are not
/// given, all time or what is set for that.
pub(super) fn metadata_range(
    form: &Form,
    now_ms: i64,
    settings: &Settings,
) -> Result<TimeRange, ApiError> {
    let first = match settings.metadata_range_ms {
        0 => MIN_TIME_MS,
        ms => now_ms.saturating_sub(ms),
    };
    let start = time(form, "start", first)?;
    let end = time(form, "end", MAX_TIME_MS)?;
    Ok(TimeRange::closed(start, end))
}

/// Nanoseconds from seconds, with a fraction, or a duration as PromQL writes it.
pub(super) fn duration_ns(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * 1e9;
        if ns.is_nan() || ns.abs() > i64::MAX as f64 {
            let text = quoted(text);
            return Err(format!(
                "cannot parse {text} to a valid duration. It overflows int64"
            ));
        }
        return Ok(ns as i64);
    }
    let DurationMs(ms) = text
        .parse()
        .map_err(|_| format!("cannot parse {} to a valid duration", quoted(text)))?;
    Ok(ms.saturating_mul(1_000_000))
}

/// Most items of an answer; 0 for no limit.
pub(super) fn limit(form: &Form) -> Result<usize, ApiError> {
    count(form, "limit")
}

/// A number from 0, which it is when it is not given.
pub(super) fn count(form: &Form, name: &str) -> Result<usize, ApiError> {
    let number = integer(form, name)?.unwrap_or(0);
    let reason = format_args!("{name} must be non-negative");
    usize::try_from(number).map_err(|_| ApiError::parameter(name, reason))
}

/// Most items of an answer; less than 0, or nothing, for all, and with 0 there are none.
pub(super) fn signed_limit(form: &Form, name: &str) -> Result<Option<usize>, ApiError> {
    let wrong = |_| ApiError::bad_data(format_args!("{name} must be a number"));
    let number = integer(form, name).map_err(wrong)?;
    Ok(number.and_then(|number| usize::try_from(number).ok()))
}

fn integer(form: &Form, name: &str) -> Result<Option<i64>, ApiError> {
    let text = form.get(name).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().map_err(|_| {
        let text = quoted(text);
        ApiError::parameter(name, format_args!("{text} is not an integer"))
    })?;
    Ok(Some(number))
}

/// Which statistics of a query are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stats {
    #[default]
    None,
    Totals,
    PerStep,
}

/// What a query may ask of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct QueryOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) lookback_ms: Option<i64>,
    pub(super) stats: Stats,
    /// What each operator took is asked for.
    pub(super) analyze: bool,
}

/// The options of a query.
pub(super) fn query_options(form: &Form) -> Result<QueryOptions, ApiError> {
    let timeout = match form.get("timeout") {
        None | Some("") => None,
        Some(text) => {
            let ns = duration_ns(text).map_err(|e| ApiError::parameter("timeout", e))?;
            Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
        }
    };
    let lookback_ms = match form.get("lookback_delta") {
        None | Some("") => None,
        Some(text) => {
            let ns = duration_ns(text).map_err(|e| {
                ApiError::bad_data(format_args!("error parsing lookback delta duration: {e}"))
            })?;
            // Zero and less mean the default.
            Some(ns / 1_000_000).filter(|ms| *ms > 0)
        }
    };
    Ok(QueryOptions {
        timeout,
        lookback_ms,
        stats: match form.get("stats") {
            None | Some("") => Stats::None,
            Some("all") => Stats::PerStep,
            Some(_) => Stats::Totals,
        },
        analyze: matches!(form.get("analyze"), Some("true" | "1")),
    })
}

/// The engine that is asked for, by Thanos' name; there is but one here, which answers for both.
pub(super) fn engine(form: &Form) -> Result<Option<&str>, ApiError> {
    match form.get("engine") {
        None | Some("") => Ok(None),
        Some(name @ ("prometheus" | "thanos")) => Ok(Some(name)),
        Some(other) => Err(ApiError::parameter(
            "engine",
            format_args!("unknown engine {}; use prometheus or thanos", quoted(other)),
        )),
    }
}

/// The expression in the parameter `query`, with its text.
pub(super) fn expression<'f>(api: &Api, form: &'f Form) -> Result<(Expr, &'f str), ApiError> {
    let text = form.get("query").unwrap_or_default();
    let syntax = api.settings().syntax();
    let expr = parse_expr(text, syntax).map_err(|e| ApiError::parameter("query", e))?;
    Ok((expr, text))
}

/// The selectors in the parameters `match[]`, each of which must refuse series without labels unless
/// the settings say otherwise; what is wrong with them otherwise.
pub(super) fn selectors(api: &Api, form: &Form) -> Result<Vec<Vec<Matcher>>, String> {
    let mut selectors = Vec::new();
    for text in form.all("match[]") {
        let syntax = api.settings().syntax();
        let selector = parse_selector(text, syntax).map_err(|e| e.to_string())?;
        let is_open = selector.iter().all(Matcher::matches_empty);
        if selector.is_empty() || (is_open && !api.settings().open_selectors) {
            return Err("match[] must contain at least one non-empty matcher".to_owned());
        }
        selectors.push(selector);
    }
    Ok(selectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_written_as_in_promql() {
        for (text, expected) in [
            ("15", Ok(15_000_000_000)),
            ("0.5", Ok(500_000_000)),
            ("-1", Ok(-1_000_000_000)),
            ("1m30s", Ok(90_000_000_000)),
            ("", Err(r#"cannot parse "" to a valid duration"#)),
            (
                "5 minutes",
                Err(r#"cannot parse "5 minutes" to a valid duration"#),
            ),
            (
                "1e300",
                Err(r#"cannot parse "1e300" to a valid duration. It overflows int64"#),
            ),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(duration_ns(text), expected, "{text}");
        }
    }
}
