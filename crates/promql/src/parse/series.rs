//! Series of the test language: `metric{label="value"} 1+2x5 _x3 stale {{sum:1 count:2}}x4`.
//!
//! A line is a series and the values of its samples, one per step. Source: Prometheus' documentation
//! of rule tests, and its parser for what that leaves open.
//!
//! | item | values |
//! |---|---|
//! | `_`, `_xN` | one sample, or N, left out |
//! | `V` | one |
//! | `VxN` | V, and N more of it |
//! | `V+DxN`, `V-DxN` | V, and N more, each D more or less than the one before |
//! | `stale` | a stale marker |
//!
//! V and D are numbers or histograms ([`histogram`]).

mod histogram;

use std::sync::Arc;

use model::FloatHistogram;
use model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use model::sample::STALE_NAN;
use model::time::DurationMs;

use super::expr::is_metric_name;
use super::lexer::Lexer;
use super::number::parse_number;
use super::quote;
use super::token::{Kind, Token};
use super::{Limits, ParseError, check_length};
use crate::ast::PosRange;

/// Most values that one line may stand for.
pub const MAX_VALUES: usize = 1 << 20;

/// A value of a series of the test language.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// No sample at this step.
    Omitted,
    /// A float; a stale marker is [`STALE_NAN`].
    Float(f64),
    /// A histogram.
    Histogram {
        /// The histogram; repeated values share it.
        histogram: Arc<FloatHistogram>,
        /// True when its counter reset hint was written and is to be compared.
        has_hint: bool,
    },
}

/// Parses a series and its values.
///
/// # Errors
/// When the text is none, or stands for more than [`MAX_VALUES`] values.
pub fn parse_series(input: &str) -> Result<(Labels, Vec<SequenceValue>), ParseError> {
    let (labels, rest) = metric(input)?;
    let mut cursor = Cursor { input, pos: rest };
    let values = cursor.items(Cursor::item)?;
    Ok((labels, values))
}

/// Parses a line that gives the start timestamps of the samples of the line after it:
/// `metric{label="value"}@st _ -1m -30s-1mx2`. Each is in milliseconds relative to its sample, `None`
/// for a sample without one. For a line of another kind the result is `None`.
///
/// # Errors
/// When it is such a line but something is wrong with it.
#[expect(
    clippy::type_complexity,
    reason = "nothing but a pair that may be absent"
)]
pub fn parse_start_timestamps(
    input: &str,
) -> Result<Option<(Labels, Vec<Option<i64>>)>, ParseError> {
    let Ok((labels, end)) = metric(input) else {
        return Ok(None);
    };
    let Some(rest) = input[end..].strip_prefix("@st") else {
        return Ok(None);
    };
    if !rest.starts_with([' ', '\t']) {
        return Ok(None);
    }
    let mut cursor = Cursor {
        input,
        pos: end + "@st".len(),
    };
    let offsets = cursor.items(Cursor::start_timestamp)?;
    Ok(Some((labels, offsets)))
}

/// The series at the start of `input`, and where it ends.
fn metric(input: &str) -> Result<(Labels, usize), ParseError> {
    check_length(input, Limits::HIGHEST)?;
    let mut lexer = Lexer::new(input, false);
    let first = lexer.next_token()?;
    let mut labels = LabelsBuilder::new();
    let mut end = first.end as usize;
    if first.kind == Kind::LeftBrace {
        end = label_set(&mut lexer, &mut labels)?;
    } else if is_metric_name(first.kind) {
        if input[end..].starts_with('{') {
            lexer.next_token()?;
            end = label_set(&mut lexer, &mut labels)?;
        }
        labels.set(METRIC_NAME, lexer.text(first));
    } else {
        return Err(unexpected(
            &lexer,
            first,
            "series",
            "a metric name or labels",
        ));
    }
    Ok((labels.labels(), end))
}

/// Labels up to the closing brace, and where that ends.
fn label_set(lexer: &mut Lexer<'_>, labels: &mut LabelsBuilder) -> Result<usize, ParseError> {
    loop {
        let name = lexer.next_token()?;
        match name.kind {
            Kind::RightBrace => return Ok(name.end as usize),
            Kind::Identifier | Kind::String => {}
            _ => return Err(unexpected(lexer, name, "label set", "identifier or \"}\"")),
        }
        let text = name_of(lexer, name)?;
        let mut next = lexer.next_token()?;
        if next.kind == Kind::Equal {
            let value = lexer.next_token()?;
            if value.kind != Kind::String {
                return Err(unexpected(lexer, value, "label set", "string"));
            }
            labels.set(&text, &name_of(lexer, value)?);
            next = lexer.next_token()?;
        } else if name.kind == Kind::String {
            labels.set(METRIC_NAME, &text);
        } else {
            return Err(unexpected(lexer, next, "label set", "\"=\""));
        }
        match next.kind {
            Kind::Comma => {}
            Kind::RightBrace => return Ok(next.end as usize),
            _ => return Err(unexpected(lexer, next, "label set", "\",\" or \"}\"")),
        }
    }
}

