//! What a target exposed before, line by line, so that a line that comes again is recognised by its
//! bytes alone.
//!
//! A target exposes its lines in the same order each time. So every line knows the one that came
//! after it last, and the next line of a scrape is compared with that before anything is looked up:
//! one comparison of memory instead of a parse and a hash.

use ahash::RandomState;
use hashbrown::HashTable;
use model::MetricType;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A sample of the series of this number.
    Series(u32),
    /// A sample of a series that relabelling drops.
    Dropped,
    /// A sample of a classic histogram that becomes a native one: the part of this number.
    Part(u32),
    /// Metadata of the family of this number; a `# TYPE` line says the type.
    Metadata(u32, Option<MetricType>),
}

/// A line that was met: for a sample the text of its series, for metadata all of it.
#[derive(Debug)]
struct Line {
    text: Box<[u8]>,
    what: What,
    /// The line that followed it last.
    next: u32,
    /// The round in which it was met last.
    met: u64,
}

/// The start: comes before the first line, and has no text.
const START: u32 = 0;

/// Lines, and the place among them where a scrape is.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    free: Vec<u32>,
    by_text: HashTable<u32>,
    hasher: RandomState,
    /// The line that was met last.
    last: u32,
    round: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            lines: vec![Line {
                text: Box::default(),
                what: What::Dropped,
                next: START,
                met: 0,
            }],
            free: Vec::new(),
            by_text: HashTable::new(),
            hasher: RandomState::new(),
            last: START,
            round: 0,
        }
    }
}

impl Lines {
    /// Goes back to the start, for another round.
    pub(super) fn restart(&mut self, round: u64) {
        self.last = START;
        self.round = round;
    }

    /// Number of lines that are known.
    pub(super) fn len(&self) -> usize {
        self.by_text.len()
    }

    /// The line that is expected next, and what it is about; its text is empty when none is.
    #[inline]
    pub(super) fn expected(&self) -> (&[u8], What) {
        let line = &self.lines[self.lines[self.last as usize].next as usize];
        (&line.text, line.what)
    }

    /// Takes the expected line as met; true if it was met in this round before.
    #[inline]
    pub(super) fn meet_expected(&mut self) -> bool {
        self.last = self.lines[self.last as usize].next;
        self.meet()
    }

    fn meet(&mut self) -> bool {
        let line = &mut self.lines[self.last as usize];
        let again = line.met == self.round;
        line.met = self.round;
        again
    }

    /// Takes the line of this text as met, if it is known: what it is about, and whether it was met
    /// in this round before.
    pub(super) fn meet_text(&mut self, text: &[u8]) -> Option<(What, bool)> {
        let hash = self.hasher.hash_one(text);
        let equals = |at: &u32| *self.lines[*at as usize].text == *text;
        let at = *self.by_text.find(hash, equals)?;
        self.lines[self.last as usize].next = at;
        self.last = at;
        Some((self.lines[at as usize].what, self.meet()))
    }

    /// Adds a line that is not known and takes it as met.
    pub(super) fn add(&mut self, text: &[u8], what: What) {
        let line = Line {
            text: text.into(),
            what,
            next: START,
            met: self.round,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.lines[at as usize] = line;
                at
            }
            None => {
                self.lines.push(line);
                u32::try_from(self.lines.len() - 1).expect("bodies hold fewer lines")
            }
        };
        let Self {
            lines,
            by_text,
            hasher,
            ..
        } = self;
        let hash = |at: &u32| hasher.hash_one(&*lines[*at as usize].text);
        by_text.insert_unique(hash(&at), at, hash);
        self.lines[self.last as usize].next = at;
        self.last = at;
    }

    /// Forgets the lines that were not met in this round; gives what they were about to `gone`.
    pub(super) fn forget_unmet(&mut self, mut gone: impl FnMut(What)) {
        let Self {
            lines,
            by_text,
            free,
            round,
            ..
        } = self;
        by_text.retain(|at| {
            let line = &mut lines[*at as usize];
            let keep = line.met == *round;
            if !keep {
                // Whoever expects this line compares with a text that matches nothing.
                line.text = Box::default();
                free.push(*at);
                gone(line.what);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_round_before_is_expected() {
        let mut lines = Lines::default();
        lines.restart(1);
        assert!(lines.expected().0.is_empty());
        for (i, text) in [&b"a"[..], b"b", b"c"].into_iter().enumerate() {
            assert_eq!(lines.meet_text(text), None);
            lines.add(text, What::Series(i as u32));
        }
        lines.forget_unmet(|_| {});

        lines.restart(2);
        assert_eq!(lines.expected(), (&b"a"[..], What::Series(0)));
        assert!(!lines.meet_expected());
        // A line is left out: the one after it is found by its text, and expected from then on.
        assert_eq!(lines.expected().0, b"b");
        assert_eq!(lines.meet_text(b"c"), Some((What::Series(2), false)));
        assert_eq!(lines.meet_text(b"c"), Some((What::Series(2), true)));
        lines.forget_unmet(|_| {});
        assert_eq!(lines.len(), 2);

        lines.restart(3);
        lines.meet_expected();
        assert_eq!(lines.expected(), (&b"c"[..], What::Series(2)));
        assert_eq!(lines.meet_text(b"b"), None);
        lines.add(b"b", What::Dropped);
        assert_eq!(lines.meet_text(b"b"), Some((What::Dropped, true)));
    }
}
