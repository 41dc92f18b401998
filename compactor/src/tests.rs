//! Passes over buckets in memory: what is merged, and that nothing is lost at any step.

mod blocks;

use std::collections::BTreeSet;
use std::time::Duration;

use bucket::faults::{Fault, FaultStore, Faults};
use bucket::{BlockObject, NoCompactReason, TimeBounds};
use futures::TryStreamExt as _;
use model::time::DurationMs;
use runtime::flags::ListenAddress;
use runtime::web_config::WebConfig;
use runtime::{BucketConfig, ManualClock, ServerConfig};
use tempfile::TempDir;
use tokio::time::timeout;
use tsdb::block::Meta;
use ulid::Ulid;

use super::*;
use crate::pass::GROUP_LEASE;
use crate::plan::RANGES_MS;
use crate::rules::{LEASE, Retention};
use blocks::{HOUR_MS, Samples, Spec, read, scratch, spec, upload, view};

/// Some time after all samples.
const NOW_MS: i64 = 1000 * HOUR_MS;

/// Five blocks of one producer, and two of another that overlap.
const PRODUCERS: [Spec; 7] = [
    spec("a", 0, 2),
    spec("a", 2, 4),
    spec("a", 4, 6),
    spec("a", 6, 8),
    spec("a", 8, 10),
    spec("b", 0, 2),
    Spec {
        offset: 60,
        ..spec("b", 1, 3)
    },
];

struct Bench {
    bucket: Bucket,
    clock: Arc<ManualClock>,
    _dir: TempDir,
    config: Config,
}

impl Bench {
    fn new(bucket: Bucket) -> Self {
        let dir = scratch();
        let address = || ListenAddress::parse("127.0.0.1:0").unwrap();
        let config = Config {
            servers: ServerConfig {
                http: address(),
                grpc: address(),
                web: WebConfig::default(),
                grpc_server: runtime::grpc::GrpcServerConfig::default(),
                http_log: None,
            },
            bucket: BucketConfig::None,
            data_dir: dir.path().to_owned(),
            wait: None,
            rules: Rules {
                lease: LEASE.to_owned(),
                time: TimeBounds::ALL,
                selector: Vec::new(),
                consistency_delay_ms: HOUR_MS / 2,
                delete_delay_ms: 48 * HOUR_MS,
                retention: Retention::default(),
                replica_labels: Vec::new(),
                overlap: tsdb::merge::Overlap::Union,
                ranges_ms: RANGES_MS.to_vec(),
                index_bytes_max: 64 << 30,
                concurrency: 2,
                downloads: 2,
                hash: bucket::HashFunction::None,
            },
            viewer: flags::ViewerConfig {
                pause: Duration::from_secs(60),
                patience: Duration::from_secs(60),
                label: String::new(),
                may_mark: false,
                dir: dir.path().join("viewer"),
            },
        };
        Self {
            bucket,
            clock: Arc::new(ManualClock::new(NOW_MS)),
            _dir: dir,
            config,
        }
    }

    async fn filled(specs: &[Spec]) -> (Self, Vec<Ulid>) {
        let bucket = Bucket::in_memory();
        let mut ids = Vec::new();
        for (n, spec) in specs.iter().enumerate() {
            ids.push(upload(&bucket, *spec, n as u128 + 1, NOW_MS - 10 * HOUR_MS).await);
        }
        (Self::new(bucket), ids)
    }

    /// One pass of a new process over `bucket`.
    async fn pass_over(&self, bucket: &Bucket) -> Result<Report, bucket::Error> {
        let gate = self.gate(bucket).await?;
        self.compactor(bucket).hold_and_work(&gate).await
    }

    fn compactor(&self, bucket: &Bucket) -> Compactor {
        let deps = Deps {
            bucket: bucket.clone(),
            registry: Registry::default(),
            clock: Arc::<ManualClock>::clone(&self.clock),
        };
        build(self.config.clone(), deps)
    }

    /// The leases that a process has.
    async fn gate(&self, bucket: &Bucket) -> Result<Gate, bucket::Error> {
        let clock = Arc::<ManualClock>::clone(&self.clock);
        Gate::new(bucket, clock, Arc::default()).await
    }

    async fn pass(&self) -> Report {
        let report = self.pass_over(&self.bucket).await.unwrap();
        assert_eq!(report.failures, Vec::<String>::new());
        report
    }

