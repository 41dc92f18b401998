//! Grouping keys: `/metrics/job/JOB/LABEL/VALUE...`, where `@base64` behind a name says how its value
//! is written.

use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};
use model::labels::is_legacy_label_name;
use runtime::http::Form;

/// Says that a value is written in base64.
const BASE64_SUFFIX: &str = "@base64";

/// The alphabet for URLs, padded or not.
pub(in crate::protocols) const URL_BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a path names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is no job, or an empty one.
    #[error("job name is required")]
    NoJob,
    /// A name without a value.
    #[error("odd number of components in label string {}", model::labels::quoted(.0))]
    Odd(String),
    /// A name that no pushed label can have.
    #[error("improper label name {}", model::labels::quoted(.0))]
    Name(String),
    /// A job that is not base64.
    #[error("invalid base64 encoding in job name {}: illegal base64 data at input byte {at}", model::labels::quoted(.value))]
    Job {
        /// As written.
        value: String,
        /// Where it is none.
        at: usize,
    },
    /// A value that is not base64.
    #[error("invalid base64 encoding for label {name}={}: illegal base64 data at input byte {at}", model::labels::quoted(.value))]
    Base64 {
        /// The label.
        name: String,
        /// Its value as written.
        value: String,
        /// Where it is none.
        at: usize,
    },
    /// A value that is not text, or not percent-encoded as it must be.
    #[error("invalid value {} of label {}", model::labels::quoted(.value), model::labels::quoted(.name))]
    Value {
        /// The label.
        name: String,
        /// Its value as written.
        value: String,
    },
}

/// The labels that tell a group from all others, by name; `job` is among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GroupKey(Vec<(String, String)>);

impl GroupKey {
    /// The key in a path, given what follows `/metrics/`.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let (job, rest) = path.split_once('/').unwrap_or((path, ""));
        let is_base64 = match job.strip_prefix("job") {
            Some("") => false,
            Some(BASE64_SUFFIX) => true,
            _ => return Err(PathError::NoJob),
        };
        let (job, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let job = value("job", job, is_base64)?;
        if job.is_empty() {
            return Err(PathError::NoJob);
        }
        let mut labels = vec![("job".to_owned(), job)];
        if !rest.is_empty() {
            let pieces: Vec<_> = rest.split('/').collect();
            if pieces.len() % 2 != 0 {
                return Err(PathError::Odd(format!("/{rest}")));
            }
            for pair in pieces.chunks_exact(2) {
                let (name, is_base64) = match pair[0].strip_suffix(BASE64_SUFFIX) {
                    Some(name) => (name, true),
                    None => (pair[0], false),
                };
                if !is_legacy_label_name(name) || name.starts_with("__") {
                    return Err(PathError::Name(name.to_owned()));
                }
                let value = value(name, pair[1], is_base64)?;
                // The last of a name counts, as in the Pushgateway, and so none replaces the job.
                if name != "job" {
                    labels.retain(|(known, _)| known != name);
                    labels.push((name.to_owned(), value));
                }
            }
        }
        labels.sort_unstable();
        Ok(Self(labels))
    }

    /// The key of these labels.
    pub(super) fn from_labels(mut labels: Vec<(String, String)>) -> Self {
        labels.sort_unstable();
        Self(labels)
    }

    /// The labels.
    pub fn labels(&self) -> &[(String, String)] {
        &self.0
    }
}

fn value(name: &str, text: &str, is_base64: bool) -> Result<String, PathError> {
    segment(text, is_base64).map_err(|error| match (error, name) {
        // Nothing else may be the name of a group's first label.
        (SegmentError::Base64(at), "job") => PathError::Job {
            value: text.to_owned(),
            at,
        },
        (SegmentError::Base64(at), name) => PathError::Base64 {
            name: name.to_owned(),
            value: text.to_owned(),
            at,
        },
        (SegmentError::Text, name) => PathError::Value {
            name: name.to_owned(),
            value: text.to_owned(),
        },
    })
}

/// Why a segment says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocols) enum SegmentError {
    /// It is not base64 from this byte on.
    Base64(usize),
    /// It is not UTF-8, or not percent-encoded as it must be.
    Text,
}

/// What a segment of a path says, which may be base64 within its percent encoding.
pub(in crate::protocols) fn segment(text: &str, is_base64: bool) -> Result<String, SegmentError> {
    let decoded = Form::decode_path(text).map_err(|_| SegmentError::Text)?;
    if !is_base64 {
        return Ok(decoded);
    }
    // One sign of padding stands for a value that is empty.
    let bytes = URL_BASE64.decode(decoded.trim_end_matches('='));
    let bytes = bytes.map_err(|error| match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
            SegmentError::Base64(at)
        }
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => SegmentError::Base64(0),
    })?;
    String::from_utf8(bytes).map_err(|_| SegmentError::Text)
}
