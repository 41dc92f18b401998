//! What a head is made of, as Prometheus' API has it.

use model::TimeRange;
use serde::Deserialize;
use storeapi::catalog::statistics::{HeadStatistics, Ranking};

/// The `data` of `/api/v1/status/tsdb`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Said {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Count>,
    label_value_count_by_label_name: Vec<Count>,
    memory_in_bytes_by_label_name: Vec<Count>,
    series_count_by_label_value_pair: Vec<Count>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HeadStats {
    num_series: usize,
    num_label_pairs: usize,
    chunk_count: usize,
    min_time: i64,
    max_time: i64,
}

#[derive(Deserialize)]
struct Count {
    name: String,
    value: usize,
}

impl From<Said> for HeadStatistics {
    fn from(said: Said) -> Self {
        let ranking = |counts: Vec<Count>| -> Ranking {
            let counts = counts.into_iter();
            counts.map(|count| (count.name, count.value)).collect()
        };
        let head = said.head_stats;
        // Of an empty head, the range is upside down.
        let has_samples = head.num_series > 0 && head.min_time <= head.max_time;
        Self {
            series: head.num_series,
            label_pairs: head.num_label_pairs,
            chunks: head.chunk_count,
            time_range: has_samples.then(|| TimeRange::closed(head.min_time, head.max_time)),
            series_by_metric: ranking(said.series_count_by_metric_name),
            values_by_label: ranking(said.label_value_count_by_label_name),
            bytes_by_label: ranking(said.memory_in_bytes_by_label_name),
            series_by_pair: ranking(said.series_count_by_label_value_pair),
        }
    }
}
