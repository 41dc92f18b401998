//! `/api/v1/query`: an expression at one instant.

use std::time::{Duration, Instant};

use promql::ast::Expr;
use promql::columns::Steps;
use promql::stats::QueryStats;
use promql::value::{QueryResult, QueryValue};

use super::answer::{Answer, ApiError, shown, truncate};
use super::json::{self, StatsView};
use super::params::{self, QueryOptions, Stats};
use super::{Api, Call, analysis, scope};
use crate::evaluator::{Evaluated, Task};
use crate::query_log::Noted;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let limit = params::limit(&call.form)?;
    params::engine(&call.form)?;
    let circumstances = circumstances(api, call)?;
    let (expr, text) = params::expression(api, &call.form)?;
    let (task, options) = (circumstances.task((&expr, text)), circumstances.options);
    let begin = Instant::now();
    let evaluated = counted(api, call, || evaluate(api, call, &task, options.timeout));
    note(api, call, &task, &evaluated, begin);
    Ok(show(evaluated?, &task, (options, limit), begin))
}

/// Notes a query that was evaluated, or failed to be, in the log of queries.
pub(super) fn note(
    api: &Api,
    call: &Call<'_>,
    task: &Task<'_>,
    evaluated: &Result<Evaluated, ApiError>,
    begin: Instant,
) {
    let none = QueryStats::default();
    let stats = evaluated
        .as_ref()
        .map_or(&none, |found| &found.result.stats);
    api.log.note(&Noted {
        caller: call.request.into(),
        tenant: said_tenant(api, call),
        text: task.text,
        steps: task.steps,
        is_instant: task.is_instant,
        end_ms: task.end.unwrap_or_else(|| task.steps.end()),
        error: evaluated.as_ref().err().map(|error| &*error.message),
        stats,
        took: begin.elapsed(),
        now_ms: api.clock.now_ms(),
    });
}

/// The tenant that a call names, if it does.
fn said_tenant<'a>(api: &Api, call: &'a Call<'_>) -> &'a str {
    let header = api.settings().tenancy.header.as_str();
    let tenant = call.request.headers.get(header);
    let tenant = tenant.and_then(|name| name.to_str().ok());
    tenant.unwrap_or_default()
}

/// Counts what `evaluate` does as one query.
pub(super) fn counted(
    api: &Api,
    call: &Call<'_>,
    evaluate: impl FnOnce() -> Result<Evaluated, ApiError>,
) -> Result<Evaluated, ApiError> {
    let in_flight = api.figures.begin(call.request.waited);
    let evaluated = evaluate()?;
    let tenant = api.settings().tenancy.named(said_tenant(api, call));
    in_flight.evaluated(&evaluated.result.stats, evaluated.read, tenant);
    Ok(evaluated)
}

/// All of a task but its expression, which is read last: of several parameters that are wrong,
/// Prometheus names another one.
pub(super) struct Circumstances {
    pub(super) steps: Steps,
    /// The end that was asked for, if it is not the last step.
    pub(super) end: Option<i64>,
    pub(super) is_instant: bool,
    pub(super) max_resolution: i64,
    pub(super) options: QueryOptions,
}

/// The circumstances that a call describes.
pub(super) fn circumstances(api: &Api, call: &Call<'_>) -> Result<Circumstances, ApiError> {
    let t = params::time(&call.form, "time", call.now_ms)?;
    let default = api.settings().instant_max_resolution;
    let max_resolution = scope::max_resolution(&call.form, default, default)?;
    Ok(Circumstances {
        steps: Steps::instant(t),
        end: None,
        is_instant: true,
        max_resolution,
        options: params::query_options(&call.form)?,
    })
}

impl Circumstances {
    /// The task to evaluate an expression so.
    pub(super) fn task<'a>(&self, (expr, text): (&'a Expr, &'a str)) -> Task<'a> {
        let options = &self.options;
        Task {
            expr,
            text,
            steps: self.steps,
            end: self.end,
            is_instant: self.is_instant,
            max_resolution: self.max_resolution,
            lookback_ms: options.lookback_ms,
            per_step_stats: options.stats == Stats::PerStep,
            per_operator_stats: options.analyze,
        }
    }
}

/// Evaluates an expression over the stores that the call names.
pub(super) fn evaluate(
    api: &Api,
    call: &Call<'_>,
    task: &Task<'_>,
    timeout: Option<Duration>,
) -> Result<Evaluated, ApiError> {
    let scope = scope::scope(api, call, task.max_resolution)?;
    let matchers = scope::store_matchers(api, &call.form)?;
    let leash = api.leash(call, timeout);
    Ok((api.evaluator).evaluate(task, scope, &matchers, &leash)?)
}

/// The answer that shows at most `limit` series of a result, 0 for all.
pub(super) fn show(
    evaluated: Evaluated,
    task: &Task<'_>,
    (options, limit): (QueryOptions, usize),
    begin: Instant,
) -> Answer {
    let QueryResult {
        mut value,
        warnings,
        infos,
        stats,
    } = evaluated.result;
    let total = begin.elapsed().as_secs_f64();
    let truncated = match &mut value {
        QueryValue::Vector(vector) => truncate(vector, limit),
        QueryValue::Matrix(matrix) => truncate(matrix, limit),
        QueryValue::Scalar(_) | QueryValue::String(_) => Vec::new(),
    };
    let (steps, wanted) = (task.steps, options.stats);
    let analysis = options.analyze.then(|| analysis::tree(&stats.operators));
    let mut answer = Answer::new(move |out| {
        let view = StatsView {
            stats: &stats,
            total_seconds: total,
            per_step: (wanted == Stats::PerStep).then_some((steps.start, steps.step)),
        };
        let view = (wanted != Stats::None).then_some(&view);
        json::write_result(out, steps.start, &value, (view, analysis.as_ref()))
    });
    answer.warnings = shown(warnings, "warning");
    answer.warnings.extend(truncated);
    answer.infos = shown(infos, "info");
    answer.with_store_warnings(evaluated.store_warnings)
}
