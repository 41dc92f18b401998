//! `/api/v1/status/tsdb` and `/api/v1/status/tsdb/blocks`: what is in the data directory.

use model::TimeRange;
use model::labels::METRIC_NAME;
use serde_json::{Value, json};
use tsdb::block::Block;
use tsdb::head::{Head, LabelCounts};

use super::answer::{Answer, ApiError};
use super::{Api, Call, params};

/// Entries of each ranking, when nothing is said.
const RANKS: usize = 10;
/// Most entries of each ranking that may be asked for.
const RANKS_MAX: usize = 10_000;

/// The head in numbers. It does not change, so they are counted once.
#[derive(Debug, Default)]
pub(super) struct HeadStatistics {
    series: usize,
    label_pairs: usize,
    chunks: usize,
    time_range: Option<TimeRange>,
    /// Each ranked from the top, cut at [`RANKS_MAX`].
    series_by_metric: Ranking,
    values_by_label: Ranking,
    bytes_by_label: Ranking,
    series_by_pair: Ranking,
}

type Ranking = Vec<(String, usize)>;

impl HeadStatistics {
    fn of(head: &Head) -> Self {
        let mut statistics = Self {
            series: head.series_count(),
            label_pairs: 0,
            chunks: head.chunk_count(),
            time_range: head.time_range(),
            series_by_metric: Vec::new(),
            values_by_label: Vec::new(),
            bytes_by_label: Vec::new(),
            series_by_pair: Vec::new(),
        };
        for LabelCounts { name, values } in head.label_counts() {
            let mut bytes = 0;
            for (value, series) in &values {
                bytes += value.len() * series;
                if name == METRIC_NAME {
                    statistics
                        .series_by_metric
                        .push((value.to_string(), *series));
                }
                let pair = format!("{name}={value}");
                statistics.series_by_pair.push((pair, *series));
            }
            statistics.label_pairs += values.len();
            statistics
                .values_by_label
                .push((name.clone(), values.len()));
            statistics.bytes_by_label.push((name, bytes));
        }
        for ranking in [
            &mut statistics.series_by_metric,
            &mut statistics.values_by_label,
            &mut statistics.bytes_by_label,
            &mut statistics.series_by_pair,
        ] {
            ranking.sort_by(|(a, a_count), (b, b_count)| (b_count, a).cmp(&(a_count, b)));
            ranking.truncate(RANKS_MAX);
        }
        statistics
    }

    fn to_json(&self, ranks: usize) -> Value {
        let top = |ranking: &Ranking| -> Vec<Value> {
            let top = ranking.iter().take(ranks);
            top.map(|(name, value)| json!({"name": name, "value": value}))
                .collect()
        };
        // Of an empty head, Prometheus shows a range that is upside down.
        let (min, max) = self
            .time_range
            .map_or((i64::MAX, i64::MIN), |r| (r.min, r.max - 1));
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

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let ranks = match call.form.get("limit") {
        None | Some("") => RANKS,
        Some(_) => params::limit(&call.form)?,
    };
    if !(1..=RANKS_MAX).contains(&ranks) {
        let reason = format!("limit must be between 1 and {RANKS_MAX}");
        return Err(ApiError::parameter("limit", reason));
    }
    let count = || match &api.local {
        Some(local) => HeadStatistics::of(local.head()),
        None => HeadStatistics::default(),
    };
    let statistics = api.head_statistics.get_or_init(count);
    Ok(Answer::tree(statistics.to_json(ranks)))
}

/// The blocks, as their `meta.json` describes them.
pub(super) fn blocks(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    let blocks = api.local.iter().flat_map(|local| local.blocks().iter());
    let metas: Vec<_> = blocks.map(Block::meta).collect();
    Ok(Answer::tree(json!({ "blocks": metas })))
}
