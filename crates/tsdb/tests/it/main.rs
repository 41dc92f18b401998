//! Data that Prometheus wrote is read as Prometheus reads it, and written back as it was.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod blocks;
mod chunks;
mod conformance;
mod corruption;
mod db;
mod full_disk;
mod kept_directories;
mod merge;
mod prometheus_242;
mod promtool;
mod replay;
mod wal_corruption;
