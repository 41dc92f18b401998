//! How many heaps the C library keeps, and what is free in them.
//!
//! glibc gives threads heaps of their own, up to eight for each processor, and what is free in one is
//! not used by the threads of another. A store has a thread for each connection and many for work,
//! and what it holds, in caches that are bounded, comes and goes on all of them. A look at a bucket of
//! many blocks holds more than stays of it, and pages that are free between others stay with the process
//! unless they are given back.

#![expect(
    unsafe_code,
    reason = "over 10,000 blocks a store with caches of 96 MB takes 150 MB with two heaps and 196 \
              without a bound, and over 30,000 after the start 13 MB with free pages given back and \
              20 MB without, see docs/benchmarking.md"
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

/// Gives free pages back to the system, where the C library is glibc. Takes milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    // SAFETY: `malloc_trim` takes an integer, and only touches memory that is free, under the locks
    // under which it is allocated.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

/// Other allocators share what is free.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn bound() {}
