//! Removing tenants that stopped writing, when all that they have is older than is kept.
//!
//! A tenant goes in one step for everybody else: it is taken out of the table by who has it alone, and
//! its directory gets a name that no tenant has before anybody may make the tenant anew. So a write
//! either finds the old TSDB, which stays then, or begins a new one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bucket::ship::META_FILE_NAME;
use tsdb::{Error, durable};

use super::{Layout, Slot, StorageOptions, Tenant, Tenants, directories};

/// Begin of the names of directories that are being removed.
const REMOVED: &str = ".removed-";

impl Tenants {
    /// Removes the tenants that nobody needs any more, see [`Db::is_abandoned`](tsdb::db::Db::is_abandoned).
    /// Who is in somebody's hands waits for the next call.
    pub fn prune(&self) {
        if self.options.layout == Layout::Single {
            return;
        }
        {
            // What could not be removed before.
            let _one_at_a_time = self.opening.lock();
            if let Err(error) = finish(&self.options) {
                tracing::warn!(%error, "cannot see what is left of removed tenants");
            }
        }
        let now_ms = self.clock.now_ms();
        let is_abandoned = |tenant: &Arc<Tenant>| {
            let found = tenant.db.is_abandoned(now_ms, META_FILE_NAME);
            found.unwrap_or_else(|error| {
                tracing::warn!(tenant = &*tenant.name, %error, "cannot see whether a tenant can go");
                false
            })
        };
        let mut names: Vec<Arc<str>> = Vec::new();
        for tenant in self.all().iter().filter(|tenant| is_abandoned(tenant)) {
            names.push(Arc::clone(&tenant.name));
        }
        for name in names {
            match self.remove(&name) {
                Ok(None) => {}
                Ok(Some(removed)) => {
                    tracing::info!(
                        tenant = &*name,
                        "removed a tenant: nothing was written for longer than data is kept"
                    );
                    remove_dir(&removed);
                }
                Err(error) => {
                    tracing::error!(tenant = &*name, %error, "cannot remove a tenant; trying again");
                }
            }
        }
    }

    /// Closes a tenant and takes its directory away; where that is now, unless it could not be had alone.
    fn remove(&self, name: &Arc<str>) -> Result<Option<PathBuf>, Error> {
        // Nobody makes it anew while its directory is in the way.
        let _one_at_a_time = self.opening.lock();
        let Some(tenant) = self.take(name) else {
            return Ok(None);
        };
        let dir = tenant.db.dir().to_owned();
        let last = tenant.db.head().last_reference();
        self.last_reference.fetch_max(last, Ordering::Relaxed);
        tenant.db.note_end();
        drop(tenant);
        let removed = self.options.path.join(format!("{REMOVED}{name}"));
        remove_dir(&removed);
        let renamed = fs::rename(&dir, &removed).map_err(|e| Error::io("rename", &dir, e));
        if renamed.is_err() {
            let slot = match self.open_tenant(name, &mut |_, _| {}) {
                Ok(tenant) => Slot::Open(tenant),
                Err(error) => Slot::Broken(Arc::new(error)),
            };
            self.put(name, slot);
        }
        renamed?;
        durable::sync_dir(&self.options.path)
            .map_err(|e| Error::io("sync", &self.options.path, e))?;
        Ok(Some(removed))
    }

    /// The tenant, out of the table, unless somebody else has it or wrote to it meanwhile.
    fn take(&self, name: &str) -> Option<Tenant> {
        // Nobody gets it from the table meanwhile.
        let mut open = self.open.write();
        let (name, slot) = open.remove_entry(name)?;
        let slot = match slot {
            Slot::Open(tenant) => match Arc::try_unwrap(tenant) {
                Ok(tenant) if tenant.db.head().time_range().is_none() => return Some(tenant),
                Ok(tenant) => Slot::Open(Arc::new(tenant)),
                Err(shared) => Slot::Open(shared),
            },
            broken @ Slot::Broken(_) => broken,
        };
        open.insert(name, slot);
        None
    }
}

/// Goes on with removals that a crash or a failure ended.
///
/// # Errors
/// [`Error::Io`] when the path cannot be listed.
pub(super) fn finish(options: &StorageOptions) -> Result<(), Error> {
    if options.layout == Layout::PerTenant {
        let names = directories(&options.path)?;
        for name in names.iter().filter(|name| name.starts_with(REMOVED)) {
            remove_dir(&options.path.join(name));
        }
    }
    Ok(())
}

/// Removes what has no name any more. What cannot be is tried again by the next call for removal.
fn remove_dir(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %dir.display(), %error, "cannot remove what is left of a tenant");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
