//! The JSON of `/api/put`: one point as an object, or an array of them.

use std::borrow::Cow;

use model::Labels;
use model::labels::METRIC_NAME;
use serde_json::json;
use tsdb::batch::BatchSeries;

use super::{Options, check_strict, timestamp_ms};
use crate::exposition::Pair;
use crate::protocols::json::{Malformed, Reader, Scalar};
use crate::protocols::named::{Met, Named, NamedPoint, Numbers, marked};
use crate::protocols::names::tag_key;
use crate::protocols::points::{Points, Reason};

/// A body that is not what it should be as a whole, and where; nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.to_string())
    }
}

/// A decoded body.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// Its points.
    pub points: Points,
    /// The refused points as JSON, in the order of [`Points::refusals`] as far as they are kept.
    pub refused: Vec<String>,
}

/// Decodes a body; `now_ms` is the time of points without one.
///
/// # Errors
/// [`DecodeError`] when it is not JSON, or not an object or an array of objects.
pub fn decode(
    body: &[u8],
    now_ms: i64,
    options: &Options,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    read(body, now_ms, options, None, out)
}

/// As [`decode`], where points that were `named` before are told by their bytes; the others are to
/// be remembered.
///
/// # Errors
/// As [`decode`].
pub fn decode_named(
    body: &[u8],
    now_ms: i64,
    options: &Options,
    named: &Named,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    read(body, now_ms, options, Some(Met::new(named)), out)
}

fn read(
    body: &[u8],
    now_ms: i64,
    options: &Options,
    met: Option<Met<'_>>,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    out.points.clear();
    out.refused.clear();
    let body = std::str::from_utf8(body).map_err(|error| DecodeError(error.to_string()))?;
    let mut decoder = Decoder {
        reader: Reader::new(body),
        out,
        now_ms,
        options,
        met,
        point: RawPoint::default(),
        key: Vec::new(),
    };
    decoder.body()?;
    Ok(decoder.reader.end()?)
}

/// A point as it was sent.
#[derive(Debug, Default)]
struct RawPoint<'a> {
    metric: Scalar<'a>,
    timestamp: Scalar<'a>,
    value: Scalar<'a>,
    tags: Vec<(Cow<'a, str>, Scalar<'a>)>,
    /// Where its time and its value are within its text.
    numbers: Numbers,
}

/// Reads a body, point by point.
struct Decoder<'a, 'n, 'o> {
    reader: Reader<'a>,
    out: &'o mut Decoded,
    now_ms: i64,
    options: &'o Options,
    /// Absent where nothing is to be told by its bytes.
    met: Option<Met<'n>>,
    point: RawPoint<'a>,
    /// Memory for the text of a point with its marks.
    key: Vec<u8>,
}

impl<'n> Decoder<'_, 'n, '_> {
    fn body(&mut self) -> Result<(), Malformed> {
        self.reader.blanks();
        if self.reader.peek() != Some(b'[') {
            return self.element();
        }
        self.reader.at += 1;
        self.reader.blanks();
        let mut is_over = self.reader.is(b']');
        while !is_over {
            self.element()?;
            is_over = !self.reader.comma();
        }
        (self.reader).take(b']', "a comma or the end of the array was expected")
    }

    /// Reads a point and adds it.
    #[inline]
    fn element(&mut self) -> Result<(), Malformed> {
        let rest = self.reader.rest();
        if let Some(point) = self.met.as_mut().and_then(|met| met.expected(rest))
            && self.add_named(&point)
        {
            self.reader.at += point.len;
            return Ok(());
        }
        self.unexpected()
    }

    /// Adds a point that was told by its bytes; false when its time is none.
    #[inline]
    fn add_named(&mut self, point: &NamedPoint<'n>) -> bool {
        let Ok(t_ms) = point.time.map_or(Ok(self.now_ms), timestamp_ms) else {
            return false;
        };
        (self.out.points).add_named(point.series, t_ms, point.value);
        true
    }

    #[inline(never)]
    fn unexpected(&mut self) -> Result<(), Malformed> {
        let from = self.reader.at;
        self.read_point()?;
        let text = self.reader.text(from, self.reader.at);
        let mut is_new = false;
        if let Some(met) = &mut self.met
            && marked(text.as_bytes(), self.point.numbers, &mut self.key)
        {
            is_new = true;
            if let Some(point) = met.find(text.as_bytes(), &self.key)
                && self.add_named(&point)
            {
                return Ok(());
            }
        }
        match self.take_point() {
            Ok(()) if is_new => self.out.points.name(&self.key),
            Ok(()) => {}
            Err(reason) => {
                let shown = shown(&self.point);
                let kept = self.out.points.refuse(reason, || shown.clone());
                if kept {
                    self.out.refused.push(shown);
                }
            }
        }
        Ok(())
    }

    fn read_point(&mut self) -> Result<(), Malformed> {
        let Self { reader, point, .. } = self;
        let begin = reader.at;
        point.tags.clear();
        (point.metric, point.timestamp, point.value) = Default::default();
        point.numbers = Numbers::default();
        let end = "a comma or the end of the data point was expected";
        reader.object("a data point was expected", end, |reader, key| {
            match &*key {
                "metric" => point.metric = Scalar::read(reader)?,
                "timestamp" => {
                    point.numbers.time = Some(scalar_at(reader, begin, &mut point.timestamp)?);
                }
                "value" => {
                    point.numbers.value = Some(scalar_at(reader, begin, &mut point.value)?);
                }
                "tags" => read_tags(reader, &mut point.tags)?,
                _ => drop(Scalar::read(reader)?),
            }
            Ok(())
        })
    }

