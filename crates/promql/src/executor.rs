//! Where the work on series is done: on the calling thread, or on a pool that the caller brings.

use std::fmt;

/// Runs jobs that do not depend on each other.
pub trait Executor: Send + Sync + fmt::Debug {
    /// How many jobs run at once; at least 1.
    fn width(&self) -> usize;

    /// Calls `job` with every number below `count`, on any threads and in any order, and returns
    /// when all calls have.
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync));

    /// Drops what a query that ended early held: millions of values, perhaps, which the caller need
    /// not wait for. Here they are dropped at once.
    fn discard(&self, held: Box<dyn Send>) {
        drop(held);
    }
}

/// Runs all jobs one after another on the calling thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequential;

impl Executor for Sequential {
    fn width(&self) -> usize {
        1
    }

    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(job);
    }
}
