//! `/api/v1/query_range`: an expression at many instants.

use std::time::{Duration, Instant};

use promql::columns::Steps;
use promql::stats::QueryStats;
use promql::value::{QueryResult, QueryValue};
use runtime::http::header;

use super::answer::{Answer, ApiError};
use super::params::{QueryOptions, Stats};
use super::query::Circumstances;
use super::{Api, Call, params, query, scope};
use crate::evaluator::{Evaluated, INTERVALS_MAX, Task};
use crate::reach::reach;
use crate::results::{Asked, Matrix, Question, ResultsCache, is_cacheable};
use crate::store_source::ReadStats;

/// Steps of a query that does not say one.
const POINTS_DEFAULT: i64 = 250;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let limit = params::limit(&call.form)?;
    params::engine(&call.form)?;
    let circumstances = circumstances(api, call)?;
    let (expr, text) = params::expression(api, &call.form)?;
    let (task, options) = (circumstances.task((&expr, text)), circumstances.options);
    let steps = task.steps;
    api.figures
        .asked_for(steps.end().saturating_sub(steps.start));
    let begin = Instant::now();
    let kept = question(api, call, &task, &options)?;
    let evaluated = query::counted(api, call, || match kept {
        Some(kept) => kept_or_fresh(api, call, &task, options.timeout, kept),
        None => query::evaluate(api, call, &task, options.timeout),
    });
    query::note(api, call, &task, &evaluated, begin);
    Ok(query::show(evaluated?, &task, (options, limit), begin))
}

/// The circumstances that a call describes, in Prometheus' order.
pub(super) fn circumstances(api: &Api, call: &Call<'_>) -> Result<Circumstances, ApiError> {
    let form = &call.form;
    let start = params::required_time(form, "start")?;
    let end = params::required_time(form, "end")?;
    if end < start {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step = match form.get("step").unwrap_or_default() {
        // Enough points for a graph.
        "" if api.settings().default_step_ms > 0 => {
            ((end - start) / POINTS_DEFAULT).max(api.settings().default_step_ms)
        }
        text => params::duration_ns(text).map_err(|e| ApiError::parameter("step", e))? / 1_000_000,
    };
    if step <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (i128::from(end) - i128::from(start)) / i128::from(step) > INTERVALS_MAX as i128 {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let auto = step / 5;
    let default = if api.settings().auto_downsampling {
        auto
    } else {
        0
    };
    let max_resolution = scope::max_resolution(form, auto, default)?;
    Ok(Circumstances {
        steps: Steps::range(start, end, step),
        end: Some(end),
        is_instant: false,
        max_resolution,
        options: params::query_options(form)?,
    })
}

/// What to look a query up by, if its results may be kept.
fn question<'a>(
    api: &'a Api,
    call: &Call<'_>,
    task: &Task<'_>,
    options: &QueryOptions,
) -> Result<Option<(&'a ResultsCache, Asked)>, ApiError> {
    let Some(cache) = &api.results else {
        return Ok(None);
    };
    let is_plain =
        options.stats == Stats::None && call.form.get("storeMatch[]").is_none() && !options.analyze;
    if !is_plain || wants_fresh(call) || task.steps.count == 0 || !is_cacheable(task.expr) {
        return Ok(None);
    }
    let scope = scope::scope(api, call, task.max_resolution)?;
    let lookback = task.lookback_ms;
    let lookback_ms = api.evaluator.lookback_ms(task);
    let at_0 = Steps {
        start: 0,
        step: 1,
        count: 1,
    };
    let asked = Asked {
        question: Question {
            text: task.text.to_owned(),
            step: task.steps.step,
            circumstances: format!("{scope:?} {lookback:?}"),
        },
        back_ms: reach(task.expr, at_0, lookback_ms).map(|range| range.min.saturating_neg()),
    };
    Ok(Some((cache, asked)))
}

/// The asker wants no kept results: `Cache-Control: no-store`, as to Thanos' query frontend, or
/// `nocache=1`, as to VictoriaMetrics.
fn wants_fresh(call: &Call<'_>) -> bool {
    let said = call.request.headers.get_all(header::CACHE_CONTROL).iter();
    let mut said = said.filter_map(|value| value.to_str().ok());
    said.any(|value| value.contains("no-store")) || call.form.get("nocache") == Some("1")
}

/// Evaluates what is not kept.
fn kept_or_fresh(
    api: &Api,
    call: &Call<'_>,
    task: &Task<'_>,
    timeout: Option<Duration>,
    (cache, asked): (&ResultsCache, Asked),
) -> Result<Evaluated, ApiError> {
    let mut store_warnings: Vec<String> = Vec::new();
    // Of what is not kept.
    let (mut stats, mut read) = (QueryStats::default(), ReadStats::default());
    let run = |steps: Steps| -> Result<Matrix, ApiError> {
        let evaluated = query::evaluate(api, call, &Task { steps, ..*task }, timeout)?;
        store_warnings.extend(evaluated.store_warnings);
        read.add(evaluated.read);
        let result = evaluated.result;
        stats.samples_total += result.stats.samples_total;
        stats.samples_peak = stats.samples_peak.max(result.stats.samples_peak);
        stats.prepare_time += result.stats.prepare_time;
        stats.eval_time += result.stats.eval_time;
        match result.value {
            QueryValue::Matrix(series) => Ok(Matrix {
                series,
                infos: result.infos,
                warnings: result.warnings,
            }),
            _ => Err(ApiError::bad_data("a range query yields no matrix")),
        }
    };
    let coverage = || api.evaluator.stores.coverage();
    let matrix = cache.evaluate(asked, task.steps, call.now_ms, coverage, run)?;
    Ok(Evaluated {
        result: QueryResult {
            value: QueryValue::Matrix(matrix.series),
            warnings: matrix.warnings,
            infos: matrix.infos,
            stats,
        },
        store_warnings,
        read,
    })
}
