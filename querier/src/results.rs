//! Results of range queries, kept to answer later ones.
//!
//! A query's steps are cut into pieces of [`PIECE_STEPS`] that begin at multiples of as many steps
//! since the epoch, whatever range was asked for. What pieces hold already is taken from them, and only
//! the steps between are evaluated. A step's value does not depend on the range of the query it is
//! part of ([`cacheable`] refuses expressions for which it does), so the answer is the same.
//!
//! A piece is taken as long as the same stores have the same of its time, and no longer than
//! [`TIME_TO_LIVE`] after the oldest of its steps was evaluated: what stores do not tell, such as a block
//! that was uploaded between others, is seen then.
//!
//! Never kept: steps so recent that samples may still arrive for them, answers with warnings or
//! without a store's part, answers while which stores came or went, and answers that would take more than
//! a share of the memory.

pub mod cacheable;
mod join;

use std::sync::Arc;
use std::time::Duration;

use model::TimeRange;
use moka::sync::Cache;
use promql::columns::Steps;
use promql::value::MatrixSeries;

use crate::stores::Coverage;

pub use cacheable::is_cacheable;
use join::{Segment, join};

/// Steps of a piece: enough that most graphs are two or three, few enough that adding to one is
/// cheap.
const PIECE_STEPS: i64 = 256;
/// An answer is kept if it takes no more than this share of all memory.
const ANSWER_SHARE: u64 = 8;
/// With more gaps than this, evaluating all is cheaper.
const GAPS_MAX: usize = 3;
/// How long a piece is believed. Blocks may be uploaded late, and samples deleted.
const TIME_TO_LIVE: Duration = Duration::from_secs(3600);

/// What makes two queries have the same values at the same steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The expression as written; annotations point into it.
    pub text: String,
    /// Distance of steps in milliseconds.
    pub step: i64,
    /// Everything else: whom it is for, of which stores, and how.
    pub circumstances: String,
}

/// A question, and what its answer is made from.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Samples up to so many milliseconds before a step are looked at; none if that is not known.
    pub back_ms: Option<i64>,
}

/// Where a piece is: the question, where its steps lie between multiples of the step, its number, and
/// what stores had of its time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    question: Arc<Question>,
    phase: i64,
    number: i64,
    coverage: u64,
}

/// The series of some steps that follow each other.
#[derive(Debug)]
struct Piece {
    /// First step, counted from the epoch.
    from: i64,
    /// The step after the last.
    to: i64,
    /// When the oldest of the steps was evaluated.
    since_ms: i64,
    /// Sorted by labels.
    series: Vec<MatrixSeries>,
    infos: Vec<String>,
}

impl Piece {
    fn is_believed(&self, now_ms: i64) -> bool {
        // Also a clock that was put back ends it.
        u128::from(now_ms.abs_diff(self.since_ms)) < TIME_TO_LIVE.as_millis()
    }

    /// Bytes, about.
    fn weight(&self) -> u64 {
        let infos: usize = self.infos.iter().map(String::len).sum();
        weight(&self.series) + infos as u64 + 128
    }
}

fn weight(series: &[MatrixSeries]) -> u64 {
    let bytes = |series: &MatrixSeries| {
        series.points.heap_bytes() + series.labels.heap_bytes() + size_of::<MatrixSeries>()
    };
    series.iter().map(bytes).sum::<usize>() as u64
}

/// A matrix, and what is said about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Sorted by labels.
    pub series: Vec<MatrixSeries>,
    /// What the user should know, though the values are right.
    pub infos: Vec<String>,
    /// Values may be wrong or missing, so they must not be kept.
    pub warnings: Vec<String>,
}

/// Keeps results.
#[derive(Debug)]
pub struct ResultsCache {
    pieces: Cache<Key, Arc<Piece>>,
    bytes_max: u64,
    /// Steps less old than this are not kept.
    settle_ms: i64,
}

impl ResultsCache {
    /// A cache of at most `bytes_max` bytes; samples older than `settle_ms` milliseconds do not
    /// arrive any more.
    pub fn new(bytes_max: u64, settle_ms: i64) -> Self {
        let weigh = |_: &Key, piece: &Arc<Piece>| u32::try_from(piece.weight()).unwrap_or(u32::MAX);
        Self {
            pieces: Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                .time_to_live(TIME_TO_LIVE)
                .build(),
            bytes_max,
            settle_ms,
        }
    }

    /// The matrix at `steps`, of which `run` evaluates those that are not kept, over stores that have
    /// what `coverage` says at the moment. `now_ms` is the time before `run` begins.
    ///
    /// # Errors
    /// What `run` fails with.
    pub fn evaluate<E>(
        &self,
        asked: Asked,
        steps: Steps,
        now_ms: i64,
        coverage: impl Fn() -> Coverage,
        mut run: impl FnMut(Steps) -> Result<Matrix, E>,
    ) -> Result<Matrix, E> {
        let settled_ms = now_ms.saturating_sub(self.settle_ms);
        let grid = Grid::new((asked, coverage()), steps, (now_ms, settled_ms));
        let (from, to) = grid.range(steps);
        let mut kept = self.kept(&grid, from, to);
        let mut gaps = gaps(&kept, from, to);
        if gaps.len() > GAPS_MAX {
            kept.clear();
            gaps = vec![(from, to)];
        }
        let settled = grid.first_after(settled_ms);
        let mut warnings = Vec::new();
        let mut fresh = Vec::with_capacity(gaps.len());
        for (from, to) in gaps {
            let before = coverage();
            let matrix = run(grid.steps(from, to))?;
            if matrix.warnings.is_empty() {
                // A store that came or went in between may have had no part in it.
                let around = [before, coverage()];
                self.keep(&grid, (from, to.min(settled)), &matrix, &around);
            }
            warnings.extend(matrix.warnings);
            fresh.push((from, matrix.series, matrix.infos));
        }
        if kept.is_empty() && fresh.len() == 1 {
            let (_, series, infos) = fresh.remove(0);
            return Ok(Matrix {
                series,
                infos,
                warnings,
            });
        }
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(kept.len() + fresh.len());
        for piece in &kept {
            let (from, to) = (from.max(piece.from), to.min(piece.to));
            let times = grid.range_of(from, to);
            segments.push(Segment::new(&piece.series, times, &piece.infos));
        }
        for (from, series, infos) in &fresh {
            let times = TimeRange::new(grid.time(*from), i64::MAX);
            segments.push(Segment::new(series, times, infos));
        }
        segments.sort_by_key(Segment::start);
        let (series, infos) = join(&segments);
        warnings.sort();
        warnings.dedup();
        Ok(Matrix {
            series,
            infos,
            warnings,
        })
    }