    async fn read(&self) -> Samples {
        read(&self.bucket, self.clock.now_ms()).await
    }

    /// The ranges in hours of what a reader sees, with replica and level.
    async fn ranges(&self) -> Vec<(String, i64, i64, u32)> {
        let view = view(&self.bucket, self.clock.now_ms()).await;
        let mut ranges: Vec<_> = (view.blocks.values())
            .map(|b| {
                let (min, max) = (b.meta.min_time / HOUR_MS, b.meta.max_time / HOUR_MS);
                let replica = b.labels().values().next().cloned().unwrap_or_default();
                (replica, min, max, b.meta.compaction.level)
            })
            .collect();
        ranges.sort();
        ranges
    }
}

fn rows(rows: &[(&str, i64, i64, u32)]) -> Vec<(String, i64, i64, u32)> {
    let own = |r: &(&str, i64, i64, u32)| (r.0.to_owned(), r.1, r.2, r.3);
    rows.iter().map(own).collect()
}

/// A copy of all objects.
async fn copy(from: &Bucket) -> Bucket {
    let to = Bucket::in_memory();
    let objects: Vec<_> = from.list("").try_collect().await.unwrap();
    for object in objects {
        let bytes = from.get(&object.key, 1 << 30).await.unwrap();
        to.put(&object.key, bytes).await.unwrap();
    }
    to
}

#[tokio::test]
async fn producers_are_merged_apart() {
    let (bench, ids) = Bench::filled(&PRODUCERS).await;
    let before = bench.read().await;
    let report = bench.pass().await;
    assert_eq!((report.merged.len(), report.marked.len()), (2, 6));
    assert_eq!(
        bench.ranges().await,
        rows(&[("a", 0, 8, 2), ("a", 8, 10, 1), ("b", 0, 3, 2)])
    );
    assert_eq!(bench.read().await, before);
    let view = view(&bench.bucket, NOW_MS).await;
    let merged = (view.blocks.values())
        .find(|b| b.meta.max_time == 8 * HOUR_MS)
        .unwrap();
    let meta = &merged.meta;
    assert_eq!(meta.compaction.sources, ids[..4]);
    let parents: Vec<Ulid> = meta.compaction.parents.iter().map(|p| p.ulid).collect();
    assert_eq!(parents, ids[..4]);
    let thanos = meta.thanos.as_ref().unwrap();
    assert_eq!(thanos.source, "compactor");
    assert!(thanos.index_stats.series_max_size > 0);
    assert_eq!(
        view.deletion_marks[&ids[0]].details(),
        "source of compacted block"
    );

    // Nothing is left to do, until the marks are old enough.
    assert_eq!(bench.pass().await, Report::default());
    bench.clock.advance(48 * HOUR_MS + 1000);
    let report = bench.pass().await;
    assert_eq!(report.deleted.len(), 6);
    assert_eq!(bench.read().await, before);
    let objects: Vec<_> = bench
        .bucket
        .list(&ids[0].to_string())
        .try_collect()
        .await
        .unwrap();
    assert!(objects.is_empty(), "{objects:?}");
}

#[tokio::test]
async fn windows_grow_to_two_days() {
    let specs: Vec<Spec> = (0..26).map(|i| spec("a", i * 2, i * 2 + 2)).collect();
    let (bench, _) = Bench::filled(&specs).await;
    let before = bench.read().await;
    let report = bench.pass().await;
    // Six windows of 8 h make two days; 48 to 52 is not full.
    assert_eq!(report.merged.len(), 7);
    assert_eq!(
        bench.ranges().await,
        rows(&[("a", 0, 48, 3), ("a", 48, 50, 1), ("a", 50, 52, 1)])
    );
    assert_eq!(bench.read().await, before);
}

#[tokio::test]
async fn equal_replicas_become_one() {
    let specs = [
        spec("a", 0, 2),
        spec("b", 0, 2),
        spec("a", 2, 4),
        spec("b", 2, 4),
    ];
    let (mut bench, _) = Bench::filled(&specs).await;
    bench.config.rules.replica_labels = vec!["replica".to_owned()];
    let before = bench.read().await;
    bench.pass().await;
    // Readers tell the replicas apart, until they see marked blocks no more.
    bench.clock.advance(25 * HOUR_MS);
    assert_eq!(
        bench.ranges().await,
        rows(&[("deduped", 0, 2, 2), ("deduped", 2, 4, 2)])
    );
    assert_eq!(bench.read().await.len() * 2, before.len());
}

