//! What is said on the command line, and what follows from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bucket::HashFunction;
use model::time::DurationMs;
use runtime::flags::{FeatureFlags, ListenAddress};
use runtime::http::HttpLimits;
use runtime::web_config::WebConfig;
use runtime::{BucketConfig, BucketFlags, ByteSize, Environment, Error, ServerConfig, ServerFlags};
use storeapi::grpc::Limits as StoreLimits;
use storeapi::remote_read::ReadLimits;

use crate::protocols::{self, ProtocolFlags};
use crate::receive::Settings as ReceiveSettings;

mod foreign;
mod receive;
mod tsdb;

pub use self::foreign::FOREIGN_FLAGS;
pub use self::receive::{ReceiveFlags, WriteTlsFlags};
pub use self::tsdb::{LayoutFlag, TsdbConfig, TsdbFlags, WalRecords, WalSync};

/// Writes at once: they mostly wait for the disk, together.
const WRITES_MAX: usize = 64;

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// The bucket.
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// The TSDBs.
    #[command(flatten)]
    pub tsdb: TsdbFlags,
    /// How writes are received.
    #[command(flatten)]
    pub receive: ReceiveFlags,
    /// Receivers of other protocols.
    #[command(flatten)]
    pub protocols: ProtocolFlags,
    /// Prometheus' configuration file: what to scrape, and external labels.
    #[arg(long = "config.file", value_name = "FILE")]
    pub prometheus_config: Option<PathBuf>,
    /// Reads --config.file again whenever it, or a file that it includes, changes.
    #[arg(long = "config.auto-reload")]
    pub auto_reload: bool,
    /// How often --config.auto-reload looks whether they changed.
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub auto_reload_interval: DurationMs,
    /// Features of Prometheus.
    #[command(flatten)]
    pub features: FeatureFlags,
    /// Most series that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 1,600
    /// bytes of memory.
    #[arg(long = "store.limits.request-series", value_name = "COUNT")]
    pub request_series: Option<u64>,
    /// Most samples that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 4
    /// bytes of memory.
    #[arg(long = "store.limits.request-samples", value_name = "COUNT")]
    pub request_samples: Option<u64>,
    /// Most samples that one answer of remote read may have.
    #[arg(
        long = "storage.remote.read-sample-limit",
        value_name = "COUNT",
        default_value_t = 50_000_000
    )]
    pub read_samples: u64,
    /// Remote reads answered at once.
    #[arg(
        long = "storage.remote.read-concurrent-limit",
        value_name = "COUNT",
        default_value_t = 10
    )]
    pub read_concurrent: u16,
    /// Hashes files of shipped blocks, so that whoever has them need not download them again: SHA256,
    /// or nothing.
    #[arg(
        long = "hash-func",
        value_name = "FUNCTION",
        default_value = "",
        hide_default_value = true
    )]
    pub hash: HashFunction,
}

/// What the component works with: complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where targets and messages say since when something counts, it has a zero then.
    pub zeros: bool,
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where writes are received.
    pub write_address: ListenAddress,
    /// What clients of that server may use.
    pub write_http: HttpLimits,
    /// How that server speaks TLS.
    pub write_web: WebConfig,
    /// The bucket's configuration.
    pub bucket: BucketConfig,
    /// How the TSDBs are kept.
    pub tsdb: TsdbConfig,
    /// How writes are received.
    pub receive: ReceiveSettings,
    /// Name of the external label that tells tenants apart.
    pub tenant_label: String,
    /// So many tenants there may be.
    pub tenants_max: usize,
    /// Receivers of other protocols.
    pub protocols: protocols::Settings,
    /// Prometheus' configuration file.
    pub config_file: Option<PathBuf>,
    /// How often it is looked at for changes, if it is.
    pub auto_reload: Option<Duration>,
    /// Limits of the StoreAPI.
    pub store_limits: StoreLimits,
    /// Limits of remote read.
    pub read_limits: ReadLimits,
    /// How files of shipped blocks are hashed.
    pub hash: HashFunction,
    /// Variables that the configuration file names.
    pub environment: Environment,
    /// All flags with their values, for the API to show.
    pub shown_flags: BTreeMap<String, String>,
}

/// What makes zeros of the times since when something counts, by Prometheus' name.
const ZEROS_FEATURE: &str = "created-timestamp-zero-ingestion";

impl Flags {
    /// Checks the flags and fills in what follows from them; reads the file with limits.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let servers = self.servers.resolve()?;
        let address = ListenAddress::parse(&self.receive.address);
        let write_address = address.map_err(|reason| flag("remote-write.address", reason))?;
        let taken = write_address == servers.http || write_address == servers.grpc;
        if taken && write_address.port != 0 {
            let reason = format!("{} is another server's address", self.receive.address);
            return Err(flag("remote-write.address", reason));
        }
        let tenant_label = self.receive.tenant_label.clone();
        let tenants_max = self.receive.tenants_max(environment.memory());
        let write_web = self.receive.tls.resolve(&servers.web)?;
        let body_bytes_max = bytes("receive.body-bytes-max", self.receive.body_bytes_max)?;
        let mut receive = self.receive.resolve(environment)?;
        let write_http = HttpLimits {
            body_bytes_max,
            body_flag: Some("receive.body-bytes-max"),
            large_max: WRITES_MAX,
            ..HttpLimits::default()
        };
        let zeros = self.features.has(ZEROS_FEATURE);
        receive.decode.zeros = zeros;
        let protocols = self.protocols.resolve(
            receive.tenants.clone(),
            receive.decode.labels,
            write_http.grace,
        )?;
        Ok(Config {
            protocols,
            servers,
            write_address,
            write_http,
            write_web,
            bucket: self.bucket.resolve(environment)?,
            tsdb: self.tsdb.resolve(environment.memory())?,
            receive,
            tenant_label,
            tenants_max,
            auto_reload: auto_reload(
                self.auto_reload || self.features.has("auto-reload-config"),
                self.auto_reload_interval,
            )?,
            zeros,
            config_file: self.prometheus_config,
            store_limits: StoreLimits::new(
                self.request_series,
                self.request_samples,
                environment.memory(),
            ),
            read_limits: ReadLimits {
                samples_max: self.read_samples,
                concurrent_max: usize::from(self.read_concurrent).max(1),
                ..ReadLimits::default()
            },
            hash: self.hash,
            environment: environment.clone(),
            shown_flags: BTreeMap::new(),
        })
    }
}

/// How often the configuration is looked at, if it `is_on`.
fn auto_reload(is_on: bool, interval: DurationMs) -> Result<Option<Duration>, Error> {
    // As in Prometheus.
    if interval.0 < 1000 {
        return Err(flag("config.auto-reload-interval", "use 1s or more"));
    }
    let interval = Duration::from_millis(interval.0.unsigned_abs());
    Ok(is_on.then_some(interval))
}

fn flag(flag: &'static str, reason: impl Into<String>) -> Error {
    Error::Flag {
        flag,
        reason: reason.into(),
    }
}

/// Bytes that a request may have.
fn bytes(name: &'static str, ByteSize(bytes): ByteSize) -> Result<usize, Error> {
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| flag(name, "use a size of 1B or more"))
}

#[cfg(test)]
mod tests;
