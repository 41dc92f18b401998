//! Receivers for what clients of other systems push.
//!
//! Each protocol is a decoder (bytes to [`points::Points`], pure), a handler (requests to answers)
//! and a line in [`REGISTERED`]: its name, its port, and how to build it. What they share is here:
//! [`sink`] limits, stores and waits until points are durable before anything is acknowledged,
//! [`status`] counts and keeps the last points that were refused, [`names`] makes labels of foreign
//! names. [`flags`] has what can be said about each.
//!
//! A protocol without an address of its own on the command line listens on loopback at the port
//! that its clients know; where that port is taken, it is off, with a warning. An address that was
//! said and cannot be had is an error.
//!
//! Good points are stored and bad ones reported in the words of their protocol; a request that is
//! damaged as a whole stores nothing.

pub mod flags;
mod json;
pub mod lookout;
pub mod metricbeat;
pub mod named;
pub mod names;
pub mod opentsdb;
pub mod points;
pub mod pushgateway;
mod rate;
mod registry;
pub mod sink;
pub mod status;

#[cfg(test)]
pub(crate) mod testing;

pub use flags::ProtocolFlags;
pub use registry::{
    LateManager, Listener, Options, REGISTERED, Registered, Running, Settings, start,
};
