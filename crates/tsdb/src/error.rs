//! Errors: what codecs report, and what it becomes once the file is known.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use model::ErrorKind;
use model::stop::Stopped;

use crate::durable;

/// Bytes that are not what the format demands, as a codec sees it: without a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// Offset into the bytes that the codec was given.
    pub offset: u64,
    /// What should have been there, and where it helps, what was.
    pub expected: Cow<'static, str>,
}

impl Corruption {
    /// Damage at `offset`, where `expected` should have been.
    pub fn new(offset: usize, expected: impl Into<Cow<'static, str>>) -> Self {
        Self {
            offset: offset as u64,
            expected: expected.into(),
        }
    }

    /// The same damage seen from a slice that starts `base` bytes earlier.
    #[must_use]
    pub fn shift(mut self, base: u64) -> Self {
        self.offset += base;
        self
    }

    /// Names the damaged file.
    pub fn in_file(self, file: &Path) -> Error {
        Error::Corrupt {
            file: file.to_owned(),
            offset: self.offset,
            expected: self.expected,
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "damaged at offset {}: expected {}",
            self.offset, self.expected
        )
    }
}

impl std::error::Error for Corruption {}

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file's bytes are not what its format demands.
    #[error("{} is damaged at offset {offset}: expected {expected}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What should have been there.
        expected: Cow<'static, str>,
    },
    /// A file is sound but of a format that this version does not read or write.
    #[error("{what} is not supported; {advice}")]
    Unsupported {
        /// The thing met.
        what: String,
        /// What the user can do.
        advice: &'static str,
    },
    /// The caller's input breaks a rule of the format.
    #[error("{0}")]
    Invalid(String),
    /// Another process has the data directory open.
    #[error(
        "data directory {} is in use by {owner}; stop that first, or use another directory",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// Who uses it, as far as is known.
        owner: String,
    },
    /// A reader held the head for longer than that waits.
    #[error(
        "reading took so long that the head went on without it; ask again, for less at once or faster"
    )]
    TooSlow,
    /// Whoever asked does not wait for the answer any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Present-tense verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// An I/O error with what was tried on which path.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// True when room on the disk is all that was missing, see [`durable::is_no_room`].
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Io { source, .. } if durable::is_no_room(source))
    }

    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::Invalid(_) => ErrorKind::Invalid,
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Stopped(_) => ErrorKind::Cancelled,
            Self::TooSlow | Self::Io { .. } => ErrorKind::Unavailable,
        }
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
