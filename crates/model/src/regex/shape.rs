//! What an expression amounts to: a few strings, strings with certain parts, or an automaton.

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::draft::Draft;
use super::fixed::Fixed;
use super::fold::lowered;
use super::needle::Needle;
use super::set::{Prefixes, StringSet, Suffixes, common_prefix, ends_with, starts_with};
use super::{RegexError, compile};

/// Bytes up to which a value is put into lower case without allocating.
const LOWER_INLINE: usize = 128;

/// How an expression is matched.
#[derive(Debug)]
pub(super) enum Shape {
    /// These strings and no other.
    Set(StringSet),
    /// Strings with certain parts, in order.
    Glob(Glob),
    /// Strings of which each character is fixed or of a class.
    Fixed(Fixed),
    /// What one of several shapes matches.
    AnyOf(Box<[Shape]>),
    /// Ignores case: values in ASCII are put into lower case for `lower`, others run on the
    /// automaton, as some of their characters fold to ASCII letters (`K`, the Kelvin sign).
    IgnoreCase {
        lower: Box<Shape>,
        automaton: meta::Regex,
    },
    /// Anything else.
    Automaton {
        /// What every match starts with.
        prefix: Box<str>,
        /// What every match ends with.
        suffix: Box<str>,
        regex: meta::Regex,
    },
}

impl Shape {
    /// The shape of an expression without operators.
    pub(super) fn literal(s: &str) -> Self {
        Self::Set(StringSet::new(vec![s.to_owned()]))
    }

    /// The shape of a whole expression, with its anchors.
    pub(super) fn of(hir: &Hir) -> Result<Self, RegexError> {
        let Some(body) = between_anchors(hir) else {
            // The user closed the group that we put around: `a)|(b`.
            return Self::automaton(hir, "", "");
        };
        if let Some(shape) = Draft::of(body).and_then(Draft::finish) {
            return Ok(shape);
        }
        if let Some(fixed) = Fixed::of(body) {
            return Ok(Self::Fixed(fixed));
        }
        let lower = lowered(body).and_then(|lower| Draft::of(&lower)?.finish());
        if let Some(lower) = lower {
            return Ok(Self::IgnoreCase {
                lower: Box::new(lower),
                automaton: compile(hir, WhichCaptures::None)?,
            });
        }
        let prefix = body.first().and_then(literal).unwrap_or_default();
        let suffix = body.last().and_then(literal).unwrap_or_default();
        Self::automaton(hir, prefix, suffix)
    }

    fn automaton(hir: &Hir, prefix: &str, suffix: &str) -> Result<Self, RegexError> {
        Ok(Self::Automaton {
            prefix: prefix.into(),
            suffix: suffix.into(),
            regex: compile(hir, WhichCaptures::None)?,
        })
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Set(strings) => strings.contains(value),
            Self::Glob(glob) => glob.is_match(value),
            Self::Fixed(fixed) => fixed.is_match(value),
            Self::AnyOf(shapes) => shapes.iter().any(|shape| shape.is_match(value)),
            Self::IgnoreCase { lower, automaton } => {
                if value.is_ascii() {
                    with_lower_case(value, |value| lower.is_match(value))
                } else {
                    automaton.is_match(value)
                }
            }
            Self::Automaton {
                prefix,
                suffix,
                regex,
            } => starts_with(value, prefix) && ends_with(value, suffix) && regex.is_match(value),
        }
    }

    /// False only when `value` does not match; sure unless only an automaton can tell.
    pub(super) fn may_match(&self, value: &str) -> bool {
        match self {
            Self::Automaton { prefix, suffix, .. } => {
                starts_with(value, prefix) && ends_with(value, suffix)
            }
            _ => self.is_match(value),
        }
    }

    pub(super) fn set_matches(&self) -> Option<&[Box<str>]> {
        match self {
            Self::Set(strings) => Some(strings.as_slice()),
            _ => None,
        }
    }

    pub(super) fn prefix(&self) -> &str {
        match self {
            // Sorted, so that the ends differ most.
            Self::Set(strings) => {
                let strings = strings.as_slice();
                common_prefix(
                    [strings.first(), strings.last()]
                        .into_iter()
                        .flatten()
                        .map(|s| &**s),
                )
            }
            Self::Glob(glob) => glob.prefix.common(),
            Self::Fixed(fixed) => fixed.prefix(),
            Self::AnyOf(shapes) => common_prefix(shapes.iter().map(Self::prefix)),
            Self::IgnoreCase { .. } => "",
            Self::Automaton { prefix, .. } => prefix,
        }
    }
}

/// Parts of an expression between the anchors around it; `None` when they are not around all of it.
pub(super) fn between_anchors(hir: &Hir) -> Option<&[Hir]> {
    let HirKind::Concat(parts) = hir.kind() else {
        return None;
    };
    let is = |hir: &Hir, look| matches!(hir.kind(), HirKind::Look(found) if *found == look);
    let leading = parts.iter().take_while(|p| is(p, Look::Start)).count();
    let trailing = parts.iter().rev().take_while(|p| is(p, Look::End)).count();
    (leading > 0 && trailing > 0).then(|| &parts[leading..parts.len() - trailing])
}

fn literal(hir: &Hir) -> Option<&str> {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok(),
        _ => None,
    }
}

fn with_lower_case(value: &str, test: impl FnOnce(&str) -> bool) -> bool {
    let mut buffer = [0; LOWER_INLINE];
    let Some(lower) = buffer.get_mut(..value.len()) else {
        return test(&value.to_ascii_lowercase());
    };
    lower.copy_from_slice(value.as_bytes());
    lower.make_ascii_lowercase();
    test(std::str::from_utf8(lower).expect("lower case of ASCII is ASCII"))
}

/// Strings that consist of a prefix, parts with anything in between, and a suffix.
#[derive(Debug)]
pub(super) struct Glob {
    pub(super) prefix: Prefixes,
    /// Parts in between, each with the least number of characters before it.
    pub(super) parts: Box<[(usize, Needle)]>,
    /// Least number of characters before the suffix.
    pub(super) last_gap: usize,
    pub(super) suffix: Suffixes,
}

impl Glob {
    /// Takes every part where it ends first, which leaves the most to the parts after it; that
    /// is enough because what lies between parts has no upper bound.
    fn is_match(&self, value: &str) -> bool {
        let Some(prefix_len) = self.prefix.find(value) else {
            return false;
        };
        let mut rest = &value[prefix_len..];
        let Some(suffix_len) = self.suffix.find(rest) else {
            return false;
        };
        rest = &rest[..rest.len() - suffix_len];
        for (gap, needle) in &self.parts {
            let Some(after_gap) = skip(rest, *gap) else {
                return false;
            };
            match needle.first_end(after_gap.as_bytes()) {
                Some(end) => rest = &after_gap[end..],
                None => return false,
            }
        }
        skip(rest, self.last_gap).is_some()
    }
}

/// `s` without its first `chars` characters.
fn skip(s: &str, chars: usize) -> Option<&str> {
    match chars {
        0 => Some(s),
        _ => s
            .char_indices()
            .nth(chars - 1)
            .map(|(at, c)| &s[at + c.len_utf8()..]),
    }
}
