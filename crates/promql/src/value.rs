//! Results of queries.

use model::Labels;

use crate::columns::StepValue;
use crate::points::Points;
use crate::stats::QueryStats;

/// What a query yields.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// Results may be wrong.
    pub warnings: Vec<String>,
    /// Results are as asked for, but perhaps not as meant.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: QueryStats,
}

/// The value of a query, by type.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryValue {
    /// A number, at the time of an instant query.
    Scalar(f64),
    /// A string, in bytes that may not be UTF-8.
    String(Box<[u8]>),
    /// Series with a value at the time of an instant query, in the order of the result.
    Vector(Vec<(Labels, StepValue)>),
    /// Series with values over time, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A series with values over time.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values.
    pub points: Points,
}
