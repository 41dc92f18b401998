//! The threads that queries are evaluated on.
//!
//! Waking a thread takes as long as some ten jobs on short series, and an answer waits for every
//! thread that was woken for it. So the caller begins the jobs by itself, and calls for others once
//! it sees that what is left is worth it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use promql::executor::Executor;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Work that the caller does sooner than others could be called for it.
const ALONE: Duration = Duration::from_micros(200);

/// Jobs that tell how long the others will take.
const SAMPLE: u32 = 4;

/// A fixed number of threads that all queries share.
#[derive(Debug)]
pub struct Pool {
    threads: ThreadPool,
}

impl Pool {
    /// Starts the threads; 0 means as many as the machine runs at once.
    ///
    /// # Errors
    /// When the system does not grant that many.
    pub fn start(threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("query-{i}"))
            .build()?;
        Ok(Self { threads })
    }

    /// Runs `query` on one of the threads and waits for it. A query that runs there shares its
    /// work out without waking anybody who is not idle; from elsewhere, each batch of series waits
    /// for a thread of the pool.
    pub fn enter<R: Send>(&self, query: impl FnOnce() -> R + Send) -> R {
        self.threads.install(query)
    }
}

impl Executor for Pool {
    fn width(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// The jobs but the first are begun from the last one down; the first is done by the caller,
    /// while others are at work on the rest, so that no thread of the pool waits when it does.
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        // Jobs below have not begun.
        let left = AtomicUsize::new(count);
        let next = || {
            let below = |left: usize| (left > 1).then(|| left - 1);
            let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below);
            taken.ok().map(|left| left - 1)
        };
        let begin = Instant::now();
        let mut done = 0;
        while let Some(taken) = next() {
            job(taken);
            done += 1;
            let estimate = begin.elapsed() / done * left.load(Ordering::Relaxed) as u32;
            if done >= SAMPLE && estimate > ALONE && self.width() > 1 {
                break;
            }
        }
        let rest = left.load(Ordering::Relaxed).saturating_sub(1);
        let work = || {
            while let Some(taken) = next() {
                job(taken);
            }
        };
        self.threads.in_place_scope(|scope| {
            for _ in 0..rest.min(self.width() - 1) {
                scope.spawn(|_| work());
            }
            if count > 0 {
                job(0);
            }
            work();
        });
    }

    fn discard(&self, held: Box<dyn Send>) {
        self.threads.spawn(move || drop(held));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn runs_every_job_once_inside_and_outside() {
        let pool = Pool::start(3).unwrap();
        assert_eq!(pool.width(), 3);
        for count in [0, 1, 2, 50] {
            let runs: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            let job = |i: usize| {
                runs[i].fetch_add(1, Ordering::Relaxed);
            };
            pool.run(count, &job);
            pool.enter(|| pool.run(count, &job));
            assert!(runs.iter().all(|r| r.load(Ordering::Relaxed) == 2));
        }
    }

    #[test]
    fn what_is_discarded_is_dropped_by_a_thread_of_the_pool() {
        struct Held(std::sync::mpsc::Sender<Option<String>>);
        impl Drop for Held {
            fn drop(&mut self) {
                let name = std::thread::current().name().map(str::to_owned);
                self.0.send(name).unwrap();
            }
        }
        let pool = Pool::start(1).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        pool.discard(Box::new(Held(sender)));
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("query-0"));
    }
}
