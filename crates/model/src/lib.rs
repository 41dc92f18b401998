//! The values every other crate speaks of: labels, matchers, samples, histograms, time.
//!
//! Values only. Nothing here does I/O, knows async, or knows a wire format; disk and wire types
//! live with their codecs and convert to these.
//!
//! Reading order: [`labels`], [`sample`], [`histogram`], [`matcher`], [`time`], [`relabel`].

pub mod error;
pub mod float;
pub mod histogram;
pub mod kahan;
pub mod labels;
pub mod matcher;
pub mod regex;
pub mod sample;
pub mod time;
mod unicode;

pub use error::ErrorKind;
pub use histogram::{CounterResetHint, FloatHistogram, Histogram, Span};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use sample::{Sample, Value};
pub use time::TimeRange;
