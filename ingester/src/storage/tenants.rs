//! A TSDB for each tenant.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::time::DurationMs;
use model::{ErrorKind, Labels};
use parking_lot::{Mutex, RwLock};
use runtime::Clock;
use storeapi::external_labels::with_external;
use tsdb::batch::{Appended, Batch, CommitPoint, Reject, WriteError};
use tsdb::db::disk::free_bytes;
use tsdb::db::{Db, DbOptions};
use tsdb::head::{HeadOptions, Progress};
use tsdb::{Error, durable};

use super::tenant_name::{self, InvalidTenant};
use crate::append::Appender;

mod prune;

/// Where the data of tenants is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One tenant, whose data directory is the path itself, as Prometheus has it.
    Single,
    /// A data directory for each tenant, `<path>/<tenant>`, as Thanos' receive has it.
    PerTenant,
}

/// How tenants are kept.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// The directory that everything is in.
    pub path: PathBuf,
    /// What is in it.
    pub layout: Layout,
    /// The tenant of those who name none.
    pub default_tenant: String,
    /// The label that tells tenants apart where there are several.
    pub tenant_label: String,
    /// External labels of all tenants.
    pub labels: Labels,
    /// So many tenants there may be.
    pub tenants_max: usize,
    /// How each TSDB is kept.
    pub db: DbOptions,
    /// Most series of the heads of some tenants; those of others are as [`StorageOptions::db`] says.
    pub series_max: BTreeMap<String, usize>,
}

/// Most series of heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Of tenants that are not named.
    pub default: usize,
    /// Of single tenants.
    pub by_tenant: BTreeMap<String, usize>,
}

impl SeriesLimits {
    /// Most series of the head of `tenant`.
    fn of(&self, tenant: &str) -> usize {
        *self.by_tenant.get(tenant).unwrap_or(&self.default)
    }
}

impl StorageOptions {
    /// Options for data in `path`, with Thanos' names.
    pub fn new(path: impl Into<PathBuf>, layout: Layout) -> Self {
        Self {
            path: path.into(),
            layout,
            default_tenant: "default-tenant".to_owned(),
            tenant_label: "tenant_id".to_owned(),
            labels: Labels::empty(),
            tenants_max: 1000,
            db: DbOptions::default(),
            series_max: BTreeMap::new(),
        }
    }
}

/// A tenant and its TSDB.
#[derive(Debug)]
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// External labels of its series and blocks.
    pub labels: Labels,
    /// Its data. Finished blocks are in [`Db::dir`].
    pub db: Db,
    /// Chunks in the head when they were last counted.
    pub(super) head_chunks: AtomicU64,
}

/// Opening a tenant, and how far the replay of its log is.
pub type OpenProgress<'a> = &'a mut dyn FnMut(&str, Progress);

/// All tenants. A tenant comes to be when it is first written to.
#[derive(Debug)]
pub struct Tenants {
    options: StorageOptions,
    clock: Arc<dyn Clock>,
    open: RwLock<BTreeMap<Arc<str>, Slot>>,
    /// Held while a tenant is opened or removed, so that it is not opened twice.
    opening: Mutex<()>,
    series_limits: RwLock<SeriesLimits>,
    /// The last reference that a series had in any tenant that was removed.
    last_reference: AtomicU64,
    repaired_logs: AtomicU64,
}

/// A tenant that there is.
#[derive(Debug, Clone)]
enum Slot {
    Open(Arc<Tenant>),
    /// Its data cannot be opened, for this reason.
    Broken(Arc<Error>),
}

