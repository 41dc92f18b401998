//! Strings, numbers and durations.

use super::{Lexer, Result, is_word};
use crate::parse::quote::{code_point, quoted};
use crate::parse::token::Kind;

impl Lexer<'_> {
    /// The rest of a string whose opening `quote` was taken.
    pub(super) fn string(&mut self, quote: char) -> Result<Kind> {
        loop {
            let c = self.peek_char();
            self.pos += c.map_or(0, char::len_utf8);
            match c {
                Some('\\') => self.escape(quote)?,
                // Where a query was not UTF-8 this is what became of its bytes.
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some(c) if c == quote => return Ok(Kind::String),
                Some(_) => {}
            }
        }
    }

    /// Checks the escape sequence after a backslash.
    fn escape(&mut self, quote: char) -> Result<()> {
        let (digits, radix) = match self.peek_char() {
            None => return Err(self.error("escape sequence not terminated")),
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => {
                self.pos += 1;
                return Ok(());
            }
            Some(c) if c == quote => {
                self.pos += 1;
                return Ok(());
            }
            Some('0'..='7') => (3, 8),
            Some(c @ ('x' | 'u' | 'U')) => {
                self.pos += 1;
                (
                    match c {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    },
                    16,
                )
            }
            Some(c) => {
                return Err(self.error(format!("unknown escape sequence {}", code_point(c))));
            }
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let Some(c) = self.peek_char() else {
                return Err(self.error("escape sequence not terminated"));
            };
            let Some(digit) = c.to_digit(radix) else {
                let c = code_point(c);
                return Err(self.error(format!("illegal character {c} in escape sequence")));
            };
            code = code.wrapping_mul(radix) | digit;
            self.pos += 1;
        }
        let is_valid = if digits < 4 {
            code <= 255
        } else {
            char::from_u32(code).is_some()
        };
        if is_valid {
            Ok(())
        } else {
            Err(self.error("escape sequence is an invalid Unicode code point"))
        }
    }

    /// The rest of a raw string whose opening backquote was taken.
    pub(super) fn raw_string(&mut self) -> Result<Kind> {
        loop {
            let c = self.peek_char();
            self.pos += c.map_or(0, char::len_utf8);
            match c {
                Some('`') => return Ok(Kind::String),
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None => return Err(self.error("unterminated raw string")),
                Some(_) => {}
            }
        }
    }

    pub(super) fn number_or_duration(&mut self) -> Result<Kind> {
        if self.number() {
            return Ok(Kind::Number);
        }
        if self.rest_of_duration() {
            return Ok(Kind::Duration);
        }
        let taken = quoted(&self.input.as_bytes()[self.start..self.pos]);
        Err(self.error(format!("bad number or duration syntax: {taken}")))
    }

    /// Takes what looks like a number; false when it is none, or goes on like a duration. Whether
    /// a token that looks like a number is one is found out when it is converted.
    fn number(&mut self) -> bool {
        let is_hex = self.accept(|b| b == b'0') && self.accept(|b| matches!(b, b'x' | b'X'));
        if is_hex {
            self.accept(|b| b == b'_');
        }
        let is_digit = |b: u8| b.is_ascii_digit() || (is_hex && b.is_ascii_hexdigit());
        self.accept(|b| b == b'.');
        self.accept(is_digit);
        let (mut seen_dot, mut seen_exponent) = (false, false);
        while let Some(b) = self.peek() {
            match b {
                b if is_digit(b) && !(is_hex && matches!(b, b'e' | b'E')) => {
                    self.skip_while(is_digit);
                }
                b'.' => {
                    self.pos += 1;
                    if seen_dot || self.accept(|b| matches!(b, b'_' | b'.')) || is_hex {
                        return false;
                    }
                    seen_dot = true;
                }
                b'e' | b'E' => {
                    self.pos += 1;
                    if seen_exponent {
                        return false;
                    }
                    seen_exponent = true;
                    self.accept(|b| matches!(b, b'+' | b'-'));
                    if self.accept(ends_digits) || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.pos += 1;
                    if self.accept(ends_digits) || self.peek().is_none() {
                        return false;
                    }
                }
                _ => break,
            }
        }
        !self.peek().is_some_and(is_word)
    }

    /// Takes the units and further parts of a duration whose first number was taken.
    fn rest_of_duration(&mut self) -> bool {
        if !self.accept(|b| b"smhdwy".contains(&b)) {
            return false;
        }
        // Of `ms`; a unit such as `hs` is refused when the duration is converted.
        self.accept(|b| b == b's');
        while self.accept(|b| b.is_ascii_digit()) {
            self.skip_while(|b| b.is_ascii_digit());
            if !self.accept(|b| b"smhdw".contains(&b)) {
                return false;
            }
            self.accept(|b| b == b's');
        }
        !self.accept(is_word)
    }
}

/// What may not follow an exponent or an underscore.
fn ends_digits(b: u8) -> bool {
    matches!(b, b'.' | b'_' | b'e' | b'E')
}
