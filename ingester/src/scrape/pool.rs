//! One job: its discoveries, and a loop for each target that they find.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use model::Labels;
use model::figure::Quantiles;
use model::labels::NameScheme;
use model::relabel::{RelabelConfig, RelabelRule};
use parking_lot::Mutex;
use runtime::metrics::Exposition;
use runtime::tasks::Owned;
use tokio::sync::Notify;

use super::error::Error;
use super::failures::FailureLog;
use super::fetch::Fetcher;
use super::run::Scraped;
use super::target::{Populated, Target, populate};
use super::{Live, Shared, relabel_steps};
use crate::config::{Job, Protocol};
use crate::discovery::Watch;

/// What the targets of a job share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) job: Job,
    pub(super) shared: Arc<Shared>,
    pub(super) fetcher: Fetcher,
    /// Where failed scrapes are taken down, if anywhere.
    pub(super) failures: Option<FailureLog>,
    relabel: Vec<RelabelRule>,
    pub(super) metric_relabel: Arc<[RelabelRule]>,
    /// The number of targets, when there are more than the job may have.
    too_many: Mutex<Option<usize>>,
}

impl Context {
    pub(super) fn new(job: &Job, shared: Arc<Shared>) -> Result<Self, String> {
        let client = shared.clients.client(&job.http, false);
        let client = client.map_err(|error| format!("error creating HTTP client: {error}"))?;
        let scheme = job.shared.name_scheme;
        let failures = job.shared.failure_log.as_deref().map(FailureLog::open);
        let mut job = job.clone();
        let protocols = &mut job.shared.protocols;
        if shared.settings.zeros && !job.lists_protocols && !protocols.contains(&Protocol::Protobuf)
        {
            protocols.insert(0, Protocol::Protobuf);
        }
        Ok(Self {
            fetcher: Fetcher::new(client, &job),
            failures: failures.transpose()?,
            relabel: compiled(&job.relabel, scheme)?,
            metric_relabel: compiled(&job.metric_relabel, scheme)?.into(),
            too_many: Mutex::default(),
            job,
            shared,
        })
    }

    /// Why every scrape of the job fails, if it does.
    pub(super) fn forced_error(&self) -> Option<Error> {
        self.too_many.lock().map(|targets| Error::TargetLimit {
            targets,
            limit: self.job.shared.limits.targets,
        })
    }
}

fn compiled(rules: &[RelabelConfig], scheme: NameScheme) -> Result<Vec<RelabelRule>, String> {
    let compiled = rules.iter().map(|rule| rule.compile(scheme));
    let compiled: Result<_, _> = compiled.collect();
    compiled.map_err(|error| error.to_string())
}

/// The discoveries of a job.
#[derive(Debug)]
struct Watches {
    sources: Vec<Watch>,
    changed: Arc<Notify>,
}

impl Watches {
    fn start(job: &Job, shared: &Shared) -> Self {
        let changed = Arc::new(Notify::new());
        let start = |source| Watch::start(source, &shared.clients, Arc::clone(&changed));
        Self {
            sources: job.discoveries.iter().map(start).collect(),
            changed,
        }
    }
}

/// A target, and the loop that scrapes it.
#[derive(Debug)]
struct Running {
    scraped: Arc<Scraped>,
    /// As discovered last: sources may change what relabelling does not look at.
    discovered: Labels,
    _live: Live,
    _loop: Owned<()>,
}

