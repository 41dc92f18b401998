//! The files of Prometheus' configuration.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use runtime::Environment;

use crate::flags::ReloaderConfig;

/// Bytes of a configuration, unpacked.
const CONFIG_BYTES_MAX: u64 = 64 << 20;
/// Directories below one another.
const DEPTH_MAX: usize = 32;
/// The first bytes of a file that gzip made.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What is watched, and where the configuration is written to.
#[derive(Debug)]
pub(super) struct Files {
    config: Option<PathBuf>,
    output: Option<PathBuf>,
    rule_dirs: Vec<PathBuf>,
    environment: Environment,
}

impl Files {
    pub(super) fn new(config: &ReloaderConfig) -> Self {
        Self {
            config: config.config_file.clone(),
            output: config.output_file.clone(),
            rule_dirs: config.rule_dirs.clone(),
            environment: config.environment.clone(),
        }
    }

    /// Reads all files and writes the configuration for Prometheus, where it is not written so yet.
    /// Returns a fingerprint of all that Prometheus reads.
    ///
    /// # Errors
    /// A sentence that names the file, when one cannot be read, unpacked, expanded or written.
    pub(super) fn apply(&self) -> Result<u64, String> {
        let mut hasher = DefaultHasher::new();
        if let Some(file) = &self.config {
            let about = |reason: String| format!("{}: {reason}", file.display());
            let text = read(file).map_err(|error| about(error.to_string()))?;
            if let Some(output) = &self.output {
                let expanded = self.environment.expand_parentheses(&text).map_err(about)?;
                let is_written = fs::read(output).is_ok_and(|old| old == expanded.as_bytes());
                if !is_written {
                    tsdb::durable::replace(output, expanded.as_bytes())
                        .map_err(|error| format!("cannot write {}: {error}", output.display()))?;
                }
                expanded.hash(&mut hasher);
            } else {
                text.hash(&mut hasher);
            }
        }
        for dir in &self.rule_dirs {
            hash_dir(dir, DEPTH_MAX, &mut hasher)
                .map_err(|error| format!("rules in {}: {error}", dir.display()))?;
        }
        Ok(hasher.finish())
    }
}

/// The text of a file, which may be packed by gzip.
fn read(path: &Path) -> io::Result<String> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    let mut file = File::open(path)?;
    file.by_ref()
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    let is_packed = start == GZIP_MAGIC;
    let whole = start.as_slice().chain(file);
    let mut text = String::new();
    let limit = CONFIG_BYTES_MAX + 1;
    if is_packed {
        MultiGzDecoder::new(whole)
            .take(limit)
            .read_to_string(&mut text)?;
    } else {
        whole.take(limit).read_to_string(&mut text)?;
    }
    if text.len() as u64 > CONFIG_BYTES_MAX {
        let reason = format!("longer than the {CONFIG_BYTES_MAX} bytes that are read");
        return Err(io::Error::other(reason));
    }
    Ok(text)
}

/// Hashes names and bytes of the files in a directory and, but for links, in those below it.
fn hash_dir(dir: &Path, depth: usize, hasher: &mut DefaultHasher) -> io::Result<()> {
    if depth == 0 {
        let reason = format!("directories are nested deeper than {DEPTH_MAX}");
        return Err(io::Error::other(reason));
    }
    let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            hash_dir(&path, depth - 1, hasher)?;
        } else if fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            path.hash(hasher);
            hash_file(&path, hasher)?;
        }
    }
    Ok(())
}

fn hash_file(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = [0; 16 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hasher.write(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn files(dir: &Path) -> Files {
        Files {
            config: Some(dir.join("prometheus.yml.gz")),
            output: Some(dir.join("out.yml")),
            rule_dirs: vec![dir.join("rules")],
            environment: Environment::new([("POD".into(), "prometheus-0".into())]),
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn configuration_is_unpacked_and_expanded() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let config = files.config.clone().unwrap();
        fs::create_dir(dir.path().join("rules")).unwrap();
        fs::write(&config, gzip("replica: $(POD)\n")).unwrap();
        let packed = files.apply().unwrap();
        let written = || fs::read_to_string(dir.path().join("out.yml")).unwrap();
        assert_eq!(written(), "replica: prometheus-0\n");

        // The same, written otherwise, is no change.
        fs::write(&config, "replica: $(POD)\n").unwrap();
        assert_eq!(files.apply(), Ok(packed));

        fs::write(&config, "replica: $(HOST)\n").unwrap();
        let error = files.apply().unwrap_err();
        assert!(error.contains("HOST"), "{error}");
        assert_eq!(written(), "replica: prometheus-0\n");
    }

    #[test]
    fn rules_are_watched_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        fs::write(dir.path().join("prometheus.yml.gz"), "").unwrap();
        assert!(files.apply().unwrap_err().contains("rules"));

        // As Kubernetes mounts: names are links to links.
        let rules = dir.path().join("rules");
        for version in ["1", "2"] {
            fs::create_dir_all(rules.join(version)).unwrap();
        }
        for version in ["1", "2"] {
            fs::write(rules.join(version).join("a.yml"), "groups: []").unwrap();
        }
        symlink("1", rules.join("..data")).unwrap();
        symlink("..data/a.yml", rules.join("a.yml")).unwrap();
        let first = files.apply().unwrap();
        assert_eq!(files.apply(), Ok(first));

        fs::write(rules.join("2/a.yml"), "groups: [a]").unwrap();
        let second = files.apply().unwrap();
        assert_ne!(second, first);
        symlink("2", rules.join("..new")).unwrap();
        fs::rename(rules.join("..new"), rules.join("..data")).unwrap();
        assert_ne!(files.apply(), Ok(second));
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb.yml");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let spaces = vec![b' '; 1 << 20];
        for _ in 0..=64 {
            encoder.write_all(&spaces).unwrap();
        }
        fs::write(&path, encoder.finish().unwrap()).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("longer"));
    }
}
