//! Merges and expires the blocks of a bucket, by Thanos' rules.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Compactor::run`].
//!
//! At every moment the bucket holds every sample, readable; a crash at any step costs work, not data.
//! One bad block is set aside, with a mark that says why, and never stops the others; nothing halts.
//! A lease in the bucket keeps a second compactor waiting that is told to do the same, and another one
//! for each group keeps those apart whose parts of the bucket overlap.
//!
//! Reading order: [`plan`] (what to merge: decisions only), [`group`], [`rules`], `merge` (one merge,
//! from download to marks), `pass` (one look at the whole bucket), `guard` (the leases), `viewer`, [`metrics`].

pub mod flags;
pub mod group;
mod guard;
mod merge;
pub mod metrics;
mod pass;
pub mod plan;
pub mod rules;
#[cfg(test)]
mod tests;
mod viewer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bucket::{Bucket, Fetcher, Filter, Patience};
use runtime::http::{ComponentStatus, HttpLimits, PathPattern, Routes, Server, Service};
use runtime::metrics::Registry;
use runtime::process::{self, Shutdown};
use runtime::{Clock, Error, SystemClock};
use storeapi::block_viewer::{self, Blocks, BlocksApi, MarkApi};
use tokio::time::sleep;

pub use flags::{Config, FOREIGN_FLAGS, Flags};
use guard::{ASK_EVERY, Gate, Guard, Held};
pub use merge::MergeError;
use merge::Workshop;
use metrics::{BucketMetrics, Metrics, add};
use pass::Pass;
pub use pass::Report;
use rules::Rules;
use viewer::Viewer;

/// Threads for files, merges and requests.
const THREADS: usize = 64;

/// What the component is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The bucket.
    pub bucket: Bucket,
    /// Where its figures are shown.
    pub registry: Registry,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The component, ready to run.
pub struct Compactor {
    config: Config,
    deps: Deps,
    metrics: Arc<Metrics>,
    fetcher: Arc<Fetcher>,
    viewer: Arc<Viewer>,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config, deps: Deps) -> Compactor {
    let filters = filters(&config.rules);
    let fetcher = Fetcher::new(deps.bucket.clone(), Some(&config.data_dir), filters);
    let compactor = Compactor {
        config,
        metrics: Arc::default(),
        fetcher: Arc::new(fetcher),
        viewer: Arc::default(),
        deps,
    };
    let registry = &compactor.deps.registry;
    registry.register(Arc::<Metrics>::clone(&compactor.metrics));
    registry.register(Arc::new(BucketMetrics {
        bucket: compactor.deps.bucket.clone(),
        fetcher: Arc::clone(&compactor.fetcher),
    }));
    compactor
}

/// Opens the bucket and runs the component as a process of its own, until a signal, or until all
/// is done where it was not told to wait.
///
/// # Errors
/// When the bucket cannot be opened, and as [`Compactor::run`].
pub fn start(config: Config) -> Result<(), Error> {
    process::run(THREADS, async |shutdown| {
        let text = config.bucket.text().unwrap_or_default();
        let bucket = Bucket::open(text, Patience::Background).map_err(|e| Error::Start {
            action: "open the bucket".to_owned(),
            source: Box::new(e),
        })?;
        bucket.warn_if_new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let registry = Registry::with_process(env!("CARGO_PKG_VERSION"), clock.now_ms());
        let deps = Deps {
            bucket,
            registry,
            clock,
        };
        build(config, deps).run(shutdown).await
    })
}

/// In Thanos' order.
fn filters(rules: &Rules) -> Vec<Filter> {
    vec![
        Filter::TimePartition(rules.time),
        Filter::Shard(rules.selector.clone()),
        Filter::ConsistencyDelay(rules.consistency_delay_ms),
        // Readers stop at half of the delay at the latest; until then a marked block counts.
        Filter::DeletionMarks(rules.delete_delay_ms / 2),
        Filter::ReplicaLabels(rules.replica_labels.clone()),
        // What is merged into a block that is to be deleted may be all that is left.
        Filter::DuplicatesOfKept,
    ]
}

