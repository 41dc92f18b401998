//! Background work that somebody owns: a task without an owner outlives what it works on, and its
//! panics go unseen.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// The tasks of a component. Dropping it cancels them.
#[derive(Debug, Default)]
pub struct Tasks {
    running: Mutex<JoinSet<()>>,
}

impl Tasks {
    /// No tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. A panic in it is logged under `name` and ends nothing else.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Takes out what ended, so that a component that lives long does not collect it.
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            if let Err(panic) = Owned::spawn(task).await {
                tracing::error!(task = name, %panic, "background task failed; this is a bug");
            }
        });
    }

    /// Waits until all tasks ended, for at most `grace`; then cancels what is left. Returns whether
    /// all ended by themselves.
    pub async fn finish(&self, grace: Duration) -> bool {
        let mut running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        let all = async { while running.join_next().await.is_some() {} };
        timeout(grace, all).await.is_ok()
    }
}

/// A task that is cancelled when its owner drops it.
#[derive(Debug)]
pub struct Owned<T> {
    handle: JoinHandle<T>,
}

impl<T: Send + 'static> Owned<T> {
    /// Starts a task.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts tasks; this type owns them"
    )]
    pub fn spawn(task: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            handle: tokio::spawn(task),
        }
    }
}

impl<T> Future for Owned<T> {
    /// The task's result, or in words how it panicked.
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.handle).poll(context));
        Poll::Ready(joined.map_err(|error| error.to_string()))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_task_only() {
        let done = Arc::new(AtomicUsize::new(0));
        let tasks = Tasks::new();
        tasks.spawn("broken", async { panic!("on purpose") });
        let counter = Arc::clone(&done);
        tasks.spawn("sound", async move {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        assert!(tasks.finish(Duration::from_secs(10)).await);
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_does_not_end_is_cancelled() {
        let tasks = Tasks::new();
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        tasks.spawn("endless", async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        assert!(!tasks.finish(Duration::from_millis(10)).await);
        assert_eq!(ended.recv().await, None);
    }
}