    /// The pieces that have steps of a range.
    fn kept(&self, grid: &Grid, from: i64, to: i64) -> Vec<Arc<Piece>> {
        let numbers = from.div_euclid(PIECE_STEPS)..=(to - 1).div_euclid(PIECE_STEPS);
        let found = numbers.filter_map(|number| self.pieces.get(&grid.key(number)));
        found
            .filter(|piece| piece.from < to && from < piece.to && piece.is_believed(grid.now_ms))
            .collect()
    }

    /// Keeps what was evaluated, piece by piece, of those of which stores had the same all the time:
    /// when the question was looked up, and as `around` says.
    fn keep(&self, grid: &Grid, (from, to): (i64, i64), matrix: &Matrix, around: &[Coverage; 2]) {
        if from >= to || weight(&matrix.series) > self.bytes_max / ANSWER_SHARE {
            return;
        }
        let mut begin = from;
        while begin < to {
            let number = begin.div_euclid(PIECE_STEPS);
            let end = to.min((number + 1) * PIECE_STEPS);
            let key = grid.key(number);
            let looked_at = grid.looked_at(number);
            if around.iter().any(|at| at.within(looked_at) != key.coverage) {
                begin = end;
                continue;
            }
            let times = grid.range_of(begin, end);
            let fresh = Segment::new(&matrix.series, times, &matrix.infos);
            let old = self
                .pieces
                .get(&key)
                .filter(|old| (old.to == begin || end == old.from) && old.is_believed(grid.now_ms));
            let mut piece = Piece {
                from: begin,
                to: end,
                since_ms: grid.now_ms,
                series: Vec::new(),
                infos: Vec::new(),
            };
            let mut segments = vec![fresh];
            if let Some(old) = &old {
                let times = grid.range_of(old.from, old.to);
                segments.push(Segment::new(&old.series, times, &old.infos));
                segments.sort_by_key(Segment::start);
                piece.from = begin.min(old.from);
                piece.to = end.max(old.to);
                piece.since_ms = old.since_ms;
            }
            (piece.series, piece.infos) = join(&segments);
            self.pieces.insert(key, Arc::new(piece));
            begin = end;
        }
    }
}

/// The steps between `from` and `to` that no piece has.
fn gaps(kept: &[Arc<Piece>], from: i64, to: i64) -> Vec<(i64, i64)> {
    let mut gaps = Vec::new();
    let mut at = from;
    for piece in kept {
        if at < piece.from {
            gaps.push((at, piece.from));
        }
        at = at.max(piece.to);
    }
    if at < to {
        gaps.push((at, to));
    }
    gaps
}

/// Steps counted from the epoch.
struct Grid {
    question: Arc<Question>,
    coverage: Coverage,
    back_ms: Option<i64>,
    step: i64,
    phase: i64,
    now_ms: i64,
    settled_ms: i64,
}

impl Grid {
    fn new(
        (asked, coverage): (Asked, Coverage),
        steps: Steps,
        (now_ms, settled_ms): (i64, i64),
    ) -> Self {
        Self {
            question: Arc::new(asked.question),
            coverage,
            back_ms: asked.back_ms,
            step: steps.step,
            phase: steps.start.rem_euclid(steps.step),
            now_ms,
            settled_ms,
        }
    }

    fn key(&self, number: i64) -> Key {
        Key {
            question: Arc::clone(&self.question),
            phase: self.phase,
            number,
            coverage: self.coverage.within(self.looked_at(number)),
        }
    }

    /// The time whose samples the steps of a piece that may be kept depend on.
    fn looked_at(&self, number: i64) -> TimeRange {
        let first = number.saturating_mul(PIECE_STEPS);
        let end = self.time(first.saturating_add(PIECE_STEPS));
        let back = |ms: i64| self.time(first).saturating_sub(ms);
        TimeRange::new(
            self.back_ms.map_or(i64::MIN, back),
            end.min(self.settled_ms),
        )
    }

    fn range(&self, steps: Steps) -> (i64, i64) {
        let from = (steps.start - self.phase) / self.step;
        let count = i64::try_from(steps.count).unwrap_or(i64::MAX);
        (from, from.saturating_add(count))
    }

    /// The time of a step.
    fn time(&self, number: i64) -> i64 {
        number.saturating_mul(self.step).saturating_add(self.phase)
    }

    /// The times of the steps from `from` to before `to`.
    fn range_of(&self, from: i64, to: i64) -> TimeRange {
        TimeRange::new(self.time(from), self.time(to))
    }

    /// The first step after a time.
    fn first_after(&self, t: i64) -> i64 {
        t.saturating_sub(self.phase).div_euclid(self.step) + 1
    }

    fn steps(&self, from: i64, to: i64) -> Steps {
        Steps {
            start: self.time(from),
            step: self.step,
            count: usize::try_from(to - from).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests;
