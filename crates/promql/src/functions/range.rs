//! Functions of the samples in a range, for all steps of one series at once.
//!
//! [`Windows::fit`] finds which samples each step looks at; the functions then work on index
//! ranges into the sample columns and carry over from step to step what they can.

mod change;
mod extended;
mod hist_rate;
mod over_time;
mod pick;
mod rate;
mod regression;
mod start_time;
mod statistic;

use std::ops::Range;

use crate::annotations::{Note, Notes};
use crate::ast::{FunctionId as F, PosRange, RangeExtension};
use crate::columns::{Column, Samples, Steps};
use crate::cursor::Cursor;
use crate::error::Error;
use crate::exec::ScalarColumn;
use crate::plan::RangeNode;

pub(crate) use extended::interpolate_hist;

/// The windows of a range vector: at step `i` the samples in `(start(i), end(i)]`.
#[derive(Debug)]
pub(crate) struct Windows {
    steps: Steps,
    at: Option<i64>,
    offset_ms: i64,
    pub(crate) range_ms: i64,
    pub(crate) extension: Option<RangeExtension>,
    /// How far beyond its window an extended selector looks.
    lookback_ms: i64,
    floats: Vec<(u32, u32)>,
    hists: Vec<(u32, u32)>,
}

impl Windows {
    pub(crate) fn new(node: &RangeNode, steps: Steps, lookback_ms: i64) -> Self {
        let (at, offset_ms, extension) = match node {
            RangeNode::Matrix { selector: s, .. } => (s.at, s.offset_ms, s.extension),
            RangeNode::Subquery(s) => (s.at, s.offset_ms, None),
        };
        Self {
            steps,
            at,
            offset_ms,
            range_ms: node.range_ms(),
            extension,
            lookback_ms,
            floats: Vec::new(),
            hists: Vec::new(),
        }
    }

    /// Number of steps.
    pub(crate) const fn count(&self) -> usize {
        self.steps.count
    }

    /// The time of step `i` itself.
    pub(crate) const fn step(&self, i: usize) -> i64 {
        self.steps.at(i)
    }

    /// The last instant of the window of step `i`.
    pub(crate) fn end(&self, i: usize) -> i64 {
        self.at
            .unwrap_or(self.steps.at(i))
            .saturating_sub(self.offset_ms)
    }

    /// The last instant before the window of step `i`.
    pub(crate) fn start(&self, i: usize) -> i64 {
        self.end(i).saturating_sub(self.range_ms)
    }

    /// Finds the samples of each window. Windows of an extended selector hold what the lookback
    /// adds, too.
    pub(crate) fn fit(&mut self, samples: &Samples) {
        let mut floats = std::mem::take(&mut self.floats);
        let mut hists = std::mem::take(&mut self.hists);
        self.fit_column(&samples.ts, &mut floats);
        self.fit_column(&samples.hist_ts, &mut hists);
        self.floats = floats;
        self.hists = hists;
    }

    fn fit_column(&self, ts: &[i64], out: &mut Vec<(u32, u32)>) {
        out.clear();
        if ts.is_empty() {
            out.resize(self.steps.count, (0, 0));
            return;
        }
        let (behind, ahead) = match self.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (self.lookback_ms, 0),
            Some(RangeExtension::Smoothed) => (self.lookback_ms, self.lookback_ms),
        };
        let mut low = Cursor::default();
        let mut high = Cursor::default();
        // Where one window ends, so many steps later another one starts.
        let is_aligned =
            self.at.is_none() && (behind, ahead) == (0, 0) && self.range_ms % self.steps.step == 0;
        let steps_apart = match usize::try_from(self.range_ms / self.steps.step) {
            Ok(apart) if is_aligned => apart.min(self.steps.count),
            _ => self.steps.count,
        };
        let step = if self.at.is_none() {
            self.steps.step
        } else {
            0
        };
        let width = self.range_ms.saturating_add(behind);
        let mut end = self.end(0);
        out.reserve(self.steps.count);
        for _ in 0..steps_apart {
            let first = low.seek(ts, end.saturating_sub(width));
            out.push((
                first as u32,
                high.seek(ts, end.saturating_add(ahead)) as u32,
            ));
            end = end.saturating_add(step);
        }
        for before in 0..self.steps.count - steps_apart {
            let first = out[before].1;
            out.push((first, high.seek(ts, end) as u32));
            end = end.saturating_add(step);
        }
    }

    /// Number of floats in all windows; one in several windows counts as often.
    pub(crate) fn float_count(&self) -> u64 {
        self.floats
            .iter()
            .map(|&(first, end)| u64::from(end - first))
            .sum()
    }

    /// Indices of the floats in the window of step `i`.
    #[inline]
    pub(crate) fn floats(&self, i: usize) -> Range<usize> {
        self.floats[i].0 as usize..self.floats[i].1 as usize
    }

    /// Indices of the histograms in the window of step `i`.
    #[inline]
    pub(crate) fn hists(&self, i: usize) -> Range<usize> {
        self.hists[i].0 as usize..self.hists[i].1 as usize
    }
}

