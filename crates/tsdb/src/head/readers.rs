//! Who reads a head, so that it forgets nothing under their hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Who is reading. A truncation waits for those who began before it: they may not have seen the
/// block that takes the place of what is dropped. Its patience ends: whoever still reads then gets an
/// error with the next series, and no answer that lacks something.
#[derive(Debug)]
pub(super) struct Readers {
    patience: Duration,
    current: Mutex<Arc<Era>>,
    /// Held by the one truncation that is under way.
    pub(super) truncating: Mutex<()>,
}

/// Those who began between two truncations.
#[derive(Debug, Default)]
struct Era {
    readers: Mutex<usize>,
    left: Condvar,
    revoked: AtomicBool,
}

/// Held by a reader.
#[derive(Debug)]
pub(super) struct Pin(Arc<Era>);

impl Readers {
    /// A truncation waits for readers for at most so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            current: Mutex::default(),
            truncating: Mutex::default(),
        }
    }

    pub(super) fn pin(&self) -> Pin {
        // Under the lock, so that a truncation counts all of its era.
        let current = self.current.lock();
        *current.readers.lock() += 1;
        Pin(Arc::clone(&current))
    }

    /// Waits until all who read now are done, or revokes what they hold.
    pub(super) fn wait(&self) {
        let era = std::mem::take(&mut *self.current.lock());
        let deadline = Instant::now() + self.patience;
        let mut readers = era.readers.lock();
        while *readers > 0 {
            if era.left.wait_until(&mut readers, deadline).timed_out() && *readers > 0 {
                tracing::warn!(
                    readers = *readers,
                    patience = ?self.patience,
                    "readers of the head are too slow; their answers are ended with an error"
                );
                era.revoked.store(true, Ordering::SeqCst);
                return;
            }
        }
    }
}

impl Pin {
    /// True when the head forgets without regard to this reader. Asked while a series is locked, a
    /// "no" holds for that series until it is unlocked.
    pub(super) fn is_revoked(&self) -> bool {
        self.0.revoked.load(Ordering::SeqCst)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        *self.0.readers.lock() -= 1;
        self.0.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_truncation_waits_for_those_who_read_before_it() {
        let readers = Readers::new(LONG);
        let pin = readers.pin();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| readers.wait());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            // Those who come later do not hold it up.
            let later = readers.pin();
            drop(pin);
            waiting.join().unwrap();
            assert!(!later.is_revoked());
        });
        readers.wait();
    }

    #[test]
    fn a_truncation_does_not_wait_for_ever() {
        let readers = Readers::new(Duration::from_millis(20));
        let stalled = readers.pin();
        readers.wait();
        let later = readers.pin();
        assert!(stalled.is_revoked() && !later.is_revoked());
        // Those who are revoked already are not waited for again.
        drop(later);
        let begin = Instant::now();
        Readers::wait(&readers);
        assert!(begin.elapsed() < LONG);
        drop(stalled);
    }
}