impl Compactor {
    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Works, and serves its figures, until told to stop; without `--wait` until all is done.
    ///
    /// # Errors
    /// [`Error::System`] when the address or the working directory cannot be had, [`Error::Start`]
    /// without `--wait` when something failed.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let server = Server::bind(&self.config.servers.http, HttpLimits::default())
            .await?
            .with_web(&self.config.servers.web)?
            .with_log(self.config.servers.http_log.clone());
        self.deps.registry.register(server.metrics());
        if let Ok(address) = server.local_addr() {
            tracing::info!(%address, "listening");
        }
        let service = Service::default();
        self.deps
            .registry
            .register(Arc::new(ComponentStatus::of("compact", &service)));
        service.ready(Arc::new(self.routes()));
        let mut serving = Box::pin(server.serve(service, shutdown.clone()));
        let worked = {
            let mut working = Box::pin(self.work_until(shutdown.clone()));
            tokio::select! {
                result = &mut working => result,
                () = self.look() => Ok(()),
                // It ends when it is told to stop, as does the work, once it has let go of its leases.
                () = &mut serving => return working.await,
            }
        };
        worked?;
        if self.config.wait.is_some() {
            serving.await;
        }
        Ok(())
    }

    /// Everything over HTTP.
    fn routes(&self) -> Routes {
        let (Deps { bucket, clock, .. }, viewer) = (&self.deps, &self.config.viewer);
        let metrics = PathPattern::Exact("/metrics");
        let routes = Routes::new().with(metrics, Arc::new(self.deps.registry.clone()));
        let marks = MarkApi::new(bucket.clone(), Arc::clone(clock), viewer.may_mark);
        let blocks: Arc<dyn Blocks> = Arc::<Viewer>::clone(&self.viewer);
        block_viewer::add_to(routes, BlocksApi::new(blocks, &viewer.label), marks)
    }

    /// Keeps what is shown of the bucket up to date, for who stays that long.
    async fn look(&self) {
        match self.config.wait {
            None => std::future::pending().await,
            Some(_) => {
                let (bucket, clock) = (&self.deps.bucket, &self.deps.clock);
                (self.viewer.look(bucket, &self.config.viewer, &**clock)).await;
            }
        }
    }

    /// Works as [`Compactor::run`] does, but serves nothing: for who has a server of its own.
    ///
    /// # Errors
    /// As [`Compactor::run`].
    pub async fn work_until(&self, mut shutdown: Shutdown) -> Result<(), Error> {
        let _lock = lock(&self.config.data_dir)?;
        let held = Arc::<Held>::default();
        let worked = tokio::select! {
            result = self.work(&held) => result,
            // A merge that is cut off here is done again; the bucket shows nothing of it.
            () = shutdown.requested() => Ok(()),
        };
        // The next compactor need not wait for its end.
        held.release().await;
        worked
    }

    /// Takes the lease and passes over the bucket, once or again and again.
    async fn work(&self, held: &Arc<Held>) -> Result<(), Error> {
        let mut gate = None;
        loop {
            let result = match &gate {
                None => match self.gate(held).await {
                    Ok(made) => {
                        gate = Some(made);
                        continue;
                    }
                    Err(e) => Err(e),
                },
                Some(gate) => self.hold_and_work(gate).await,
            };
            match (result, self.config.wait) {
                (Ok(report), None) => return outcome(&report),
                (Ok(_), Some(_)) => {}
                (Err(e), None) => {
                    return Err(Error::Start {
                        action: "work on the bucket".to_owned(),
                        source: Box::new(e),
                    });
                }
                (Err(e), Some(pause)) => {
                    add(&self.metrics.retries, 1);
                    tracing::warn!(error = e.chain(), "pass failed; it is tried again");
                    sleep(pause).await;
                }
            }
        }
    }

    async fn gate(&self, held: &Arc<Held>) -> Result<Gate, bucket::Error> {
        Gate::new(
            &self.deps.bucket,
            Arc::clone(&self.deps.clock),
            Arc::clone(held),
        )
        .await
    }

    /// Works for as long as the lease is ours.
    async fn hold_and_work(&self, gate: &Gate) -> Result<Report, bucket::Error> {
        let guard = gate.pass(&self.config.rules.lease).await?;
        self.metrics.lease_held.store(1, Ordering::Relaxed);
        let passes = self.passes(gate, Arc::clone(&guard));
        let result = gate.during(guard, passes).await;
        // Groups too, whose work ended with the lease.
        gate.release().await;
        self.metrics.lease_held.store(0, Ordering::Relaxed);
        result
    }

    /// Passes again and again, or until nothing is left but what another compactor is at.
    async fn passes(&self, gate: &Gate, guard: Arc<Guard>) -> Result<Report, bucket::Error> {
        let pass = self.pass_through(gate, guard);
        let mut all = Report::default();
        loop {
            let report = self.pass(&pass).await?;
            add(&self.metrics.iterations, 1);
            let Some(pause) = self.config.wait else {
                if all.is_complete_with(report) {
                    return Ok(all);
                }
                sleep(ASK_EVERY).await;
                continue;
            };
            sleep(pause).await;
        }
    }

    /// What passes work with.
    fn pass_through<'a>(&'a self, gate: &'a Gate, guard: Arc<Guard>) -> Pass<'a> {
        Pass {
            gate,
            workshop: Workshop {
                bucket: self.deps.bucket.clone(),
                guard,
                dir: work_dir(&self.config.data_dir),
                downloads: self.config.rules.downloads,
                hash: self.config.rules.hash,
                overlap: self.config.rules.overlap,
            },
            fetcher: &self.fetcher,
            rules: &self.config.rules,
            metrics: &self.metrics,
            viewer: &self.viewer,
            clock: &self.deps.clock,
        }
    }

    async fn pass(&self, pass: &Pass<'_>) -> Result<Report, bucket::Error> {
        let report = pass.run().await?;
        tracing::info!(
            merged = report.merged.len(),
            marked = report.marked.len(),
            deleted = report.deleted.len(),
            quarantined = report.quarantined.len(),
            busy = report.busy.len(),
            failures = report.failures.len(),
            "pass is done"
        );
        Ok(report)
    }
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compactor")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The end of a process that was to do all once.
fn outcome(report: &Report) -> Result<(), Error> {
    match report.failures.first() {
        None => Ok(()),
        Some(first) => Err(Error::Start {
            action: format!("do all there is to do ({} failures)", report.failures.len()),
            source: first.as_str().into(),
        }),
    }
}

fn work_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("compact")
}

/// Makes the data directory, keeps other processes out of it, and removes what a process before
/// left there. The directory is ours until the file is closed.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let failed = |action: &str, source: io::Error| Error::System {
        action: format!("{action} {}", data_dir.display()),
        source,
    };
    fs::create_dir_all(data_dir).map_err(|e| failed("create", e))?;
    let file = File::create(data_dir.join("lock")).map_err(|e| failed("lock", e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let held = io::Error::other("another compactor works in it; give each its own");
            return Err(failed("lock", held));
        }
        Err(fs::TryLockError::Error(e)) => return Err(failed("lock", e)),
    }
    match fs::remove_dir_all(work_dir(data_dir)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("empty", e)),
        _ => Ok(file),
    }
}
