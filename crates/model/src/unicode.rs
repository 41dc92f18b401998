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
