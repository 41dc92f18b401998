//! What end-to-end tests stand on: the binary, the conformance data, peers, ports and processes.
//!
//! A test that needs something the machine lacks says so on standard error and passes; where the
//! environment variable `CI` is set, it fails instead (see [`missing`]).
#![allow(
    clippy::disallowed_methods,
    reason = "tests read their environment and the wall clock"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

pub mod http;
pub mod lookout;
pub mod process;
pub mod remote_write;

use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Root of the workspace.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

/// The folder `name` of the conformance data, or `None` after saying that it is absent.
///
/// Found through `PROMONTORY_CONFORMANCE`, else as `shared/conformance` beside the checkout.
pub fn conformance(name: &str) -> Option<PathBuf> {
    let root = workspace_root();
    let candidates = [
        std::env::var_os("PROMONTORY_CONFORMANCE").map(PathBuf::from),
        Some(root.join("../shared/conformance")),
        Some(root.join("../../shared/conformance")),
    ];
    let found = candidates
        .into_iter()
        .flatten()
        .map(|dir| dir.join(name))
        .find(|dir| dir.exists());
    if found.is_none() {
        missing(&format!(
            "conformance data {name:?} (set PROMONTORY_CONFORMANCE)"
        ));
    }
    found
}

/// Files called `name` on the search path, and where daemons are.
fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = std::env::split_paths(&path).collect();
    let dirs = dirs.into_iter().chain([PathBuf::from("/usr/sbin")]);
    let files: Vec<_> = dirs.map(|dir| dir.join(name)).collect();
    files.into_iter().filter(|file| file.is_file())
}

/// A Python that has the package whose module is `module`, or `None` after saying that there is none.
pub fn python(module: &str) -> Option<PathBuf> {
    let has_module = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.arg("-c").arg(format!("import {module}"));
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = programs("python3").find(has_module);
    if found.is_none() {
        missing(&format!("the Python module {module:?}"));
    }
    found
}

/// The program `name` on the search path, or `None` after saying that it is absent.
pub fn peer(name: &str) -> Option<PathBuf> {
    let found = programs(name).next();
    if found.is_none() {
        missing(&format!("the program {name:?}"));
    }
    found
}

/// Says that a test is skipped for want of `what`.
///
/// # Panics
/// Where the environment variable `CI` is set: there nothing may be missing.
pub fn missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{what} is missing, and CI must have it"
    );
    eprintln!("skipped: {what} is missing");
}

/// The time in milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = now.expect("the clock is past 1970").as_millis();
    i64::try_from(ms).expect("the clock is before the year 292 million")
}

/// Ports that tests are given: below those that the system gives to connections and to whoever binds
/// port 0, and beside those that components listen on unasked.
const PORTS: Range<u32> = 20_000..32_000;

/// A TCP port on 127.0.0.1 that was free a moment ago, and stays so: each is given out once in a
/// process, and nobody else gets one of these by chance before the server that it is for has it.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes at the same time begin at other places.
    let first = std::process::id().wrapping_mul(7919);
    PORTS
        .map(|_| {
            let next = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
            let port = PORTS.start + next % (PORTS.end - PORTS.start);
            u16::try_from(port).expect("within the range of ports")
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("loopback has a free port")
}
