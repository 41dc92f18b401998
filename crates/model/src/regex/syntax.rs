//! Parses the syntax of Go's `regexp` (RE2, Perl flavour) into the syntax tree of `regex-syntax`.
//!
//! The two languages look alike and differ in what they accept and mean: `\Q..\E`, octal escapes,
//! `[a&&b]`, `\s`, stacked repetitions, flags, Unicode names. Parsing Go's language directly keeps
//! every expression that Prometheus accepts, with Prometheus' meaning, and refuses every other
//! with Prometheus' words.
//!
//! What differs: tables follow the Unicode version of `regex-syntax`, which may be newer than
//! Go's; scripts with names of several words, which Go 1.25 and 1.26 fail to find, are found; and
//! the limits [`MAX_HEIGHT`] and [`MAX_RANGES`] are lower than Go's.

mod class;
mod escape;
mod group;

use regex_syntax::hir::{
    Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Look, Repetition,
};

use super::RegexError;

/// Deepest nesting; Go allows 1000 levels, on stacks that grow. People write less than 20.
const MAX_HEIGHT: u32 = 250;
/// Most copies of one thing that nested counted repetitions may ask for, as in Go.
const MAX_COPIES: u32 = 1000;
/// Most ranges that all character classes of one expression may have (8 bytes each).
const MAX_RANGES: usize = 1 << 20;

/// A parsed expression.
pub(super) struct Parsed {
    /// The syntax tree.
    pub(super) hir: Hir,
    /// Names of the capture groups, by index; group 0 is the whole match and has none.
    pub(super) names: Vec<Option<Box<str>>>,
}

/// Parses `pattern`. Without `captures`, capturing groups only group, which gives a simpler tree.
pub(super) fn parse(pattern: &str, captures: bool) -> Result<Parsed, RegexError> {
    let mut parser = Parser {
        whole: pattern,
        rest: pattern,
        flags: Flags::default(),
        open: vec![Group::default()],
        names: vec![None],
        captures,
        ranges: 0,
    };
    parser.run()?;
    let group = parser
        .open
        .pop()
        .expect("the outermost group is never closed");
    if !parser.open.is_empty() {
        return Err(syntax("missing closing )", pattern));
    }
    let node = parser.finish_alternation(group)?;
    Ok(Parsed {
        hir: node.hir,
        names: parser.names,
    })
}

fn syntax(message: &'static str, fragment: &str) -> RegexError {
    RegexError::Syntax {
        message,
        fragment: fragment.to_owned(),
    }
}

/// Settings that `(?flags)` changes.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `i`
    fold_case: bool,
    /// `s`
    dot_matches_newline: bool,
    /// `m`
    multi_line: bool,
    /// `U`
    swap_greed: bool,
}

/// A finished part of the tree.
struct Node {
    hir: Hir,
    /// Levels of nesting.
    height: u32,
    /// Most copies of one thing that counted repetitions inside ask for.
    copies: u32,
}

impl Node {
    fn leaf(hir: Hir) -> Self {
        Self {
            hir,
            height: 1,
            copies: 1,
        }
    }
}

/// What has been read of a group: the alternatives before the last `|` and the sequence after it.
#[derive(Default)]
struct Group {
    /// Flags to go back to after the group.
    flags_outside: Flags,
    /// Index of the capture group, if it is one.
    capture: Option<u32>,
    alternatives: Vec<Node>,
    sequence: Vec<Node>,
    /// Literal characters that end the sequence and are not in it yet.
    literal: String,
}

impl Group {
    fn flush_literal(&mut self) {
        if !self.literal.is_empty() {
            let bytes = std::mem::take(&mut self.literal).into_bytes();
            self.sequence.push(Node::leaf(Hir::literal(bytes)));
        }
    }

    fn push(&mut self, node: Node) {
        self.flush_literal();
        self.sequence.push(node);
    }

    /// Takes the last thing of the sequence, which a repetition applies to.
    fn pop(&mut self) -> Option<Node> {
        match self.literal.pop() {
            Some(c) => Some(Node::leaf(literal(c))),
            None => self.sequence.pop(),
        }
    }
}

