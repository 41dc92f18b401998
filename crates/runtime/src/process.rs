//! A component's life as a process: its threads, and signals that end it.

use std::future::Future;
use std::io;
use std::pin::pin;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::Error;

/// Stack of every thread: deep enough for the deepest expression that the limits of PromQL allow.
pub const STACK_BYTES: usize = 8 << 20;

/// Exit code of a process that was told twice to stop.
const EXIT_INTERRUPTED: i32 = 130;

/// Tells the parts of a component to stop; clones are told together.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

impl Shutdown {
    /// A shutdown and the trigger that requests it.
    pub fn new() -> (ShutdownTrigger, Self) {
        let (trigger, requested) = watch::channel(false);
        (ShutdownTrigger { trigger }, Self { requested })
    }

    /// Returns once the component is to stop, also when the trigger is gone.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, and nobody else could request it.
        let _ = self.requested.wait_for(|requested| *requested).await;
    }
}

/// Requests a [`Shutdown`]. Dropping it does so too.
#[derive(Debug)]
pub struct ShutdownTrigger {
    trigger: watch::Sender<bool>,
}

impl ShutdownTrigger {
    /// Requests the shutdown.
    pub fn request(&self) {
        self.trigger.send_replace(true);
    }
}

/// Runs a component until it ends, on two async workers and at most `blocking_max` threads for
/// work that blocks or computes.
///
/// SIGINT or SIGTERM requests the shutdown; another one ends the process at once. SIGHUP never ends
/// it: what listens by [`Hangups`] acts on it.
///
/// # Errors
/// [`Error::System`] when threads or signal handlers cannot be had, and what `main` fails with.
pub fn run<F, T>(blocking_max: usize, main: F) -> Result<T, Error>
where
    F: AsyncFnOnce(Shutdown) -> Result<T, Error>,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(blocking_max)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|source| system("start threads", source))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::install().map_err(|source| system("handle signals", source))?;
        let (trigger, shutdown) = Shutdown::new();
        until_done(main(shutdown), &mut signals, &trigger).await
    });
    // A query that nobody waits for may still compute; the process ends without it.
    runtime.shutdown_background();
    result
}

/// The name of this host, for people and for what spreads over hosts.
pub fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// Runs `work` on a thread that may block.
///
/// # Panics
/// When `work` does.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What a task came to that nobody cancels while it is waited for.
///
/// # Panics
/// When the task did.
pub async fn joined<T>(task: impl Future<Output = Result<T, JoinError>>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels, and that polls nothing any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Runs `work` right here when this thread may block, and else on one that may.
///
/// # Panics
/// When `work` does.
pub async fn blocking_unless<T: Send + 'static>(
    may_block: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match may_block {
        true => work(),
        false => blocking(work).await,
    }
}

/// Runs `serving` to its end while `starting` makes ready what it serves; a failure of that ends
/// both.
///
/// # Errors
/// What `starting` fails with.
pub async fn serve_while(
    serving: impl Future<Output = ()>,
    starting: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let mut serving = pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(()),
        started = starting => started?,
    }
    serving.await;
    Ok(())
}

fn system(action: &str, source: io::Error) -> Error {
    Error::System {
        action: action.to_owned(),
        source,
    }
}

async fn until_done<T>(
    main: impl Future<Output = T>,
    signals: &mut Signals,
    trigger: &ShutdownTrigger,
) -> T {
    let mut main = pin!(main);
    tokio::select! {
        result = &mut main => return result,
        () = signals.next() => {}
    }
    tracing::info!("stopping; another signal ends the process at once");
    trigger.request();
    tokio::select! {
        result = &mut main => result,
        () = signals.next() => std::process::exit(EXIT_INTERRUPTED),
    }
}

/// The signals that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        // The handler stays when nobody listens.
        Hangups::listen()?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGHUP, which asks to read the configuration again.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Listens from now on; what came before is not heard.
    ///
    /// # Errors
    /// When the system grants no handler.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Returns when the signal came since the last time.
    pub async fn next(&mut self) {
        // None only when the runtime is gone, which polls nothing.
        let _ = self.0.recv().await;
    }
}
