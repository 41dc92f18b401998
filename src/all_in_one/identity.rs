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

/// The file in the data directory.
const FILE_NAME: &str = "identity.json";

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
    pub(super) fn read(data_dir: &Path, host: &str) -> Self {
        let path = data_dir.join(FILE_NAME);
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let kept: Option<Kept> = kept.unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(%path, %error, "cannot read who this process is; it is named after the host");
            None
        });
        let replica = kept.as_ref().map_or(host, |kept| &kept.replica).to_owned();
        Self {
            path,
            replica,
            kept,
        }
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
            version: 1,
            replica: self.replica.clone(),
            external_labels: labels,
        };
        if self.kept.as_ref() == Some(&new) {
            return Ok(());
        }
        write(&self.path, &new).map_err(|source| Error::System {
            action: format!("write {}", self.path.display()),
            source,
        })
    }
}

/// Replaces the file, so that a crash leaves the old one or the new one.
fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(kept)?;
    let temporary = path.with_extension("json.tmp");
    let file = fs::File::create(&temporary)?;
    io::Write::write_all(&mut &file, &text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stays_when_the_host_has_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let one = Labels::from_pairs([("dc", "one")]);
        let first = Identity::read(dir.path(), "c1");
        assert_eq!(first.replica(), "c1");
        first.keep(&one).unwrap();
        let second = Identity::read(dir.path(), "c2");
        assert_eq!(second.replica(), "c1");
        second.keep(&one).unwrap();
        // What cannot be read keeps nobody from starting.
        fs::write(dir.path().join(FILE_NAME), "{").unwrap();
        assert_eq!(Identity::read(dir.path(), "c3").replica(), "c3");
    }

    #[test]
    fn labels_that_changed_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let map = |value: &str| BTreeMap::from([("dc".to_owned(), value.to_owned())]);
        let replaced = |value: &str| {
            let identity = Identity::read(dir.path(), "host");
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
