//! What the system knows of this process, under the names that every client library uses.

use std::fs;

use super::{Collect, Exposition};

/// Figures of the process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessMetrics {
    version: &'static str,
    started_ms: i64,
}

/// Ticks a second in `/proc`; a constant of Linux' ABI.
const TICKS: f64 = 100.0;
/// Bytes of a page in `/proc/self/statm`, on every platform that is built for.
const PAGE_BYTES: f64 = 4096.0;

impl ProcessMetrics {
    /// Figures of a process of this version that started at `started_ms`.
    pub const fn new(version: &'static str, started_ms: i64) -> Self {
        Self {
            version,
            started_ms,
        }
    }
}

impl Collect for ProcessMetrics {
    fn collect(&self, out: &mut Exposition) {
        let build = [("version", self.version)];
        out.gauge(
            "promontory_build_info",
            "Version of this build; always 1.",
            &build,
            1.0,
        );
        out.gauge(
            "thanos_build_info",
            "The same under the name that Thanos' dashboards look for.",
            &build_labels(self.version),
            1.0,
        );
        out.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since the Unix epoch.",
            &[],
            self.started_ms as f64 / 1e3,
        );
        if let Some(seconds) = cpu_seconds() {
            let help = "User and system CPU time of the process.";
            out.float_counter("process_cpu_seconds_total", help, &[], seconds);
        }
        if let Some((virtual_bytes, resident)) = memory() {
            let help = "Address space of the process.";
            out.gauge("process_virtual_memory_bytes", help, &[], virtual_bytes);
            let help = "Memory of the process that is resident.";
            out.gauge("process_resident_memory_bytes", help, &[], resident);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let help = "File descriptors that are open.";
            out.gauge("process_open_fds", help, &[], open.count() as f64);
        }
        if let Some([files, bytes]) = limits() {
            let help = "File descriptors that may be open.";
            out.gauge("process_max_fds", help, &[], files);
            let help = "Address space that the process may have; -1 for any.";
            out.gauge("process_virtual_memory_max_bytes", help, &[], bytes);
        }
    }
}

/// Labels of a build as Go's programs have them; there is neither a Go nor a commit to be named.
pub(crate) const fn build_labels(version: &'static str) -> [(&'static str, &'static str); 7] {
    let arch = match std::env::consts::ARCH.as_bytes() {
        b"x86_64" => "amd64",
        b"aarch64" => "arm64",
        _ => std::env::consts::ARCH,
    };
    [
        ("branch", ""),
        ("goarch", arch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("tags", ""),
        ("version", version),
    ]
}

/// The soft limits of open files and of the address space.
fn limits() -> Option<[f64; 2]> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_whitespace().next()? {
            "unlimited" => Some(-1.0),
            soft => soft.parse().ok(),
        }
    };
    Some([limit("Max open files")?, limit("Max address space")?])
}

/// User and system time; the fields 14 and 15 of `stat`, counted behind the name in parentheses.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

fn memory() -> Option<(f64, f64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().map(str::parse::<f64>);
    let mut bytes = || Some(pages.next()?.ok()? * PAGE_BYTES);
    Some((bytes()?, bytes()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_time_and_memory() {
        if !cfg!(target_os = "linux") {
            return;
        }
        assert!(cpu_seconds().is_some_and(|seconds| seconds >= 0.0));
        assert!(limits().is_some_and(|[files, bytes]| files >= 1.0 && bytes != 0.0));
        assert!(memory().is_some_and(|(all, resident)| all >= resident && resident > 1e5));
    }
}
