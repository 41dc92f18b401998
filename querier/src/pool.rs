//! The threads that queries are evaluated on.
//!
//! Waking a thread takes as long as some ten jobs on short series, and an answer waits for every
//! thread that was woken for it. So the caller begins the jobs by itself, and calls for others once
//! it sees that what is left is worth it; what jobs took before tells at once. What others have begun
//! in the end it waits for awake, as that takes no longer than waking would.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use promql::executor::Executor;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use runtime::process;

/// Work that the caller does sooner than others could be called for it.
const ALONE: Duration = Duration::from_micros(200);

/// Jobs that tell how long the others will take.
const SAMPLE: u32 = 4;

/// How long the caller waits awake for jobs that others have begun.
const AWAKE: Duration = Duration::from_micros(50);

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
            .stack_size(process::STACK_BYTES)
            .thread_name(|i| format!("query-{i}"))
            .build()?;
        Ok(Self { threads })
    }

    /// Number of threads.
    pub fn width(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `query` on one of the threads and waits for it. A query that runs there shares its
    /// work out without waking anybody who is not idle; from elsewhere, each batch of series waits
    /// for a thread of the pool.
    pub fn enter<R: Send>(&self, query: impl FnOnce() -> R + Send) -> R {
        self.threads.install(query)
    }

    /// The threads, for one query.
    pub fn crew(&self) -> Crew<'_> {
        Crew {
            pool: self,
            job_ns: AtomicU64::new(0),
        }
    }
}

/// The threads as a query uses them: its jobs tend to take as long as those before.
#[derive(Debug)]
pub struct Crew<'p> {
    pool: &'p Pool,
    /// Nanoseconds that one of the last jobs took; 0 when that is not known.
    job_ns: AtomicU64,
}

impl Crew<'_> {
    /// Whether so many jobs take long enough to call others.
    fn is_much(&self, jobs: usize) -> bool {
        let job = Duration::from_nanos(self.job_ns.load(Ordering::Relaxed));
        self.width() > 1 && job.saturating_mul(jobs as u32) > ALONE
    }

    /// Takes down that so many jobs took this long together.
    fn note(&self, jobs: u32, took: Duration) {
        if jobs >= SAMPLE {
            let job = took.as_nanos() / u128::from(jobs);
            self.job_ns.store(job as u64, Ordering::Relaxed);
        }
    }
}

impl Executor for Crew<'_> {
    fn width(&self) -> usize {
        self.pool.width()
    }

    /// The jobs but the first are begun from the last one down; the first is done by the caller,
    /// while others are at work on the rest, so that no thread of the pool waits when it does.
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        // Jobs below have not begun.
        let left = AtomicUsize::new(count);
        let done = AtomicUsize::new(0);
        let work_on = || {
            let below = |left: usize| (left > 1).then(|| left - 1);
            let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below);
            let Ok(taken) = taken else { return false };
            job(taken - 1);
            done.fetch_add(1, Ordering::Release);
            true
        };
        let begin = Instant::now();
        let mut own = 0;
        while !self.is_much(left.load(Ordering::Relaxed)) && work_on() {
            own += 1;
            self.note(own, begin.elapsed());
        }
        let rest = left.load(Ordering::Relaxed).saturating_sub(1);
        self.pool.threads.in_place_scope(|scope| {
            for _ in 0..rest.min(self.width() - 1) {
                scope.spawn(|_| while work_on() {});
            }
            if count > 0 {
                job(0);
            }
            let begin = Instant::now();
            let mut own = 0;
            while work_on() {
                own += 1;
            }
            self.note(own, begin.elapsed());
            let begin = Instant::now();
            while done.load(Ordering::Acquire) + 1 < count && begin.elapsed() < AWAKE {
                std::hint::spin_loop();
            }
        });
    }

    fn discard(&self, held: Box<dyn Send>) {
        self.pool.threads.spawn(move || drop(held));
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
            pool.crew().run(count, &job);
            pool.enter(|| pool.crew().run(count, &job));
            assert!(runs.iter().all(|r| r.load(Ordering::Relaxed) == 2));
        }
    }

    #[test]
    fn others_are_called_at_once_when_jobs_are_known_to_take_long() {
        let pool = Pool::start(2).unwrap();
        let crew = pool.crew();
        let here = std::thread::current().id();
        let elsewhere = AtomicUsize::new(0);
        let job = |_: usize| {
            std::thread::sleep(Duration::from_millis(2));
            if std::thread::current().id() != here {
                elsewhere.fetch_add(1, Ordering::Relaxed);
            }
        };
        crew.run(SAMPLE as usize + 1, &job);
        assert_eq!(elsewhere.swap(0, Ordering::Relaxed), 0);
        assert!(crew.is_much(2) && !pool.crew().is_much(2));
        for _ in 0..20 {
            crew.run(3, &job);
        }
        assert!(elsewhere.load(Ordering::Relaxed) > 0);
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
        pool.crew().discard(Box::new(Held(sender)));
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("query-0"));
    }
}