fn literal(c: char) -> Hir {
    Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes())
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    flags: Flags,
    /// Open groups, innermost last; the first stands for the whole expression.
    open: Vec<Group>,
    names: Vec<Option<Box<str>>>,
    captures: bool,
    /// Ranges of all classes so far.
    ranges: usize,
}

impl<'p> Parser<'p> {
    fn run(&mut self) -> Result<(), RegexError> {
        // Where the repetition before starts, when there is nothing in between.
        let mut last_repetition = None;
        while let Some(c) = self.rest.chars().next() {
            let start = self.rest;
            let mut repetition = None;
            match c {
                '(' if self.rest.starts_with("(?") => self.group_with_flags()?,
                '(' => {
                    self.rest = &self.rest[1..];
                    self.open_capture(None);
                }
                ')' => self.close_group()?,
                '|' => {
                    self.rest = &self.rest[1..];
                    let node = self.finish_sequence()?;
                    self.group().alternatives.push(node);
                }
                '*' | '+' | '?' => {
                    self.rest = &self.rest[1..];
                    let min = u32::from(c == '+');
                    let max = (c == '?').then_some(1);
                    self.repeat(start, (min, max), last_repetition)?;
                    repetition = Some(start);
                }
                '{' => match escape::counts(self.rest) {
                    None => self.next_literal(),
                    Some((counts, after)) => {
                        self.rest = after;
                        let counts = counts
                            .ok_or_else(|| syntax("invalid repeat count", self.since(start)))?;
                        self.repeat(start, counts, last_repetition)?;
                        repetition = Some(start);
                    }
                },
                '\\' => self.backslash()?,
                '[' => {
                    let class = self.bracket_class()?;
                    self.push_class(class)?;
                }
                '^' | '$' | '.' => {
                    self.rest = &self.rest[1..];
                    let hir = self.one_character_operator(c);
                    self.group().push(Node::leaf(hir));
                }
                _ => self.next_literal(),
            }
            last_repetition = repetition;
        }
        Ok(())
    }

