//! What stores say identifies the content of an object.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// An entity tag. Two are equal where they stand for the same content: whether a server puts quotes
/// around one, or calls it weak, differs from one answer of it to the next.
#[derive(Debug, Clone)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag without what servers put around it in one place and leave out in another.
    pub fn bare(&self) -> &str {
        self.0.trim_start_matches("W/").trim_matches('"')
    }

    /// The tag as stores compare it: Azure lists tags without the quotes that they have everywhere else.
    pub(crate) fn compared(&self) -> String {
        match self.0.starts_with("0x") {
            true => format!("\"{}\"", self.0),
            false => (*self.0).to_owned(),
        }
    }
}

impl<T: Into<Arc<str>>> From<T> for Tag {
    fn from(said: T) -> Self {
        Self(said.into())
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
