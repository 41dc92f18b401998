//! Tokens of both formats, taken off the front of the input.
//!
//! Nothing here knows which token may come next; that is the parser's.

use memchr::{memchr_iter, memchr2, memchr3};

use super::{Error, Format, RawLabel, RawStr, scan};

/// Which bytes may be part of a bare name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    Metric,
    /// `[a-zA-Z_][a-zA-Z0-9_]*`.
    Label,
}

/// Position in the input.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    pub(super) input: &'a [u8],
    /// The input, if all of it is UTF-8: then no part has to be checked again.
    text: Option<&'a str>,
    pub(super) pos: usize,
    /// A position whose line was asked for, and its number. Lines are counted when somebody asks, since
    /// few do.
    counted: (usize, u64),
    pub(super) format: Format,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8], format: Format, line: u64) -> Self {
        Self {
            input,
            text: std::str::from_utf8(input).ok(),
            pos: 0,
            counted: (0, line),
            format,
        }
    }

    /// The number of the line at the position.
    pub(super) fn line(&mut self) -> u64 {
        self.counted = (self.pos, self.line_at(self.pos));
        self.counted.1
    }

    /// The number of the line at `pos`, which is not before the position that was asked for last.
    fn line_at(&self, pos: usize) -> u64 {
        let (from, line) = self.counted;
        line + memchr_iter(b'\n', &self.input[from..pos]).count() as u64
    }

    /// A part of the input that begins and ends beside ASCII; `None` if it is not UTF-8.
    #[inline]
    pub(super) fn str(&self, start: usize, end: usize) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(start..end),
            None => std::str::from_utf8(&self.input[start..end]).ok(),
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.pos).copied()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.input[self.pos..]
    }

    /// Takes `b` if it is next.
    #[inline]
    pub(super) fn take(&mut self, b: u8) -> bool {
        let found = self.peek() == Some(b);
        self.pos += usize::from(found);
        found
    }

    /// Takes the bytes of `word` if they are next.
    #[inline]
    pub(super) fn take_word(&mut self, word: &[u8]) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.pos += word.len();
        }
        found
    }

    /// Takes the space between two tokens of the text format: any number of spaces and tabs.
    /// OpenMetrics has none that could be skipped.
    #[inline]
    pub(super) fn skip_blank(&mut self) {
        if self.format == Format::Text {
            while matches!(self.peek(), Some(b' ' | b'\t')) {
                self.pos += 1;
            }
        }
    }

    /// Takes the end of the line; true at the end of the input for the text format, whose last
    /// line needs none.
    #[inline]
    pub(super) fn take_line_end(&mut self) -> bool {
        self.take(b'\n') || (self.format == Format::Text && self.pos == self.input.len())
    }

    /// A bare name, or `None` when the next byte cannot start one.
    #[inline]
    pub(super) fn name(&mut self, kind: NameKind) -> Option<RawStr<'a>> {
        let rest = self.rest();
        let first = *rest.first()?;
        let colon = kind == NameKind::Metric;
        let len = scan::name_len(rest, colon);
        if len == 0 || first.is_ascii_digit() {
            return None;
        }
        let start = self.pos;
        self.pos += len;
        self.str(start, self.pos).map(RawStr)
    }

    /// A label as nearly all are written: a bare name, text without escapes in quotes, and behind it
    /// a comma or the closing brace, which is given back. Anything else is left where it is.
    #[inline]
    pub(super) fn plain_label(&mut self) -> Option<(RawLabel<'a>, u8)> {
        let start = self.pos;
        let rest = self.rest();
        let name_len = scan::name_len(rest, false);
        if rest.first()?.is_ascii_digit() {
            return None;
        }
        let (equals, value) = rest[name_len..].split_first_chunk()?;
        if name_len == 0 || equals != b"=\"" {
            return None;
        }
        let value_len = scan::text_end(value)?;
        let [b'"', next @ (b',' | b'}'), ..] = value[value_len..] else {
            return None;
        };
        let text = self.text?;
        let value_start = start + name_len + 2;
        let value_end = value_start + value_len;
        let label = RawLabel {
            name: RawStr(text.get(start..start + name_len)?),
            value: RawStr(text.get(value_start..value_end)?),
        };
        self.pos = value_end + 2;
        Some((label, next))
    }

    /// A quoted string; call where a `"` is next. Only the text format lets it span lines.
    ///
    /// # Errors
    /// When the closing quote is missing or the bytes are not UTF-8; `what` names the string.
    pub(super) fn quoted(&mut self, what: &'static str) -> Result<RawStr<'a>, Error> {
        let start = self.pos + 1;
        let mut at = start;
        loop {
            let rest = &self.input[at.min(self.input.len())..];
            let Some(next) = scan::text_end(rest) else {
                return Err(self.error(format!("the quotes of the {what} are not closed")));
            };
            at += next;
            match self.input[at] {
                b'"' => break,
                b'\\' if self.input.get(at + 1) != Some(&b'\n') => at += 2,
                b'\n' if self.format == Format::Text => at += 1,
                _ => return Err(self.error(format!("the quotes of the {what} are not closed"))),
            }
        }
        let text = self
            .str(start, at)
            .ok_or_else(|| self.error(format!("the {what} is not UTF-8")))?;
        self.pos = at + 1;
        Ok(RawStr(text))
    }

    /// The bytes up to the next space or end of the line.
    #[inline]
    pub(super) fn word(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let len = match self.format {
            Format::OpenMetrics => memchr2(b' ', b'\n', rest),
            Format::Text => memchr3(b' ', b'\t', b'\n', rest),
        }
        .unwrap_or(rest.len());
        self.pos += len;
        &rest[..len]
    }

    /// The bytes up to the end of the line, which stays.
    pub(super) fn rest_of_line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.pos += len;
        &rest[..len]
    }

    /// An error at this line.
    #[cold]
    pub(super) fn error(&self, reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(self.line_at(self.pos), reason)
    }

    /// An error that says what should have been next and what is.
    #[cold]
    pub(super) fn expected(&self, what: &str) -> Error {
        const SHOWN_MAX: usize = 24;
        let rest = self.rest();
        let len = memchr::memchr(b'\n', rest)
            .unwrap_or(rest.len())
            .min(SHOWN_MAX);
        let found = match rest.first() {
            None => "the end of the input".to_owned(),
            Some(b'\n') => "the end of the line".to_owned(),
            Some(_) => format!("{:?}", String::from_utf8_lossy(&rest[..len])),
        };
        self.error(format!("expected {what}, found {found}"))
    }
}
