//! Finds the conformance data, which is not part of the repository.

use std::path::{Path, PathBuf};

/// The file or folder `name` of the conformance data; `None`, with a notice, where there is none.
///
/// # Panics
/// When there is none although this is CI.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no main that reads the environment for them"
)]
#[expect(clippy::print_stderr, reason = "the notice is for who runs the tests")]
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let candidates = [
        std::env::var("PROMONTORY_CONFORMANCE")
            .ok()
            .map(PathBuf::from),
        Some(root.join("../shared/conformance")),
        Some(root.join("../../shared/conformance")),
    ];
    let found = candidates
        .into_iter()
        .flatten()
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    if found.is_none() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "no conformance data: set PROMONTORY_CONFORMANCE");
        eprintln!("skipped: no conformance data `{name}`");
    }
    found
}
