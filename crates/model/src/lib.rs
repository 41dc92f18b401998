//! The values every other crate speaks of: labels, matchers, samples, histograms, time.
//!
//! Values only. Nothing here does I/O, knows async, or knows a wire format; disk and wire types
//! live with their codecs and convert to these.
//!
//! Reading order: [`labels`], [`sample`], [`histogram`], [`matcher`], [`time`], [`relabel`]; beside
//! them [`exemplar`], [`metadata`], [`symbols`], [`figure`] (what parts count of themselves), and what Prometheus does to floats:
//! [`kahan`], [`logarithm`], [`float`]; and how long work is ended: [`stop`].

pub mod error;
pub mod exemplar;
pub mod figure;
pub mod float;
pub mod histogram;
pub mod kahan;
pub mod labels;
pub mod logarithm;
pub mod matcher;
pub mod metadata;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod stop;
pub mod symbols;
pub mod time;
mod unicode;

pub use error::ErrorKind;
pub use exemplar::Exemplar;
pub use histogram::{CounterResetHint, FloatHistogram, Histogram, Span};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use metadata::{Metadata, MetricType};
pub use sample::{Sample, Value};
pub use stop::Stop;
pub use symbols::{Symbol, Symbols};
pub use time::TimeRange;
