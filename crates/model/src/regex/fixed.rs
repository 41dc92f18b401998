//! Expressions that fix what each character of a string may be: `5..`, `[45]..`, `v[0-9].[0-9]`.
//!
//! Status codes are selected by them. An automaton for one takes longer to build than a short query to
//! answer, because of all the ways in which UTF-8 writes any one character.

use std::str::from_utf8;

use regex_syntax::hir::{Class, Hir, HirKind};

/// Most characters after the prefix.
const PLACES_MAX: usize = 32;
/// Longest prefix, in bytes.
const PREFIX_MAX: usize = 1024;
/// Most ranges that a character may be in.
const RANGES_MAX: usize = 16;

/// A prefix and what may stand at each place after it.
#[derive(Debug)]
pub(super) struct Fixed {
    prefix: Box<str>,
    places: Box<[Place]>,
}

/// Ranges of characters, both ends included.
type Place = Box<[(char, char)]>;

impl Fixed {
    /// What the sequence `body` stands for; `None` when it is something else, or long.
    pub(super) fn of(body: &[Hir]) -> Option<Self> {
        let mut fixed = (String::new(), Vec::new());
        body.iter().try_for_each(|part| add(part, &mut fixed))?;
        Some(Self {
            prefix: fixed.0.into(),
            places: fixed.1.into(),
        })
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        let Some(rest) = value.strip_prefix(&*self.prefix) else {
            return false;
        };
        let mut chars = rest.chars();
        let fits = |place: &Place| {
            let c = chars.next();
            c.is_some_and(|c| place.iter().any(|&(low, high)| (low..=high).contains(&c)))
        };
        self.places.iter().all(fits) && chars.next().is_none()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Appends what `part` allows; `None` when it allows more than one number of characters.
fn add(part: &Hir, fixed: &mut (String, Vec<Place>)) -> Option<()> {
    let (prefix, places) = &mut *fixed;
    match part.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => {
            let text = from_utf8(&literal.0).ok()?;
            if places.is_empty() {
                prefix.push_str(text);
            } else {
                places.extend(text.chars().map(|c| Place::from([(c, c)])));
            }
        }
        HirKind::Class(Class::Unicode(class)) if class.ranges().len() <= RANGES_MAX => {
            let ranges = class.ranges().iter();
            places.push(ranges.map(|r| (r.start(), r.end())).collect());
        }
        HirKind::Repetition(r) if r.max == Some(r.min) => {
            (0..r.min).try_for_each(|_| add(&r.sub, fixed))?;
        }
        HirKind::Capture(capture) => add(&capture.sub, fixed)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| add(part, fixed))?,
        _ => return None,
    }
    (fixed.1.len() <= PLACES_MAX && fixed.0.len() <= PREFIX_MAX).then_some(())
}
