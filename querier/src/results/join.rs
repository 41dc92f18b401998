//! Matrices of ranges that follow each other as one.

use std::collections::HashMap;

use model::{Labels, TimeRange};
use promql::points::Points;
use promql::value::MatrixSeries;

/// The part of a matrix inside a range of time.
pub(super) struct Segment<'a> {
    series: &'a [MatrixSeries],
    times: TimeRange,
    infos: &'a [String],
}

impl<'a> Segment<'a> {
    pub(super) const fn new(
        series: &'a [MatrixSeries],
        times: TimeRange,
        infos: &'a [String],
    ) -> Self {
        Self {
            series,
            times,
            infos,
        }
    }

    pub(super) const fn start(&self) -> i64 {
        self.times.min
    }
}

/// The series of segments in order of time, sorted by labels, and what is said about them.
pub(super) fn join(segments: &[Segment<'_>]) -> (Vec<MatrixSeries>, Vec<String>) {
    let mut places: HashMap<&Labels, usize> = HashMap::new();
    let mut all: Vec<MatrixSeries> = Vec::new();
    let mut infos: Vec<String> = Vec::new();
    for segment in segments {
        let times = segment.times;
        for series in segment.series {
            if !series.points.any_in(times) {
                continue;
            }
            let place = *places.entry(&series.labels).or_insert_with(|| {
                all.push(MatrixSeries {
                    labels: series.labels.clone(),
                    points: Points::default(),
                });
                all.len() - 1
            });
            all[place].points.append(&series.points, times);
        }
        for info in segment.infos {
            if !infos.contains(info) {
                infos.push(info.clone());
            }
        }
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    (all, infos)
}
