//! The client against servers that misbehave.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "tasks of a server end with their test"
)]

mod s3;
mod s3_answers;
mod s3_faults;
