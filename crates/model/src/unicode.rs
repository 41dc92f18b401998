//! Classes of characters that Go's library distinguishes and Rust's does not.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// True for letters and decimal digits: categories L and Nd.
pub(crate) fn is_letter_or_digit(c: char) -> bool {
    static CLASS: LazyLock<ClassUnicode> = LazyLock::new(|| class(r"[\p{L}\p{Nd}]"));
    match c {
        '\0'..='\x7f' => c.is_ascii_alphanumeric(),
        _ => contains(&CLASS, c),
    }
}

/// True for what Go prints without escaping: letters, marks, numbers, punctuation, symbols and the
/// ASCII space.
pub(crate) fn is_print(c: char) -> bool {
    static CLASS: LazyLock<ClassUnicode> = LazyLock::new(|| class(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]"));
    match c {
        '\0'..='\x7f' => c == ' ' || c.is_ascii_graphic(),
        _ => contains(&CLASS, c),
    }
}

fn class(expression: &str) -> ClassUnicode {
    match regex_syntax::parse(expression).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        _ => unreachable!("{expression} is a class of characters"),
    }
}

fn contains(class: &ClassUnicode, c: char) -> bool {
    let ranges = class.ranges();
    let after = ranges.partition_point(|range| range.start() <= c);
    ranges[..after].last().is_some_and(|range| c <= range.end())
}

/// Lower case, one character for one, as Go's `strings.ToLower`.
pub(crate) fn to_lower(s: &str) -> String {
    s.chars()
        .map(|c| match c {
            '\u{130}' => 'i',
            _ => only(c.to_lowercase()).unwrap_or(c),
        })
        .collect()
}

/// Upper case, one character for one, as Go's `strings.ToUpper`.
pub(crate) fn to_upper(s: &str) -> String {
    let titlecase_at = |c: char, distance: u32| char::from_u32(u32::from(c) + distance);
    s.chars()
        .map(|c| match c {
            // Greek letters with iota, which only together have an upper case of two letters.
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
                titlecase_at(c, 8).unwrap_or(c)
            }
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => titlecase_at(c, 9).unwrap_or(c),
            _ => only(c.to_uppercase()).unwrap_or(c),
        })
        .collect()
}

fn only(mut chars: impl ExactSizeIterator<Item = char>) -> Option<char> {
    if chars.len() == 1 { chars.next() } else { None }
}
