use model::Labels;
use tokio::task::yield_now;

use tsdb::batch::Batch;

use super::super::tenants::Layout;
use super::super::testing::{START, open, options, write};
use super::*;
use crate::append::Appender as _;

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn blocks_are_cut_for_each_tenant_until_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = open(options(dir.path(), Layout::PerTenant)).unwrap();
    let series = [Labels::from_pairs([("__name__", "up")])];
    for hour in 0..6 {
        write(&tenants, "a", START + hour * HOUR, &series);
        write(&tenants, "b", START + hour * HOUR, &series);
    }
    let metrics = Arc::new(MaintenanceMetrics::new(
        Arc::clone(&tenants),
        Notifications::default(),
    ));
    let (trigger, shutdown) = Shutdown::new();
    let cut = async {
        while !tenants.all().iter().all(|t| t.db.stats().blocks == 1) {
            yield_now().await;
        }
        trigger.request();
    };
    tokio::join!(maintain(Arc::clone(&metrics), shutdown), cut);
    assert_eq!(metrics.compactions.load(Ordering::Relaxed), 2);
    assert_eq!(metrics.failed_compactions.load(Ordering::Relaxed), 0);
    let mut out = Exposition::default();
    metrics.collect(&mut out);
}

#[test]
fn a_tenant_that_fails_does_not_stop_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = open(options(dir.path(), Layout::PerTenant)).unwrap();
    let series = [Labels::from_pairs([("__name__", "up")])];
    for hour in 0..6 {
        write(&tenants, "a", START + hour * HOUR, &series);
        write(&tenants, "b", START + hour * HOUR, &series);
    }
    std::fs::remove_dir_all(dir.path().join("a")).unwrap();
    let metrics = MaintenanceMetrics::new(Arc::clone(&tenants), Notifications::default());
    metrics.check_disks();
    metrics.compact_all();
    assert_eq!(metrics.failed_disk_checks.load(Ordering::Relaxed), 1);
    assert_eq!(metrics.failed_compactions.load(Ordering::Relaxed), 1);
    assert_eq!(tenants.get("b").unwrap().db.stats().blocks, 1);
}

#[test]
fn operators_are_told_while_a_disk_is_nearly_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), Layout::PerTenant);
    options.db.free_bytes_min = u64::MAX;
    let tenants = open(options).unwrap();
    let mut batch = Batch::new();
    batch.series([("__name__", "up")]);
    batch.float(START, 1.0);
    let refused = tenants.append("a", &batch).unwrap_err().to_string();
    assert!(
        refused.starts_with("read-only"),
        "the first write: {refused}"
    );
    let notifications = Notifications::default();
    let metrics = MaintenanceMetrics::new(Arc::clone(&tenants), notifications.clone());
    metrics.check_disks();
    assert!(notifications.says(READ_ONLY));
    let tenant = tenants.get("a").unwrap();
    assert!(tenant.db.check_disk(u64::MAX));
    metrics.tell();
    assert!(!notifications.says(READ_ONLY));
}
