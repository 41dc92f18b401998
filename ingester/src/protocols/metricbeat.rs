//! Metricbeat: its Elasticsearch output, which finds an Elasticsearch here.
//!
//! [`bulk`] reads the body of `_bulk`, [`event`] makes points of an event as [`Mapping`] says, and
//! [`handler`] answers, also what the output asks before it sends anything ([`disguise`]).
//!
//! An event is one item of the answer: stored (201), wrong and to be dropped (400), or to be sent
//! again (429, 503). Its numbers become samples of one time each, so that an event which is sent
//! twice is stored once.
//!
//! Source of the protocol: what the Elasticsearch output of Beats 6 to 8 sends and reads, and the
//! answers of Elasticsearch 6.

pub mod bulk;
mod disguise;
pub mod event;
pub mod handler;
mod lookout;

#[cfg(test)]
mod tests;

use crate::protocols::names::Names;
use crate::receive::LabelLimits;

/// The version that is claimed if none is said: the last of the releases that Beats 6 and 7 take.
pub const VERSION: &str = "6.8.23";

/// How events become points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mapping {
    /// Numbers are named by their paths and have the event's texts as labels, so that what is told
    /// apart by a text (interfaces, disks, processes) stays apart.
    #[default]
    Paths,
    /// As the SOFALookout gateway does: its names, only `metricset` and `beat` as labels, times cut
    /// to ten seconds.
    Lookout,
}

/// How events are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How they become points.
    pub mapping: Mapping,
    /// What becomes of metric names, where they are not Lookout's.
    pub names: Names,
    /// What labels may be like.
    pub labels: LabelLimits,
    /// The version of Elasticsearch that is claimed.
    pub version: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mapping: Mapping::default(),
            names: Names::default(),
            labels: LabelLimits::default(),
            version: VERSION.to_owned(),
        }
    }
}
