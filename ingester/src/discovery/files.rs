//! Lists of targets in files, JSON or YAML.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::Labels;
use runtime::followed::{Stamp, stamp};

use super::{Error, LIST_BYTES_MAX, json_groups, labels};
use crate::config;

/// The files that some patterns match, and what they held when they were read.
#[derive(Debug)]
pub(super) struct Source {
    patterns: Vec<PathBuf>,
    files: BTreeMap<PathBuf, (Stamp, Vec<Labels>)>,
    started: bool,
}

impl Source {
    pub(super) fn new(patterns: Vec<PathBuf>) -> Self {
        Self {
            patterns,
            files: BTreeMap::new(),
            started: false,
        }
    }

    /// All targets, if a file changed or `force` says to read anyway, and what could not be read.
    /// A file that cannot be read keeps its targets; one that is gone loses them.
    pub(super) fn read(&mut self, force: bool) -> (Option<Vec<Labels>>, Option<Error>) {
        let (mut changed, mut failure) = (force || !self.started, None);
        self.started = true;
        let mut found = Vec::new();
        for pattern in &self.patterns {
            match matching_files(pattern) {
                Ok(files) => found.extend(files),
                Err(error) => failure = Some(Error(format!("{}: {error}", pattern.display()))),
            }
        }
        let before = self.files.len();
        self.files.retain(|file, _| found.contains(file));
        changed |= self.files.len() != before;
        for file in found {
            let stamp = stamp(&file);
            let known = self.files.get(&file).map(|(stamp, _)| *stamp);
            if !force && known == Some(stamp) {
                continue;
            }
            changed = true;
            match read_file(&file) {
                Ok(targets) => {
                    self.files.insert(file, (stamp, targets));
                }
                Err(error) => {
                    failure = Some(Error(format!("{}: {error}", file.display())));
                    // Not again before it is written again.
                    self.files.entry(file).or_default().0 = stamp;
                }
            }
        }
        let all = || self.files.values().flat_map(|(_, targets)| targets.clone());
        (changed.then(|| all().collect()), failure)
    }
}

fn read_file(file: &Path) -> Result<Vec<Labels>, Error> {
    let failed = |error: io::Error| Error(error.to_string());
    let len = fs::metadata(file).map_err(failed)?.len();
    if len > LIST_BYTES_MAX as u64 {
        return Err(Error(format!("{len} bytes are more than {LIST_BYTES_MAX}")));
    }
    let text = fs::read(file).map_err(failed)?;
    let groups = if file.extension().is_some_and(|end| end == "json") {
        json_groups(&text)?
    } else {
        let text = String::from_utf8_lossy(&text);
        config::target_groups(&text).map_err(|error| Error(error.to_string()))?
    };
    let path = file.to_string_lossy();
    let meta = [("__meta_filepath", &*path)];
    Ok(groups.iter().flat_map(|g| labels(g, &meta)).collect())
}

/// How many targets a file lists.
///
/// # Errors
/// What is wrong with it, in words.
pub fn targets_in(file: &Path) -> Result<usize, String> {
    match read_file(file) {
        Ok(targets) => Ok(targets.len()),
        Err(error) => Err(error.to_string()),
    }
}

/// The files that `pattern` matches, sorted. Only its last part may hold `*` and `?`; a pattern with
/// neither is the file itself, be it there or not.
///
/// # Errors
/// When its directory cannot be listed.
pub fn matching_files(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let dir = match pattern.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        // A bare pattern, as of a configuration file that was named without a directory.
        _ => Path::new("."),
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if matches(
            name.as_bytes(),
            entry.file_name().to_string_lossy().as_bytes(),
        ) {
            files.push(pattern.with_file_name(entry.file_name()));
        }
    }
    files.sort();
    Ok(files)
}

/// True when `*` and `?` of the pattern can stand for the rest of the name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on when the part after the last star does not match.
    let mut retry: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(b'?') => (p, n) = (p + 1, n + 1),
            Some(b) if *b == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (p, n) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.json", "a.json", true),
            ("*.json", "a.yml", false),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyyb", false),
            ("?.yml", "x.yml", true),
            ("?.yml", ".yml", false),
            ("*", "", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn bare_patterns_are_of_the_current_directory() {
        let found = |pattern: &str| matching_files(Path::new(pattern)).unwrap();
        assert_eq!(found("Cargo.?oml"), [Path::new("Cargo.toml")]);
        assert_eq!(found("./Cargo.?oml"), [Path::new("./Cargo.toml")]);
        assert!(found("no-directory/*").is_empty());
    }

    #[test]
    fn files_are_read_when_they_change_and_kept_when_they_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut source = Source::new(vec![path("*.json"), path("b.yml")]);
        let addresses = |targets: Vec<Labels>| -> Vec<String> {
            targets
                .iter()
                .map(|t| t.get("__address__").unwrap().to_owned())
                .collect()
        };
        let (found, error) = source.read(false);
        assert!(
            found.is_some_and(|t| t.is_empty()) && error.is_some(),
            "b.yml is missing"
        );

        fs::write(path("a.json"), "[\n\t{\"targets\": [\"a:1\"]}\n]").unwrap();
        fs::write(path("b.yml"), "- targets: [b:1]\n  labels: {env: x}\n").unwrap();
        let (found, error) = source.read(false);
        assert_eq!(error, None);
        let found = found.unwrap();
        assert_eq!(found[1].get("__meta_filepath"), path("b.yml").to_str());
        assert_eq!(found[1].get("env"), Some("x"));
        assert_eq!(addresses(found), ["a:1", "b:1"]);
        assert_eq!(source.read(false), (None, None));

        fs::write(path("a.json"), "[{\"targets\": [").unwrap();
        let (found, error) = source.read(false);
        assert_eq!(addresses(found.unwrap()), ["a:1", "b:1"]);
        assert!(error.unwrap().0.contains("a.json"));
        fs::remove_file(path("a.json")).unwrap();
        assert_eq!(addresses(source.read(false).0.unwrap()), ["b:1"]);
    }
}
