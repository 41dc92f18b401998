//! Requests.

use model::{ErrorKind, Matcher, Stop, TimeRange};
use proto::thanos::{
    self as wire, Aggr, Func, Grouping, LabelMatcher, LabelNamesRequest, LabelValuesRequest,
    PartialResponseStrategy, Range,
};

use super::closed;
use crate::store::{
    Aggregate, LabelsRequest, PartialResponse, QueryHints, SeriesRequest, Shard, StoreError,
};

/// Most matchers in a request.
const MATCHERS_MAX: usize = 1_000;

/// A request for series, for a peer that is to send up to `batch_size` series in a frame.
pub fn series_to_wire(request: &SeriesRequest, batch_size: usize) -> wire::SeriesRequest {
    let (min_time, max_time) = closed(request.range);
    wire::SeriesRequest {
        min_time,
        max_time,
        matchers: matchers_to_wire(&request.matchers),
        max_resolution_window: request.max_resolution,
        aggregates: request
            .aggregates
            .iter()
            .map(|aggregate| aggregate_to_wire(*aggregate).into())
            .collect(),
        partial_response_disabled: request.partial_response == PartialResponse::Abort,
        partial_response_strategy: strategy_to_wire(request.partial_response),
        skip_chunks: request.skip_chunks,
        hints: None,
        step: request.hints.step_ms,
        range: request.hints.range_ms,
        query_hints: (request.hints != QueryHints::default())
            .then(|| hints_to_wire(&request.hints)),
        shard_info: request.shard.as_ref().map(shard_to_wire),
        without_replica_labels: request.without_replica_labels.clone(),
        limit: count_to_wire(request.limit),
        response_batch_size: count_to_wire(batch_size),
    }
}

/// A request for series, and how many series the peer takes in a frame; less than 2 for one.
///
/// # Errors
/// When a matcher does not parse, or a field has a value that no version knows.
pub fn series_from_wire(
    request: wire::SeriesRequest,
    tenant: String,
) -> Result<(SeriesRequest, usize), StoreError> {
    let hints = match request.query_hints {
        Some(hints) => hints_from_wire(hints),
        None => QueryHints {
            step_ms: request.step,
            range_ms: request.range,
            ..QueryHints::default()
        },
    };
    let aggregates = request.aggregates.iter().copied();
    let decoded = SeriesRequest {
        range: TimeRange::closed(request.min_time, request.max_time),
        matchers: matchers_from_wire(&request.matchers)?,
        max_resolution: request.max_resolution_window,
        aggregates: aggregates
            .map(aggregate_from_wire)
            .collect::<Result<_, _>>()?,
        partial_response: strategy_from_wire(
            request.partial_response_disabled,
            request.partial_response_strategy,
        ),
        skip_chunks: request.skip_chunks,
        without_replica_labels: request.without_replica_labels,
        shard: request.shard_info.map_or(Ok(None), shard_from_wire)?,
        limit: count_from_wire(request.limit),
        hints,
        tenant,
        may_block: false,
        without_hashes: false,
        fan_out: None,
        stop: Stop::never(),
    };
    Ok((decoded, count_from_wire(request.response_batch_size)))
}

/// A request for names of labels.
pub fn names_to_wire(request: &LabelsRequest) -> LabelNamesRequest {
    let (start, end) = closed(request.range);
    LabelNamesRequest {
        partial_response_disabled: request.partial_response == PartialResponse::Abort,
        partial_response_strategy: strategy_to_wire(request.partial_response),
        start,
        end,
        hints: None,
        matchers: matchers_to_wire(&request.matchers),
        without_replica_labels: request.without_replica_labels.clone(),
        limit: count_to_wire(request.limit),
    }
}

/// A request for names of labels.
///
/// # Errors
/// When a matcher does not parse.
pub fn names_from_wire(
    request: LabelNamesRequest,
    tenant: String,
) -> Result<LabelsRequest, StoreError> {
    Ok(LabelsRequest {
        range: TimeRange::closed(request.start, request.end),
        matchers: matchers_from_wire(&request.matchers)?,
        partial_response: strategy_from_wire(
            request.partial_response_disabled,
            request.partial_response_strategy,
        ),
        without_replica_labels: request.without_replica_labels,
        limit: count_from_wire(request.limit),
        tenant,
        may_block: false,
    })
}

/// A request for the values of the label `name`.
pub fn values_to_wire(name: String, request: &LabelsRequest) -> LabelValuesRequest {
    let (start, end) = closed(request.range);
    LabelValuesRequest {
        label: name,
        partial_response_disabled: request.partial_response == PartialResponse::Abort,
        partial_response_strategy: strategy_to_wire(request.partial_response),
        start,
        end,
        hints: None,
        matchers: matchers_to_wire(&request.matchers),
        without_replica_labels: request.without_replica_labels.clone(),
        limit: count_to_wire(request.limit),
    }
}

