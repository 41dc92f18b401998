//! Tenants for tests.

use std::path::Path;
use std::sync::Arc;

use model::Labels;
use runtime::ManualClock;
use tsdb::batch::Batch;
use tsdb::db::DbOptions;
use tsdb::head::{HeadOptions, SyncMode};

use super::tenants::{Layout, StorageOptions, Tenants};
use crate::append::Appender as _;

/// The begin of a block.
pub(super) const START: i64 = 1_599_998_400_000;

pub(super) fn options(path: &Path, layout: Layout) -> StorageOptions {
    StorageOptions {
        db: DbOptions {
            head: HeadOptions {
                sync: SyncMode::None,
                replay_workers: 0,
                future_max: i64::MAX,
                ..HeadOptions::default()
            },
            free_bytes_min: 0,
            ..DbOptions::default()
        },
        ..StorageOptions::new(path, layout)
    }
}

pub(super) fn open(options: StorageOptions) -> Result<Arc<Tenants>, tsdb::Error> {
    let clock = Arc::new(ManualClock::new(START));
    Tenants::open(options, clock, &mut |_, _| {}).map(Arc::new)
}

/// Writes one sample of each series.
pub(super) fn write(tenants: &Tenants, tenant: &str, t: i64, series: &[Labels]) {
    let mut batch = Batch::new();
    for labels in series {
        batch.series(labels);
        batch.float(t, t as f64);
    }
    let appended = tenants.append(tenant, &batch).unwrap();
    assert_eq!(appended.rejected, []);
    tenants.commit(tenant, appended.commit).unwrap();
}
