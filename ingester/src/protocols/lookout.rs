//! SOFALookout: the gateway that its clients report to, with all that speaks through it.
//!
//! [`gateway`] answers on the gateway's port. What comes in is decoded by [`native`] (the report
//! protocol of Lookout's own clients; [`record`] scans its records), [`push`] (Prometheus' text and
//! protobuf) or OpenTSDB's decoder, and all of it goes through [`intake`]: the gateway's rules for
//! names, tags, times and what it drops. [`address`] reads tags out of paths, [`access`] tokens and
//! rates. [`stats`] is what the gateway says about itself.
//!
//! Deviations from the gateway, decided on purpose: what is acknowledged is durable; a request of
//! which nothing can be read is refused instead of acknowledged; every metric of a request is
//! aligned to its step, not only the first; a step beyond an hour is milliseconds; `step` never
//! becomes a label; labels without a value in an exposition are none. With [`Profile::General`] a tag
//! `ip` of a request also goes before the address of its connection.
//!
//! Source of the protocol: SOFALookout 1.6.1, its gateway and its client.

pub mod access;
mod address;
pub mod admin;
mod answer;
pub mod flags;
pub mod gateway;
pub mod intake;
pub mod limits;
pub mod native;
pub mod push;
pub mod record;
pub mod refresh;
pub mod stats;
mod targets;

#[cfg(test)]
mod tests;

use clap::ValueEnum;

use self::access::Access;
use self::refresh::Refresh;
use super::names::Names;
use crate::receive::LabelLimits;

/// Which limits hold for what Lookout's clients report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Profile {
    /// Those of Lookout's gateway: 200 characters of a name, 1 to 20 tags with keys of 100, values
    /// cut to 200, two days of age.
    #[default]
    Lookout,
    /// Those of every other write.
    General,
}

/// What becomes of records that say something other than numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Information {
    /// A series with the value 1 and the text as its label `info`.
    #[default]
    Keep,
    /// Nothing; they are counted as refused.
    Drop,
}

/// How the gateway takes what it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What becomes of names that PromQL does not take unquoted.
    pub names: Names,
    /// Which limits hold.
    pub profile: Profile,
    /// What becomes of information.
    pub information: Information,
    /// Times of what is not reported by Lookout's own clients are aligned to the step.
    pub align: bool,
    /// Times in a pushed exposition count; otherwise all is of its arrival.
    pub honor_timestamps: bool,
    /// Tokens and rates.
    pub access: Access,
    /// What clients are told to report.
    pub refresh: Refresh,
    /// The zone this gateway is for; clients of another one are sent away.
    pub cell: Option<String>,
    /// What labels may be like.
    pub labels: LabelLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            names: Names::default(),
            profile: Profile::default(),
            information: Information::default(),
            align: true,
            honor_timestamps: true,
            access: Access::default(),
            refresh: Refresh::default(),
            cell: None,
            labels: LabelLimits::default(),
        }
    }
}
