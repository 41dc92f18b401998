//! Addresses from files (`--store.sd-files`), in the form of Prometheus' file discovery: a list of
//! groups with `targets`, as YAML or JSON.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A group of targets; its labels mean nothing here.
#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
}

/// The addresses in all files that a pattern names.
///
/// # Errors
/// The first file that cannot be read, and why.
pub fn addresses(patterns: &[String]) -> Result<Vec<String>, String> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        for path in matching(Path::new(pattern))? {
            let shown = path.display();
            let text = std::fs::read_to_string(&path).map_err(|e| format!("read {shown}: {e}"))?;
            let groups: Vec<Group> = match text.trim() {
                "" => Vec::new(),
                // JSON is YAML.
                text => runtime::yaml::read(text).map_err(|e| format!("read {shown}: {e}"))?,
            };
            found.extend(groups.into_iter().flat_map(|group| group.targets));
        }
    }
    Ok(found.into_iter().collect())
}

/// The files that a path names, in whose last part `*` stands for anything.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let name = pattern.file_name().and_then(|name| name.to_str());
    let Some((before, after)) = name.and_then(|name| name.split_once('*')) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let dir = match pattern.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let entries = dir
        .read_dir()
        .map_err(|e| format!("list {}: {e}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let rest = name.and_then(|name| name.strip_prefix(before));
            rest.is_some_and(|rest| rest.ends_with(after))
        })
        .collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.yaml", "- targets: ['a:1', 'b:2']\n  labels: {x: y}\n");
        write("b.json", r#"[{"targets": ["b:2", "c:3"]}]"#);
        write("c.yaml", "");
        let pattern = |name: &str| dir.path().join(name).display().to_string();
        let all = addresses(&[pattern("*.yaml"), pattern("b.json")]).unwrap();
        assert_eq!(all, ["a:1", "b:2", "c:3"]);
        assert!(addresses(&[pattern("none.json")]).is_err());
        write("d.yaml", "targets: 5");
        assert!(
            addresses(&[pattern("d.yaml")])
                .unwrap_err()
                .contains("d.yaml")
        );
    }
}
