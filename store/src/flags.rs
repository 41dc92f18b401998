//! Flags of the store, under Thanos' names, and what they resolve to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::labels::NameScheme;
use model::relabel::RelabelRule;
use model::time::{DurationMs, parse_timestamp};
use runtime::http::HttpLimits;
use runtime::yaml;
use runtime::{BucketConfig, BucketFlags, ByteSize, Environment, Error, ServerConfig, ServerFlags};
use storeapi::grpc::Limits as AnswerLimits;

use crate::caches::CacheFlags;
use crate::gateway::Options;
use crate::limits::Limits;
use crate::sync::{Bounds, Strategy, SyncOptions, TimeBound};

/// A cache on disk that is worth it.
const DISK_CACHE_MIN: u64 = 16 << 20;
/// Memory for chunks where there is plenty and nothing is said.
const CHUNK_POOL: u64 = 2 << 30;
/// The same for indexes.
const INDEX_CACHE: u64 = 250 << 20;

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// The bucket.
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Which blocks are served.
    #[command(flatten)]
    pub selection: SelectionFlags,
    /// What may be used.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// Directory for index-headers and copies of meta.json; may be lost at any time.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Mark no blocks for who asks by POST to /api/v1/blocks/mark.
    #[arg(long = "disable-admin-operations")]
    pub no_admin: bool,
}

/// Flags that say which blocks are served.
#[derive(Debug, Clone, clap::Args)]
pub struct SelectionFlags {
    /// How often the bucket is looked at for new and deleted blocks.
    #[arg(
        long = "sync-block-duration",
        value_name = "DURATION",
        default_value = "15m"
    )]
    pub sync_interval: DurationMs,
    /// Blocks whose index-headers are made at once.
    #[arg(
        long = "block-sync-concurrency",
        value_name = "COUNT",
        default_value_t = 20
    )]
    pub sync_concurrency: u16,
    /// Blocks are served only when they were uploaded this long ago, but for those of a compactor.
    #[arg(
        long = "consistency-delay",
        value_name = "DURATION",
        default_value = "0s"
    )]
    pub consistency_delay: DurationMs,
    /// Blocks are served this long after they were marked for deletion; must be less than the
    /// compactor's --delete-delay.
    #[arg(
        long = "ignore-deletion-marks-delay",
        value_name = "DURATION",
        default_value = "24h"
    )]
    pub ignore_deletion_marks_delay: DurationMs,
    /// Blocks that end before are not served: RFC 3339, or a duration before now such as -6w.
    #[arg(
        long = "min-time",
        value_name = "TIME",
        default_value = "0000-01-01T00:00:00Z",
        allow_hyphen_values = true
    )]
    pub min_time: String,
    /// Blocks that start after are not served: RFC 3339, or a duration before now such as -2d.
    #[arg(
        long = "max-time",
        value_name = "TIME",
        default_value = "9999-12-31T23:59:59Z",
        allow_hyphen_values = true
    )]
    pub max_time: String,
    /// File with relabelling rules that keep or drop blocks by their external labels and
    /// __block_id.
    #[arg(
        long = "selector.relabel-config-file",
        value_name = "FILE",
        conflicts_with = "relabel_config"
    )]
    pub relabel_config_file: Option<PathBuf>,
    /// The relabelling rules themselves, instead of a file.
    #[arg(long = "selector.relabel-config", value_name = "YAML")]
    pub relabel_config: Option<String>,
    /// When index-headers are made: as a block comes into view, or when a query first needs it.
    #[arg(
        long = "store.index-header-lazy-download-strategy",
        value_name = "STRATEGY",
        default_value = "eager"
    )]
    pub strategy: Strategy,
}

