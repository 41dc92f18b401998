//! An event as points: each number in it is a sample, all of them at the time of the event.
//!
//! | in the event | becomes |
//! |---|---|
//! | `@timestamp` | the time |
//! | a number, or true and false as 1 and 0 | a sample of the series that its path names |
//! | a text | a label of all samples, named by its path |
//! | a number that is a name (`pid`, `id`, `port`...) | a label too |
//! | `metricset`, `beat`, `agent`, `host`, `event`, `service` | labels for what says where it is from |
//! | `fields`, `labels` | labels |
//! | anything else about the event itself, arrays | nothing |
//!
//! A text that changes while the thing it is about stays the same would end one series and begin
//! another each time; those that are known to (`cmdline`, `state`...) are left out.

use std::borrow::Cow;
use std::ops::Range;

use model::labels::METRIC_NAME;
use model::time::parse_timestamp;

use super::{Mapping, Options, lookout};
use crate::exposition::number::parse_value;
use crate::protocols::json::{Leaf, Malformed, leaves};
use crate::protocols::names::{Names, tag_key};
use crate::protocols::points::{Common, Points, Reason};

/// Numbers of one event: half the refusals that are told apart.
pub(super) const NUMBERS_MAX: usize = 5000;
/// Texts of one event.
const TEXTS_MAX: usize = 5000;
/// Bytes of labels of the samples of one event. All its samples repeat its texts, so that a small
/// event could otherwise become a large batch.
const LABEL_BYTES_MAX: usize = 16 << 20;
/// Labels of a sample, beside its name.
const LABELS_MAX: usize = 30;
/// Bytes of the value of a label; longer ones are cut.
const VALUE_BYTES_MAX: usize = 1024;

/// What is known of a request beside its body.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// How events are taken.
    pub options: &'c Options,
    /// What becomes of metric names here, whatever the options say.
    pub names: Names,
    /// The time of events without one.
    pub now_ms: i64,
    /// Labels of all samples, where the event does not say another value.
    pub extra: &'c [(&'c str, &'c str)],
}

/// Why an event was refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It is not text.
    #[error("not UTF-8")]
    NotText,
    /// It is not an object of JSON.
    #[error("not an object: {0}")]
    NotObject(Syntax),
    /// Its time is none.
    #[error("failed to parse field [@timestamp] of type [date]")]
    Time,
    /// It has a number that is too large for a float.
    #[error("number out of the range of double")]
    Number,
    /// It has too many fields.
    #[error("limit of total fields [{NUMBERS_MAX}] has been exceeded")]
    Fields,
    /// Its samples with their labels are too large.
    #[error("samples with their labels exceed {LABEL_BYTES_MAX} bytes")]
    Size,
}

/// Where and why an event is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax(Malformed);

impl std::fmt::Display for Syntax {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl EventError {
    /// The reason for the figures.
    pub fn reason(self) -> Reason {
        match self {
            Self::NotText | Self::NotObject(_) | Self::Fields | Self::Size => Reason::Malformed,
            Self::Time => Reason::InvalidTimestamp,
            Self::Number => Reason::InvalidValue,
        }
    }
}

/// Decodes events; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Decoder<'a> {
    leaves: Leaves<'a>,
    /// The path being read.
    path: String,
}

/// What was read of one event.
#[derive(Debug, Default)]
pub(super) struct Leaves<'a> {
    /// Paths, one after the other.
    paths: String,
    /// Numbers by paths.
    numbers: Vec<(Range<usize>, f64)>,
    /// Texts by paths, each with its place in the order of labels.
    texts: Vec<(Rank, Range<usize>, Cow<'a, str>)>,
    /// The time.
    time: Option<i64>,
    /// Why the event cannot be taken.
    error: Option<EventError>,
}

/// Where a label stands when there are more than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Where the event is from.
    Origin,
    /// What it is about.
    Subject,
    /// What users say about their machines.
    Fields,
    /// What is known about the container around it.
    Container,
}

/// What a leaf is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing.
    None,
    /// The time of the event.
    Time,
    /// A sample when it is a number, or true or false; a label when it is text.
    Data(Rank),
    /// A sample when it is a number, or true or false.
    Sample,
    /// A sample when it is a number and nothing else.
    Number,
    /// A label, whatever it is.
    Label(Rank),
}

