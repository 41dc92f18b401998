//! Pushgateway: batch jobs push their metrics, which stay until they are replaced or deleted.
//!
//! [`path`] reads the grouping key and [`decode`] the body, into [`metrics`]; [`groups`] says what
//! becomes of a group, [`gateway`] keeps and stores it, `exposition` shows it and [`handler`] answers. Each push is stored in the TSDB at its
//! time of arrival before it is acknowledged. From then on [`repeat`] stores the groups again and
//! again, as a scrape of the gateway would, so that what was pushed stays visible to queries. See
//! docs/adr/0205-pushed-groups-scrape-themselves.md.
//!
//! Source of the protocol: the Pushgateway's documentation and source, and its answers on the wire.

pub mod decode;
mod exposition;
mod file;
pub mod flags;
pub mod gateway;
pub mod groups;
pub mod handler;
pub mod metrics;
pub mod path;
pub mod repeat;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

/// How pushes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where groups are kept over a restart; nowhere if there is none.
    pub file: Option<PathBuf>,
    /// Refuses pushes that contradict themselves or other groups.
    pub check_consistency: bool,
    /// How often the groups are stored again; never if there is none.
    pub self_scrape_interval: Option<Duration>,
    /// All groups of a tenant may be deleted at once.
    pub admin_api: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            file: None,
            check_consistency: true,
            self_scrape_interval: Some(Duration::from_secs(15)),
            admin_api: false,
        }
    }
}
