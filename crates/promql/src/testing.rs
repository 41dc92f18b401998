//! The script language that Prometheus tests its PromQL engine with, and a runner for it.
//!
//! A script loads series, evaluates expressions and states what must come out:
//!
//! ```text
//! load 5m
//!   http_requests{job="api"} 0+10x10
//!
//! eval instant at 50m sum by (job) (http_requests)
//!   {job="api"} 100
//! ```
//!
//! Reading order: [`script`] (text to commands), [`storage`] (what `load` fills), `compare` (expected
//! against actual), `rewrite` (the variations that every evaluation is checked in), [`runner`].
//! Apart from that, [`generate`] makes random expressions and series.

pub mod generate;
pub mod runner;
pub mod script;
pub mod storage;

mod compare;
mod nhcb;
mod rewrite;

pub use runner::{Failure, Report, run_script, run_script_with, script_options};
pub use storage::MemoryStorage;
