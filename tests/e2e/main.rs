//! End-to-end tests: the real binary beside real peers.
#![allow(
    clippy::print_stdout,
    reason = "a test with random input says which seed repeats it"
)]

mod create_blocks;
mod promql_differential;
mod reference;
mod tsdb_commands;
