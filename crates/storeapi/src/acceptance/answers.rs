//! Taking in answers, and comparing them with the data.

use futures::StreamExt as _;
use model::{TimeRange, Value};

use super::data::Expected;
use crate::store::{ChunkData, Frame, Series, SeriesRequest, Store, StoreError, Strings};

/// Series of an answer, parts of one put together.
pub(super) async fn series_of(
    store: &dyn Store,
    request: SeriesRequest,
    case: &str,
) -> Vec<Series> {
    let mut all = Vec::<Series>::new();
    let mut frames = store.series(request);
    while let Some(frame) = frames.next().await {
        let series = match frame {
            Ok(Frame::Series(series)) => series,
            Ok(Frame::Warning(text)) => panic!("{case}: warning {text:?}"),
            Err(error) => panic!("{case}: {error}"),
        };
        assert!(!series.is_empty(), "{case}: a frame without series");
        for series in series {
            match all.last_mut() {
                Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
                Some(last) => {
                    let (last, next) = (&last.labels, &series.labels);
                    assert!(last < next, "{case}: {last:?} comes before {next:?}");
                    all.push(series);
                }
                None => all.push(series),
            }
        }
    }
    all
}

/// The error that an answer ends with.
pub(super) async fn error_of(store: &dyn Store, request: SeriesRequest) -> Option<StoreError> {
    let mut frames = store.series(request);
    while let Some(frame) = frames.next().await {
        if let Err(error) = frame {
            return Some(error);
        }
    }
    None
}

/// Strings of an answer that is complete.
pub(super) fn strings_of(answer: Result<Strings, StoreError>, case: &str) -> Vec<String> {
    let answer = answer.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(answer.warnings.is_empty(), "{case}: {:?}", answer.warnings);
    let is_sorted = answer.values.is_sorted_by(|a, b| a < b);
    assert!(is_sorted, "{case}: {:?} are not sorted", answer.values);
    answer.values
}

/// Compares labels, and the samples in the range.
pub(super) fn compare(case: &str, answer: &[Series], expected: &Expected, range: TimeRange) {
    let labels: Vec<_> = answer.iter().map(|series| &series.labels).collect();
    let wanted: Vec<_> = expected.iter().map(|(labels, _)| labels).collect();
    assert_eq!(labels, wanted, "{case}");
    for (series, (labels, wanted)) in answer.iter().zip(expected) {
        let case = format!("{case}, {labels:?}");
        let mut samples = Vec::new();
        for chunk in &series.chunks {
            let times = TimeRange::closed(chunk.min_time, chunk.max_time);
            assert!(times.overlaps(range), "{case}: chunk {times} is outside");
            let ChunkData::Raw(raw) = &chunk.data else {
                panic!("{case}: an aggregated chunk of data that is not downsampled");
            };
            let decoded: Result<Vec<_>, _> = raw.samples().collect();
            let decoded = decoded.unwrap_or_else(|error| panic!("{case}: {error}"));
            let ends = decoded.first().zip(decoded.last());
            let ends = ends.map(|(first, last)| (first.t, last.t));
            assert_eq!(ends, Some((chunk.min_time, chunk.max_time)), "{case}");
            for sample in decoded {
                let Value::Float(value) = sample.value else {
                    panic!("{case}: a histogram");
                };
                samples.push((sample.t, value));
            }
        }
        let in_order = series
            .chunks
            .is_sorted_by_key(|chunk| (chunk.min_time, chunk.max_time));
        // Parts of a series may come one after the other.
        samples.sort_by_key(|(t, _)| *t);
        samples.retain(|(t, _)| range.contains(*t));
        assert_eq!(&samples, wanted, "{case}");
        assert!(in_order, "{case}: chunks are not in order of time");
    }
}
