//! JSON as Go's `encoding/json` prints it with an indent of one tab.
//!
//! Beside the indent, what differs from `serde_json` is that Go escapes `<`, `>`, `&` and the two
//! Unicode line separators inside of strings.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Prints `value` as Go would.
pub(super) fn to_go_json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    let formatter = GoFormatter {
        pretty: PrettyFormatter::with_indent(b"\t"),
    };
    value.serialize(&mut Serializer::with_formatter(&mut out, formatter))?;
    Ok(out)
}

struct GoFormatter {
    pretty: PrettyFormatter<'static>,
}

/// Characters that Go escapes beyond what JSON demands.
const ESCAPED: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for piece in fragment.split_inclusive(ESCAPED) {
            match piece.chars().next_back().filter(|c| ESCAPED.contains(c)) {
                Some(c) => {
                    out.write_all(piece.trim_end_matches(c).as_bytes())?;
                    write!(out, "\\u{:04x}", c as u32)?;
                }
                None => out.write_all(piece.as_bytes())?,
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        let value = serde_json::json!({"a": [1, "x<y>&&\u{2028}z\"\n"], "b": {}, "c": []});
        let printed = String::from_utf8(to_go_json(&value).unwrap()).unwrap();
        let expected = "{\n\t\"a\": [\n\t\t1,\n\t\t\"x\\u003cy\\u003e\\u0026\\u0026\\u2028z\\\"\\n\"\n\t],\n\t\"b\": {},\n\t\"c\": []\n}";
        assert_eq!(printed, expected);
    }
}
