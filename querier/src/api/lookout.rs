//! The HTTP API as SOFALookout's server has it, which is Prometheus' with more parameters, other bounds
//! of time, and a word about debugging in each answer. Questions are translated into Prometheus'
//! parameters; the endpoints are the same.
//!
//! | | |
//! |---|---|
//! | all times | seconds, or milliseconds from 10^10 on; answers are of whole seconds |
//! | `exclusions` | labels whose matchers are taken out of the query |
//! | `timeCorrection` | ranges from 15 minutes on end at a whole minute, unless `false` |
//! | `debug` | asks for `debugInfo` |
//! | `useNative` | taken and ignored: nothing is pushed down |
//! | `q`, `size`, `lk`, `lv` of label values | prefix, limit, and other labels with their values |
//!
//! Values of a label come in the order of how often they occur, as Lookout's server counts documents. Here
//! it is series that are counted, whose samples are about as many each; see [`COUNTED_MAX`].
//!
//! Source: `lookout-server` of SOFALookout 1.6.1.

use std::collections::HashMap;
use std::time::Instant;

use model::labels::{METRIC_NAME, quoted};
use model::time::{Rfc3339, parse_timestamp};
use model::{MatchOp, Matcher};
use promql::ast::{Expr, VectorSelector};
use promql::parse::parse_expr;
use runtime::http::{Form, HeaderValue, Page, Request, Response, StatusCode, header};
use serde_json::json;

use super::answer::{Answer, ApiError, ErrorType};
use super::routes::Route;
use super::{Api, Call, PREFIX, label_values, params, scope};
use crate::store_source::{Scope, StoreSource};

/// From here on a number is milliseconds.
const MILLISECONDS_FROM: f64 = 1e10;
/// Ranges from this many seconds on end at a whole minute.
const CORRECTED_FROM: i64 = 15 * 60;
/// Values of a label in one answer.
const VALUES_MAX: usize = 10_000;
/// Labels that restrict values of another.
const RESTRICTIONS_MAX: usize = 2;
/// Series that are counted to put values of a label in order. Where there are more, values are in their own
/// order: a console asks for them at each key, and gets twenty.
const COUNTED_MAX: usize = 50_000;
/// How far back values of labels are looked up, in seconds.
const VALUES_RANGE: i64 = 24 * 3600;
const NO_TAGS: &str = "need to add tag filtering";
const ONE_REGEX: &str = "when use regex you need to add two tags";

/// The query of a call before and after its translation.
struct Query {
    raw: String,
    real: String,
}

/// Answers a call of an endpoint as Lookout's server does.
pub(super) fn answer(api: &Api, mut call: Call<'_>, route: &Route) -> Response {
    let begin = Instant::now();
    let path = call.request.path.strip_prefix(PREFIX).unwrap_or_default();
    let mut query = None;
    let translated = translate(api, &mut call, path, &mut query);
    let answered = translated.and_then(|()| match label_values::name_in(path) {
        Some(_) => values(api, &call),
        None => (route.endpoint)(api, &call),
    });
    match answered {
        Ok(mut answer) => {
            let wanted = call.form.get("debug").is_some_and(|id| !id.is_empty());
            let info = query.filter(|_| wanted && path == "query_range");
            let info = info.map(|query| debug_info(&call, &query, begin));
            answer.debug_info = Some(info.unwrap_or_default());
            answer.respond()
        }
        Err(mut error) => {
            if error.kind != ErrorType::BadData {
                error.kind = ErrorType::Internal;
            }
            if let Some(Query { raw, real }) = query {
                error
                    .message
                    .push_str(&format!(" rawQuery:{raw} realQuery:{real}"));
            }
            error.respond()
        }
    }
}

/// The endpoints that only Lookout's server has. Its console is at `/index.html`, where `/` leads.
pub(super) fn other(page: &Page, request: &Request) -> Option<Response> {
    let body = match request.path.as_str() {
        "/" => {
            let console = HeaderValue::from_static("/index.html");
            let moved = Response::text(StatusCode::FOUND, "the console is at /index.html");
            return Some(moved.with_header(header::LOCATION, console));
        }
        "/index.html" => {
            return Some(page.answer(&request.method));
        }
        "/_cat/health" => "true",
        "/index/entries" => "{}",
        _ => return None,
    };
    Some(Response::bytes(StatusCode::OK, "application/json", body))
}

