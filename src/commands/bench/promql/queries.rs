//! The queries of a benchmark: a file's, or the tool's own.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail, ensure};
use model::time::DurationMs;
use promql::columns::Steps;
use serde_json::Value;

/// Queries that run over the same data.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) queries: Vec<Query>,
}

/// One query.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) kind: Kind,
}

/// What is asked for. Ranges are in milliseconds before the end.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Instant {
        expr: String,
    },
    Range {
        expr: String,
        range_ms: i64,
        step_ms: i64,
    },
    /// Names of labels.
    Labels {
        selector: Option<String>,
        range_ms: i64,
    },
    LabelValues {
        label: String,
        selector: Option<String>,
        range_ms: i64,
    },
    Series {
        selector: Option<String>,
        range_ms: i64,
    },
}

const OWN: &str = include_str!("queries.json");

impl Suite {
    /// The list `set` of the queries for generated data.
    pub(super) fn own(set: &str) -> anyhow::Result<Self> {
        Self::parse(OWN, set)
    }

    /// The list `set` of a file.
    pub(super) fn read(path: &Path, set: &str) -> anyhow::Result<Self> {
        let file = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("read {file}"))?;
        Self::parse(&text, set).with_context(|| format!("read {file}"))
    }

    fn parse(text: &str, set: &str) -> anyhow::Result<Self> {
        let file: Value = serde_json::from_str(text)?;
        let Some(list) = file[set].as_array() else {
            bail!("there is no list of queries called {set:?}");
        };
        let queries = list
            .iter()
            .enumerate()
            .map(|(i, q)| Query::parse(q).with_context(|| format!("query {} of {set:?}", i + 1)));
        Ok(Self {
            queries: queries.collect::<Result<_, _>>()?,
        })
    }
}

impl Query {
    fn parse(query: &Value) -> anyhow::Result<Self> {
        let optional = |key: &str| query[key].as_str().map(str::to_owned);
        let text = |key: &str| optional(key).ok_or_else(|| anyhow!("no string {key:?}"));
        let range_ms = || {
            let DurationMs(ms) = text("range")?.parse()?;
            anyhow::Ok(ms)
        };
        let kind = match text("kind")?.as_str() {
            "instant" => Kind::Instant {
                expr: text("expr")?,
            },
            "range" => {
                let step = query["step"].as_i64().unwrap_or_default();
                ensure!(step > 0, "\"step\" is not a positive number of seconds");
                Kind::Range {
                    expr: text("expr")?,
                    range_ms: range_ms()?,
                    step_ms: step.saturating_mul(1000),
                }
            }
            "labels" => Kind::Labels {
                selector: optional("match"),
                range_ms: range_ms()?,
            },
            "label_values" => Kind::LabelValues {
                label: text("label")?,
                selector: optional("match"),
                range_ms: range_ms()?,
            },
            "series" => Kind::Series {
                selector: optional("match"),
                range_ms: range_ms()?,
            },
            other => bail!("unknown kind {other:?}"),
        };
        Ok(Self {
            id: text("id")?,
            kind,
        })
    }
}

impl Kind {
    /// The expression and its steps, of queries in PromQL.
    pub(super) fn expression(&self, end: i64) -> Option<(&str, Steps, bool)> {
        match self {
            Self::Instant { expr } => Some((expr, Steps::instant(end), true)),
            Self::Range {
                expr,
                range_ms,
                step_ms,
            } => Some((expr, Steps::range(end - range_ms, end, *step_ms), false)),
            _ => None,
        }
    }
}
