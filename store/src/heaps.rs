//! How many heaps the C library keeps.
//!
//! glibc gives threads heaps of their own, up to eight for each processor, and what is free in one is
//! not used by the threads of another. A store has a thread for each connection and many for work,
//! and what it holds, in caches that are bounded, comes and goes on all of them.

#![expect(
    unsafe_code,
    reason = "over 10,000 blocks a store with caches of 96 MB takes 150 MB with two heaps and 196 \
              without a bound, see docs/benchmarking.md"
)]

/// Heaps of a store.
const HEAPS: i32 = 2;

/// Bounds the number of heaps, where the C library is glibc. Called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn bound() {
    // SAFETY: `mallopt` takes two integers, keeps no reference to anything, and may be called at any
    // time. What it returns says nothing: glibc is content with options that it does not know too.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, HEAPS) };
}

/// Other allocators share what is free.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound() {}