fn translate(
    api: &Api,
    call: &mut Call<'_>,
    path: &str,
    query: &mut Option<Query>,
) -> Result<(), ApiError> {
    let now = call.now_ms.div_euclid(1000);
    let form = &mut call.form;
    match path {
        "query" => {
            if !seconds(form, "time") {
                form.set("time", now.to_string());
            }
            rewrite(api, form, query)
        }
        "query_range" => {
            correct_range(form);
            rewrite(api, form, query)
        }
        "labels" => {
            if let Some(metric) = form.get("q").filter(|metric| !metric.is_empty()) {
                let selector = format!("{{{METRIC_NAME}={}}}", quoted(metric));
                form.add("match[]", selector);
            }
            Ok(())
        }
        _ => match label_values::name_in(path) {
            Some(name) => {
                let name = Form::decode_path(name).map_err(ApiError::bad_data)?;
                restrict_values(form, &name, now)
            }
            None => Ok(()),
        },
    }
}

/// Makes whole seconds of a parameter; false when it is not given.
fn seconds(form: &mut Form, name: &str) -> bool {
    let Some(text) = form.get(name).filter(|text| !text.is_empty()) else {
        return false;
    };
    if let Some(seconds) = instant(text) {
        form.set(name, seconds.to_string());
    }
    true
}

/// Whole seconds of a number of seconds or milliseconds, or of a date; what is neither is left to
/// the endpoint to refuse.
fn instant(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(v) if v.abs() >= MILLISECONDS_FROM => Some((v / 1000.0).floor() as i64),
        Ok(v) if v.is_finite() => Some(v.floor() as i64),
        Ok(_) => None,
        Err(_) => Some(parse_timestamp(text).ok()?.div_euclid(1000)),
    }
}

/// Long ranges end at a whole minute, so that a graph that moves with time keeps its points.
fn correct_range(form: &mut Form) {
    seconds(form, "start");
    seconds(form, "end");
    let whole = |name| form.get(name)?.parse::<i64>().ok();
    let (Some(start), Some(end)) = (whole("start"), whole("end")) else {
        return;
    };
    let range = end.saturating_sub(start);
    if range < CORRECTED_FROM || form.get("timeCorrection") == Some("false") {
        return;
    }
    let end = end - end.rem_euclid(60);
    form.set("end", end.to_string());
    form.set("start", end.saturating_sub(range).to_string());
}

/// Takes matchers out of the query as the call wants, and checks what is left.
fn rewrite(api: &Api, form: &mut Form, query: &mut Option<Query>) -> Result<(), ApiError> {
    let raw = form.get("query").unwrap_or_default().to_owned();
    let query = query.insert(Query {
        real: raw.clone(),
        raw,
    });
    let dialect = &api.settings().dialect;
    let expr = parse_expr(&query.raw, api.settings().syntax());
    let mut expr = expr.map_err(|e| ApiError::parameter("query", e))?;
    let excluded = form.get("exclusions").unwrap_or_default();
    let excluded: Vec<&str> = (excluded.split(',').map(str::trim))
        .filter(|label| !label.is_empty() && *label != METRIC_NAME)
        .collect();
    let mut refused = None;
    let mut is_first = true;
    each_selector(&mut expr, &mut |selector| {
        selector
            .matchers
            .retain(|matcher| !excluded.contains(&matcher.name()));
        let reason = match dialect.guard_rails {
            true => guard(selector, is_first),
            false => (!selector.is_selective()).then_some(NO_TAGS),
        };
        refused = refused.or(reason);
        is_first = false;
    });
    if !excluded.is_empty() {
        query.real = expr.to_string();
        form.set("query", query.real.clone());
    }
    refused.map_or(Ok(()), |reason| Err(ApiError::bad_data(reason)))
}

/// Why Lookout's server refuses a selector, the first of its query or another.
fn guard(selector: &VectorSelector, is_first: bool) -> Option<&'static str> {
    let matchers = selector.matchers.iter();
    let tags: Vec<_> = matchers
        .filter(|matcher| matcher.name() != METRIC_NAME)
        .collect();
    match tags.as_slice() {
        [] if is_first || !selector.is_selective() => Some(NO_TAGS),
        [only] if only.op() == MatchOp::Regex && !is_set(only.value()) => Some(ONE_REGEX),
        _ => None,
    }
}

