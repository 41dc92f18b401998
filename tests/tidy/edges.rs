//! Crate edges against a table: a new edge is a reviewed line here.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate with the workspace crates that it may import, floor by floor (docs/ARCHITECTURE.md).
/// An import that is allowed but not there yet is fine; one that is there but not allowed fails.
const ALLOWED: &[(&str, &[&str])] = &[
    // F0
    ("model", &[]),
    // F1
    ("runtime", &["model"]),
    ("proto", &["model"]),
    ("tsdb", &["model"]),
    ("promql", &["model"]),
    ("bucket", &["model", "tsdb"]),
    // F2
    (
        "storeapi",
        &["model", "runtime", "proto", "tsdb", "promql", "bucket"],
    ),
    // F3: components meet through the Store trait, proto and the bucket, never directly
    (
        "ingester",
        &[
            "model", "runtime", "proto", "tsdb", "promql", "bucket", "storeapi",
        ],
    ),
    (
        "sidecar",
        &[
            "model", "runtime", "proto", "tsdb", "promql", "bucket", "storeapi",
        ],
    ),
    (
        "store",
        &[
            "model", "runtime", "proto", "tsdb", "promql", "bucket", "storeapi",
        ],
    ),
    (
        "querier",
        &[
            "model", "runtime", "proto", "tsdb", "promql", "bucket", "storeapi",
        ],
    ),
    (
        "compactor",
        &[
            "model", "runtime", "proto", "tsdb", "promql", "bucket", "storeapi",
        ],
    ),
    // F4
    (
        "promontory",
        &[
            "model",
            "runtime",
            "proto",
            "tsdb",
            "promql",
            "bucket",
            "storeapi",
            "ingester",
            "sidecar",
            "store",
            "querier",
            "compactor",
        ],
    ),
    ("promontory-tests", &["model", "tsdb", "promql"]),
];

/// Crates of the lower floors, which must stay free of async runtimes and wire libraries.
const SYNC_CRATES: [&str; 3] = ["model", "tsdb", "promql"];
const ASYNC_DEPENDENCIES: [&str; 6] = [
    "tokio",
    "tonic",
    "hyper",
    "object_store",
    "prost",
    "reqwest",
];

#[test]
fn crates_import_only_what_the_table_allows() {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let allowed: BTreeMap<_, BTreeSet<_>> = ALLOWED
        .iter()
        .map(|(krate, deps)| (*krate, deps.iter().copied().collect()))
        .collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the table of tests/tidy/edges.rs"));
            continue;
        };
        for dep in package.dependencies.iter().filter(|d| d.path.is_some()) {
            // Tests may use the harness, which imports nothing of ours.
            let harness = dep.kind == DependencyKind::Development && dep.name == "promontory-tests";
            if !harness && !allowed.contains(dep.name.as_str()) {
                wrong.push(format!("{name} -> {}", dep.name));
            }
        }
        if SYNC_CRATES.contains(&name) {
            let used = |d: &str| package.dependencies.iter().any(|p| p.name == d);
            wrong.extend(
                ASYNC_DEPENDENCIES
                    .iter()
                    .filter(|d| used(d))
                    .map(|d| format!("{name} -> {d}")),
            );
        }
    }
    assert!(wrong.is_empty(), "edges that no floor allows: {wrong:#?}");
}
