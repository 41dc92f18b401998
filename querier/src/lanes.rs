//! Runtimes that queries drive themselves.
//!
//! An answer that comes in on the runtime of the process is read by one of its threads, which then
//! wakes the one that evaluates the query; and so for each message. Waking takes longer than reading
//! a short answer. So a query takes a lane: a runtime without threads, on which there are connections
//! to all endpoints, and which the query's thread drives while it waits. Lanes are kept for the next
//! query.
//!
//! Somebody else drives each lane for a moment every other second. So connections answer when
//! they are asked whether they live while no query has the lane, or one that has it computes; and
//! those that were closed are closed here too. A lane that no query had for long is given up, with its
//! connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::process::blocking;
use runtime::tasks::Owned;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::sleep;

/// How often lanes are driven by others than queries. Peers wait longer for a sign of life.
const PAUSE: Duration = Duration::from_secs(2);

/// A lane that no query had for so many pauses is given up.
const IDLE_PAUSES: u32 = 30;

/// Rounds in which a lane is done with what it has at hand.
const SETTLING: usize = 2;

/// The lanes of a querier.
pub struct Lanes {
    state: Mutex<State>,
    most: usize,
    pause: Duration,
    /// Drives them from time to time, for as long as they are there.
    tending: OnceLock<Owned<()>>,
}

#[derive(Default)]
struct State {
    /// Those that no query has, and since when; the last used last.
    idle: Vec<(Arc<Runtime>, Instant)>,
    /// Those that there are.
    all: Vec<Arc<Runtime>>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Lanes {
    /// At most so many lanes, made when they are needed, that queries alone drive.
    pub fn new(most: usize) -> Arc<Self> {
        Self::with_pause(PAUSE, most)
    }

    /// The same, which the current runtime drives too.
    pub fn start(most: usize) -> Arc<Self> {
        Self::driven_every(PAUSE, most)
    }

    fn driven_every(pause: Duration, most: usize) -> Arc<Self> {
        let lanes = Self::with_pause(pause, most);
        let tending = || Owned::spawn(Self::tend(Arc::downgrade(&lanes)));
        lanes.tending.get_or_init(tending);
        lanes
    }

    fn with_pause(pause: Duration, most: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            most,
            pause,
            tending: OnceLock::new(),
        })
    }

    /// A lane that no other query has; nothing when there are as many queries as lanes.
    pub fn take(self: &Arc<Self>) -> Option<Lane> {
        let mut state = self.state.lock();
        let runtime = match state.idle.pop() {
            Some((runtime, _)) => runtime,
            None if state.all.len() >= self.most => return None,
            None => {
                let made = made().inspect_err(|error| {
                    tracing::warn!(%error, "cannot make a lane; queries use the runtime of the process");
                });
                let runtime = made.ok()?;
                state.all.push(Arc::clone(&runtime));
                runtime
            }
        };
        Some(Lane {
            runtime: Some(runtime),
            lanes: Arc::downgrade(self),
            is_driven: AtomicBool::new(false),
        })
    }

    /// Drives all lanes from time to time, for as long as they are there.
    async fn tend(lanes: Weak<Self>) {
        while let Some(pause) = lanes.upgrade().map(|lanes| lanes.pause) {
            sleep(pause).await;
            let all = lanes.upgrade().map(|lanes| lanes.state.lock().all.clone());
            let all = all.unwrap_or_default();
            if !all.is_empty() {
                blocking(move || all.iter().for_each(|lane| settle(lane))).await;
            }
            let unused = lanes.upgrade().map(|lanes| lanes.take_unused());
            unused.into_iter().flatten().for_each(end);
        }
    }

    /// Takes out the lanes that no query had for long.
    fn take_unused(&self) -> Vec<Arc<Runtime>> {
        let state = &mut *self.state.lock();
        let is_unused = |since: &Instant| since.elapsed() >= self.pause * IDLE_PAUSES;
        let count = state.idle.partition_point(|(_, since)| is_unused(since));
        let unused: Vec<_> = state.idle.drain(..count).map(|(lane, _)| lane).collect();
        let is_used = |lane: &Arc<_>| unused.iter().all(|unused| !Arc::ptr_eq(lane, unused));
        state.all.retain(is_used);
        unused
    }
}

