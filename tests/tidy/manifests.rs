//! Manifests: versions in the workspace table only, lints inherited.

use std::fs;

use promontory_tests::workspace_root;

const MEMBERS: [&str; 12] = [
    "crates/model",
    "crates/tsdb",
    "crates/promql",
    "crates/bucket",
    "crates/storeapi",
    "crates/runtime",
    "proto",
    "ingester",
    "sidecar",
    "store",
    "querier",
    "compactor",
];

#[test]
fn members_inherit_lints_and_versions() {
    let mut wrong = Vec::new();
    for member in MEMBERS {
        let path = workspace_root().join(member).join("Cargo.toml");
        let text = fs::read_to_string(&path).expect("every member has a manifest");
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{member}: [lints] workspace = true is missing"));
        }
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies]");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!("{member}: `{line}` states a version of its own"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Packages that must not come in, by whatever road, and why.
const BANNED_PACKAGES: [(&str, &str); 3] = [
    ("aws-lc-sys", "ring is the one crypto provider"),
    ("openssl-sys", "TLS is rustls"),
    ("serde_yaml", "it is archived"),
];

/// A lock file longer than this has a dependency that drags too much in.
const PACKAGES_MAX: usize = 400;

#[test]
fn the_dependency_tree_stays_small_and_clean() {
    let lock =
        fs::read_to_string(workspace_root().join("Cargo.lock")).expect("Cargo.lock is committed");
    let packages: Vec<_> = lock
        .lines()
        .filter_map(|l| l.strip_prefix("name = "))
        .collect();
    assert!(
        !packages.is_empty() && packages.len() <= PACKAGES_MAX,
        "{} packages are locked",
        packages.len()
    );
    for (banned, why) in BANNED_PACKAGES {
        assert!(
            !packages.iter().any(|p| p.trim_matches('"') == banned),
            "{banned} came in, but {why}"
        );
    }
}
