//! What was said on the command line, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use bucket::HashFunction;
use model::time::{DurationMs, parse_timestamp};
use runtime::{
    BucketConfig, BucketFlags, Environment, Error, ForeignFlags, ServerConfig, ServerFlags,
};
use storeapi::grpc::Limits;

use crate::client::ClientConfig;

mod reloader;

pub use reloader::{ReloadMethod, ReloaderConfig, ReloaderFlags};

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// The bucket.
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// The Prometheus.
    #[command(flatten)]
    pub prometheus: PrometheusFlags,
    /// The shipping of blocks.
    #[command(flatten)]
    pub shipper: ShipperFlags,
    /// The watching of Prometheus' configuration.
    #[command(flatten)]
    pub reloader: ReloaderFlags,
    /// Directory of the TSDB whose blocks are shipped.
    #[arg(long = "tsdb.path", value_name = "DIR", default_value = "./data")]
    pub tsdb_path: PathBuf,
    /// Begin of what is served: a time in RFC 3339, or a duration before now such as -6w.
    #[arg(
        long = "min-time",
        value_name = "TIME",
        default_value = "0000-01-01T00:00:00Z",
        allow_hyphen_values = true
    )]
    pub min_time: String,
    /// Most series that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 1,600
    /// bytes of memory.
    #[arg(long = "store.limits.request-series", value_name = "COUNT")]
    pub series_max: Option<u64>,
    /// Most samples that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 4
    /// bytes of memory.
    #[arg(long = "store.limits.request-samples", value_name = "COUNT")]
    pub samples_max: Option<u64>,
}

/// Flags of the Prometheus that is served.
#[derive(Debug, Clone, clap::Args)]
pub struct PrometheusFlags {
    /// Address of the Prometheus API.
    #[arg(
        long = "prometheus.url",
        value_name = "URL",
        default_value = "http://localhost:9090"
    )]
    pub url: String,
    /// How long to wait at the start for Prometheus to be ready.
    #[arg(
        long = "prometheus.ready_timeout",
        value_name = "DURATION",
        default_value = "10m"
    )]
    pub ready_timeout: DurationMs,
    /// How often Prometheus is asked for its external labels, and whether it is there.
    #[arg(
        long = "prometheus.get_config_interval",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub get_config_interval: DurationMs,
    /// How long it may take to answer that.
    #[arg(
        long = "prometheus.get_config_timeout",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub get_config_timeout: DurationMs,
    /// How Prometheus is spoken to, in YAML: basic_auth, bearer_token, tls_config.
    #[arg(
        long = "prometheus.http-client",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub http_client: String,
    /// The same in a file.
    #[arg(
        long = "prometheus.http-client-file",
        value_name = "FILE",
        conflicts_with = "http_client"
    )]
    pub http_client_file: Option<PathBuf>,
}

/// Flags of the shipper.
#[derive(Debug, Clone, clap::Args)]
pub struct ShipperFlags {
    /// Name of the file in the TSDB's directory that lists the shipped blocks.
    #[arg(
        long = "shipper.meta-file-name",
        value_name = "NAME",
        default_value = bucket::ship::META_FILE_NAME
    )]
    pub meta_file_name: String,
    /// Ships blocks that Prometheus merged, too.
    #[arg(long = "shipper.upload-compacted")]
    pub upload_compacted: bool,
    /// Ships although Prometheus may merge blocks before they are shipped.
    #[arg(long = "shipper.ignore-unequal-block-size")]
    pub ignore_unequal_block_size: bool,
    /// Ships a block although an older one failed.
    #[arg(long = "shipper.allow-out-of-order-uploads")]
    pub allow_out_of_order: bool,
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
    with_value: &["shipper.upload-concurrency"],
    // Damaged blocks are always set aside.
    switches: &["shipper.skip-corrupted-blocks"],
    loud: &[],
    refused: &[],
};

/// Begin of what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinTime {
    /// This time, in milliseconds.
    At(i64),
    /// So many milliseconds before now.
    Ago(i64),
}