#[tokio::test]
async fn a_damaged_block_is_set_aside_and_the_rest_goes_on() {
    let (bench, ids) = Bench::filled(&PRODUCERS).await;
    let key = BlockObject::Chunks(ids[1], 1).to_string();
    let mut bytes = bench.bucket.get(&key, 1 << 20).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bench.bucket.put(&key, bytes).await.unwrap();
    // Another one lost its index, and a third one its meaning.
    bench
        .bucket
        .delete(&BlockObject::Index(ids[5]).to_string())
        .await
        .unwrap();
    let torn = BlockObject::Meta(Ulid::from_parts(7, 7)).to_string();
    bench.bucket.put(&torn, "{").await.unwrap();
    let report = bench.pass().await;
    let mut quarantined = report.quarantined.clone();
    quarantined.sort_unstable();
    assert_eq!(quarantined, [ids[1], ids[5]]);
    let view = view(&bench.bucket, NOW_MS).await;
    let mark = view.blocks[&ids[1]].no_compact.as_ref().unwrap();
    assert_eq!(mark.reason(), NoCompactReason::Damaged);
    // The two after it share its window of 8 h and are merged; it stays as it was.
    assert_eq!(report.merged.len(), 1);
    assert!(view.blocks.contains_key(&ids[1]) && !view.blocks.contains_key(&ids[2]));
    assert_eq!(bench.pass().await, Report::default());
}

/// Earlier versions took what Thanos writes of downsampled blocks for damage.
#[tokio::test]
async fn blocks_set_aside_for_no_damage_take_part_again() {
    let (bench, ids) = Bench::filled(&PRODUCERS[..5]).await;
    for (id, resolution, details) in [
        (
            ids[0],
            300_000,
            "meta.json: numFloatSamples is 16200, where the block has 0",
        ),
        (
            ids[1],
            300_000,
            "chunks/000001 at offset 8: chunk 0 to 9 of {}: no samples",
        ),
        (ids[2], 300_000, "index at offset 12: expected a series"),
        (
            ids[3],
            0,
            "meta.json: numFloatSamples is 16200, where the block has 0",
        ),
    ] {
        let key = BlockObject::Meta(id).to_string();
        let mut meta = Meta::parse(
            &bench.bucket.get(&key, 1 << 20).await.unwrap(),
            Path::new(""),
        )
        .unwrap();
        meta.thanos.as_mut().unwrap().downsample.resolution = resolution;
        bench.bucket.put(&key, meta.to_bytes()).await.unwrap();
        let damaged = NoCompactReason::Damaged;
        bucket::delete::mark_no_compact(&bench.bucket, id, damaged, details, NOW_MS)
            .await
            .unwrap();
    }
    bench.pass().await;
    let view = view(&bench.bucket, NOW_MS).await;
    let is_marked = |id: &Ulid| view.blocks.get(id).map(|b| b.no_compact.is_some());
    let marked: Vec<_> = ids.iter().map(is_marked).collect();
    let expected = [false, false, true, true, false].map(Some);
    assert_eq!(marked, expected);
}

#[tokio::test]
async fn blocks_older_than_they_are_kept_are_marked() {
    let (mut bench, ids) = Bench::filled(&PRODUCERS[..2]).await;
    bench.config.rules.retention.raw_ms = NOW_MS - 2 * HOUR_MS - 1;
    let report = bench.pass().await;
    assert_eq!(report.marked, [ids[0]]);
    assert_eq!(
        DurationMs(bench.config.rules.retention.of(3_600_000)),
        DurationMs(0)
    );
}

#[tokio::test]
async fn uploads_given_up_are_cleaned_and_fresh_ones_left() {
    let (bench, _) = Bench::filled(&[]).await;
    let old = Ulid::from_parts(1, 1);
    bench
        .bucket
        .put(&format!("{old}/chunks/000001"), "x")
        .await
        .unwrap();
    // The store's clock is the real one.
    let real_ms = SystemClock.now_ms();
    bench.clock.advance(real_ms - NOW_MS + 47 * HOUR_MS);
    assert_eq!(bench.pass().await.deleted, []);
    bench.clock.advance(2 * HOUR_MS);
    let young = Ulid::from_parts(bench.clock.now_ms() as u64, 1);
    bench
        .bucket
        .put(&format!("{young}/index"), "x")
        .await
        .unwrap();
    assert_eq!(bench.pass().await.deleted, [old]);
}

