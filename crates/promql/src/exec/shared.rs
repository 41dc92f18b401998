//! Series that several selectors of a query read.
//!
//! Whoever comes first pulls a series from the source; it is kept, not decoded, until every reader
//! has passed it. What is kept is a handle: labels and encoded chunks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use model::{Labels, Matcher, TimeRange};

use crate::columns::Samples;
use crate::error::Error;
use crate::plan::Share;
use crate::source::{Series, SeriesSet, SourceError};
use crate::stats::FanOutStats;

/// The sets that are read more than once in a query, by group.
#[derive(Default)]
pub(crate) struct SharedSets {
    groups: Mutex<HashMap<usize, Arc<Mutex<SharedSet>>>>,
}

/// A set of series and what of it some reader has yet to pass.
struct SharedSet {
    set: Box<dyn SeriesSet>,
    is_exhausted: bool,
    kept: VecDeque<Kept>,
    /// Number of series dropped from the front of `kept`.
    dropped: usize,
    readers: usize,
}

struct Kept {
    series: SharedSeries,
    readers_left: usize,
}

/// A series that several readers hold; they decode it one after the other.
#[derive(Clone)]
struct SharedSeries {
    labels: Arc<Labels>,
    series: Arc<Mutex<Box<dyn Series>>>,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedSets {
    /// A reader of the set of `share`, which `open` asks the source for unless that was done.
    pub(crate) fn reader(
        &self,
        share: &Share,
        open: impl FnOnce() -> Result<Box<dyn SeriesSet>, Error>,
    ) -> Result<Box<dyn SeriesSet>, Error> {
        let mut groups = lock(&self.groups);
        let set = match groups.get(&share.group) {
            Some(set) => Arc::clone(set),
            None => {
                let set = Arc::new(Mutex::new(SharedSet {
                    set: open()?,
                    is_exhausted: false,
                    kept: VecDeque::new(),
                    dropped: 0,
                    readers: share.readers,
                }));
                groups.insert(share.group, Arc::clone(&set));
                set
            }
        };
        Ok(Box::new(Reader {
            set,
            at: 0,
            filter: share.filter.clone(),
        }))
    }
}

impl SharedSet {
    /// Series number `at`, which a reader passes by this.
    fn take(&mut self, at: usize) -> Result<Option<SharedSeries>, SourceError> {
        let index = at - self.dropped;
        if index == self.kept.len() {
            let next = match self.is_exhausted {
                true => None,
                false => self.set.next()?,
            };
            let Some(series) = next else {
                self.is_exhausted = true;
                return Ok(None);
            };
            self.kept.push_back(Kept {
                series: SharedSeries {
                    labels: Arc::new(series.labels().clone()),
                    series: Arc::new(Mutex::new(series)),
                },
                readers_left: self.readers,
            });
        }
        let kept = &mut self.kept[index];
        kept.readers_left -= 1;
        let series = kept.series.clone();
        while self.kept.front().is_some_and(|kept| kept.readers_left == 0) {
            self.kept.pop_front();
            self.dropped += 1;
        }
        Ok(Some(series))
    }
}

/// One reader of a shared set.
struct Reader {
    set: Arc<Mutex<SharedSet>>,
    /// Number of series passed.
    at: usize,
    /// All must accept a series.
    filter: Vec<Matcher>,
}

impl SeriesSet for Reader {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        loop {
            let Some(series) = lock(&self.set).take(self.at)? else {
                return Ok(None);
            };
            self.at += 1;
            if series.labels.match_all(&self.filter) {
                return Ok(Some(Box::new(series)));
            }
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        lock(&self.set).set.warnings()
    }

    fn fan_out(&mut self) -> Vec<FanOutStats> {
        lock(&self.set).set.fan_out()
    }
}

impl Series for SharedSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        lock(&self.series).read(range, out)
    }
}
