//! From the text of a script to its commands.
//!
//! Lines are trimmed; one that starts with `#` counts as blank, and a blank line ends a block.
//! Keywords are case-insensitive. Times are durations since the epoch.

mod eval;

use model::Labels;
use model::time::DurationMs;

use crate::columns::StepValue;
use crate::parse::series::{SequenceValue, parse_series, parse_start_timestamps};

pub use eval::{
    Annotation, AnnotationKind, Eval, Expectations, Expected, ExpectedSeries, Failing, Pattern,
    When,
};

use super::storage::LoadedSeries;

/// A script that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// Line of the script, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl ScriptError {
    pub(super) fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

/// One command of a script.
#[derive(Debug, Clone)]
pub enum Command {
    /// Drop everything that was loaded.
    Clear,
    /// Append series to the storage.
    Load(Load),
    /// Evaluate an expression and compare.
    Eval(Box<Eval>),
}

/// Series to append.
#[derive(Debug, Clone)]
pub struct Load {
    /// Line of the command, from 1.
    pub line: usize,
    /// The series, in the order of the script.
    pub series: Vec<LoadedSeries>,
    /// Also derive native histograms with custom buckets from classic ones (`load_with_nhcb`).
    pub with_nhcb: bool,
}

/// The trimmed lines of a script with a cursor.
#[derive(Debug)]
struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let lines = text
            .lines()
            .map(str::trim)
            .map(|line| if line.starts_with('#') { "" } else { line })
            .collect();
        Self { lines, next: 0 }
    }

    /// The next line with its number, whatever it holds.
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let line = *self.lines.get(self.next)?;
        self.next += 1;
        Some((self.next, line))
    }

    /// The next line of the current block; `None` at its end, which is consumed.
    fn next_of_block(&mut self) -> Option<(usize, &'a str)> {
        self.next().filter(|(_, line)| !line.is_empty())
    }
}

/// The commands of a script.
///
/// # Errors
/// When a line is not of the language; its expressions are not parsed yet.
pub fn parse(text: &str) -> Result<Vec<Command>, ScriptError> {
    let mut lines = Lines::new(text);
    let mut commands = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let keyword = line.to_ascii_lowercase();
        commands.push(if keyword.starts_with("clear") {
            Command::Clear
        } else if keyword.starts_with("load") {
            Command::Load(parse_load(number, line, &mut lines)?)
        } else if keyword.starts_with("eval") {
            Command::Eval(Box::new(eval::parse(number, line, &mut lines)?))
        } else {
            return Err(ScriptError::new(
                number,
                format!("{line:?} is not a command; clear, load and eval are"),
            ));
        });
    }
    Ok(commands)
}

/// A duration since the epoch in milliseconds; a minus sign before it is allowed.
fn parse_time(line: usize, text: &str) -> Result<i64, ScriptError> {
    DurationMs::parse_signed(text)
        .map(|duration| duration.0)
        .map_err(|e| ScriptError::new(line, e.to_string()))
}

fn parse_load(number: usize, line: &str, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let (keyword, gap) = line
        .split_once(char::is_whitespace)
        .ok_or_else(|| ScriptError::new(number, "load needs an interval, as in `load 5m`"))?;
    let with_nhcb = match keyword.to_ascii_lowercase().as_str() {
        "load" => false,
        "load_with_nhcb" => true,
        _ => {
            let message = format!("{keyword:?} is not load or load_with_nhcb");
            return Err(ScriptError::new(number, message));
        }
    };
    let gap_ms = parse_time(number, gap.trim())?;
    let mut load = Load {
        line: number,
        series: Vec::new(),
        with_nhcb,
    };
    let mut starts = None;
    while let Some((number, line)) = lines.next_of_block() {
        let fail = |e: crate::parse::ParseError| ScriptError::new(number, e.to_string());
        if let Some(parsed) = parse_start_timestamps(line).map_err(fail)? {
            starts = Some(parsed);
            continue;
        }
        let series = place(
            number,
            gap_ms,
            parse_series(line).map_err(fail)?,
            starts.take(),
        )?;
        load.series.push(series);
    }
    Ok(load)
}

/// Puts the values of a description at their times: the i-th at `i * gap`.
fn place(
    line: usize,
    gap_ms: i64,
    (labels, values): (Labels, Vec<SequenceValue>),
    starts: Option<(Labels, Vec<Option<i64>>)>,
) -> Result<LoadedSeries, ScriptError> {
    let starts = match starts {
        None => Vec::new(),
        Some((of, starts)) if of == labels && starts.len() == values.len() => starts,
        Some(_) => {
            let message = "start timestamps and values differ in labels or number";
            return Err(ScriptError::new(line, message));
        }
    };
    let samples = values
        .into_iter()
        .enumerate()
        .filter_map(|(i, item)| {
            let t = gap_ms * i as i64;
            let start = starts
                .get(i)
                .copied()
                .flatten()
                .map_or(0, |offset| t + offset);
            match item {
                SequenceValue::Omitted => None,
                SequenceValue::Float(v) => Some((t, start, StepValue::Float(v))),
                SequenceValue::Histogram { histogram, .. } => {
                    Some((t, start, StepValue::Histogram(histogram)))
                }
            }
        })
        .collect();
    Ok(LoadedSeries { labels, samples })
}
