//! Lines of the telnet protocol: `put METRIC TIME VALUE KEY=VALUE...`, fields apart by any number of
//! spaces.

use std::fmt;

use model::labels::METRIC_NAME;

use super::{Options, STRICT_TAGS_MAX, check_strict, timestamp_ms};
use crate::exposition::number::parse_value;
use crate::protocols::named::{Met, Named, NamedPoint, Numbers, marked};
use crate::protocols::names::tag_key;
use crate::protocols::points::{Points, Reason};

/// Bytes of a line that an error shows.
const SHOWN_BYTES: usize = 128;

/// What a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// Nothing: the line is blank.
    Nothing,
    /// To store a point; what follows the word.
    Put(&'a str),
    /// The version.
    Version,
    /// Figures of the server.
    Stats,
    /// The commands.
    Help,
    /// To close the connection.
    Exit,
    /// To drop caches.
    DropCaches,
    /// Something that is not known.
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// The command of a line without its end.
    #[inline]
    pub fn of_line(line: &'a str) -> Self {
        let line = line.trim_matches([' ', '\r']);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "put" => Self::Put(rest),
            "" => Self::Nothing,
            "version" => Self::Version,
            "stats" => Self::Stats,
            "help" => Self::Help,
            "exit" => Self::Exit,
            "dropcaches" => Self::DropCaches,
            other => Self::Unknown(cut(other)),
        }
    }
}

/// Why the point of a line was refused, in OpenTSDB's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Why.
    pub reason: Reason,
    message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl LineError {
    fn argument(reason: Reason, what: impl fmt::Display) -> Self {
        Self {
            reason,
            message: format!("put: illegal argument: {what}"),
        }
    }
}

/// Adds the point of a `put`, given what follows that word.
///
/// # Errors
/// [`LineError`], the line to answer; the point is counted as refused then.
pub fn decode(arguments: &str, options: &Options, points: &mut Points) -> Result<(), LineError> {
    let added = add(arguments, options, points);
    if let Err(error) = &added {
        points.refuse(error.reason, || cut(arguments).to_owned());
    }
    added
}

/// Adds the points of lines, those that were named before by their bytes.
#[derive(Debug)]
pub(super) struct NamedLines<'n> {
    met: Met<'n>,
    /// Memory for a line with its marks.
    key: Vec<u8>,
}

impl<'n> NamedLines<'n> {
    /// At the start of some lines.
    pub(super) fn new(named: &'n Named) -> Self {
        Self {
            met: Met::new(named),
            key: Vec::new(),
        }
    }

    /// Adds the point of a line if it is the one that followed last time.
    #[inline]
    pub(super) fn expected(&mut self, line: &str, points: &mut Points) -> bool {
        let point = self.met.expected(line.as_bytes());
        point.is_some_and(|point| add_named(&point, line, points))
    }

    /// Adds the point of a `put`, given the line and what follows that word.
    ///
    /// # Errors
    /// As [`decode`].
    pub(super) fn put(
        &mut self,
        line: &str,
        arguments: &str,
        options: &Options,
        points: &mut Points,
    ) -> Result<(), LineError> {
        let is_plain = marked(line.as_bytes(), numbers(line), &mut self.key);
        if is_plain
            && let Some(point) = self.met.find(line.as_bytes(), &self.key)
            && add_named(&point, line, points)
        {
            return Ok(());
        }
        decode(arguments, options, points)?;
        if is_plain {
            points.name(&self.key);
        }
        Ok(())
    }
}

/// Adds a point that is all of a line; false when it is not, or its time is none.
#[inline]
fn add_named(point: &NamedPoint<'_>, line: &str, points: &mut Points) -> bool {
    let Some(Ok(t_ms)) = point.time.map(timestamp_ms) else {
        return false;
    };
    let is_all = point.len == line.len();
    if is_all {
        points.add_named(point.series, t_ms, point.value);
    }
    is_all
}

