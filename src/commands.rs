//! The tools: subcommands that do one thing and end.
//!
//! Each has a file with `Args` (what clap reads) and `run(Args, &mut dyn Write)`; its parent holds
//! one line that registers it. The exit code is 0 for success, 1 for "looked and found problems"
//! and for errors, 2 for a wrong command line.

pub(crate) mod bench;
pub(crate) mod promql;
mod table;
pub(crate) mod tsdb;
