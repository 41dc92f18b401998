//! What is made of files, and made anew when they change.
//!
//! Files are looked at when somebody asks, as servers of Prometheus and Thanos do with certificates
//! at each handshake: nothing watches them. While new files cannot be used, what was made of the old
//! ones stays, so that a certificate and its key can be replaced one after the other; they are not read
//! again before they change again, or at most once a minute.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Error;
use crate::process;

/// Files that could not be used are tried again after so long even if they look the same: what kept
/// them from being read may have been something else, as file handles that ran out.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// The files that something is made of, as they were before each was read.
#[derive(Debug, Default)]
pub struct Seen(Vec<(PathBuf, Stamp)>);

impl Seen {
    /// Notes a file that is about to be read, so that a change while it is read is seen the next time.
    pub fn note(&mut self, path: &Path) {
        self.0.push((path.to_owned(), stamp(path)));
    }

    fn are_same(&self) -> bool {
        self.0.iter().all(|(path, was)| stamp(path) == *was)
    }
}

/// Tells a file from what it was: device and number, size, and times of change of its content and of
/// its inode, in seconds and nanoseconds. Nothing for a file that is not there.
pub type Stamp = Option<([u64; 3], [i64; 4])>;

/// What tells the file at `path` now.
pub fn stamp(path: &Path) -> Stamp {
    let of = fs::metadata(path).ok()?;
    let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()];
    Some(([of.dev(), of.ino(), of.size()], times))
}

/// Makes it of the files as they are, and notes each before it reads it.
type Make<T> = Box<dyn Fn(&mut Seen) -> Result<T, Error> + Send + Sync>;

/// Something that is made anew when its files change.
pub struct Followed<T> {
    /// What it is, for the log.
    what: &'static str,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    /// What the last attempt read, which may have failed.
    seen: Seen,
    failure: Option<Failure>,
}

/// Why files cannot be used.
struct Failure {
    reason: String,
    at: Instant,
}

impl<T> State<T> {
    /// True when making it again could come to something else.
    fn is_due(&self) -> bool {
        let failed_long_ago = |failure: &Failure| failure.at.elapsed() >= RETRY_PAUSE;
        self.failure.as_ref().is_some_and(failed_long_ago) || !self.seen.are_same()
    }
}

impl<T: Send + Sync + 'static> Followed<T> {
    /// Makes it for the first time; `what` names it in the log. `make` is not called again before a
    /// file that it noted changes.
    ///
    /// # Errors
    /// What `make` fails with.
    pub fn new(
        what: &'static str,
        make: impl Fn(&mut Seen) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Error> {
        let mut seen = Seen::default();
        let value = Arc::new(make(&mut seen)?);
        Ok(Arc::new(Self {
            what,
            make: Box::new(make),
            state: Mutex::new(State {
                value,
                seen,
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
        if state.is_due() {
            self.renew(&mut state);
        }
        Arc::clone(&state.value)
    }

    fn renew(&self, state: &mut State<T>) {
        let mut seen = Seen::default();
        let made = (self.make)(&mut seen);
        state.seen = seen;
        let before = state.failure.take();
        match made {
            Ok(value) => {
                state.value = Arc::new(value);
                tracing::info!(what = self.what, "changed files are in force");
            }
            Err(error) => {
                let reason = error.chain();
                if before.is_none_or(|before| before.reason != reason) {
                    tracing::warn!(
                        what = self.what,
                        error = reason,
                        "changed files cannot be used; what they said before stays in force"
                    );
                }
                let at = Instant::now();
                state.failure = Some(Failure { reason, at });
            }
        }
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
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Both files' text, which must not differ.
    fn pair(dir: &Path, seen: &mut Seen) -> Result<String, Error> {
        let [a, b] = ["a", "b"].map(|name| {
            let path = dir.join(name);
            seen.note(&path);
            fs::read_to_string(path).unwrap_or_default()
        });
        if a != b {
            return Err(Error::Flag {
                flag: "pair",
                reason: format!("{a:?} is not {b:?}"),
            });
        }
        Ok(a)
    }

    fn write(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }

    /// A pair in `dir`, called `what`, and how often it was made.
    fn follow(what: &'static str, dir: &Path) -> (Arc<Followed<String>>, Arc<AtomicUsize>) {
        let (at, made) = (dir.to_owned(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&made);
        let followed = Followed::new(what, move |seen| {
            count.fetch_add(1, Ordering::Relaxed);
            pair(&at, seen)
        });
        (followed.unwrap(), made)
    }

    #[test]
    fn one_of_two_new_files_changes_nothing_until_the_other_comes() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a", "old");
        write(dir.path(), "b", "old");
        let (followed, _) = follow("pair", dir.path());
        assert_eq!(*followed.look(), "old");
        write(dir.path(), "a", "new");
        assert_eq!(*followed.look(), "old");
        write(dir.path(), "b", "new");
        assert_eq!(*followed.look(), "new");
    }

    #[test]
    fn nothing_is_made_while_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (followed, made) = follow("pair", dir.path());
        followed.look();
        followed.look();
        assert_eq!(made.load(Ordering::Relaxed), 1);
        write(dir.path(), "a", "new");
        write(dir.path(), "b", "new");
        followed.look();
        followed.look();
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_change_while_files_are_read_is_seen_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_owned();
        write(&at, "a", "old");
        let followed = Followed::new("file", move |seen| {
            let path = at.join("a");
            seen.note(&path);
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text == "old" {
                write(&at, "a", "new");
            }
            Ok(text)
        });
        assert_eq!(*followed.unwrap().look(), "new");
    }

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What all tests log. The subscriber of a thread may miss events that another one meets first.
    fn log() -> &'static Log {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            let subscriber = tracing_subscriber::fmt().with_writer(log.clone());
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
            log
        })
    }

    #[test]
    fn broken_files_are_read_and_warned_about_once_for_each_change() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a", "old");
        write(dir.path(), "b", "old");
        let log = log();
        let warnings = || {
            let log = String::from_utf8(log.0.lock().clone()).unwrap();
            let is_ours = |line: &&str| line.contains("WARN") && line.contains("a broken pair");
            log.lines().filter(is_ours).count()
        };
        let (followed, made) = follow("a broken pair", dir.path());
        for (n, text) in [(1, "broken"), (2, "worse")] {
            write(dir.path(), "a", text);
            for _ in 0..3 {
                assert_eq!(*followed.look(), "old");
            }
            assert_eq!(made.load(Ordering::Relaxed), 1 + n);
            assert_eq!(warnings(), n);
        }
        write(dir.path(), "a", "old");
        assert_eq!(*followed.look(), "old");
        assert_eq!((made.load(Ordering::Relaxed), warnings()), (4, 2));
    }
}
