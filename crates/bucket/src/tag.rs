//! What stores say identifies the content of an object.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Bytes of a tag that are held in place: those of hashes, with quotes and a number of parts.
const SHORT_MAX: usize = 38;

/// An entity tag. Two are equal where they stand for the same content: whether a server puts quotes
/// around one, or calls it weak, differs from one answer of it to the next.
#[derive(Debug, Clone)]
pub struct Tag(Text);

/// There is one for each block of a bucket, and an allocation would take as much again.
#[derive(Debug, Clone)]
enum Text {
    Short(u8, [u8; SHORT_MAX]),
    Long(Arc<str>),
}

impl Tag {
    fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(len, bytes) => {
                str::from_utf8(&bytes[..usize::from(*len)]).expect("made from text")
            }
            Text::Long(text) => text,
        }
    }

    /// The tag without what servers put around it in one place and leave out in another.
    pub fn bare(&self) -> &str {
        self.as_str().trim_start_matches("W/").trim_matches('"')
    }

    /// The tag as stores compare it: Azure lists tags without the quotes that they have everywhere else.
    pub(crate) fn compared(&self) -> String {
        let said = self.as_str();
        match said.starts_with("0x") {
            true => format!("\"{said}\""),
            false => said.to_owned(),
        }
    }
}

impl<T: AsRef<str>> From<T> for Tag {
    fn from(said: T) -> Self {
        let said = said.as_ref();
        if said.len() > SHORT_MAX {
            return Self(Text::Long(said.into()));
        }
        let mut bytes = [0; SHORT_MAX];
        bytes[..said.len()].copy_from_slice(said.as_bytes());
        Self(Text::Short(said.len() as u8, bytes))
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.bare() == other.bare()
    }
}

impl Eq for Tag {}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bare().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_same_however_they_are_written() {
        for said in ["9b2c", "\"9b2c\"", "W/\"9b2c\""] {
            assert_eq!(Tag::from(said), Tag::from("\"9b2c\""), "{said}");
        }
        assert_ne!(Tag::from("\"9b2c\""), Tag::from("\"9b2d\""));
    }

    #[test]
    fn tags_are_held_whole_whatever_their_length() {
        assert_eq!(size_of::<Option<Tag>>(), 40);
        for len in [0, 1, SHORT_MAX - 1, SHORT_MAX, SHORT_MAX + 1, 300] {
            let said = "x".repeat(len);
            assert_eq!(Tag::from(&said).bare(), said);
            assert_eq!(Tag::from(format!("\"{said}\"")), Tag::from(said));
        }
    }

    #[test]
    fn tags_are_compared_with_their_quotes() {
        for (said, compared) in [
            ("0x8CBFF45D8A29A19", "\"0x8CBFF45D8A29A19\""),
            ("\"0x8CBFF45D8A29A19\"", "\"0x8CBFF45D8A29A19\""),
            ("\"9b2cf535f27731c9\"", "\"9b2cf535f27731c9\""),
        ] {
            assert_eq!(Tag::from(said).compared(), compared);
        }
    }
}
