//! Instant selectors: the latest sample of each series at each step.

use std::ops::Range;
use std::sync::Arc;

use model::sample::is_stale;
use model::{CounterResetHint, FloatHistogram};

use crate::annotations::Note;
use crate::ast::RangeExtension;
use crate::columns::{Column, Samples, StepSeries, Steps, hist_weight};
use crate::cursor::Cursor;
use crate::error::Error;
use crate::functions::range::interpolate_hist;
use crate::plan::Selector;
use crate::source::{SelectRequest, SeriesSet};

use super::batch::Batches;
use super::{Context, Operator};

/// What a scan yields of the sample it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yield {
    /// Its value.
    Values,
    /// Its time, in seconds.
    Times,
    /// Its start time, in seconds.
    StartTimes,
    /// Of a float its time, in seconds; histograms as they are.
    FloatTimes,
}

/// Reads series and looks samples up.
pub(crate) struct Scan<'q> {
    selector: &'q Selector,
    what: Yield,
    steps: Steps,
    ctx: &'q Context<'q>,
    batches: Option<Batches<'q, Samples>>,
}

impl<'q> Scan<'q> {
    pub(crate) fn new(
        selector: &'q Selector,
        what: Yield,
        steps: Steps,
        ctx: &'q Context<'q>,
    ) -> Self {
        Self {
            selector,
            what,
            steps,
            ctx,
            batches: None,
        }
    }
}

/// The series of `selector`: from the source, or from what another selector reads too.
pub(crate) fn select(selector: &Selector, ctx: &Context<'_>) -> Result<Box<dyn SeriesSet>, Error> {
    ctx.tracker.check()?;
    let open = || {
        let request = SelectRequest {
            matchers: selector.matchers.clone(),
            range: selector.range,
            hints: selector.hints.clone(),
            stop: ctx.tracker.stop(),
        };
        let found = ctx.source.select(&request);
        found.map_err(|e| ctx.tracker.failed(e))
    };
    match &selector.share {
        Some(share) => ctx.shared.reader(share, open),
        None => open(),
    }
}

/// Passes on what the source wants the user to know, and whom it asked.
pub(crate) fn finish(set: &mut dyn SeriesSet, ctx: &Context<'_>) {
    if let Some(profile) = &ctx.profile {
        profile.add_fan_out(set.fan_out());
    }
    for warning in set.warnings() {
        ctx.notes.add_source_warning(warning);
    }
}

impl Operator for Scan<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if self.steps.count == 0 {
            return Ok(false);
        }
        let (selector, what, steps, ctx) = (self.selector, self.what, self.steps, self.ctx);
        let batches = match &mut self.batches {
            Some(batches) => batches,
            None => {
                let set = select(selector, ctx)?;
                self.batches
                    .insert(Batches::new(set, Samples::default, ctx))
            }
        };
        batches.next(out, &|samples, series, out| {
            samples.clear();
            series.read(selector.range, samples)?;
            if !selector.hints.start_timestamps {
                samples.drop_starts();
            }
            if selector.hints.histogram_stats {
                samples.reduce_to_stats();
            }
            out.column.reset(steps.count);
            let lookup = Lookup {
                samples,
                selector,
                steps,
                lookback: ctx.options.lookback_ms,
            };
            match selector.extension {
                Some(RangeExtension::Smoothed) if what == Yield::Values => {
                    lookup.smoothed(&mut out.column, series.labels().metric_name(), ctx);
                }
                _ => lookup.latest(what, &mut out.column),
            }
            if out.column.is_absent() {
                return Ok(false);
            }
            out.labels = series.take_labels();
            out.drop_name = false;
            record(&out.column, ctx);
            Ok(true)
        })
    }
}

/// Counts what a scan found.
fn record(column: &Column, ctx: &Context<'_>) {
    ctx.stats.add_samples(column.sample_count());
    if ctx.stats.wants_steps() {
        ctx.stats
            .add_steps((0..column.len()).map(|i| match column.hist(i) {
                Some(h) => hist_weight(h),
                None => u64::from(column.valid.get(i)),
            }));
    }
}

/// One series and the instants to look it up at.
struct Lookup<'a> {
    samples: &'a Samples,
    selector: &'a Selector,
    steps: Steps,
    lookback: i64,
}

