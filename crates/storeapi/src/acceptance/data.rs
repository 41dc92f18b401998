//! What a store is filled with.

use std::collections::BTreeMap;

use model::{Labels, TimeRange};
use tsdb::chunk::SeriesEncoder;

use crate::external_labels::with_external;
use crate::memory::MemoryStore;
use crate::store::{ChunkData, SeriesChunk};

/// Where the data begins: the begin of a two-hour block.
pub(super) const START: i64 = 1_599_998_400_000;
/// Between two samples of a series.
pub(super) const STEP: i64 = 15_000;
/// Samples of a series that has them all; several chunks.
const SAMPLES: i64 = 300;

/// Series and the external labels of their producer. All samples are floats, in order of time, and
/// lie within one block of two hours.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Labels that the store adds.
    pub external: Labels,
    /// Series in no order.
    pub series: Vec<SeriesData>,
}

/// A series as its producer has it.
#[derive(Debug, Clone)]
pub struct SeriesData {
    /// What the cases call it.
    pub id: char,
    /// Its own labels.
    pub labels: Labels,
    /// Times in milliseconds, ascending, and values.
    pub samples: Vec<(i64, f64)>,
}

/// Labels as a store shows them, and the samples of a range.
pub(super) type Expected = Vec<(Labels, Vec<(i64, f64)>)>;

impl DataSet {
    /// The data that the suite's cases are about.
    ///
    /// Some labels sort before the external ones and some after, so that adding or removing those
    /// changes the order of series; one series has a label of its own that an external one hides.
    pub fn standard() -> Self {
        let of = |id, pairs: &[(&str, &str)], from: i64, to: i64| SeriesData {
            id,
            labels: Labels::from_pairs(pairs.iter().copied()),
            samples: (from..to)
                .map(|i| (START + i * STEP, i as f64 + f64::from(u32::from(id)) / 8.0))
                .collect(),
        };
        let up = ("__name__", "up");
        let requests = ("__name__", "http_requests_total");
        Self {
            external: Labels::from_pairs([("region", "eu-west"), ("replica", "a")]),
            series: vec![
                of('a', &[up, ("job", "api"), ("pod", "1")], 0, SAMPLES),
                // Times of its own, so that it can be told from `a` without `pod`.
                of(
                    'b',
                    &[up, ("job", "api"), ("pod", "2")],
                    SAMPLES,
                    SAMPLES + 150,
                ),
                of('c', &[up, ("job", "web")], 0, SAMPLES),
                of('d', &[up, ("job", "web"), ("zone", "z1")], 0, SAMPLES),
                of('e', &[up, ("job", "odd"), ("region", "us")], 0, 10),
                of(
                    'f',
                    &[requests, ("code", "200"), ("job", "api")],
                    0,
                    SAMPLES,
                ),
                of(
                    'g',
                    &[
                        requests,
                        ("code", "500"),
                        ("job", "api"),
                        ("zone", "µ/\"x\\"),
                    ],
                    0,
                    1,
                ),
                // Late only.
                of('h', &[requests, ("code", "500"), ("job", "web")], 400, 410),
            ],
        }
    }

    /// Times of the first and the last sample.
    pub fn time_bounds(&self) -> (i64, i64) {
        let times = || self.series.iter().flat_map(|s| &s.samples).map(|s| s.0);
        let (first, last) = (times().min(), times().max());
        (first.expect("there is data"), last.expect("there is data"))
    }

    /// A store in memory with this data.
    pub fn in_memory(&self) -> MemoryStore {
        let mut store = MemoryStore::new(self.external.clone());
        for series in &self.series {
            let mut encoder = SeriesEncoder::new();
            let mut chunks = Vec::new();
            for (t, v) in &series.samples {
                chunks.extend(encoder.push_float(*t, *v).expect("samples ascend"));
            }
            chunks.extend(encoder.finish());
            let chunks = chunks.into_iter().map(|timed| SeriesChunk {
                min_time: timed.min_time,
                max_time: timed.max_time,
                data: ChunkData::Raw(timed.chunk),
            });
            store.insert(series.labels.clone(), chunks);
        }
        store
    }

    /// What the series `ids` are shown as, in order, with their samples in a range.
    pub(super) fn expected(&self, ids: &str, range: TimeRange, without: &[String]) -> Expected {
        let mut without = without.to_vec();
        without.sort_unstable();
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for series in self.series.iter().filter(|s| ids.contains(s.id)) {
            let labels = with_external(&series.labels, &self.external).without(&without);
            let samples = series.samples.iter().filter(|(t, _)| range.contains(*t));
            all.entry(labels).or_default().extend(samples.copied());
        }
        for samples in all.values_mut() {
            samples.sort_by_key(|(t, _)| *t);
        }
        all.into_iter().collect()
    }
}
