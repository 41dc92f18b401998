//! What a head is made of: the `data` of `/api/v1/status/tsdb`.

use std::collections::BTreeMap;

use model::TimeRange;
use model::labels::METRIC_NAME;
use serde_json::{Value, json};
use tsdb::head::{Head, LabelCounts};

/// Most entries of each ranking.
pub const RANKS_MAX: usize = 10_000;

/// A head in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeadStatistics {
    /// Series.
    pub series: usize,
    /// Pairs of names and values of labels.
    pub label_pairs: usize,
    /// Chunks, open ones included.
    pub chunks: usize,
    /// From the first sample to the last.
    pub time_range: Option<TimeRange>,
    /// Series by metric.
    pub series_by_metric: Ranking,
    /// Values by label.
    pub values_by_label: Ranking,
    /// Bytes of values by label, each counted for every series that has it.
    pub bytes_by_label: Ranking,
    /// Series by label and value, `name=value`.
    pub series_by_pair: Ranking,
}

/// Heads in numbers, by tenant.
pub type StatisticsByTenant = BTreeMap<String, HeadStatistics>;

/// Names with a number each, the greatest first, cut at [`RANKS_MAX`].
pub type Ranking = Vec<(String, usize)>;

impl HeadStatistics {
    /// Counts what is in a head now.
    pub fn of(head: &Head) -> Self {
        let mut statistics = Self {
            series: head.series_count(),
            chunks: head.chunk_count(),
            time_range: head.time_range(),
            ..Self::default()
        };
        for LabelCounts { name, values } in head.label_counts() {
            let mut bytes = 0;
            for (value, series) in &values {
                bytes += value.len() * series;
                if name == METRIC_NAME {
                    let metric = (value.to_string(), *series);
                    statistics.series_by_metric.push(metric);
                }
                let pair = format!("{name}={value}");
                statistics.series_by_pair.push((pair, *series));
            }
            statistics.label_pairs += values.len();
            let count = (name.clone(), values.len());
            statistics.values_by_label.push(count);
            statistics.bytes_by_label.push((name, bytes));
        }
        statistics.rank();
        statistics
    }

    /// Several heads as one.
    pub fn joined(all: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self::default();
        for mut one in all {
            joined.series = joined.series.saturating_add(one.series);
            joined.label_pairs = joined.label_pairs.saturating_add(one.label_pairs);
            joined.chunks = joined.chunks.saturating_add(one.chunks);
            joined.time_range = match (joined.time_range, one.time_range) {
                (Some(a), Some(b)) => Some(TimeRange::new(a.min.min(b.min), a.max.max(b.max))),
                (a, b) => a.or(b),
            };
            for (into, from) in joined.rankings().into_iter().zip(one.rankings()) {
                into.append(from);
            }
        }
        for ranking in joined.rankings() {
            let mut sums: BTreeMap<String, usize> = BTreeMap::new();
            for (name, count) in std::mem::take(ranking) {
                let sum = sums.entry(name).or_default();
                *sum = sum.saturating_add(count);
            }
            *ranking = sums.into_iter().collect();
        }
        joined.rank();
        joined
    }

    /// Times of the first and the last sample. Of an empty head, Prometheus shows a range that is
    /// upside down.
    pub fn shown_times(&self) -> (i64, i64) {
        self.time_range
            .map_or((i64::MAX, i64::MIN), |r| (r.min, r.max - 1))
    }

    fn rankings(&mut self) -> [&mut Ranking; 4] {
        [
            &mut self.series_by_metric,
            &mut self.values_by_label,
            &mut self.bytes_by_label,
            &mut self.series_by_pair,
        ]
    }

    fn rank(&mut self) {
        for ranking in self.rankings() {
            ranking.sort_by(|(a, a_count), (b, b_count)| (b_count, a).cmp(&(a_count, b)));
            ranking.truncate(RANKS_MAX);
        }
    }

    /// As Prometheus' API has it, with so many entries of each ranking.
    pub fn to_json(&self, ranks: usize) -> Value {
        let top = |ranking: &Ranking| -> Vec<Value> {
            let top = ranking.iter().take(ranks);
            top.map(|(name, value)| json!({"name": name, "value": value}))
                .collect()
        };
        let (min, max) = self.shown_times();
        json!({
            "headStats": {
                "numSeries": self.series,
                "numLabelPairs": self.label_pairs,
                "chunkCount": self.chunks,
                "minTime": min,
                "maxTime": max,
            },
            "seriesCountByMetricName": top(&self.series_by_metric),
            "labelValueCountByLabelName": top(&self.values_by_label),
            "memoryInBytesByLabelName": top(&self.bytes_by_label),
            "seriesCountByLabelValuePair": top(&self.series_by_pair),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_joined_by_name() {
        let one = |series: usize, range| HeadStatistics {
            series,
            time_range: Some(range),
            series_by_metric: vec![("up".to_owned(), series), (format!("m{series}"), 1)],
            ..HeadStatistics::default()
        };
        let joined = HeadStatistics::joined([
            one(2, TimeRange::new(5, 9)),
            HeadStatistics::default(),
            one(3, TimeRange::new(1, 7)),
        ]);
        assert_eq!(
            (joined.series, joined.time_range),
            (5, Some(TimeRange::new(1, 9)))
        );
        let json = joined.to_json(2);
        assert_eq!(
            json["seriesCountByMetricName"],
            json!([{"name": "up", "value": 5}, {"name": "m2", "value": 1}])
        );
        assert_eq!(json["headStats"]["maxTime"], 8);
    }
}
