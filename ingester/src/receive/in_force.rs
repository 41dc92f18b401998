//! The limits in force: what the requests of each tenant may be like, as a file says that may change
//! while the process runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use runtime::followed::Followed;
use runtime::metrics::Exposition;
use runtime::{Environment, Error};
use tokio::sync::Semaphore;

use super::decoded::DecodeOptions;
use super::limits::{LimitsFile, TenantLimits, WriteLimits, limit};
use crate::storage::SeriesLimits;

/// The flag that names the file.
pub const LIMITS_FILE: &str = "receive.limits-config-file";

/// What a tenant's requests may be like.
#[derive(Debug, Clone)]
pub(super) struct TenantOptions {
    pub(super) decode: DecodeOptions,
    pub(super) bytes_max: Option<usize>,
}

/// Limits as they are applied.
#[derive(Debug)]
pub(super) struct InForce {
    said: WriteLimits,
    default: TenantOptions,
    by_tenant: BTreeMap<String, TenantOptions>,
    pub(super) places: Option<Places>,
}

/// Places for requests that are under way at once, and how many there are.
type Places = (Arc<Semaphore>, usize);

impl InForce {
    fn new(file: LimitsFile, decode: &DecodeOptions) -> Self {
        let options = |limits: TenantLimits| TenantOptions {
            decode: DecodeOptions {
                series_max: limit(limits.request.series_limit).unwrap_or(decode.series_max),
                samples_max: limit(limits.request.samples_limit).unwrap_or(decode.samples_max),
                ..decode.clone()
            },
            bytes_max: limit(limits.request.size_bytes_limit),
        };
        let said = file.write;
        let by_tenant = said.tenants.iter();
        let by_tenant = by_tenant
            .map(|(name, own)| (name.clone(), options(own.over(said.default))))
            .collect();
        let concurrent = limit(Some(said.global.max_concurrency));
        Self {
            default: options(said.default),
            by_tenant,
            places: concurrent.map(|max| (Arc::new(Semaphore::new(max)), max)),
            said,
        }
    }

    /// With the places of those in force before, which requests under way have, unless there are to be
    /// more or fewer. `before` is these afterwards.
    fn sharing(mut self, before: &Mutex<Option<Places>>) -> Self {
        let max = |places: &Option<Places>| places.as_ref().map(|(_, max)| *max);
        let mut before = before.lock();
        match max(&before) == max(&self.places) {
            true => self.places.clone_from(&before),
            false => before.clone_from(&self.places),
        }
        self
    }

    /// Those of a tenant.
    pub(super) fn of(&self, tenant: &str) -> &TenantOptions {
        self.by_tenant.get(tenant).unwrap_or(&self.default)
    }

    /// Most series of heads; `unsaid` where nothing says so.
    pub(super) fn head_series(&self, unsaid: usize) -> SeriesLimits {
        self.said.head_series_limits(unsaid)
    }

    fn collect(&self, out: &mut Exposition) {
        let tenants = self.said.tenants.iter();
        let tenants = tenants.map(|(name, own)| (name.as_str(), own.over(self.said.default)));
        for (tenant, limits) in std::iter::once(("", self.said.default)).chain(tenants) {
            let request = limits.request;
            for (what, number) in [
                ("body_size", request.size_bytes_limit),
                ("samples", request.samples_limit),
                ("series", request.series_limit),
            ] {
                out.gauge(
                    "thanos_receive_write_limits",
                    "What a request may have at most, by tenant; 0 for any number.",
                    &[("limit", what), ("tenant", tenant)],
                    limit(number).unwrap_or(0) as f64,
                );
            }
        }
    }
}

/// How often the file was read.
#[derive(Debug, Default)]
struct Reads {
    all: AtomicU64,
    failed: AtomicU64,
}

/// Where limits come from.
#[derive(Debug)]
pub(super) struct Limits {
    source: Source,
    reads: Arc<Reads>,
}

#[derive(Debug)]
enum Source {
    /// They are always the same.
    Fixed(Arc<InForce>),
    /// A file has them, and is looked at for every request.
    File(Arc<Followed<InForce>>),
}

