//! The tools: subcommands that do one thing and end.
//!
//! Each has a file with `Args` (what clap reads) and `run(Args, &mut dyn Write)`; its parent holds
//! one line that registers it. The exit code is 0 for success, 1 for "looked and found problems"
//! and for errors, 2 for a wrong command line.

pub(crate) mod bench;
pub(crate) mod bucket;
pub(crate) mod check;
mod output;
pub(crate) mod promql;
pub(crate) mod query;
mod table;
pub(crate) mod tsdb;

use std::io::{self, Read, Write};

/// The standard streams of a tool.
pub(crate) struct Stdio<'a> {
    /// What it reads when told `-`.
    pub(crate) input: &'a mut (dyn Read + Send),
    /// Where results go.
    pub(crate) out: &'a mut dyn Write,
    /// Where progress goes.
    pub(crate) notes: &'a mut dyn Write,
    /// Somebody watches the progress.
    pub(crate) notes_on_terminal: bool,
}

/// True when the reader of our output went away, as `head` does.
pub(crate) fn closed_early(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
