//! Searching a string for parts of it.

use std::fmt;

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;

/// Non-empty strings, one of which is to be found in a longer string.
pub(super) enum Needle {
    One(Box<Finder<'static>>),
    Many(AhoCorasick),
}

impl Needle {
    /// `None` when the searcher would be too large.
    pub(super) fn new(strings: &[String]) -> Option<Self> {
        if let [one] = strings {
            return Some(Self::One(Box::new(
                Finder::new(one.as_bytes()).into_owned(),
            )));
        }
        // The standard kind of match is the one that ends first.
        AhoCorasick::new(strings).ok().map(Self::Many)
    }

    /// Where in `haystack` the occurrence that ends first ends.
    pub(super) fn first_end(&self, haystack: &[u8]) -> Option<usize> {
        match self {
            Self::One(finder) => finder.find(haystack).map(|at| at + finder.needle().len()),
            Self::Many(automaton) => automaton.find(haystack).map(|found| found.end()),
        }
    }
}

impl fmt::Debug for Needle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(finder) => write!(f, "{:?}", String::from_utf8_lossy(finder.needle())),
            Self::Many(automaton) => write!(f, "one of {}", automaton.patterns_len()),
        }
    }
}
