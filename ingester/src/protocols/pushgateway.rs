//! Pushgateway: batch jobs push their metrics, which stay until they are replaced or deleted.
//!
//! [`path`] reads the grouping key, [`decode`] the body; [`groups`] holds what was pushed and
//! [`handler`] answers. Each push is stored in the TSDB at its time of arrival before it is
//! acknowledged, and the groups are shown to scrapes at `/metrics`, as the Pushgateway does.
//!
//! Source of the protocol: the Pushgateway's documentation and source, and its answers on the wire.

pub mod decode;
mod file;
pub mod groups;
pub mod handler;
pub mod path;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

/// How pushes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where groups are kept over a restart; nowhere if there is none.
    pub file: Option<PathBuf>,
    /// Refuses pushes that contradict themselves or other groups.
    pub check_consistency: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            file: None,
            check_consistency: true,
        }
    }
}
