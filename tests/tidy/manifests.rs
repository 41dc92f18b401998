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
