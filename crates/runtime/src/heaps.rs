//! What the C library keeps of memory that is free.
//!
//! glibc gives threads heaps of their own, up to eight for each processor, and what is free in one is
//! not used by the threads of another. A store has a thread for each connection and many for work,
//! and what it holds, in caches that are bounded, comes and goes on all of them. A look at a bucket of
//! many blocks holds more than stays of it, and pages that are free between others stay with the process
//! unless they are given back.
//!
//! A querier is the other way round: it holds an answer of a few messages for as long as it reads them. glibc
//! gives the end of a heap back as soon as some hundred kilobytes of it are free, and maps what is large
//! by itself, so that the kernel had to clear the pages of each message anew.

#![expect(
    unsafe_code,
    reason = "over 10,000 blocks a store with caches of 96 MB takes 150 MB with two heaps and 196 \
              without a bound, and over 30,000 after the start 13 MB with free pages given back and \
              20 MB without; a querier takes no page faults where it took 50 to 220 a query, see \
              docs/benchmarking.md"
)]

/// Bounds the number of heaps, where the C library is glibc. Called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn bound(heaps: u8) {
    set(libc::M_ARENA_MAX, heaps.into());
}

/// Keeps up to so many free bytes at the end of each heap, and has what is larger mapped and given back by
/// itself, where the C library is glibc.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep(bytes: u32) {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    set(libc::M_TRIM_THRESHOLD, bytes);
    set(libc::M_MMAP_THRESHOLD, bytes);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(option: i32, value: i32) {
    // SAFETY: `mallopt` takes two integers, keeps no reference to anything, and may be called at any
    // time. What it returns says nothing: glibc is content with options that it does not know too.
    unsafe { libc::mallopt(option, value) };
}

/// Gives free pages back to the system, where the C library is glibc. Takes milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: `malloc_trim` takes an integer, and only touches memory that is free, under the locks
    // under which it is allocated.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

/// Other allocators share what is free.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn bound(_heaps: u8) {}

/// Other allocators keep what they need.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep(_bytes: u32) {}
