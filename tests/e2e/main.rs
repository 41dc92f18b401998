//! End-to-end tests: the real binary beside real peers.

mod reference;
