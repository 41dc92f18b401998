//! Lines of the telnet protocol: `put METRIC TIME VALUE KEY=VALUE...`, fields apart by any number of
//! spaces.

use std::fmt;

use model::labels::METRIC_NAME;

use super::{Options, STRICT_TAGS_MAX, check_strict, timestamp_ms};
use crate::exposition::number::parse_value;
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
