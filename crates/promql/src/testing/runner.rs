//! Runs scripts: each evaluation as written and in the variations that must not change its result.
//!
//! An instant evaluation is repeated as the middle step of a range query, and, pinned with `@` to its
//! time and printed and parsed again, at five other times. So the runner tests the printer too.

use std::path::Path;

use super::compare::{self, ActualSeries};
use super::nhcb;
use super::rewrite;
use super::script::{
    self, AnnotationKind, Command, Eval, Expectations, Expected, Failing, Load, ScriptError, When,
};
use super::storage::MemoryStorage;
use crate::columns::{StepValue, Steps};
use crate::engine::{Engine, Options};
use crate::error::Error;
use crate::parse;
use crate::value::{MatrixSeries, QueryResult, QueryValue};

/// Steps of the range query around an instant are this far apart, in milliseconds.
const AROUND_MS: i64 = 60_000;

/// An evaluation that did not come out as the script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Line of the `eval` or `load`, from 1.
    pub line: usize,
    /// What was evaluated and what differs.
    pub message: String,
}

/// What became of a script.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Evaluations that came out right.
    pub passed: usize,
    /// Those that did not.
    pub failures: Vec<Failure>,
}

/// The options that scripts assume: every experimental feature is on, subqueries without a step take
/// one minute, and a query may hold 10,000 samples.
pub fn script_options() -> Options {
    let mut options = Options::default();
    options.limits.samples_max = 10_000;
    options.default_subquery_step_ms = 60_000;
    options.delayed_name_removal = true;
    options.start_timestamps = true;
    options
}

/// Runs a script on a storage of its own.
///
/// # Errors
/// When the text is not a script; an evaluation that fails is part of the report.
pub fn run_script(text: &str) -> Result<Report, ScriptError> {
    run_script_with(text, script_options())
}

/// As [`run_script`], on an engine with other options.
///
/// # Errors
/// When the text is not a script.
pub fn run_script_with(text: &str, options: Options) -> Result<Report, ScriptError> {
    let commands = script::parse(text)?;
    let mut runner = Runner {
        engine: Engine::new(options),
        storage: MemoryStorage::new(),
    };
    let mut report = Report::default();
    for command in &commands {
        match command {
            Command::Clear => runner.storage.clear(),
            Command::Load(load) => runner.load(load)?,
            Command::Eval(eval) => match runner.eval(eval) {
                Ok(()) => report.passed += 1,
                Err(message) => report.failures.push(Failure {
                    line: eval.line,
                    message: format!("{}: {message}", eval.expr),
                }),
            },
        }
    }
    Ok(report)
}

/// Runs the script in a file.
///
/// # Errors
/// When the file cannot be read or is not a script.
pub fn run_file(path: &Path) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
    Ok(run_script(&std::fs::read_to_string(path)?)?)
}

struct Runner {
    engine: Engine,
    storage: MemoryStorage,
}

impl Runner {
    fn load(&mut self, load: &Load) -> Result<(), ScriptError> {
        for series in &load.series {
            self.storage.append(series.clone());
        }
        if load.with_nhcb {
            let derived = nhcb::derive(&load.series).map_err(|e| ScriptError::new(load.line, e))?;
            for series in derived {
                self.storage.append(series);
            }
        }
        Ok(())
    }

    fn eval(&self, eval: &Eval) -> Result<(), String> {
        match eval.when {
            When::Instant(t) => self.eval_instant(eval, t),
            When::Range { start, end, step } => {
                let result = self.range(&eval.expr, (start, end, step));
                let Some(result) = check_failure(result, &eval.expectations)? else {
                    return Ok(());
                };
                check_annotations(&result, &eval.expectations)?;
                check_result(eval, &result.value)
            }
        }
    }

    fn eval_instant(&self, eval: &Eval, t: i64) -> Result<(), String> {
        self.check_instant(eval, &eval.expr, t)?;
        let parsed = parse_expr(&eval.expr).map_err(|e| e.to_string())?;
        let Some(pinned) = rewrite::pinned(&parsed, t) else {
            return Ok(());
        };
        let pinned = pinned.to_string();
        for other in rewrite::other_times(t) {
            self.check_instant(eval, &pinned, other)
                .map_err(|e| format!("as {pinned} at {other} ms: {e}"))?;
        }
        Ok(())
    }

    /// Evaluates `expr` at `t`, and as the middle step of a range query where the result allows it.
    fn check_instant(&self, eval: &Eval, expr: &str, t: i64) -> Result<(), String> {
        let result =
            parse_expr(expr).and_then(|e| self.engine.instant(&self.storage, (&e, expr), t));
        let Some(result) = check_failure(result, &eval.expectations)? else {
            return Ok(());
        };
        check_annotations(&result, &eval.expectations)?;
        check_result(eval, &result.value)?;
        let (Expected::Series(_) | Expected::Scalar(_)) = &eval.expected else {
            return Ok(());
        };
        if eval.expectations.ordered || depends_on_query_range(expr) {
            return Ok(());
        }
        let around = (t - AROUND_MS, t + AROUND_MS, AROUND_MS);
        let result = self
            .range(expr, around)
            .map_err(|e| format!("as a range query: {e}"))?;
        check_middle(eval, &result.value, t).map_err(|e| format!("as a range query: {e}"))
    }

