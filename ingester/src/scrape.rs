//! Scraping: asks targets for what they expose, in intervals, and appends it.
//!
//! A [`Manager`] has a pool for each job; a pool watches its discoveries and has a loop for each
//! target. A loop fetches, and hands what it got to a thread that may block, where a [`round`] turns
//! it into a batch with the help of the target's [`cache`]. What Prometheus does with labels,
//! timestamps, limits, staleness and the series about scrapes is done here as well; the source is
//! its `scrape` package, version 3.
//!
//! Reading order: [`target`] (from discovery to a URL and labels), [`fetch`], [`lines`], [`cache`],
//! [`rules`], [`round`], [`report`], [`run`] (one target), [`pool`] (one job), here, [`status`] (what the
//! API shows).

mod body;
mod cache;
pub(crate) mod client;
mod error;
mod failures;
mod fetch;
mod lines;
mod oauth2;
mod pool;
mod relabel_steps;
mod report;
mod round;
mod rules;
mod run;
mod stats;
pub mod status;
mod target;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Labels;
use parking_lot::Mutex;
use runtime::Clock;
use runtime::tasks::Tasks;
use tokio::sync::Semaphore;
use tsdb::batch::Batch;

use crate::append::Appender;
use crate::config::{Config, Job};
use client::Clients;
use pool::Pool;
use run::Scraped;
use stats::Stats;

/// Expositions that are read and appended at once: the work computes and holds its memory.
const ROUNDS_MAX: usize = 8;
/// Batches that are kept for later rounds, and the samples that such a one had at most.
const BATCHES_KEPT: usize = ROUNDS_MAX;
const BATCH_SAMPLES_KEPT: usize = 200_000;

/// What a [`Manager`] works with.
#[derive(Clone)]
pub struct Settings {
    /// Takes the samples.
    pub appender: Arc<dyn Appender>,
    /// The tenant that the samples belong to.
    pub tenant: String,
    /// Gives the times of samples.
    pub clock: Arc<dyn Clock>,
    /// The name of this host: spreads scrapes, and stands for `localhost` in URLs that are shown.
    pub hostname: String,
    /// Where targets say since when something counts, it has a zero then, and protobuf, which can say
    /// so of everything, is asked for first unless formats are listed.
    pub zeros: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("tenant", &self.tenant)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// What all loops share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    stats: Stats,
    clients: Clients,
    rounds: Semaphore,
    batches: Mutex<Vec<Batch>>,
    /// Targets that are scraped, by the hash of their labels.
    live: Mutex<HashMap<u64, Vec<Arc<Scraped>>>>,
    /// Loops that ended and wait to mark their series.
    ending: Tasks,
    offset_seed: AtomicU64,
}

impl Shared {
    fn batch(&self) -> Batch {
        self.batches.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, mut batch: Batch) {
        let small = batch.sample_count() <= BATCH_SAMPLES_KEPT;
        let mut batches = self.batches.lock();
        if small && batches.len() < BATCHES_KEPT {
            batch.clear();
            batches.push(batch);
        }
    }

    /// The targets with these labels that are scraped.
    fn live_with(&self, labels: &Labels) -> Vec<Arc<Scraped>> {
        let live = self.live.lock();
        let live = live.get(&labels.stable_hash()).into_iter().flatten();
        let live = live.filter(|scraped| scraped.target.labels == *labels);
        live.cloned().collect()
    }
}

/// Shows a target as one that is scraped, until dropped.
#[derive(Debug)]
struct Live(Arc<Scraped>);

impl Live {
    fn new(scraped: &Arc<Scraped>) -> Self {
        let this = Self(Arc::clone(scraped));
        let mut live = scraped.shared().live.lock();
        live.entry(this.hash())
            .or_default()
            .push(Arc::clone(scraped));
        drop(live);
        this
    }

    fn hash(&self) -> u64 {
        self.0.target.labels.stable_hash()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut live = self.0.shared().live.lock();
        if let Entry::Occupied(mut same) = live.entry(self.hash()) {
            same.get_mut()
                .retain(|scraped| !Arc::ptr_eq(scraped, &self.0));
            if same.get().is_empty() {
                same.remove();
            }
        }
    }
}

/// Jobs that could not be started; they go on as they were, if they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("start scraping: {}", .jobs.join("; "))]
pub struct ReloadError {
    /// For each its name and what is wrong.
    pub jobs: Vec<String>,
}

/// Scrapes what a configuration says, until dropped.
///
/// No stale markers are written when it is dropped: whoever restarts goes on where it was.
#[derive(Debug)]
pub struct Manager {
    pools: Mutex<BTreeMap<String, Pool>>,
    shared: Arc<Shared>,
}

impl Manager {
    /// A manager without jobs.
    pub fn new(settings: Settings) -> Self {
        let shared = Shared {
            settings,
            stats: Stats::default(),
            clients: Clients::default(),
            rounds: Semaphore::new(ROUNDS_MAX),
            batches: Mutex::default(),
            live: Mutex::default(),
            ending: Tasks::new(),
            offset_seed: AtomicU64::new(0),
        };
        Self {
            pools: Mutex::default(),
            shared: Arc::new(shared),
        }
    }

    /// Scrapes what `config` says from now on. Jobs that are as they were go on undisturbed; of those
    /// that changed, targets that stay keep what is known of them. Call within an async runtime; files
    /// with certificates are read.
    ///
    /// # Errors
    /// When some jobs cannot be started; all others are.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        let hostname = &self.shared.settings.hostname;
        let seed = target::offset_seed(hostname, &config.global.external_labels);
        self.shared.offset_seed.store(seed, Ordering::Relaxed);
        let mut pools = self.pools.lock();
        let mut failed = Vec::new();
        let mut before = std::mem::take(&mut *pools);
        for job in &config.jobs {
            let old = before.remove(&job.name);
            let pool = match old {
                Some(pool) if pool.job() == job => pool,
                old => match self.replace(old, job) {
                    Ok(pool) => pool,
                    Err((old, reason)) => {
                        failed.push(format!("job {:?}: {reason}", job.name));
                        match old {
                            Some(pool) => pool,
                            None => continue,
                        }
                    }
                },
            };
            pools.insert(job.name.clone(), pool);
        }
        for pool in before.into_values() {
            pool.end();
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(ReloadError { jobs: failed })
        }
    }

    fn replace(&self, old: Option<Pool>, job: &Job) -> Result<Pool, (Option<Pool>, String)> {
        match pool::Context::new(job, Arc::clone(&self.shared)) {
            Ok(context) => Ok(Pool::start(context, old)),
            Err(reason) => Err((old, reason)),
        }
    }
}

impl runtime::metrics::Collect for Manager {
    fn collect(&self, out: &mut runtime::metrics::Exposition) {
        self.shared.stats.collect(out);
        for pool in self.pools.lock().values() {
            pool.collect(out);
        }
    }
}
