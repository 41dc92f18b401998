//! Functions of the samples in a range, for all steps of one series at once.
//!
//! [`Windows::fit`] finds which samples each step looks at; the functions then work on index
//! ranges into the sample columns and carry over from step to step what they can.

mod change;
mod extended;
mod hist_rate;
mod lookout;
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
use crate::limits::Pace;
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
    floats: Bounds,
    hists: Bounds,
}

/// Where the samples of each window begin and end in a column.
#[derive(Debug, Default)]
struct Bounds {
    /// The beginnings of all windows; from `apart` on, their ends. The two overlap where one window
    /// ends where another begins.
    positions: Vec<u32>,
    apart: usize,
    /// Number of windows.
    count: usize,
}

impl Bounds {
    fn begins(&self) -> &[u32] {
        &self.positions[..self.count]
    }

    fn ends(&self) -> &[u32] {
        &self.positions[self.apart..][..self.count]
    }

    #[inline]
    fn window(&self, i: usize) -> Range<usize> {
        self.positions[i] as usize..self.positions[self.apart + i] as usize
    }

    /// `count` windows without samples.
    fn clear(&mut self, count: usize) {
        self.positions.clear();
        self.positions.resize(count, 0);
        (self.apart, self.count) = (0, count);
    }

    /// Appends how many of `ts` are at or before each of `count` instants.
    fn seek(&mut self, ts: &[i64], (first, step, count): (i64, i64, usize)) {
        let mut cursor = Cursor::default();
        let mut t = first;
        self.positions.extend((0..count).map(|_| {
            let position = cursor.seek(ts, t) as u32;
            t = t.saturating_add(step);
            position
        }));
    }
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
            floats: Bounds::default(),
            hists: Bounds::default(),
        }
    }

    /// Number of steps.
    pub(crate) const fn count(&self) -> usize {
        self.steps.count
    }

    /// Bytes of memory that they own.
    pub(crate) const fn heap_bytes(&self) -> usize {
        (self.floats.positions.capacity() + self.hists.positions.capacity()) * size_of::<u32>()
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

    /// How far a window is from the one before it, in milliseconds.
    const fn stride(&self) -> i64 {
        match self.at {
            None => self.steps.step,
            Some(_) => 0,
        }
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

    fn fit_column(&self, ts: &[i64], out: &mut Bounds) {
        let (count, step) = (self.steps.count, self.stride());
        if ts.is_empty() || count == 0 {
            return out.clear(count);
        }
        out.positions.clear();
        out.count = count;
        let (behind, ahead) = match self.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (self.lookback_ms, 0),
            Some(RangeExtension::Smoothed) => (self.lookback_ms, self.lookback_ms),
        };
        let begin = self.start(0).saturating_sub(behind);
        // Where one window ends, so many steps later another one begins.
        let is_aligned = step > 0 && (behind, ahead) == (0, 0) && self.range_ms % step == 0;
        if let (true, Ok(apart)) = (is_aligned, usize::try_from(self.range_ms / step.max(1)))
            && apart < count
        {
            out.apart = apart;
            out.seek(ts, (begin, step, apart + count));
        } else {
            out.apart = count;
            out.seek(ts, (begin, step, count));
            out.seek(ts, (self.end(0).saturating_add(ahead), step, count));
        }
    }

    /// Number of floats in all windows; one in several windows counts as often.
    pub(crate) fn float_count(&self) -> u64 {
        let sum = |positions: &[u32]| positions.iter().map(|&p| u64::from(p)).sum::<u64>();
        sum(self.floats.ends()) - sum(self.floats.begins())
    }

    /// Indices of the floats in the window of step `i`.
    #[inline]
    pub(crate) fn floats(&self, i: usize) -> Range<usize> {
        self.floats.window(i)
    }

    /// Indices of the histograms in the window of step `i`.
    #[inline]
    pub(crate) fn hists(&self, i: usize) -> Range<usize> {
        self.hists.window(i)
    }
}

/// A series and the windows fitted to it.
#[derive(Debug)]
pub(crate) struct Windowed<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) windows: &'a Windows,
    /// Windows may be many and wide, so that the query may end in the middle of a series.
    pub(crate) pace: &'a Pace<'a>,
}

/// What work on a histogram counts for, next to that on a float.
const HIST_WORK: usize = 256;

impl Windowed<'_> {
    /// Calls `each` with every step that has floats, its index and its floats.
    fn each_floats(&self, mut each: impl FnMut(usize, Range<usize>)) {
        for i in 0..self.windows.count() {
            let floats = self.windows.floats(i);
            if !self.pace.goes_on(floats.len()) {
                break;
            }
            if !floats.is_empty() {
                each(i, floats);
            }
        }
    }

    /// Every step with the indices of its floats, unless the query ends before.
    fn float_windows(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        (0..self.windows.count())
            .map(|i| (i, self.windows.floats(i)))
            .take_while(|(_, floats)| self.pace.goes_on(floats.len()))
    }

    /// True unless the query ends before the histograms of step `i` are worked on.
    fn may_work_on_hists(&self, i: usize) -> bool {
        self.pace.goes_on(self.windows.hists(i).len() * HIST_WORK)
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

/// Evaluates `func` at all steps; `out` comes without values. Fails when the query ends before.
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
        F::Increase2 => lookout::increase(input, out),
        F::SumOverTime | F::Sum2OverTime => over_time::sum(input, out, remarks),
        F::AvgOverTime => over_time::avg(input, out, remarks),
        F::StddevOverTime => statistic::variance(input, true, out, remarks),
        F::StdvarOverTime => statistic::variance(input, false, out, remarks),
        F::QuantileOverTime => statistic::quantile(input, &args[0], out, remarks),
        F::MadOverTime => statistic::mad(input, out, remarks),
        _ => return Err(Error::execution("not a function of a range vector")),
    }
    input.pace.finish()
}
