//! Work that is done in steps, each on a thread that may block.
//!
//! A step waits for nothing but the disk. The next one is begun when the results of the last are
//! taken, so that one is always being made ahead; an answer that nobody takes from holds the
//! results of two steps and no thread. Dropping it drops the step that has not begun.

use std::vec;

use futures::stream::{self, Stream, StreamExt as _};
use runtime::process::joined;
use storeapi::StoreError;
use tokio::task::{JoinHandle, spawn_blocking};

/// Work in steps.
pub trait Steps: Send + 'static {
    /// What comes of it.
    type Item: Send + 'static;

    /// Does the next step.
    fn step(&mut self) -> Step<Self::Item>;
}

/// What a step came to.
#[derive(Debug)]
pub struct Step<T> {
    items: Vec<Result<T, StoreError>>,
    is_last: bool,
}

impl<T> Step<T> {
    /// A step that made `items`, and then knew whether it is the last one, or failed.
    pub fn new(items: Vec<T>, is_last: Result<bool, StoreError>) -> Self {
        let mut items: Vec<_> = items.into_iter().map(Ok).collect();
        let is_last = is_last.unwrap_or_else(|error| {
            items.push(Err(error));
            true
        });
        Self { items, is_last }
    }
}

/// A step under way; it is not begun any more once this is dropped.
struct Job<S: Steps>(JoinHandle<(S, Step<S::Item>)>);

impl<S: Steps> Job<S> {
    fn start(mut steps: S) -> Self {
        Self(spawn_blocking(move || {
            let step = steps.step();
            (steps, step)
        }))
    }

    async fn done(&mut self) -> (S, Step<S::Item>) {
        joined(&mut self.0).await
    }
}

impl<S: Steps> Drop for Job<S> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What comes of all steps, each done in a job of its own or, `here`, by whoever polls, on a thread that
/// may block.
pub fn by_steps<S: Steps>(
    steps: S,
    here: bool,
) -> impl Stream<Item = Result<S::Item, StoreError>> + Send {
    match here {
        true => in_place(steps).left_stream(),
        false => in_jobs(steps).right_stream(),
    }
}

/// What comes of all steps.
fn in_jobs<S: Steps>(steps: S) -> impl Stream<Item = Result<S::Item, StoreError>> + Send {
    let job = Some(Job::start(steps));
    stream::unfold(
        (job, Vec::new().into_iter()),
        async |(mut job, mut items): (_, vec::IntoIter<_>)| {
            loop {
                if let Some(item) = items.next() {
                    return Some((item, (job, items)));
                }
                let (steps, step) = job.as_mut()?.done().await;
                job = (!step.is_last).then(|| Job::start(steps));
                items = step.items.into_iter();
            }
        },
    )
}

/// The same, done by whoever polls, on a thread that may block.
fn in_place<S: Steps>(steps: S) -> impl Stream<Item = Result<S::Item, StoreError>> + Send {
    let mut left = Some(steps);
    stream::iter(std::iter::from_fn(move || {
        let step = left.as_mut()?.step();
        if step.is_last {
            left = None;
        }
        Some(stream::iter(step.items))
    }))
    .flatten()
}
