//! `/api/v1/status/self_metrics`: the figures of the process as JSON, in the form of Prometheus 3.15.

use model::{MatchOp, Matcher};
use serde_json::{Map, Value, json};

use super::{Exposition, Family, Number, Registry, SHARED_GAUGE};
use crate::http::{Cost, Handler, Method, Request, Response, StatusCode};

/// Where it is.
pub const SELF_METRICS: &str = "/api/v1/status/self_metrics";
/// The parameter that chooses figures by a regular expression for the whole of their names.
const PATTERN: &str = "metric_name_pattern";
const JSON: &str = "application/json";

/// Shows figures as JSON.
#[derive(Debug, Clone)]
pub struct SelfMetrics(pub Registry);

impl Handler for SelfMetrics {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Response::not_allowed("GET, OPTIONS");
        }
        let refused = |error: String| {
            let body = json!({ "status": "error", "errorType": "bad_data", "error": error });
            Response::bytes(StatusCode::BAD_REQUEST, JSON, body.to_string())
        };
        let form = match request.form() {
            Ok(form) => form,
            Err(error) => return refused(format!("error parsing form values: {error}")),
        };
        let pattern = form.get(PATTERN).filter(|pattern| !pattern.is_empty());
        let pattern = pattern.map(|pattern| Matcher::new(MatchOp::Regex, "name", pattern));
        let pattern = match pattern.transpose() {
            Ok(pattern) => pattern,
            Err(error) => return refused(format!("invalid {PATTERN}: {error}")),
        };
        let is_meant = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        let data = self.0.figures().described(is_meant);
        let body = format!(r#"{{"status":"success","data":{}}}"#, Value::Array(data));
        Response::bytes(StatusCode::OK, JSON, body)
    }
}

impl Exposition {
    /// The families whose name is meant.
    fn described(&self, is_meant: impl Fn(&str) -> bool) -> Vec<Value> {
        let families = self.families.iter().filter(|(name, _)| is_meant(name));
        let described = families.map(|(name, family)| {
            let kind = match family.kind {
                SHARED_GAUGE => "gauge",
                kind => kind,
            };
            json!({
                "name": name,
                "help": family.help,
                "type": kind.to_uppercase(),
                "metric": family.metrics(name),
            })
        });
        described.collect()
    }
}

/// A line of a family: what follows the family's name in its own, its labels, and its value.
struct Line<'a> {
    suffix: &'a str,
    labels: Vec<(String, String)>,
    value: Number,
}

impl Family {
    fn metrics(&self, name: &str) -> Vec<Value> {
        // Lines of a distribution follow each other, its count last.
        let (mut metrics, mut parts) = (Vec::new(), Map::new());
        let mut steps = Vec::new();
        for (series, value) in &self.series {
            let line = line(series.strip_prefix(name).unwrap_or(series), *value);
            let mut labels = line.labels;
            let value = number(line.value);
            match (self.kind, line.suffix) {
                ("histogram", "_bucket") => {
                    let bound = labels.pop().map(|(_, bound)| bound).unwrap_or_default();
                    let bound = bound
                        .parse()
                        .map_or(json!(bound), |bound| number(Number::Float(bound)));
                    steps
                        .push(json!({ "cumulativeCount": value.to_string(), "upperBound": bound }));
                    continue;
                }
                ("summary", "") => {
                    let of = labels.pop().map(|(_, of)| of).unwrap_or_default();
                    let of: f64 = of.parse().unwrap_or_default();
                    steps.push(json!({ "quantile": of, "value": value }));
                    continue;
                }
                (_, "_sum") => {
                    parts.insert("sampleSum".to_owned(), value);
                    continue;
                }
                ("histogram" | "summary", _) => {
                    parts.insert("sampleCount".to_owned(), value.to_string().into());
                    let steps = Value::Array(std::mem::take(&mut steps));
                    let field = if self.kind == "summary" {
                        "quantile"
                    } else {
                        "bucket"
                    };
                    parts.insert(field.to_owned(), steps);
                }
                _ => {
                    parts.insert("value".to_owned(), value);
                }
            }
            let kind = match self.kind {
                SHARED_GAUGE => "gauge",
                kind => kind,
            };
            let mut metric = Map::new();
            if !labels.is_empty() {
                let labels = labels.iter();
                let labels = labels.map(|(name, value)| json!({ "name": name, "value": value }));
                metric.insert("label".to_owned(), labels.collect());
            }
            metric.insert(kind.to_owned(), Value::Object(std::mem::take(&mut parts)));
            metrics.push(Value::Object(metric));
        }
        metrics
    }
}

/// A number as JSON, in which what is no number is text.
fn number(number: Number) -> Value {
    match number {
        Number::Whole(value) => value.into(),
        Number::Float(value) if value.is_finite() => value.into(),
        other => other.to_string().into(),
    }
}

/// What a line says after the name of its family, as [`Exposition`] writes it.
fn line(rest: &str, value: Number) -> Line<'_> {
    let (suffix, mut rest) = rest.split_once('{').unwrap_or((rest, ""));
    let mut labels = Vec::new();
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let mut text = String::new();
        let mut letters = quoted.char_indices();
        let mut end = quoted.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => text.extend(letters.next().map(|(_, escaped)| match escaped {
                    'n' => '\n',
                    other => other,
                })),
                other => text.push(other),
            }
        }
        labels.push((name.to_owned(), text));
        rest = quoted[end..].trim_start_matches(',');
    }
    Line {
        suffix,
        labels,
        value,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Collect, Histogram};
    use super::*;

    struct Shown;

    impl Collect for Shown {
        fn collect(&self, out: &mut Exposition) {
            let seconds = Histogram::new(&[1.0]);
            seconds.observe(0.5);
            out.counter("reads_total", "Reads.", &[("of", "a\"b,c\\\n")], 3);
            out.gauge("level", "Level.", &[], f64::INFINITY);
            out.histogram("seconds", "Time.", &[("x", "y")], &seconds);
            out.summary("took", "Time.", &[], (2, 1.5));
        }
    }

    #[test]
    fn figures_are_described() {
        let registry = Registry::default();
        registry.register(Arc::new(Shown));
        let described = registry.figures().described(|name| name != "process_x");
        assert_eq!(
            Value::Array(described),
            json!([
                {"name": "level", "help": "Level.", "type": "GAUGE",
                 "metric": [{"gauge": {"value": "+Inf"}}]},
                {"name": "reads_total", "help": "Reads.", "type": "COUNTER", "metric": [
                    {"label": [{"name": "of", "value": "a\"b,c\\\n"}], "counter": {"value": 3}}]},
                {"name": "seconds", "help": "Time.", "type": "HISTOGRAM", "metric": [
                    {"label": [{"name": "x", "value": "y"}], "histogram": {
                        "sampleCount": "1", "sampleSum": 0.5, "bucket": [
                            {"cumulativeCount": "1", "upperBound": 1.0},
                            {"cumulativeCount": "1", "upperBound": "+Inf"}]}}]},
                {"name": "took", "help": "Time.", "type": "SUMMARY", "metric": [
                    {"summary": {"sampleCount": "2", "sampleSum": 1.5, "quantile": []}}]},
            ])
        );
    }
}
