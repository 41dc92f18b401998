use std::thread;

use model::{Labels, TimeRange};
use runtime::{Clock as _, ManualClock};
use tsdb::batch::Batch;
use tsdb::db::Retention;

use super::super::super::testing::{START, options, write};
use super::*;
use crate::append::Appender as _;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn up() -> [Labels; 1] {
    [Labels::from_pairs([("__name__", "up")])]
}

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    tenants: Arc<Tenants>,
}

impl Bench {
    /// Data is kept for a day.
    fn new(is_shipped: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(dir.path(), Layout::PerTenant);
        options.db.retention = Retention {
            time_ms: Some(DAY),
            bytes: None,
        };
        options.db.hold_unreleased = is_shipped;
        let clock = Arc::new(ManualClock::new(START));
        let of_tenants = Arc::<ManualClock>::clone(&clock);
        let tenants = Tenants::open(options, of_tenants, &mut |_, _| {}).unwrap();
        Self {
            dir,
            clock,
            tenants: Arc::new(tenants),
        }
    }

    /// Lets time go by, with maintenance now and then.
    fn pass(&self, ms: i64) {
        for _ in 0..ms / (10 * MINUTE) {
            self.clock.advance(10 * MINUTE);
            for tenant in self.tenants.all() {
                tenant.db.compact(self.clock.now_ms()).unwrap();
                tenant.db.retain().unwrap();
            }
            self.tenants.prune();
        }
    }

    /// Says that all blocks of a tenant are in the bucket.
    fn ship(&self, tenant: &str) {
        let tenant = self.tenants.get(tenant).unwrap();
        let blocks = tenant.db.blocks();
        let blocks = blocks.iter().map(|block| block.meta().ulid);
        tenant.db.release(blocks.collect());
        // As who ships leaves it, or left it.
        fs::create_dir_all(tenant.db.dir().join("thanos/upload")).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let all = self.tenants.all();
        all.iter().map(|tenant| tenant.name.to_string()).collect()
    }

    fn has_dir(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }
}

fn samples(tenant: &Tenant) -> usize {
    let mut samples = 0;
    for found in tenant.db.select(&[], TimeRange::ALL).unwrap() {
        for chunk in found.unwrap().chunks().unwrap() {
            samples += chunk.chunk.samples().count();
        }
    }
    samples
}

#[test]
fn who_stopped_writing_goes_once_everything_is_shipped() {
    let bench = Bench::new(true);
    write(&bench.tenants, "gone", START, &up());
    write(&bench.tenants, "held", START, &up());
    write(&bench.tenants, "writes", START, &up());
    for _ in 0..3 {
        bench.pass(DAY);
        write(&bench.tenants, "writes", bench.clock.now_ms(), &up());
    }
    assert_eq!(
        bench.names(),
        ["gone", "held", "writes"],
        "nothing is shipped"
    );
    let old = bench
        .tenants
        .get("gone")
        .unwrap()
        .db
        .head()
        .last_reference();
    assert_eq!(old, 1);
    let held = bench.tenants.get("held").unwrap();
    for tenant in ["gone", "held", "writes"] {
        bench.ship(tenant);
    }
    fs::create_dir(bench.dir.path().join("gone/quarantine")).unwrap();
    bench.pass(10 * MINUTE);
    assert_eq!(bench.names().len(), 3, "something was set aside");
    fs::remove_dir(bench.dir.path().join("gone/quarantine")).unwrap();
    for kept in ["gone/wal/quarantine", "gone/thanos/upload/of-a-block"] {
        let kept = bench.dir.path().join(kept);
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join("1"), "x").unwrap();
        bench.pass(10 * MINUTE);
        assert!(bench.names().contains(&"gone".to_owned()), "{kept:?}");
        fs::remove_dir_all(&kept).unwrap();
    }
    bench.pass(10 * MINUTE);
    assert_eq!(bench.names(), ["held", "writes"]);
    assert!(!bench.has_dir("gone") && !bench.has_dir(".removed-gone"));
    assert!(bench.has_dir("held/wal"), "somebody reads it");
    drop(held);
    bench.pass(10 * MINUTE);
    assert_eq!(bench.names(), ["writes"]);

    // Who named a series of the old head does not mean one of the new.
    write(&bench.tenants, "gone", bench.clock.now_ms(), &up());
    let tenant = bench.tenants.get("gone").unwrap();
    assert_eq!(tenant.db.head().last_reference(), old + 1);
    assert_eq!(samples(&tenant), 1);
}

#[test]
fn blocks_that_are_nowhere_else_are_kept_as_long_as_was_said() {
    let bench = Bench::new(false);
    write(&bench.tenants, "a", START, &up());
    bench.pass(DAY - HOUR);
    // A clock that jumps costs nothing.
    bench.clock.advance(30 * DAY);
    bench.pass(30 * MINUTE);
    assert_eq!(bench.names(), ["a"]);
    bench.pass(HOUR);
    assert_eq!(bench.names(), Vec::<String>::new());
    assert!(!bench.has_dir("a"));
    let point = tsdb::batch::CommitPoint(7);
    bench.tenants.commit("a", point).unwrap();
    assert!(!bench.has_dir("a"), "there is nothing to be made durable");
    write(&bench.tenants, "a", bench.clock.now_ms(), &up());
    bench.tenants.commit("a", point).unwrap();
}

#[test]
fn what_a_crash_left_of_a_removal_goes_at_the_next_start() {
    let bench = Bench::new(true);
    write(&bench.tenants, "a", START, &up());
    let options = bench.tenants.options().clone();
    drop(bench.tenants);
    let left = bench.dir.path().join(".removed-b");
    fs::create_dir_all(left.join("wal")).unwrap();
    let tenants = Tenants::open(options, bench.clock, &mut |_, _| {}).unwrap();
    assert!(!left.exists());
    assert_eq!(tenants.all().len(), 1);
}

#[test]
fn a_write_finds_the_old_one_or_a_new_one() {
    const TENANTS: usize = 40;
    let bench = Bench::new(false);
    let names: Vec<String> = (0..TENANTS).map(|i| format!("t{i}")).collect();
    for name in &names {
        write(&bench.tenants, name, START, &up());
    }
    bench.pass(DAY - HOUR);
    bench.clock.advance(DAY);
    for tenant in bench.tenants.all() {
        for _ in 0..12 {
            bench.clock.advance(10 * MINUTE);
            tenant.db.compact(bench.clock.now_ms()).unwrap();
        }
    }
    assert_eq!(bench.names().len(), TENANTS);
    let now = bench.clock.now_ms();
    thread::scope(|scope| {
        scope.spawn(|| bench.tenants.prune());
        for name in names.iter().rev() {
            let mut batch = Batch::new();
            batch.series(&up()[0]);
            batch.float(now, 1.0);
            let appended = bench.tenants.append(name, &batch).unwrap();
            assert_eq!(appended.floats, 1);
            bench.tenants.commit(name, appended.commit).unwrap();
        }
    });
    assert_eq!(bench.names().len(), TENANTS);
    let kept: Vec<usize> = (bench.tenants.all().iter()).map(|t| samples(t)).collect();
    assert!(kept.iter().all(|n| (1..=2).contains(n)), "{kept:?}");
    bench.tenants.prune();
    assert_eq!(bench.names().len(), TENANTS, "they have samples of now");
}
