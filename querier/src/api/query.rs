//! `/api/v1/query`: an expression at one instant.

use std::time::Instant;

use promql::Query;
use promql::columns::Steps;
use promql::limits::Cancellation;
use promql::value::{QueryResult, QueryValue};

use super::answer::{Answer, ApiError, truncate};
use super::json::{self, StatsView};
use super::params::{self, QueryOptions, Stats};
use super::{Api, Call};

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let limit = params::limit(&call.form)?;
    let t = params::time(&call.form, "time", call.now_ms)?;
    let options = params::query_options(&call.form)?;
    let steps = Steps::instant(t);
    evaluate(api, call, &options, (steps, true, limit))
}

/// Evaluates the expression of a call at some steps, as an instant query or not, and shows at most
/// `limit` series of the result.
pub(super) fn evaluate(
    api: &Api,
    call: &Call<'_>,
    options: &QueryOptions,
    (steps, is_instant, limit): (Steps, bool, usize),
) -> Result<Answer, ApiError> {
    let begin = Instant::now();
    let (expr, text) = params::expression(&call.form)?;
    let cancellation = Cancellation::new();
    let query = Query {
        expr: &expr,
        text,
        steps,
        is_instant,
        cancellation: cancellation.clone(),
        executor: &api.pool,
    };
    call.request
        .abandonment
        .on_abandon(move || cancellation.cancel());
    let QueryResult {
        mut value,
        mut warnings,
        infos,
        stats,
    } = api
        .pool
        .enter(|| api.engine(options).run(&api.source, &query))?;
    let total = begin.elapsed().as_secs_f64();
    warnings.extend(match &mut value {
        QueryValue::Vector(vector) => truncate(vector, limit),
        QueryValue::Matrix(matrix) => truncate(matrix, limit),
        QueryValue::Scalar(_) | QueryValue::String(_) => Vec::new(),
    });
    let wanted = options.stats;
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
    Ok(answer)
}
