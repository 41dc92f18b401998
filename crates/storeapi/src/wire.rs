//! Between the StoreAPI's messages and the types of [`crate::store`].
//!
//! Requests and what is small go through the generated types of `proto`. Series do not: [`encode`]
//! writes them from the model and [`decode`] reads them into it, without a message in between and
//! without an allocation for a label; [`message`] makes whole messages of them. Field numbers are in `proto/proto/thanos/store.proto`.
//!
//! The wire speaks of closed ranges of time, the model of half-open ones. A chunk's type is its
//! encoding's byte less one, and its hash is xxhash64 of its bytes.

pub mod catalog;
pub mod decode;
pub mod encode;
pub mod info;
pub mod message;
pub mod request;
pub mod statistics;

use model::TimeRange;

/// A range as the wire has it: both ends inside.
const fn closed(range: TimeRange) -> (i64, i64) {
    match range.max {
        i64::MAX => (range.min, i64::MAX),
        max => (range.min, max.saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests;