impl Tenants {
    /// Opens all tenants in the options' path, which is made when it is not there.
    ///
    /// A tenant whose data cannot be opened does not stop others: its writes are refused, until
    /// [`Tenants::reopen`] finds it mended.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the path has data in the other layout or the default tenant cannot be
    /// named so; [`Error::InUse`] when another process has a tenant open; [`Error::Io`] when the
    /// path cannot be listed; and whatever the only tenant of [`Layout::Single`] cannot be opened
    /// for.
    pub fn open(
        options: StorageOptions,
        clock: Arc<dyn Clock>,
        progress: OpenProgress<'_>,
    ) -> Result<Self, Error> {
        let invalid = |e: InvalidTenant| Error::Invalid(e.to_string());
        tenant_name::check(&options.default_tenant).map_err(invalid)?;
        durable::create_dir_all(&options.path)
            .map_err(|e| Error::io("create", &options.path, e))?;
        check_layout(&options)?;
        prune::finish(&options)?;
        let series_limits = SeriesLimits {
            default: options.db.head.series_max,
            by_tenant: options.series_max.clone(),
        };
        let tenants = Self {
            options,
            series_limits: RwLock::new(series_limits),
            last_reference: AtomicU64::new(0),
            clock,
            open: RwLock::default(),
            opening: Mutex::default(),
            repaired_logs: AtomicU64::new(0),
        };
        for name in tenants.found()? {
            match tenants.open_tenant(&name, progress) {
                Err(error) if is_fatal(tenants.options.layout, &error) => return Err(error),
                Err(error) => {
                    tracing::error!(tenant = name, %error, "a tenant cannot be opened");
                    tenants.put(&name, Slot::Broken(Arc::new(error)));
                }
                Ok(tenant) => tenants.put(&name, Slot::Open(tenant)),
            }
        }
        Ok(tenants)
    }

    /// The names of the tenants that are on disk.
    fn found(&self) -> Result<Vec<String>, Error> {
        match self.options.layout {
            Layout::Single => Ok(vec![self.options.default_tenant.clone()]),
            Layout::PerTenant => {
                let mut names = directories(&self.options.path)?;
                names.retain(|name| tenant_name::check(name).is_ok());
                Ok(names)
            }
        }
    }

    /// How the head of a tenant is kept.
    fn head_options(&self, name: &str) -> HeadOptions {
        let mut head = self.options.db.head;
        head.series_max = self.series_limits.read().of(name);
        head.references_after = self.last_reference.load(Ordering::Relaxed);
        head
    }

    /// Lets heads have so many series from now on. Series that are there stay.
    pub fn limit_series(&self, limits: SeriesLimits) {
        if *self.series_limits.read() == limits {
            return;
        }
        tracing::info!("limits on the series of heads changed");
        // Nobody is opened with the old ones behind this.
        let _one_at_a_time = self.opening.lock();
        for tenant in self.all() {
            tenant.db.head().set_series_max(limits.of(&tenant.name));
        }
        *self.series_limits.write() = limits;
    }

    fn open_tenant(&self, name: &str, progress: OpenProgress<'_>) -> Result<Arc<Tenant>, Error> {
        let options = &self.options;
        let dir = match options.layout {
            Layout::Single => options.path.clone(),
            Layout::PerTenant => options.path.join(name),
        };
        let mut of_tenant = options.db.clone();
        of_tenant.head = self.head_options(name);
        let db = Db::open(&dir, of_tenant, &mut |p| progress(name, p))?;
        // Before the first write, of which nobody knows how large it is.
        if let Ok(free) = free_bytes(&dir)
            && db.check_disk(free)
        {
            tracing::error!(
                tenant = name,
                free,
                "the disk is nearly full: no writes until there is space"
            );
        }
        let report = db.report();
        for path in &report.removed {
            tracing::info!(tenant = name, path = %path.display(), "removed an unfinished block");
        }
        for block in &report.set_aside {
            tracing::error!(tenant = name, path = %block.path.display(), error = %block.damage,
                "set a damaged block aside");
        }
        for (path, error) in &report.unreadable {
            tracing::error!(tenant = name, path = %path.display(), %error,
                "a block cannot be read and is left out; it stays where it is");
        }
        for repair in &report.head.repairs {
            tracing::error!(tenant = name, ?repair, "repaired a log");
        }
        let repairs = report.head.repairs.len() as u64;
        self.repaired_logs.fetch_add(repairs, Ordering::Relaxed);
        Ok(Arc::new(Tenant {
            name: name.into(),
            labels: self.labels_of(name),
            head_chunks: AtomicU64::new(db.head().chunk_count() as u64),
            db,
        }))
    }

