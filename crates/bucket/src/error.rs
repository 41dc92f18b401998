//! What can go wrong with a bucket.

use std::io;
use std::path::{Path, PathBuf};

use model::ErrorKind;
use object_store::Error as StoreError;
use ulid::Ulid;

use crate::marks::MarkError;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something about a bucket failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket's configuration cannot be used.
    #[error("bucket configuration: {0}")]
    Config(String),
    /// The object store refused or failed.
    #[error("cannot {action} {key:?} in the bucket{}", advised(source))]
    Store {
        /// What was attempted, as a verb with what belongs to it.
        action: &'static str,
        /// Key of the object below the bucket's prefix.
        key: String,
        /// The store's answer.
        source: StoreError,
    },
    /// An object has another length than it should.
    #[error("object {key:?} has {found} bytes, where {expected} are expected")]
    Length {
        /// Key of the object below the bucket's prefix.
        key: String,
        /// What it should have.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// An object is not what the listing showed any more.
    #[error(
        "object {key:?} was replaced since the bucket was listed; the next look sees the new one"
    )]
    Replaced {
        /// Key of the object below the bucket's prefix.
        key: String,
    },
    /// An object is larger than what is read of its kind.
    #[error("object {key:?} has {size} bytes; at most {size_max} are read")]
    TooLarge {
        /// Key of the object below the bucket's prefix.
        key: String,
        /// Its size.
        size: u64,
        /// The limit.
        size_max: u64,
    },
    /// A mark is damaged or of another version.
    #[error("cannot read mark {key:?}")]
    Mark {
        /// Key of the object below the bucket's prefix.
        key: String,
        /// What is wrong with it.
        source: MarkError,
    },
    /// A block, local or downloaded, is damaged or cannot be read.
    #[error("cannot {action} block {block}")]
    Block {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The block.
        block: Ulid,
        /// What the format's reader says.
        source: tsdb::Error,
    },
    /// A block must not be uploaded.
    #[error("block {block} is not uploaded: {reason}")]
    Refused {
        /// The block.
        block: Ulid,
        /// Why, and what to do.
        reason: String,
    },
    /// A merged block overlaps what is in the bucket.
    #[error(
        "block {block} is not uploaded: it overlaps block {other} in the bucket; turn off compaction in Prometheus, or allow uploads out of order"
    )]
    Overlap {
        /// The local block.
        block: Ulid,
        /// The one in the bucket.
        other: Ulid,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Local {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// Another process holds the lease now.
    #[error("the lease {name:?} is held by {holder} now; stop working on what it guards")]
    LeaseLost {
        /// What the lease is called.
        name: String,
        /// Who holds it.
        holder: String,
    },
}

impl Error {
    /// An error of the store about `key`.
    pub(crate) fn store(action: &'static str, key: &str, source: StoreError) -> Self {
        Self::Store {
            action,
            key: key.to_owned(),
            source,
        }
    }

    /// An error of the operating system about `path`.
    pub(crate) fn local(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Local {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Refused { .. } => ErrorKind::Invalid,
            Self::Store { source, .. } => store_kind(source),
            // A body that was cut: the next try may bring all of it. What was replaced is seen anew.
            Self::Length { .. } | Self::Replaced { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Mark { source, .. } => source.kind(),
            Self::Block { source, .. } => source.kind(),
            Self::Local { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Local { .. } => ErrorKind::Unavailable,
            Self::LeaseLost { .. } | Self::Overlap { .. } => ErrorKind::Conflict,
        }
    }

    /// The error with all that led to it, as one line.
    pub fn chain(&self) -> String {
        model::error::chain(self)
    }
}

/// What an operator can mend: codes that stores say it with, and what to do.
const MENDABLE: [(&[&str], &str); 6] = [
    (
        &["NoSuchBucket", "ContainerNotFound"],
        "there is no such bucket; create it, or correct its name and endpoint in the configuration",
    ),
    (
        &["ExpiredToken", "TokenRefreshRequired"],
        "the credentials have expired; give new ones, or let them be fetched by leaving out access_key",
    ),
    (
        &["InvalidAccessKeyId"],
        "the access key is not known there; correct access_key and endpoint in the configuration",
    ),
    (
        &["SignatureDoesNotMatch"],
        "the secret key is wrong, or a proxy changes requests; correct secret_key and region",
    ),
    (
        &["RequestTimeTooSkewed"],
        "the clock of this machine and that of the store differ by more than 15 minutes; set it",
    ),
    (
        &["AccessDenied", "AuthorizationFailure"],
        "the credentials are not allowed to; let them list, read, write and delete objects",
    ),
];

/// What to do about an answer of the store, where it says what an operator can mend.
fn advice(source: &StoreError) -> Option<&'static str> {
    let said = model::error::chain(source);
    let says = |code: &&str| said.contains(&format!("<Code>{code}</Code>"));
    let mut mendable = MENDABLE.iter();
    mendable
        .find(|(codes, _)| codes.iter().any(says))
        .map(|(_, advice)| *advice)
}

/// The same behind a colon, or nothing.
fn advised(source: &StoreError) -> String {
    advice(source).map_or_else(String::new, |advice| format!(": {advice}"))
}

fn store_kind(source: &StoreError) -> ErrorKind {
    match source {
        // Of a bucket that is not there, no object is known to be absent: the bucket may come.
        StoreError::NotFound { .. } if advice(source).is_some() => ErrorKind::Unavailable,
        StoreError::NotFound { .. } => ErrorKind::NotFound,
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => ErrorKind::Conflict,
        StoreError::InvalidPath { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::PermissionDenied { .. }
        | StoreError::Unauthenticated { .. }
        | StoreError::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}