/// Where a line has its time and its value: they are its third and fourth words.
fn numbers(line: &str) -> Numbers {
    let mut words = [(0, 0); 4];
    let mut at = 0;
    for word in &mut words {
        let rest = &line.as_bytes()[at..];
        let from = at + rest.iter().take_while(|b| **b == b' ').count();
        let len = memchr::memchr2(b' ', b'\r', &line.as_bytes()[from..]);
        at = len.map_or(line.len(), |len| from + len);
        *word = (from, at);
    }
    Numbers {
        time: Some(words[2]),
        value: Some(words[3]),
    }
}

fn add(arguments: &str, options: &Options, points: &mut Points) -> Result<(), LineError> {
    let arguments = arguments.trim_end_matches(['\r', ' ']);
    let mut fields = arguments.split(' ').filter(|field| !field.is_empty());
    let (Some(metric), Some(time), Some(value)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(too_few(arguments));
    };
    let tags = fields;
    let t_ms = parse_time(time).map_err(|reason| {
        LineError::argument(reason, format_args!("invalid timestamp: {}", cut(time)))
    })?;
    let value = parse_value(value.as_bytes()).filter(|v| v.is_finite());
    let value = value.ok_or_else(|| invalid_value(arguments))?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(STRICT_TAGS_MAX);
    for tag in tags {
        let pair = tag.split_once('=');
        let pair = pair.filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let Some((key, value)) = pair else {
            let what = format_args!("invalid tag: {}", cut(tag));
            return Err(LineError::argument(Reason::InvalidLabel, what));
        };
        match pairs.iter().find(|(known, _)| *known == key) {
            Some((_, known)) if *known == value => {}
            Some(_) => {
                let what = format_args!("duplicate tag: {}", cut(tag));
                return Err(LineError::argument(Reason::DuplicateLabel, what));
            }
            None => pairs.push((key, value)),
        }
    }
    if options.strict {
        if pairs.is_empty() {
            return Err(too_few(arguments));
        }
        check_strict(metric, pairs.iter().copied())
            .map_err(|reason| LineError::argument(reason, reason))?;
    }
    let name = options.names.metric(metric);
    let keys: Vec<_> = pairs.iter().map(|(key, _)| tag_key(key)).collect();
    let mut labels: Vec<(&str, &str)> = Vec::with_capacity(pairs.len() + 1);
    labels.push((METRIC_NAME, &name));
    labels.extend(
        keys.iter()
            .zip(&pairs)
            .map(|(key, (_, value))| (&**key, *value)),
    );
    points
        .add(&mut labels, t_ms, value, &options.labels)
        .map_err(|reason| LineError::argument(reason, reason))
}

#[cold]
fn too_few(arguments: &str) -> LineError {
    let got = arguments
        .split(' ')
        .filter(|field| !field.is_empty())
        .count();
    let what = format_args!("not enough arguments (need least 4, got {got})");
    LineError::argument(Reason::Malformed, what)
}

#[cold]
fn invalid_value(arguments: &str) -> LineError {
    let mut fields = arguments.split(' ').filter(|field| !field.is_empty());
    let value = fields.nth(2).unwrap_or_default();
    LineError {
        reason: Reason::InvalidValue,
        message: format!("put: invalid value: {}", cut(value)),
    }
}

/// A time in whole seconds or milliseconds, or in seconds with up to three decimals.
fn parse_time(text: &str) -> Result<i64, Reason> {
    let digits = |text: &str| -> Result<i64, Reason> {
        // A sign is none of the digits that `parse` alone would take.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Reason::InvalidTimestamp);
        }
        text.parse().map_err(|_| Reason::InvalidTimestamp)
    };
    let Some((seconds, decimals)) = text.split_once('.') else {
        return timestamp_ms(digits(text)?);
    };
    let scale = match decimals.len() {
        1 => 100,
        2 => 10,
        3 => 1,
        _ => return Err(Reason::InvalidTimestamp),
    };
    let seconds = digits(seconds)?;
    if seconds > i64::from(u32::MAX) {
        return Err(Reason::InvalidTimestamp);
    }
    Ok(seconds * 1000 + digits(decimals)? * scale)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}
