//! End-to-end tests: the real binary beside real peers.
#![allow(
    clippy::print_stdout,
    reason = "a test with random input says which seed repeats it"
)]

mod all_in_one;
mod block_data;
mod compactor;
mod crash;
mod create_blocks;
mod federation;
mod http_api;
mod prometheus;
mod promql_differential;
mod reference;
mod remote_write;
mod rng;
mod sidecar;
mod tsdb_commands;
