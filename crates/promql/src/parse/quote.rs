//! Strings in and out of quotes, by the rules of Go's `strconv`.
//!
//! PromQL strings are bytes: `"\xff"` is one byte that is not UTF-8.

use std::fmt::Write as _;

/// `bytes` in double quotes. What is not UTF-8 becomes `\xNN`, what cannot be printed an escape.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    quote_into(&mut out, bytes);
    out
}

/// Appends `bytes` as [`quoted`] writes them.
pub(crate) fn quote_into(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(out, c, '"');
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("writing to a String");
        }
    }
    out.push('"');
}

/// `c` in single quotes; `None`, the end of the input, is shown as the replacement character.
pub(super) fn quoted_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c.unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

/// `c` as a code point: `U+0063 'c'`, without the character when it cannot be printed.
pub(super) fn code_point(c: char) -> String {
    if is_printable(c) {
        format!("U+{:04X} '{c}'", c as u32)
    } else {
        format!("U+{:04X}", c as u32)
    }
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if is_printable(c) => out.push(c),
        c => {
            let code = c as u32;
            match code {
                0..=0x7f => write!(out, "\\x{code:02x}"),
                0x80..=0xffff => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            }
            .expect("writing to a String");
        }
    }
}

/// True for letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library has the table but shows it only here, where what follows the first
    // character is escaped only when it cannot be printed.
    format!("a{c}").escape_debug().nth(1) != Some('\\')
}

/// The bytes of a string token, which the lexer found well formed; `text` has its quotes.
pub(super) fn unquote(text: &str) -> Vec<u8> {
    let (quote, inside) = (text.as_bytes()[0], &text[1..text.len() - 1]);
    if quote == b'`' || !inside.contains('\\') {
        return inside.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at + 1..], &mut out);
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Appends what the escape sequence at the start of `s` (after its backslash) stands for, and
/// returns what follows it.
fn unescape<'a>(s: &'a str, out: &mut Vec<u8>) -> &'a str {
    let (digits, radix, skip) = match s.as_bytes()[0] {
        b'x' => (2, 16, 1),
        b'u' => (4, 16, 1),
        b'U' => (8, 16, 1),
        b'0'..=b'7' => (3, 8, 0),
        simple => {
            out.push(match simple {
                b'a' => 7,
                b'b' => 8,
                b'f' => 0xc,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0xb,
                other => other,
            });
            return &s[1..];
        }
    };
    let code = u32::from_str_radix(&s[skip..skip + digits], radix)
        .expect("the lexer has checked the digits");
    match u8::try_from(code) {
        Ok(byte) if digits < 4 => out.push(byte),
        _ => {
            let c = char::from_u32(code).expect("the lexer has checked the code point");
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    &s[skip + digits..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (bytes, expected) in [
            (b"a\"b\\c\n".as_slice(), r#""a\"b\\c\n""#),
            (b"\xff\x01\x7f", r#""\xff\x01\x7f""#),
            ("é☺𐄑".as_bytes(), "\"é☺𐄑\""),
            (
                "\u{a0}\u{200b}\u{feff}\u{e000}".as_bytes(),
                r#""\u00a0\u200b\ufeff\ue000""#,
            ),
            ("e\u{301}\u{301}".as_bytes(), "\"e\u{301}\u{301}\""),
            ("\u{10ffff}".as_bytes(), r#""\U0010ffff""#),
        ] {
            assert_eq!(quoted(bytes), expected);
        }
    }

    #[test]
    fn unquotes_bytes() {
        for (text, expected) in [
            (
                r#""a\xff\377\u00e9\U0001F600""#,
                b"a\xff\xff\xc3\xa9\xf0\x9f\x98\x80".as_slice(),
            ),
            (r#"'\'\a\b\f\n\r\t\v\\'"#, b"'\x07\x08\x0c\n\r\t\x0b\\"),
            (r"`\n`", br"\n"),
            (r#""""#, b""),
        ] {
            assert_eq!(unquote(text), expected, "{text}");
        }
    }
}
