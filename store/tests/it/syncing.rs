//! Looking at the bucket: what is served, and how fast after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::Bucket;
use bucket::metrics::Operation;
use model::{Labels, TimeRange};
use runtime::http::{Abandonment, Handler as _, HeaderMap, Method, Request};
use runtime::{Clock as _, ManualClock};
use store::api::KnownBlocks;
use store::gateway::Options;
use store::sync::{Bounds, SyncOptions, TimeBound};
use store::{Gateway, Syncer};
use storeapi::Store as _;
use storeapi::block_viewer::BlocksApi;
use tempfile::tempdir;
use tsdb::block::Meta;
use tsdb::block::meta::Thanos;
use ulid::Ulid;

use crate::support::{Answer, Recipe, TWO_HOURS, UNLIMITED, everything, grid, options};

fn start(bucket: &Bucket, data: &Path, sync: SyncOptions) -> (Gateway, Syncer) {
    let clock = Arc::new(ManualClock::new(1_600_100_000_000));
    let gateway = Gateway::new(
        bucket.clone(),
        Arc::<ManualClock>::clone(&clock),
        options(data, UNLIMITED),
    );
    assert!(clock.now_ms() > 0);
    let options = SyncOptions {
        data_dir: Some(data.to_owned()),
        ..sync
    };
    let syncer = Syncer::new(gateway.clone(), bucket.clone(), clock, options);
    (gateway, syncer)
}

