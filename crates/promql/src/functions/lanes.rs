//! Folds over several windows at once.
//!
//! A fold over a window is a chain of dependent operations, which leaves a processor idle most of
//! the time; and the windows of neighbouring steps share most of their samples, but not the
//! rounding of their sums, so that they cannot share work. What can be done without changing a bit
//! is to fold [`LANES`] windows side by side.

use std::ops::Range;

/// Windows folded at once.
pub(crate) const LANES: usize = 8;

/// The state of a fold, for all lanes.
pub(crate) trait Fold: Copy {
    /// What is folded.
    type Sample: Copy;
    /// What one window yields.
    type Out;

    /// Folds one sample into each lane: the `count`-th (from 1) of its window.
    fn step(&mut self, samples: &[Self::Sample; LANES], count: f64);

    /// Folds one sample into one lane.
    fn step_lane(&mut self, lane: usize, sample: Self::Sample, count: f64);

    /// The result of one lane.
    fn finish(&self, lane: usize, count: f64) -> Self::Out;
}

/// Windows that are folded at once, with their indices.
pub(crate) type Lanes = [(usize, Range<usize>); LANES];

/// Folds every window of `values` that is not empty, from the state that `start` gives them, and
/// calls `emit` with its index and result.
pub(crate) fn fold<F: Fold>(
    values: &[F::Sample],
    windows: impl Iterator<Item = (usize, Range<usize>)>,
    start: impl Fn(&Lanes) -> F,
    mut emit: impl FnMut(usize, F::Out),
) {
    let mut windows = windows.filter(|(_, w)| !w.is_empty()).peekable();
    while windows.peek().is_some() {
        // Lanes without a window of their own repeat the first one.
        let mut lanes = Lanes::default();
        let mut used = 0;
        while let (true, Some(window)) = (used < LANES, windows.peek().cloned()) {
            lanes[used] = window;
            used += 1;
            windows.next();
        }
        let first = lanes[0].1.clone();
        for lane in &mut lanes[used..] {
            lane.1 = first.clone();
        }
        fold_lanes(values, (start(&lanes), &lanes), used, &mut emit);
    }
}

fn fold_lanes<F: Fold>(
    values: &[F::Sample],
    (mut state, lanes): (F, &Lanes),
    used: usize,
    emit: &mut impl FnMut(usize, F::Out),
) {
    let common = lanes.iter().map(|(_, w)| w.len()).min().unwrap_or(0);
    let mut count = 0.0;
    let columns: [&[F::Sample]; LANES] =
        std::array::from_fn(|l| &values[lanes[l].1.start..][..common]);
    // Blocks of a fixed size need no bounds checks inside.
    let (blocks, tails) = split_blocks(columns);
    for (b, _) in blocks[0].iter().enumerate() {
        let block: [&[F::Sample; BLOCK]; LANES] = std::array::from_fn(|l| &blocks[l][b]);
        for k in 0..BLOCK {
            count += 1.0;
            state.step(&block.map(|lane| lane[k]), count);
        }
    }
    for k in 0..tails[0].len() {
        count += 1.0;
        state.step(&tails.map(|lane| lane[k]), count);
    }
    for (lane, (i, window)) in lanes.iter().enumerate().take(used) {
        let mut count = count;
        for &v in &values[window.start + common..window.end] {
            count += 1.0;
            state.step_lane(lane, v, count);
        }
        emit(*i, state.finish(lane, count));
    }
}

/// Samples of a lane that are taken at once.
const BLOCK: usize = 8;

type Blocks<'a, T> = ([&'a [[T; BLOCK]]; LANES], [&'a [T]; LANES]);

/// Each column as blocks and what is left.
fn split_blocks<T>(columns: [&[T]; LANES]) -> Blocks<'_, T> {
    (
        columns.map(|lane| lane.as_chunks::<BLOCK>().0),
        columns.map(|lane| lane.as_chunks::<BLOCK>().1),
    )
}

/// What rounding loses of `a + b = sum`, for finite numbers; what Neumaier's branches yield, without
/// a branch.
#[inline]
pub(crate) fn lost(a: f64, b: f64, sum: f64) -> f64 {
    let virtual_b = sum - a;
    (a - (sum - virtual_b)) + (b - virtual_b)
}

/// A compensated sum. Right as long as it stays finite: the result of a window that does not is to
/// be thrown away.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    sum: [f64; LANES],
    lost: [f64; LANES],
}

impl Fold for Sum {
    type Sample = f64;
    /// The sum and what rounding lost of it.
    type Out = (f64, f64);

    #[inline]
    fn step(&mut self, samples: &[f64; LANES], _: f64) {
        for (l, &v) in samples.iter().enumerate() {
            self.step_lane(l, v, 0.0);
        }
    }

    #[inline]
    fn step_lane(&mut self, l: usize, sample: f64, _: f64) {
        let sum = self.sum[l] + sample;
        self.lost[l] += lost(self.sum[l], sample, sum);
        self.sum[l] = sum;
    }

    fn finish(&self, l: usize, _: f64) -> Self::Out {
        (self.sum[l], self.lost[l])
    }
}

/// Welford's variance with compensated sums; right as long as it stays finite.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variance {
    mean: [f64; LANES],
    mean_lost: [f64; LANES],
    squares: [f64; LANES],
    squares_lost: [f64; LANES],
}

impl Variance {
    #[inline]
    fn lane(&mut self, l: usize, v: f64, count: f64) {
        let delta = v - (self.mean[l] + self.mean_lost[l]);
        let part = delta / count;
        let mean = self.mean[l] + part;
        self.mean_lost[l] += lost(self.mean[l], part, mean);
        self.mean[l] = mean;
        let square = delta * (v - (self.mean[l] + self.mean_lost[l]));
        let squares = self.squares[l] + square;
        self.squares_lost[l] += lost(self.squares[l], square, squares);
        self.squares[l] = squares;
    }
}

impl Fold for Variance {
    type Sample = f64;
    type Out = f64;

    #[inline]
    fn step(&mut self, samples: &[f64; LANES], count: f64) {
        for (l, &v) in samples.iter().enumerate() {
            self.lane(l, v, count);
        }
    }

    fn step_lane(&mut self, l: usize, sample: f64, count: f64) {
        self.lane(l, sample, count);
    }

    fn finish(&self, l: usize, count: f64) -> f64 {
        (self.squares[l] + self.squares_lost[l]) / count
    }
}

#[cfg(test)]
mod tests {
    use model::kahan;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lanes_sum_bit_by_bit_as_one_after_another(
            values in prop::collection::vec(-1e9..1e9f64, 1..200),
            width in 1..50usize,
            step in 1..20usize,
        ) {
            let window = |i: usize| {
                let end = (i * step).min(values.len());
                end.saturating_sub(width)..end
            };
            let count = values.len() / step + 1;
            let mut seen = 0;
            let windows = (0..count).map(|i| (i, window(i)));
            fold::<Sum>(&values, windows, |_| Sum::default(), |i, (sum, rest)| {
                let plain = values[window(i)]
                    .iter()
                    .fold((0.0, 0.0), |(s, c), &v| kahan::add(v, s, c));
                assert_eq!((sum.to_bits(), rest.to_bits()), (plain.0.to_bits(), plain.1.to_bits()));
                seen += 1;
            });
            prop_assert_eq!(seen, (0..count).filter(|&i| !window(i).is_empty()).count());
        }
    }
}