/// The targets of a job as they are now.
#[derive(Debug, Default)]
struct Targets {
    running: HashMap<u64, Running>,
    /// Targets of the pool before this one that were not found again yet.
    inherited: HashMap<u64, Arc<Scraped>>,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

#[derive(Debug)]
struct State {
    context: Arc<Context>,
    watches: Arc<Watches>,
    targets: Mutex<Targets>,
    syncs: Syncs,
}

/// Quantiles of how long syncs take; Prometheus' own.
const SYNC_QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

/// How often targets were made of what discovery found.
#[derive(Debug)]
struct Syncs {
    /// Seconds that it took.
    seconds: Mutex<Quantiles>,
    /// Targets that could not be made.
    failed: AtomicU64,
}

impl Default for Syncs {
    fn default() -> Self {
        Self {
            seconds: Mutex::new(Quantiles::new(SYNC_QUANTILES)),
            failed: AtomicU64::new(0),
        }
    }
}

/// A job that is scraped until dropped.
#[derive(Debug)]
pub(super) struct Pool {
    state: Arc<State>,
    _task: Owned<()>,
}

/// A view of one target.
#[derive(Debug)]
pub(super) struct View {
    pub(super) scraped: Arc<Scraped>,
    pub(super) discovered: Labels,
}

impl Pool {
    /// Starts to scrape; what stays of `old` goes on with what is known of it.
    pub(super) fn start(context: Context, old: Option<Self>) -> Self {
        let mut watches = None;
        let mut targets = Targets::default();
        if let Some(Self { state, _task }) = old {
            if state.context.job.discoveries == context.job.discoveries {
                watches = Some(Arc::clone(&state.watches));
            }
            // Its loops end before others begin.
            let old = std::mem::take(&mut *state.targets.lock());
            targets.inherited = old.inherited;
            let running = old.running.into_iter();
            targets
                .inherited
                .extend(running.map(|(hash, running)| (hash, running.scraped)));
        }
        let watches =
            watches.unwrap_or_else(|| Arc::new(Watches::start(&context.job, &context.shared)));
        let state = Arc::new(State {
            context: Arc::new(context),
            watches,
            targets: Mutex::new(targets),
            syncs: Syncs::default(),
        });
        Self {
            _task: Owned::spawn(Arc::clone(&state).follow()),
            state,
        }
    }

    /// Stops, and marks the series of all targets as ended in due time.
    pub(super) fn end(self) {
        let targets = std::mem::take(&mut *self.state.targets.lock());
        for (_, running) in targets.running {
            self.state.end(running.scraped);
        }
        for (_, scraped) in targets.inherited {
            self.state.end(scraped);
        }
    }

    pub(super) fn job(&self) -> &Job {
        &self.state.context.job
    }

    /// Adds the job's figures.
    pub(super) fn collect(&self, out: &mut Exposition) {
        let (state, job) = (&*self.state, self.job());
        let labels = [("scrape_job", job.name.as_str())];
        let targets = state.targets.lock();
        let caches = targets
            .running
            .values()
            .map(|running| &running.scraped.families);
        let entries: usize = caches.map(|families| families.lock().len()).sum();
        let running = targets.running.len();
        drop(targets);
        for (name, help, value) in [
            (
                "prometheus_target_scrape_pool_targets",
                "Targets of the job that are scraped.",
                running as f64,
            ),
            (
                "prometheus_target_scrape_pool_target_limit",
                "Targets that the job may have; 0 for any number.",
                job.shared.limits.targets as f64,
            ),
            (
                "prometheus_target_metadata_cache_entries",
                "Metrics of which metadata is held.",
                entries as f64,
            ),
        ] {
            out.gauge(name, help, &labels, value);
        }
        let seconds = state.syncs.seconds.lock();
        let (_, syncs, _) = seconds.read(Instant::now());
        let name = "prometheus_target_scrape_pool_sync_total";
        out.counter(
            name,
            "Times that targets were made of what was discovered.",
            &labels,
            syncs,
        );
        let name = "prometheus_target_sync_length_seconds";
        let help = "How long it took to make targets of what was discovered.";
        out.quantiles((name, help), &labels, &seconds, Instant::now());
        drop(seconds);
        let name = "prometheus_target_sync_failed_total";
        let failed = state.syncs.failed.load(Ordering::Relaxed);
        out.counter(name, "Targets that could not be made.", &labels, failed);
        self.collect_sources(out);
    }

    fn collect_sources(&self, out: &mut Exposition) {
        let config = ("config", self.job().name.as_str());
        let sources = &self.state.watches.sources;
        let targets: usize = sources.iter().map(Watch::len).sum();
        out.gauge(
            "prometheus_sd_discovered_targets",
            "Targets that were discovered, those that rules drop included.",
            &[config, ("name", "scrape")],
            targets as f64,
        );
        for source in sources {
            let failures = source.failures();
            out.counter(
                "prometheus_sd_refresh_failures_total",
                "Times that a source of targets could not be asked.",
                &[config, ("mechanism", source.mechanism())],
                failures,
            );
        }
    }