/// True for a pattern that is a set of plain values, as that of `=~|`.
fn is_set(pattern: &str) -> bool {
    let mut is_escaped = false;
    pattern.chars().all(|c| {
        let is_plain = is_escaped || !".+*?()[]{}^$".contains(c);
        is_escaped = c == '\\' && !is_escaped;
        is_plain
    })
}

/// Calls `visit` with every selector, from left to right.
fn each_selector(expr: &mut Expr, visit: &mut dyn FnMut(&mut VectorSelector)) {
    match expr {
        Expr::Vector(selector) => visit(selector),
        Expr::Matrix(matrix) => visit(&mut matrix.selector),
        Expr::Aggregate(e) => {
            if let Some(param) = &mut e.param {
                each_selector(param, visit);
            }
            each_selector(&mut e.expr, visit);
        }
        Expr::Binary(e) => {
            each_selector(&mut e.lhs, visit);
            each_selector(&mut e.rhs, visit);
        }
        Expr::Call(e) => (e.args.iter_mut()).for_each(|arg| each_selector(arg, visit)),
        Expr::Paren(e) => each_selector(&mut e.expr, visit),
        Expr::Subquery(e) => each_selector(&mut e.expr, visit),
        Expr::Unary(e) => each_selector(&mut e.expr, visit),
        Expr::Number(_) | Expr::String(_) => {}
    }
}

/// Translates what restricts the values of a label.
fn restrict_values(form: &mut Form, name: &str, now: i64) -> Result<(), ApiError> {
    seconds(form, "end");
    if !seconds(form, "start") {
        form.set("start", (now - VALUES_RANGE).to_string());
    }
    let size = match form.get("size") {
        None | Some("") => VALUES_MAX,
        Some(text) => {
            let size: usize = text.parse().map_err(|e| ApiError::parameter("size", e))?;
            size.clamp(1, VALUES_MAX)
        }
    };
    let keys: Vec<&str> = form.all("lk").collect();
    let values: Vec<&str> = form.all("lv").collect();
    if keys.len() != values.len() || keys.len() > RESTRICTIONS_MAX {
        let reason = "lk and lv must be as many as each other, and at most two";
        return Err(ApiError::bad_data(reason));
    }
    let mut matchers: Vec<String> = (keys.iter().zip(values))
        .map(|(key, value)| format!("{}={}", quoted(key), quoted(value)))
        .collect();
    if let Some(prefix) = form.get("q").filter(|prefix| !prefix.is_empty()) {
        let pattern = promql::parse::literal_pattern(prefix) + ".*";
        matchers.push(format!("{}=~{}", quoted(name), quoted(&pattern)));
    }
    if !matchers.is_empty() {
        form.add("match[]", format!("{{{}}}", matchers.join(",")));
    }
    form.set("limit", size.to_string());
    Ok(())
}

/// The values of a label, those first that most series have.
fn values(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let name = label_values::name_of(call)?;
    let limit = params::limit(&call.form)?;
    let range = params::metadata_range(&call.form, call.now_ms, api.settings())?;
    let mut selectors = params::selectors(api, &call.form).map_err(ApiError::bad_data)?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let scope = Scope {
        // Those that are values too are counted apart.
        replica_labels: api.settings().hidden_labels.clone(),
        ..scope::scope(api, call, 0)?
    };
    let store = api
        .evaluator
        .fan_out(&scope::store_matchers(api, &call.form)?);
    let source = StoreSource::new(store, scope, api.leash(call, None).patience().clone());
    let mut all = Vec::new();
    for mut matchers in selectors {
        let has_it = Matcher::new(MatchOp::NotEqual, &name, "").map_err(ApiError::bad_data)?;
        matchers.push(has_it);
        let sets = source.label_sets(matchers, range, COUNTED_MAX + 1)?;
        if sets.len() > COUNTED_MAX {
            return label_values::answer(api, call);
        }
        all.extend(sets);
    }
    let values = by_count(all.iter().filter_map(|labels| labels.get(&name)));
    Ok(Answer::strings(values, limit).with_store_warnings(source.warnings()))
}

/// Each value once, those first that come most often, and those that come as often in their own order.
fn by_count<'v>(values: impl Iterator<Item = &'v str>) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let values = counts.into_iter().map(|(value, _)| value.to_owned());
    values.collect()
}

