//! A whole data directory, as Prometheus or an ingester leaves it: blocks and the head's logs.
//!
//! [`Db`] is one that is written to: it appends, cuts blocks from its head, merges and drops them,
//! and answers from all of it.
//!
//! [`DataDir`] is a view: it never writes, so that it may be opened on a directory that someone
//! else is writing to, and on a damaged one. What cannot be read is left out and reported. Samples
//! come out as Prometheus' querier returns them.
//!
//! Reading order: [`Db`], `maintenance` (with `cut`, [`plan`], [`retention`]), `selection`,
//! [`leftovers`], `lock`, [`disk`], `written` (counts), `abandoned`; `blocks`, `data_dir`.

mod abandoned;
mod blocks;
mod cut;
mod data_dir;
mod database;
pub mod disk;
pub mod dump;
pub mod leftovers;
mod lock;
mod maintenance;
pub mod plan;
pub mod retention;
mod selection;
mod series;
pub mod verify;
mod written;

pub use blocks::Blocks;
pub use data_dir::{DataDir, DataDirReport};
pub use database::{Db, DbOptions, DbStats, OpenReport};
pub use lock::DirLock;
pub use maintenance::Compacted;
pub use retention::Retention;
pub use selection::{Found, Selection};
pub use series::{Series, SeriesSet};
pub use written::Written;
