//! The suite that every store must pass.

use std::collections::BTreeSet;
use std::path::Path;

use bucket::Bucket;
use model::{Labels, TimeRange};
use storeapi::acceptance::{DataSet, check};
use tempfile::tempdir;
use tsdb::block::meta::Thanos;
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use ulid::Ulid;

use crate::support::{ByMessages, Setup, UNLIMITED, put_block};

/// Writes the data as one block, or as two that each have a part of every series.
fn write(data: &DataSet, parent: &Path, parts: usize) -> Vec<Ulid> {
    let (first, last) = data.time_bounds();
    let step = (last - first) / parts as i64 + 1;
    let ranges =
        (0..parts as i64).map(|i| TimeRange::new(first + i * step, first + (i + 1) * step));
    ranges
        .map(|range| write_part(data, parent, range))
        .collect()
}

fn write_part(data: &DataSet, parent: &Path, range: TimeRange) -> Ulid {
    let id = Ulid::from_parts(range.min.unsigned_abs(), 7);
    let mut series: Vec<_> = data.series.iter().collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let strings = |l: &Labels| {
        l.iter()
            .flat_map(|(n, v)| [n.to_owned(), v.to_owned()])
            .collect()
    };
    let symbols: BTreeSet<String> = series
        .iter()
        .flat_map(|s| -> Vec<String> { strings(&s.labels) })
        .collect();
    let mut writer = BlockWriter::create(parent, id).unwrap();
    symbols.iter().for_each(|s| writer.add_symbol(s).unwrap());
    for series in series {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for (t, v) in series.samples.iter().filter(|(t, _)| range.contains(*t)) {
            chunks.extend(encoder.push_float(*t, *v).unwrap());
        }
        chunks.extend(encoder.finish());
        writer.add_series(&series.labels, &chunks).unwrap();
    }
    let mut meta = Meta::new(id, range);
    let external = data.external.iter();
    meta.thanos = Some(Thanos {
        labels: external
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect(),
        ..Thanos::default()
    });
    writer.finish(meta).unwrap().unwrap().ulid
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_passes_the_suite() {
    let data = DataSet::standard();
    for parts in [1, 2, 5] {
        let dir = tempdir().unwrap();
        let memory = Bucket::in_memory();
        for id in write(&data, dir.path(), parts) {
            put_block(&memory, &dir.path().join(id.to_string())).await;
        }
        let local = Bucket::in_directory(dir.path()).unwrap();
        for bucket in [local, memory] {
            let setup = Setup::over(bucket, UNLIMITED).await;
            check(&setup.gateway, &data).await;
            check(&ByMessages(setup.gateway.clone()), &data).await;
        }
    }
}