    /// The targets that are scraped.
    pub(super) fn active(&self) -> Vec<View> {
        let targets = self.state.targets.lock();
        let view = |running: &Running| View {
            scraped: Arc::clone(&running.scraped),
            discovered: running.discovered.clone(),
        };
        targets.running.values().map(view).collect()
    }

    /// What each relabelling rule does to labels.
    pub(super) fn relabel_steps(&self, labels: &Labels) -> Vec<serde_json::Value> {
        let context = &self.state.context;
        relabel_steps::steps(&context.job.relabel, &context.relabel, labels)
    }

    /// The targets that relabelling dropped, as far as they are kept, and how many there are.
    pub(super) fn dropped(&self) -> (Vec<Labels>, usize) {
        let targets = self.state.targets.lock();
        (targets.dropped.clone(), targets.dropped_count)
    }
}

/// What discovery found, relabelled.
#[derive(Debug, Default)]
struct Found {
    active: HashMap<u64, Target>,
    dropped: Vec<Labels>,
    dropped_count: usize,
    /// All sources were asked at least once.
    complete: bool,
}

impl State {
    /// Follows the discoveries.
    async fn follow(self: Arc<Self>) {
        loop {
            let state = Arc::clone(&self);
            let begin = Instant::now();
            let found = runtime::process::blocking(move || state.find()).await;
            self.apply(found);
            let took = begin.elapsed().as_secs_f64();
            self.syncs.seconds.lock().observe(took, Instant::now());
            self.watches.changed.notified().await;
        }
    }

    fn find(&self) -> Found {
        let job = &self.context.job;
        let kept_max = match job.shared.limits.kept_dropped_targets {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let mut found = Found {
            complete: true,
            ..Found::default()
        };
        for source in &self.watches.sources {
            let Some(targets) = source.targets() else {
                found.complete = false;
                continue;
            };
            for discovered in &targets {
                match populate(discovered, job, &self.context.relabel) {
                    Populated::Active(target) => {
                        found.active.insert(target.hash(), *target);
                    }
                    Populated::Dropped(labels) => {
                        found.dropped_count += 1;
                        if found.dropped.len() < kept_max {
                            found.dropped.push(labels);
                        }
                    }
                    Populated::Invalid(reason) => {
                        self.syncs.failed.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(job = job.name, target = %discovered, reason, "creating target failed");
                    }
                }
            }
        }
        found
    }

    /// Starts loops for targets that are new, and ends those of targets that are gone.
    fn apply(&self, found: Found) {
        let limit = self.context.job.shared.limits.targets;
        let count = found.active.len();
        let over = limit > 0 && count as u64 > limit;
        *self.context.too_many.lock() = over.then_some(count);

        let mut targets = self.targets.lock();
        targets.dropped = found.dropped;
        targets.dropped_count = found.dropped_count;
        // Sources that were not asked yet have named none of those that run.
        let gone = targets
            .running
            .extract_if(|hash, _| !found.active.contains_key(hash));
        let mut gone: Vec<_> = gone.map(|(_, running)| running.scraped).collect();
        if found.complete {
            let lost = targets
                .inherited
                .extract_if(|hash, _| !found.active.contains_key(hash));
            gone.extend(lost.map(|(_, scraped)| scraped));
        }
        for scraped in gone {
            self.end(scraped);
        }
        for (hash, target) in found.active {
            if let Some(running) = targets.running.get_mut(&hash) {
                running.discovered = target.discovered;
                continue;
            }
            let before = targets.inherited.remove(&hash);
            let running = self.start(target, before.as_deref());
            targets.running.insert(hash, running);
        }
    }

    fn start(&self, target: Target, before: Option<&Scraped>) -> Running {
        let discovered = target.discovered.clone();
        let scraped = Scraped::new(target, Arc::clone(&self.context), before);
        let scraped = Arc::new(scraped);
        Running {
            _loop: Owned::spawn(Arc::clone(&scraped).run()),
            _live: Live::new(&scraped),
            scraped,
            discovered,
        }
    }

    fn end(&self, scraped: Arc<Scraped>) {
        let ending = &self.context.shared.ending;
        ending.spawn("mark the series of a target as ended", scraped.end());
    }
}
