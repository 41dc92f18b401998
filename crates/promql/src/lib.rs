//! PromQL as of Prometheus 3.14: text to syntax tree to plan to columns.
//!
//! A query goes through these modules, which is also the reading order:
//!
//! 1. [`parse`]: text to [`ast`], a syntax tree with positions; [`print`] goes back.
//! 2. `plan`: the tree with everything resolved that does not depend on data, and the optimizers.
//! 3. `exec`: the operators that a plan becomes. They pull [`columns`]: a series evaluated at all
//!    steps at once. Selectors read through [`source`], a trait that this crate owns.
//! 4. `functions`: what operators compute, in Prometheus' order of floating-point operations.
//! 5. [`engine`]: runs a query within [`limits`], and yields a [`value`] with annotations and
//!    [`stats`].
//!
//! Nothing here knows gRPC, tokio or files.

mod annotations;
pub mod ast;
pub mod columns;
mod cursor;
pub mod engine;
pub mod error;
mod exec;
pub mod executor;
mod functions;
pub mod limits;
pub mod parse;
mod plan;
pub mod points;
pub mod print;
pub mod source;
pub mod stats;
pub mod testing;
pub mod value;

pub use engine::{Engine, Options, Query};
pub use error::Error;
