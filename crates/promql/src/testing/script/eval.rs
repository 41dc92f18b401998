//! The `eval` command and what it expects.

use model::Labels;

use super::{Lines, ScriptError, parse_time};
use crate::ast::Expr;
use crate::parse::series::{SequenceValue, parse_series};
use crate::parse::{Options, ParseError, parse_expr};

/// When an expression is evaluated, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At one instant.
    Instant(i64),
    /// At every step of a range, ends included.
    Range {
        /// First step.
        start: i64,
        /// No step is later.
        end: i64,
        /// Distance between steps.
        step: i64,
    },
}

/// An expression with what must come out of it.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Line of the command, from 1.
    pub line: usize,
    /// The expression, not parsed yet.
    pub expr: String,
    /// When it is evaluated.
    pub when: When,
    /// The result.
    pub expected: Expected,
    /// Everything but the result.
    pub expectations: Expectations,
}

/// The result of an evaluation.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Series; of an instant evaluation each has one value.
    Series(Vec<ExpectedSeries>),
    /// Series of a range vector: their values lie at the steps of this range.
    RangeVector(When, Vec<ExpectedSeries>),
    /// A scalar.
    Scalar(f64),
    /// A string.
    String(Box<[u8]>),
}

/// One series of a result.
#[derive(Debug, Clone)]
pub struct ExpectedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values, one a step, gaps included.
    pub values: Vec<SequenceValue>,
}

/// What is expected beside the result.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// The series of an instant vector come in the order of the script.
    pub ordered: bool,
    /// The evaluation fails.
    pub fail: Option<Failing>,
    /// Annotations that must be there.
    pub present: Vec<Annotation>,
    /// Kinds of annotations of which there must be none.
    pub absent: Vec<AnnotationKind>,
}

/// How an evaluation fails: with any error, or with one that fits the pattern.
pub type Failing = Option<Pattern>;

/// The two kinds of annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationKind {
    /// Something is likely wrong.
    Warning,
    /// Something the user may want to know.
    Info,
}

/// An annotation that must be there: any of its kind, or one that fits the pattern.
#[derive(Debug, Clone)]
pub struct Annotation {
    /// Its kind.
    pub kind: AnnotationKind,
    /// Its text.
    pub pattern: Option<Pattern>,
}

/// The text of an error or annotation.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Exactly this.
    Text(String),
    /// Something in it matches.
    Regex(regex::Regex),
}

impl Pattern {
    /// True when `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Text(expected) => expected == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Splits the first word off.
fn word(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim_start())
}

/// Splits `keyword` and the word after it off the front of `text`.
fn clause<'a>(
    line: usize,
    text: &'a str,
    keyword: &str,
) -> Result<(&'a str, &'a str), ScriptError> {
    let (first, rest) = word(text);
    if !first.eq_ignore_ascii_case(keyword) {
        return Err(ScriptError::new(
            line,
            format!("expected {keyword:?} at {text:?}"),
        ));
    }
    Ok(word(rest))
}

/// `from A to B step C`, and what follows.
fn parse_range(line: usize, text: &str) -> Result<(When, &str), ScriptError> {
    let (start, rest) = clause(line, text, "from")?;
    let (end, rest) = clause(line, rest, "to")?;
    let (step, rest) = clause(line, rest, "step")?;
    let when = When::Range {
        start: parse_time(line, start)?,
        end: parse_time(line, end)?,
        step: parse_time(line, step)?,
    };
    Ok((when, rest))
}

/// Parses the command that starts at `line`, and its block.
pub(super) fn parse(number: usize, line: &str, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let (keyword, rest) = word(line);
    let (mode, rest) = word(rest);
    let (when, expr) = match mode.to_ascii_lowercase().as_str() {
        "instant" => {
            let (at, expr) = clause(number, rest, "at")?;
            (When::Instant(parse_time(number, at)?), expr)
        }
        "range" => parse_range(number, rest)?,
        _ => {
            return Err(ScriptError::new(
                number,
                "eval is followed by instant or range",
            ));
        }
    };
    let mut eval = Eval {
        line: number,
        expr: expr.to_owned(),
        when,
        expected: Expected::Series(Vec::new()),
        expectations: legacy_expectations(number, keyword)?,
    };
    while let Some((number, line)) = lines.next_of_block() {
        parse_line(number, line, &mut eval)?;
    }
    Ok(eval)
}

