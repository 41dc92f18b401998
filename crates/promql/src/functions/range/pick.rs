//! Functions that pick samples out of a window: the first, the last, the last two; and counting.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use crate::annotations::{HistogramOp, Note};
use crate::columns::Column;

use super::hist_rate::combine;
use super::start_time::Stamp;
use super::{Remarks, Windowed};

/// A sample, by kind and index.
#[derive(Debug, Clone, Copy)]
enum Pick {
    Float(usize),
    Hist(usize),
}

impl Windowed<'_> {
    fn time(&self, pick: Pick) -> i64 {
        match pick {
            Pick::Float(k) => self.samples.ts[k],
            Pick::Hist(k) => self.samples.hist_ts[k],
        }
    }

    fn put(&self, pick: Option<Pick>, i: usize, out: &mut Column) {
        match pick {
            Some(Pick::Float(k)) => out.set_float(i, self.samples.values[k]),
            Some(Pick::Hist(k)) => out.set_hist(i, Arc::clone(&self.samples.hists[k])),
            None => {}
        }
    }

    fn first(&self, i: usize) -> Option<Pick> {
        let (f, h) = (self.windows.floats(i), self.windows.hists(i));
        match (f.is_empty(), h.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Pick::Float(f.start)),
            (true, false) => Some(Pick::Hist(h.start)),
            (false, false) if self.samples.hist_ts[h.start] < self.samples.ts[f.start] => {
                Some(Pick::Hist(h.start))
            }
            (false, false) => Some(Pick::Float(f.start)),
        }
    }

    /// The last sample of window `i`, of which the last `skip_floats` and `skip_hists` are not
    /// looked at.
    fn last_but(&self, i: usize, (skip_floats, skip_hists): (usize, usize)) -> Option<Pick> {
        let (f, h) = (self.windows.floats(i), self.windows.hists(i));
        let f = (f.len() > skip_floats).then(|| f.end - 1 - skip_floats);
        let h = (h.len() > skip_hists).then(|| h.end - 1 - skip_hists);
        match (f, h) {
            (Some(f), Some(h)) if self.samples.hist_ts[h] > self.samples.ts[f] => {
                Some(Pick::Hist(h))
            }
            (Some(f), _) => Some(Pick::Float(f)),
            (None, h) => h.map(Pick::Hist),
        }
    }

    fn last(&self, i: usize) -> Option<Pick> {
        self.last_but(i, (0, 0))
    }
}

pub(super) fn first(input: &Windowed<'_>, out: &mut Column) {
    for i in 0..input.windows.count() {
        input.put(input.first(i), i, out);
    }
}

pub(super) fn last(input: &Windowed<'_>, out: &mut Column) {
    for i in 0..input.windows.count() {
        input.put(input.last(i), i, out);
    }
}

pub(super) fn time_of_first(input: &Windowed<'_>, out: &mut Column) {
    for i in 0..input.windows.count() {
        if let Some(pick) = input.first(i) {
            out.set_float(i, input.time(pick) as f64 / 1000.0);
        }
    }
}

pub(super) fn time_of_last(input: &Windowed<'_>, out: &mut Column) {
    for i in 0..input.windows.count() {
        if let Some(pick) = input.last(i) {
            out.set_float(i, input.time(pick) as f64 / 1000.0);
        }
    }
}

pub(super) fn count(input: &Windowed<'_>, out: &mut Column) {
    for i in 0..input.windows.count() {
        let n = input.windows.floats(i).len() + input.windows.hists(i).len();
        if n > 0 {
            out.set_float(i, n as f64);
        }
    }
}

pub(super) fn present(input: &Windowed<'_>, out: &mut Column) {
    for i in 0..input.windows.count() {
        if !input.windows.floats(i).is_empty() || !input.windows.hists(i).is_empty() {
            out.set_float(i, 1.0);
        }
    }
}

/// `irate` (`is_rate`) and `idelta`: the difference between the last two samples.
pub(super) fn instant(
    input: &Windowed<'_>,
    is_rate: bool,
    out: &mut Column,
    remarks: &Remarks<'_>,
) {
    let samples = input.samples;
    for i in 0..input.windows.count() {
        let Some(now) = input.last(i) else { continue };
        let before = match now {
            Pick::Float(_) => input.last_but(i, (1, 0)),
            Pick::Hist(_) => input.last_but(i, (0, 1)),
        };
        let Some(before) = before else { continue };
        let interval = input.time(now) - input.time(before);
        if interval == 0 {
            continue;
        }
        let interval = interval as f64 / 1000.0;
        match (before, now) {
            (Pick::Float(a), Pick::Float(b)) => {
                let (va, vb) = (samples.values[a], samples.values[b]);
                let is_reset =
                    vb < va || Stamp::float(samples, b).is_reset_after(Stamp::float(samples, a));
                let v = if is_rate && is_reset { vb } else { vb - va };
                out.set_float(i, if is_rate { v / interval } else { v });
            }
            (Pick::Hist(a), Pick::Hist(b)) => {
                let is_restart = Stamp::hist(samples, b).is_reset_after(Stamp::hist(samples, a));
                let pair = (&*samples.hists[a], &*samples.hists[b]);
                if let Some(mut h) = hist_instant(pair, is_restart, is_rate, remarks) {
                    if is_rate {
                        h.div(interval);
                    }
                    out.set_hist(i, Arc::new(h));
                }
            }
            _ => remarks.mixed(),
        }
    }
}

fn hist_instant(
    (before, now): (&FloatHistogram, &FloatHistogram),
    is_restart: bool,
    is_rate: bool,
    remarks: &Remarks<'_>,
) -> Option<FloatHistogram> {
    let gauges = [before, now].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
    if is_rate && gauges.contains(&true) {
        remarks.about(|name| Note::NotCounter { name });
    }
    if !is_rate && gauges.contains(&false) {
        remarks.about(|name| Note::NotGauge { name });
    }
    let mut h = now.clone();
    if !is_rate || !(is_restart || now.detect_reset(before)) {
        combine(&mut h, before, HistogramOp::Subtraction, remarks)?;
    }
    h.counter_reset_hint = CounterResetHint::Gauge;
    h.compact(0);
    Some(h)
}
