//! Who this process is to the bucket, kept beside the data: its name among replicas, and the external
//! labels that it ships with.
//!
//! The name is that of the host on which the data was first opened, and stays when it is opened on
//! another one: a container that is made anew has another name of its host each time, and blocks with
//! different external labels are never merged. Labels are only remembered, to say when others are used.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::Labels;
use runtime::Error;
use serde::{Deserialize, Serialize};
use tsdb::durable;

/// The file in the data directory.
const FILE_NAME: &str = "identity.json";

/// The version of the file.
const VERSION: u32 = 1;

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// The name among replicas.
    replica: String,
    /// External labels at the last start.
    external_labels: BTreeMap<String, String>,
}

/// Who this process is.
#[derive(Debug)]
pub(super) struct Identity {
    path: PathBuf,
    replica: String,
    /// What the file says; absent before the first start.
    kept: Option<Kept>,
}

impl Identity {
    /// The one of the data in `data_dir`, on a host called `host`. Nothing is written yet: the data may
    /// be another process'.
    ///
    /// # Errors
    /// [`Error::System`] when there is data whose name cannot be read: under another one, everything
    /// that was shipped would be there twice.
    pub(super) fn read(data_dir: &Path, host: &str) -> Result<Self, Error> {
        let path = data_dir.join(FILE_NAME);
        let kept = match fs::read(&path) {
            Ok(bytes) => parse(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let kept = match kept {
            Ok(kept) => kept,
            // As a power cut leaves it at the first start.
            Err(error) if is_cut_off(&error) && !holds_data(data_dir) => {
                let path = path.display();
                tracing::warn!(%path, %error, "who this process is was not written down; it is named after the host");
                None
            }
            Err(source) => {
                return Err(Error::System {
                    action: format!(
                        "read from {} which name the data was shipped under; restore that file, make it \
                         readable, or write {{\"version\": 1, \"replica\": \"NAME\", \
                         \"external_labels\": {{}}}} into it with the NAME that blocks in the bucket have as \
                         promontory_replica; only if nothing was ever shipped, remove it",
                        path.display()
                    ),
                    source,
                });
            }
        };
        let replica = kept.as_ref().map_or(host, |kept| &kept.replica).to_owned();
        Ok(Self {
            path,
            replica,
            kept,
        })
    }

    /// The name among replicas.
    pub(super) fn replica(&self) -> &str {
        &self.replica
    }

    /// The external labels of the last start, if they were not `labels`.
    fn replaced(&self, labels: &BTreeMap<String, String>) -> Option<&BTreeMap<String, String>> {
        let before = self.kept.as_ref().map(|kept| &kept.external_labels);
        before.filter(|before| *before != labels)
    }

    /// Keeps the name, and the `labels` that blocks are shipped with from now on. Says so when they are
    /// others than before. Called by who has the data open.
    ///
    /// # Errors
    /// [`Error::System`] when the file cannot be written.
    pub(super) fn keep(&self, labels: &Labels) -> Result<(), Error> {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if let Some(before) = self.replaced(&labels) {
            tracing::warn!(
                ?before,
                now = ?labels,
                "the external labels are not those of the last start: blocks that were shipped keep \
                 the old ones, and are series of their own once they are only in the bucket"
            );
        }
        let new = Kept {
            version: VERSION,
            replica: self.replica.clone(),
            external_labels: labels,
        };
        if self.kept.as_ref() == Some(&new) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&new).map_err(io::Error::from);
        let written = text.and_then(|text| durable::replace(&self.path, &text));
        written.map_err(|source| Error::System {
            action: format!("write {}", self.path.display()),
            source,
        })
    }
}

/// What the file says.
fn parse(bytes: &[u8]) -> io::Result<Kept> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(io::Error::from)?;
    match kept.version {
        VERSION => Ok(kept),
        version => {
            let reason = format!("version {version} is of a later program; start that");
            Err(io::Error::new(io::ErrorKind::Unsupported, reason))
        }
    }
}

/// True for a file of which a crash left a part, or nothing.
fn is_cut_off(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof)
}

/// True when somebody wrote samples into the directory, or may have.
fn holds_data(data_dir: &Path) -> bool {
    let mut todo = vec![data_dir.join("tsdb")];
    while let Some(dir) = todo.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => return true,
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok((path, found)) if found.is_dir() => todo.push(path),
                // The lock has the number of the process.
                Ok((path, found)) if found.len() == 0 || path.ends_with("lock") => {}
                _ => return true,
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stays_when_the_host_has_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let one = Labels::from_pairs([("dc", "one")]);
        let first = Identity::read(dir.path(), "c1").unwrap();
        assert_eq!(first.replica(), "c1");
        first.keep(&one).unwrap();
        let second = Identity::read(dir.path(), "c2").unwrap();
        assert_eq!(second.replica(), "c1");
        second.keep(&one).unwrap();
    }

    #[test]
    fn data_does_not_change_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        let read = || Identity::read(dir.path(), "c3");
        for cut_off in ["", "{", "{\"version\": 1, \"repl"] {
            fs::write(&file, cut_off).unwrap();
            assert_eq!(read().unwrap().replica(), "c3");
        }
        let wal = dir.path().join("tsdb/wal");
        fs::create_dir_all(&wal).unwrap();
        fs::write(dir.path().join("tsdb/lock"), "7").unwrap();
        fs::write(wal.join("00000000"), "").unwrap();
        assert_eq!(read().unwrap().replica(), "c3");
        fs::write(wal.join("00000000"), "a sample").unwrap();
        for unreadable in ["", "{", "{\"replica\": \"c1\"}"] {
            fs::write(&file, unreadable).unwrap();
            let error = read().unwrap_err().chain();
            assert!(error.contains("identity.json"), "{error}");
            assert!(error.contains("restore that file"), "{error}");
            assert_eq!(fs::read(&file).unwrap(), unreadable.as_bytes());
        }
        fs::write(
            &file,
            r#"{"version":1,"replica":"c1","external_labels":{}}"#,
        )
        .unwrap();
        assert_eq!(read().unwrap().replica(), "c1");
        // Of a later version, whether there is data or not.
        fs::remove_dir_all(dir.path().join("tsdb")).unwrap();
        fs::write(
            &file,
            r#"{"version":2,"replica":"c1","external_labels":{}}"#,
        )
        .unwrap();
        let error = read().unwrap_err().chain();
        assert!(error.contains("version 2"), "{error}");
    }

    #[test]
    fn labels_that_changed_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let map = |value: &str| BTreeMap::from([("dc".to_owned(), value.to_owned())]);
        let replaced = |value: &str| {
            let identity = Identity::read(dir.path(), "host").unwrap();
            let before = identity.replaced(&map(value)).cloned();
            identity.keep(&Labels::from_pairs([("dc", value)])).unwrap();
            before
        };
        assert_eq!(replaced("one"), None);
        assert_eq!(replaced("one"), None);
        assert_eq!(replaced("two"), Some(map("one")));
        assert_eq!(replaced("two"), None);
    }
}
