//! Records as Lookout's client prints them: nearly JSON.
//!
//! The client writes its keys without escapes and its numbers as Java does, `NaN` and `Infinity`
//! among them, so a strict parser would lose what its own gateway takes. The scanner here takes a
//! quote inside a key, control characters in text, and bare words for numbers. It copies nothing
//! that has no escapes, and does not recurse.

use std::borrow::Cow;

use memchr::memchr2;

/// Tags of a record that are told apart; no profile takes as many.
const TAGS_MAX: usize = 1024;
/// Values of a record; an application may have 3,000 of them in all.
const VALUES_MAX: usize = 1 << 16;
/// Values of a record up to which a repeated name is noticed here, and not by the storage.
const REPEATS_LOOKED_FOR: usize = 64;

/// The text is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record at byte {at}")]
pub struct RecordError {
    /// Where it stops to be one.
    pub at: usize,
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Between quotes, escapes resolved.
    Text(Cow<'a, str>),
    /// A number or a word.
    Bare(&'a str),
    /// An array or an object, as written.
    Nested(&'a str),
}

impl<'a> Value<'a> {
    /// As text.
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Bare(text) | Self::Nested(text) => Cow::Borrowed(text),
        }
    }

    /// As text, without taking it.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Bare(text) | Self::Nested(text) => text,
        }
    }
}

/// What one value of a record is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<'a> {
    /// The key that it stands under, a number of [`Record::keys`].
    pub key: usize,
    /// Its own name below that key; nothing when the key itself has the value.
    pub member: Option<Cow<'a, str>>,
    /// The value.
    pub value: Value<'a>,
}

/// A record in parts. Its memory is kept from one to the next.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// When, as written.
    pub time: Option<Value<'a>>,
    /// Tags in the order written, without the two that the gateway takes out.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// It is information, not numbers.
    pub is_information: bool,
    /// Names of metrics.
    pub keys: Vec<Cow<'a, str>>,
    /// Values in the order written. Where a name is repeated the last one counts.
    pub values: Vec<Named<'a>>,
}

impl<'a> Record<'a> {
    /// Reads a record in place of the one before.
    ///
    /// # Errors
    /// [`RecordError`]; what was read is not to be used then.
    pub fn read(&mut self, text: &'a str) -> Result<(), RecordError> {
        self.time = None;
        self.tags.clear();
        self.is_information = false;
        self.keys.clear();
        self.values.clear();
        let mut scan = Scanner { text, at: 0 };
        scan.object(|scan, key| match &*key {
            "time" => {
                self.time = Some(scan.value()?);
                Ok(())
            }
            "tags" => self.read_tags(scan),
            _ => self.read_values(scan, key),
        })?;
        scan.skip_blank();
        if scan.at < text.len() {
            return Err(scan.error());
        }
        self.forget_repeated();
        Ok(())
    }

    fn read_tags(&mut self, scan: &mut Scanner<'a>) -> Result<(), RecordError> {
        if scan.peek() != Some(b'{') {
            scan.value()?;
            return Ok(());
        }
        scan.object(|scan, key| {
            let value = scan.value()?;
            match &*key {
                "_type_" => self.is_information = value.as_text() == "i",
                "priority" => {}
                _ if matches!(value, Value::Bare("null")) => {}
                _ if self.tags.len() < TAGS_MAX => self.tags.push((key, value.into_text())),
                _ => return Err(scan.error()),
            }
            Ok(())
        })
    }

    fn read_values(
        &mut self,
        scan: &mut Scanner<'a>,
        key: Cow<'a, str>,
    ) -> Result<(), RecordError> {
        let number = self.keys.len();
        if scan.peek() == Some(b'{') {
            self.keys.push(key);
            return scan.object(|scan, member| {
                let value = scan.value()?;
                self.push(scan, number, Some(member), value)
            });
        }
        match scan.value()? {
            Value::Bare(word) if !matches!(word, "null" | "true" | "false") => {
                self.keys.push(key);
                self.push(scan, number, None, Value::Bare(word))
            }
            _ => Ok(()),
        }
    }

