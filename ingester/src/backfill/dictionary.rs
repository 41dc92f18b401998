//! The series met so far, found by the bytes they were written with.

use ahash::RandomState;
use hashbrown::HashTable;
use model::Labels;

/// Number of a series in order of first appearance.
pub(super) type SeriesId = u32;

/// Every series of the input, and every way in which its name and labels were written.
///
/// Memory grows with the number of series, not of samples: the text and the labels of each, about
/// twice what a line's name and labels take.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    hasher: RandomState,
    /// Texts end to end.
    arena: Vec<u8>,
    texts: Vec<Text>,
    by_text: HashTable<u32>,
    labels: Vec<Labels>,
    by_labels: HashTable<SeriesId>,
}

#[derive(Debug)]
struct Text {
    /// End in the arena; the text before ends where this one starts.
    end: usize,
    series: SeriesId,
}

fn text_at<'a>(arena: &'a [u8], texts: &[Text], i: u32) -> &'a [u8] {
    let i = i as usize;
    let start = if i == 0 { 0 } else { texts[i - 1].end };
    &arena[start..texts[i].end]
}

impl Dictionary {
    /// The series that was written as `text` before.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<SeriesId> {
        let hash = self.hasher.hash_one(text);
        self.by_text
            .find(hash, |&i| text_at(&self.arena, &self.texts, i) == text)
            .map(|&i| self.texts[i as usize].series)
    }

    /// Remembers that `text` stands for `labels`, a series met before or a new one.
    ///
    /// # Errors
    /// When there are 2^32 texts already.
    pub(super) fn insert(&mut self, text: &[u8], labels: Labels) -> Result<SeriesId, String> {
        let full = || "the input has more than 2^32 series".to_owned();
        let hash = self.hasher.hash_one(&labels);
        let known = self
            .by_labels
            .find(hash, |&id| self.labels[id as usize] == labels)
            .copied();
        let series = match known {
            Some(id) => id,
            None => {
                let id = SeriesId::try_from(self.labels.len()).map_err(|_| full())?;
                self.labels.push(labels);
                let (hasher, labels) = (&self.hasher, &self.labels);
                self.by_labels
                    .insert_unique(hash, id, |&id| hasher.hash_one(&labels[id as usize]));
                id
            }
        };
        let i = u32::try_from(self.texts.len()).map_err(|_| full())?;
        self.arena.extend_from_slice(text);
        self.texts.push(Text {
            end: self.arena.len(),
            series,
        });
        let (hasher, arena, texts) = (&self.hasher, &self.arena, &self.texts);
        self.by_text
            .insert_unique(self.hasher.hash_one(text), i, |&i| {
                hasher.hash_one(text_at(arena, texts, i))
            });
        Ok(series)
    }

    /// The labels of all series, by [`SeriesId`].
    pub(super) fn into_labels(self) -> Vec<Labels> {
        self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_written_in_two_ways_is_one() {
        let mut d = Dictionary::default();
        let labels = Labels::from_pairs([("__name__", "a"), ("b", "1"), ("c", "2")]);
        let other = Labels::from_pairs([("__name__", "a")]);
        assert_eq!(d.insert(b"a{b=\"1\",c=\"2\"}", labels.clone()), Ok(0));
        assert_eq!(d.insert(b"a", other.clone()), Ok(1));
        assert_eq!(d.insert(b"a{c=\"2\",b=\"1\"}", labels.clone()), Ok(0));
        assert_eq!(d.find(b"a{c=\"2\",b=\"1\"}"), Some(0));
        assert_eq!(d.find(b"a"), Some(1));
        assert_eq!(d.find(b"b"), None);
        assert_eq!(d.into_labels(), [labels, other]);
    }
}
