//! Running a query: once to count what it reads, then against the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use model::{Labels, Matcher, TimeRange};
use promql::columns::{Samples, StepValue};
use promql::limits::{Cancellation, Limits};
use promql::parse::{Options, parse_expr, parse_selector};
use promql::source::{SelectRequest, Series, SeriesSet, Source, SourceError};
use promql::value::{QueryResult, QueryValue};
use promql::{Engine, Query};
use querier::blocks::Blocks;
use querier::pool::Pool;

use super::clock::{Clock, Cost};
use super::queries::{self, Kind};

/// What a query yields and takes.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) size: ResultSize,
    /// Least of all runs.
    pub(super) wall_ms: f64,
    /// Least of all runs.
    pub(super) cpu_ms: f64,
    /// Samples decoded.
    pub(super) samples: u64,
    /// Most bytes of columns held at once, as the engine estimates.
    pub(super) bytes_peak: u64,
}

/// The size of a result, and a sum to recognise it by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ResultSize {
    pub(super) series: usize,
    pub(super) points: usize,
    /// Sum of all finite floats and of the counts of histograms.
    pub(super) sum: f64,
}

/// What queries run over, and how.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) blocks: Blocks,
    pub(super) pool: Pool,
    /// When queries end, in milliseconds.
    pub(super) end: i64,
    pub(super) runs: u32,
}

impl Bench {
    /// Runs `query` once to count, then against the clock.
    pub(super) fn measure(&self, query: &queries::Query) -> anyhow::Result<Measured> {
        self.pool.enter(|| self.measure_here(query))
    }

    fn measure_here(&self, query: &queries::Query) -> anyhow::Result<Measured> {
        let counting = Counting {
            blocks: self.blocks.clone(),
            samples: Arc::default(),
        };
        let (size, bytes_peak) = self.run_once(&query.kind, &counting)?;
        let mut best: Option<Cost> = None;
        for _ in 0..self.runs {
            let clock = Clock::start();
            let (again, _) = self.run_once(&query.kind, &self.blocks)?;
            let cost = clock.stop();
            anyhow::ensure!(
                again == size,
                "the result changed from {size:?} to {again:?} between runs"
            );
            let so_far = best.get_or_insert(cost);
            so_far.wall = so_far.wall.min(cost.wall);
            so_far.cpu = so_far.cpu.min(cost.cpu);
        }
        let best = best.context("no runs")?;
        Ok(Measured {
            size,
            wall_ms: best.wall.as_secs_f64() * 1e3,
            cpu_ms: best.cpu.as_secs_f64() * 1e3,
            samples: counting.samples.load(Ordering::Relaxed),
            bytes_peak,
        })
    }

    /// Runs a query; returns its size and its peak of memory. Of the source, metadata does not
    /// come.
    fn run_once(&self, kind: &Kind, source: &dyn Source) -> anyhow::Result<(ResultSize, u64)> {
        let range = |ms: &i64| TimeRange::closed(self.end - ms, self.end);
        let count = match kind {
            Kind::Instant { .. } | Kind::Range { .. } => return self.evaluate(kind, source),
            Kind::Labels { selector, range_ms } => {
                let matchers = matchers(selector.as_deref())?;
                self.blocks.label_names(&matchers, range(range_ms))?.len()
            }
            Kind::LabelValues {
                label,
                selector,
                range_ms,
            } => {
                let matchers = matchers(selector.as_deref())?;
                let range = range(range_ms);
                self.blocks.label_values(label, &matchers, range)?.len()
            }
            Kind::Series { selector, range_ms } => {
                let matchers = matchers(selector.as_deref())?;
                self.blocks.series(&matchers, range(range_ms))?.len()
            }
        };
        let size = ResultSize {
            series: count,
            ..ResultSize::default()
        };
        Ok((size, 0))
    }

    fn evaluate(&self, kind: &Kind, source: &dyn Source) -> anyhow::Result<(ResultSize, u64)> {
        let limits = Limits {
            samples_max: u64::MAX,
            bytes_max: u64::MAX,
            ..Limits::default()
        };
        let result = self.run(kind, source, limits, &Cancellation::new())?;
        Ok((result_size(&result.value), result.stats.bytes_peak))
    }

    /// Parses and evaluates a query in PromQL.
    pub(super) fn run(
        &self,
        kind: &Kind,
        source: &dyn Source,
        limits: Limits,
        cancellation: &Cancellation,
    ) -> anyhow::Result<QueryResult> {
        let (text, steps, is_instant) = kind.expression(self.end).context("not an expression")?;
        let engine = Engine::new(promql::engine::Options {
            limits,
            ..promql::engine::Options::default()
        });
        let query = Query {
            expr: &parse_expr(text, Options::all_features())?,
            text,
            steps,
            end: None,
            is_instant,
            cancellation: cancellation.clone(),
            executor: &self.pool.crew(),
        };
        Ok(engine.run(source, &query)?)
    }
}

fn matchers(selector: Option<&str>) -> anyhow::Result<Vec<Matcher>> {
    Ok(match selector {
        Some(selector) => parse_selector(selector, Options::all_features())?,
        None => Vec::new(),
    })
}

fn result_size(value: &QueryValue) -> ResultSize {
    let mut size = ResultSize::default();
    let mut add = |value: &StepValue| {
        size.points += 1;
        let number = match value {
            StepValue::Float(v) => *v,
            StepValue::Histogram(h) => h.count,
        };
        if number.is_finite() {
            size.sum += number;
        }
    };
    match value {
        QueryValue::Scalar(v) => add(&StepValue::Float(*v)),
        QueryValue::String(_) => {}
        QueryValue::Vector(series) => series.iter().for_each(|(_, value)| add(value)),
        QueryValue::Matrix(series) => {
            let points = series.iter().flat_map(|s| s.points.iter());
            points.for_each(|(_, value)| add(&value));
        }
    }
    size.series = match value {
        QueryValue::Scalar(_) | QueryValue::String(_) => 1,
        QueryValue::Vector(series) => series.len(),
        QueryValue::Matrix(series) => series.len(),
    };
    size
}

/// Counts the samples that are read from the blocks.
#[derive(Debug)]
struct Counting {
    blocks: Blocks,
    samples: Arc<AtomicU64>,
}

impl Source for Counting {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        Ok(Box::new(CountingSet {
            set: self.blocks.select(request)?,
            samples: Arc::clone(&self.samples),
        }))
    }
}

struct CountingSet {
    set: Box<dyn SeriesSet>,
    samples: Arc<AtomicU64>,
}

impl SeriesSet for CountingSet {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let Some(series) = self.set.next()? else {
            return Ok(None);
        };
        Ok(Some(Box::new(CountingSeries {
            series,
            samples: Arc::clone(&self.samples),
        })))
    }

    fn warnings(&mut self) -> Vec<String> {
        self.set.warnings()
    }
}

struct CountingSeries {
    series: Box<dyn Series>,
    samples: Arc<AtomicU64>,
}

impl Series for CountingSeries {
    fn labels(&self) -> &Labels {
        self.series.labels()
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let before = out.len();
        self.series.read(range, out)?;
        let read = (out.len() - before) as u64;
        self.samples.fetch_add(read, Ordering::Relaxed);
        Ok(())
    }
}