impl MinTime {
    /// The time, in milliseconds.
    pub fn resolve(self, now_ms: i64) -> i64 {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now_ms.saturating_sub(ago),
        }
    }

    fn parse(s: &str) -> Result<Self, String> {
        // A duration before now is written as a negative one.
        if let Ok(DurationMs(ms)) = DurationMs::parse_signed(s) {
            return Ok(Self::Ago(-ms));
        }
        parse_timestamp(s).map(Self::At).map_err(|_| {
            format!(
                "{s:?} is neither a time such as 2026-01-31T00:00:00Z nor a duration such as -6w"
            )
        })
    }
}

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// The bucket's configuration.
    pub bucket: BucketConfig,
    /// Address of Prometheus, without a slash at its end.
    pub url: String,
    /// How it is spoken to.
    pub client: ClientConfig,
    /// How long to wait for it at the start.
    pub ready_timeout: Duration,
    /// How often it is asked whether it is there.
    pub interval: Duration,
    /// How long it may take to answer that.
    pub timeout: Duration,
    /// Directory of the TSDB whose blocks are shipped.
    pub tsdb_path: PathBuf,
    /// How blocks are shipped.
    pub shipper: ShipperFlags,
    /// Begin of what is served.
    pub min_time: MinTime,
    /// What an answer may hold.
    pub limits: Limits,
    /// What of Prometheus' configuration is watched, if anything is.
    pub reloader: Option<ReloaderConfig>,
}

impl PartialEq for ShipperFlags {
    fn eq(&self, other: &Self) -> bool {
        let key = |f: &Self| {
            (
                f.meta_file_name.clone(),
                f.upload_compacted,
                f.ignore_unequal_block_size,
                f.allow_out_of_order,
                f.hash,
            )
        };
        key(self) == key(other)
    }
}

impl Eq for ShipperFlags {}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let prometheus = &self.prometheus;
        let url = prometheus.url.trim_end_matches('/');
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::Flag {
                flag: "prometheus.url",
                reason: format!("{url:?} does not begin with http:// or https://"),
            });
        }
        let reloader = self.reloader.resolve(environment);
        Ok(Config {
            reloader,
            servers: self.servers.resolve()?,
            bucket: self.bucket.resolve(environment)?,
            url: url.to_owned(),
            client: prometheus.client()?,
            ready_timeout: duration(prometheus.ready_timeout),
            interval: duration(prometheus.get_config_interval).max(Duration::from_millis(100)),
            timeout: duration(prometheus.get_config_timeout),
            tsdb_path: self.tsdb_path,
            shipper: self.shipper,
            min_time: MinTime::parse(&self.min_time).map_err(|reason| Error::Flag {
                flag: "min-time",
                reason,
            })?,
            limits: Limits::new(self.series_max, self.samples_max, environment.memory()),
        })
    }
}

impl PrometheusFlags {
    fn client(&self) -> Result<ClientConfig, Error> {
        let (flag, text) = match &self.http_client_file {
            None => ("prometheus.http-client", self.http_client.clone()),
            Some(file) => {
                let flag = "prometheus.http-client-file";
                let text = std::fs::read_to_string(file).map_err(|error| Error::Flag {
                    flag,
                    reason: format!("cannot read {}: {error}", file.display()),
                })?;
                (flag, text)
            }
        };
        ClientConfig::parse(&text).map_err(|reason| Error::Flag { flag, reason })
    }
}

fn duration(duration: DurationMs) -> Duration {
    Duration::from_millis(duration.0.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn resolve(args: &[&str]) -> Result<Config, String> {
        let line = std::iter::once("sidecar").chain(args.iter().copied());
        let line = <Line as clap::Parser>::try_parse_from(line).map_err(|e| e.to_string())?;
        line.flags
            .resolve(&Environment::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_thanos() {
        let config = resolve(&[]).unwrap();
        assert_eq!(config.url, "http://localhost:9090");
        assert_eq!(config.interval, Duration::from_secs(30));
        assert_eq!(config.ready_timeout, Duration::from_secs(600));
        assert_eq!(config.shipper.meta_file_name, "thanos.shipper.json");
        assert!(matches!(config.min_time, MinTime::At(at) if at < 0));
    }

    #[test]
    fn min_time_is_a_time_or_before_now() {
        let min_time = |s| resolve(&["--min-time", s]).map(|config| config.min_time);
        assert_eq!(
            min_time("2020-01-01T00:00:00Z"),
            Ok(MinTime::At(1_577_836_800_000))
        );
        assert_eq!(min_time("-2h"), Ok(MinTime::Ago(7_200_000)));
        assert_eq!(MinTime::Ago(5).resolve(100), 95);
        assert!(min_time("yesterday").is_err());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert!(resolve(&["--prometheus.url=localhost:9090"]).is_err());
        assert!(resolve(&["--prometheus.http-client", "basic_auht: {}"]).is_err());
    }
}
