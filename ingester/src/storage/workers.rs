//! Threads that read disks and decode, so that async workers do neither.
//!
//! Jobs are short and wait for nothing but a disk. So they may be waited for by whoever holds a
//! thread of another pool, which a pool that both share could not promise.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt as _};
use tsdb::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// Some threads, until it is dropped; they then finish what they were given.
#[derive(Debug)]
pub(super) struct Workers {
    jobs: Sender<Job>,
}

impl Workers {
    /// Starts threads.
    ///
    /// # Errors
    /// [`Error::Io`] when the system has none left.
    pub(super) fn new(threads: usize) -> Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("tsdb-read".to_owned())
                .spawn(move || work(&queue))
                .map_err(|e| Error::io("start threads for", "reading".as_ref(), e))?;
        }
        Ok(Self { jobs })
    }

    /// Gives the threads a job. What it returns can be awaited; when nobody does any more by the
    /// time a thread is free, the job is not done.
    pub(super) fn start<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'static, T> {
        let (result, awaited) = oneshot::channel();
        let job = move || {
            if !result.is_canceled() {
                // Nobody waits for it when that fails.
                let _ = result.send(catch_unwind(AssertUnwindSafe(job)));
            }
        };
        self.jobs
            .send(Box::new(job))
            .expect("threads live as long as this");
        let result = async {
            match awaited
                .await
                .expect("jobs are done while they are waited for")
            {
                Ok(result) => result,
                Err(panic) => resume_unwind(panic),
            }
        };
        result.boxed()
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_panic_hits_who_waits_and_nobody_else() {
        let workers = Workers::new(1).unwrap();
        let broken = workers.start(|| panic!("on purpose"));
        drop(workers.start(|| unreachable!("nobody waits for it")));
        let sound = workers.start(|| 7);
        assert_eq!(block_on(sound), 7);
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(broken))).is_err());
    }
}
