//! The model against data that Prometheus wrote.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod dumps;
mod fields;
mod operations;