    fn push(
        &mut self,
        scan: &Scanner<'_>,
        key: usize,
        member: Option<Cow<'a, str>>,
        value: Value<'a>,
    ) -> Result<(), RecordError> {
        if self.values.len() == VALUES_MAX {
            return Err(scan.error());
        }
        self.values.push(Named { key, member, value });
        Ok(())
    }

    fn forget_repeated(&mut self) {
        if self.values.len() > REPEATS_LOOKED_FOR {
            return;
        }
        for i in (0..self.values.len()).rev() {
            let (before, after) = self.values.split_at(i + 1);
            let this = &before[i];
            let is_same = |other: &Named<'_>| {
                other.member == this.member && self.keys[other.key] == self.keys[this.key]
            };
            if after.iter().any(is_same) {
                self.values.remove(i);
            }
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn error(&self) -> RecordError {
        RecordError { at: self.at }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_blank(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no blank.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        self.skip_blank();
        self.byte()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Result<(), RecordError> {
        if self.peek() != Some(byte) {
            return Err(self.error());
        }
        self.at += 1;
        Ok(())
    }

    /// Reads an object; `member` reads the value of each key.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        self.take(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error()),
            }
        }
    }

    /// A key with the colon behind it: a quote ends it only where a colon follows.
    #[inline]
    fn key(&mut self) -> Result<Cow<'a, str>, RecordError> {
        self.take(b'"')?;
        let from = self.at;
        let mut has_escapes = false;
        loop {
            let end = self.quote_or_escape()?;
            if self.text.as_bytes()[end] == b'\\' {
                has_escapes = true;
                // What is escaped is one character, of whatever length.
                self.at = self.text.ceil_char_boundary(end + 2).min(self.text.len());
                continue;
            }
            self.at = end + 1;
            if self.peek() == Some(b':') {
                self.at += 1;
                return Ok(unescaped(&self.text[from..end], has_escapes));
            }
        }
    }

    /// Where the next quote or backslash is.
    #[inline]
    fn quote_or_escape(&self) -> Result<usize, RecordError> {
        let rest = &self.text.as_bytes()[self.at..];
        let found = memchr2(b'"', b'\\', rest);
        found.map(|i| self.at + i).ok_or_else(|| self.error())
    }

    #[inline]
    fn value(&mut self) -> Result<Value<'a>, RecordError> {
        match self.peek() {
            Some(b'"') => {
                let (from, has_escapes) = self.string()?;
                let text = &self.text[from..self.at - 1];
                Ok(Value::Text(unescaped(text, has_escapes)))
            }
            Some(b'{' | b'[') => self.nested().map(Value::Nested),
            Some(_) => {
                let from = self.at;
                let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                let rest = &self.text.as_bytes()[from..];
                let len = rest.iter().position(ends).unwrap_or(rest.len());
                let word = &rest[..len];
                let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                if word.is_empty() || !word.iter().all(is_word) {
                    return Err(self.error());
                }
                self.at += len;
                Ok(Value::Bare(&self.text[from..self.at]))
            }
            None => Err(self.error()),
        }
    }

    /// Goes behind the closing quote; returns where the text begins and whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<(usize, bool), RecordError> {
        self.at += 1;
        let from = self.at;
        let mut has_escapes = false;
        loop {
            let end = self.quote_or_escape()?;
            if self.text.as_bytes()[end] == b'"' {
                self.at = end + 1;
                return Ok((from, has_escapes));
            }
            has_escapes = true;
            self.at = self.text.ceil_char_boundary(end + 2).min(self.text.len());
        }
    }

    /// Goes behind an array or an object, without a look at its grammar.
    fn nested(&mut self) -> Result<&'a str, RecordError> {
        let from = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(&self.text[from..self.at]);
            }
        }
        Err(self.error())
    }
}

