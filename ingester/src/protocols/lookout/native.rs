//! The report protocol of Lookout's own clients, and of gateways that pass it on: records with TABs
//! between them.

use std::borrow::Cow;

use model::time::parse_timestamp;

use super::Information;
use super::intake::{Intake, Tags};
use super::record::{Record, Value};
use crate::exposition::Pair;
use crate::exposition::number::parse_value;
use crate::protocols::points::Reason;

/// Characters of a time with an offset to the minute: what else looks like it is a number.
const ISO_LEN: usize = 25;
/// Bytes that the names of one record may have together.
const NAMES_BYTES_MAX: usize = 16 << 20;

/// The body is nothing of this protocol; nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no record of Lookout's report protocol")]
pub struct NotRecords;

/// Takes the metrics of a body, decompressed. What is not UTF-8 is replaced, as the gateway does.
///
/// # Errors
/// [`NotRecords`] when there is something and none of it is a record.
pub fn decode(
    body: &[u8],
    information: Information,
    intake: &mut Intake<'_>,
) -> Result<(), NotRecords> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    };
    let mut decoder = Decoder {
        information,
        record: Record::default(),
        times: Times { last: ("", None) },
        names: MetricNames::default(),
    };
    let (mut read, mut malformed) = (0_usize, 0_usize);
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\t', text.as_bytes());
    for end in ends.chain([text.len()]) {
        let record = text[std::mem::replace(&mut from, end + 1)..end].trim_ascii();
        if record.is_empty() {
            continue;
        }
        if decoder.record.read(record).is_ok() {
            decoder.take(intake);
            read += 1;
        } else {
            intake.refuse(Reason::Malformed, cut(record));
            malformed += 1;
        }
    }
    if read == 0 && malformed > 0 {
        return Err(NotRecords);
    }
    Ok(())
}

/// The beginning of a record, to be shown.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(256)]
}

struct Decoder<'a> {
    information: Information,
    record: Record<'a>,
    times: Times<'a>,
    names: MetricNames,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, intake: &mut Intake<'_>) {
        let Self { record, names, .. } = self;
        let t_ms = self.times.of(record.time.as_ref());
        names.build(record, intake);
        if record.is_information {
            self.take_information(intake, t_ms);
            return;
        }
        let mut tags = Tags::default();
        intake.tagged(tag_pairs(record), &mut tags);
        // Without a time all are refused below.
        let mut series = intake.at(&tags, t_ms.unwrap_or_default());
        if record.values.len() > 1 {
            series.prepare();
        }
        for (named, name) in record.values.iter().zip(names.iter()) {
            let value = t_ms.and_then(|_| number(&named.value));
            match name {
                Ok(name) => series.take(name, value),
                Err(reason) => series.refuse(reason, ""),
            }
        }
    }

    /// Takes text as a label of a series that is always 1.
    fn take_information(&self, intake: &mut Intake<'_>, t_ms: Result<i64, Reason>) {
        for (named, name) in self.record.values.iter().zip(self.names.iter()) {
            let info = [(Cow::Borrowed("info"), Cow::Borrowed(named.value.as_text()))];
            let mut tags = Tags::default();
            intake.tagged(tag_pairs(&self.record).chain(info), &mut tags);
            let value = match self.information {
                Information::Keep => t_ms.map(|_| 1.0),
                Information::Drop => Err(Reason::Information),
            };
            let mut series = intake.at(&tags, t_ms.unwrap_or_default());
            match name {
                Ok(name) => series.take(name, value),
                Err(reason) => series.refuse(reason, ""),
            }
        }
    }
}

fn tag_pairs<'r>(record: &'r Record<'_>) -> impl Iterator<Item = Pair<'r>> {
    let tags = record.tags.iter();
    tags.map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value)))
}

/// Reads times; most records of a body have the same.
struct Times<'a> {
    last: (&'a str, Option<i64>),
}

impl<'a> Times<'a> {
    /// Milliseconds since the Unix epoch.
    fn of(&mut self, time: Option<&Value<'a>>) -> Result<i64, Reason> {
        let parsed = match time {
            Some(Value::Text(Cow::Borrowed(text)) | Value::Bare(text)) => {
                if *text != self.last.0 {
                    self.last = (text, parse_time(text));
                }
                self.last.1
            }
            Some(Value::Text(Cow::Owned(text))) => parse_time(text),
            Some(Value::Nested(_)) | None => None,
        };
        parsed.ok_or(Reason::InvalidTimestamp)
    }
}

/// A time of 25 characters has date and offset; another one is a number of milliseconds, or else
/// has date and offset all the same.
fn parse_time(text: &str) -> Option<i64> {
    if text.len() != ISO_LEN
        && let Ok(ms) = text.parse()
    {
        return Some(ms);
    }
    // Else it might be a number of seconds, which no sender of this protocol means.
    let is_date = text.as_bytes().get(10) == Some(&b'T');
    is_date.then(|| parse_timestamp(text).ok())?
}

#[inline]
fn number(value: &Value<'_>) -> Result<f64, Reason> {
    match value {
        Value::Bare("null") => Err(Reason::NoValue),
        Value::Text(text) if text.is_empty() => Err(Reason::NoValue),
        Value::Bare(word) => parse_value(word.as_bytes()).ok_or(Reason::InvalidValue),
        Value::Text(text) => parse_value(text.as_bytes()).ok_or(Reason::InvalidValue),
        Value::Nested(_) => Err(Reason::InvalidValue),
    }
}

/// Names of a record's metrics as they are stored, one after the other.
#[derive(Debug, Default)]
struct MetricNames {
    text: String,
    /// Where each ends, or why there is none.
    ends: Vec<Result<usize, Reason>>,
}

impl MetricNames {
    /// Makes the names of a record's values.
    fn build(&mut self, record: &Record<'_>, intake: &Intake<'_>) {
        self.text.clear();
        self.ends.clear();
        for named in &record.values {
            let key = &*record.keys[named.key];
            let bytes = key.len() + named.member.as_ref().map_or(0, |member| member.len() + 1);
            let end = if !intake.may_be_name(bytes) {
                Err(Reason::NameTooLong)
            } else if self.text.len() + bytes > NAMES_BYTES_MAX {
                Err(Reason::Expanded)
            } else {
                self.push(key, named.member.as_deref(), intake);
                Ok(self.text.len())
            };
            self.ends.push(end);
        }
    }

    fn push(&mut self, key: &str, member: Option<&str>, intake: &Intake<'_>) {
        let Some(member) = member else {
            // A key that has the value itself is not sanitised by the gateway either.
            return self.text.push_str(&intake.kept_name(key));
        };
        let from = self.text.len();
        self.text.push_str(key);
        self.text.push('.');
        self.text.push_str(member);
        if let Cow::Owned(name) = intake.name(&self.text[from..]) {
            self.text.truncate(from);
            self.text.push_str(&name);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Result<&str, Reason>> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let end = (*end)?;
            let name = &self.text[from..end];
            from = end;
            Ok(name)
        })
    }
}
