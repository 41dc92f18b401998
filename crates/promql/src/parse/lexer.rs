//! From text to tokens.
//!
//! What a character means depends on where it stands: inside `{}` words are names, inside `[]` they
//! are parts of a duration. Errors carry Prometheus' texts and positions, which are of the token that
//! was begun; the few that are reported after a bracket was taken stand behind it.

mod literal;

use super::ParseError;
use super::quote::quoted_char;
use super::token::{Keyword, Kind, Token, classify, classify_in_duration};
use crate::ast::{BinaryOp, PosRange};

/// The scanner of one text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    input: &'a str,
    /// Offset of the next byte.
    pos: usize,
    /// Offset of the token being scanned.
    start: usize,
    paren_depth: u32,
    in_braces: bool,
    /// The text is of the Lookout dialect.
    is_lookout: bool,
    bracket: Bracket,
    /// A number was seen inside brackets; like Prometheus' scanner this one never forgets it.
    seen_duration: bool,
}

/// Where the scanner is relative to `[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Outside,
    /// Before the first number: only the characters of duration expressions are known.
    Before {
        colon: bool,
    },
    /// After the first number; the colon is that between range and step.
    After {
        colon: bool,
    },
}

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Lexer<'a> {
    /// A scanner of `input`, which is shorter than 4 GiB.
    pub(super) fn new(input: &'a str, is_lookout: bool) -> Self {
        Self {
            input,
            pos: 0,
            start: 0,
            paren_depth: 0,
            in_braces: false,
            is_lookout,
            bracket: Bracket::Outside,
            seen_duration: false,
        }
    }

    /// The text of a token.
    pub(super) fn text(&self, token: Token) -> &'a str {
        &self.input[token.start as usize..token.end as usize]
    }

    /// The whole text.
    pub(super) fn input(&self) -> &'a str {
        self.input
    }

    /// The next token that is not a comment.
    pub(super) fn next_token(&mut self) -> Result<Token> {
        loop {
            self.skip_spaces();
            self.start = self.pos;
            let kind = if self.in_braces {
                if self.skip_comment() {
                    continue;
                }
                self.next_in_braces()?
            } else if let Bracket::Before { colon } = self.bracket {
                self.next_before_number(colon)?
            } else {
                if self.skip_comment() {
                    continue;
                }
                self.next_outside()?
            };
            return Ok(Token {
                kind,
                start: self.start as u32,
                end: self.pos as u32,
            });
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.as_bytes().get(self.pos).copied()
    }

    fn peek_char(&self) -> Option<char> {
        self.input[self.pos..].chars().next()
    }

    fn accept(&mut self, accepted: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(accepted);
        self.pos += usize::from(found);
        found
    }

    fn skip_while(&mut self, accepted: impl Fn(u8) -> bool) {
        while self.accept(&accepted) {}
    }

    fn skip_spaces(&mut self) {
        self.skip_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn skip_comment(&mut self) -> bool {
        let found = self.peek() == Some(b'#');
        if found {
            self.skip_while(|b| !matches!(b, b'\n' | b'\r'));
        }
        found
    }

    #[cold]
    fn error(&self, message: impl Into<String>) -> ParseError {
        let pos = PosRange::new(self.start as u32, self.input.len() as u32);
        ParseError::new(self.input, pos, message)
    }

    /// An error behind what has been taken of the token so far.
    #[cold]
    fn error_behind(&mut self, message: impl Into<String>) -> ParseError {
        self.start = self.pos;
        self.error(message)
    }

    fn next_outside(&mut self) -> Result<Kind> {
        let Some(c) = self.peek_char() else {
            return match (self.paren_depth, self.bracket) {
                (0, Bracket::Outside) => Ok(Kind::Eof),
                (0, _) => Err(self.error("unclosed left bracket")),
                _ => Err(self.error("unclosed left parenthesis")),
            };
        };
        if c.is_ascii_digit() {
            return self.number_or_duration();
        }
        if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            return match self.bracket {
                Bracket::After { colon } => self.word_in_brackets(c, colon),
                _ => Ok(self.word()),
            };
        }
        self.pos += c.len_utf8();
        let kind = match c {
            ',' => Kind::Comma,
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '^' => Kind::Op(BinaryOp::Pow),
            '@' => Kind::At,
            '=' | '!' | '<' | '>' => return self.comparison(c),
            '.' if self.peek().is_some_and(|b| b.is_ascii_digit()) => {
                self.pos -= 1;
                return self.number_or_duration();
            }
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '(' => self.left_paren(),
            ')' => return self.right_paren(),
            '{' => {
                self.in_braces = true;
                Kind::LeftBrace
            }
            '[' if self.bracket != Bracket::Outside => {
                return Err(self.error("unexpected left bracket '['"));
            }
            '[' => {
                self.bracket = Bracket::Before { colon: false };
                Kind::LeftBracket
            }
            ']' if self.bracket == Bracket::Outside => {
                return Err(self.error("unexpected right bracket ']'"));
            }
            ']' => {
                self.bracket = Bracket::Outside;
                Kind::RightBracket
            }
            c => return Err(self.error(format!("unexpected character: {}", quoted_char(Some(c))))),
        };
        Ok(kind)
    }

    /// The rest of an operator that starts with one of `=!<>`.
    fn comparison(&mut self, first: char) -> Result<Kind> {
        let second = self.peek_char();
        let (kind, len) = match (first, second) {
            ('=', Some('=')) => (Kind::Op(BinaryOp::Eq), 1),
            ('=', Some('~')) => {
                return Err(self.error("unexpected character after '=': '~'"));
            }
            ('=', _) => (Kind::Equal, 0),
            ('!', Some('=')) => (Kind::Op(BinaryOp::Ne), 1),
            ('!', c) => {
                let c = quoted_char(c);
                return Err(self.error(format!("unexpected character after '!': {c}")));
            }
            ('<', Some('=')) => (Kind::Op(BinaryOp::Le), 1),
            ('<', Some('/')) => (Kind::Op(BinaryOp::TrimUpper), 1),
            ('<', _) => (Kind::Op(BinaryOp::Lt), 0),
            (_, Some('=')) => (Kind::Op(BinaryOp::Ge), 1),
            (_, Some('/')) => (Kind::Op(BinaryOp::TrimLower), 1),
            (_, _) => (Kind::Op(BinaryOp::Gt), 0),
        };
        self.pos += len;
        Ok(kind)
    }

    fn left_paren(&mut self) -> Kind {
        self.paren_depth += 1;
        Kind::LeftParen
    }

    fn right_paren(&mut self) -> Result<Kind> {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Ok(Kind::RightParen)
            }
            None => Err(self.error_behind("unexpected right parenthesis ')'")),
        }
    }

    fn word(&mut self) -> Kind {
        let has_dots = self.is_lookout;
        self.skip_while(|b| is_word(b) || b == b':' || (has_dots && b == b'.'));
        match classify(&self.input[self.start..self.pos]) {
            // These became keywords late, so they are names wherever they can be.
            Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
                if !self.is_before_paren() =>
            {
                Kind::Identifier
            }
            kind => kind,
        }
    }

    fn is_before_paren(&self) -> bool {
        self.input[self.pos..]
            .bytes()
            .find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            == Some(b'(')
    }

    /// A colon or a function name after the first number inside brackets.
    fn word_in_brackets(&mut self, first: char, colon: bool) -> Result<Kind> {
        if first == ':' {
            if colon {
                return Err(self.error("unexpected colon ':'"));
            }
            self.pos += 1;
            self.bracket = Bracket::After { colon: true };
            return Ok(Kind::Colon);
        }
        self.duration_keyword().map(Kind::Keyword).ok_or_else(|| {
            let c = quoted_char(Some(first));
            self.error(format!("unexpected character: {c}, expected ':'"))
        })
    }

    /// The function name at the scanner's place, if there is one.
    fn duration_keyword(&mut self) -> Option<Keyword> {
        self.skip_while(|b| b.is_ascii_alphabetic() || b == b'_');
        let word = self.input[self.start..self.pos].to_ascii_lowercase();
        classify_in_duration(word.as_bytes())
    }

    fn next_before_number(&mut self, colon: bool) -> Result<Kind> {
        let Some(c) = self.peek_char() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        if c.is_ascii_digit()
            || (c == '.' && self.input[self.pos + 1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            self.seen_duration = true;
            self.bracket = Bracket::After { colon };
            return self.number_or_duration();
        }
        let unexpected = "unexpected character in duration expression";
        if c.is_ascii_alphabetic() || c == '_' {
            return self
                .duration_keyword()
                .map(Kind::Keyword)
                .ok_or_else(|| self.error(format!("{unexpected}: {}", quoted_char(Some(c)))));
        }
        self.pos += c.len_utf8();
        Ok(match c {
            ']' => {
                self.bracket = Bracket::Outside;
                Kind::RightBracket
            }
            ':' if !self.seen_duration => {
                return Err(
                    self.error_behind("unexpected colon before duration in duration expression")
                );
            }
            ':' if colon => {
                return Err(self.error_behind("unexpected repeated colon in duration expression"));
            }
            ':' => {
                self.bracket = Bracket::Before { colon: true };
                Kind::Colon
            }
            '(' => self.left_paren(),
            ')' => return self.right_paren(),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            ',' => Kind::Comma,
            c => return Err(self.error(format!("{unexpected}: {}", quoted_char(Some(c))))),
        })
    }

    fn next_in_braces(&mut self) -> Result<Kind> {
        let Some(c) = self.peek_char() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        self.pos += c.len_utf8();
        Ok(match c {
            'a'..='z' | 'A'..='Z' | '_' => {
                self.skip_while(is_word);
                Kind::Identifier
            }
            ',' => Kind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.accept(|b| b == b'~') => {
                if self.is_lookout && self.accept(|b| b == b'|') {
                    Kind::InSet
                } else {
                    Kind::EqualRegex
                }
            }
            '=' => Kind::Equal,
            '!' if self.accept(|b| b == b'~') => {
                if self.is_lookout && self.accept(|b| b == b'|') {
                    Kind::NotInSet
                } else {
                    Kind::NotRegex
                }
            }
            '!' if self.accept(|b| b == b'=') => Kind::Op(BinaryOp::Ne),
            '!' => {
                let c = quoted_char(self.peek_char());
                let message = format!("unexpected character after '!' inside braces: {c}");
                return Err(self.error(message));
            }
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.in_braces = false;
                Kind::RightBrace
            }
            c => {
                let c = quoted_char(Some(c));
                return Err(self.error(format!("unexpected character inside braces: {c}")));
            }
        })
    }
}

/// Part of a word, colons apart.
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
