use futures::executor::block_on;
use model::{Labels, TimeRange};
use storeapi::acceptance::{self, DataSet};
use storeapi::{Series, SeriesChunk};
use tsdb::batch::Batch;

use super::super::tenants::{Layout, StorageOptions};
use super::super::testing::{START, open, options, write};
use super::*;
use crate::append::Appender as _;

fn store(tenants: &Arc<Tenants>) -> TsdbStore {
    TsdbStore::new(Arc::clone(tenants), 2).unwrap()
}

/// Writes the suite's data as it would come in.
fn fill(tenants: &Tenants, tenant: &str, data: &DataSet) {
    let mut samples: Vec<_> = (data.series.iter())
        .flat_map(|s| s.samples.iter().map(|(t, v)| (*t, *v, &s.labels)))
        .collect();
    samples.sort_by_key(|(t, ..)| *t);
    for step in samples.chunk_by(|a, b| a.0 == b.0) {
        let mut batch = Batch::new();
        for (t, v, labels) in step {
            batch.series(*labels);
            batch.float(*t, *v);
        }
        assert_eq!(tenants.append(tenant, &batch).unwrap().rejected, []);
    }
}

#[test]
fn the_suite_passes_in_either_layout_from_head_and_blocks() {
    let data = DataSet::standard();
    let dir = tempfile::tempdir().unwrap();
    let single = StorageOptions {
        labels: data.external.clone(),
        ..options(&dir.path().join("single"), Layout::Single)
    };
    let per_tenant = StorageOptions {
        labels: Labels::from_pairs([("region", "eu-west")]),
        tenant_label: "replica".to_owned(),
        ..options(&dir.path().join("many"), Layout::PerTenant)
    };
    for (options, tenant) in [(single, ""), (per_tenant, "a")] {
        let tenants = open(options.clone()).unwrap();
        fill(&tenants, tenant, &data);
        block_on(acceptance::check(&store(&tenants), &data));
        drop(tenants);
        let tenants = open(options).unwrap();
        block_on(acceptance::check(&store(&tenants), &data));
        tenants.flush().unwrap();
        block_on(acceptance::check(&store(&tenants), &data));
    }
}

fn request(matchers: &[Matcher]) -> SeriesRequest {
    SeriesRequest {
        range: TimeRange::ALL,
        matchers: matchers.to_vec(),
        ..SeriesRequest::default()
    }
}

/// Series and warnings of an answer.
fn answer(store: &TsdbStore, request: SeriesRequest) -> (Vec<Series>, Vec<String>) {
    let (mut series, mut warnings) = (Vec::new(), Vec::new());
    for frame in block_on(store.series(request).collect::<Vec<_>>()) {
        match frame.unwrap() {
            Frame::Series(some) => series.extend(some),
            Frame::Warning(warning) => warnings.push(warning),
        }
    }
    (series, warnings)
}

#[test]
fn tenants_are_answered_for_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), Layout::PerTenant);
    let tenants = open(options.clone()).unwrap();
    let named = |name| Labels::from_pairs([("__name__", name)]);
    write(&tenants, "a", START, &[named("up"), named("x")]);
    write(&tenants, "b", START, &[named("down"), named("up")]);
    let any = Matcher::not_equal("__name__", "");
    let labels = |series: Vec<Series>| -> Vec<String> {
        series.iter().map(|s| s.labels.to_string()).collect()
    };
    let (all, _) = answer(&store(&tenants), request(std::slice::from_ref(&any)));
    let expected = [
        r#"{__name__="down", tenant_id="b"}"#,
        r#"{__name__="up", tenant_id="a"}"#,
        r#"{__name__="up", tenant_id="b"}"#,
        r#"{__name__="x", tenant_id="a"}"#,
    ];
    assert_eq!(labels(all), expected);
    let only_a = [any.clone(), Matcher::equal("tenant_id", "a")];
    let (of_a, _) = answer(&store(&tenants), request(&only_a));
    assert_eq!(labels(of_a), [expected[1], expected[3]]);
    let limited = SeriesRequest {
        limit: 2,
        without_replica_labels: vec!["tenant_id".to_owned()],
        ..request(std::slice::from_ref(&any))
    };
    let (alike, _) = answer(&store(&tenants), limited);
    let shown = [
        r#"{__name__="down"}"#,
        r#"{__name__="up"}"#,
        r#"{__name__="up"}"#,
    ];
    assert_eq!(labels(alike), shown);
    let info = store(&tenants).info();
    assert_eq!((info.label_sets.len(), info.min_time), (2, START));
    drop(tenants);

    // One of them is damaged.
    std::fs::remove_dir_all(dir.path().join("a/wal")).unwrap();
    std::fs::write(dir.path().join("a/wal"), b"a file").unwrap();
    let tenants = open(options).unwrap();
    let (rest, warnings) = answer(&store(&tenants), request(std::slice::from_ref(&any)));
    assert_eq!(labels(rest), [expected[0], expected[2]]);
    assert!(warnings[0].starts_with("tenant a: "), "{warnings:?}");
    let strict = SeriesRequest {
        partial_response: PartialResponse::Abort,
        ..request(&[any])
    };
    let frames = block_on(store(&tenants).series(strict).collect::<Vec<_>>());
    assert!(matches!(&frames[..], [Err(_)]), "{frames:?}");
}

#[test]
fn a_large_series_is_spread_over_frames_and_streams_may_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = open(options(dir.path(), Layout::Single)).unwrap();
    let labels = Labels::from_pairs([("__name__", "up")]);
    let mut batch = Batch::new();
    batch.series(&labels);
    for i in 0..300_000i64 {
        // Values that compress badly.
        let noise = i.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
        let v = f64::from_bits(0x3ff0_0000_0000_0000 | noise);
        batch.float(START + i, v);
    }
    let appended = tenants.append("", &batch).unwrap();
    assert_eq!(appended.floats, 300_000);
    let request = request(&[Matcher::equal("__name__", "up")]);
    let store = store(&tenants);
    let frames = block_on(store.series(request.clone()).collect::<Vec<_>>());
    assert!(frames.len() > 1);
    let mut samples = 0;
    let mut last = None;
    for frame in frames {
        let Ok(Frame::Series(series)) = frame else {
            panic!("{frame:?}");
        };
        for SeriesChunk { min_time, data, .. } in series.into_iter().flat_map(|s| s.chunks) {
            assert!(last < Some(min_time));
            last = Some(min_time);
            if let storeapi::ChunkData::Raw(chunk) = data {
                samples += usize::from(chunk.sample_count().unwrap());
            }
        }
    }
    assert_eq!(samples, 300_000);

    let mut stream = store.series(request);
    assert!(block_on(stream.next()).unwrap().is_ok());
    drop(stream);
    // The head is no longer held by it.
    tenants.flush().unwrap();
}
