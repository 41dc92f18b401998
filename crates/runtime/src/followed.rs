//! What is made of files, and made anew when they change.
//!
//! Files are looked at when somebody asks, as servers of Prometheus and Thanos do with certificates
//! at each handshake: nothing watches them. While new files cannot be used, what was made of the old
//! ones stays, so that a certificate and its key can be replaced one after the other.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;
use crate::process;

/// Something made of files.
#[derive(Debug)]
pub struct Made<T> {
    /// What it is.
    pub value: T,
    /// The files that it was made of.
    pub files: Vec<PathBuf>,
}

/// Makes it of the files as they are.
type Make<T> = Box<dyn Fn() -> Result<Made<T>, Error> + Send + Sync>;

/// Something that is made anew when its files change.
pub struct Followed<T> {
    /// What it is, for the log.
    what: &'static str,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    files: Vec<(PathBuf, Stamp)>,
    /// Why the files as they are cannot be used.
    failure: Option<String>,
}

/// Tells a file from what it was: device and number, size, and time of change in nanoseconds.
/// Nothing for a file that is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(path: &PathBuf) -> Stamp {
    let of = fs::metadata(path).ok()?;
    Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec()))
}

fn stamped(files: Vec<PathBuf>) -> Vec<(PathBuf, Stamp)> {
    let stamped = files.into_iter().map(|path| {
        let stamp = stamp(&path);
        (path, stamp)
    });
    stamped.collect()
}

impl<T: Send + Sync + 'static> Followed<T> {
    /// Makes it for the first time; `what` names it in the log.
    ///
    /// # Errors
    /// What `make` fails with.
    pub fn new(
        what: &'static str,
        make: impl Fn() -> Result<Made<T>, Error> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Error> {
        let mut made = make()?;
        let mut files = Vec::new();
        // Which files there are is known only after they were read. They are read again until their
        // stamps are older than what was read.
        while stamped(made.files.clone()) != files {
            files = stamped(made.files);
            made = make()?;
        }
        Ok(Arc::new(Self {
            what,
            make: Box::new(make),
            state: Mutex::new(State {
                value: Arc::new(made.value),
                files,
                failure: None,
            }),
        }))
    }

    /// What the files say now, or said when they could last be used. Looks at them on a thread that
    /// may block.
    pub async fn now(self: &Arc<Self>) -> Arc<T> {
        let this = Arc::clone(self);
        process::blocking(move || this.look()).await
    }

    /// As [`Followed::now`], on this thread.
    pub fn look(&self) -> Arc<T> {
        let mut state = self.state.lock();
        let is_same = state.files.iter().all(|(path, was)| stamp(path) == *was);
        if is_same && state.failure.is_none() {
            return Arc::clone(&state.value);
        }
        // Taken before, so that a change while they are read is seen the next time.
        let before = stamped(state.files.iter().map(|(path, _)| path.clone()).collect());
        match (self.make)() {
            Ok(made) => {
                let known = |path: &PathBuf| before.iter().find(|(of, _)| of == path);
                let files = made.files.into_iter().map(|path| {
                    let stamp = known(&path).map_or_else(|| stamp(&path), |(_, stamp)| *stamp);
                    (path, stamp)
                });
                *state = State {
                    value: Arc::new(made.value),
                    files: files.collect(),
                    failure: None,
                };
                tracing::info!(what = self.what, "changed files are in force");
            }
            Err(error) => {
                let failure = error.chain();
                if state.failure.as_ref() != Some(&failure) {
                    tracing::warn!(
                        what = self.what,
                        error = failure,
                        "changed files cannot be used; what they said before stays in force"
                    );
                }
                state.failure = Some(failure);
            }
        }
        Arc::clone(&state.value)
    }
}

impl<T> Followed<T> {
    /// True while files that changed cannot be used.
    pub fn is_stale(&self) -> bool {
        self.state.lock().failure.is_some()
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Both files' text, which must not differ.
    fn pair(dir: &Path) -> Result<Made<String>, Error> {
        let files = [dir.join("a"), dir.join("b")];
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
        let (a, b) = (read(&files[0]), read(&files[1]));
        if a != b {
            return Err(Error::Flag {
                flag: "pair",
                reason: "the files differ".to_owned(),
            });
        }
        Ok(Made {
            value: a,
            files: files.to_vec(),
        })
    }

    fn write(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }

    #[test]
    fn one_of_two_new_files_changes_nothing_until_the_other_comes() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_owned();
        write(&at, "a", "old");
        write(&at, "b", "old");
        let followed = Followed::new("pair", move || pair(&at)).unwrap();
        assert_eq!(*followed.look(), "old");
        write(dir.path(), "a", "new");
        assert_eq!(*followed.look(), "old");
        assert!(followed.is_stale());
        write(dir.path(), "b", "new");
        assert_eq!(*followed.look(), "new");
        assert!(!followed.is_stale());
    }

    #[test]
    fn nothing_is_made_while_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (at, made) = (dir.path().to_owned(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&made);
        let followed = Followed::new("pair", move || {
            count.fetch_add(1, Ordering::Relaxed);
            pair(&at)
        });
        let followed = followed.unwrap();
        let first = made.load(Ordering::Relaxed);
        followed.look();
        followed.look();
        assert_eq!(made.load(Ordering::Relaxed), first);
    }
}
