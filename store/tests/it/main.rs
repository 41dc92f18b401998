//! Tests of the gateway over buckets in memory and in directories.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acceptance;
mod faults;
mod golden;
mod remote;
mod semantics;
mod support;
mod syncing;
