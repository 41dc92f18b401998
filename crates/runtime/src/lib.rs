//! Process plumbing that components are given instead of reaching for it: time, so far.

pub mod clock;

pub use clock::{Clock, ManualClock, SystemClock};
