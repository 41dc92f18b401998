//! `/api/v1/series`, `/api/v1/labels`, `/api/v1/label/<name>/values`.

use std::collections::BTreeSet;
use std::collections::btree_set;

use futures::StreamExt as _;
use model::labels::quoted;
use model::time::{MAX_TIME_MS, MIN_TIME_MS, parse_timestamp};
use model::{Labels, Matcher, TimeRange};
use promql::parse::{Options, parse_selector};
use runtime::http::{Form, Response};
use serde_json::{Map, Value, json};
use storeapi::{Frame, LabelsRequest, SeriesRequest, StoreError};
use tokio::runtime::Handle;

use super::Api;
use super::answer::{ApiError, success};

/// The label in `label/<name>/values`, still encoded.
pub(super) fn label_in(name: &str) -> Option<&str> {
    let name = name.strip_prefix("label/")?.strip_suffix("/values")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

pub(super) fn label_names(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    strings(form, |request| api.store.label_names(request))
}

pub(super) fn label_values(api: &Api, form: &Form, name: &str) -> Result<Response, ApiError> {
    let label = Form::decode_path(label_in(name).unwrap_or_default());
    let label = label.map_err(|error| ApiError::bad_data(error.to_string()))?;
    strings(form, |request| {
        api.store.label_values(label.clone(), request)
    })
}

/// Strings of all selectors together.
fn strings<F>(form: &Form, ask: impl Fn(LabelsRequest) -> F) -> Result<Response, ApiError>
where
    F: Future<Output = Result<storeapi::Strings, StoreError>>,
{
    let (range, limit) = (range(form)?, limit(form)?);
    let mut selectors = selectors(form)?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let mut all = BTreeSet::new();
    let mut warnings = Vec::new();
    for matchers in selectors {
        let request = LabelsRequest {
            range,
            matchers,
            ..LabelsRequest::default()
        };
        let found = Handle::current().block_on(ask(request))?;
        all.extend(found.values);
        warnings.extend(found.warnings);
    }
    let shown: Vec<_> = truncated(&mut warnings, all, limit).collect();
    Ok(success(json!(shown), &warnings))
}

pub(super) fn series(api: &Api, form: &Form, _: &str) -> Result<Response, ApiError> {
    let (range, limit) = (range(form)?, limit(form)?);
    let selectors = selectors(form)?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let mut all = BTreeSet::new();
    let mut warnings = Vec::new();
    for matchers in selectors {
        let mut stream = api.store.series(SeriesRequest {
            range,
            matchers,
            skip_chunks: true,
            ..SeriesRequest::default()
        });
        while let Some(frame) = Handle::current().block_on(stream.next()) {
            match frame? {
                Frame::Series(series) => all.extend(series.into_iter().map(|one| one.labels)),
                Frame::Warning(warning) => warnings.push(warning),
            }
        }
    }
    let shown: Vec<Value> = truncated(&mut warnings, all, limit)
        .map(|labels: Labels| {
            let pairs = labels.iter();
            let pairs = pairs.map(|(name, value)| (name.to_owned(), Value::from(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        })
        .collect();
    Ok(success(json!(shown), &warnings))
}

/// At most `limit` items, 0 for all, with the warning that is due.
fn truncated<T>(
    warnings: &mut Vec<String>,
    all: BTreeSet<T>,
    limit: usize,
) -> std::iter::Take<btree_set::IntoIter<T>> {
    let kept = if limit == 0 { usize::MAX } else { limit };
    if all.len() > kept {
        warnings.push("results truncated due to limit".to_owned());
    }
    all.into_iter().take(kept)
}

fn selectors(form: &Form) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut selectors = Vec::new();
    for text in form.all("match[]") {
        let selector = parse_selector(text, Options::default());
        let selector = selector.map_err(|error| ApiError::parameter("match[]", error))?;
        if selector.iter().all(Matcher::matches_empty) {
            let reason = "match[] must contain at least one non-empty matcher";
            return Err(ApiError::parameter("match[]", reason));
        }
        selectors.push(selector);
    }
    Ok(selectors)
}

fn range(form: &Form) -> Result<TimeRange, ApiError> {
    let time = |name: &str, default| match form.get(name) {
        None | Some("") => Ok(default),
        Some(text) => parse_timestamp(text).map_err(|error| {
            let reason = format_args!("invalid time value for '{name}': {error}");
            ApiError::parameter(name, reason)
        }),
    };
    Ok(TimeRange::closed(
        time("start", MIN_TIME_MS)?,
        time("end", MAX_TIME_MS)?,
    ))
}

/// Most items of an answer; 0 for no limit.
pub(super) fn limit(form: &Form) -> Result<usize, ApiError> {
    number(form, "limit")
}

/// A number from 0, which it is when it is not given.
pub(super) fn number(form: &Form, name: &str) -> Result<usize, ApiError> {
    match form.get(name) {
        None | Some("") => Ok(0),
        Some(text) => text.parse().map_err(|_| {
            let text = quoted(text);
            ApiError::parameter(name, format_args!("{text} is not a number from 0"))
        }),
    }
}