impl<'a> Decoder<'a> {
    /// Adds the points of an event, and returns the bytes of their labels.
    ///
    /// # Errors
    /// Why the event is refused; it is counted as one refused point then.
    pub fn event(
        &mut self,
        event: &'a [u8],
        context: &Context<'_>,
        points: &mut Points,
    ) -> Result<usize, EventError> {
        let added = self.add(event, context, points);
        if let Err(error) = added {
            points.refuse(error.reason(), || {
                let end = event.len().min(256);
                String::from_utf8_lossy(&event[..end]).into_owned()
            });
        }
        added
    }

    fn add(
        &mut self,
        event: &'a [u8],
        context: &Context<'_>,
        points: &mut Points,
    ) -> Result<usize, EventError> {
        let event = std::str::from_utf8(event).map_err(|_| EventError::NotText)?;
        let found = &mut self.leaves;
        found.clear();
        let use_of = match context.options.mapping {
            Mapping::Paths => use_of,
            Mapping::Lookout => lookout::use_of,
        };
        leaves(event, &mut self.path, |path, leaf| {
            found.take(use_of(path), path, leaf);
        })
        .map_err(|error| EventError::NotObject(Syntax(error)))?;
        if let Some(error) = found.error {
            return Err(error);
        }
        match context.options.mapping {
            Mapping::Paths => found.add_to(context, points),
            Mapping::Lookout => lookout::add(found, context, points),
        }
    }
}

impl<'a> Leaves<'a> {
    fn clear(&mut self) {
        self.paths.clear();
        self.numbers.clear();
        self.texts.clear();
        (self.time, self.error) = (None, None);
    }

    fn take(&mut self, used: Use, path: &str, leaf: Leaf<'a>) {
        match (used, leaf) {
            (Use::None, _)
            | (Use::Sample, Leaf::Text(_))
            | (Use::Number, Leaf::Text(_) | Leaf::Bool(_)) => {}
            (Use::Time, leaf) => match event_time(&leaf) {
                Some(t_ms) => self.time = Some(t_ms),
                None => self.error = Some(EventError::Time),
            },
            (Use::Data(rank) | Use::Label(rank), Leaf::Text(text)) => self.text(rank, path, text),
            (Use::Label(rank), Leaf::Number(number)) => {
                self.text(rank, path, Cow::Borrowed(number));
            }
            (Use::Label(rank), Leaf::Bool(b)) => {
                self.text(rank, path, Cow::Borrowed(if b { "true" } else { "false" }));
            }
            (Use::Data(_) | Use::Sample, Leaf::Bool(b)) => {
                self.number(path, f64::from(u8::from(b)))
            }
            (Use::Data(_) | Use::Sample | Use::Number, Leaf::Number(number)) => {
                match parse_value(number.as_bytes()) {
                    Some(value) => self.number(path, value),
                    None => self.error = Some(EventError::Number),
                }
            }
        }
    }

    fn path(&mut self, path: &str) -> Range<usize> {
        let start = self.paths.len();
        self.paths.push_str(path);
        start..self.paths.len()
    }

    fn number(&mut self, path: &str, value: f64) {
        if self.numbers.len() >= NUMBERS_MAX {
            self.error = Some(EventError::Fields);
            return;
        }
        let path = self.path(path);
        self.numbers.push((path, value));
    }

    fn text(&mut self, rank: Rank, path: &str, text: Cow<'a, str>) {
        if self.texts.len() >= TEXTS_MAX {
            self.error = Some(EventError::Fields);
            return;
        }
        let path = self.path(path);
        self.texts.push((rank, path, text));
    }

    /// The time.
    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    /// The numbers with their paths.
    pub(super) fn numbers(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        let numbers = self.numbers.iter();
        numbers.map(|(path, value)| (&self.paths[path.clone()], *value))
    }

    /// The texts with their ranks and paths.
    pub(super) fn texts(&self) -> impl Iterator<Item = (Rank, &str, &str)> {
        let texts = self.texts.iter();
        texts.map(|(rank, path, text)| (*rank, &self.paths[path.clone()], &**text))
    }

    /// Adds the points by [`Mapping::Paths`].
    fn add_to(&mut self, context: &Context<'_>, points: &mut Points) -> Result<usize, EventError> {
        // What was met first stays first within its rank.
        self.texts.sort_by_key(|(rank, ..)| *rank);
        let mut labels: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(LABELS_MAX + 1);
        for (_, path, text) in self.texts().filter(|(.., text)| !text.is_empty()) {
            if labels.len() == LABELS_MAX {
                break;
            }
            let key = tag_key(path);
            if labels.iter().all(|(known, _)| *known != key) {
                labels.push((key, &text[..text.floor_char_boundary(VALUE_BYTES_MAX)]));
            }
        }
        for (key, value) in context.extra {
            if labels.iter().all(|(known, _)| known != key) {
                labels.push((Cow::Borrowed(*key), *value));
            }
        }
        let t_ms = self.time.unwrap_or(context.now_ms);
        let mut labels: Vec<(&str, &str)> = (labels.iter()).map(|(k, v)| (&**k, *v)).collect();
        labels.sort_unstable();
        let names = context.names;
        let samples = (self.numbers()).map(|(path, value)| (names.metric(path), value));
        add_samples(samples, &labels, t_ms, context, points)
    }
}

