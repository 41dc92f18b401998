//! What functions, operators and aggregations compute, apart from how series get there.
//!
//! Results match Prometheus bit by bit: the order of floating-point operations is its order.

pub(crate) mod arithmetic;
pub(crate) mod classic;
pub(crate) mod hist_stats;
pub(crate) mod hist_sum;
pub(crate) mod lanes;
pub(crate) mod math;
pub(crate) mod native;
pub(crate) mod quantile;
pub(crate) mod range;
pub(crate) mod sliding;