    /// The external labels of the tenant `name`.
    pub fn labels_of(&self, name: &str) -> Labels {
        let options = &self.options;
        match options.layout {
            Layout::Single => options.labels.clone(),
            Layout::PerTenant => {
                let tenant = Labels::from_pairs([(options.tenant_label.as_str(), name)]);
                with_external(&options.labels, &tenant)
            }
        }
    }

    fn put(&self, name: &str, slot: Slot) {
        self.open.write().insert(name.into(), slot);
    }

    /// Tries again to open the tenants that could not be opened.
    pub fn reopen(&self) {
        let _one_at_a_time = self.opening.lock();
        let is_broken = |(_, slot): &(&Arc<str>, &Slot)| matches!(slot, Slot::Broken(_));
        let broken: Vec<_> = (self.open.read().iter())
            .filter(is_broken)
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in broken {
            if let Ok(tenant) = self.open_tenant(&name, &mut |_, _| {}) {
                tracing::info!(tenant = &*name, "a tenant is open again");
                self.put(&name, Slot::Open(tenant));
            }
        }
    }

    /// How many damages of logs were found since the start, and what is behind them set aside.
    pub fn repaired_logs(&self) -> u64 {
        self.repaired_logs.load(Ordering::Relaxed)
    }

    /// What was said of where and how.
    pub fn options(&self) -> &StorageOptions {
        &self.options
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// All tenants that are open, in order of their names.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        let open = |slot: &Slot| match slot {
            Slot::Open(tenant) => Some(Arc::clone(tenant)),
            Slot::Broken(_) => None,
        };
        self.open.read().values().filter_map(open).collect()
    }

    /// The tenants that cannot be opened, and why.
    pub fn broken(&self) -> Vec<(Arc<str>, Arc<Error>)> {
        let broken = |(name, slot): (&Arc<str>, &Slot)| match slot {
            Slot::Open(_) => None,
            Slot::Broken(error) => Some((Arc::clone(name), Arc::clone(error))),
        };
        self.open.read().iter().filter_map(broken).collect()
    }

    /// The tenant `name`, `""` for the default one; `None` when there is none, or it is not open.
    pub fn get(&self, name: &str) -> Option<Arc<Tenant>> {
        match self.open.read().get(self.resolve(name)) {
            Some(Slot::Open(tenant)) => Some(Arc::clone(tenant)),
            _ => None,
        }
    }

    fn resolve<'a>(&'a self, name: &'a str) -> &'a str {
        match name {
            "" => &self.options.default_tenant,
            name => name,
        }
    }

    /// The tenant `name`, for writing: made when there is none.
    fn get_or_create(&self, name: &str) -> Result<Arc<Tenant>, WriteError> {
        let name = self.resolve(name);
        if let Some(slot) = self.open.read().get(name) {
            return slot.tenant();
        }
        tenant_name::check(name)?;
        if self.options.layout == Layout::Single {
            return Err(WriteError::Refused {
                kind: ErrorKind::Invalid,
                reason: format!(
                    "only tenant {:?} is kept here, not {name:?}; run an ingester for several \
                     tenants to keep more",
                    self.options.default_tenant
                ),
            });
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(slot) = self.open.read().get(name) {
            return slot.tenant();
        }
        let max = self.options.tenants_max;
        if self.open.read().len() >= max {
            return Err(WriteError::Refused {
                kind: ErrorKind::Exhausted,
                reason: format!(
                    "there are {max} tenants, and no more are allowed (--receive.tenants-max)"
                ),
            });
        }
        let tenant = self.open_tenant(name, &mut |_, _| {})?;
        tracing::info!(tenant = name, "a new tenant");
        self.put(name, Slot::Open(Arc::clone(&tenant)));
        Ok(tenant)
    }

    /// Notes in the data of all tenants that nothing more is written.
    pub fn note_end(&self) {
        self.all().iter().for_each(|tenant| tenant.db.note_end());
    }

    /// Completes the chunks of all heads, for a shutdown after which nothing is shipped. Nobody may
    /// append any more.
    pub fn close(&self) {
        for tenant in self.all() {
            tenant.db.head().close();
        }
    }

    /// Cuts blocks of all that is in the heads, for a shutdown after which everything is shipped.
    /// Nobody may append any more. Goes on with other tenants where one fails.
    ///
    /// # Errors
    /// The first error.
    pub fn flush(&self) -> Result<(), WriteError> {
        let now = self.clock.now_ms();
        let mut result = Ok(());
        for tenant in self.all() {
            let flushed = tenant.db.flush(now).map(drop);
            if let Err(error) = &flushed {
                tracing::error!(tenant = &*tenant.name, %error, "cannot flush a head into blocks");
            }
            result = result.and(flushed);
        }
        result
    }
}