/// Adds samples of one time that have their labels in common, and returns the bytes of all labels.
pub(super) fn add_samples<'s>(
    samples: impl ExactSizeIterator<Item = (Cow<'s, str>, f64)>,
    labels: &[(&str, &str)],
    t_ms: i64,
    context: &Context<'_>,
    points: &mut Points,
) -> Result<usize, EventError> {
    let bytes_of_each: usize = labels.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
    // Names are part of the event, which is bounded; it is what they repeat that is not.
    let bytes = bytes_of_each * samples.len();
    if bytes > LABEL_BYTES_MAX {
        return Err(EventError::Size);
    }
    // The name sorts before all names that begin with a small letter.
    let at = labels.partition_point(|(key, _)| *key < METRIC_NAME);
    let limits = &context.options.labels;
    let nameless = [&labels[..at], &[(METRIC_NAME, "")], &labels[at..]].concat();
    let common = Common::of(&nameless, at, limits);
    for (name, value) in samples {
        let added = match &common {
            Some(common) => points.add_common(common, &name, t_ms, value),
            None => {
                let mut labels: Vec<(&str, &str)> = nameless.clone();
                labels[at].1 = &name;
                points.add(&mut labels, t_ms, value, limits)
            }
        };
        if let Err(reason) = added {
            points.refuse(reason, || format!("{name} {value}"));
        }
    }
    Ok(bytes)
}

/// Milliseconds of a date: in words, or a number that is them.
fn event_time(leaf: &Leaf<'_>) -> Option<i64> {
    match leaf {
        Leaf::Number(ms) => ms.parse().ok(),
        Leaf::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        // What has no `T` could be seconds, which is no date here.
        Leaf::Text(text) if text.contains('T') => parse_timestamp(text).ok(),
        Leaf::Text(_) | Leaf::Bool(_) => None,
    }
}

/// What a leaf is for by [`Mapping::Paths`].
fn use_of(path: &str) -> Use {
    let (top, rest) = path.split_once('.').unwrap_or((path, ""));
    match top {
        "@timestamp" if rest.is_empty() => Use::Time,
        "@metadata" | "@version" | "type" | "tags" | "message" | "error" | "ecs" | "meta"
        | "cloud" | "timestamp" => Use::None,
        "metricset" => match rest {
            "name" | "module" | "host" | "namespace" => Use::Label(Rank::Origin),
            _ => Use::None,
        },
        "beat" | "agent" => match rest {
            "name" | "hostname" => Use::Label(Rank::Origin),
            _ => Use::None,
        },
        "event" => match rest {
            "module" => Use::Label(Rank::Origin),
            _ => Use::None,
        },
        "service" => match rest {
            "address" | "name" => Use::Label(Rank::Origin),
            _ => Use::None,
        },
        "host" => match rest {
            "" | "name" => Use::Label(Rank::Origin),
            _ if is_name(last(rest)) => Use::None,
            _ => Use::Sample,
        },
        "fields" | "labels" => Use::Label(Rank::Fields),
        "kubernetes" | "docker" | "container" => {
            if rest.starts_with("annotations.") {
                return Use::None;
            }
            of_data(path, Rank::Container)
        }
        _ => of_data(path, Rank::Subject),
    }
}

fn of_data(path: &str, rank: Rank) -> Use {
    match last(path) {
        last if is_name(last) => Use::Label(rank),
        "cmdline" | "command_line" | "args" | "message" | "stack_trace" | "query" | "state"
        | "status" | "start_time" | "created" | "started_at" | "finished_at" => Use::Sample,
        _ => Use::Data(rank),
    }
}

fn last(path: &str) -> &str {
    let dot = memchr::memrchr(b'.', path.as_bytes());
    dot.map_or(path, |at| &path[at + 1..])
}

/// True for the last key of a number that names something and measures nothing.
fn is_name(last: &str) -> bool {
    matches!(
        last,
        "id" | "pid" | "oid" | "uid" | "gid" | "port" | "partition"
    )
}
