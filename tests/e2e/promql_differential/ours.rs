//! Our engine on the same block.

use std::collections::BTreeMap;
use std::path::Path;

use promql::columns::{StepValue, Steps};
use promql::parse::{self, parse_expr};
use promql::value::QueryValue;
use promql::{Engine, Options};
use querier::blocks::Blocks;
use tsdb::block::Block;

use super::When;
use super::peer::Series;

pub(super) struct Promontory {
    engine: Engine,
    blocks: Blocks,
}

impl Promontory {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let mut blocks = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.join("meta.json").exists() {
                blocks.push(Block::open(&path)?);
            }
        }
        Ok(Self {
            engine: Engine::new(Options::default()),
            blocks: Blocks::new(blocks),
        })
    }

    /// The result of an expression.
    pub(super) fn ask(&self, text: &str, when: When) -> anyhow::Result<Series> {
        let expr = parse_expr(text, parse::Options::default())?;
        let result = match when {
            When::Instant(t) => self.engine.instant(&self.blocks, (&expr, text), t)?,
            When::Range { start, end, step } => {
                let steps = Steps::range(start, end, step);
                self.engine.range(&self.blocks, (&expr, text), steps)?
            }
        };
        let t = match when {
            When::Instant(t) => t,
            When::Range { start, .. } => start,
        };
        let mut all: Series = BTreeMap::new();
        match result.value {
            QueryValue::Scalar(v) => {
                all.insert("{}".to_owned(), vec![(t, v)]);
            }
            QueryValue::Vector(vector) => {
                for (labels, value) in vector {
                    all.insert(labels.to_string(), vec![(t, float(&value)?)]);
                }
            }
            QueryValue::Matrix(matrix) => {
                for series in matrix {
                    let points = series.points.iter().map(|(t, v)| Ok((t, float(&v)?)));
                    all.insert(
                        series.labels.to_string(),
                        points.collect::<anyhow::Result<_>>()?,
                    );
                }
            }
            QueryValue::String(_) => anyhow::bail!("no expression is a string"),
        }
        Ok(all)
    }
}

fn float(value: &StepValue) -> anyhow::Result<f64> {
    match value {
        StepValue::Float(v) => Ok(*v),
        StepValue::Histogram(_) => anyhow::bail!("the data has no histograms"),
    }
}