fn recipe(n: u64, hours: i64) -> Recipe {
    let shift = hours * 3_600_000;
    Recipe {
        n,
        external: &[("c", "x")],
        resolution: 0,
        range: TimeRange::new(TWO_HOURS.min + shift, TWO_HOURS.max + shift),
        series: grid(10),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_and_go_and_headers_with_them() {
    let bucket = Bucket::in_memory();
    let data = tempdir().unwrap();
    let first = recipe(1, 0).put(&bucket).await;
    let header = |id: Ulid| {
        data.path()
            .join(id.to_string())
            .join("index-header")
            .exists()
    };
    let (gateway, syncer) = start(&bucket, data.path(), SyncOptions::default());
    syncer.sync().await.unwrap();
    assert!(header(first), "made as the block comes into view");
    let known = Arc::clone(gateway.blocks().get(first).unwrap());
    let second = recipe(2, 2).put(&bucket).await;
    bucket
        .put(&format!("{}/meta.json", Ulid::from_parts(9, 9)), "{")
        .await
        .unwrap();
    syncer.sync().await.unwrap();
    assert_eq!(
        gateway.blocks().len(),
        2,
        "a damaged meta.json hides no other block"
    );
    assert!(Arc::ptr_eq(&known, gateway.blocks().get(first).unwrap()));
    for name in ["meta.json", "index", "chunks/000001"] {
        bucket.delete(&format!("{first}/{name}")).await.unwrap();
    }
    syncer.sync().await.unwrap();
    assert!(gateway.blocks().get(first).is_none());
    assert!(!header(first) && header(second));
    let reads =
        bucket.metrics().count(Operation::Get) + bucket.metrics().count(Operation::GetRange);
    let (again, syncer) = start(&bucket, data.path(), SyncOptions::default());
    syncer.sync().await.unwrap();
    assert_eq!(again.blocks().len(), 1);
    let after =
        bucket.metrics().count(Operation::Get) + bucket.metrics().count(Operation::GetRange);
    assert!(
        after <= reads + 1,
        "only the damaged meta.json is read again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_replaced_is_read_anew() {
    let with = |count| Recipe {
        series: grid(count),
        ..recipe(1, 0)
    };
    let (bucket, replacement) = (Bucket::in_memory(), Bucket::in_memory());
    let id = with(40).put(&bucket).await;
    assert_eq!(with(50).put(&replacement).await, id);
    let data = tempdir().unwrap();
    let (gateway, syncer) = start(&bucket, data.path(), SyncOptions::default());
    syncer.sync().await.unwrap();
    let series = async || {
        Answer::of(&gateway, everything())
            .await
            .unwrap()
            .series
            .len()
    };
    assert_eq!(series().await, 40);
    // What is read of it is kept, so that nothing is noticed at first.
    for object in ["index", "chunks/000001"] {
        let key = format!("{id}/{object}");
        let bytes = replacement.get(&key, u64::MAX).await.unwrap();
        bucket.put(&key, bytes).await.unwrap();
    }
    assert_eq!(series().await, 40);
    let known = Arc::clone(gateway.blocks().get(id).unwrap());
    syncer.sync().await.unwrap();
    assert!(!Arc::ptr_eq(&known, gateway.blocks().get(id).unwrap()));
    assert_eq!(series().await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_replaced_while_the_store_is_down_is_read_anew() {
    // Indexes of one size: that of a page is known, and so is that of a header's index.
    let of = |name: &'static str| Recipe {
        series: grid(40)
            .iter()
            .map(|labels| Labels::from_pairs(labels.iter().chain([("of", name)])))
            .collect(),
        ..recipe(1, 0)
    };
    let (bucket, replacement) = (Bucket::in_memory(), Bucket::in_memory());
    let id = of("before").put(&bucket).await;
    assert_eq!(of("behind").put(&replacement).await, id);
    let data = tempdir().unwrap();
    let labels = async || {
        let clock = Arc::new(ManualClock::new(1_600_100_000_000));
        let options = Options {
            disk_cache_bytes: 64 << 20,
            ..options(data.path(), UNLIMITED)
        };
        let gateway = Gateway::new(bucket.clone(), Arc::<ManualClock>::clone(&clock), options);
        let syncer = Syncer::new(
            gateway.clone(),
            bucket.clone(),
            clock,
            SyncOptions::default(),
        );
        syncer.sync().await.unwrap();
        Answer::of(&gateway, everything()).await.unwrap().labels()
    };
    let before = labels().await;
    assert!(before.iter().all(|l| l.contains("before")), "{before:?}");
    // Pages are written behind the answer.
    let pages = data.path().join("pages");
    let written = || std::fs::read_dir(&pages).unwrap().count();
    while written() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for object in ["index", "chunks/000001"] {
        let key = format!("{id}/{object}");
        let bytes = replacement.get(&key, u64::MAX).await.unwrap();
        if object == "index" {
            let known = bucket.get(&key, u64::MAX).await.unwrap();
            assert_eq!(bytes.len(), known.len());
        }
        bucket.put(&key, bytes).await.unwrap();
    }
    for _ in 0..2 {
        let behind = labels().await;
        assert_eq!(behind.len(), before.len());
        assert!(behind.iter().all(|l| l.contains("behind")), "{behind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_labels_select_blocks() {
    let bucket = Bucket::in_memory();
    for n in 0..4 {
        recipe(n, 2 * n as i64).put(&bucket).await;
    }
    let data = tempdir().unwrap();
    let bounds = Bounds {
        min: TimeBound::At(TWO_HOURS.max),
        max: TimeBound::FromNow(TWO_HOURS.max + 7_200_000 + 1 - 1_600_100_000_000),
    };
    let sync = SyncOptions {
        bounds,
        ..SyncOptions::default()
    };
    let (gateway, syncer) = start(&bucket, data.path(), sync);
    syncer.sync().await.unwrap();
    assert_eq!(gateway.blocks().len(), 2);
    assert_eq!(gateway.info().min_time, TWO_HOURS.max);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_known_blocks_are_served_at_once() {
    let bucket = Bucket::in_memory();
    let data = tempdir().unwrap();
    for n in 0..1_000u64 {
        let id = Ulid::from_parts(1_600_000_000_000 + n, 1);
        let begin = TWO_HOURS.min + n as i64 * 7_200_000;
        let mut meta = Meta::new(id, TimeRange::new(begin, begin + 7_200_000));
        meta.thanos = Some(Thanos {
            labels: [("c".to_owned(), (n % 7).to_string())].into(),
            ..Thanos::default()
        });
        bucket
            .put(&format!("{id}/meta.json"), meta.to_bytes())
            .await
            .unwrap();
        bucket.put(&format!("{id}/index"), "x").await.unwrap();
        let dir = data.path().join(id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("index-header"), "x").unwrap();
    }
    let (_, syncer) = start(&bucket, data.path(), SyncOptions::default());
    syncer.sync().await.unwrap();
    let reads = bucket.metrics().count(Operation::Get);
    let begin = Instant::now();
    let (gateway, syncer) = start(&bucket, data.path(), SyncOptions::default());
    syncer.sync().await.unwrap();
    let took = begin.elapsed();
    assert_eq!(gateway.blocks().len(), 1_000);
    assert_eq!(bucket.metrics().count(Operation::Get), reads);
    // The aim is two seconds for ten times as many; this is a debug build on a busy machine.
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_shown_with_what_their_files_say() {
    let bucket = Bucket::in_memory();
    let data = tempdir().unwrap();
    let (first, second) = (
        recipe(1, 0).put(&bucket).await,
        recipe(2, 2).put(&bucket).await,
    );
    let sync = SyncOptions {
        bounds: Bounds {
            min: TimeBound::At(TWO_HOURS.max),
            max: TimeBound::At(i64::MAX),
        },
        ..SyncOptions::default()
    };
    let (gateway, syncer) = start(&bucket, data.path(), sync);
    syncer.sync().await.unwrap();
    let blocks = KnownBlocks::new(gateway, Arc::new(syncer));
    let api = Arc::new(BlocksApi::new(Arc::new(blocks), ""));
    let shown = async |view: &str| -> Vec<Meta> {
        let (api, query) = (Arc::clone(&api), format!("view={view}"));
        let body = tokio::task::spawn_blocking(move || {
            let request = Request {
                method: Method::GET,
                path: "/api/v1/blocks".to_owned(),
                query,
                headers: HeaderMap::new(),
                body: bytes::Bytes::new(),
                peer: None,
                waited: Duration::ZERO,
                abandonment: Abandonment::default(),
            };
            api.handle(request).into_bytes().unwrap()
        });
        let answer: serde_json::Value = serde_json::from_slice(&body.await.unwrap()).unwrap();
        assert_eq!(answer["status"], "success");
        assert!(answer["data"]["err"].is_null());
        assert!(
            answer["data"]["refreshedAt"]
                .as_str()
                .unwrap()
                .starts_with("2020")
        );
        serde_json::from_value(answer["data"]["blocks"].clone()).unwrap()
    };
    let meta_of = async |id: Ulid| {
        let bytes = bucket.get(&format!("{id}/meta.json"), u64::MAX).await;
        serde_json::from_slice::<Meta>(&bytes.unwrap()).unwrap()
    };
    assert_eq!(shown("loaded").await, [meta_of(second).await]);
    let all = [meta_of(first).await, meta_of(second).await];
    assert_eq!(shown("global").await, all);
    // Without their copies they come from the bucket; without that they are left out.
    std::fs::remove_dir_all(data.path().join("meta-syncer")).unwrap();
    assert_eq!(shown("global").await, all);
    std::fs::remove_dir_all(data.path().join("meta-syncer")).unwrap();
    let key = format!("{first}/meta.json");
    bucket.delete(&key).await.unwrap();
    assert_eq!(shown("global").await, all[1..]);
}
