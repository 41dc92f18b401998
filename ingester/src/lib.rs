//! Receives samples and keeps them in a local TSDB in Prometheus' format until its blocks are shipped.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Ingester::run`].
//!
//! [`append`] is the seam between receivers and [`storage`]: [`receive`] takes remote write, and
//! [`scrape`] asks the targets that [`config`] and `discovery` name and reads their answers by
//! [`exposition`]. [`api`] is what others ask over HTTP. Beside them: [`backfill`], blocks from files.

pub mod api;
pub mod append;
pub mod backfill;
pub mod config;
mod discovery;
pub mod exposition;
pub mod flags;
pub mod receive;
pub mod scrape;
pub mod storage;

use runtime::Error;

pub use flags::{Config, FOREIGN_FLAGS, Flags};

/// The component, ready to run.
#[derive(Debug)]
pub struct Ingester {
    config: Config,
}

/// Makes the component; binds no socket and starts nothing.
pub fn build(config: Config) -> Ingester {
    Ingester { config }
}

impl Ingester {
    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// [`Error::NotServing`]: this version has the storage, not yet the servers.
    pub fn run(self) -> Result<(), Error> {
        Err(Error::NotServing {
            component: "ingester",
        })
    }
}