/// Flags that bound memory and what requests may cost.
#[derive(Debug, Clone, clap::Args)]
pub struct LimitFlags {
    /// Memory for indexes: what was read of them, results of matchers, open ones. Not said, 250MB, or an
    /// eighth of the memory where that is less.
    #[arg(long = "index-cache-size", value_name = "BYTES")]
    pub index_cache: Option<ByteSize>,
    /// Thanos' configuration of caches.
    #[command(flatten)]
    pub caches: CacheFlags,
    /// Memory for chunks: half for those that were read, half for those on their way to clients. Not
    /// said, 2GB, or a quarter of the memory where that is less.
    #[arg(long = "chunk-pool-size", value_name = "BYTES")]
    pub chunk_pool: Option<ByteSize>,
    /// Disk below --data-dir for what was read of indexes and chunks, for buckets that are not
    /// folders here; 0 for none.
    #[arg(long = "disk-cache-size", value_name = "BYTES", default_value = "1GB")]
    pub disk_cache: ByteSize,
    /// How long an index that nobody reads stays open.
    #[arg(
        long = "store.index-header-lazy-reader-idle-timeout",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub index_idle: DurationMs,
    /// Series entries that are read of a block at once.
    #[arg(
        long = "debug.series-batch-size",
        value_name = "COUNT",
        default_value_t = 10_000
    )]
    pub series_batch: u32,
    /// Requests for series that are answered at once; more wait.
    #[arg(
        long = "store.grpc.series-max-concurrency",
        value_name = "COUNT",
        default_value_t = 20
    )]
    pub concurrency: u16,
    /// Most series of a request, those of each block counted; 0 for no limit. Not said, one for every
    /// 1,600 bytes of memory.
    #[arg(
        long = "store.limits.request-series",
        alias = "store.grpc.touched-series-limit",
        value_name = "COUNT"
    )]
    pub series_max: Option<u64>,
    /// Most samples of a request, 120 for each chunk; 0 for no limit. Not said, one for every 4 bytes of
    /// memory.
    #[arg(
        long = "store.limits.request-samples",
        alias = "store.grpc.series-sample-limit",
        value_name = "COUNT"
    )]
    pub samples_max: Option<u64>,
    /// Most blocks that may have series of one answer, which holds them open until it ends; 0 for no limit.
    /// Not said, one for every 128 KiB of memory, and no more than 30,000, since each takes two of the mappings
    /// that a process may have.
    #[arg(long = "store.limits.request-blocks", value_name = "COUNT")]
    pub blocks_max: Option<u64>,
    /// Most bytes that a request may read of the bucket; 0 for no limit. Not said, as many as there is
    /// memory, of which chunks in a folder do not count: they are sent without being held.
    #[arg(long = "store.grpc.downloaded-bytes-limit", value_name = "BYTES")]
    pub bytes_max: Option<ByteSize>,
}

/// Memory for each block that an answer may hold, which takes a tenth of it.
const BLOCK_MEMORY: u64 = 128 << 10;
/// Blocks that an answer may hold, whatever memory there is, unless something else is said. Linux allows a
/// process 65,530 mappings.
const BLOCKS_MIN: u64 = 1_000;
const BLOCKS_MAX: u64 = 30_000;

/// What the component works with: complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// What clients of the HTTP server may use.
    pub http: HttpLimits,
    /// The bucket's configuration.
    pub bucket: BucketConfig,
    /// How the gateway works.
    pub gateway: Options,
    /// How the bucket is looked at.
    pub sync: SyncOptions,
    /// Who asks over HTTP may mark blocks.
    pub may_mark: bool,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let gateway = self.limits.resolve(self.data_dir.clone(), environment)?;
        Ok(Config {
            servers: self.servers.resolve()?,
            http: HttpLimits::default(),
            bucket: self.bucket.require(environment)?,
            gateway,
            may_mark: !self.no_admin,
            sync: self.selection.resolve(self.data_dir, environment)?,
        })
    }
}