/// Resolves escapes; a backslash before something else stands for itself.
fn unescaped(text: &str, has_escapes: bool) -> Cow<'_, str> {
    if !has_escapes {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (escaped, taken) = match rest.as_bytes().first() {
            Some(b'"') => ('"', 1),
            Some(b'\\') => ('\\', 1),
            Some(b'/') => ('/', 1),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => code_point(rest).unwrap_or(('\\', 0)),
            _ => ('\\', 0),
        };
        out.push(escaped);
        rest = &rest[taken..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of a `u` and four hexadecimal digits, or of two such that are a surrogate pair, and how
/// long that is.
fn code_point(text: &str) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = text.get(from..from + 4)?;
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(1)?;
    let second = text.get(5..7).filter(|between| *between == "\\u");
    let second = second.and_then(|_| unit(7));
    let pair = second.map(|second| [first, second]);
    let joined = pair.and_then(|pair| char::decode_utf16(pair).next()?.ok());
    match joined {
        Some(c) if c.len_utf16() == 2 => Some((c, 11)),
        _ => Some((
            char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
            5,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record in short: time; tags; names with values.
    fn short(text: &str) -> Option<String> {
        let mut record = Record::default();
        record.read(text).ok()?;
        let time = record.time.map(Value::into_text).unwrap_or_default();
        let tags: Vec<_> = record
            .tags
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let values: Vec<_> = record
            .values
            .iter()
            .map(|value| {
                let key = &record.keys[value.key];
                let member = value
                    .member
                    .as_ref()
                    .map(|m| format!(".{m}"))
                    .unwrap_or_default();
                format!("{key}{member}:{}", value.value.as_text())
            })
            .collect();
        let kind = if record.is_information { "i" } else { "" };
        Some(format!(
            "{time};{};{kind}{}",
            tags.join(","),
            values.join(",")
        ))
    }

    #[test]
    fn what_the_client_prints_is_read() {
        for (text, expected) in [
            (
                r#"{"time":"2026-11-21T10:00:30+08:00","tags":{"app":"o","_type_":"t","priority":"low"},"rpc.stats":{"max":0.09,"total":1.0E-5}}"#,
                "2026-11-21T10:00:30+08:00;app=o;rpc.stats.max:0.09,rpc.stats.total:1.0E-5",
            ),
            (r#" { "time" : 17 , "a" : 1 , "b" : { } } "#, "17;;a:1"),
            (
                r#"{"a":NaN,"b":-Infinity,"c":{"d":Infinity}}"#,
                ";;a:NaN,b:-Infinity,c.d:Infinity",
            ),
            (
                r#"{"tags":{"_type_":"i","n":5,"t":true,"z":null},"x":{"info":"a\tb"}}"#,
                ";n=5,t=true;ix.info:a\tb",
            ),
            (r#"{"x":"text","y":[1,{"a":"]"}],"z":true,"n":null}"#, ";;"),
            (
                r#"{"x":{"l":[1,"]"],"o":{"p":1}}}"#,
                r#";;x.l:[1,"]"],x.o:{"p":1}"#,
            ),
            // Keys are not escaped by the client.
            (r#"{"a"b":1,"c\d":2,"e\"":3}"#, ";;a\"b:1,c\\d:2,e\":3"),
            ("{\"a\nb\":1}", ";;a\nb:1"),
            (
                r#"{"x":1,"x":2,"y":{"a":1,"a":3,"b":4}}"#,
                ";;x:2,y.a:3,y.b:4",
            ),
            (r#"{"\u00e9\ud83d\ude00\ud83d":1}"#, ";;é😀\u{fffd}:1"),
            ("{}", ";;"),
        ] {
            assert_eq!(short(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"a\":}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":{\"b\":1}",
            "{\"a\":[1",
            "{a:1}",
            "{\"a\":é}",
            "{\"a\\",
        ] {
            assert_eq!(short(text), None, "{text}");
        }
        let many: Vec<_> = (0..=VALUES_MAX).map(|i| format!("\"{i}\":1")).collect();
        assert_eq!(short(&format!("{{{}}}", many.join(","))), None);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(short(&deep).as_deref(), Some(";;"));
    }
}