    fn range(&self, expr: &str, when: (i64, i64, i64)) -> Result<QueryResult, Error> {
        let (start, end, step) = when;
        let steps = Steps::range(start, end, step);
        self.engine
            .range(&self.storage, (&parse_expr(expr)?, expr), steps)
    }
}

fn parse_expr(expr: &str) -> Result<crate::ast::Expr, Error> {
    parse::parse_expr(expr, parse::Options::all_features()).map_err(|e| Error::Parse(e.to_string()))
}

/// True when a range query around an instant means something else.
fn depends_on_query_range(expr: &str) -> bool {
    ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|call| expr.contains(call))
}

/// The result, or `None` when the evaluation failed as it should.
fn check_failure(
    result: Result<QueryResult, Error>,
    expectations: &Expectations,
) -> Result<Option<QueryResult>, String> {
    match (result, &expectations.fail) {
        (Ok(result), None) => Ok(Some(result)),
        (Ok(_), Some(_)) => Err("it should fail, but does not".to_owned()),
        (Err(e), None) => Err(e.to_string()),
        (Err(e), Some(failing)) => check_error(&e, failing).map(|()| None),
    }
}

fn check_error(error: &Error, failing: &Failing) -> Result<(), String> {
    let text = error.to_string();
    match failing {
        Some(pattern) if !pattern.fits(&text) => {
            Err(format!("it fails with {text:?} instead of {pattern:?}"))
        }
        _ => Ok(()),
    }
}

fn check_annotations(result: &QueryResult, expectations: &Expectations) -> Result<(), String> {
    for (kind, texts) in [
        (AnnotationKind::Warning, &result.warnings),
        (AnnotationKind::Info, &result.infos),
    ] {
        if expectations.absent.contains(&kind) && !texts.is_empty() {
            return Err(format!("unexpected annotations: {texts:?}"));
        }
        let expected: Vec<_> = expectations
            .present
            .iter()
            .filter(|a| a.kind == kind)
            .collect();
        for annotation in &expected {
            let found = match &annotation.pattern {
                None => !texts.is_empty(),
                Some(pattern) => texts.iter().any(|text| pattern.fits(text)),
            };
            if !found {
                return Err(format!("{annotation:?} is missing among {texts:?}"));
            }
        }
        let patterns: Vec<_> = expected.iter().filter_map(|a| a.pattern.as_ref()).collect();
        let stray = texts
            .iter()
            .find(|text| !patterns.iter().any(|p| p.fits(text)));
        if let (Some(stray), false) = (stray, patterns.is_empty()) {
            return Err(format!("unexpected annotation: {stray:?}"));
        }
    }
    Ok(())
}

fn check_result(eval: &Eval, value: &QueryValue) -> Result<(), String> {
    match (&eval.expected, value) {
        (Expected::Scalar(expected), QueryValue::Scalar(actual)) => {
            compare::scalar(*expected, *actual)
        }
        (Expected::String(expected), QueryValue::String(actual)) if expected == actual => Ok(()),
        (Expected::Series(expected), QueryValue::Vector(actual)) => {
            compare::vector(expected, eval.expectations.ordered, actual)
        }
        (Expected::Series(expected), QueryValue::Matrix(actual)) => {
            if eval.expectations.ordered {
                return Err("a matrix has no order to check".to_owned());
            }
            compare::matrix(expected, eval.when, &by_time(actual))
        }
        (Expected::RangeVector(when, expected), QueryValue::Matrix(actual)) => {
            compare::matrix(expected, *when, &by_time(actual))
        }
        (expected, actual) => Err(format!("expected {expected:?}, got {actual:?}")),
    }
}

fn by_time(series: &[MatrixSeries]) -> Vec<ActualSeries> {
    series
        .iter()
        .map(|s| (s.labels.clone(), s.points.iter().collect()))
        .collect()
}

/// Checks the values that a matrix has at `t` as if they were an instant vector or a scalar.
fn check_middle(eval: &Eval, value: &QueryValue, t: i64) -> Result<(), String> {
    let QueryValue::Matrix(series) = value else {
        return Err(format!("it is not a matrix but {value:?}"));
    };
    let mut vector = Vec::new();
    for (labels, values) in by_time(series) {
        let at = values.into_iter().find(|(at, _)| *at == t);
        vector.extend(at.map(|(_, value)| (labels, value)));
    }
    match (&eval.expected, vector.as_slice()) {
        (Expected::Scalar(expected), [(_, StepValue::Float(actual))]) => {
            compare::scalar(*expected, *actual)
        }
        (Expected::Series(expected), vector) => compare::vector(expected, false, vector),
        (expected, actual) => Err(format!("expected {expected:?}, got {actual:?}")),
    }
}
