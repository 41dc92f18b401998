//! How much memory this process may have, from which limits follow that nobody named.
//!
//! A control group of Linux says it, of the second version (`memory.max`) or the first
//! (`memory.limit_in_bytes`), where it or one above it has a limit; else it is what the machine has.
//! Both are read once, at the start.

use std::fmt;
use std::fs;
use std::path::Path;

/// What a process is taken to have where the system does not say.
const ASSUMED: u64 = 8 << 30;

/// How much memory there is, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes.
    pub bytes: u64,
    /// Who says so.
    pub source: MemorySource,
}

/// Who says how much memory there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySource {
    /// A control group of the second version.
    CgroupV2,
    /// A control group of the first version.
    CgroupV1,
    /// The machine has that much.
    Machine,
    /// Nobody.
    Assumed,
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV2 => "cgroup v2",
            Self::CgroupV1 => "cgroup v1",
            Self::Machine => "machine",
            Self::Assumed => "assumed",
        })
    }
}

impl Default for Memory {
    /// Eight gibibytes, for who did not look.
    fn default() -> Self {
        Self {
            bytes: ASSUMED,
            source: MemorySource::Assumed,
        }
    }
}

impl Memory {
    /// What this process may have.
    pub fn of_this_process() -> Self {
        Self::below(Path::new("/"))
    }

    /// As [`Memory::of_this_process`], with the files of the system below `root`.
    fn below(root: &Path) -> Self {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mounts = root.join("sys/fs/cgroup");
        let limits = groups.lines().filter_map(|line| {
            // hierarchy:controllers:path
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let (mount, file, source) = match controllers {
                "" => (mounts.clone(), "memory.max", MemorySource::CgroupV2),
                list if list.split(',').any(|name| name == "memory") => (
                    mounts.join("memory"),
                    "memory.limit_in_bytes",
                    MemorySource::CgroupV1,
                ),
                _ => return None,
            };
            let bytes = lowest(&mount, path.trim_start_matches('/'), file)?;
            Some(Self { bytes, source })
        });
        let machine = fs::read_to_string(root.join("proc/meminfo"))
            .ok()
            .and_then(|text| total(&text));
        let machine = machine.map(|bytes| Self {
            bytes,
            source: MemorySource::Machine,
        });
        // Of equals the machine is named: the first version has a huge number for no limit.
        let all = machine.into_iter().chain(limits);
        all.min_by_key(|memory| memory.bytes).unwrap_or_default()
    }

    /// One of `parts` equal parts, in bytes.
    pub const fn part(self, parts: u64) -> u64 {
        self.bytes / parts
    }
}

/// The lowest limit of the group at `path` below `mount`, and of those above it. In a container the
/// path may be that of the host, and only what is mounted is there.
fn lowest(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let group = mount.join(path);
    let groups = group.ancestors().take_while(|dir| dir.starts_with(mount));
    let limit = |dir: &Path| {
        let text = fs::read_to_string(dir.join(file)).ok()?;
        // "max" is no number.
        text.trim().parse::<u64>().ok().filter(|bytes| *bytes > 0)
    };
    groups.filter_map(limit).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let said = lines.find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = said.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where the system has these files.
    fn found(files: &[(&str, &str)]) -> (u64, MemorySource) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let Memory { bytes, source } = Memory::below(root.path());
        (bytes, source)
    }

    const MACHINE: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       16000 kB\nMemFree:        1 kB\n",
    );

    #[test]
    fn the_lowest_limit_holds() {
        let v2 = ("proc/self/cgroup", "0::/a/b\n");
        let v1 = ("proc/self/cgroup", "5:cpu:/\n4:hugetlb,memory:/a\n0::/a\n");
        for (files, expected) in [
            (vec![], (ASSUMED, MemorySource::Assumed)),
            (vec![MACHINE], (16_384_000, MemorySource::Machine)),
            (
                vec![MACHINE, v2, ("sys/fs/cgroup/a/b/memory.max", "max\n")],
                (16_384_000, MemorySource::Machine),
            ),
            (
                vec![
                    MACHINE,
                    v2,
                    ("sys/fs/cgroup/a/b/memory.max", "5000\n"),
                    ("sys/fs/cgroup/a/memory.max", "4096\n"),
                ],
                (4096, MemorySource::CgroupV2),
            ),
            // A container sees its own group at the top.
            (
                vec![MACHINE, v2, ("sys/fs/cgroup/memory.max", "4096\n")],
                (4096, MemorySource::CgroupV2),
            ),
            (
                vec![
                    MACHINE,
                    v1,
                    ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "8192\n"),
                ],
                (8192, MemorySource::CgroupV1),
            ),
            (
                vec![
                    MACHINE,
                    v1,
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                (16_384_000, MemorySource::Machine),
            ),
        ] {
            assert_eq!(found(&files), expected, "{files:?}");
        }
    }
}
