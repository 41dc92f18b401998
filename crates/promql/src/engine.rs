//! Runs queries: from an expression to a result.

use std::time::Instant;

use model::{Labels, TimeRange};

use crate::annotations::Notes;
use crate::ast::Expr;
use crate::columns::{StepSeries, Steps};
use crate::error::Error;
use crate::exec::{self, Context, Held, RangeSeries, eval_scalar, merge, range_source};
use crate::executor::{Executor, Sequential};
use crate::limits::{Cancellation, Limits, Pace, Tracker};
use crate::plan::{self, Plan, PlanContext, RangeNode, VectorNode};
use crate::points::Points;
use crate::source::Source;
use crate::stats::{QueryStats, Recorder};
use crate::value::{MatrixSeries, QueryResult, QueryValue};

/// How an engine evaluates.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How old a sample may be to count at an instant, in milliseconds.
    pub lookback_ms: i64,
    /// Step of subqueries that do not say one, in milliseconds.
    pub default_subquery_step_ms: i64,
    /// Metric names are dropped at the end of a query, not as soon as a function changes values
    /// (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Start timestamps say when counters started (`use-start-timestamps`).
    pub start_timestamps: bool,
    /// The labels `__type__` and `__unit__` say what a metric is (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Samples are counted by step (`promql-per-step-stats`).
    pub per_step_stats: bool,
    /// Work is measured by operator.
    pub per_operator_stats: bool,
    /// What a query may use.
    pub limits: Limits,
}

impl Default for Options {
    /// Prometheus' defaults.
    fn default() -> Self {
        Self {
            lookback_ms: 5 * 60 * 1000,
            default_subquery_step_ms: 60 * 1000,
            delayed_name_removal: false,
            start_timestamps: false,
            type_and_unit_labels: false,
            per_step_stats: false,
            per_operator_stats: false,
            limits: Limits::default(),
        }
    }
}

/// Evaluates expressions.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: Options,
}

/// One query: the expression, when, and how to stop it.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The expression.
    pub expr: &'a Expr,
    /// The text it was parsed from, which positions in annotations refer to.
    pub text: &'a str,
    /// The steps.
    pub steps: Steps,
    /// The end that was asked for, in milliseconds, if it is not the last step: what `end()` and
    /// `range()` mean.
    pub end: Option<i64>,
    /// An instant query; else a range query, if only of one step.
    pub is_instant: bool,
    /// Stops it from outside.
    pub cancellation: Cancellation,
    /// Where work on series is done.
    pub executor: &'a dyn Executor,
}

impl Engine {
    /// An engine with these options.
    pub const fn new(options: Options) -> Self {
        Self { options }
    }

    /// How it evaluates.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Evaluates an expression, parsed from its text, at `t` (milliseconds).
    ///
    /// # Errors
    /// See [`Error`].
    pub fn instant(
        &self,
        source: &dyn Source,
        expr: (&Expr, &str),
        t: i64,
    ) -> Result<QueryResult, Error> {
        self.run_alone(source, expr, (Steps::instant(t), true))
    }

    /// Evaluates an expression, parsed from its text, at all steps.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn range(
        &self,
        source: &dyn Source,
        expr: (&Expr, &str),
        steps: Steps,
    ) -> Result<QueryResult, Error> {
        self.run_alone(source, expr, (steps, false))
    }

    /// Runs a query on this thread, which nobody cancels.
    fn run_alone(
        &self,
        source: &dyn Source,
        (expr, text): (&Expr, &str),
        (steps, is_instant): (Steps, bool),
    ) -> Result<QueryResult, Error> {
        self.run(
            source,
            &Query {
                expr,
                text,
                steps,
                end: None,
                is_instant,
                cancellation: Cancellation::new(),
                executor: &Sequential,
            },
        )
    }

    /// Runs a query.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(&self, source: &dyn Source, query: &Query<'_>) -> Result<QueryResult, Error> {
        let begin = Instant::now();
        if query.steps.count > self.options.limits.steps_max {
            return Err(Error::TooManySteps {
                limit: self.options.limits.steps_max,
            });
        }
        let plan = self.plan(query)?;
        let ctx = Context {
            source,
            executor: query.executor,
            options: &self.options,
            tracker: Tracker::new(self.options.limits, query.cancellation.clone()),
            notes: Notes::default(),
            shared: exec::SharedSets::default(),
            stats: Recorder::new(self.options.per_step_stats.then_some(query.steps.count)),
            profile: (self.options.per_operator_stats).then(exec::Profile::default),
        };
        let planned = Instant::now();
        let value = evaluate(&plan, query, &ctx)?;
        let annotations = ctx.notes.render(query.text);
        Ok(QueryResult {
            value,
            warnings: annotations.warnings,
            infos: annotations.infos,
            stats: QueryStats {
                samples_total: ctx.stats.samples(),
                samples_peak: ctx.tracker.samples_peak(),
                bytes_peak: ctx.tracker.bytes_peak(),
                series: ctx.stats.series(),
                samples_per_step: ctx.stats.per_step(),
                prepare_time: planned - begin,
                eval_time: planned.elapsed(),
                operators: (ctx.profile.as_ref()).map_or_else(Vec::new, exec::Profile::take),
            },
        })
    }

    /// A query as text, from stage to stage: the expression, its plan, the plan after each optimizer
    /// that changes it, and the one that is run, whose nodes are the operators of
    /// [`QueryStats::operators`].
    ///
    /// # Errors
    /// When the expression cannot be planned.
    pub fn explain(&self, query: &Query<'_>) -> Result<String, Error> {
        plan::explain(query.expr, self.plan_context(query))
    }

    fn plan_context(&self, query: &Query<'_>) -> PlanContext {
        PlanContext {
            steps: query.steps,
            end: query.end.unwrap_or_else(|| query.steps.end()),
            lookback_ms: self.options.lookback_ms,
            is_instant: query.is_instant,
            default_step_ms: self.options.default_subquery_step_ms,
            start_timestamps: self.options.start_timestamps,
        }
    }

    fn plan(&self, query: &Query<'_>) -> Result<Plan, Error> {
        let context = self.plan_context(query);
        Ok(plan::optimize::all(
            plan::build(query.expr, context)?,
            context,
        ))
    }
}

