//! YAML as a tree that knows its lines, and the reading of typed fields from it.
//!
//! Reading by hand rather than by derived deserialisers keeps the line of every field for the error
//! that names it, tells fields that nobody knows from discovery mechanisms that this build lacks,
//! and leaves the tree for printing the configuration back.

use std::fmt;

use model::time::DurationMs;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::{Error, Place};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// A YAML value. Maps keep the order of their keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Default for Node {
    /// What a file without anything is.
    fn default() -> Self {
        Self {
            at: Place { line: 1, column: 1 },
            value: Value::Null,
        }
    }
}

/// Values that a file may hold: enough for lists of a million targets.
const NODES_MAX: usize = 8_000_000;

/// The tree of a file; an empty one is null.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(empty) {
        return Ok(Node::default());
    }
    let mut budget = serde_saphyr::Budget::default();
    budget.max_nodes = NODES_MAX;
    budget.max_events = 2 * NODES_MAX;
    let options = serde_saphyr::options! {
        budget: Some(budget),
        // `n` and `y` are names of labels; where a bool is wanted, `Node::bool` takes such words.
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or_else(Place::default, |at| Place {
            line: at.line(),
            column: at.column(),
        });
        let shown = error.to_string();
        let reason = shown.lines().next().unwrap_or_default();
        Error::at(place, reason.strip_prefix("error: ").unwrap_or(reason))
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            at: Place {
                line: spanned.referenced.line(),
                column: spanned.referenced.column(),
            },
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Integer(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(i64::try_from(v).map_or(Value::Unsigned(v), Value::Integer))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::Text(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields: Vec<(String, Node)> = Vec::new();
        while let Some((key, node)) = map.next_entry::<Value, Node>()? {
            let key = key
                .scalar()
                .ok_or_else(|| A::Error::custom("a key must be a scalar"))?;
            fields.push((key, node));
        }
        Ok(Value::Map(fields))
    }
}

impl Value {
    /// A scalar as text; `None` for anything else.
    fn scalar(&self) -> Option<String> {
        Some(match self {
            Self::Bool(v) => v.to_string(),
            Self::Integer(v) => v.to_string(),
            Self::Unsigned(v) => v.to_string(),
            Self::Float(v) => v.to_string(),
            Self::Text(v) => v.clone(),
            Self::Null | Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// The name of its type as YAML has it.
    const fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Integer(_) | Self::Unsigned(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Text(_) => "!!str",
            Self::List(_) => "!!seq",
            Self::Map(_) => "!!map",
        }
    }
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The field of a map, made where there is none yet; what was no map is one afterwards.
    pub(super) fn field_mut(&mut self, name: &str) -> &mut Self {
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(fields) = &mut self.value else {
            unreachable!("it was made one");
        };
        let place = fields.iter().position(|(field, _)| field == name);
        let place = place.unwrap_or_else(|| {
            fields.push((name.to_owned(), Self::default()));
            fields.len() - 1
        });
        &mut fields[place].1
    }

    /// The field of a map, if it is there.
    pub(super) fn existing_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(fields) => fields.iter_mut().find(|(n, _)| n == name).map(|(_, n)| n),
            _ => None,
        }
    }

    fn mismatch(&self, wanted: &str) -> Error {
        let tag = self.value.tag();
        let shown = self.value.scalar();
        let shown = shown.map_or_else(String::new, |text| format!(" `{text}`"));
        Error::at(
            self.at,
            format!("cannot unmarshal {tag}{shown} into {wanted}"),
        )
    }

    /// A scalar as text, null as the empty one.
    pub(super) fn text(&self) -> Result<String, Error> {
        if self.is_null() {
            return Ok(String::new());
        }
        self.value.scalar().ok_or_else(|| self.mismatch("string"))
    }

    pub(super) fn bool(&self) -> Result<bool, Error> {
        match &self.value {
            Value::Bool(v) => Ok(*v),
            // What Go's YAML takes besides.
            Value::Text(word) => match word.as_str() {
                "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Ok(true),
                "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Ok(false),
                _ => Err(self.mismatch("bool")),
            },
            _ => Err(self.mismatch("bool")),
        }
    }

    pub(super) fn unsigned(&self) -> Result<u64, Error> {
        match self.value {
            Value::Integer(v) => u64::try_from(v).map_err(|_| self.mismatch("uint")),
            Value::Unsigned(v) => Ok(v),
            _ => Err(self.mismatch("uint")),
        }
    }

    pub(super) fn float(&self) -> Result<f64, Error> {
        match self.value {
            Value::Integer(v) => Ok(v as f64),
            Value::Unsigned(v) => Ok(v as f64),
            Value::Float(v) => Ok(v),
            _ => Err(self.mismatch("float64")),
        }
    }

    /// A duration in milliseconds.
    pub(super) fn duration_ms(&self) -> Result<i64, Error> {
        let parsed = self.text()?.parse::<DurationMs>();
        parsed
            .map(|duration| duration.0)
            .map_err(|error| Error::at(self.at, error.to_string()))
    }

    /// A number of bytes, as `10MB`; units are powers of 1024 however they are written.
    pub(super) fn bytes(&self) -> Result<u64, Error> {
        let text = self.text()?;
        parse_bytes(&text).ok_or_else(|| {
            Error::at(
                self.at,
                format!("units: invalid {text}; write it as 512KB, 10MB or 1GB"),
            )
        })
    }

    /// The items of a list, none of null.
    pub(super) fn list(&self) -> Result<&[Self], Error> {
        match &self.value {
            Value::Null => Ok(&[]),
            Value::List(items) => Ok(items),
            _ => Err(self.mismatch("list")),
        }
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, Error> {
        self.list()?.iter().map(Self::text).collect()
    }

    /// The fields of a map, none of null.
    pub(super) fn map(&self) -> Result<&[(String, Self)], Error> {
        match &self.value {
            Value::Null => Ok(&[]),
            Value::Map(fields) => Ok(fields),
            _ => Err(self.mismatch("map")),
        }
    }

    /// A map from names to texts.
    pub(super) fn text_map(&self) -> Result<Vec<(String, String)>, Error> {
        let fields = self.map()?.iter();
        fields.map(|(k, v)| Ok((k.clone(), v.text()?))).collect()
    }

    /// Its fields for reading, as those of Prometheus' type `type_name`.
    pub(super) fn section(&self, type_name: &'static str) -> Result<Section<'_>, Error> {
        let Ok(fields) = self.map() else {
            return Err(self.mismatch(type_name));
        };
        Ok(Section {
            type_name,
            at: self.at,
            fields,
            taken: vec![false; fields.len()],
        })
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: &[u8] = b"KMGTPE";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = text[..digits].parse().ok()?;
    let unit = &text[digits..];
    let power = match unit.as_bytes() {
        [] if count == 0 => 0,
        [b'B'] => 0,
        [letter, b'B'] | [letter, b'i', b'B'] => UNITS.iter().position(|u| u == letter)? + 1,
        _ => return None,
    };
    count.checked_mul(1u64.checked_shl(10 * u32::try_from(power).ok()?)?)
}

/// The fields of a map while they are read; those that nobody asked for are errors.
#[derive(Debug)]
pub(super) struct Section<'a> {
    type_name: &'static str,
    pub(super) at: Place,
    fields: &'a [(String, Node)],
    taken: Vec<bool>,
}

impl<'a> Section<'a> {
    /// The field `name`, if it is there.
    pub(super) fn field(&mut self, name: &str) -> Option<&'a Node> {
        let at = self.fields.iter().position(|(key, _)| key == name)?;
        self.taken[at] = true;
        Some(&self.fields[at].1)
    }

    /// The field `name` as `read` takes it; what is absent or null stays as it is.
    pub(super) fn set<T>(
        &mut self,
        name: &str,
        to: &mut T,
        read: impl FnOnce(&'a Node) -> Result<T, Error>,
    ) -> Result<(), Error> {
        if let Some(node) = self.field(name).filter(|node| !node.is_null()) {
            *to = read(node)?;
        }
        Ok(())
    }

    /// As [`Section::set`], for what may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a Node) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let node = self.field(name).filter(|node| !node.is_null());
        node.map(read).transpose()
    }

    /// Takes the fields that nobody asked for and whose names `accept` knows.
    pub(super) fn take_where(&mut self, accept: impl Fn(&str) -> bool) -> Vec<(&'a str, &'a Node)> {
        let mut found = Vec::new();
        for ((name, node), taken) in self.fields.iter().zip(&mut self.taken) {
            if !*taken && accept(name) {
                *taken = true;
                found.push((name.as_str(), node));
            }
        }
        found
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<(), Error> {
        let mut fields = self.fields.iter().zip(self.taken);
        match fields.find(|(_, taken)| !taken) {
            None => Ok(()),
            Some(((name, node), _)) => Err(Error::at(
                node.at,
                format!("field {name} not found in type {}", self.type_name),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("5B", Some(5)),
            ("10KB", Some(10 << 10)),
            ("3MiB", Some(3 << 20)),
            ("1GB", Some(1 << 30)),
            ("", None),
            ("5", None),
            ("1XB", None),
            ("99999999999PB", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn fields_know_their_lines() {
        let node = parse("a: 1\nb:\n  - x\n  - y: [2]\n").unwrap();
        let mut section = node.section("config.Test").unwrap();
        assert_eq!(section.field("b").unwrap().list().unwrap()[1].at.line, 4);
        assert_eq!(
            section.finish().unwrap_err().to_string(),
            "line 1: field a not found in type config.Test"
        );
        assert_eq!(
            node.map().unwrap()[0].1.bool().unwrap_err().to_string(),
            "line 1: cannot unmarshal !!int `1` into bool"
        );
    }
}
