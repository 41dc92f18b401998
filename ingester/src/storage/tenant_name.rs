//! Which names tenants may have: each is a directory, and comes from a header that anyone may send.

use model::ErrorKind;
use tsdb::batch::WriteError;
use ulid::Ulid;

/// Longest name in bytes; file systems take 255.
const LEN_MAX: usize = 150;

/// Names that mean something else in a data directory.
const RESERVED: [&str; 6] = [
    "wal",
    "wbl",
    "chunks_head",
    "quarantine",
    "lock",
    "lost+found",
];

/// A name that no tenant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant name {name:?} {problem}")]
pub struct InvalidTenant {
    /// The name, or its begin.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl From<InvalidTenant> for WriteError {
    fn from(error: InvalidTenant) -> Self {
        Self::Refused {
            kind: ErrorKind::Invalid,
            reason: error.to_string(),
        }
    }
}

/// Checks that `name` is one segment of a path which nothing else is named by. All names that Thanos
/// takes are good, but for those that would harm somebody.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), InvalidTenant> {
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > LEN_MAX {
        format!("is longer than {LEN_MAX} bytes")
    } else if name.starts_with('.') {
        "begins with a dot".to_owned()
    } else if name.contains(|c: char| c == '/' || c == '\\' || c.is_control()) {
        "has a slash, backslash or control character".to_owned()
    } else if is_reserved(name) {
        "means something else in a data directory".to_owned()
    } else {
        return Ok(());
    };
    Err(InvalidTenant {
        name: name.chars().take(LEN_MAX).collect(),
        problem,
    })
}

/// Files of a TSDB, and blocks, finished or not.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    RESERVED.contains(&name) || Ulid::from_string(stem).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_safe_segment() {
        for good in ["default-tenant", "team a", "a.b", "ü", "wal2", "a:b@c"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "x".repeat(LEN_MAX + 1);
        for bad in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "../b",
            "a\\b",
            "a\0",
            "a\nb",
            "wal",
            "lock",
            &long,
            "01M7XZ7BK60XV1D2W7C47ZY0TG",
            "01M7XZ7BK60XV1D2W7C47ZY0TG.tmp-for-creation",
        ] {
            let error = check(bad).unwrap_err();
            assert_eq!(
                WriteError::from(error).kind(),
                ErrorKind::Invalid,
                "{bad:?}"
            );
        }
    }
}
