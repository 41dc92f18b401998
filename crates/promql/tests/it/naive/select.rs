//! Samples: what selectors and subqueries find.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::sample::is_stale;
use model::{CounterResetHint, FloatHistogram, Labels, TimeRange};
use promql::ast::{At, Duration, DurationContext, Expr, RangeExtension, Subquery, VectorSelector};
use promql::columns::{Samples, StepValue};
use promql::source::{Hints, SelectRequest, Source};

use super::{Element, Evaluator, LOOKBACK_MS, Naive, SUBQUERY_STEP_MS, Stop, extended};

/// A sample: its time and value.
pub(super) type Point = (i64, StepValue);

/// The samples of a series in a range.
pub(super) struct Window {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) points: Vec<Point>,
}

impl Window {
    pub(super) fn floats(&self) -> Vec<(i64, f64)> {
        let float = |(t, v): &Point| match v {
            StepValue::Float(v) => Some((*t, *v)),
            StepValue::Histogram(_) => None,
        };
        self.points.iter().filter_map(float).collect()
    }

    pub(super) fn hists(&self) -> Vec<(i64, Arc<FloatHistogram>)> {
        let hist = |(t, v): &Point| match v {
            StepValue::Float(_) => None,
            StepValue::Histogram(h) => Some((*t, Arc::clone(h))),
        };
        self.points.iter().filter_map(hist).collect()
    }

    pub(super) fn element(self, value: StepValue) -> Element {
        Element {
            labels: self.labels,
            value,
            drop_name: self.drop_name,
        }
    }
}

fn is_marker(value: &StepValue) -> bool {
    match value {
        StepValue::Float(v) => is_stale(*v),
        StepValue::Histogram(h) => is_stale(h.sum),
    }
}

