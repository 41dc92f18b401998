//! Marks: small JSON objects beside a block that say what is to be done, or not done, with it.
//!
//! The fields are Thanos', which writes and reads the same objects.

use model::ErrorKind;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The only version of marks there is.
const VERSION: u32 = 1;

/// Bytes of the largest mark that is read.
pub(crate) const MARK_SIZE_MAX: u64 = 1 << 20;

/// Why a mark could not be read. Readers treat such a block as not marked, and warn.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// Not JSON, or fields are missing; a mark that is still being written looks like this.
    #[error("read mark: it is empty or incomplete")]
    Incomplete(#[source] serde_json::Error),
    /// A version from the future.
    #[error("read mark: version {0} is not supported, only {VERSION} is")]
    Version(u32),
}

impl MarkError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Incomplete(_) => ErrorKind::Corrupt,
            Self::Version(_) => ErrorKind::Invalid,
        }
    }
}

/// `deletion-mark.json`: the block will be deleted once the deletion delay has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    id: Ulid,
    version: u32,
    #[serde(default)]
    details: String,
    deletion_time: i64,
}

impl DeletionMark {
    /// A mark set at `now` (seconds since the Unix epoch), with words for the operator.
    pub fn new(id: Ulid, details: impl Into<String>, now: i64) -> Self {
        Self {
            id,
            version: VERSION,
            details: details.into(),
            deletion_time: now,
        }
    }

    /// Reads a mark.
    ///
    /// # Errors
    /// When the bytes are not a whole mark of version 1.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MarkError> {
        let mark: Self = serde_json::from_slice(bytes).map_err(MarkError::Incomplete)?;
        check_version(mark.version)?;
        Ok(mark)
    }

    /// The bytes to store.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields are always JSON")
    }

    /// The marked block.
    pub const fn block(&self) -> Ulid {
        self.id
    }

    /// When it was marked, in seconds since the Unix epoch.
    pub const fn time(&self) -> i64 {
        self.deletion_time
    }

    /// Words for the operator.
    pub fn details(&self) -> &str {
        &self.details
    }
}

/// Why a block is not to be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoCompactReason {
    /// An operator asked for it.
    Manual,
    /// The merged index would be too large.
    IndexSizeExceeding,
    /// The index holds chunks out of order.
    BlockIndexOutOfOrderChunk,
    /// Overlapping blocks cannot be merged after downsampling.
    DownsampleVerticalCompaction,
    /// The block is damaged.
    Damaged,
    /// A reason that is not known here.
    #[serde(other)]
    Other,
}

/// `no-compact-mark.json`: the compactor leaves the block as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    id: Ulid,
    version: u32,
    #[serde(default)]
    details: String,
    no_compact_time: i64,
    reason: NoCompactReason,
}

impl NoCompactMark {
    /// A mark set at `now` (seconds since the Unix epoch), with words for the operator.
    pub fn new(id: Ulid, reason: NoCompactReason, details: impl Into<String>, now: i64) -> Self {
        Self {
            id,
            version: VERSION,
            details: details.into(),
            no_compact_time: now,
            reason,
        }
    }

    /// Reads a mark.
    ///
    /// # Errors
    /// When the bytes are not a whole mark of version 1.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MarkError> {
        let mark: Self = serde_json::from_slice(bytes).map_err(MarkError::Incomplete)?;
        check_version(mark.version)?;
        Ok(mark)
    }

    /// The bytes to store.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields are always JSON")
    }

    /// The marked block.
    pub const fn block(&self) -> Ulid {
        self.id
    }

    /// Why it was marked.
    pub const fn reason(&self) -> NoCompactReason {
        self.reason
    }

    /// Words for the operator.
    pub fn details(&self) -> &str {
        &self.details
    }
}

/// `no-downsample-mark.json`: the compactor makes no thinned-out copy of the block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoDownsampleMark {
    id: Ulid,
    version: u32,
    #[serde(default)]
    details: String,
    no_downsample_time: i64,
    reason: NoDownsampleReason,
}

/// Why a block is not to be downsampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoDownsampleReason {
    /// An operator asked for it.
    Manual,
    /// A reason that is not known here.
    #[serde(other)]
    Other,
}

impl NoDownsampleMark {
    /// A mark set at `now` (seconds since the Unix epoch), with words for the operator.
    pub fn new(id: Ulid, details: impl Into<String>, now: i64) -> Self {
        Self {
            id,
            version: VERSION,
            details: details.into(),
            no_downsample_time: now,
            reason: NoDownsampleReason::Manual,
        }
    }

    /// Reads a mark.
    ///
    /// # Errors
    /// When the bytes are not a whole mark of version 1.
    pub fn from_json(bytes: &[u8]) -> Result<Self, MarkError> {
        let mark: Self = serde_json::from_slice(bytes).map_err(MarkError::Incomplete)?;
        check_version(mark.version)?;
        Ok(mark)
    }

    /// The bytes to store.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields are always JSON")
    }

    /// The marked block.
    pub const fn block(&self) -> Ulid {
        self.id
    }
}

fn check_version(version: u32) -> Result<(), MarkError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(MarkError::Version(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Ulid {
        Ulid::from_string("01M7XZ7BK60XV1D2W7C47ZY0TG").unwrap()
    }

    #[test]
    fn deletion_mark_has_thanos_fields() {
        let mark = DeletionMark::new(block(), "source of compacted block", 1_700_000_000);
        let json = r#"{"id":"01M7XZ7BK60XV1D2W7C47ZY0TG","version":1,"details":"source of compacted block","deletion_time":1700000000}"#;
        assert_eq!(String::from_utf8(mark.to_json()).unwrap(), json);
        assert_eq!(DeletionMark::from_json(json.as_bytes()).unwrap(), mark);
    }

    #[test]
    fn no_compact_mark_has_thanos_fields() {
        let mark = NoCompactMark::new(block(), NoCompactReason::IndexSizeExceeding, "", 5);
        let json = r#"{"id":"01M7XZ7BK60XV1D2W7C47ZY0TG","version":1,"details":"","no_compact_time":5,"reason":"index-size-exceeding"}"#;
        assert_eq!(String::from_utf8(mark.to_json()).unwrap(), json);
        assert_eq!(NoCompactMark::from_json(json.as_bytes()).unwrap(), mark);
    }

    #[test]
    fn no_downsample_mark_has_thanos_fields() {
        let mark = NoDownsampleMark::new(block(), "x", 5);
        let json = r#"{"id":"01M7XZ7BK60XV1D2W7C47ZY0TG","version":1,"details":"x","no_downsample_time":5,"reason":"manual"}"#;
        assert_eq!(String::from_utf8(mark.to_json()).unwrap(), json);
        assert_eq!(NoDownsampleMark::from_json(json.as_bytes()).unwrap(), mark);
    }

    #[test]
    fn an_unknown_reason_is_a_reason() {
        let json = br#"{"id":"01M7XZ7BK60XV1D2W7C47ZY0TG","version":1,"no_compact_time":5,"reason":"new-in-thanos"}"#;
        let mark = NoCompactMark::from_json(json).unwrap();
        assert_eq!(mark.reason(), NoCompactReason::Other);
    }

    #[test]
    fn half_written_and_foreign_marks_are_refused() {
        assert_eq!(
            DeletionMark::from_json(b"").unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        assert_eq!(
            DeletionMark::from_json(b"{\"id\":").unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        let future = br#"{"id":"01M7XZ7BK60XV1D2W7C47ZY0TG","version":2,"deletion_time":1}"#;
        assert_eq!(
            DeletionMark::from_json(future).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}
