//! How often and how much is read of a bucket that is not local.

use std::fs;

use bucket::Bucket;
use model::{MatchOp, Matcher, TimeRange};
use storeapi::{LabelsRequest, SeriesRequest, Store as _};
use tempfile::tempdir;

use crate::support::{Recipe, Setup, TWO_HOURS, UNLIMITED, everything, grid};

fn recipe() -> Recipe {
    Recipe {
        n: 1,
        external: &[("cluster", "eu")],
        resolution: 0,
        range: TWO_HOURS,
        series: grid(5000),
    }
}

fn of(matchers: Vec<Matcher>) -> SeriesRequest {
    SeriesRequest {
        range: TimeRange::ALL,
        matchers,
        ..SeriesRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_take_few_reads_and_then_none() {
    let bucket = Bucket::in_memory();
    recipe().put(&bucket).await;
    let setup = Setup::over(bucket, UNLIMITED).await;
    let regex = Matcher::new(MatchOp::Regex, "i", "0001.*").unwrap();
    let request = of(vec![Matcher::equal("__name__", "m3"), regex]);
    let first = setup.series(request.clone()).await.unwrap();
    assert_eq!(first.series.len(), 10);
    assert_eq!(first.series[0].chunks.len(), 4);
    // Header: 3; postings, series and chunks: 1 each.
    assert_eq!(setup.reads(), 6);
    let again = setup.series(request).await.unwrap();
    assert_eq!(first.series, again.series);
    assert_eq!(setup.reads(), 6, "all of it is cached");
    let other = setup
        .series(of(vec![Matcher::equal("job", "j2")]))
        .await
        .unwrap();
    assert_eq!(other.series.len(), 714);
    assert!(setup.reads() < 20, "{} reads", setup.reads());
    assert_eq!(setup.gateway.stats().headers_built.get(), 1);
    assert!(setup.gateway.stats().expanded_postings.hits.get() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_not_read_again_after_a_restart() {
    let bucket = Bucket::in_memory();
    recipe().put(&bucket).await;
    let data = tempdir().unwrap();
    let options = store::gateway::Options {
        disk_cache_bytes: 64 << 20,
        ..crate::support::options(data.path(), UNLIMITED)
    };
    let request = of(vec![Matcher::equal("job", "j2")]);
    let start = || async {
        let clock = std::sync::Arc::new(runtime::ManualClock::new(0));
        let setup = Setup {
            gateway: store::gateway::Gateway::new(bucket.clone(), clock, options.clone()),
            bucket: bucket.clone(),
            data: tempdir().unwrap(),
        };
        setup.sync().await;
        setup
    };
    let first = start().await;
    let expected = first.series(request.clone()).await.unwrap().series;
    let reads = first.reads();
    let disk = std::sync::Arc::clone(&first.gateway.stats().disk);
    let fetched = first.gateway.stats().bytes_fetched.get();
    // Pages are written behind.
    for _ in 0..1000 {
        if disk.bytes.get() >= fetched {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    drop(first);
    let second = start().await;
    let found = second.series(request.clone()).await.unwrap().series;
    assert!(found == expected);
    assert_eq!(second.reads(), reads, "header and pages are on disk");

    // Damage costs reads, and nothing else.
    for file in fs::read_dir(data.path().join("pages")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        for at in (100..bytes.len()).step_by(200_000) {
            bytes[at] ^= 1;
        }
        fs::write(path, bytes).unwrap();
    }
    let third = start().await;
    let found = third.series(request).await.unwrap().series;
    assert!(found == expected);
    assert!(third.reads() > reads);
    assert!(third.gateway.stats().disk.damaged.get() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_answers_the_same_without_reads() {
    let memory = Bucket::in_memory();
    let dir = tempdir().unwrap();
    recipe().put(&memory).await;
    recipe().write(dir.path());
    let remote = Setup::over(memory, UNLIMITED).await;
    let local = Setup::over(Bucket::in_directory(dir.path()).unwrap(), UNLIMITED).await;
    let negative = Matcher::new(MatchOp::NotRegex, "i", "0.*[1-9]").unwrap();
    for request in [
        everything(),
        of(vec![Matcher::equal("__name__", "m1"), negative]),
        of(vec![
            Matcher::equal("cluster", "eu"),
            Matcher::equal("i", "000777"),
        ]),
        of(vec![Matcher::equal("cluster", "us")]),
        SeriesRequest {
            range: TimeRange::new(TWO_HOURS.min, TWO_HOURS.min + 1),
            ..everything()
        },
        SeriesRequest {
            skip_chunks: true,
            ..everything()
        },
    ] {
        let a = remote.series(request.clone()).await.unwrap();
        let b = local.series(request.clone()).await.unwrap();
        assert_eq!(a.warnings, b.warnings);
        assert!(a.series == b.series, "{request:?}");
    }
    assert_eq!(local.reads(), 0);
    let j1 = vec![
        Matcher::equal("__name__", "m1"),
        Matcher::equal("job", "j1"),
    ];
    for (name, matchers) in [
        ("i", vec![]),
        ("i", j1.clone()),
        ("cluster", j1.clone()),
        ("cluster", vec![Matcher::equal("job", "none")]),
        ("none", j1),
    ] {
        let request = LabelsRequest {
            range: TimeRange::ALL,
            matchers,
            ..LabelsRequest::default()
        };
        let a = remote
            .gateway
            .label_values(name.to_owned(), request.clone())
            .await;
        let b = local
            .gateway
            .label_values(name.to_owned(), request.clone())
            .await;
        assert_eq!(a, b, "{name} {request:?}");
        let a = remote.gateway.label_names(request.clone()).await;
        let b = local.gateway.label_names(request).await;
        assert_eq!(a, b);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_kept_and_mended() {
    let bucket = Bucket::in_memory();
    let id = recipe().put(&bucket).await;
    let setup = Setup::over(bucket.clone(), UNLIMITED).await;
    let expected = setup.series(everything()).await.unwrap().series;
    let path = setup.data.path().join(id.to_string()).join("index-header");
    let sound = fs::read(&path).unwrap();
    assert_eq!(sound[..6], [0xba, 0xaa, 0xd7, 0x92, 1, 2]);
    let reopened = |bytes: Vec<u8>| {
        let bucket = bucket.clone();
        let (path, expected) = (path.clone(), &expected);
        async move {
            let data = tempdir().unwrap();
            let options = crate::support::options(data.path(), UNLIMITED);
            let own = data
                .path()
                .join(path.strip_prefix(path.ancestors().nth(2).unwrap()).unwrap());
            fs::create_dir_all(own.parent().unwrap()).unwrap();
            fs::write(&own, bytes).unwrap();
            let clock = std::sync::Arc::new(runtime::ManualClock::new(0));
            let gateway = store::gateway::Gateway::new(bucket.clone(), clock, options);
            let setup = Setup {
                bucket,
                gateway,
                data,
            };
            setup.sync().await;
            assert_eq!(&setup.series(everything()).await.unwrap().series, expected);
            setup.gateway.stats().headers_built.get()
        }
    };
    assert_eq!(reopened(sound.clone()).await, 0);
    for at in [
        0,
        4,
        14,
        20,
        sound.len() / 2,
        sound.len() - 30,
        sound.len() - 1,
    ] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        assert_eq!(reopened(damaged).await, 1, "byte {at}");
    }
    for len in [0, 3, 33, sound.len() - 1] {
        assert_eq!(reopened(sound[..len].to_vec()).await, 1, "{len} bytes");
    }
}
