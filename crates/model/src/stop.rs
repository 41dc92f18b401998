//! Ending long work whose result nobody waits for any more.
//!
//! Work is stopped by asking: whoever does it looks at a [`Stop`] now and then, at a [`Pace`], so that
//! a look at a clock is not paid for every bit of it.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Tells work that it may end. Clones tell the same.
#[derive(Clone, Default)]
pub struct Stop {
    asked: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Stop {
    /// Lets work come to its end.
    pub const fn never() -> Self {
        Self { asked: None }
    }

    /// Ends work once `asked` is true.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            asked: Some(Arc::new(asked)),
        }
    }

    /// True when the work may end.
    pub fn is_asked(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked())
    }
}

/// Somebody waits for the answer, as long as this or a clone of it is not dropped.
#[derive(Debug, Clone, Default)]
pub struct Interest(Arc<()>);

impl Interest {
    /// Ends work once this and its clones are dropped, or `other` is asked for.
    pub fn or(&self, other: Stop) -> Stop {
        let alive = Arc::downgrade(&self.0);
        Stop::when(move || alive.strong_count() == 0 || other.is_asked())
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").finish_non_exhaustive()
    }
}

impl PartialEq for Stop {
    /// Stops are about who asks, not about what is asked, so that all are equal.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Stop {}

/// The work ended because somebody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped, since nobody waits for the answer")]
pub struct Stopped;

/// Looks at a [`Stop`] every so much work.
#[derive(Debug)]
pub struct Pace<'a> {
    stop: &'a Stop,
    /// Work since the last look.
    done: Cell<u64>,
    is_stopped: Cell<bool>,
}

impl<'a> Pace<'a> {
    /// Work between two looks; a unit is about a nanosecond.
    pub const STRIDE: u64 = 1 << 18;

    /// Has not looked yet.
    pub const fn new(stop: &'a Stop) -> Self {
        Self {
            stop,
            done: Cell::new(0),
            is_stopped: Cell::new(false),
        }
    }

    /// Accounts for work that is about to be done, in nanoseconds or so. False when it need not be
    /// done.
    #[inline]
    pub fn goes_on(&self, work: usize) -> bool {
        let done = self.done.get().saturating_add(work as u64);
        self.done.set(done);
        done < Self::STRIDE || self.look()
    }

    #[cold]
    fn look(&self) -> bool {
        // Loops that cannot be left come again.
        if self.is_stopped.get() || self.stop.is_asked() {
            self.is_stopped.set(true);
            return false;
        }
        self.done.set(0);
        true
    }

    /// As [`Pace::goes_on`], for loops that can fail.
    ///
    /// # Errors
    /// [`Stopped`].
    #[inline]
    pub fn spend(&self, work: usize) -> Result<(), Stopped> {
        match self.goes_on(work) {
            true => Ok(()),
            false => Err(Stopped),
        }
    }

    /// Fails when [`Pace::goes_on`] was false.
    ///
    /// # Errors
    /// [`Stopped`].
    pub const fn finish(&self) -> Result<(), Stopped> {
        match self.is_stopped.get() {
            true => Err(Stopped),
            false => Ok(()),
        }
    }
}

/// Elements that are sorted between two looks.
const RUN: usize = 1 << 11;

/// What comparing two elements counts for: long labels, which have much in common.
const COMPARISON: usize = 64;

/// Sorts as [`slice::sort_by`] does; what is sorted already is only looked at.
///
/// # Errors
/// [`Stopped`]: the elements are all there, in some order.
pub fn sort_by<T>(
    items: &mut Vec<T>,
    pace: &Pace<'_>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<(), Stopped> {
    let mut is_sorted = true;
    for pair in items.windows(2) {
        pace.spend(COMPARISON)?;
        if compare(&pair[0], &pair[1]).is_gt() {
            is_sorted = false;
            break;
        }
    }
    if is_sorted {
        return Ok(());
    }
    for run in items.chunks_mut(RUN) {
        pace.spend(run.len() * RUN.ilog2() as usize * COMPARISON)?;
        run.sort_by(&compare);
    }
    let mut runs = Vec::with_capacity(items.len().div_ceil(RUN));
    let mut rest = std::mem::take(items).into_iter();
    while rest.len() > 0 {
        runs.push(rest.by_ref().take(RUN).collect::<Vec<T>>());
    }
    // Neighbours become one, until there is one.
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(a) = pairs.next() {
            merged.push(match pairs.next() {
                Some(b) => merge(a, b, pace, &compare),
                None => a,
            });
        }
        runs = merged;
    }
    *items = runs.pop().unwrap_or_default();
    pace.finish()
}

/// Two sorted runs as one; of equal elements those of the first come first. Not in order any more
/// once the work is stopped.
fn merge<T>(
    a: Vec<T>,
    b: Vec<T>,
    pace: &Pace<'_>,
    compare: &impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    while let (Ok(()), Some(x), Some(y)) =
        (pace.finish(), a.as_slice().first(), b.as_slice().first())
        && pace.goes_on(COMPARISON)
    {
        let next = match compare(x, y) {
            Ordering::Greater => b.next(),
            _ => a.next(),
        };
        out.extend(next);
    }
    out.extend(a);
    out.extend(b);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use proptest::prelude::*;

    use super::*;

    /// A stop that is asked for at the look after `looks` others, and how many looks there were.
    fn after(looks: usize) -> (Stop, Arc<AtomicUsize>) {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let stop = Stop::when(move || count.fetch_add(1, Relaxed) >= looks);
        (stop, seen)
    }

    #[test]
    fn work_ends_with_the_interest_in_it() {
        let interest = Interest::default();
        let stop = interest.or(Stop::never());
        assert!(!stop.is_asked());
        assert!(interest.or(Stop::when(|| true)).is_asked());
        drop(interest);
        assert!(stop.is_asked());
    }

    #[test]
    fn looks_are_as_far_apart_as_a_stride() {
        let (stop, looks) = after(3);
        let pace = Pace::new(&stop);
        let unit = Pace::STRIDE as usize / 64;
        let went_on = (0..1000).take_while(|_| pace.goes_on(unit)).count();
        assert_eq!((went_on, looks.load(Relaxed)), (4 * 64 - 1, 4));
        assert_eq!(pace.finish(), Err(Stopped));
    }

    #[test]
    fn a_sort_ends_in_the_middle() {
        let items: Vec<u64> = (0..100_000).map(|i| i * 7919 % 100_003).collect();
        let sort = |looks| {
            let (stop, seen) = after(looks);
            let mut sorted = items.clone();
            let result = sort_by(&mut sorted, &Pace::new(&stop), u64::cmp);
            assert_eq!(sorted.len(), items.len());
            (result.is_err(), seen.load(Relaxed))
        };
        let (_, whole) = sort(usize::MAX);
        // Every run of it, and every few thousand comparisons of a merge.
        assert!(whole > 150, "looked {whole} times");
        for looks in [0, 10, whole - 1] {
            assert_eq!(sort(looks), (true, looks + 1));
        }
    }

    proptest! {
        #[test]
        fn sorts_stably(keys in prop::collection::vec(0..50u32, 0..8000)) {
            let mut items: Vec<(u32, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            let stop = Stop::never();
            sort_by(&mut items, &Pace::new(&stop), |a, b| a.0.cmp(&b.0)).unwrap();
            prop_assert_eq!(items, expected);
        }
    }
}