/// A request for the values of a label, and the label's name.
///
/// # Errors
/// When the name is empty or a matcher does not parse.
pub fn values_from_wire(
    request: LabelValuesRequest,
    tenant: String,
) -> Result<(String, LabelsRequest), StoreError> {
    if request.label.is_empty() {
        return Err(StoreError::empty_label_name());
    }
    let decoded = LabelsRequest {
        range: TimeRange::closed(request.start, request.end),
        matchers: matchers_from_wire(&request.matchers)?,
        partial_response: strategy_from_wire(
            request.partial_response_disabled,
            request.partial_response_strategy,
        ),
        without_replica_labels: request.without_replica_labels,
        limit: count_from_wire(request.limit),
        tenant,
        may_block: false,
    };
    Ok((request.label, decoded))
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Invalid, message)
}

fn matchers_to_wire(matchers: &[Matcher]) -> Vec<LabelMatcher> {
    matchers.iter().map(LabelMatcher::from).collect()
}

/// Matchers of a request.
///
/// # Errors
/// When one does not parse, or there are too many.
pub fn matchers_from_wire(matchers: &[LabelMatcher]) -> Result<Vec<Matcher>, StoreError> {
    if matchers.len() > MATCHERS_MAX {
        return Err(invalid(format!(
            "{} matchers are more than {MATCHERS_MAX}; join some into a regular expression",
            matchers.len()
        )));
    }
    let decode = |matcher| {
        Matcher::try_from(matcher)
            .map_err(|error: proto::ConvertError| invalid(model::error::chain(&error)))
    };
    matchers.iter().map(decode).collect()
}

pub(super) fn strategy_to_wire(partial_response: PartialResponse) -> i32 {
    match partial_response {
        PartialResponse::Warn => PartialResponseStrategy::Warn.into(),
        PartialResponse::Abort => PartialResponseStrategy::Abort.into(),
    }
}

/// Old askers only set the switch.
pub(super) fn strategy_from_wire(disabled: bool, strategy: i32) -> PartialResponse {
    if disabled || strategy == i32::from(PartialResponseStrategy::Abort) {
        PartialResponse::Abort
    } else {
        PartialResponse::Warn
    }
}

fn aggregate_to_wire(aggregate: Aggregate) -> Aggr {
    match aggregate {
        Aggregate::Raw => Aggr::Raw,
        Aggregate::Count => Aggr::Count,
        Aggregate::Sum => Aggr::Sum,
        Aggregate::Min => Aggr::Min,
        Aggregate::Max => Aggr::Max,
        Aggregate::Counter => Aggr::Counter,
    }
}

fn aggregate_from_wire(number: i32) -> Result<Aggregate, StoreError> {
    Ok(match Aggr::try_from(number) {
        Ok(Aggr::Raw) => Aggregate::Raw,
        Ok(Aggr::Count) => Aggregate::Count,
        Ok(Aggr::Sum) => Aggregate::Sum,
        Ok(Aggr::Min) => Aggregate::Min,
        Ok(Aggr::Max) => Aggregate::Max,
        Ok(Aggr::Counter) => Aggregate::Counter,
        Err(_) => return Err(invalid(format!("aggregate {number} is not known"))),
    })
}

fn hints_to_wire(hints: &QueryHints) -> wire::QueryHints {
    wire::QueryHints {
        step_millis: hints.step_ms,
        func: (!hints.func.is_empty()).then(|| Func {
            name: hints.func.clone(),
        }),
        grouping: (hints.by || !hints.grouping.is_empty()).then(|| Grouping {
            by: hints.by,
            labels: hints.grouping.clone(),
        }),
        range: (hints.range_ms != 0).then_some(Range {
            millis: hints.range_ms,
        }),
        ..wire::QueryHints::default()
    }
}

fn hints_from_wire(hints: wire::QueryHints) -> QueryHints {
    let grouping = hints.grouping.unwrap_or_default();
    QueryHints {
        step_ms: hints.step_millis,
        range_ms: hints.range.unwrap_or_default().millis,
        func: hints.func.unwrap_or_default().name,
        grouping: grouping.labels,
        by: grouping.by,
    }
}

fn shard_to_wire(shard: &Shard) -> wire::ShardInfo {
    wire::ShardInfo {
        shard_index: i64::try_from(shard.index).unwrap_or(i64::MAX),
        total_shards: i64::try_from(shard.total).unwrap_or(i64::MAX),
        by: shard.by,
        labels: shard.labels.clone(),
    }
}

/// A shard; less than one in all means that the question is not sharded.
///
/// # Errors
/// When there is no shard of that number.
pub fn shard_from_wire(shard: wire::ShardInfo) -> Result<Option<Shard>, StoreError> {
    let total = u64::try_from(shard.total_shards).unwrap_or(0);
    if total == 0 {
        return Ok(None);
    }
    let index = u64::try_from(shard.shard_index).ok();
    let index = index.filter(|index| *index < total).ok_or_else(|| {
        let (index, total) = (shard.shard_index, shard.total_shards);
        invalid(format!("there is no shard {index} of {total}"))
    })?;
    Ok(Some(Shard {
        index,
        total,
        by: shard.by,
        labels: shard.labels,
    }))
}

fn count_to_wire(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count_from_wire(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}