#[tokio::test]
async fn fresh_and_marked_blocks_take_no_part() {
    let (bench, ids) = Bench::filled(&PRODUCERS[..5]).await;
    bench.clock.advance(-10 * HOUR_MS + HOUR_MS / 4);
    assert_eq!(bench.pass().await, Report::default());
    bench.clock.advance(10 * HOUR_MS);
    bucket::delete::mark_for_deletion(&bench.bucket, ids[1], "by hand", NOW_MS)
        .await
        .unwrap();
    let merged = bench.pass().await.merged;
    let view = view(&bench.bucket, NOW_MS).await;
    let sources = &view.blocks[&merged[0]].meta.compaction.sources;
    assert!(
        !sources.contains(&ids[1]),
        "what was deleted comes not back"
    );
}

/// How one undoes a merge: mark what it made, and take the marks of its sources away.
#[tokio::test]
async fn sources_of_a_block_that_is_to_be_deleted_are_kept() {
    let (bench, ids) = Bench::filled(&PRODUCERS[..5]).await;
    let before = bench.read().await;
    let merged = bench.pass().await.merged[0];
    for id in &ids[..4] {
        let mark = BlockObject::DeletionMark(*id).to_string();
        bench.bucket.delete(&mark).await.unwrap();
    }
    bucket::delete::mark_for_deletion(&bench.bucket, merged, "undone", NOW_MS)
        .await
        .unwrap();
    // Merged once more they are covered by what is there to stay.
    let report = bench.pass().await;
    assert_eq!((report.merged.len(), report.marked.len()), (1, 4));
    let marks = view(&bench.bucket, NOW_MS).await.deletion_marks;
    let why: BTreeSet<_> = ids[..4].iter().map(|id| marks[id].details()).collect();
    assert_eq!(why, BTreeSet::from(["source of compacted block"]));
    bench.clock.advance(49 * HOUR_MS);
    assert_eq!(bench.pass().await.deleted.len(), 5);
    assert_eq!(bench.read().await, before);
}

#[tokio::test]
async fn a_second_compactor_waits() {
    let (bench, _) = Bench::filled(&[]).await;
    let first = bench.gate(&bench.bucket).await.unwrap();
    let second = bench.gate(&bench.bucket).await.unwrap();
    let held = first.pass(LEASE).await.unwrap();
    // Who works on another part does not.
    second.pass("compactor-0123456789abcdef").await.unwrap();
    let waits = timeout(Duration::from_millis(50), second.pass(LEASE)).await;
    assert!(waits.is_err());
    first.let_go(&held).await;
    held.ensure().await.unwrap_err();
    let next = timeout(Duration::from_secs(30), second.pass(LEASE)).await;
    assert!(next.unwrap().is_ok());
}

/// Parts of a bucket that overlap: each group is worked on by one at a time.
#[tokio::test]
async fn a_group_that_another_is_at_is_left_for_later() {
    let (mut bench, ids) = Bench::filled(&PRODUCERS).await;
    bench.config.wait = Some(Duration::from_secs(3600));
    let other = bench.gate(&bench.bucket).await.unwrap();
    let found = view(&bench.bucket, NOW_MS).await;
    let groups = group::groups(&found);
    let of_a = groups.iter().find(|g| g.labels["replica"] == "a").unwrap();
    let name = format!("{GROUP_LEASE}-{}", of_a.key());
    let held = other.pass(&name).await.unwrap();

    let compactor = bench.compactor(&bench.bucket);
    let gate = bench.gate(&bench.bucket).await.unwrap();
    let guard = gate.pass("compactor-1").await.unwrap();
    let pass = compactor.pass_through(&gate, guard);
    let report = compactor.pass(&pass).await.unwrap();
    assert_eq!((report.merged.len(), report.busy), (1, vec![of_a.key()]));

    // The other one merged it since this one looked.
    let stale = pass.look().await.unwrap();
    for id in &ids[..4] {
        bucket::delete::mark_for_deletion(&bench.bucket, *id, "merged", NOW_MS)
            .await
            .unwrap();
    }
    other.let_go(&held).await;
    let mut report = Report::default();
    pass.merge_all(&stale, &mut report).await;
    assert_eq!((report.merged.len(), report.busy), (0, vec![of_a.key()]));
    assert_eq!(compactor.pass(&pass).await.unwrap(), Report::default());
}