    /// What has been read since `start`.
    fn since(&self, start: &'p str) -> &'p str {
        &start[..start.len() - self.rest.len()]
    }

    fn group(&mut self) -> &mut Group {
        self.open
            .last_mut()
            .expect("the outermost group is never closed")
    }

    fn one_character_operator(&self, operator: char) -> Hir {
        match (operator, self.flags) {
            (
                '^',
                Flags {
                    multi_line: true, ..
                },
            ) => Hir::look(Look::StartLF),
            ('^', _) => Hir::look(Look::Start),
            (
                '$',
                Flags {
                    multi_line: true, ..
                },
            ) => Hir::look(Look::EndLF),
            ('$', _) => Hir::look(Look::End),
            (
                _,
                Flags {
                    dot_matches_newline: true,
                    ..
                },
            ) => Hir::dot(Dot::AnyChar),
            _ => Hir::dot(Dot::AnyCharExceptLF),
        }
    }

    fn backslash(&mut self) -> Result<(), RegexError> {
        let start = self.rest;
        let look = match start.as_bytes().get(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.rest = &start[2..];
            self.group().push(Node::leaf(Hir::look(look)));
            return Ok(());
        }
        match start.as_bytes().get(1) {
            Some(b'C') => Err(syntax("invalid escape sequence", &start[..2])),
            Some(b'Q') => {
                let (quoted, after) = start[2..].split_once("\\E").unwrap_or((&start[2..], ""));
                for c in quoted.chars() {
                    self.push_char(c);
                }
                self.rest = after;
                Ok(())
            }
            _ => {
                let fold = self.flags.fold_case;
                if let Some((class, after)) = class::escaped_class(start, fold)? {
                    self.rest = after;
                    return self.push_class(class);
                }
                let (code, after) = escape::character(start)?;
                self.rest = after;
                match char::from_u32(code) {
                    Some(c) => self.push_char(c),
                    // A surrogate, which no string contains.
                    None => self.group().push(Node::leaf(Hir::fail())),
                }
                Ok(())
            }
        }
    }

    fn next_literal(&mut self) {
        let c = self.rest.chars().next().expect("called before the end");
        self.rest = &self.rest[c.len_utf8()..];
        self.push_char(c);
    }

    fn push_char(&mut self, c: char) {
        if self.flags.fold_case {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            class.case_fold_simple();
            if class.literal().is_none() {
                let hir = Hir::class(Class::Unicode(class));
                self.group().push(Node::leaf(hir));
                return;
            }
        }
        self.group().literal.push(c);
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), RegexError> {
        self.ranges += class.ranges().len();
        if self.ranges > MAX_RANGES {
            return Err(syntax("expression too large", self.whole));
        }
        let hir = Hir::class(Class::Unicode(class));
        self.group().push(Node::leaf(hir));
        Ok(())
    }

    /// Applies the repetition that starts at `start` and has been read, but for a `?` after it.
    fn repeat(
        &mut self,
        start: &'p str,
        (min, max): (u32, Option<u32>),
        last_repetition: Option<&'p str>,
    ) -> Result<(), RegexError> {
        let mut greedy = !self.flags.swap_greed;
        if let Some(after) = self.rest.strip_prefix('?') {
            self.rest = after;
            greedy = !greedy;
        }
        if let Some(before) = last_repetition {
            let fragment = self.since(before);
            return Err(syntax("invalid nested repetition operator", fragment));
        }
        let Some(node) = self.group().pop() else {
            let fragment = self.since(start);
            return Err(syntax("missing argument to repetition operator", fragment));
        };
        let copies = match max {
            Some(0) => 1,
            _ => node.copies.saturating_mul(max.unwrap_or(min).max(1)),
        };
        if copies > MAX_COPIES {
            return Err(syntax("invalid repeat count", self.since(start)));
        }
        let hir = Hir::repetition(Repetition {
            min,
            max,
            greedy,
            sub: Box::new(node.hir),
        });
        let node = self.nest(hir, node.height, copies)?;
        self.group().push(node);
        Ok(())
    }

    /// A node one level above something `height` levels high.
    fn nest(&self, hir: Hir, height: u32, copies: u32) -> Result<Node, RegexError> {
        let height = height + 1;
        if height > MAX_HEIGHT {
            return Err(syntax("expression nests too deeply", self.whole));
        }
        Ok(Node {
            hir,
            height,
            copies,
        })
    }

    fn combine(
        &self,
        mut nodes: Vec<Node>,
        combine: fn(Vec<Hir>) -> Hir,
    ) -> Result<Node, RegexError> {
        if nodes.len() == 1 {
            return Ok(nodes.remove(0));
        }
        let height = nodes.iter().map(|n| n.height).max().unwrap_or(0);
        let copies = nodes.iter().map(|n| n.copies).max().unwrap_or(1);
        let hir = combine(nodes.into_iter().map(|n| n.hir).collect());
        self.nest(hir, height, copies)
    }

    /// Closes the sequence after the last `|` of the innermost group.
    fn finish_sequence(&mut self) -> Result<Node, RegexError> {
        let group = self.group();
        group.flush_literal();
        let sequence = std::mem::take(&mut group.sequence);
        self.combine(sequence, Hir::concat)
    }

    fn finish_alternation(&self, mut group: Group) -> Result<Node, RegexError> {
        group.flush_literal();
        let last = self.combine(group.sequence, Hir::concat)?;
        group.alternatives.push(last);
        self.combine(group.alternatives, Hir::alternation)
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        self.rest = &self.rest[1..];
        let group = self
            .open
            .pop()
            .expect("the outermost group is never closed");
        if self.open.is_empty() {
            return Err(syntax("unexpected )", self.whole));
        }
        self.flags = group.flags_outside;
        let capture = group.capture;
        let mut node = self.finish_alternation(group)?;
        if let Some(index) = capture {
            let hir = Hir::capture(Capture {
                index,
                name: None,
                sub: Box::new(node.hir),
            });
            node = self.nest(hir, node.height, node.copies)?;
        }
        self.group().push(node);
        Ok(())
    }
}