impl Lookup<'_> {
    fn latest(&self, what: Yield, out: &mut Column) {
        let samples = self.samples;
        let mut floats = Cursor::default();
        let mut hists = Cursor::default();
        for i in 0..self.steps.count {
            let t = self.selector.reference(self.steps.at(i));
            let oldest = t.saturating_sub(self.lookback);
            let f = floats.seek(&samples.ts, t).checked_sub(1);
            let h = hists.seek(&samples.hist_ts, t).checked_sub(1);
            let f = f.filter(|&k| samples.ts[k] > oldest);
            let h = h.filter(|&k| samples.hist_ts[k] > oldest);
            match (f, h) {
                (Some(f), Some(h)) if samples.hist_ts[h] > samples.ts[f] => {
                    self.take_hist(h, i, what, out);
                }
                (Some(f), _) => self.take_float(f, i, what, out),
                (None, Some(h)) => self.take_hist(h, i, what, out),
                (None, None) => {}
            }
        }
    }

    fn take_float(&self, k: usize, i: usize, what: Yield, out: &mut Column) {
        let v = self.samples.values[k];
        if is_stale(v) {
            return;
        }
        let v = match what {
            Yield::Values => v,
            Yield::Times | Yield::FloatTimes => self.samples.ts[k] as f64 / 1000.0,
            Yield::StartTimes => self.samples.start(k) as f64 / 1000.0,
        };
        out.set_float(i, v);
    }

    fn take_hist(&self, k: usize, i: usize, what: Yield, out: &mut Column) {
        let h = &self.samples.hists[k];
        if is_stale(h.sum) {
            return;
        }
        match what {
            Yield::Values | Yield::FloatTimes => out.set_hist(i, Arc::clone(h)),
            Yield::Times => out.set_float(i, self.samples.hist_ts[k] as f64 / 1000.0),
            Yield::StartTimes => out.set_float(i, self.samples.hist_start(k) as f64 / 1000.0),
        }
    }

    /// Interpolates between the samples around each instant.
    fn smoothed(&self, out: &mut Column, name: &str, ctx: &Context<'_>) {
        let mut samples = self.samples.clone();
        samples.drop_stale();
        let (mut f_from, mut f_at, mut f_to) = Default::default();
        let (mut h_from, mut h_at, mut h_to) = Default::default();
        for i in 0..self.steps.count {
            let t = self.selector.reference(self.steps.at(i));
            let from = t.saturating_sub(self.lookback);
            let to = t.saturating_add(self.lookback);
            let f = window(&mut f_from, &mut f_to, &samples.ts, (from, to));
            let h = window(&mut h_from, &mut h_to, &samples.hist_ts, (from, to));
            if !f.is_empty() && !h.is_empty() {
                let name = name.to_owned();
                ctx.notes
                    .add(Note::MixedFloatsHistograms { name }, self.selector.pos);
            } else if !f.is_empty() {
                let next = Cursor::seek(&mut f_at, &samples.ts, t);
                if let Some(v) = smooth_float(&samples, next, t, f) {
                    out.set_float(i, v);
                }
            } else if !h.is_empty() {
                let next = Cursor::seek(&mut h_at, &samples.hist_ts, t);
                match smooth_hist(&samples, next, t, h) {
                    Ok(Some(value)) => out.set_hist(i, value),
                    Ok(None) => {}
                    Err(_) => {
                        let name = name.to_owned();
                        ctx.notes
                            .add(Note::MixedExponentialCustom { name }, self.selector.pos);
                    }
                }
            }
        }
    }
}

/// The samples in `(from, to]`.
fn window(low: &mut Cursor, high: &mut Cursor, ts: &[i64], (from, to): (i64, i64)) -> Range<usize> {
    low.seek(ts, from)..high.seek(ts, to)
}

/// The value at `t`; `next` is the first sample after it, `window` what may be looked at.
fn smooth_float(s: &Samples, next: usize, t: i64, window: Range<usize>) -> Option<f64> {
    let before = next.checked_sub(1).filter(|k| window.contains(k))?;
    let (t1, v1) = (s.ts[before], s.values[before]);
    if t1 == t || !window.contains(&next) {
        return Some(v1);
    }
    let (t2, v2) = (s.ts[next], s.values[next]);
    Some(v1 + (v2 - v1) * (t - t1) as f64 / (t2 - t1) as f64)
}

/// As [`smooth_float`]; fails when the two histograms cannot be reconciled.
fn smooth_hist(
    s: &Samples,
    next: usize,
    t: i64,
    window: Range<usize>,
) -> Result<Option<Arc<FloatHistogram>>, model::histogram::MixedSchemas> {
    let Some(before) = next.checked_sub(1).filter(|k| window.contains(k)) else {
        return Ok(None);
    };
    if s.hist_ts[before] == t {
        return Ok(Some(Arc::clone(&s.hists[before])));
    }
    if !window.contains(&next) {
        // The hint tells of a sample and the one before it, not of a value carried on.
        let mut h = FloatHistogram::clone(&s.hists[before]);
        h.counter_reset_hint = CounterResetHint::Unknown;
        return Ok(Some(Arc::new(h)));
    }
    let a = (s.hist_ts[before], &*s.hists[before]);
    let b = (s.hist_ts[next], &*s.hists[next]);
    let is_counter = a.1.counter_reset_hint != CounterResetHint::Gauge
        || b.1.counter_reset_hint != CounterResetHint::Gauge;
    interpolate_hist(a, b, t, is_counter).map(|h| Some(Arc::new(h)))
}