/// Nothing is downloaded that finds no room, and nothing is left behind.
#[tokio::test]
async fn a_merge_that_finds_no_room_is_left_for_later() {
    let (bench, ids) = Bench::filled(&PRODUCERS[..5]).await;
    let gate = bench.gate(&bench.bucket).await.unwrap();
    let guard = gate.pass(LEASE).await.unwrap();
    let compactor = bench.compactor(&bench.bucket);
    let workshop = compactor.pass_through(&gate, guard).workshop;
    let found = view(&bench.bucket, NOW_MS).await;
    let mut group = group::groups(&found).remove(0);
    let before = bench.read().await;
    let bytes = std::mem::replace(
        &mut Arc::make_mut(&mut group.blocks[0].files).bytes,
        u64::MAX / 4,
    );
    let new = Ulid::from_parts(NOW_MS.unsigned_abs(), 7);
    let error = workshop.merge(&group, &ids[..4], new, NOW_MS).await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("merging takes "), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
    let left = fs::read_dir(work_dir(&bench.config.data_dir)).unwrap();
    assert_eq!(left.count(), 0);
    Arc::make_mut(&mut group.blocks[0].files).bytes = bytes;
    workshop
        .merge(&group, &ids[..4], new, NOW_MS)
        .await
        .unwrap();
    assert_eq!(bench.read().await, before);
}

/// Who was to do all once does what it can, and does not wait for those who hold the rest.
#[tokio::test]
async fn who_works_once_leaves_busy_groups_to_others() {
    let (bench, _) = Bench::filled(&PRODUCERS).await;
    let other = bench.gate(&bench.bucket).await.unwrap();
    let found = view(&bench.bucket, NOW_MS).await;
    let groups = group::groups(&found);
    let of_a = groups.iter().find(|g| g.labels["replica"] == "a").unwrap();
    let name = format!("{GROUP_LEASE}-{}", of_a.key());
    let held = other.pass(&name).await.unwrap();
    let report = timeout(Duration::from_secs(120), bench.pass_over(&bench.bucket)).await;
    let report = report.expect("it ends").unwrap();
    assert_eq!((report.merged.len(), report.busy), (1, vec![of_a.key()]));
    assert_eq!(report.failures, Vec::<String>::new());
    other.let_go(&held).await;
    let report = bench.pass().await;
    assert_eq!((report.merged.len(), report.busy), (1, vec![]));
}

/// A question for a lease that nobody waits for any more leaves none behind.
#[tokio::test]
async fn who_is_stopped_while_it_asks_leaves_no_lease() {
    const SLOW: Duration = Duration::from_millis(40);
    let (bench, _) = Bench::filled(&[]).await;
    let (slow, faults) = FaultStore::over(&bench.bucket);
    let held = Arc::<Held>::default();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&bench.clock);
    let gate = Gate::new(&slow, clock, Arc::clone(&held)).await.unwrap();
    faults.on_keys("leases/", Fault::Delay(SLOW));
    for (n, patience) in [20, 60, 100, 140].into_iter().enumerate() {
        let name = format!("asked-{n}");
        let asked = timeout(Duration::from_millis(patience), gate.try_pass(&name)).await;
        assert!(asked.is_err(), "{patience} ms are not enough");
        held.release().await;
        let next = bench.gate(&bench.bucket).await.unwrap();
        assert!(next.try_pass(&name).await.unwrap().is_some(), "{patience}");
    }
}

#[tokio::test]
async fn one_cleans_at_a_time() {
    let (bench, ids) = Bench::filled(&PRODUCERS[..1]).await;
    bucket::delete::mark_for_deletion(&bench.bucket, ids[0], "by hand", NOW_MS)
        .await
        .unwrap();
    bench.clock.advance(49 * HOUR_MS);
    let other = bench.gate(&bench.bucket).await.unwrap();
    let held = other.pass("compactor-cleaning").await.unwrap();
    assert_eq!(bench.pass().await.deleted, []);
    other.let_go(&held).await;
    assert_eq!(bench.pass().await.deleted, [ids[0]]);
}

