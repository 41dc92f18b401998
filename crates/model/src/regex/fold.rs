//! Expressions that ignore case, seen by values in ASCII.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};

use super::draft::is_any_character;

/// What `body` matches of a value in ASCII that has been put into lower case, if it matches
/// exactly the values that it matches before; `None` when case matters to some part of it.
pub(super) fn lowered(body: &[Hir]) -> Option<Vec<Hir>> {
    let parts: Option<Vec<Hir>> = body.iter().map(lower).collect();
    let joined = Hir::concat(parts?);
    Some(match joined.kind() {
        HirKind::Concat(parts) => parts.clone(),
        _ => vec![joined],
    })
}

fn lower(hir: &Hir) -> Option<Hir> {
    match hir.kind() {
        HirKind::Empty => Some(Hir::empty()),
        HirKind::Literal(literal) => {
            let case_matters = literal.0.iter().any(u8::is_ascii_alphabetic);
            (!case_matters).then(|| hir.clone())
        }
        HirKind::Class(class) if is_any_character(class) => Some(hir.clone()),
        HirKind::Class(Class::Unicode(class)) => lower_class(class),
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
        HirKind::Capture(capture) => lower(&capture.sub),
        HirKind::Concat(parts) => {
            let parts: Option<Vec<Hir>> = parts.iter().map(lower).collect();
            parts.map(Hir::concat)
        }
        HirKind::Alternation(parts) => {
            let parts: Option<Vec<Hir>> = parts.iter().map(lower).collect();
            parts.map(Hir::alternation)
        }
        HirKind::Repetition(repetition) => {
            let sub = Box::new(lower(&repetition.sub)?);
            Some(Hir::repetition(Repetition {
                sub,
                ..repetition.clone()
            }))
        }
    }
}

fn lower_class(class: &ClassUnicode) -> Option<Hir> {
    let mut ascii = class.clone();
    ascii.intersect(&one_range('\0', '\x7f'));
    let mut upper = ascii.clone();
    upper.intersect(&one_range('A', 'Z'));
    let mut lower = ascii.clone();
    lower.intersect(&one_range('a', 'z'));
    // Both cases of a letter are in, or none.
    let to_lower = |r: &ClassUnicodeRange| {
        ClassUnicodeRange::new(r.start().to_ascii_lowercase(), r.end().to_ascii_lowercase())
    };
    let same = upper
        .ranges()
        .iter()
        .map(to_lower)
        .eq(lower.ranges().iter().copied());
    ascii.difference(&one_range('A', 'Z'));
    same.then(|| Hir::class(Class::Unicode(ascii)))
}

fn one_range(start: char, end: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(start, end)])
}
