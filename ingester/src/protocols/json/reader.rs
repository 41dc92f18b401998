//! JSON, read from its front on. Nothing is built, and nothing recurses.

use std::borrow::Cow;

/// Objects and arrays within each other.
pub(super) const DEPTH_MAX: usize = 64;
/// A value that is neither an object, nor an array, nor null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::protocols) enum Leaf<'a> {
    /// A number, as JSON writes it.
    Number(&'a str),
    /// True or false.
    Bool(bool),
    /// Text; borrowed where it has no escapes.
    Text(Cow<'a, str>),
}

/// Text that is no JSON, or not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(in crate::protocols) struct Malformed {
    /// Where, in bytes from the beginning.
    pub(in crate::protocols) at: usize,
    /// What is there.
    pub(super) what: &'static str,
}

/// Reads JSON from its front on.
pub(in crate::protocols) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Where it is, in bytes.
    pub(in crate::protocols) at: usize,
}

impl<'a> Reader<'a> {
    /// One of a whole text.
    pub(in crate::protocols) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    /// What was not read yet.
    #[inline]
    pub(in crate::protocols) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The text from byte to byte, which are places beside ASCII.
    #[inline]
    pub(in crate::protocols) fn text(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// # Errors
    /// When anything but blanks follows.
    pub(in crate::protocols) fn end(&mut self) -> Result<(), Malformed> {
        self.blanks();
        if self.at < self.bytes.len() {
            return Err(self.wrong("something after the end"));
        }
        Ok(())
    }

    /// Reads a key and its colon.
    #[inline]
    pub(in crate::protocols) fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let key = self.string()?;
        self.blanks();
        self.take(b':', "a colon was expected")?;
        self.blanks();
        Ok(key)
    }

    /// Reads past a comma and the blanks around it; false when there is none.
    #[inline]
    pub(in crate::protocols) fn comma(&mut self) -> bool {
        self.blanks();
        let is_here = self.is(b',');
        if is_here {
            self.at += 1;
            self.blanks();
        }
        is_here
    }

    /// Reads an object, of which `member` reads each value, given its key. What was expected where it does
    /// not begin or end is said by `begin` and `end`.
    #[inline]
    pub(in crate::protocols) fn object(
        &mut self,
        begin: &'static str,
        end: &'static str,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.take(b'{', begin)?;
        self.blanks();
        if !self.is(b'}') {
            loop {
                let key = self.key()?;
                member(self, key)?;
                if !self.comma() {
                    break;
                }
            }
        }
        self.take(b'}', end)
    }

    #[cold]
    pub(in crate::protocols) fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    #[inline]
    pub(in crate::protocols) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(in crate::protocols) fn is(&self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    #[inline]
    pub(in crate::protocols) fn take(
        &mut self,
        byte: u8,
        otherwise: &'static str,
    ) -> Result<(), Malformed> {
        if !self.is(byte) {
            return Err(self.wrong(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    pub(in crate::protocols) fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads what is neither an object nor an array; nothing for null.
    #[inline]
    pub(in crate::protocols) fn scalar(&mut self) -> Result<Option<Leaf<'a>>, Malformed> {
        Ok(Some(match self.peek() {
            Some(b'"') => Leaf::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Leaf::Number(self.number()?),
            Some(b't') => {
                self.word("true")?;
                Leaf::Bool(true)
            }
            Some(b'f') => {
                self.word("false")?;
                Leaf::Bool(false)
            }
            Some(b'n') => {
                self.word("null")?;
                return Ok(None);
            }
            _ => return Err(self.wrong("a value was expected")),
        }))
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("a value was expected"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads text; it is borrowed where it has no escapes.
    #[inline]
    pub(in crate::protocols) fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at;
        self.take(b'"', "a string was expected")?;
        let mut has_escapes = false;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(len) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(self.wrong("a string without an end"));
            };
            // Without an end before the last byte, so that many are compared at once.
            if rest[..len]
                .iter()
                .fold(false, |found, b| found | (*b < 0x20))
            {
                return Err(self.wrong("a control character in a string"));
            }
            self.at += len + 1;
            if rest[len] == b'"' {
                break;
            }
            has_escapes = true;
            // Whatever is escaped, it is not the end.
            self.at = (self.at + 1).min(self.bytes.len());
        }
        if !has_escapes {
            return Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1]));
        }
        let text = serde_json::from_str(&self.text[start..self.at]);
        text.map(Cow::Owned)
            .map_err(|_| self.wrong("a wrong escape in a string"))
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.is(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        self.digits()?;
        if self.bytes[whole] == b'0' && self.at > whole + 1 {
            return Err(self.wrong("a number with a leading zero"));
        }
        if self.is(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong("a digit was expected"));
        }
        Ok(())
    }

    /// Skips an array or an object with all that is in it.
    pub(in crate::protocols) fn nested(&mut self) -> Result<(), Malformed> {
        // What is open, as its last byte; the first is the array itself.
        let mut open = Vec::new();
        loop {
            // At the beginning of a value.
            match self.peek() {
                Some(b @ (b'[' | b'{')) => {
                    if open.len() >= DEPTH_MAX {
                        return Err(self.wrong("a value too deep within others"));
                    }
                    // Both end two places after their beginning in ASCII.
                    open.push(b + 2);
                    self.at += 1;
                    self.blanks();
                    if !self.is(b + 2) {
                        self.member(&open)?;
                        continue;
                    }
                }
                _ => drop(self.scalar()?),
            }
            // At the end of a value.
            loop {
                let Some(end) = open.last() else {
                    return Ok(());
                };
                if self.comma() {
                    self.member(&open)?;
                    break;
                }
                self.take(*end, "a comma or the end of a value was expected")?;
                open.pop();
            }
        }
    }

    /// Skips the key where the value to come is one of an object.
    fn member(&mut self, open: &[u8]) -> Result<(), Malformed> {
        if open.last() == Some(&b'}') {
            self.key()?;
        }
        Ok(())
    }
}
