//! Jobs of one thread that others may help with.
//!
//! What a job works on is the caller's, so nobody may be at work on it once the caller has gone on.
//! Scopes as `rayon` has them wait for each helper that was called, also for those that come when
//! nothing is left, and so an answer waits for a thread to wake up to do nothing. Here the caller
//! takes back what nobody has begun, and waits for those only who are at work.

#![expect(
    unsafe_code,
    reason = "helpers that come too late must not be waited for, which a borrow cannot say; \
              through querier and store a rate over six hours takes 11 switches of threads in \
              place of 20, see docs/benchmarking.md"
)]

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long the caller waits awake for jobs that others have begun.
const AWAKE: Duration = Duration::from_micros(50);

/// A job as others see it.
type Job = *const (dyn Fn(usize) + Sync);

/// No more helpers are let in.
const CLOSED: usize = 1;
/// A helper who was let in.
const HELPER: usize = 2;

/// Jobs, by whose number each is done once; there may be none any more.
pub(super) struct Jobs {
    /// Valid for helpers that were let in, until they have left.
    job: Job,
    /// Jobs from `first` to below this have not begun.
    left: AtomicUsize,
    first: usize,
    /// [`CLOSED`], and a [`HELPER`] for each that is at work.
    state: AtomicUsize,
    owner: Thread,
    /// What a helper panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("left", &self.left)
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

// SAFETY: the pointer is to something that is `Sync`, and is followed only while it is valid, see
// `Jobs::help` and `Owned::take_back`. The other fields are `Send` and `Sync`.
unsafe impl Send for Jobs {}
// SAFETY: as above.
unsafe impl Sync for Jobs {}

impl Jobs {
    /// Begins a job that nobody has begun, if there is one: the owner is to do it, or a helper.
    pub(super) fn next(&self) -> Option<usize> {
        let above = |left: usize| (left > self.first).then(|| left - 1);
        let taken = (self.left).fetch_update(Ordering::Relaxed, Ordering::Relaxed, above);
        taken.ok().map(|left| left - 1)
    }

    /// Does jobs until none is left to begin; nothing when the caller has gone on.
    pub(super) fn help(&self) {
        let enter = |state| (state & CLOSED == 0).then_some(state + HELPER);
        let entered = (self.state).fetch_update(Ordering::Acquire, Ordering::Relaxed, enter);
        if entered.is_err() {
            return;
        }
        // SAFETY: it was valid when the jobs were lent, and stays so until `Owned::take_back` has closed
        // them and seen everybody leave who was let in before. This one was, and leaves below.
        let job = unsafe { &*self.job };
        let work = || {
            while let Some(number) = self.next() {
                job(number);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            *self.panic.lock() = Some(panic);
        }
        let before = self.state.fetch_sub(HELPER, Ordering::Release);
        if before == CLOSED + HELPER {
            self.owner.unpark();
        }
    }
}

/// Lends the jobs from `first` to below `end` to those who get them from `work`; when it returns, what
/// nobody has begun is taken back.
///
/// # Panics
/// As `work` or a job does.
pub(super) fn lend<R>(
    job: &(dyn Fn(usize) + Sync),
    (first, end): (usize, usize),
    work: impl FnOnce(&Arc<Jobs>) -> R,
) -> R {
    let job: *const (dyn Fn(usize) + Sync + '_) = job;
    // SAFETY: only the lifetime of what is pointed to is forgotten. The pointer is followed by those
    // alone for whom `Owned` waits, at the end of this function, which the lifetime outlives.
    let job = unsafe { mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(job) };
    let owned = Owned(Arc::new(Jobs {
        job,
        left: AtomicUsize::new(end),
        first,
        state: AtomicUsize::new(0),
        owner: thread::current(),
        panic: Mutex::new(None),
    }));
    let result = work(&owned.0);
    owned.take_back();
    let panic = owned.0.panic.lock().take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    result
}

/// Jobs that are taken back, also when their owner panics.
struct Owned(Arc<Jobs>);

impl Owned {
    /// Lets nobody in any more, and waits for those who are at work.
    fn take_back(&self) {
        let Self(jobs) = self;
        let mut state = jobs.state.fetch_or(CLOSED, Ordering::Acquire) | CLOSED;
        let begin = Instant::now();
        while state != CLOSED && begin.elapsed() < AWAKE {
            std::hint::spin_loop();
            state = jobs.state.load(Ordering::Acquire);
        }
        while state != CLOSED {
            thread::park();
            state = jobs.state.load(Ordering::Acquire);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.take_back();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn who_comes_late_does_nothing() {
        let done = AtomicUsize::new(0);
        let job = |_: usize| {
            done.fetch_add(1, Ordering::Relaxed);
        };
        let late = lend(&job, (1, 4), |jobs| {
            assert_eq!(jobs.next(), Some(3));
            jobs.help();
            assert_eq!((done.load(Ordering::Relaxed), jobs.next()), (2, None));
            Arc::clone(jobs)
        });
        late.help();
        assert_eq!(done.load(Ordering::Relaxed), 2);
        let late = lend(&job, (0, 1), Arc::clone);
        late.help();
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_is_at_work_is_waited_for() {
        for takes in [Duration::ZERO, 2 * AWAKE] {
            let (begun, has_begun) = channel();
            let begun = Mutex::new(begun);
            let done = AtomicUsize::new(0);
            let job = |_: usize| {
                begun.lock().send(()).unwrap();
                thread::sleep(takes);
                done.fetch_add(1, Ordering::Relaxed);
            };
            let helper = lend(&job, (0, 1), |jobs| {
                let jobs = Arc::clone(jobs);
                let helper = thread::spawn(move || jobs.help());
                has_begun.recv().unwrap();
                helper
            });
            assert_eq!(done.load(Ordering::Relaxed), 1);
            helper.join().unwrap();
        }
    }

    #[test]
    fn a_helper_that_panics_takes_the_owner_down() {
        let job = |number: usize| assert_ne!(number, 1, "job {number} failed");
        let lent = || {
            lend(&job, (0, 3), |jobs| {
                jobs.help();
                // What was begun by the one that panicked is gone, the others are there.
                assert_eq!(jobs.next(), Some(0));
            });
        };
        let panic = catch_unwind(AssertUnwindSafe(lent)).unwrap_err();
        assert!(panic.downcast::<String>().unwrap().contains("job 1 failed"));
    }
}
