//! The closed set of error kinds that every crate's error maps to.

/// What the caller should do about an error, apart from what went wrong.
///
/// Only `runtime` maps these to HTTP and gRPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong; sending it again will fail again.
    Invalid,
    /// The thing asked for does not exist.
    NotFound,
    /// Someone else holds or already made the thing.
    Conflict,
    /// A limit was reached; the message names it.
    Exhausted,
    /// Try again later.
    Unavailable,
    /// The caller gave up.
    Cancelled,
    /// Stored bytes are damaged; set them aside, do not retry.
    Corrupt,
    /// A bug of ours.
    Internal,
}
