//! Tests of the crate through its public interface.

mod conformance;
mod differential;
mod engine;
mod entry_points;
mod evaluation;
mod expressions;
mod limits;
mod lookout;
mod naive;
mod round_trip;
mod scripts;
mod series;
