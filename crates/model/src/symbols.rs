//! Interned strings: each is held once and stands for a number.
//!
//! For what holds many series, whose labels repeat: the head and the writer of indexes. Strings
//! lie one after the other in blocks of up to a mebibyte that are never moved or freed, so that a
//! string costs its bytes and 13 to 18 more, and growing never copies them.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};

use crate::labels::MAX_STRING_LEN;

/// A string of one [`Symbols`]: numbers are given from 0 up in order of first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

const FIRST_BLOCK: usize = 4 << 10;
const LARGEST_BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 20;
const LEN_BITS: u32 = 24;

/// Strings and their numbers.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    /// Only ever appended to, within their capacity.
    blocks: Vec<String>,
    places: Vec<Place>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Where a string lies, in one word: block, start (20 bits) and length (24 bits).
#[derive(Debug, Clone, Copy)]
struct Place(u64);

impl Place {
    fn new(block: usize, start: usize, len: usize) -> Self {
        Self(((block as u64) << BLOCK_BITS | start as u64) << LEN_BITS | len as u64)
    }

    fn block(self) -> usize {
        (self.0 >> (BLOCK_BITS + LEN_BITS)) as usize
    }

    fn start(self) -> usize {
        (self.0 >> LEN_BITS) as usize & (LARGEST_BLOCK - 1)
    }

    fn len(self) -> usize {
        self.0 as usize & MAX_STRING_LEN
    }
}

impl Symbols {
    /// No strings.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of `s`, which is added if it is new.
    ///
    /// # Panics
    /// When `s` is longer than a label may be, [`MAX_STRING_LEN`].
    pub fn intern(&mut self, s: &str) -> Symbol {
        assert!(
            s.len() <= MAX_STRING_LEN,
            "a symbol is at most {MAX_STRING_LEN} bytes"
        );
        let (blocks, places, hasher) = (&mut self.blocks, &mut self.places, &self.hasher);
        let entry = self.table.entry(
            hasher.hash_one(s),
            |&id| string_at(blocks, places[id as usize]) == s,
            |&id| hasher.hash_one(string_at(blocks, places[id as usize])),
        );
        match entry {
            Entry::Occupied(known) => Symbol(*known.get()),
            Entry::Vacant(vacant) => {
                let id = u32::try_from(places.len()).expect("memory ends before numbers do");
                vacant.insert(id);
                places.push(push(blocks, s));
                Symbol(id)
            }
        }
    }

    /// The number of `s`, if it has one.
    pub fn lookup(&self, s: &str) -> Option<Symbol> {
        let is_s = |&id: &u32| self.resolve(Symbol(id)) == s;
        let id = self.table.find(self.hasher.hash_one(s), is_s)?;
        Some(Symbol(*id))
    }

    /// The string with this number.
    ///
    /// # Panics
    /// When the number was not given by this `Symbols`; it may also be another string's then.
    pub fn resolve(&self, symbol: Symbol) -> &str {
        string_at(&self.blocks, self.places[symbol.0 as usize])
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True when there is no string.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The strings in order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Symbol, &str)> {
        let place =
            |(id, place): (usize, &Place)| (Symbol(id as u32), string_at(&self.blocks, *place));
        self.places.iter().enumerate().map(place)
    }

    /// The numbers in order of their strings, as indexes list symbols.
    pub fn sorted(&self) -> Vec<Symbol> {
        let mut all: Vec<(&str, Symbol)> = self.iter().map(|(id, s)| (s, id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Bytes of memory that the strings and the table own.
    pub fn heap_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(String::capacity).sum();
        blocks
            + self.blocks.capacity() * size_of::<String>()
            + self.places.capacity() * size_of::<Place>()
            + self.table.allocation_size()
    }
}

fn string_at(blocks: &[String], place: Place) -> &str {
    &blocks[place.block()][place.start()..place.start() + place.len()]
}

/// Appends `s` to the last block, or to a new one when it has no room.
fn push(blocks: &mut Vec<String>, s: &str) -> Place {
    // Past the first mebibyte of a block that one long string fills, starts do not fit.
    let has_room =
        |block: &String| block.len() < LARGEST_BLOCK && block.capacity() - block.len() >= s.len();
    if !blocks.last().is_some_and(has_room) {
        let doubled = blocks
            .last()
            .map_or(FIRST_BLOCK, |last| last.capacity() * 2);
        let capacity = doubled.min(LARGEST_BLOCK).max(s.len());
        blocks.push(String::with_capacity(capacity));
    }
    let index = blocks.len() - 1;
    let block = &mut blocks[index];
    let start = block.len();
    block.push_str(s);
    Place::new(index, start, s.len())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_follow_first_sight() {
        let mut symbols = Symbols::new();
        for (s, id) in [("b", 0), ("a", 1), ("", 2), ("b", 0), ("é", 3)] {
            assert_eq!(symbols.intern(s), Symbol(id));
        }
        assert_eq!(symbols.lookup("a"), Some(Symbol(1)));
        assert_eq!(symbols.lookup("c"), None);
        assert_eq!(symbols.sorted(), [2, 1, 0, 3].map(Symbol));
        assert!(symbols.iter().eq([
            (Symbol(0), "b"),
            (Symbol(1), "a"),
            (Symbol(2), ""),
            (Symbol(3), "é")
        ]));
    }

    #[test]
    fn strings_of_all_lengths_stay() {
        let mut symbols = Symbols::new();
        let lengths = [
            0,
            1,
            4095,
            4097,
            5,
            LARGEST_BLOCK,
            0,
            7,
            LARGEST_BLOCK + 1,
            MAX_STRING_LEN,
            9,
        ];
        let strings: Vec<String> = (lengths.iter().enumerate())
            .map(|(i, len)| char::from(b'a' + i as u8).to_string().repeat(*len))
            .collect();
        let ids: Vec<Symbol> = strings.iter().map(|s| symbols.intern(s)).collect();
        for (s, id) in strings.iter().zip(&ids) {
            assert!(symbols.resolve(*id) == s, "{} bytes", s.len());
        }
        assert_eq!(ids[0], ids[6]);
    }

    #[test]
    fn memory_is_little_more_than_the_bytes() {
        let mut symbols = Symbols::new();
        let mut bytes = 0;
        for i in 0..100_000 {
            let s = format!("pod-{i}-checkout-7f9c4d5b8");
            bytes += s.len();
            symbols.intern(&s);
        }
        let beyond = symbols.heap_bytes() - bytes;
        assert!(beyond < 100_000 * 32, "{beyond} bytes beyond {bytes}");
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(strings in prop::collection::vec("[abé]{0,3}|x{600}", 0..40)) {
            let mut symbols = Symbols::new();
            let mut map = HashMap::new();
            for s in &strings {
                let next = Symbol(map.len() as u32);
                let id = *map.entry(s.clone()).or_insert(next);
                prop_assert_eq!(symbols.intern(s), id);
            }
            prop_assert_eq!(symbols.len(), map.len());
            for (s, id) in &map {
                prop_assert_eq!(symbols.resolve(*id), s);
                prop_assert_eq!(symbols.lookup(s), Some(*id));
            }
        }
    }
}
