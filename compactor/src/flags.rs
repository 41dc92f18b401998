//! What is said on the command line, under Thanos' names, and what follows from it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bucket::{HashFunction, TimeBound, TimeBounds};
use model::Labels;
use model::labels::NameScheme;
use model::relabel::RelabelRule;
use model::time::DurationMs;
use runtime::yaml;
use runtime::{
    BucketConfig, BucketFlags, ByteSize, Environment, Error, ForeignFlags, ServerConfig,
    ServerFlags,
};
use tsdb::merge::Overlap;

use crate::plan::RANGES_MS;
use crate::rules::{LEASE, Retention, Rules};

/// Before every block.
const MIN_TIME: &str = "0000-01-01T00:00:00Z";

/// After every block.
const MAX_TIME: &str = "9999-12-31T23:59:59Z";

/// How long raw samples must be kept for blocks of 5 minutes to be made of them.
const RAW_RETENTION_MIN_MS: i64 = 40 * 3_600_000;
/// How long blocks of 5 minutes must be kept for those of 1 hour.
const FIVE_MINUTES_RETENTION_MIN_MS: i64 = 10 * 24 * 3_600_000;

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// The bucket.
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Directory for blocks in work; may be lost at any time.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Go on after everything is done, and look again from time to time.
    #[arg(long = "wait", short = 'w')]
    pub wait: bool,
    /// Pause between two looks with --wait.
    #[arg(long = "wait-interval", value_name = "DURATION", default_value = "5m")]
    pub wait_interval: DurationMs,
    /// What is merged and what is kept.
    #[command(flatten)]
    pub work: WorkFlags,
    /// What is shown.
    #[command(flatten)]
    pub viewer: ViewerFlags,
}

/// What is shown of the bucket with --wait.
#[derive(Debug, Clone, clap::Args)]
pub struct ViewerFlags {
    /// Pause between two looks at the whole bucket, for the page of blocks.
    #[arg(
        long = "block-viewer.global.sync-block-interval",
        value_name = "DURATION",
        default_value = "1m"
    )]
    pub pause: DurationMs,
    /// How long such a look may take.
    #[arg(
        long = "block-viewer.global.sync-block-timeout",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub patience: DurationMs,
    /// External label that begins the titles of groups on the page of blocks.
    #[arg(
        long = "bucket-web-label",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub label: String,
    /// Mark no blocks for who asks by POST to /api/v1/blocks/mark.
    #[arg(long = "disable-admin-operations")]
    pub admin_disabled: bool,
}