fn evaluate(plan: &Plan, query: &Query<'_>, ctx: &Context<'_>) -> Result<QueryValue, Error> {
    let steps = query.steps;
    match plan {
        Plan::String(s) if query.is_instant => Ok(QueryValue::String(s.clone())),
        Plan::Range(node) if query.is_instant => range_vector(node, steps, ctx),
        Plan::String(_) | Plan::Range(_) => Err(Error::Parameters(format!(
            "invalid expression type {:?} for range query, must be Scalar or instant Vector",
            if matches!(plan, Plan::String(_)) {
                "string"
            } else {
                "range vector"
            }
        ))),
        Plan::Scalar(node) => {
            let column = eval_scalar(node, steps, ctx)?;
            if query.is_instant {
                return Ok(QueryValue::Scalar(column.at(0)));
            }
            let mut series = StepSeries::default();
            series.column.floats = (0..steps.count).map(|i| column.at(i)).collect();
            series.column.valid.fill(steps.count);
            Ok(QueryValue::Matrix(vec![MatrixSeries {
                labels: Labels::empty(),
                points: Points::of_column(&series.column, steps),
            }]))
        }
        Plan::Vector(node) if query.is_instant => vector(node, steps, ctx),
        Plan::Vector(node) => matrix(node, steps, ctx),
    }
}

/// The labels of a series of the result: without the name where it was marked to be dropped.
fn result_labels(labels: &mut Labels, drop_name: bool) -> Labels {
    match drop_name {
        true => exec::labels::drop_reserved(labels),
        false => std::mem::take(labels),
    }
}

/// The series of an instant query, each label set once.
fn vector(node: &VectorNode, steps: Steps, ctx: &Context<'_>) -> Result<QueryValue, Error> {
    let operator = exec::vector(node, steps, ctx)?;
    let all = merge::collect_as(operator, ctx, |series| {
        merge::acquire(series, ctx)?;
        let value = series.column.get(0).expect("a series has a value");
        Ok((result_labels(&mut series.labels, series.drop_name), value))
    })?;
    Ok(QueryValue::Vector(all))
}

/// The series of a range query, each label set once, sorted by labels.
fn matrix(node: &VectorNode, steps: Steps, ctx: &Context<'_>) -> Result<QueryValue, Error> {
    let operator = exec::vector(node, steps, ctx)?;
    let all = merge::collect_as(operator, ctx, |series| {
        let kept = MatrixSeries {
            labels: result_labels(&mut series.labels, series.drop_name),
            points: Points::of_column(&series.column, steps),
        };
        let bytes = kept.points.heap_bytes() + kept.labels.heap_bytes();
        (ctx.tracker).acquire(series.column.sample_count(), bytes as u64)?;
        Ok(kept)
    })?;
    sorted(Held::new(all, ctx), ctx)
}

/// The series of a matrix, in order of labels.
fn sorted(mut all: Held<'_, Vec<MatrixSeries>>, ctx: &Context<'_>) -> Result<QueryValue, Error> {
    let pace = Pace::new(&ctx.tracker);
    pace.sort_by(&mut all, |a, b| a.labels.cmp(&b.labels))?;
    Ok(QueryValue::Matrix(all.into_inner()))
}

/// The samples of an instant query for a range vector.
fn range_vector(node: &RangeNode, steps: Steps, ctx: &Context<'_>) -> Result<QueryValue, Error> {
    let mut source = range_source(node, steps, ctx)?;
    let mut series = RangeSeries::default();
    let mut all: Held<'_, Vec<MatrixSeries>> = Held::new(Vec::new(), ctx);
    let end = node.reference(steps.start);
    let start = end.saturating_sub(node.range_ms());
    let range = TimeRange::new(start.saturating_add(1), end.saturating_add(1));
    while source.next(&mut series)? {
        let samples = &series.samples;
        ctx.tracker
            .acquire(samples.len() as u64, samples.heap_bytes() as u64)?;
        ctx.stats.add_samples(samples.len() as u64);
        all.push(MatrixSeries {
            labels: result_labels(&mut series.labels, series.drop_name),
            points: Points::of_samples(samples, range),
        });
    }
    sorted(all, ctx)
}