fn made() -> io::Result<Arc<Runtime>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(Arc::new(runtime))
}

/// Does what is at hand, without waiting for more.
fn settle(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..SETTLING {
            tokio::task::yield_now().await;
        }
    });
}

/// Ends a runtime with whoever has it last, also where waiting is not allowed.
fn end(runtime: Arc<Runtime>) {
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        let State { idle, all } = std::mem::take(self.state.get_mut());
        let idle = idle.into_iter().map(|(lane, _)| lane);
        idle.chain(all).for_each(end);
    }
}

/// A runtime that its owner drives. It goes back when it is dropped.
pub struct Lane {
    /// There until it is dropped.
    runtime: Option<Arc<Runtime>>,
    lanes: Weak<Lanes>,
    /// It was, since this query has it.
    is_driven: AtomicBool,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Lane {
    fn runtime(&self) -> &Runtime {
        let runtime = self.runtime.as_deref();
        runtime.expect("it is there until it is dropped")
    }

    /// For starting what the lane is to drive.
    pub fn handle(&self) -> &Handle {
        self.runtime().handle()
    }

    /// What `future` comes to, driving what else there is meanwhile. Called on a thread that may
    /// block.
    pub fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        if !self.is_driven.swap(true, Ordering::Relaxed) {
            // Connections that ended while nobody looked must not be asked.
            self.settle();
        }
        self.runtime().block_on(future)
    }

    /// Does what is at hand, without waiting for more. Called on a thread that may block.
    pub fn settle(&self) {
        settle(self.runtime());
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        match self.lanes.upgrade() {
            Some(lanes) => lanes.state.lock().idle.push((runtime, Instant::now())),
            None => end(runtime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_used_again_and_bounded() {
        let lanes = Lanes::new(2);
        let first = lanes.take().unwrap();
        let id = first.handle().id();
        let second = lanes.take().unwrap();
        assert_ne!(second.handle().id(), id);
        assert!(lanes.take().is_none());
        drop(first);
        assert_eq!(lanes.take().unwrap().handle().id(), id);
    }

    #[test]
    fn what_was_started_goes_on_when_the_lane_is_driven() {
        let lanes = Lanes::new(1);
        let lane = lanes.take().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = {
            let _inside = lane.handle().enter();
            Owned::spawn(async move { sender.send(7) })
        };
        assert_eq!(lane.drive(receiver), Ok(7));
        lane.settle();
        assert_eq!(lane.drive(task), Ok(Ok(())));
    }

    #[tokio::test]
    async fn lanes_may_be_dropped_where_waiting_is_not_allowed() {
        let lanes = Lanes::new(2);
        let idle = lanes.take().unwrap();
        let last = lanes.take().unwrap();
        drop(idle);
        drop(lanes);
        drop(last);
    }

    #[tokio::test]
    async fn lanes_that_no_query_has_are_given_up() {
        let lanes = Lanes::driven_every(Duration::from_millis(1), 2);
        let (kept, unused) = (lanes.take().unwrap(), lanes.take().unwrap());
        let id = unused.handle().id();
        drop(unused);
        while lanes.state.lock().all.len() > 1 {
            tokio::task::yield_now().await;
        }
        let other = lanes.take().unwrap();
        assert!(other.handle().id() != id && other.handle().id() != kept.handle().id());
    }

    #[tokio::test]
    async fn lanes_are_driven_whoever_has_them() {
        let lanes = Lanes::driven_every(Duration::from_millis(1), 2);
        let lane = lanes.take().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task = {
            let _inside = lane.handle().enter();
            Owned::spawn(async move { sender.send(7) })
        };
        assert_eq!(receiver.await, Ok(7));
        drop((lane, task));
        // Who has them need not be who started them.
        let weak = Arc::downgrade(&lanes);
        drop(lanes);
        while weak.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
