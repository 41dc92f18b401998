//! Receives samples and keeps them in a local TSDB in Prometheus' format until its blocks are shipped.
//!
//! Life of the component: [`Flags`] (what was said), [`Config`] (resolved and checked), [`build`],
//! [`Ingester::run`]. [`Core`] is all of it but the sockets, for a process that is everything.
//!
//! [`append`] is the seam between receivers and [`storage`]: [`receive`] takes remote write,
//! [`protocols`] what clients of other systems push, and [`scrape`] asks the targets that [`config`]
//! names and reads their answers by [`exposition`]. Between [`protocols`] and the storage are
//! [`pipeline`] and [`buffer`], together in [`front`]. [`api`] is what others ask over HTTP, and
//! [`catalog`] what they ask over gRPC beside series. Beside
//! them: [`backfill`], blocks from files.

pub mod api;
pub mod append;
pub mod backfill;
pub mod buffer;
pub mod catalog;
pub mod config;
pub mod core;
mod discovery;
mod export;
pub mod exposition;
pub mod flags;
pub mod front;
pub mod messages;
pub mod pipeline;
pub mod protocols;
pub mod queue;
pub mod receive;
pub mod replay;
pub mod scrape;
mod scraping;
mod serve;
mod shipping;
pub mod storage;

pub use crate::core::{Core, Deps};
pub use discovery::{matching_files, targets_in};
pub use flags::{Config, FOREIGN_FLAGS, Flags};
pub use front::Front;
pub use serve::{Ingester, build};
