//! Opening the data of tenants, as the flags want it kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::{BucketConfig, Error};
use tsdb::db::{DbOptions, Retention};
use tsdb::head::{FloatRecords, HeadOptions, SyncMode};

use super::{Deps, start};
use crate::flags::{Config, LayoutFlag, TsdbConfig, WalRecords, WalSync};
use crate::scraping::Loaded;
use crate::storage::{Layout, StorageOptions, Tenants};

/// Longest a batch of writes waits for the disk with `--wal.sync=batch`.
const SYNC_BATCH: Duration = Duration::from_millis(100);
/// Pause between two reports of a replay's progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Opens the TSDBs and says how far that is.
///
/// # Errors
/// [`Error::Start`] when the data cannot be opened.
pub(super) fn open_tenants(
    config: &Config,
    loaded: &Loaded,
    deps: &Deps,
) -> Result<Tenants, Error> {
    let tsdb = &config.tsdb;
    let limits = &config.receive.limits;
    let mut db = db_options(tsdb, loaded.out_of_order_window_ms(), &config.bucket);
    let series = limits.write.head_series_limits(tsdb.head_series_max);
    db.head.series_max = series.default;
    let options = StorageOptions {
        default_tenant: config.receive.tenants.default.clone(),
        tenant_label: config.tenant_label.clone(),
        tenants_max: config.tenants_max,
        labels: loaded.external_labels().clone(),
        series_max: series.by_tenant,
        db,
        ..StorageOptions::new(
            &tsdb.path,
            match tsdb.layout {
                LayoutFlag::Tenants => Layout::PerTenant,
                LayoutFlag::Single => Layout::Single,
            },
        )
    };
    let begin = Instant::now();
    let mut reported: HashMap<String, Instant> = HashMap::new();
    let tenants = Tenants::open(options, Arc::clone(&deps.clock), &mut |tenant, progress| {
        deps.replay.note(tenant, progress);
        let last = reported.entry(tenant.to_owned()).or_insert(begin);
        if last.elapsed() >= REPORT_EVERY {
            *last = Instant::now();
            let (done, total) = (progress.done, progress.total);
            tracing::info!(tenant, segments = done, of = total, "replaying the log");
        }
    });
    let action = format!("open the data in {}", tsdb.path.display());
    let tenants = tenants.map_err(start(&action))?;
    tracing::info!(
        path = %tsdb.path.display(),
        tenants = tenants.all().len(),
        took_ms = begin.elapsed().as_millis() as u64,
        "data is open"
    );
    Ok(tenants)
}

/// How TSDBs are kept: where blocks are shipped they are left as they were cut, and stay until they
/// are in the bucket.
fn db_options(tsdb: &TsdbConfig, window_ms: Option<i64>, bucket: &BucketConfig) -> DbOptions {
    let defaults = DbOptions::default();
    let merge_max = match bucket {
        BucketConfig::None => Some(merge_max_ms(tsdb.retention_ms)),
        BucketConfig::Yaml(_) => None,
    };
    DbOptions {
        head: HeadOptions {
            out_of_order_window: window_ms.unwrap_or(tsdb.out_of_order_window_ms),
            future_max: tsdb.future_max_ms,
            series_max: tsdb.head_series_max,
            exemplars_max: tsdb.exemplars_max,
            sync: match tsdb.wal_sync {
                WalSync::Always => SyncMode::Always,
                WalSync::Batch => SyncMode::Batch(SYNC_BATCH),
                WalSync::None => SyncMode::None,
            },
            float_records: match tsdb.wal_records {
                WalRecords::Compact => FloatRecords::Changes,
                WalRecords::Prometheus => FloatRecords::Samples,
            },
            ..defaults.head
        },
        merge_max,
        hold_unreleased: merge_max.is_none(),
        retention: Retention {
            time_ms: tsdb.retention_ms,
            bytes: tsdb.retention_bytes,
        },
        lock: tsdb.lock,
        ..defaults
    }
}

/// The longest block that is merged here: a tenth of what is kept, at most 31 days, as in Prometheus.
pub(super) fn merge_max_ms(retention_ms: Option<i64>) -> i64 {
    const MONTH_MS: i64 = 31 * 24 * 3_600_000;
    retention_ms.map_or(MONTH_MS, |kept| (kept / 10).min(MONTH_MS))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Flags;

    const HOUR_MS: i64 = 3_600_000;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn options(args: &[&str]) -> DbOptions {
        let args = std::iter::once("ingester").chain(args.iter().copied());
        let config = Line::parse_from(args)
            .flags
            .resolve(&runtime::Environment::default())
            .unwrap();
        db_options(&config.tsdb, None, &config.bucket)
    }

    #[test]
    fn blocks_are_merged_here_only_where_nothing_ships_them() {
        let alone = options(&[]);
        assert_eq!(alone.merge_max, Some(36 * HOUR_MS));
        assert!(!alone.hold_unreleased);
        assert_eq!(
            options(&["--tsdb.retention=0s"]).merge_max,
            Some(31 * 24 * HOUR_MS)
        );
        let shipping = options(&["--objstore.config=type: FILESYSTEM"]);
        assert_eq!(shipping.merge_max, None);
        assert!(shipping.hold_unreleased);
    }
}
