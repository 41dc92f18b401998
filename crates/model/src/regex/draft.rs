//! Finds out whether an expression stands for a few strings, or for strings with certain parts.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::needle::Needle;
use super::set::{Prefixes, StringSet, Suffixes};
use super::shape::{Glob, Shape};

/// Most strings that an expression is multiplied out to (alternatives that are written out count
/// extra).
const STRINGS_MAX: usize = 256;
/// Most bytes of those strings.
const STRING_BYTES_MAX: usize = 1 << 20;
/// Most globs that are tried one after the other; an automaton is faster on more.
const GLOBS_MAX: usize = 16;

/// The union of some strings and some globs.
#[derive(Default)]
pub(super) struct Draft {
    strings: Vec<String>,
    globs: Vec<GlobDraft>,
    /// Strings so far, those of globs among them.
    size: usize,
}

struct GlobDraft {
    prefix: Vec<String>,
    /// Parts after the prefix, each with the gap before it; the last is the suffix.
    parts: Vec<(Gap, Vec<String>)>,
}

/// Any characters at all.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Gap {
    /// At least so many.
    min: usize,
    /// Or exactly `min`, or at most some number.
    unbounded: bool,
}

impl Draft {
    /// What the sequence `body` stands for; `None` when it is neither strings nor globs.
    pub(super) fn of(body: &[Hir]) -> Option<Self> {
        let mut draft = Self::default();
        draft.add(body)?;
        Some(draft)
    }

    fn add(&mut self, body: &[Hir]) -> Option<()> {
        if let Some(strings) = strings_of_sequence(body) {
            self.size += strings.len();
            self.strings.extend(strings);
            return Some(());
        }
        if let [one] = body {
            match one.kind() {
                HirKind::Alternation(alternatives) => {
                    let size_max = STRINGS_MAX + alternatives.len();
                    return alternatives.iter().try_for_each(|alternative| {
                        self.add(sequence(alternative))?;
                        (self.size <= size_max).then_some(())
                    });
                }
                HirKind::Repetition(Repetition {
                    min: 0,
                    max: Some(1),
                    sub,
                    ..
                }) => {
                    self.strings.push(String::new());
                    return self.add(sequence(sub));
                }
                _ => {}
            }
        }
        let glob = GlobDraft::of(body)?;
        self.size += 1 + glob
            .sets()
            .map(|set| set.len().saturating_sub(1))
            .sum::<usize>();
        // Without strings, a set is a part that nothing matches.
        let possible = glob.sets().all(|set| !set.is_empty());
        self.globs.extend(possible.then_some(glob));
        Some(())
    }

    /// The shape; `None` when an automaton would be better.
    pub(super) fn finish(self) -> Option<Shape> {
        if self.globs.is_empty() {
            return Some(Shape::Set(StringSet::new(self.strings)));
        }
        let globs = merge(self.globs);
        if globs.len() > GLOBS_MAX {
            return None;
        }
        let mut shapes = Vec::with_capacity(globs.len() + 1);
        if !self.strings.is_empty() {
            shapes.push(Shape::Set(StringSet::new(self.strings)));
        }
        for glob in globs {
            shapes.push(Shape::Glob(glob.finish()?));
        }
        match shapes.len() {
            1 => shapes.pop(),
            _ => Some(Shape::AnyOf(shapes.into_boxed_slice())),
        }
    }
}

/// Joins the globs that only ask for a prefix, for a suffix or for a part, so that thousands of
/// them cost as much as one.
fn merge(globs: Vec<GlobDraft>) -> Vec<GlobDraft> {
    let mut merged: Vec<GlobDraft> = Vec::new();
    // Where in `merged` the globs of each kind are gathered.
    let mut gathered: Vec<(OnlySet, usize)> = Vec::new();
    for mut glob in globs {
        let Some(only) = glob.only_set() else {
            merged.push(glob);
            continue;
        };
        match gathered.iter().find(|(kind, _)| *kind == only) {
            Some(&(_, at)) => {
                let strings = std::mem::take(glob.set_mut(only.index));
                merged[at].set_mut(only.index).extend(strings);
            }
            None => {
                gathered.push((only, merged.len()));
                merged.push(glob);
            }
        }
    }
    merged
}

/// The one set of strings that a glob asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct OnlySet {
    /// Number of sets, the prefix and the suffix among them.
    sets: usize,
    /// Index of the one that is not just the empty string.
    index: usize,
}

impl GlobDraft {
    fn of(body: &[Hir]) -> Option<Self> {
        let empty = || vec![String::new()];
        let mut prefix = empty();
        let mut parts: Vec<(Gap, Vec<String>)> = Vec::new();
        // Whether the thing before was a gap.
        let mut in_gap = false;
        for hir in body {
            match (Gap::of(hir), parts.last_mut()) {
                (Some(gap), Some((before, _))) if in_gap => *before = before.then(gap),
                (Some(gap), _) => parts.push((gap, empty())),
                (None, Some((_, last))) => *last = cross(last, strings(hir)?)?,
                (None, None) => prefix = cross(&prefix, strings(hir)?)?,
            }
            in_gap = Gap::of(hir).is_some();
        }
        join_gaps(&mut parts);
        let bounded = parts.is_empty() || parts.iter().any(|(gap, _)| !gap.unbounded);
        (!bounded).then_some(Self { prefix, parts })
    }