impl Config {
    /// Flags of caches and limits under their names as they took effect, for the API to show.
    pub fn effective_flags(&self) -> BTreeMap<String, String> {
        let Options {
            index_cache_bytes,
            chunk_bytes,
            disk_cache_bytes,
            concurrency,
            limits,
            ..
        } = &self.gateway;
        [
            ("index-cache-size", index_cache_bytes.to_string()),
            ("chunk-pool-size", chunk_bytes.to_string()),
            ("disk-cache-size", disk_cache_bytes.to_string()),
            ("store.grpc.series-max-concurrency", concurrency.to_string()),
            (
                "store.grpc.downloaded-bytes-limit",
                limits.bytes_max.to_string(),
            ),
            ("store.limits.request-series", limits.series_max.to_string()),
            (
                "store.limits.request-samples",
                limits.samples_max.to_string(),
            ),
            ("store.limits.request-blocks", limits.blocks_max.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl LimitFlags {
    fn resolve(&self, data_dir: PathBuf, environment: &Environment) -> Result<Options, Error> {
        if self.concurrency == 0 {
            return Err(refused(
                "store.grpc.series-max-concurrency",
                "allow at least 1 request",
            ));
        }
        if self.series_batch == 0 {
            return Err(refused("debug.series-batch-size", "read at least 1 series"));
        }
        if self.disk_cache.0 > 0 && self.disk_cache.0 < DISK_CACHE_MIN {
            return Err(refused("disk-cache-size", "use 16MB or more, or 0"));
        }
        let of_bucket = self.caches.chunk_bytes(environment)?;
        let memory = environment.memory();
        let said = |size: Option<ByteSize>| size.map(|ByteSize(bytes)| bytes);
        let bytes_max = said(self.bytes_max);
        let chunk_pool = said(self.chunk_pool).unwrap_or(CHUNK_POOL.min(memory.part(4)));
        let index_cache = said(self.index_cache).unwrap_or(INDEX_CACHE.min(memory.part(8)));
        let answer = AnswerLimits::new(self.series_max, self.samples_max, memory);
        Ok(Options {
            data_dir,
            disk_cache_bytes: self.disk_cache.0,
            index_cache_bytes: self.caches.index_bytes(environment)?.unwrap_or(index_cache),
            chunk_bytes: chunk_pool.saturating_add(of_bucket.unwrap_or(0)),
            index_idle: positive(
                "store.index-header-lazy-reader-idle-timeout",
                self.index_idle,
            )?,
            series_batch: self.series_batch as usize,
            concurrency: usize::from(self.concurrency),
            limits: Limits {
                series_max: answer.series_max,
                samples_max: answer.samples_max,
                blocks_max: (self.blocks_max)
                    .unwrap_or(memory.part(BLOCK_MEMORY).clamp(BLOCKS_MIN, BLOCKS_MAX)),
                bytes_max: bytes_max.unwrap_or(memory.bytes),
                mapped_bytes_max: bytes_max.unwrap_or(0),
            },
        })
    }
}

impl SelectionFlags {
    fn resolve(&self, data_dir: PathBuf, environment: &Environment) -> Result<SyncOptions, Error> {
        let min = bound("min-time", &self.min_time)?;
        let max = bound("max-time", &self.max_time)?;
        let is_backwards = match (min, max) {
            (TimeBound::At(min), TimeBound::At(max))
            | (TimeBound::FromNow(min), TimeBound::FromNow(max)) => min > max,
            _ => false,
        };
        if is_backwards {
            return Err(refused(
                "min-time",
                "use a time that is not after --max-time",
            ));
        }
        Ok(SyncOptions {
            data_dir: Some(data_dir),
            interval: positive("sync-block-duration", self.sync_interval)?,
            concurrency: usize::from(self.sync_concurrency).max(1),
            consistency_delay_ms: self.consistency_delay.0,
            deletion_delay_ms: self.ignore_deletion_marks_delay.0,
            bounds: Bounds { min, max },
            relabel: self.relabel_rules(environment)?,
            strategy: self.strategy,
        })
    }

    fn relabel_rules(&self, environment: &Environment) -> Result<Vec<RelabelRule>, Error> {
        let flag = "selector.relabel-config-file";
        let file = self.relabel_config_file.as_deref();
        let text = environment.configuration(flag, file, self.relabel_config.as_deref())?;
        yaml::relabel_rules(flag, text, NameScheme::Utf8)
    }
}

pub(crate) fn refused(flag: &'static str, reason: &str) -> Error {
    Error::Flag {
        flag,
        reason: reason.to_owned(),
    }
}

fn positive(flag: &'static str, duration: DurationMs) -> Result<Duration, Error> {
    match u64::try_from(duration.0) {
        Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err(refused(flag, "use a duration of 1ms or more")),
    }
}

fn bound(flag: &'static str, text: &str) -> Result<TimeBound, Error> {
    if let Ok(duration) = DurationMs::parse_signed(text) {
        return Ok(TimeBound::FromNow(duration.0));
    }
    // A number may be of seconds or of milliseconds.
    let at = parse_timestamp(text)
        .ok()
        .filter(|_| text.parse::<f64>().is_err());
    at.map(TimeBound::At)
        .ok_or_else(|| refused(flag, "use RFC 3339, or a duration before now such as -6w"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use runtime::Memory;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn resolve(args: &[&str]) -> Result<Config, String> {
        let bucket = ["store", "--objstore.config=type: FILESYSTEM"];
        let cli = Cli::try_parse_from(bucket.iter().chain(args)).map_err(|e| e.to_string())?;
        cli.flags
            .resolve(&Environment::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn limits_have_their_old_names() {
        let old = [
            "--store.grpc.series-sample-limit=5",
            "--store.grpc.touched-series-limit=6",
        ];
        let limits = resolve(&old).unwrap().gateway.limits;
        assert_eq!((limits.samples_max, limits.series_max), (5, 6));
    }

    #[test]
    fn defaults_are_limits() {
        let config = resolve(&[]).unwrap();
        let limits = config.gateway.limits;
        assert!(limits.series_max > 0 && limits.samples_max > 0 && limits.bytes_max > 0);
        assert_eq!(config.gateway.chunk_bytes, 2 << 30);
        assert_eq!(config.gateway.index_cache_bytes, 250 << 20);
        assert_eq!(config.sync.interval, Duration::from_secs(900));
    }

    #[test]
    fn caches_and_limits_follow_from_the_memory() {
        let memory = Memory {
            bytes: 512 << 20,
            ..Memory::default()
        };
        let environment = Environment::default().with_memory(memory);
        let resolve = |more: &[&str]| {
            let args = ["store", "--objstore.config=type: FILESYSTEM"];
            let flags = Cli::parse_from(args.iter().chain(more)).flags;
            flags.resolve(&environment).unwrap().gateway
        };
        let options = resolve(&[]);
        assert_eq!(options.chunk_bytes, 128 << 20);
        assert_eq!(options.index_cache_bytes, 64 << 20);
        assert_eq!(options.limits.bytes_max, 512 << 20);
        assert_eq!(options.limits.mapped_bytes_max, 0);
        assert_eq!(options.limits.series_max, (512 << 20) / 1600);
        assert_eq!(options.limits.blocks_max, 4 << 10);
        let limits = resolve(&["--store.limits.request-blocks=0"]).limits;
        assert_eq!(limits.blocks_max, 0);
        let limits = resolve(&["--store.grpc.downloaded-bytes-limit=1MB"]).limits;
        assert_eq!(limits.bytes_max, 1 << 20);
        assert_eq!(limits.mapped_bytes_max, 1 << 20);
        let options = resolve(&["--chunk-pool-size=1GB", "--index-cache-size=1GB"]);
        assert_eq!(options.chunk_bytes, 1 << 30);
        assert_eq!(options.index_cache_bytes, 1 << 30);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (arg, said) in [
            ("--sync-block-duration=0s", "--sync-block-duration"),
            ("--min-time=yesterday", "--min-time"),
            ("--min-time=1795100000000", "RFC 3339"),
            ("--store.grpc.series-max-concurrency=0", "at least 1"),
            (
                "--selector.relabel-config=- action: x",
                "--selector.relabel-config",
            ),
            ("--index-cache-size=much", "250MB"),
            ("--disk-cache-size=1MB", "16MB or more"),
        ] {
            let error = resolve(&[arg]).unwrap_err();
            assert!(error.contains(said), "{arg}: {error}");
        }
        let backwards = resolve(&["--min-time=-1d", "--max-time=-3d"]).unwrap_err();
        assert!(backwards.contains("not after --max-time"), "{backwards}");
        let rules = "--selector.relabel-config=[{action: drop, source_labels: [a], regex: x}]";
        let config = resolve(&[rules, "--min-time=-6w"]).unwrap();
        assert_eq!(config.sync.relabel.len(), 1);
        assert_eq!(
            config.sync.bounds.min,
            TimeBound::FromNow(-6 * 7 * 24 * 3_600_000)
        );
    }
}