fn name_of(lexer: &Lexer<'_>, token: Token) -> Result<String, ParseError> {
    let text = lexer.text(token);
    if token.kind != Kind::String {
        return Ok(text.to_owned());
    }
    String::from_utf8(quote::unquote(text)).map_err(|_| {
        let pos = PosRange::new(token.start, token.end);
        ParseError::new(lexer.input(), pos, format!("{text} is not valid UTF-8"))
    })
}

#[cold]
fn unexpected(lexer: &Lexer<'_>, token: Token, inside: &str, expected: &str) -> ParseError {
    let what = token.describe(lexer.text(token));
    let pos = PosRange::new(token.start, token.end);
    let message = format!("unexpected {what} in {inside}, expected {expected}");
    ParseError::new(lexer.input(), pos, message)
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// A value and what is added to get the next one.
struct Sequence<V> {
    first: V,
    /// True to subtract.
    change: Option<(bool, V)>,
    /// How many more values there are after the first.
    more: usize,
}

/// Reads the items after the series.
struct Cursor<'a> {
    input: &'a str,
    pos: usize,
}

impl<'a> Cursor<'a> {
    /// All items up to the end, each behind spaces; `item` reads one and appends its values.
    fn items<V>(&mut self, item: impl Fn(&mut Self, &mut Vec<V>) -> Result<()>) -> Result<Vec<V>> {
        let mut values = Vec::new();
        loop {
            let spaces = self.skip_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            if self.rest().is_empty() {
                return Ok(values);
            }
            if spaces.is_empty() {
                return Err(self.unexpected("a space"));
            }
            item(self, &mut values)?;
            if values.len() > MAX_VALUES {
                return Err(self.error(self.pos, too_many()));
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.pos += if found { text.len() } else { 0 };
        found
    }

    fn skip_while(&mut self, accepted: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| accepted(*b)).count();
        self.pos += len;
        &rest[..len]
    }

    #[cold]
    fn error(&self, start: usize, message: impl Into<String>) -> ParseError {
        let pos = PosRange::new(start as u32, self.pos.max(start) as u32);
        ParseError::new(self.input, pos, message)
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> ParseError {
        let found = match self.rest().chars().next() {
            Some(c) => format!("character {}", quote::quoted_char(Some(c))),
            None => "end of input".to_owned(),
        };
        let message = format!("unexpected {found} in series values, expected {expected}");
        self.error(self.pos, message)
    }

    fn item(&mut self, values: &mut Vec<SequenceValue>) -> Result<()> {
        if self.accept("_") {
            let count = self.repeat()?.unwrap_or(1);
            values.extend(std::iter::repeat_n(SequenceValue::Omitted, count));
            return Ok(());
        }
        if self.rest().starts_with("{{") {
            return self.histograms(values);
        }
        if self.accept("stale") {
            values.push(SequenceValue::Float(STALE_NAN));
            return Ok(());
        }
        let sequence = self.sequence(Self::signed_number)?;
        let mut value = sequence.first;
        values.push(SequenceValue::Float(value));
        for _ in 0..sequence.more {
            // Step by step, so that the last bits are Prometheus'.
            match sequence.change {
                Some((true, change)) => value -= change,
                Some((false, change)) => value += change,
                None => {}
            }
            values.push(SequenceValue::Float(value));
        }
        Ok(())
    }

    fn histograms(&mut self, values: &mut Vec<SequenceValue>) -> Result<()> {
        let start = self.pos;
        let sequence = self.sequence(Self::histogram)?;
        // Prometheus remembers only whether the last literal has a hint.
        let has_hint = match &sequence.change {
            Some((_, change)) => change.has_hint,
            None => sequence.first.has_hint,
        };
        let mut histogram = Arc::new(sequence.first.histogram);
        let value = |histogram: &Arc<FloatHistogram>| SequenceValue::Histogram {
            histogram: Arc::clone(histogram),
            has_hint,
        };
        values.push(value(&histogram));
        for _ in 0..sequence.more {
            if let Some((is_minus, change)) = &sequence.change {
                let change = &change.histogram;
                if histogram.schema > change.schema {
                    let (from, to) = (change.schema, histogram.schema);
                    let message = format!(
                        "error combining histograms: cannot merge from schema {from} to {to}"
                    );
                    return Err(self.error(start, message));
                }
                let next = Arc::make_mut(&mut histogram);
                let combined = if *is_minus {
                    next.sub(change)
                } else {
                    next.add(change)
                };
                // That bounds had to be reconciled is of no interest here.
                let _ = combined.map_err(|error| self.error(start, error.to_string()))?;
            }
            values.push(value(&histogram));
        }
        Ok(())
    }

    /// `V`, `VxN`, `V+DxN` or `V-DxN`.
    fn sequence<V>(&mut self, read: impl Fn(&mut Self) -> Result<V>) -> Result<Sequence<V>> {
        let first = read(self)?;
        let is_minus = self.accept("-");
        let change = if is_minus || self.accept("+") {
            Some((is_minus, read(self)?))
        } else {
            None
        };
        match self.repeat()? {
            None if change.is_some() => Err(self.unexpected("\"x\" and how often")),
            more => Ok(Sequence {
                first,
                change,
                more: more.unwrap_or(0),
            }),
        }
    }

    /// The N of `xN`, if there is one.
    fn repeat(&mut self) -> Result<Option<usize>> {
        if !self.accept("x") {
            return Ok(None);
        }
        let start = self.pos;
        let digits = self.skip_while(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(count) if count <= MAX_VALUES => Ok(Some(count)),
            _ if digits.is_empty() => Err(self.unexpected("how often to repeat the value")),
            _ => Err(self.error(start, too_many())),
        }
    }

    /// A number with at most one sign.
    fn signed_number(&mut self) -> Result<f64> {
        let is_minus = self.accept("-");
        if !is_minus {
            self.accept("+");
        }
        let value = self.number()?;
        Ok(if is_minus { -value } else { value })
    }

    fn number(&mut self) -> Result<f64> {
        let start = self.pos;
        if self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = self.skip_while(|b| b.is_ascii_alphabetic());
            if !word.eq_ignore_ascii_case("inf") && !word.eq_ignore_ascii_case("nan") {
                self.pos = start;
                return Err(self.unexpected("number or \"stale\""));
            }
        } else {
            self.skip_while(|b| b.is_ascii_digit() || b == b'.' || b == b'_');
            if self.accept("e") || self.accept("E") {
                let _ = self.accept("-") || self.accept("+");
                self.skip_while(|b| b.is_ascii_digit());
            }
        }
        if self.pos == start {
            return Err(self.unexpected("number or \"stale\""));
        }
        parse_number(&self.input[start..self.pos]).map_err(|message| self.error(start, message))
    }

    /// `_`, `_xN`, `D`, `DxN` or `D+DxN`, D being a duration with or without a sign.
    fn start_timestamp(&mut self, offsets: &mut Vec<Option<i64>>) -> Result<()> {
        if self.accept("_") {
            let count = self.repeat()?.unwrap_or(1);
            offsets.extend(std::iter::repeat_n(None, count));
            return Ok(());
        }
        let sequence = self.sequence(Self::signed_duration)?;
        let mut offset = sequence.first;
        offsets.push(Some(offset));
        for _ in 0..sequence.more {
            offset = match sequence.change {
                Some((true, change)) => offset.saturating_sub(change),
                Some((false, change)) => offset.saturating_add(change),
                None => offset,
            };
            offsets.push(Some(offset));
        }
        Ok(())
    }

    /// Milliseconds of one number and unit.
    fn signed_duration(&mut self) -> Result<i64> {
        let is_minus = self.accept("-");
        if !is_minus {
            self.accept("+");
        }
        let start = self.pos;
        self.skip_while(|b| b.is_ascii_digit());
        self.skip_while(|b| b.is_ascii_alphabetic() && b != b'x');
        let text = &self.input[start..self.pos];
        match text.parse::<DurationMs>() {
            Ok(DurationMs(millis)) => Ok(if is_minus { -millis } else { millis }),
            Err(error) => Err(self.error(start, error.to_string())),
        }
    }
}

fn too_many() -> String {
    format!("the series has too many values: more than {MAX_VALUES}, the limit")
}

#[cfg(test)]
mod tests;
