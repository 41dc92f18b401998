//! Matrices of ranges that follow each other as one.

use std::collections::HashMap;

use model::Labels;
use promql::value::MatrixSeries;

/// The part of a matrix inside a range of time.
pub(super) struct Segment<'a> {
    series: &'a [MatrixSeries],
    /// First time, and the time after the last.
    times: (i64, i64),
    infos: &'a [String],
}

impl<'a> Segment<'a> {
    pub(super) const fn new(
        series: &'a [MatrixSeries],
        times: (i64, i64),
        infos: &'a [String],
    ) -> Self {
        Self {
            series,
            times,
            infos,
        }
    }

    pub(super) const fn start(&self) -> i64 {
        self.times.0
    }
}

/// The series of segments in order of time, sorted by labels, and what is said about them.
pub(super) fn join(segments: &[Segment<'_>]) -> (Vec<MatrixSeries>, Vec<String>) {
    let mut places: HashMap<&Labels, usize> = HashMap::new();
    let mut all: Vec<MatrixSeries> = Vec::new();
    let mut infos: Vec<String> = Vec::new();
    for segment in segments {
        let (first, after) = segment.times;
        for series in segment.series {
            let from = series.points.partition_point(|(t, _)| *t < first);
            let to = series.points.partition_point(|(t, _)| *t < after);
            let Some(points) = series.points.get(from..to).filter(|p| !p.is_empty()) else {
                continue;
            };
            let place = *places.entry(&series.labels).or_insert_with(|| {
                all.push(MatrixSeries {
                    labels: series.labels.clone(),
                    points: Vec::new(),
                });
                all.len() - 1
            });
            all[place].points.extend_from_slice(points);
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
