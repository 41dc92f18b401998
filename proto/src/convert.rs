//! Between wire messages and [`model`].

use bytes::Bytes;
use model::labels::MAX_STRING_LEN;
use model::matcher::{MatchOp, Matcher, MatcherError};
use model::{ErrorKind, Labels};

use crate::thanos::{Label, LabelMatcher, LabelSet, label_matcher};

/// Why a message cannot become a value of the model.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A label name or value is not UTF-8.
    #[error("label {0:?} is not UTF-8")]
    Utf8(Bytes),
    /// A label name or value is longer than a label set can hold.
    #[error("a label of {0} bytes is too long")]
    TooLong(usize),
    /// A matcher of a type that this version does not know.
    #[error("matcher type {0} is not known")]
    MatcherType(i32),
    /// A matcher whose regular expression does not parse.
    #[error("matcher on {name:?} does not parse")]
    Matcher {
        /// The label that it is on.
        name: String,
        /// What is wrong with it.
        source: MatcherError,
    },
}

impl ConvertError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

pub(crate) fn text(bytes: &Bytes) -> Result<&str, ConvertError> {
    if bytes.len() > MAX_STRING_LEN {
        return Err(ConvertError::TooLong(bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|_| ConvertError::Utf8(bytes.clone()))
}

/// Labels in any order become a label set; an empty value means that the label is absent.
impl TryFrom<&LabelSet> for Labels {
    type Error = ConvertError;

    fn try_from(set: &LabelSet) -> Result<Self, ConvertError> {
        let pairs: Vec<_> = set
            .labels
            .iter()
            .map(|label| Ok((text(&label.name)?, text(&label.value)?)))
            .collect::<Result<_, ConvertError>>()?;
        Ok(Self::from_pairs(pairs))
    }
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> Self {
        let label = |(name, value): (&str, &str)| Label {
            name: Bytes::copy_from_slice(name.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
        };
        Self {
            labels: labels.iter().map(label).collect(),
        }
    }
}

/// A matcher from its parts; the StoreAPI and remote read number the types alike.
pub(crate) fn matcher(kind: i32, name: &str, value: &str) -> Result<Matcher, ConvertError> {
    let op = match label_matcher::Type::try_from(kind) {
        Ok(label_matcher::Type::Eq) => MatchOp::Equal,
        Ok(label_matcher::Type::Neq) => MatchOp::NotEqual,
        Ok(label_matcher::Type::Re) => MatchOp::Regex,
        Ok(label_matcher::Type::Nre) => MatchOp::NotRegex,
        Err(_) => return Err(ConvertError::MatcherType(kind)),
    };
    Matcher::new(op, name, value).map_err(|source| ConvertError::Matcher {
        name: name.to_owned(),
        source,
    })
}

/// The number of a matcher's type.
pub(crate) fn matcher_type(matcher: &Matcher) -> i32 {
    let kind = match matcher.op() {
        MatchOp::Equal => label_matcher::Type::Eq,
        MatchOp::NotEqual => label_matcher::Type::Neq,
        MatchOp::Regex => label_matcher::Type::Re,
        MatchOp::NotRegex => label_matcher::Type::Nre,
    };
    kind.into()
}

impl TryFrom<&LabelMatcher> for Matcher {
    type Error = ConvertError;

    fn try_from(m: &LabelMatcher) -> Result<Self, ConvertError> {
        matcher(m.r#type, &m.name, &m.value)
    }
}

impl From<&Matcher> for LabelMatcher {
    fn from(m: &Matcher) -> Self {
        Self {
            r#type: matcher_type(m),
            name: m.name().to_owned(),
            value: m.value().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn labels_cross_the_wire() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "api")]);
        let sent = LabelSet::from(&labels).encode_to_vec();
        // Field 1 (labels), length 14; field 1 (name) "__name__", field 2 (value) "up".
        assert_eq!(&sent[..16], b"\x0a\x0e\x0a\x08__name__\x12\x02up");
        let received = LabelSet::decode(sent.as_slice()).unwrap();
        assert_eq!(Labels::try_from(&received).unwrap(), labels);
    }

    #[test]
    fn labels_that_are_not_text_are_refused() {
        let label = Label {
            name: Bytes::from_static(b"a"),
            value: Bytes::from_static(b"\xff"),
        };
        assert!(matches!(
            Labels::try_from(&LabelSet {
                labels: vec![label]
            }),
            Err(ConvertError::Utf8(_))
        ));
    }

    #[test]
    fn matchers_cross_the_wire() {
        for op in [
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ] {
            let matcher = Matcher::new(op, "job", "a|b").unwrap();
            let received =
                LabelMatcher::decode(LabelMatcher::from(&matcher).encode_to_vec().as_slice())
                    .unwrap();
            assert_eq!(Matcher::try_from(&received).unwrap(), matcher);
        }
        let unknown = LabelMatcher {
            r#type: 9,
            name: "a".into(),
            value: String::new(),
        };
        assert!(matches!(
            Matcher::try_from(&unknown),
            Err(ConvertError::MatcherType(9))
        ));
        let broken = LabelMatcher {
            r#type: 2,
            name: "a".into(),
            value: "(".into(),
        };
        assert!(matches!(
            Matcher::try_from(&broken),
            Err(ConvertError::Matcher { .. })
        ));
    }
}
