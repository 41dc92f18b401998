//! What `deploy/` tells people to run: every flag there is one that the command has.

use std::collections::BTreeSet;
use std::fs;

use promontory_tests::workspace_root;

/// Flags of a command, from the generated reference.
fn flags_of(command: &str) -> BTreeSet<String> {
    let reference = fs::read_to_string(workspace_root().join("docs/reference/cli.md"))
        .expect("the reference is committed");
    let title = format!("## {command}");
    let section: Vec<&str> = (reference.lines())
        .skip_while(|line| *line != title)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .collect();
    assert!(!section.is_empty(), "{command} is not in the reference");
    (section.iter())
        .flat_map(|line| line.split_whitespace())
        .filter_map(flag)
        .collect()
}

/// The name of a flag, without its value.
fn flag(word: &str) -> Option<String> {
    let word = word.trim_start_matches(['\'', '"']);
    let name = word.strip_prefix("--")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let end = name.find(|c| !is_name(c)).unwrap_or(name.len());
    (end > 0).then(|| name[..end].to_owned())
}

fn unknown(file: &str, command: &str, words: &mut dyn Iterator<Item = &str>) -> Vec<String> {
    let known = flags_of(command);
    let used: Vec<String> = words.filter_map(flag).collect();
    assert!(!used.is_empty(), "{file} uses no flags");
    (used.into_iter())
        .filter(|name| !known.contains(name))
        .map(|name| format!("{file}: {command} has no --{name}"))
        .collect()
}

#[test]
fn flags_in_units_and_manifests_exist() {
    let deploy = workspace_root().join("deploy");
    let read = |path: &str| {
        fs::read_to_string(deploy.join(path)).unwrap_or_else(|e| panic!("read {path}: {e}"))
    };
    let mut wrong = Vec::new();
    for component in ["ingester", "sidecar", "store", "querier", "compactor"] {
        let command = format!("promontory {component}");
        let path = format!("systemd/{component}.env");
        let text = read(&path).replace("PROMONTORY_ARGS=\"", "");
        wrong.extend(unknown(&path, &command, &mut text.split_whitespace()));
        if component == "sidecar" {
            // It runs in a Prometheus' pod, which is somebody else's manifest.
            continue;
        }
        let path = format!("kubernetes/{component}.yaml");
        let text = read(&path);
        let mut args = text.lines().filter_map(|l| l.trim().strip_prefix("- "));
        wrong.extend(unknown(&path, &command, &mut args));
        assert!(
            read("kubernetes/kustomization.yaml").contains(&format!("- {component}.yaml")),
            "kustomization.yaml leaves {component}.yaml out"
        );
    }
    let unit = read("systemd/promontory.service");
    let start = unit.lines().find(|l| l.starts_with("ExecStart="));
    let mut words = start.expect("a unit starts something").split_whitespace();
    wrong.extend(unknown(
        "systemd/promontory.service",
        "promontory",
        &mut words,
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
