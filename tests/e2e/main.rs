//! End-to-end tests: the real binary beside real peers.
#![allow(
    clippy::print_stdout,
    reason = "a test with random input says which seed repeats it"
)]

mod all_in_one;
mod block_data;
mod browsers;
mod bucket_command;
mod bucket_tools;
mod buffer;
mod catalog;
mod check_command;
mod compactor;
mod component;
mod crash;
mod create_blocks;
mod elasticsearch;
mod failing_disk;
mod faults;
mod federation;
mod figures;
mod flags;
mod forwarding;
mod http_api;
mod late_samples;
mod lifecycle;
mod limits;
mod lookout;
mod loop_disk;
mod notifications;
mod power_cut;
mod process_faults;
mod prometheus;
mod promql_differential;
mod query_command;
mod quickstart;
mod real_clients;
mod reference;
mod reloader;
mod remote_write;
mod rng;
mod s3;
mod s3_proxy;
mod s3_throttled;
mod scarcity;
mod served_block;
mod side_by_side;
mod sidecar;
mod tls;
mod tsdb_commands;
mod two_compactors;
