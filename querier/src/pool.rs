//! The threads that queries are evaluated on.

use promql::executor::Executor;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

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

    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        if count == 1 {
            return job(0);
        }
        self.threads
            .install(|| (0..count).into_par_iter().for_each(job));
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
}
