//! Parts of JSON as protocols meet them: what should be text or a number, whatever it is.

mod leaves;
mod reader;

pub(super) use leaves::leaves;
pub(super) use reader::{Leaf, Malformed, Reader};

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::exposition::number;

/// A value that should be text or a number. Text is borrowed from the input where it has no escapes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Scalar<'a> {
    /// Absent, or null.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A number within the range of `i64`.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// An array or an object; what is in it was skipped.
    Nested,
}

impl<'a> Scalar<'a> {
    /// Reads a value, whatever it is. Numbers are exact.
    ///
    /// # Errors
    /// When it is no JSON.
    #[inline]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        if let Some(b'{' | b'[') = reader.peek() {
            reader.nested()?;
            return Ok(Self::Nested);
        }
        Ok(match reader.scalar()? {
            None => Self::Null,
            Some(Leaf::Text(text)) => Self::Text(text),
            Some(Leaf::Bool(b)) => Self::Bool(b),
            Some(Leaf::Number(text)) => match text.parse() {
                Ok(i) => Self::Integer(i),
                Err(_) => {
                    let v = number::parse_value(text.as_bytes());
                    // Nothing but too large a number is none.
                    Self::Float(v.unwrap_or(f64::INFINITY))
                }
            },
        })
    }

    /// The number, also of text that is one; never NaN or infinite.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(i) => Some(*i as f64),
            Self::Float(v) => Some(*v).filter(|v| v.is_finite()),
            Self::Text(text) => number::parse_value(text.as_bytes()).filter(|v| v.is_finite()),
            Self::Null | Self::Bool(_) | Self::Nested => None,
        }
    }

    /// As text; nothing for null and what is nested.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Bool(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
            Self::Integer(i) => Cow::Owned(i.to_string()),
            Self::Float(v) => Cow::Owned(v.to_string()),
            Self::Text(text) => text.clone(),
            Self::Null | Self::Nested => return None,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(b))
    }

    fn visit_i64<E>(self, i: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(i))
    }

    fn visit_u64<E>(self, u: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(u).map_or(Scalar::Float(u as f64), Scalar::Integer))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(v))
    }

    #[inline]
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested)
    }
}
