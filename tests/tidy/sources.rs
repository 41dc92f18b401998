//! Sources: length of files, words that mean unfinished work, names that say nothing.

use std::fs;
use std::path::{Path, PathBuf};

use promontory_tests::workspace_root;

/// No source file is longer than this, test files apart; aim for half of it.
const LINES_MAX: usize = 800;

/// Modules called this collect what has no place.
const BANNED_MODULES: [&str; 5] = ["utils", "util", "common", "helpers", "misc"];

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable tree") {
        let path = entry.expect("readable tree").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "corpus" | "artifacts") && !name.starts_with('.')
            {
                rust_files(&path, out);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = workspace_root();
    let mut files = Vec::new();
    rust_files(root, &mut files);
    assert!(files.len() > 20, "the tree was not found");
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).expect("sources are UTF-8");
            let name = file
                .strip_prefix(root)
                .expect("found below the root")
                .to_string_lossy()
                .into_owned();
            (name, text)
        })
        .collect()
}

#[test]
fn files_are_short() {
    let is_test = |name: &str| {
        name.contains("/tests") || name.starts_with("tests/") || name.contains("/benches/")
    };
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| !is_test(name))
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "split these files: {long:?}");
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelled apart so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimple", "mented!"),
        concat!("#[ig", "nore"),
    ];
    let mut found = Vec::new();
    for (name, text) in sources() {
        for (i, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn modules_have_telling_names() {
    let vague: Vec<_> = sources()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            Path::new(name).components().any(|c| {
                let part = c.as_os_str().to_string_lossy();
                BANNED_MODULES.contains(&part.trim_end_matches(".rs"))
            })
        })
        .collect();
    assert!(
        vague.is_empty(),
        "name these after what they hold: {vague:?}"
    );
}