impl Slot {
    fn tenant(&self) -> Result<Arc<Tenant>, WriteError> {
        match self {
            Self::Open(tenant) => Ok(Arc::clone(tenant)),
            Self::Broken(error) => Err(WriteError::Refused {
                kind: ErrorKind::Unavailable,
                reason: format!("the tenant's data cannot be opened: {error}"),
            }),
        }
    }
}

impl Appender for Tenants {
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        let tenant = self.get_or_create(tenant)?;
        tenant.db.append(batch, self.clock.now_ms())
    }

    fn limit(&self, tenant: &str, reason: Reject) -> String {
        let Some(tenant) = self.get(tenant) else {
            return String::new();
        };
        let options = self.head_options(&tenant.name);
        match reason {
            Reject::SeriesLimit => format!(
                ", where the head has {} series and may have {} (--tsdb.head-series-max)",
                tenant.db.head().series_count(),
                tenant.db.head().series_max()
            ),
            Reject::TooFarInFuture => format!(
                ", which may be {} after {} (--tsdb.too-far-in-future.time-window)",
                DurationMs(options.future_max),
                self.clock.now_ms()
            ),
            Reject::TooOld => format!(
                ", which may be {} older than the newest sample (--tsdb.out-of-order.time-window)",
                DurationMs(options.out_of_order_window)
            ),
            _ => String::new(),
        }
    }

    fn commit(&self, tenant: &str, at: CommitPoint) -> Result<(), WriteError> {
        // The table is let go before a flush: others are in it.
        let slot = self.open.read().get(self.resolve(tenant)).cloned();
        match slot {
            Some(slot) => slot.tenant()?.db.commit(at),
            // It was removed, so that all of it was as durable as it can be.
            None => Ok(()),
        }
    }
}

/// Without its only tenant there is nothing to serve, and nobody shares a directory.
fn is_fatal(layout: Layout, error: &Error) -> bool {
    layout == Layout::Single || matches!(error, Error::InUse { .. })
}

/// The directories in a directory, by name; names that are no text are left out.
fn directories(path: &Path) -> Result<Vec<String>, Error> {
    let io = |e| Error::io("list", path, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_type().map_err(io)?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// Refuses data in the other layout, which would not be found.
fn check_layout(options: &StorageOptions) -> Result<(), Error> {
    let path = &options.path;
    let is_tsdb = |dir: &Path| dir.join("wal").is_dir();
    let foreign = match options.layout {
        Layout::PerTenant => is_tsdb(path).then(|| {
            let to = path.join(&options.default_tenant);
            format!(
                "of a single tenant; move its contents to {} first",
                to.display()
            )
        }),
        Layout::Single => (directories(path)?.iter())
            .find(|name| tenant_name::check(name).is_ok() && is_tsdb(&path.join(name)))
            .map(|name| {
                let from = path.join(name);
                format!(
                    "of several tenants; use {} to open that tenant alone",
                    from.display()
                )
            }),
    };
    match foreign {
        None => Ok(()),
        Some(what) => Err(Error::Invalid(format!(
            "{} has the data {what}",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests;