/// What is merged and what is kept.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkFlags {
    /// How old an upload must be to take part, so that the store shows all of it to everybody.
    #[arg(
        long = "consistency-delay",
        value_name = "DURATION",
        default_value = "30m"
    )]
    pub consistency_delay: DurationMs,
    /// How long a block that is marked for deletion stays, for readers that still use it.
    #[arg(long = "delete-delay", value_name = "DURATION", default_value = "48h")]
    pub delete_delay: DurationMs,
    /// How long raw samples are kept; 0d is for ever.
    #[arg(
        long = "retention.resolution-raw",
        value_name = "DURATION",
        default_value = "0d"
    )]
    pub retention_raw: DurationMs,
    /// How long samples of 5 minutes are kept; 0d is for ever.
    #[arg(
        long = "retention.resolution-5m",
        value_name = "DURATION",
        default_value = "0d"
    )]
    pub retention_5m: DurationMs,
    /// How long samples of 1 hour are kept; 0d is for ever.
    #[arg(
        long = "retention.resolution-1h",
        value_name = "DURATION",
        default_value = "0d"
    )]
    pub retention_1h: DurationMs,
    /// Groups of blocks that are worked on at once.
    #[arg(
        long = "compact.concurrency",
        value_name = "COUNT",
        default_value_t = 1
    )]
    pub concurrency: u16,
    /// Blocks of a group that are downloaded at once.
    #[arg(
        long = "compact.blocks-fetch-concurrency",
        value_name = "COUNT",
        default_value_t = 1
    )]
    pub downloads: u16,
    /// Largest index that a block may have, with a unit such as GB.
    #[arg(
        long = "compact.block-max-index-size",
        value_name = "BYTES",
        default_value = "64GB"
    )]
    pub index_bytes_max: ByteSize,
    /// How often blocks are merged on: 4 is up to two weeks, 3 up to two days.
    #[arg(
        long = "debug.max-compaction-level",
        value_name = "LEVEL",
        default_value_t = 4
    )]
    pub level_max: u8,
    /// External label that tells replicas apart; their blocks are merged into one. May be repeated.
    #[arg(long = "deduplication.replica-label", value_name = "NAME")]
    pub replica_labels: Vec<String>,
    /// What becomes of samples where blocks overlap: empty keeps all, as is right for exact copies and
    /// late samples; penalty follows one replica and changes to another at its gaps, as is right for
    /// replicas that scraped each for itself. What penalty leaves out is gone.
    #[arg(
        long = "deduplication.func",
        value_name = "FUNCTION",
        default_value = ""
    )]
    pub dedup_func: String,
    /// Says that blocks may overlap. They are merged in any case; with penalty and no replica label, it
    /// says that this is what is meant.
    #[arg(long = "compact.enable-vertical-compaction")]
    pub vertical: bool,
    /// Earliest time that blocks take part, such as 2024-01-02T03:04:05Z or -6w.
    #[arg(
        long = "min-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        default_value = MIN_TIME
    )]
    pub min_time: TimeBound,
    /// Latest time that blocks take part.
    #[arg(
        long = "max-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        default_value = MAX_TIME
    )]
    pub max_time: TimeBound,
    /// File with relabelling rules, in Prometheus' form: blocks whose external labels they keep
    /// take part.
    #[arg(
        long = "selector.relabel-config-file",
        value_name = "FILE",
        conflicts_with = "selector"
    )]
    pub selector_file: Option<PathBuf>,
    /// The rules themselves, instead of a file.
    #[arg(long = "selector.relabel-config", value_name = "YAML")]
    pub selector: Option<String>,
    /// Takes any --retention.resolution-raw and -5m. Nothing is downsampled here in any case; without
    /// this, what Thanos needs for downsampling is asked for.
    #[arg(long = "downsampling.disable")]
    pub downsampling_disabled: bool,
    /// Hashes files of blocks, so that whoever has them need not download them again: SHA256, or
    /// nothing.
    #[arg(
        long = "hash-func",
        value_name = "FUNCTION",
        default_value = "",
        hide_default_value = true
    )]
    pub hash: HashFunction,
}

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "compact.cleanup-interval",
        "compact.progress-interval",
        "downsample.concurrency",
        "block-files-concurrency",
        "block-meta-fetch-concurrency",
        "block-discovery-strategy",
    ],
    switches: &[
        "compact.skip-block-with-out-of-order-chunks",
        "debug.halt-on-error",
        "debug.accept-malformed-index",
    ],
    loud: &[],
    refused: &[],
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// The bucket's configuration.
    pub bucket: BucketConfig,
    /// Directory for blocks in work.
    pub data_dir: PathBuf,
    /// Pause between two looks at the bucket; `None` is to look once.
    pub wait: Option<Duration>,
    /// What is merged and what is kept.
    pub rules: Rules,
    /// What is shown.
    pub viewer: ViewerConfig,
}

/// What is shown of the bucket.
#[derive(Debug, Clone)]
pub struct ViewerConfig {
    /// Pause between two looks.
    pub pause: Duration,
    /// How long a look may take.
    pub patience: Duration,
    /// External label that titles begin with; may be empty.
    pub label: String,
    /// Blocks are marked for who asks.
    pub may_mark: bool,
    /// Where is kept what is known of blocks; may be lost at any time.
    pub dir: PathBuf,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let wait_ms = positive("wait-interval", self.wait_interval)?;
        let viewer = self.viewer.resolve(&self.data_dir)?;
        Ok(Config {
            servers: self.servers.resolve()?,
            bucket: self.bucket.require(environment)?,
            data_dir: self.data_dir,
            wait: self.wait.then(|| Duration::from_millis(wait_ms)),
            rules: self.work.resolve(environment)?,
            viewer,
        })
    }
}