impl Limits {
    /// `said`, or what the file says by then.
    pub(super) fn new(
        said: LimitsFile,
        file: Option<(PathBuf, Environment)>,
        decode: &DecodeOptions,
    ) -> Self {
        let reads = Arc::new(Reads::default());
        let followed = file.and_then(|(file, environment)| {
            let (decode, reads) = (decode.clone(), Arc::clone(&reads));
            let places = Mutex::default();
            let followed = Followed::new("limits on writes", move |seen| {
                seen.note(&file);
                reads.all.fetch_add(1, Ordering::Relaxed);
                let read = read(&file, &environment);
                let read = read.inspect_err(|_| {
                    reads.failed.fetch_add(1, Ordering::Relaxed);
                });
                read.map(|limits| InForce::new(limits, &decode).sharing(&places))
            });
            // It was read just before; where that cannot be done again, what it said then holds.
            let unreadable = |error: &Error| {
                tracing::warn!(%error, "limits on writes are those of the start");
            };
            followed.inspect_err(unreadable).ok()
        });
        let fixed = || Source::Fixed(Arc::new(InForce::new(said, decode)));
        Self {
            source: followed.map_or_else(fixed, Source::File),
            reads,
        }
    }

    /// Those of now.
    pub(super) fn now(&self) -> Arc<InForce> {
        match &self.source {
            Source::Fixed(limits) => Arc::clone(limits),
            Source::File(followed) => followed.look(),
        }
    }

    pub(super) fn collect(&self, out: &mut Exposition) {
        self.now().collect(out);
        for (name, help, reads) in [
            (
                "thanos_receive_limits_config_reload_total",
                "Times that the file with limits on writes was read.",
                &self.reads.all,
            ),
            (
                "thanos_receive_limits_config_reload_err_total",
                "Times that the file with limits on writes could not be used.",
                &self.reads.failed,
            ),
        ] {
            out.counter(name, help, &[], reads.load(Ordering::Relaxed));
        }
    }
}

fn read(file: &std::path::Path, environment: &Environment) -> Result<LimitsFile, Error> {
    let text = environment.configuration(LIMITS_FILE, Some(file), None)?;
    let limits = LimitsFile::parse(&text.unwrap_or_default());
    limits.map_err(|reason| Error::Flag {
        flag: LIMITS_FILE,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_changes_limits_unless_it_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("limits.yaml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let series = |max: usize| {
            let max = format!("{{series_limit: {max}}}");
            format!("write: {{default: {{request: {max}}}, tenants: {{a: {{}}}}}}")
        };
        write(&series(1));
        let followed = Some((file.clone(), Environment::default()));
        let limits = Limits::new(LimitsFile::default(), followed, &DecodeOptions::default());
        let max = |limits: &Limits| limits.now().of("a").decode.series_max;
        assert_eq!(max(&limits), 1);
        assert_eq!(limits.now().head_series(3).default, 3);
        let heads = "{request: {series_limit: 20}, head_series_limit: 9}";
        write(&format!(
            "write: {{default: {heads}, tenants: {{a: {{}}}}}}"
        ));
        assert_eq!(max(&limits), 20);
        assert_eq!(limits.now().head_series(3).default, 9);
        write("write: {global: {max_concurrency: 1}}");
        let (places, _) = limits.now().places.clone().unwrap();
        let _under_way = places.try_acquire_owned().unwrap();
        let free = |limits: &Limits| limits.now().places.as_ref().unwrap().0.available_permits();
        write("write: {global: {max_concurrency: 1}, default: {}}");
        assert_eq!(free(&limits), 0, "what is under way counts");
        write("write: {global: {max_concurrency: 20}}");
        assert_eq!(free(&limits), 20);
        write(&series(20));
        assert!(limits.now().places.is_none());
        write("write: 7");
        assert_eq!(max(&limits), 20);
        let mut out = Exposition::default();
        limits.collect(&mut out);
        let shown = out.into_text();
        for line in [
            "thanos_receive_limits_config_reload_total 7",
            "thanos_receive_limits_config_reload_err_total 1",
            "thanos_receive_write_limits{limit=\"series\",tenant=\"\"} 20",
            "thanos_receive_write_limits{limit=\"series\",tenant=\"a\"} 20",
            "thanos_receive_write_limits{limit=\"samples\",tenant=\"a\"} 0",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line}: {shown}");
        }

        let missing = Some((dir.path().join("none"), Environment::default()));
        let said = LimitsFile::parse(&series(3)).unwrap();
        let fixed = Limits::new(said, missing, &DecodeOptions::default());
        assert_eq!(max(&fixed), 3);
    }
}
