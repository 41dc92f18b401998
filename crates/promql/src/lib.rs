//! PromQL as of Prometheus 3.14: text to syntax tree to plan to columns.
//!
//! Reading order: [`ast`], [`parse`], [`print`], then the plan and the operators. Nothing here knows
//! gRPC, tokio or files: series come through a trait that this crate owns.

pub mod ast;
pub mod parse;
pub mod print;