impl ViewerFlags {
    fn resolve(self, data_dir: &Path) -> Result<ViewerConfig, Error> {
        let time = |name, duration| positive(name, duration).map(Duration::from_millis);
        Ok(ViewerConfig {
            pause: time("block-viewer.global.sync-block-interval", self.pause)?,
            patience: time("block-viewer.global.sync-block-timeout", self.patience)?,
            label: self.label,
            may_mark: !self.admin_disabled,
            dir: data_dir.join("viewer"),
        })
    }
}

impl WorkFlags {
    fn resolve(self, environment: &Environment) -> Result<Rules, Error> {
        let (selector, lease) = self.selector(environment)?;
        let retention = self.retention()?;
        let levels = usize::from(self.level_max);
        if !(1..RANGES_MS.len()).contains(&levels) {
            return Err(flag("debug.max-compaction-level", "use 1 to 4"));
        }
        if self.concurrency == 0 {
            return Err(flag("compact.concurrency", "allow at least 1 group"));
        }
        let overlap = self.overlap()?;
        Ok(Rules {
            lease,
            time: TimeBounds {
                min: self.min_time,
                max: self.max_time,
            },
            selector,
            consistency_delay_ms: self.consistency_delay.0,
            delete_delay_ms: self.delete_delay.0,
            retention,
            replica_labels: self.replica_labels,
            overlap,
            ranges_ms: RANGES_MS[..=levels].to_vec(),
            index_bytes_max: self.index_bytes_max.0,
            concurrency: usize::from(self.concurrency),
            downloads: usize::from(self.downloads.max(1)),
            hash: self.hash,
        })
    }

    /// What becomes of samples where blocks overlap. Without replicas penalty would take late samples for
    /// those of a replica, and leave them out; so that has to be said twice.
    fn overlap(&self) -> Result<Overlap, Error> {
        let has_replicas = !self.replica_labels.is_empty();
        let reason = match self.dedup_func.as_str() {
            "" => return Ok(Overlap::Union),
            "penalty" if has_replicas || self.vertical => return Ok(Overlap::Penalty),
            "penalty" => {
                "name the label that tells replicas apart by --deduplication.replica-label; without one, \
                 penalty leaves out samples of one and the same producer that came late, and \
                 --compact.enable-vertical-compaction says that this is meant"
            }
            _ => "use penalty, or leave it empty where replicas have equal samples",
        };
        Err(flag("deduplication.func", reason))
    }

    /// How long blocks are kept. As in Thanos no resolution may go before the next coarser one could
    /// be made of it, unless downsampling is off.
    fn retention(&self) -> Result<Retention, Error> {
        let retention = Retention {
            raw_ms: self.retention_raw.0,
            five_minutes_ms: self.retention_5m.0,
            hour_ms: self.retention_1h.0,
        };
        if self.downsampling_disabled {
            return Ok(retention);
        }
        for (name, ms, least_ms, reason) in [
            (
                "retention.resolution-raw",
                retention.raw_ms,
                RAW_RETENTION_MIN_MS,
                "keep raw samples for 40h or more, for downsampling to 5m; or say --downsampling.disable",
            ),
            (
                "retention.resolution-5m",
                retention.five_minutes_ms,
                FIVE_MINUTES_RETENTION_MIN_MS,
                "keep samples of 5m for 10d or more, for downsampling to 1h; or say --downsampling.disable",
            ),
        ] {
            if ms != 0 && ms < least_ms {
                return Err(flag(name, reason));
            }
        }
        if retention.raw_ms != 0 {
            tracing::warn!(
                "nothing is downsampled here: raw samples that --retention.resolution-raw removes are \
                 gone, unless a compactor of Thanos has downsampled them before"
            );
        }
        Ok(retention)
    }

