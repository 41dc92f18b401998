//! One series out of the samples of several replicas.
//!
//! Two ways, as in Thanos: [`penalty`] follows one replica and changes to another only at a gap,
//! which is right for replicas that scraped each for itself; [`chain`] takes every sample there is,
//! which is right for exact copies. Both read and write columns.

mod chain;
mod penalty;

use promql::columns::Samples;

pub use chain::chain;
pub use penalty::penalty;

/// How the samples of replicas become one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Dedup {
    /// Follow one replica, change at gaps.
    #[default]
    Penalty,
    /// All samples of all replicas.
    Chain,
}

impl Dedup {
    /// Appends the samples of `replicas`, each in order of time, to `out`. `is_counter` says that the
    /// values are those of a counter without resets, and are to stay so where replicas change.
    pub fn merge(self, replicas: &[Samples], is_counter: bool, out: &mut Samples) {
        match (self, replicas) {
            (_, []) => {}
            (Self::Penalty, _) => penalty(replicas, is_counter, out),
            (Self::Chain, _) => chain(replicas, out),
        }
    }
}

#[cfg(test)]
mod tests;