/// What is said about a query to whoever asks.
fn debug_info(call: &Call<'_>, query: &Query, begin: Instant) -> serde_json::Value {
    let time = |name| call.form.get(name).and_then(instant).unwrap_or_default();
    let (start, end) = (time("start"), time("end"));
    let host = call.request.headers.get(header::HOST);
    json!({
        "query": query.raw,
        "realQuery": query.real,
        "start": start * 1000,
        "end": end * 1000,
        "startStr": Rfc3339(start * 1000).to_string(),
        "endStr": Rfc3339(end * 1000).to_string(),
        "timeRange": end - start,
        "step": call.form.get("step"),
        "mdbQueryInfoList": [],
        "totalDuration": begin.elapsed().as_millis() as u64,
        "serverIp": host.and_then(|host| host.to_str().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        let mut form = Form::default();
        form.add_encoded(text.as_bytes()).unwrap();
        form
    }

    #[test]
    fn times_are_whole_seconds() {
        for (text, expected) in [
            ("1795226430", Some(1_795_226_430)),
            ("1795226430.9", Some(1_795_226_430)),
            ("1795226430123", Some(1_795_226_430)),
            ("2026-11-21T02:00:30.5Z", Some(1_795_226_430)),
            ("9999999999", Some(9_999_999_999)),
            ("10000000000", Some(10_000_000)),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
    }

    #[test]
    fn long_ranges_end_at_a_minute() {
        for (text, start, end) in [
            ("start=1000&end=2000", "980", "1980"),
            (
                "start=1795226430123&end=1795227330123",
                "1795226400",
                "1795227300",
            ),
            ("start=1000&end=2000&timeCorrection=false", "1000", "2000"),
            ("start=1000&end=1899", "1000", "1899"),
            ("start=2000&end=1000", "2000", "1000"),
        ] {
            let mut form = form(text);
            correct_range(&mut form);
            assert_eq!(
                (form.get("start"), form.get("end")),
                (Some(start), Some(end)),
                "{text}"
            );
        }
    }

    #[test]
    fn values_are_restricted_by_prefix_and_labels() {
        let mut of = form("q=a.b&size=20&lk=app&lv=x&lk=__name__&lv=jvm.gc");
        restrict_values(&mut of, "host", 100_000).unwrap();
        assert_eq!(of.get("limit"), Some("20"));
        assert_eq!(of.get("start"), Some("13600"));
        assert_eq!(
            of.get("match[]"),
            Some(r#"{"app"="x","__name__"="jvm.gc","host"=~"a\\.b.*"}"#)
        );
        for (size, limit) in [
            ("", "10000"),
            ("0", "1"),
            ("10000", "10000"),
            ("10001", "10000"),
        ] {
            let mut of = form(&format!("size={size}&instanceId=i"));
            restrict_values(&mut of, "host", 0).unwrap();
            assert_eq!(of.get("limit"), Some(limit), "{size}");
            assert_eq!(of.get("match[]"), None, "{size}");
        }
        for text in ["lk=a", "lk=a&lk=b&lk=c&lv=1&lv=2&lv=3", "size=x"] {
            assert!(
                restrict_values(&mut form(text), "host", 0).is_err(),
                "{text}"
            );
        }
        let mut of = form("");
        restrict_values(&mut of, "host", 0).unwrap();
        assert_eq!((of.get("limit"), of.get("match[]")), (Some("10000"), None));
    }

    #[test]
    fn values_that_come_most_often_are_first() {
        let of = |text: &str| by_count(text.split(' ')).join(" ");
        assert_eq!(of("b a c b b c"), "b c a");
        assert_eq!(of("z y z y x"), "y z x");
        assert_eq!(by_count(std::iter::empty()), Vec::<String>::new());
    }

    #[test]
    fn queries_that_are_dear_are_refused_where_wanted() {
        let mut options = promql::parse::Options::default();
        options.features.lookout = true;
        for (text, expected) in [
            ("up", Some(NO_TAGS)),
            ("a.b{}", Some(NO_TAGS)),
            (r#"up{a=~"x.*"}"#, Some(ONE_REGEX)),
            (r#"up{a=~"x.*",b="c"}"#, None),
            (r#"up{a=~|"x.y|z"}"#, None),
            (r#"up{a!~"x.*"}"#, None),
            (r#"up{a="b"} + up"#, None),
        ] {
            let mut expr = parse_expr(text, options).unwrap();
            let (mut found, mut is_first) = (None, true);
            each_selector(&mut expr, &mut |selector| {
                found = found.or(guard(selector, is_first));
                is_first = false;
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
