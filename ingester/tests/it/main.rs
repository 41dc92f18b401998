//! Tests of the ingester against the outside: conformance data, exporters, clients.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod openmetrics;
mod scrape;