    /// The prefix, the parts and the suffix.
    fn sets(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.prefix).chain(self.parts.iter().map(|(_, set)| set))
    }

    /// One of [`GlobDraft::sets`].
    fn set_mut(&mut self, index: usize) -> &mut Vec<String> {
        match index.checked_sub(1) {
            None => &mut self.prefix,
            Some(part) => &mut self.parts[part].1,
        }
    }

    /// Which set matters, when only one does and no gap has a lower bound.
    fn only_set(&self) -> Option<OnlySet> {
        if self.parts.iter().any(|(gap, _)| gap.min > 0) {
            return None;
        }
        let asks = |set: &[String]| !set.iter().any(String::is_empty);
        let mut matters = self.sets().enumerate().filter(|(_, set)| asks(set));
        let (index, _) = matters.next()?;
        let sets = self.parts.len() + 1;
        matters.next().is_none().then_some(OnlySet { sets, index })
    }

    fn finish(mut self) -> Option<Glob> {
        let (last_gap, suffix) = self.parts.pop()?;
        let parts: Option<Vec<_>> = self
            .parts
            .into_iter()
            .map(|(gap, strings)| Some((gap.min, Needle::new(&strings)?)))
            .collect();
        Some(Glob {
            prefix: Prefixes::new(self.prefix),
            parts: parts?.into_boxed_slice(),
            last_gap: last_gap.min,
            suffix: Suffixes::new(suffix),
        })
    }
}

/// Joins the gaps around parts that may be empty, and so ask for nothing.
fn join_gaps(parts: &mut Vec<(Gap, Vec<String>)>) {
    let mut i = 1;
    while i < parts.len() {
        if parts[i - 1].1.iter().any(String::is_empty) {
            let (before, _) = parts.remove(i - 1);
            parts[i - 1].0 = before.then(parts[i - 1].0);
        } else {
            i += 1;
        }
    }
}

impl Gap {
    fn of(hir: &Hir) -> Option<Self> {
        match hir.kind() {
            HirKind::Class(class) if is_any_character(class) => Some(Self {
                min: 1,
                unbounded: false,
            }),
            HirKind::Repetition(Repetition { min, max, sub, .. }) => match sub.kind() {
                HirKind::Class(class) if is_any_character(class) => Some(Self {
                    min: *min as usize,
                    unbounded: max.is_none(),
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// This gap and another right after it.
    fn then(self, other: Self) -> Self {
        Self {
            min: self.min + other.min,
            unbounded: self.unbounded || other.unbounded,
        }
    }
}

pub(super) fn is_any_character(class: &Class) -> bool {
    match class {
        Class::Unicode(class) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        Class::Bytes(_) => false,
    }
}

/// The parts of a concatenation, or the one thing itself.
fn sequence(hir: &Hir) -> &[Hir] {
    match hir.kind() {
        HirKind::Concat(parts) => parts,
        _ => std::slice::from_ref(hir),
    }
}

/// All strings that a sequence matches, if they are few.
fn strings_of_sequence(body: &[Hir]) -> Option<Vec<String>> {
    body.iter()
        .try_fold(vec![String::new()], |all, hir| cross(&all, strings(hir)?))
}

/// All strings that `hir` matches, if they are few.
fn strings(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|r| r.len()).sum();
            let chars = class.ranges().iter().flat_map(|r| r.start()..=r.end());
            (count <= STRINGS_MAX).then(|| chars.map(String::from).collect())
        }
        // How the tree writes what nothing matches.
        HirKind::Class(Class::Bytes(class)) if class.ranges().is_empty() => Some(Vec::new()),
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
        HirKind::Capture(capture) => strings(&capture.sub),
        HirKind::Concat(parts) => strings_of_sequence(parts),
        HirKind::Alternation(alternatives) => {
            let mut all = Vec::with_capacity(alternatives.len());
            for alternative in alternatives {
                all.extend(strings(alternative)?);
                if all.len() > STRINGS_MAX + alternatives.len() {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Repetition(repetition) => repeated(repetition),
    }
}

fn repeated(repetition: &Repetition) -> Option<Vec<String>> {
    let max = repetition.max.filter(|&max| max as usize <= STRINGS_MAX)?;
    let once = strings(&repetition.sub)?;
    let mut copies = vec![String::new()];
    let mut all = Vec::new();
    for count in 0..=max {
        if count > 0 {
            copies = cross(&copies, once.clone())?;
        }
        if count >= repetition.min {
            all.extend_from_slice(&copies);
        }
        if all.len() > STRINGS_MAX {
            return None;
        }
    }
    Some(all)
}

/// Every string of `left` followed by every string of `right`, if these are few.
fn cross(left: &[String], right: Vec<String>) -> Option<Vec<String>> {
    if matches!(left, [one] if one.is_empty()) {
        return Some(right);
    }
    let multiplies = left.len() > 1 && right.len() > 1;
    if multiplies && left.len().saturating_mul(right.len()) > STRINGS_MAX {
        return None;
    }
    let bytes = |strings: &[String]| strings.iter().map(String::len).sum::<usize>();
    let total = bytes(left)
        .saturating_mul(right.len())
        .saturating_add(bytes(&right).saturating_mul(left.len()));
    if total > STRING_BYTES_MAX {
        return None;
    }
    let pairs = left
        .iter()
        .flat_map(|l| right.iter().map(move |r| [&**l, &**r]));
    Some(pairs.map(|pair| pair.concat()).collect())
}