/// What the older spellings of the keyword say: `eval_fail` and so on.
fn legacy_expectations(line: usize, keyword: &str) -> Result<Expectations, ScriptError> {
    let any = |kind| {
        vec![Annotation {
            kind,
            pattern: None,
        }]
    };
    let mut expectations = Expectations::default();
    match keyword.to_ascii_lowercase().as_str() {
        "eval" => {}
        "eval_fail" => expectations.fail = Some(None),
        "eval_ordered" => expectations.ordered = true,
        "eval_warn" => expectations.present = any(AnnotationKind::Warning),
        "eval_info" => expectations.present = any(AnnotationKind::Info),
        _ => {
            return Err(ScriptError::new(
                line,
                format!("{keyword:?} is not a kind of eval"),
            ));
        }
    }
    Ok(expectations)
}

fn parse_line(number: usize, line: &str, eval: &mut Eval) -> Result<(), ScriptError> {
    let (keyword, rest) = word(line);
    match keyword {
        "expect" => return parse_expect(number, rest, eval),
        "expected_fail_message" => {
            eval.expectations.fail = Some(Some(Pattern::Text(rest.to_owned())));
            return Ok(());
        }
        "expected_fail_regexp" => {
            eval.expectations.fail = Some(Some(parse_regex(number, rest)?));
            return Ok(());
        }
        _ => {}
    }
    if let Some(value) = parse_number(line) {
        eval.expected = Expected::Scalar(value);
        return Ok(());
    }
    let (labels, values) =
        parse_series(line).map_err(|e: ParseError| ScriptError::new(number, e.to_string()))?;
    let series = ExpectedSeries { labels, values };
    match (&mut eval.expected, eval.when) {
        (Expected::Series(_), When::Instant(_)) if series.values.len() > 1 => Err(
            ScriptError::new(number, "an instant evaluation has one value per series"),
        ),
        (Expected::Series(all) | Expected::RangeVector(_, all), _) => {
            all.push(series);
            Ok(())
        }
        _ => Err(ScriptError::new(
            number,
            "a series and a scalar or string are expected at once",
        )),
    }
}

fn parse_expect(number: usize, rest: &str, eval: &mut Eval) -> Result<(), ScriptError> {
    let (what, rest) = word(rest);
    let expectations = &mut eval.expectations;
    match what {
        "ordered" => expectations.ordered = true,
        "fail" => expectations.fail = Some(parse_pattern(number, rest)?),
        "warn" | "info" => {
            let kind = if what == "warn" {
                AnnotationKind::Warning
            } else {
                AnnotationKind::Info
            };
            let pattern = parse_pattern(number, rest)?;
            expectations.present.push(Annotation { kind, pattern });
        }
        "no_warn" => expectations.absent.push(AnnotationKind::Warning),
        "no_info" => expectations.absent.push(AnnotationKind::Info),
        "string" => eval.expected = Expected::String(parse_string(number, rest)?),
        "range" => {
            let (_, rest) = clause(number, rest, "vector").map(|_| ((), word(rest).1))?;
            let (when, _) = parse_range(number, rest)?;
            eval.expected = Expected::RangeVector(when, Vec::new());
        }
        _ => {
            return Err(ScriptError::new(
                number,
                format!("{what:?} cannot be expected"),
            ));
        }
    }
    Ok(())
}

/// `msg: TEXT`, `regex: PATTERN` or nothing.
fn parse_pattern(line: usize, text: &str) -> Result<Option<Pattern>, ScriptError> {
    if let Some(message) = text.strip_prefix("msg:") {
        Ok(Some(Pattern::Text(message.trim().to_owned())))
    } else if let Some(regex) = text.strip_prefix("regex:") {
        parse_regex(line, regex.trim()).map(Some)
    } else if text.is_empty() {
        Ok(None)
    } else {
        Err(ScriptError::new(
            line,
            format!("expected msg: or regex: at {text:?}"),
        ))
    }
}

fn parse_regex(line: usize, text: &str) -> Result<Pattern, ScriptError> {
    let regex = regex::Regex::new(text).map_err(|e| ScriptError::new(line, e.to_string()))?;
    Ok(Pattern::Regex(regex))
}

/// A string literal as PromQL writes it.
fn parse_string(line: usize, text: &str) -> Result<Box<[u8]>, ScriptError> {
    match parse_expr(text, Options::all_features()) {
        Ok(Expr::String(literal)) => Ok(literal.value),
        Ok(_) => Err(ScriptError::new(line, "expected a string in quotes")),
        Err(e) => Err(ScriptError::new(line, e.to_string())),
    }
}

/// A line that is a number and nothing else.
fn parse_number(line: &str) -> Option<f64> {
    match parse_expr(line, Options::all_features()) {
        Ok(Expr::Number(number)) => Some(number.value),
        _ => None,
    }
}
