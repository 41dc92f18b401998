//! What a server with Prometheus' API makes of an expression.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use promontory_tests::http::{self, encode};
use serde_json::Value;

use super::When;

/// A result: values by time in milliseconds, by labels in Prometheus' notation.
pub(crate) type Series = BTreeMap<String, Vec<(i64, f64)>>;

/// The result of an expression, or what the server on `port` says when it refuses it or fails.
pub(crate) fn ask(port: u16, expr: &str, when: When) -> anyhow::Result<Result<Series, String>> {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let path = match when {
        When::Instant(t) => {
            format!("/api/v1/query?query={}&time={}", encode(expr), seconds(t))
        }
        When::Range { start, end, step } => format!(
            "/api/v1/query_range?query={}&start={}&end={}&step={}",
            encode(expr),
            seconds(start),
            seconds(end),
            seconds(step)
        ),
    };
    let answer = http::get(port, &path)?;
    let body: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
    if body["status"] != "success" {
        return Ok(Err(body["error"].as_str().unwrap_or_default().to_owned()));
    }
    series(&body["data"]).map(Ok)
}

fn series(data: &Value) -> anyhow::Result<Series> {
    let result = &data["result"];
    let mut all = Series::new();
    match data["resultType"].as_str() {
        Some("scalar") => {
            all.insert("{}".to_owned(), vec![point(result)?]);
        }
        Some("vector") => {
            for item in result.as_array().context("a vector is a list")? {
                all.insert(labels(&item["metric"])?, vec![point(&item["value"])?]);
            }
        }
        Some("matrix") => {
            for item in result.as_array().context("a matrix is a list")? {
                let values = item["values"].as_array().context("a series has values")?;
                let points = values.iter().map(point).collect::<anyhow::Result<_>>()?;
                all.insert(labels(&item["metric"])?, points);
            }
        }
        other => bail!("unknown result type {other:?}"),
    }
    Ok(all)
}

fn labels(metric: &Value) -> anyhow::Result<String> {
    let metric = metric.as_object().context("a metric is an object")?;
    let pairs = metric
        .iter()
        .map(|(name, value)| (name, value.as_str().unwrap_or_default()));
    Ok(model::Labels::from_pairs(pairs).to_string())
}

fn point(pair: &Value) -> anyhow::Result<(i64, f64)> {
    let t = pair[0].as_f64().context("a time is a number")?;
    let v = match pair[1].as_str().context("a value is a string")? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse()?,
    };
    Ok(((t * 1000.0).round() as i64, v))
}