    /// Which blocks take part, and the lease of who is told the same.
    fn selector(&self, environment: &Environment) -> Result<(Vec<RelabelRule>, String), Error> {
        let (file, text) = (self.selector_file.as_deref(), self.selector.as_deref());
        let flag = "selector.relabel-config";
        let text = environment.configuration(flag, file, text)?;
        let lease = self.lease(text.as_deref().unwrap_or_default());
        let rules = yaml::relabel_rules(flag, text, NameScheme::Legacy)?;
        Ok((rules, lease))
    }

    fn lease(&self, selector: &str) -> String {
        let is_always =
            MIN_TIME.parse() == Ok(self.min_time) && MAX_TIME.parse() == Ok(self.max_time);
        if is_always && selector.trim().is_empty() {
            return LEASE.to_owned();
        }
        let time = format!("{:?} {:?}", self.min_time, self.max_time);
        let part = Labels::from_pairs([("selector", selector.trim()), ("time", &time)]);
        format!("{LEASE}-{:016x}", part.stable_hash())
    }
}

fn flag(flag: &'static str, reason: &str) -> Error {
    Error::Flag {
        flag,
        reason: reason.to_owned(),
    }
}

/// The milliseconds of a duration that may not be zero.
fn positive(name: &'static str, duration: DurationMs) -> Result<u64, Error> {
    match u64::try_from(duration.0) {
        Ok(ms) if ms > 0 => Ok(ms),
        _ => Err(flag(name, "use 1ms or more")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn resolve(args: &str) -> Result<Config, String> {
        let bucket = "--objstore.config=x";
        let line = ["compactor", bucket]
            .into_iter()
            .chain(args.split_whitespace());
        let line = Line::try_parse_from(line).map_err(|e| e.to_string())?;
        line.flags
            .resolve(&Environment::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_thanos() {
        let config = resolve("").unwrap();
        let rules = config.rules;
        assert_eq!(config.wait, None);
        assert_eq!(rules.consistency_delay_ms, 1_800_000);
        assert_eq!(rules.delete_delay_ms, 48 * 3_600_000);
        assert_eq!(rules.ranges_ms, RANGES_MS);
        assert_eq!(rules.index_bytes_max, 64 << 30);
        assert_eq!(rules.retention, Retention::default());
    }

    #[test]
    fn values_are_checked() {
        let config = resolve("--wait --wait-interval=1m --debug.max-compaction-level=2").unwrap();
        assert_eq!(config.wait, Some(Duration::from_secs(60)));
        assert_eq!(config.rules.ranges_ms, RANGES_MS[..3]);
        assert!(resolve("--min-time=-6w --max-time -1h").is_ok());
        assert!(resolve("--retention.resolution-raw=40h --retention.resolution-5m=10d").is_ok());
        let short = "--retention.resolution-raw=1h --downsampling.disable";
        assert_eq!(resolve(short).unwrap().rules.retention.raw_ms, 3_600_000);
        let replicas = "--deduplication.replica-label=a --deduplication.replica-label=b";
        let rules = resolve(replicas).unwrap().rules;
        assert_eq!(rules.replica_labels, ["a", "b"]);
        assert_eq!(rules.overlap, Overlap::Union);
        for more in [
            "--deduplication.replica-label=a",
            "--compact.enable-vertical-compaction",
        ] {
            let rules = resolve(&format!("--deduplication.func=penalty {more}"))
                .unwrap()
                .rules;
            assert_eq!(rules.overlap, Overlap::Penalty);
        }
        for (args, said) in [
            ("--wait-interval=0s", "wait-interval"),
            ("--debug.max-compaction-level=5", "1 to 4"),
            ("--deduplication.func=best", "penalty"),
            (
                "--deduplication.func=penalty",
                "deduplication.replica-label",
            ),
            (
                "--selector.relabel-config=[{action:x}]",
                "selector.relabel-config",
            ),
            ("--compact.block-max-index-size=3XB", "no size"),
            ("--retention.resolution-raw=1h", "40h"),
            ("--retention.resolution-5m=9d", "10d"),
        ] {
            let error = resolve(args).unwrap_err();
            assert!(error.contains(said), "{args}: {error}");
        }
    }
}
