//! What a pass put into its batch, and what the store made of that.

use std::collections::HashSet;

use tsdb::batch::Appended;

use super::super::cache::Cache;
use super::Counts;

/// What the store made of a pass.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Settled {
    pub(in crate::scrape) counts: Counts,
    /// Series to be marked stale, by their numbers in the cache.
    pub(in crate::scrape) ended: Vec<u32>,
}

/// What is in the batch of a pass that ended.
#[derive(Debug)]
pub(in crate::scrape) struct Filled {
    pub(super) counts: Counts,
    pub(super) numbers: Vec<u32>,
    pub(super) added: Vec<usize>,
}

impl Filled {
    /// Remembers what the store calls the series, counts those that are new to it, and finds those
    /// that end as it takes nothing of them.
    pub(in crate::scrape) fn settle(self, cache: &mut Cache, appended: &Appended) -> Settled {
        for (number, known) in self.numbers.iter().zip(&appended.series) {
            cache.set_known(*number, *known);
        }
        let mut counts = self.counts;
        let taken = |at: &&usize| {
            let stored = appended.series.get(**at).is_some_and(Option::is_some);
            stored && !appended.rejected_sample_of(**at)
        };
        counts.added += self.added.iter().filter(taken).count() as u64;
        let ended = match appended.rejected.is_empty() {
            true => Vec::new(),
            false => self.refused(cache, appended),
        };
        Settled { counts, ended }
    }

    /// The series of which the store took nothing in this pass, though they are live: they end.
    fn refused(&self, cache: &mut Cache, appended: &Appended) -> Vec<u32> {
        let refused = |at: usize| appended.rejected_sample_of(at);
        let numbers = || self.numbers.iter().copied().enumerate();
        let taken: HashSet<u32> = numbers()
            .filter(|(at, _)| !refused(*at))
            .map(|(_, number)| number)
            .collect();
        let lost: HashSet<u32> = numbers()
            .filter(|(at, number)| refused(*at) && !taken.contains(number))
            .map(|(_, number)| number)
            .collect();
        lost.into_iter()
            .filter(|number| cache.lose(*number))
            .collect()
    }

    /// The counts of a pass that could not be appended.
    pub(in crate::scrape) fn unsettled(&self) -> Settled {
        Settled {
            counts: self.counts,
            ended: Vec::new(),
        }
    }
}
