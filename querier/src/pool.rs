//! The threads that queries are evaluated on.
//!
//! Waking a thread takes as long as some ten jobs on short series, and an answer waits for every
//! thread that was woken for it. So the caller begins the jobs by itself, and calls for others once
//! it sees that what is left is worth it; what jobs took before tells at once. Those who come when
//! nothing is left to begin are not waited for. Threads without work sleep at once: between two batches of a
//! query there is more time than they could wait awake for nothing.

mod lent;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use promql::executor::Executor;
use runtime::process;

use lent::{Jobs, lend};

/// Work that the caller does sooner than others could be called for it.
const ALONE: Duration = Duration::from_micros(200);

/// Jobs that tell how long the others will take.
const SAMPLE: u32 = 4;

/// A fixed number of threads that all queries share.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    width: usize,
}

/// What the threads are asked to do.
#[derive(Debug)]
enum Task {
    /// To help with jobs, if there are any left.
    Help(Arc<Jobs>),
    /// To drop something.
    Drop(Held),
}

/// Something that is to be dropped.
struct Held(Box<dyn Send>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// What the threads have in common.
#[derive(Debug, Default)]
struct Shared {
    tasks: Mutex<Tasks>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Tasks {
    /// First come, first served.
    waiting: VecDeque<Task>,
    /// There will be no more.
    is_closed: bool,
}

impl Shared {
    fn add(&self, tasks: impl IntoIterator<Item = Task>) {
        for task in tasks {
            self.tasks.lock().waiting.push_back(task);
            self.changed.notify_one();
        }
    }

    /// Takes back calls for help with jobs that are done, which no thread came to while all were busy:
    /// others would be behind them, and there is no end to their number.
    fn take_back(&self, jobs: &Arc<Jobs>) {
        let is_other = |task: &Task| !matches!(task, Task::Help(of) if Arc::ptr_eq(of, jobs));
        self.tasks.lock().waiting.retain(is_other);
    }

    /// The next task, once there is one; nothing when there will be none.
    fn next(&self) -> Option<Task> {
        let mut tasks = self.tasks.lock();
        loop {
            if let Some(task) = tasks.waiting.pop_front() {
                return Some(task);
            }
            if tasks.is_closed {
                return None;
            }
            self.changed.wait(&mut tasks);
        }
    }

    /// What a thread does.
    fn work(&self) {
        while let Some(task) = self.next() {
            match task {
                Task::Help(jobs) => jobs.help(),
                Task::Drop(Held(held)) => {
                    // Who gave it away does not hear of it, as of nothing that is dropped elsewhere.
                    let dropped = catch_unwind(AssertUnwindSafe(|| drop(held)));
                    if dropped.is_err() {
                        tracing::error!("dropping what a query held panicked");
                    }
                }
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.tasks.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Pool {
    /// Starts the threads; 0 means as many as the machine runs at once.
    ///
    /// # Errors
    /// When the system does not grant that many.
    pub fn start(threads: usize) -> io::Result<Self> {
        let width = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let pool = Self {
            shared: Arc::default(),
            width,
        };
        for number in 0..width {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(format!("query-{number}"))
                .stack_size(process::STACK_BYTES)
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Number of threads.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Runs `query` on one of the threads and waits for it, so that no more queries are evaluated at
    /// once than there are threads. Not called by one of the threads.
    ///
    /// # Panics
    /// As `query` does.
    pub fn enter<R: Send>(&self, query: impl FnOnce() -> R + Send) -> R {
        type Ran<R> = Result<R, Box<dyn Any + Send>>;
        let caller = thread::current();
        let query = Mutex::new(Some(query));
        let ran: Mutex<Option<Ran<R>>> = Mutex::new(None);
        let job = |_| {
            let query = query.lock().take();
            let result = query.map(|query| catch_unwind(AssertUnwindSafe(query)));
            *ran.lock() = result;
            caller.unpark();
        };
        let result = lend(&job, (0, 1), |jobs| {
            self.shared.add([Task::Help(Arc::clone(jobs))]);
            loop {
                if let Some(result) = ran.lock().take() {
                    return result;
                }
                thread::park();
            }
        });
        result.unwrap_or_else(|panic| resume_unwind(panic))
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
        self.pool.width
    }

    /// The jobs but the first are begun from the last one down; the first is done by the caller,
    /// while others are at work on the rest, so that no thread of the pool waits when it does.
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        let begin = Instant::now();
        let mut left = count;
        let mut own = 0;
        while left > 1 && !self.is_much(left) {
            left -= 1;
            job(left);
            own += 1;
            self.note(own, begin.elapsed());
        }
        if left <= 1 {
            (0..left).for_each(job);
            return;
        }
        let helpers = (left - 1).min(self.width() - 1);
        lend(job, (1, left), |jobs| {
            let help = || Task::Help(Arc::clone(jobs));
            self.pool
                .shared
                .add(std::iter::repeat_with(help).take(helpers));
            job(0);
            let begin = Instant::now();
            let mut own = 0;
            while let Some(number) = jobs.next() {
                job(number);
                own += 1;
            }
            self.note(own, begin.elapsed());
            self.pool.shared.take_back(jobs);
        });
    }

    fn discard(&self, held: Box<dyn Send>) {
        self.pool.shared.add([Task::Drop(Held(held))]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

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
        let here = thread::current().id();
        let elsewhere = AtomicUsize::new(0);
        let job = |_: usize| {
            thread::sleep(Duration::from_millis(2));
            if thread::current().id() != here {
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
                let name = thread::current().name().map(str::to_owned);
                self.0.send(name).unwrap();
            }
        }
        let pool = Pool::start(1).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        pool.crew().discard(Box::new(Held(sender)));
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("query-0"));
    }

    #[test]
    fn calls_for_help_that_nobody_heard_are_taken_back() {
        struct Busy(std::sync::mpsc::Receiver<()>);
        impl Drop for Busy {
            fn drop(&mut self) {
                // Until the other end is gone.
                let _ = self.0.recv();
            }
        }
        let pool = Pool::start(2).unwrap();
        let crew = pool.crew();
        let busy: Vec<_> = (0..2)
            .map(|_| {
                let (sender, receiver) = std::sync::mpsc::channel();
                crew.discard(Box::new(Busy(receiver)));
                sender
            })
            .collect();
        while !pool.shared.tasks.lock().waiting.is_empty() {
            thread::yield_now();
        }
        let job = |_: usize| thread::sleep(Duration::from_millis(1));
        crew.run(SAMPLE as usize + 1, &job);
        for _ in 0..10 {
            crew.run(3, &job);
        }
        assert_eq!(pool.shared.tasks.lock().waiting.len(), 0);
        drop(busy);
    }
}