impl Evaluator<'_> {
    const fn durations(&self) -> DurationContext {
        DurationContext {
            step_ms: self.step_ms,
            range_ms: self.ends.1 - self.ends.0,
        }
    }

    pub(super) fn width(&self, range: &Duration) -> Result<i64, Stop> {
        range
            .positive_millis(self.durations())
            .map_err(|_| Stop::Failed)
    }

    /// The time that a selector evaluated at `t` refers to.
    fn reference(&self, at: Option<At>, offset: &Duration, t: i64) -> Result<i64, Stop> {
        let t = match at {
            None => t,
            Some(At::Timestamp(t)) => t,
            Some(At::Start) => self.ends.0,
            Some(At::End) => self.ends.1,
        };
        Ok(t - self.offset(offset)?)
    }

    pub(super) fn offset(&self, offset: &Duration) -> Result<i64, Stop> {
        let millis = offset.offset_millis(self.durations());
        millis.map_err(|_| Stop::Failed)
    }

    /// The samples after `from` and up to `to`, stale markers included.
    fn select(&self, selector: &VectorSelector, (from, to): (i64, i64)) -> Vec<Window> {
        let request = SelectRequest {
            stop: model::Stop::never(),
            matchers: selector.matchers.clone(),
            range: TimeRange::new(from + 1, to + 1),
            hints: Hints::default(),
        };
        let mut set = self.storage.select(&request).expect("memory can be read");
        let mut windows = Vec::new();
        while let Some(mut series) = set.next().expect("memory can be read") {
            let mut samples = Samples::default();
            series
                .read(request.range, &mut samples)
                .expect("memory can be read");
            let floats = samples.ts.into_iter().zip(samples.values);
            let mut points: Vec<Point> = floats.map(|(t, v)| (t, StepValue::Float(v))).collect();
            if self.without_buckets.contains(&selector.pos) {
                samples.hists = stats(&samples.hists);
            }
            let hists = samples.hist_ts.into_iter().zip(samples.hists);
            points.extend(hists.map(|(t, h)| (t, StepValue::Histogram(h))));
            points.sort_by_key(|(t, _)| *t);
            windows.push(Window {
                labels: series.labels().clone(),
                drop_name: false,
                points,
            });
        }
        windows.retain(|window| !window.points.is_empty());
        windows
    }

    /// The samples of a range that are values.
    fn values(&self, selector: &VectorSelector, range: (i64, i64)) -> Vec<Window> {
        let mut windows = self.select(selector, range);
        for window in &mut windows {
            window.points.retain(|(_, value)| !is_marker(value));
        }
        windows.retain(|window| !window.points.is_empty());
        windows
    }

    /// The newest sample of each series that is not older than the lookback, with its time.
    pub(super) fn newest(
        &self,
        selector: &VectorSelector,
        t: i64,
    ) -> Result<Vec<(i64, Element)>, Stop> {
        if selector.extension.is_some() {
            return Err(Stop::Unknown);
        }
        let t = self.reference(selector.at, &selector.offset, t)?;
        let windows = self.select(selector, (t - LOOKBACK_MS, t));
        let newest = windows.into_iter().filter_map(|window| {
            let (t, value) = window.points.last()?.clone();
            (!is_marker(&value)).then(|| (t, window.element(value)))
        });
        Ok(newest.collect())
    }

    pub(super) fn instant(&self, selector: &VectorSelector, t: i64) -> Result<Vec<Element>, Stop> {
        if selector.extension.is_some() {
            return self.smoothed(selector, t);
        }
        let newest = self.newest(selector, t)?.into_iter();
        Ok(newest.map(|(_, element)| element).collect())
    }

    /// Between two samples the value lies on the line through them; after the last one it is that.
    fn smoothed(&self, selector: &VectorSelector, t: i64) -> Result<Vec<Element>, Stop> {
        let t = self.reference(selector.at, &selector.offset, t)?;
        let around = (t - LOOKBACK_MS, t + LOOKBACK_MS);
        let mut vector = Vec::new();
        for window in self.values(selector, around) {
            let floats = window.floats();
            if floats.len() < window.points.len() {
                return Err(Stop::Unknown);
            }
            let before = floats.iter().rfind(|(at, _)| *at <= t);
            let after = floats.iter().find(|(at, _)| *at >= t);
            let v = match (before, after) {
                (Some((_, v)), None) => *v,
                (Some(a), Some(b)) if a.0 < b.0 => extended::between(*a, *b, t, false),
                (Some((_, v)), Some(_)) => *v,
                (None, _) => continue,
            };
            vector.push(window.element(StepValue::Float(v)));
        }
        Ok(vector)
    }

    /// The windows of a range vector, and their ends.
    pub(super) fn range(&self, expr: &Expr, t: i64) -> Result<(Vec<Window>, (i64, i64)), Stop> {
        match expr.unwrap_parens() {
            Expr::Matrix(matrix) => {
                let selector = &matrix.selector;
                let to = self.reference(selector.at, &selector.offset, t)?;
                let ends = (to - self.width(&matrix.range)?, to);
                let wide = match selector.extension {
                    None => ends,
                    Some(RangeExtension::Anchored) => (ends.0 - LOOKBACK_MS, ends.1),
                    Some(RangeExtension::Smoothed) => (ends.0 - LOOKBACK_MS, ends.1 + LOOKBACK_MS),
                };
                Ok((self.values(selector, wide), ends))
            }
            Expr::Subquery(subquery) => self.subquery(subquery, t),
            _ => Err(Stop::Unknown),
        }
    }

    /// Evaluates at the multiples of the step that lie in the range.
    fn subquery(&self, query: &Subquery, t: i64) -> Result<(Vec<Window>, (i64, i64)), Stop> {
        let to = self.reference(query.at, &query.offset, t)?;
        let from = to - self.width(&query.range)?;
        let step = query.step.as_ref();
        let step = step.map_or(Ok(SUBQUERY_STEP_MS), |step| self.width(step))?;
        let mut windows: BTreeMap<Labels, (bool, Vec<Point>)> = BTreeMap::new();
        let mut at = (from.div_euclid(step) + 1) * step;
        while at <= to {
            let Naive::Vector(vector) = self.eval(&query.expr, at)? else {
                return Err(Stop::Unknown);
            };
            for element in vector {
                let (drop_name, points) = windows.entry(element.labels).or_default();
                *drop_name = element.drop_name;
                points.push((at, forgotten(element.value)));
            }
            at += step;
        }
        let window = |(labels, (drop_name, points))| Window {
            labels,
            drop_name,
            points,
        };
        Ok((windows.into_iter().map(window).collect(), (from, to)))
    }
}

/// What a hint says about the sample before does not hold for what a subquery puts before it.
fn forgotten(value: StepValue) -> StepValue {
    match value {
        StepValue::Histogram(h) if h.counter_reset_hint != CounterResetHint::Gauge => {
            let mut h = FloatHistogram::clone(&h);
            h.counter_reset_hint = CounterResetHint::Unknown;
            StepValue::Histogram(Arc::new(h))
        }
        value => value,
    }
}

/// The histograms without their buckets, which have told before whether there was a reset.
fn stats(hists: &[Arc<FloatHistogram>]) -> Vec<Arc<FloatHistogram>> {
    let mut previous: Option<&FloatHistogram> = None;
    let mut all = Vec::new();
    for h in hists {
        let mut hint = h.counter_reset_hint;
        if !is_stale(h.sum) {
            if let (CounterResetHint::Unknown, Some(previous)) = (hint, previous) {
                hint = if h.detect_reset(previous) {
                    CounterResetHint::Reset
                } else {
                    CounterResetHint::NotReset
                };
            }
            previous = Some(h);
        }
        all.push(Arc::new(FloatHistogram {
            counter_reset_hint: hint,
            schema: h.schema,
            count: h.count,
            sum: h.sum,
            ..FloatHistogram::default()
        }));
    }
    all
}
