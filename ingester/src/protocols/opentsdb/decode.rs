//! The JSON of `/api/put`: one point as an object, or an array of them.

use std::borrow::Cow;
use std::fmt;

use model::Labels;
use model::labels::METRIC_NAME;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::json;
use tsdb::batch::BatchSeries;

use super::{Options, check_strict, timestamp_ms};
use crate::protocols::json::{Key, Scalar};
use crate::protocols::names::tag_key;
use crate::protocols::points::{Points, Reason};

/// A body that is not what it should be as a whole; nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(serde_json::Error);

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
    out.points.clear();
    out.refused.clear();
    let mut body = serde_json::Deserializer::from_slice(body);
    let reader = Reader {
        out,
        now_ms,
        options,
        point: RawPoint::default(),
    };
    (&mut body).deserialize_any(reader).map_err(DecodeError)?;
    body.end().map_err(DecodeError)
}

/// A point as it was sent.
#[derive(Debug, Default)]
struct RawPoint<'de> {
    metric: Scalar<'de>,
    timestamp: Scalar<'de>,
    value: Scalar<'de>,
    tags: Vec<(Cow<'de, str>, Scalar<'de>)>,
}

/// Reads the body, point by point.
struct Reader<'de, 'o> {
    out: &'o mut Decoded,
    now_ms: i64,
    options: &'o Options,
    point: RawPoint<'de>,
}

impl<'de> Visitor<'de> for Reader<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a data point or an array of data points")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(&mut self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.read_point(map)
    }
}

/// Reads an element of the array.
impl<'de> DeserializeSeed<'de> for &mut Reader<'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        struct Element<'r, 'de, 'o>(&'r mut Reader<'de, 'o>);

        impl<'de> Visitor<'de> for Element<'_, 'de, '_> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a data point")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
                self.0.read_point(map)
            }
        }

        deserializer.deserialize_map(Element(self))
    }
}

impl<'de> Reader<'de, '_> {
    fn read_point<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let point = &mut self.point;
        point.tags.clear();
        (point.metric, point.timestamp, point.value) = Default::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "metric" => point.metric = map.next_value()?,
                "timestamp" => point.timestamp = map.next_value()?,
                "value" => {
                    let raw = map.next_value()?;
                    point.value = Scalar::of_raw(raw).map_err(A::Error::custom)?;
                }
                "tags" => map.next_value_seed(Tags(&mut point.tags))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let Err(reason) = self.take_point() {
            let shown = shown(&self.point);
            let kept = self.out.points.refuse(reason, || shown.clone());
            if kept {
                self.out.refused.push(shown);
            }
        }
        Ok(())
    }

    /// Adds the point that was read.
    fn take_point(&mut self) -> Result<(), Reason> {
        let Self {
            out,
            now_ms,
            options,
            point,
        } = self;
        let metric = point.metric.text().unwrap_or_default();
        if metric.is_empty() {
            return Err(Reason::NoName);
        }
        let t_ms = match &point.timestamp {
            Scalar::Null if !options.strict => *now_ms,
            Scalar::Integer(t) => timestamp_ms(*t)?,
            Scalar::Text(text) => {
                let t = text.parse().map_err(|_| Reason::InvalidTimestamp)?;
                timestamp_ms(t)?
            }
            _ => return Err(Reason::InvalidTimestamp),
        };
        let value = match &point.value {
            Scalar::Null => return Err(Reason::NoValue),
            Scalar::Text(text) if text.is_empty() => return Err(Reason::NoValue),
            value => value.number().ok_or(Reason::InvalidValue)?,
        };
        let tags = point.tags.iter().map(|(key, value)| {
            let value = value.text().ok_or(Reason::InvalidLabel)?;
            Ok((tag_key(key), value))
        });
        let tags: Vec<(Cow<'_, str>, Cow<'_, str>)> = tags.collect::<Result<_, Reason>>()?;
        if options.strict {
            let as_sent = point.tags.iter().zip(&tags);
            check_strict(&metric, as_sent.map(|((key, _), (_, v))| (&**key, &**v)))?;
        }
        let name = options.names.metric(&metric);
        let mut labels: Vec<(&str, &str)> = Vec::with_capacity(tags.len() + 1);
        labels.push((METRIC_NAME, &name));
        labels.extend(tags.iter().map(|(key, value)| (&**key, &**value)));
        out.points.add(&mut labels, t_ms, value, &options.labels)
    }
}

/// Reads the tags of a point.
struct Tags<'t, 'de>(&'t mut Vec<(Cow<'de, str>, Scalar<'de>)>);

impl<'de> DeserializeSeed<'de> for Tags<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tags<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tags")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.clear();
        while let Some((Key(key), value)) = map.next_entry()? {
            if matches!(value, Scalar::Nested) {
                return Err(A::Error::custom("the value of a tag is not text"));
            }
            self.0.push((key, value));
        }
        Ok(())
    }
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
