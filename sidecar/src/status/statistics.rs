//! Figures of a TSDB as Prometheus shows them, and the message that they become.

use proto::thanos as wire;
use serde::Deserialize;

/// Figures of a TSDB.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Statistics {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Count>,
    label_value_count_by_label_name: Vec<Count>,
    memory_in_bytes_by_label_name: Vec<Count>,
    series_count_by_label_value_pair: Vec<Count>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HeadStats {
    num_series: u64,
    num_label_pairs: i64,
    chunk_count: i64,
    min_time: i64,
    max_time: i64,
}

#[derive(Deserialize)]
struct Count {
    name: String,
    value: u64,
}

impl Statistics {
    /// With at most `limit` items in each list; Prometheus before 2.48 does not know of limits.
    pub(super) fn into_wire(self, limit: usize) -> wire::TsdbStatisticsEntry {
        let list = |counts: Vec<Count>| {
            let counts = counts.into_iter().take(limit);
            counts
                .map(|Count { name, value }| wire::Statistic { name, value })
                .collect()
        };
        let head = self.head_stats;
        wire::TsdbStatisticsEntry {
            head_statistics: Some(wire::HeadStatistics {
                num_series: head.num_series,
                num_label_pairs: head.num_label_pairs,
                chunk_count: head.chunk_count,
                min_time: head.min_time,
                max_time: head.max_time,
            }),
            series_count_by_metric_name: list(self.series_count_by_metric_name),
            label_value_count_by_label_name: list(self.label_value_count_by_label_name),
            memory_in_bytes_by_label_name: list(self.memory_in_bytes_by_label_name),
            series_count_by_label_value_pair: list(self.series_count_by_label_value_pair),
        }
    }
}
