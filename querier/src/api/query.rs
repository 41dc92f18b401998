//! `/api/v1/query`: an expression at one instant.

use std::time::Instant;

use promql::ast::Expr;
use promql::columns::Steps;
use promql::limits::{Cancellation, Limits};
use promql::value::{QueryResult, QueryValue};
use promql::{Engine, Query};

use super::answer::{Answer, ApiError, truncate};
use super::json::{self, StatsView};
use super::params::{self, QueryOptions, Stats};
use super::{Api, Call, scope};
use crate::store_source::StoreSource;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let limit = params::limit(&call.form)?;
    let t = params::time(&call.form, "time", call.now_ms)?;
    let default = api.settings.instant_max_resolution;
    let max_resolution = scope::max_resolution(&call.form, default, default)?;
    let (expr, text) = params::expression(&call.form)?;
    let task = Task {
        expr: &expr,
        text,
        steps: Steps::instant(t),
        is_instant: true,
        max_resolution,
        options: params::query_options(&call.form)?,
    };
    let begin = Instant::now();
    let evaluated = evaluate(api, call, &task)?;
    Ok(show(evaluated, &task, limit, begin))
}

/// An expression to evaluate.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) expr: &'a Expr,
    pub(super) text: &'a str,
    pub(super) steps: Steps,
    pub(super) is_instant: bool,
    /// Coarsest resolution in milliseconds that will do.
    pub(super) max_resolution: i64,
    pub(super) options: QueryOptions,
}

/// What a task came to.
pub(super) struct Evaluated {
    pub(super) result: QueryResult,
    /// What stores wanted to be said.
    pub(super) store_warnings: Vec<String>,
}

/// Evaluates an expression over the stores that the call names.
pub(super) fn evaluate(api: &Api, call: &Call<'_>, task: &Task<'_>) -> Result<Evaluated, ApiError> {
    let scope = scope::scope(api, call, task.max_resolution)?;
    let store = api.fan_out(&scope::store_matchers(&call.form)?)?;
    let patience = api.patience(call, task.options.timeout);
    let source = StoreSource::new(store, scope, patience.clone());
    let cancellation = Cancellation::new();
    let query = Query {
        expr: task.expr,
        text: task.text,
        steps: task.steps,
        is_instant: task.is_instant,
        cancellation: cancellation.clone(),
        executor: &*api.pool,
    };
    call.request
        .abandonment
        .on_abandon(move || cancellation.cancel());
    let engine = engine(api, task);
    let run = || engine.run(&source, &query);
    // Whoever waits for a network does not hold one of the threads that all queries share.
    let result = if api.stores.may_wait() {
        run()
    } else {
        api.pool.enter(run)
    };
    let result = match result {
        Err(promql::Error::Source(_)) if patience.is_over() => Err(promql::Error::Timeout),
        other => other,
    };
    Ok(Evaluated {
        result: result?,
        store_warnings: source.warnings(),
    })
}

/// An engine for one request, which may ask for less time or another lookback.
fn engine(api: &Api, task: &Task<'_>) -> Engine {
    let wanted = &task.options;
    let mut options = api.settings.engine.clone();
    if let Some(timeout) = wanted.timeout {
        options.limits = Limits {
            timeout: timeout.min(options.limits.timeout),
            ..options.limits
        };
    }
    let lookback_ms = wanted.lookback_ms.unwrap_or(options.lookback_ms);
    options.lookback_ms = scope::lookback(lookback_ms, task.max_resolution);
    options.per_step_stats = wanted.stats == Stats::PerStep;
    Engine::new(options)
}

/// The answer that shows at most `limit` series of a result, 0 for all.
pub(super) fn show(evaluated: Evaluated, task: &Task<'_>, limit: usize, begin: Instant) -> Answer {
    let QueryResult {
        mut value,
        mut warnings,
        infos,
        stats,
    } = evaluated.result;
    let total = begin.elapsed().as_secs_f64();
    warnings.extend(match &mut value {
        QueryValue::Vector(vector) => truncate(vector, limit),
        QueryValue::Matrix(matrix) => truncate(matrix, limit),
        QueryValue::Scalar(_) | QueryValue::String(_) => Vec::new(),
    });
    let (wanted, steps) = (task.options.stats, task.steps);
    let mut answer = Answer::new(move |out| {
        let view = StatsView {
            stats: &stats,
            total_seconds: total,
            per_step: (wanted == Stats::PerStep).then_some((steps.start, steps.step)),
        };
        let view = (wanted != Stats::None).then_some(&view);
        json::write_result(out, steps.start, &value, view)
    });
    answer.warnings = warnings;
    answer.infos = infos;
    answer.with_store_warnings(evaluated.store_warnings)
}
