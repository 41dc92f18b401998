//! What every [`Store`] must answer: one suite that runs against each implementation, in process and
//! over gRPC.
//!
//! A test fills a store with [`DataSet::standard`] by whatever way its data comes in, and calls
//! [`check`]. The suite compares with the data, so that how a store cuts chunks is its own affair.
//! What a store says it does not support is not asked for.

mod answers;
mod cases;
mod data;

use crate::store::{LabelsRequest, PartialResponse, SeriesRequest, Shard, Store};
use answers::{error_of, series_of, strings_of};
use cases::{NAMES, Range, SERIES, VALUES, matchers};
pub use data::{DataSet, SeriesData};

use model::ErrorKind;

/// Runs the suite on a store that holds `data` and nothing else.
///
/// # Panics
/// When an answer is not what it must be, with the case and the difference.
pub async fn check(store: &dyn Store, data: &DataSet) {
    check_info(store, data);
    check_series(store, data).await;
    check_limits(store, data).await;
    check_refusals(store).await;
    if store.info().supports_without_replica_labels {
        check_replica_labels(store, data).await;
    }
    if store.info().supports_sharding {
        check_shards(store, data).await;
    }
    check_names(store).await;
    check_values(store).await;
}

fn request(selector: &[&str], range: Range) -> SeriesRequest {
    SeriesRequest {
        range: range.resolve(),
        matchers: matchers(selector),
        partial_response: PartialResponse::Abort,
        ..SeriesRequest::default()
    }
}

fn labels_request(selector: &[&str]) -> LabelsRequest {
    LabelsRequest {
        range: Range::All.resolve(),
        matchers: matchers(selector),
        partial_response: PartialResponse::Abort,
        ..LabelsRequest::default()
    }
}

fn check_info(store: &dyn Store, data: &DataSet) {
    let info = store.info();
    assert!(
        info.label_sets.is_empty() || info.label_sets.contains(&data.external),
        "the store has {:?} and says that it has {:?}",
        data.external,
        info.label_sets
    );
    let (first, last) = data.time_bounds();
    assert!(
        info.min_time <= first && last <= info.max_time,
        "the store has samples from {first} to {last} and says {info:?}"
    );
}

async fn check_series(store: &dyn Store, data: &DataSet) {
    for (selector, range, ids) in SERIES {
        let request = request(selector, *range);
        let expected = data.expected(ids, request.range, &[]);
        let case = format!("series {selector:?} in {range:?}");
        let answer = series_of(store, request.clone(), &case).await;
        answers::compare(&case, &answer, &expected, request.range);

        let case = format!("{case}, labels only");
        let request = SeriesRequest {
            skip_chunks: true,
            ..request
        };
        let answer = series_of(store, request, &case).await;
        let chunks = answer
            .iter()
            .map(|series| series.chunks.len())
            .sum::<usize>();
        assert_eq!(chunks, 0, "{case}: chunks were not asked for");
        let answered: Vec<_> = answer.iter().map(|series| &series.labels).collect();
        let expected: Vec<_> = expected.iter().map(|(labels, _)| labels).collect();
        assert_eq!(answered, expected, "{case}");
    }
}

/// A limit may be exceeded, but what is within it must be there.
async fn check_limits(store: &dyn Store, data: &DataSet) {
    let all = data.expected("abcdefgh", Range::All.resolve(), &[]);
    for limit in [1, 3, 100] {
        let case = format!("at most {limit} series");
        let request = SeriesRequest {
            limit,
            skip_chunks: true,
            ..request(&["__name__=~.+"], Range::All)
        };
        let answer = series_of(store, request, &case).await;
        assert!(answer.len() >= limit.min(all.len()), "{case}: {answer:?}");
        for series in &answer {
            let is_known = all.iter().any(|(labels, _)| *labels == series.labels);
            assert!(is_known, "{case}: {:?} is not in the store", series.labels);
        }
        let request = LabelsRequest {
            limit,
            ..labels_request(&[])
        };
        let names = strings_of(store.label_names(request).await, &case);
        assert!(names.len() >= limit.min(6), "{case}: {names:?}");
    }
}

async fn check_refusals(store: &dyn Store) {
    for selector in [&["region=eu-west"][..], &["region=~.*", "replica=a"]] {
        let error = error_of(store, request(selector, Range::All)).await;
        assert_eq!(
            error.as_ref().map(|error| error.kind),
            Some(ErrorKind::Invalid),
            "{selector:?} selects by external labels only: {error:?}"
        );
    }
}

async fn check_replica_labels(store: &dyn Store, data: &DataSet) {
    for without in [
        &["replica"][..],
        &["replica", "region"],
        &["pod"],
        &["pod", "replica", "unknown"],
    ] {
        let case = format!("series without {without:?}");
        let without: Vec<_> = without.iter().map(|s| (*s).to_owned()).collect();
        let request = SeriesRequest {
            without_replica_labels: without.clone(),
            ..request(&["__name__=~.+"], Range::All)
        };
        let range = request.range;
        let expected = data.expected("abcdefgh", range, &without);
        let answer = series_of(store, request, &case).await;
        answers::compare(&case, &answer, &expected, range);

        let request = LabelsRequest {
            without_replica_labels: without.clone(),
            ..labels_request(&[])
        };
        let names = strings_of(store.label_names(request.clone()).await, &case);
        let left = |name: &&str| !without.iter().any(|w| w == name);
        let expected: Vec<_> = cases::ALL_NAMES.iter().copied().filter(left).collect();
        assert_eq!(names, expected, "names of labels, {case}");
        let values = store.label_values(without[0].clone(), request).await;
        assert!(strings_of(values, &case).is_empty(), "values, {case}");
    }
}

async fn check_shards(store: &dyn Store, data: &DataSet) {
    for (by, labels) in [
        (true, &["job", "pod"][..]),
        (false, &["__name__"]),
        (false, &[]),
    ] {
        let mut found = 0;
        for index in 0..3 {
            let shard = Shard {
                index,
                total: 3,
                by,
                labels: labels.iter().map(|s| (*s).to_owned()).collect(),
            };
            let case = format!("{shard:?}");
            let request = SeriesRequest {
                shard: Some(shard.clone()),
                ..request(&["__name__=~.+"], Range::All)
            };
            let range = request.range;
            let mut expected = data.expected("abcdefgh", range, &[]);
            expected.retain(|(labels, _)| shard.contains(labels));
            found += expected.len();
            let answer = series_of(store, request, &case).await;
            answers::compare(&case, &answer, &expected, range);
        }
        assert_eq!(found, 8, "every series is in one shard");
    }
}

async fn check_names(store: &dyn Store) {
    for (selector, expected) in NAMES {
        let case = format!("names of labels of {selector:?}");
        let answer = store.label_names(labels_request(selector)).await;
        assert_eq!(strings_of(answer, &case), *expected, "{case}");
    }
}

async fn check_values(store: &dyn Store) {
    for (name, selector, expected) in VALUES {
        let case = format!("values of {name} of {selector:?}");
        let answer = store
            .label_values((*name).to_owned(), labels_request(selector))
            .await;
        assert_eq!(strings_of(answer, &case), *expected, "{case}");
    }
}

#[cfg(test)]
mod tests;
