//! What happens to the TSDBs on a timer: the disk is looked at, blocks are cut and merged, old ones
//! removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runtime::Notifications;
use runtime::metrics::{Collect, Exposition};
use runtime::process::{Shutdown, blocking};
use tokio::time::{MissedTickBehavior, interval};
use tsdb::db::disk::free_bytes;

use super::figures;
use super::tenants::{Tenant, Tenants};

/// How often blocks are cut, merged and removed, as in Prometheus.
const COMPACT_EVERY: Duration = Duration::from_secs(60);
/// How often the disk is looked at: at 50 MB/s, less is written meanwhile than is kept free.
const CHECK_DISK_EVERY: Duration = Duration::from_secs(5);

/// What operators are told while a disk is nearly full.
const READ_ONLY: &str = "The disk is nearly full: nothing is written until there is space again.";

/// What operators are told once a log was found damaged, until the process is started again.
const LOG_DAMAGED: &str = "A write-ahead log was damaged: what could not be read was set aside, and samples may be missing. \
     See the log of the process.";

/// Counts of what maintenance did, and figures of the TSDBs.
#[derive(Debug)]
pub struct MaintenanceMetrics {
    tenants: Arc<Tenants>,
    notifications: Notifications,
    compactions: AtomicU64,
    failed_compactions: AtomicU64,
    failed_retentions: AtomicU64,
    failed_disk_checks: AtomicU64,
}

impl MaintenanceMetrics {
    /// Counts from zero; `notifications` says while a disk is nearly full, and of damaged logs.
    pub fn new(tenants: Arc<Tenants>, notifications: Notifications) -> Self {
        Self {
            tenants,
            notifications,
            compactions: AtomicU64::new(0),
            failed_compactions: AtomicU64::new(0),
            failed_retentions: AtomicU64::new(0),
            failed_disk_checks: AtomicU64::new(0),
        }
    }

    /// Looks at the disk of each tenant, and stops or allows its writes.
    pub fn check_disks(&self) {
        for tenant in self.tenants.all() {
            match free_bytes(tenant.db.dir()) {
                Ok(free) if !tenant.db.check_disk(free) => {}
                Ok(free) if tenant.db.is_read_only() => {
                    tracing::error!(
                        tenant = &*tenant.name,
                        free,
                        "the disk is nearly full: no writes until there is space again"
                    );
                }
                Ok(free) => {
                    tracing::info!(
                        tenant = &*tenant.name,
                        free,
                        "writing again: there is space"
                    );
                }
                Err(error) => {
                    self.failed_disk_checks.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(tenant = &*tenant.name, %error, "cannot look at the disk");
                }
            }
        }
        self.tell();
    }

    /// Tells operators whether some tenant may not write, and of damaged logs. A write that finds a disk full stops the
    /// writes too, so what changed in [`Self::check_disks`] does not say.
    fn tell(&self) {
        if self.tenants.repaired_logs() > 0 && !self.notifications.says(LOG_DAMAGED) {
            let now_ms = self.tenants.clock().now_ms();
            self.notifications.raise(LOG_DAMAGED, now_ms);
        }
        let mut tenants = self.tenants.all().into_iter();
        if !tenants.any(|tenant| tenant.db.is_read_only()) {
            self.notifications.withdraw(READ_ONLY);
        } else if !self.notifications.says(READ_ONLY) {
            let now_ms = self.tenants.clock().now_ms();
            self.notifications.raise(READ_ONLY, now_ms);
        }
    }

    /// Cuts, merges and removes blocks of each tenant, and tenants that nobody needs. What fails is tried again the next time.
    pub fn compact_all(&self) {
        self.tenants.reopen();
        for tenant in self.tenants.all() {
            self.compact(&tenant);
        }
        self.tenants.prune();
    }

    fn compact(&self, tenant: &Tenant) {
        let name = &*tenant.name;
        // Counting takes every series, which is too much for each who looks.
        let chunks = tenant.db.head().chunk_count() as u64;
        tenant.head_chunks.store(chunks, Ordering::Relaxed);
        match tenant.db.compact(self.tenants.clock().now_ms()) {
            Ok(done) => {
                let made = done.cut.len() + done.merged.len();
                self.compactions.fetch_add(made as u64, Ordering::Relaxed);
            }
            Err(error) => {
                self.failed_compactions.fetch_add(1, Ordering::Relaxed);
                tracing::error!(tenant = name, %error, "cannot compact; trying again later");
            }
        }
        if let Err(error) = tenant.db.retain() {
            self.failed_retentions.fetch_add(1, Ordering::Relaxed);
            tracing::error!(tenant = name, %error, "cannot remove old blocks; trying again later");
        }
    }
}

/// Takes care of all tenants until told to stop; a compaction that is under way is waited for.
pub async fn maintain(metrics: Arc<MaintenanceMetrics>, shutdown: Shutdown) {
    let disks = every(CHECK_DISK_EVERY, shutdown.clone(), {
        let metrics = Arc::clone(&metrics);
        move || metrics.check_disks()
    });
    let compactions = every(COMPACT_EVERY, shutdown, move || metrics.compact_all());
    tokio::join!(disks, compactions);
}

/// Runs `work` on a thread that may block, now and then once in a period, until told to stop.
pub(crate) async fn every(
    period: Duration,
    mut shutdown: Shutdown,
    work: impl Fn() + Clone + Send + 'static,
) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        blocking(work.clone()).await;
    }
}

impl Collect for MaintenanceMetrics {
    fn collect(&self, out: &mut Exposition) {
        let counters = [
            (
                "prometheus_tsdb_compactions_total",
                "Blocks that were cut from a head or merged from others.",
                &self.compactions,
            ),
            (
                "prometheus_tsdb_compactions_failed_total",
                "Attempts to cut or merge blocks that failed.",
                &self.failed_compactions,
            ),
            (
                "prometheus_tsdb_reloads_failures_total",
                "Attempts to read or remove blocks that failed.",
                &self.failed_retentions,
            ),
            (
                "promontory_tsdb_disk_checks_failed_total",
                "Attempts to look at the free space of a disk that failed.",
                &self.failed_disk_checks,
            ),
        ];
        for (name, help, counter) in counters {
            out.counter(name, help, &[], counter.load(Ordering::Relaxed));
        }
        let layout = self.tenants.options().layout;
        for tenant in self.tenants.all() {
            figures::collect(&tenant, layout, out);
        }
    }
}

#[cfg(test)]
mod tests;