/// The next one need not wait until the lease of one that was told to stop has run out.
#[tokio::test]
async fn who_is_told_to_stop_lets_the_lease_go() {
    let (mut bench, _) = Bench::filled(&[]).await;
    bench.config.wait = Some(Duration::from_secs(60));
    let (trigger, shutdown) = Shutdown::new();
    let compactor = bench.compactor(&bench.bucket);
    let metrics = Arc::clone(&compactor.metrics);
    let stop_after_a_pass = async {
        while metrics.iterations.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        trigger.request();
    };
    let (worked, ()) = tokio::join!(compactor.work_until(shutdown), stop_after_a_pass);
    worked.unwrap();
    let next = bench.gate(&bench.bucket).await.unwrap();
    let taken = timeout(Duration::from_secs(2), next.pass(LEASE)).await;
    assert!(taken.is_ok());
}

#[tokio::test]
async fn two_processes_in_one_directory_are_refused() {
    let dir = scratch();
    let first = lock(dir.path()).unwrap();
    assert!(lock(dir.path()).unwrap_err().to_string().contains("lock"));
    drop(first);
    lock(dir.path()).unwrap();
}

/// The component can be a task of a larger process.
#[tokio::test]
async fn the_component_can_be_a_task() {
    fn is_send<T: Send>(_: T) {}
    let (bench, _) = Bench::filled(&[]).await;
    let (_trigger, shutdown) = Shutdown::new();
    is_send(bench.compactor(&bench.bucket).run(shutdown));
}

/// Everything there is to do: merging, and when the marks are old, cleaning.
async fn work(bench: &Bench, bucket: &Bucket) -> Result<(), String> {
    for wait_ms in [0, 49 * HOUR_MS] {
        bench.clock.advance(wait_ms);
        let report = bench.pass_over(bucket).await.map_err(|e| e.chain())?;
        if let Some(failure) = report.failures.first() {
            return Err(failure.clone());
        }
    }
    Ok(())
}

/// A process dies before or after each operation on the bucket; at that moment, and after another
/// process has gone on, all samples are there.
async fn killed_at_every_operation(fault: Fault) {
    let (bench, _) = Bench::filled(&PRODUCERS).await;
    let before = bench.read().await;
    for n in 1.. {
        let inner = copy(&bench.bucket).await;
        let (bucket, faults): (Bucket, Faults) = FaultStore::over(&inner);
        faults.at(n, fault);
        let clock_ms = bench.clock.now_ms();
        let first = work(&bench, &bucket).await;
        let context = || format!("{fault:?} at {n}: {:?}", faults.log().get(n as usize - 1));
        assert_eq!(
            read(&inner, bench.clock.now_ms()).await,
            before,
            "{}",
            context()
        );
        if !faults.is_dead() {
            first.unwrap();
            assert!(n > 100, "only {n} operations");
            return;
        }
        // The lease of the dead runs out.
        bench.clock.advance(HOUR_MS);
        work(&bench, &inner)
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", context()));
        assert_eq!(
            read(&inner, bench.clock.now_ms()).await,
            before,
            "{}",
            context()
        );
        let view = view(&inner, bench.clock.now_ms()).await;
        assert_eq!(view.blocks.len(), 3, "{}", context());
        bench.clock.advance(clock_ms - bench.clock.now_ms());
    }
}

#[tokio::test]
async fn killed_before_every_operation() {
    killed_at_every_operation(Fault::KillBefore).await;
}

#[tokio::test]
async fn killed_after_every_operation() {
    killed_at_every_operation(Fault::KillAfter).await;
}

/// Single failures, which do not kill: the pass, or the next, does the work.
#[tokio::test]
async fn every_single_operation_may_fail() {
    let (bench, _) = Bench::filled(&PRODUCERS).await;
    let before = bench.read().await;
    for fault in [Fault::Fail, Fault::LoseAnswer, Fault::Truncate] {
        for n in (1..).step_by(9) {
            let inner = copy(&bench.bucket).await;
            let (bucket, faults) = FaultStore::over(&inner);
            faults.at(n, fault);
            let clock_ms = bench.clock.now_ms();
            let _ = work(&bench, &bucket).await;
            let operations = faults.operations();
            bench.clock.advance(HOUR_MS);
            faults.clear();
            work(&bench, &bucket).await.unwrap();
            assert_eq!(
                read(&inner, bench.clock.now_ms()).await,
                before,
                "{fault:?} at {n}"
            );
            bench.clock.advance(clock_ms - bench.clock.now_ms());
            if n > operations {
                break;
            }
        }
    }
}