    /// The time of the point that was read, in milliseconds.
    fn time(&self) -> Result<i64, Reason> {
        match &self.point.timestamp {
            Scalar::Null if !self.options.strict => Ok(self.now_ms),
            Scalar::Integer(t) => timestamp_ms(*t),
            Scalar::Text(text) => {
                let t = text.parse().map_err(|_| Reason::InvalidTimestamp)?;
                timestamp_ms(t)
            }
            _ => Err(Reason::InvalidTimestamp),
        }
    }

    /// Its value.
    fn value(&self) -> Result<f64, Reason> {
        match &self.point.value {
            Scalar::Null => Err(Reason::NoValue),
            Scalar::Text(text) if text.is_empty() => Err(Reason::NoValue),
            value => value.number().ok_or(Reason::InvalidValue),
        }
    }

    /// Adds the point that was read.
    fn take_point(&mut self) -> Result<(), Reason> {
        let metric = self.point.metric.text().unwrap_or_default();
        if metric.is_empty() {
            return Err(Reason::NoName);
        }
        let (t_ms, value) = (self.time()?, self.value()?);
        let (options, tags) = (self.options, &self.point.tags);
        let name = options.names.metric(&metric);
        let mut labels: Vec<(&str, &str)> = Vec::with_capacity(tags.len() + 1);
        labels.push((METRIC_NAME, &name));
        let is_plain = tags.iter().all(|(key, value)| match (tag_key(key), value) {
            (Cow::Borrowed(key), Scalar::Text(value)) => {
                labels.push((key, value));
                true
            }
            _ => false,
        });
        let texts;
        if !is_plain {
            texts = texts_of(tags)?;
            labels.truncate(1);
            labels.extend(texts.iter().map(|(key, value)| (&**key, &**value)));
        }
        if options.strict {
            let as_sent = tags.iter().zip(&labels[1..]);
            check_strict(
                &metric,
                as_sent.map(|((key, _), (_, value))| (&**key, *value)),
            )?;
        }
        (self.out.points).add(&mut labels, t_ms, value, &options.labels)
    }
}

/// Tags as labels.
fn texts_of<'t>(tags: &'t [(Cow<'_, str>, Scalar<'_>)]) -> Result<Vec<Pair<'t>>, Reason> {
    let texts = tags.iter().map(|(key, value)| {
        let value = value.text().ok_or(Reason::InvalidLabel)?;
        Ok((tag_key(key), value))
    });
    texts.collect()
}

/// Reads a value, and returns where it is, counted from `begin`; of text without its quotes.
#[inline]
fn scalar_at<'a>(
    reader: &mut Reader<'a>,
    begin: usize,
    into: &mut Scalar<'a>,
) -> Result<(usize, usize), Malformed> {
    let quote = usize::from(reader.is(b'"'));
    let from = reader.at - begin + quote;
    *into = Scalar::read(reader)?;
    Ok((from, reader.at - begin - quote))
}

/// Reads the tags of a point.
fn read_tags<'a>(
    reader: &mut Reader<'a>,
    tags: &mut Vec<(Cow<'a, str>, Scalar<'a>)>,
) -> Result<(), Malformed> {
    if reader.is(b'n') {
        return reader.scalar().map(drop);
    }
    tags.clear();
    let end = "a comma or the end of the tags was expected";
    reader.object("an object of tags was expected", end, |reader, key| {
        let value = Scalar::read(reader)?;
        if matches!(value, Scalar::Nested) {
            return Err(reader.wrong("the value of a tag that is not text"));
        }
        tags.push((key, value));
        Ok(())
    })
}

/// A point as the answer shows it: OpenTSDB keeps the value as text.
fn shown(point: &RawPoint<'_>) -> String {
    let tags = point.tags.iter().map(|(key, value)| (&**key, value.text()));
    let timestamp = match &point.timestamp {
        Scalar::Integer(t) => json!(t),
        Scalar::Null => json!(0),
        other => json!(other.text()),
    };
    render(point.metric.text(), &timestamp, point.value.text(), tags)
}

/// A point that the storage refused, as the answer shows it.
pub(super) fn shown_series(series: &BatchSeries<'_>) -> String {
    let labels = Labels::iter_encoded(series.labels);
    let (names, tags): (Vec<_>, Vec<_>) = labels.partition(|(name, _)| *name == METRIC_NAME);
    let metric = names.first().map(|(_, name)| Cow::Borrowed(*name));
    let float = series.floats.first();
    let value = float.map(|float| Cow::Owned(float.v.to_string()));
    let tags = tags.into_iter().map(|(k, v)| (k, Some(Cow::Borrowed(v))));
    render(
        metric,
        &json!(float.map_or(0, |float| float.t)),
        value,
        tags,
    )
}

fn render<'a>(
    metric: Option<Cow<'a, str>>,
    timestamp: &serde_json::Value,
    value: Option<Cow<'a, str>>,
    tags: impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)>,
) -> String {
    let tags: serde_json::Map<_, _> = tags.map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let (metric, value, tags) = (json!(metric), json!(value), json!(tags));
    format!(r#"{{"metric":{metric},"timestamp":{timestamp},"value":{value},"tags":{tags}}}"#)
}