/// A series and the windows fitted to it.
#[derive(Debug)]
pub(crate) struct Windowed<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) windows: &'a Windows,
}

impl Windowed<'_> {
    /// Calls `each` with every step that has floats, its index and its floats.
    fn each_floats(&self, mut each: impl FnMut(usize, Range<usize>)) {
        for i in 0..self.windows.count() {
            let floats = self.windows.floats(i);
            if !floats.is_empty() {
                each(i, floats);
            }
        }
    }

    /// Every step with the indices of its floats.
    fn float_windows(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        (0..self.windows.count()).map(|i| (i, self.windows.floats(i)))
    }

    /// How many windows a float is in, on average.
    fn overlap(&self) -> usize {
        self.windows.float_count() as usize / self.samples.ts.len().max(1)
    }

    /// True when the window of step `i` has samples of both kinds.
    fn is_mixed(&self, i: usize) -> bool {
        !self.windows.floats(i).is_empty() && !self.windows.hists(i).is_empty()
    }
}

/// Where a function leaves its annotations.
pub(crate) struct Remarks<'a> {
    pub(crate) notes: &'a Notes,
    /// The metric name of the series.
    pub(crate) name: &'a str,
    pub(crate) pos: PosRange,
}

impl Remarks<'_> {
    /// Adds a note that is about the metric by its name.
    fn about(&self, note: impl FnOnce(String) -> Note) {
        self.notes.add(note(self.name.to_owned()), self.pos);
    }

    fn add(&self, note: Note) {
        self.notes.add(note, self.pos);
    }

    fn mixed(&self) {
        self.about(|name| Note::MixedFloatsHistograms { name });
    }

    fn mixed_schemas(&self) {
        self.about(|name| Note::MixedExponentialCustom { name });
    }

    fn ignored_hists(&self) {
        self.about(|name| Note::IgnoredInMixedRange { name });
    }
}

/// Evaluates `func` at all steps; `out` comes without values.
pub(crate) fn evaluate(
    func: F,
    input: &Windowed<'_>,
    args: &[ScalarColumn],
    out: &mut Column,
    remarks: &Remarks<'_>,
) -> Result<(), Error> {
    let extended = input.windows.extension.is_some();
    match func {
        F::Rate | F::Increase | F::Delta => {
            let kind = rate::Kind {
                is_counter: func != F::Delta,
                is_rate: func == F::Rate,
            };
            if extended {
                extended::rate(input, kind, out, remarks);
            } else {
                rate::extrapolated(input, kind, out, remarks);
            }
        }
        F::Irate => pick::instant(input, true, out, remarks),
        F::Idelta => pick::instant(input, false, out, remarks),
        F::Changes => change::changes(input, out),
        F::Resets => change::resets(input, out),
        F::Deriv => regression::deriv(input, out, remarks),
        F::PredictLinear => regression::predict(input, &args[0], out, remarks),
        F::DoubleExponentialSmoothing => {
            regression::smoothing(input, &args[0], &args[1], (out, remarks))?;
        }
        F::CountOverTime => pick::count(input, out),
        F::PresentOverTime | F::AbsentOverTime => pick::present(input, out),
        F::FirstOverTime => pick::first(input, out),
        F::LastOverTime => pick::last(input, out),
        F::TsOfFirstOverTime => pick::time_of_first(input, out),
        F::TsOfLastOverTime => pick::time_of_last(input, out),
        F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
            statistic::extreme(func, input, out, remarks);
        }
        F::SumOverTime => over_time::sum(input, out, remarks),
        F::AvgOverTime => over_time::avg(input, out, remarks),
        F::StddevOverTime => statistic::variance(input, true, out, remarks),
        F::StdvarOverTime => statistic::variance(input, false, out, remarks),
        F::QuantileOverTime => statistic::quantile(input, &args[0], out, remarks),
        F::MadOverTime => statistic::mad(input, out, remarks),
        _ => return Err(Error::execution("not a function of a range vector")),
    }
    Ok(())
}
