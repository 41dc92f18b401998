//! Between the messages of Thanos' service Status and the types of [`crate::catalog::statistics`].

use model::TimeRange;
use proto::thanos as wire;

use super::request::{strategy_from_wire, strategy_to_wire};
use crate::catalog::statistics::{HeadStatistics, RANKS_MAX, Ranking};
use crate::catalog::{Asker, StatisticsByTenant, StatisticsRequest};

/// A question for what heads are made of.
pub fn request_to_wire(request: &StatisticsRequest) -> wire::TsdbStatisticsRequest {
    let limit = request.limit.map(i32::try_from);
    wire::TsdbStatisticsRequest {
        // As Thanos has it, nothing is no limit.
        limit: limit.map_or(0, |limit| limit.unwrap_or(i32::MAX)),
        partial_response_strategy: strategy_to_wire(request.asker.partial_response),
        ..wire::TsdbStatisticsRequest::default()
    }
}

/// A question that came for `tenant`.
pub fn request_from_wire(
    request: &wire::TsdbStatisticsRequest,
    tenant: String,
) -> StatisticsRequest {
    let limit = usize::try_from(request.limit).ok();
    StatisticsRequest {
        limit: limit.filter(|limit| *limit > 0),
        asker: Asker {
            partial_response: strategy_from_wire(false, request.partial_response_strategy),
            tenant,
        },
    }
}

/// Heads, with at most so many entries of each ranking.
pub fn to_wire(by_tenant: StatisticsByTenant, ranks: usize) -> wire::TsdbStatistics {
    let list = |ranking: Ranking| -> Vec<wire::Statistic> {
        let ranking = ranking.into_iter().take(ranks);
        ranking
            .map(|(name, value)| wire::Statistic {
                name,
                value: value as u64,
            })
            .collect()
    };
    let statistics = by_tenant.into_iter().map(|(tenant, head)| {
        let (min_time, max_time) = head.shown_times();
        let entry = wire::TsdbStatisticsEntry {
            head_statistics: Some(wire::HeadStatistics {
                num_series: head.series as u64,
                num_label_pairs: i64::try_from(head.label_pairs).unwrap_or(i64::MAX),
                chunk_count: i64::try_from(head.chunks).unwrap_or(i64::MAX),
                min_time,
                max_time,
            }),
            series_count_by_metric_name: list(head.series_by_metric),
            label_value_count_by_label_name: list(head.values_by_label),
            memory_in_bytes_by_label_name: list(head.bytes_by_label),
            series_count_by_label_value_pair: list(head.series_by_pair),
        };
        (tenant, entry)
    });
    wire::TsdbStatistics {
        statistics: statistics.collect(),
    }
}

/// Adds what a message says of heads.
pub fn add_from_wire(message: wire::TsdbStatistics, all: &mut StatisticsByTenant) {
    for (tenant, entry) in message.statistics {
        let said = from_wire(entry);
        let known = all.remove(&tenant).unwrap_or_default();
        all.insert(tenant, HeadStatistics::joined([known, said]));
    }
}

fn from_wire(entry: wire::TsdbStatisticsEntry) -> HeadStatistics {
    let head = entry.head_statistics.unwrap_or_default();
    let ranking = |said: Vec<wire::Statistic>| -> Ranking {
        let said = said.into_iter().take(RANKS_MAX);
        said.map(|entry| (entry.name, count(entry.value))).collect()
    };
    let has_samples = head.num_series > 0 && head.min_time <= head.max_time;
    HeadStatistics {
        series: count(head.num_series),
        label_pairs: count(head.num_label_pairs),
        chunks: count(head.chunk_count),
        time_range: has_samples.then(|| TimeRange::closed(head.min_time, head.max_time)),
        series_by_metric: ranking(entry.series_count_by_metric_name),
        values_by_label: ranking(entry.label_value_count_by_label_name),
        bytes_by_label: ranking(entry.memory_in_bytes_by_label_name),
        series_by_pair: ranking(entry.series_count_by_label_value_pair),
    }
}

/// A number of things; what is none is 0.
fn count(said: impl TryInto<usize>) -> usize {
    said.try_into().unwrap_or(0)
}
