//! What is said on the command line, and what follows from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bucket::HashFunction;
use model::labels::{NameScheme, is_legacy_label_name};
use model::relabel::RelabelRule;
use model::time::DurationMs;
use model::{Labels, LabelsBuilder};
use runtime::flags::{FeatureFlags, ListenAddress};
use runtime::http::{HeaderName, HttpLimits};
use runtime::web_config::WebConfig;
use runtime::yaml;
use runtime::{
    BucketConfig, BucketFlags, ByteSize, Environment, Error, ForeignFlags, Memory, RefusedFlag,
    ServerConfig, ServerFlags,
};
use storeapi::grpc::Limits as StoreLimits;
use storeapi::remote_read::ReadLimits;

use crate::protocols::{self, ProtocolFlags};
use crate::receive::limits::LimitsFile;
use crate::receive::{
    DecodeOptions, LIMITS_FILE, LabelLimits, Settings as ReceiveSettings, TenantSettings,
};

/// Bytes of a label's name or value, whatever is said.
const LABEL_BYTES_MAX: usize = (16 << 20) - 1;
/// Bytes of memory for a series of a head, twice what it takes with labels of usual length.
const BYTES_PER_SERIES: u64 = 2048;
/// Series of a head where there is plenty of memory and nothing is said.
const HEAD_SERIES_MAX: u64 = 1_500_000;
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

/// Flags of the TSDBs.
#[derive(Debug, Clone, clap::Args)]
pub struct TsdbFlags {
    /// Directory of the TSDB: blocks, write-ahead log, head chunks.
    #[arg(
        long = "tsdb.path",
        aliases = ["data-dir", "storage.tsdb.path"],
        value_name = "DIR",
        default_value = "./data"
    )]
    pub path: PathBuf,
    /// What the directory holds: a TSDB for each tenant, or a single one as Prometheus has it.
    #[arg(long = "tsdb.layout", value_name = "LAYOUT", default_value = "tenants")]
    pub layout: LayoutFlag,
    /// External label of everything that is received here, as NAME="VALUE"; may be repeated.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"")]
    pub labels: Vec<String>,
    /// How long samples are kept; 0 for ever.
    #[arg(
        long = "tsdb.retention",
        alias = "storage.tsdb.retention.time",
        value_name = "DURATION",
        default_value = "15d"
    )]
    pub retention: DurationMs,
    /// Bytes that blocks and logs of a tenant may have; 0 for any number.
    #[arg(
        long = "tsdb.max-retention-bytes",
        value_name = "BYTES",
        default_value = "0"
    )]
    pub retention_bytes: ByteSize,
    /// How much older than the newest sample one may be that comes out of order; 0 refuses them.
    #[arg(
        long = "tsdb.out-of-order.time-window",
        value_name = "DURATION",
        default_value = "30m"
    )]
    pub out_of_order_window: DurationMs,
    /// How far in the future a sample may be; 0 for any time.
    #[arg(
        long = "tsdb.too-far-in-future.time-window",
        value_name = "DURATION",
        default_value = "10m"
    )]
    pub future_window: DurationMs,
    /// Exemplars that are kept for each tenant.
    #[arg(
        long = "tsdb.max-exemplars",
        value_name = "COUNT",
        default_value_t = 100_000
    )]
    pub exemplars: usize,
    /// Series that the head of a tenant may have; 0 for any number. Not said, 1,500,000, or one for every
    /// 2,048 bytes of memory where that is less.
    #[arg(long = "tsdb.head-series-max", value_name = "COUNT")]
    pub head_series: Option<usize>,
    /// When a write is acknowledged: once the disk has it (always), or once the system has it, with
    /// the disk getting it within 100 ms (batch) or when it likes (none).
    #[arg(long = "wal.sync", value_name = "WHEN", default_value = "always")]
    pub wal_sync: WalSync,
    /// Records of float samples in the log: compact ones, which take a seventh of the bytes (Prometheus
    /// finds their samples after a clean stop), or those of Prometheus, which reads them after a crash too.
    #[arg(long = "wal.records", value_name = "FORM", default_value = "compact")]
    pub wal_records: WalRecords,
    /// Opens the TSDBs without locking them.
    #[arg(long = "tsdb.no-lockfile")]
    pub no_lockfile: bool,
}

/// What a data directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LayoutFlag {
    /// A TSDB for each tenant.
    Tenants,
    /// One TSDB, of the default tenant.
    Single,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WalSync {
    /// Once the disk has it.
    Always,
    /// Once the system has it; the disk gets it soon.
    Batch,
    /// Once the system has it.
    None,
}

/// How float samples are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WalRecords {
    /// Relative to the sample before.
    Compact,
    /// As Prometheus does.
    Prometheus,
}

/// Flags of receiving writes.
#[derive(Debug, Clone, clap::Args)]
pub struct ReceiveFlags {
    /// Address of the HTTP server for remote write.
    #[arg(
        long = "remote-write.address",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:19291"
    )]
    pub address: String,
    /// Header that names the tenant of a write.
    #[arg(
        long = "receive.tenant-header",
        value_name = "HEADER",
        default_value = "THANOS-TENANT"
    )]
    pub tenant_header: String,
    /// The tenant of writes that name none.
    #[arg(
        long = "receive.default-tenant-id",
        value_name = "TENANT",
        default_value = "default-tenant"
    )]
    pub default_tenant: String,
    /// Name of the external label that tells tenants apart.
    #[arg(
        long = "receive.tenant-label-name",
        value_name = "NAME",
        default_value = "tenant_id"
    )]
    pub tenant_label: String,
    /// Label of series that names their tenant, and is removed from them.
    #[arg(long = "receive.split-tenant-label-name", value_name = "NAME")]
    pub split_tenant_label: Option<String>,
    /// File with limits on writes, in Thanos' form.
    #[arg(
        long = "receive.limits-config-file",
        value_name = "FILE",
        conflicts_with = "receive.limits-config"
    )]
    pub limits_file: Option<PathBuf>,
    /// Limits on writes themselves, instead of a file.
    #[arg(
        id = "receive.limits-config",
        long = "receive.limits-config",
        value_name = "YAML"
    )]
    pub limits_config: Option<String>,
    /// Bytes that a write may have on the wire.
    #[arg(
        long = "receive.body-bytes-max",
        value_name = "BYTES",
        default_value = "16MB"
    )]
    pub body_bytes_max: ByteSize,
    /// Bytes that a write may have when it is decompressed.
    #[arg(
        long = "receive.decompressed-bytes-max",
        value_name = "BYTES",
        default_value = "64MB"
    )]
    pub decompressed_bytes_max: ByteSize,
    /// Labels that a series may have.
    #[arg(
        long = "receive.labels-max",
        value_name = "COUNT",
        default_value_t = 64
    )]
    pub labels_max: usize,
    /// Bytes that the name of a label may have.
    #[arg(
        long = "receive.label-name-bytes-max",
        value_name = "BYTES",
        default_value_t = 1024
    )]
    pub label_name_bytes_max: usize,
    /// Bytes that the value of a label may have.
    #[arg(
        long = "receive.label-value-bytes-max",
        value_name = "BYTES",
        default_value_t = 4096
    )]
    pub label_value_bytes_max: usize,
    /// File with relabelling rules, in Prometheus' form, for series that are written to this server.
    #[arg(
        long = "receive.relabel-config-file",
        value_name = "FILE",
        conflicts_with = "relabel_config"
    )]
    pub relabel_config_file: Option<PathBuf>,
    /// The rules themselves, instead of a file.
    #[arg(long = "receive.relabel-config", value_name = "YAML")]
    pub relabel_config: Option<String>,
    /// TLS of the server for remote write.
    #[command(flatten)]
    pub tls: WriteTlsFlags,
}

/// How the server for remote write speaks TLS; as --http.config says where these say nothing.
#[derive(Debug, Clone, clap::Args)]
pub struct WriteTlsFlags {
    /// File with the certificate of the server for remote write, in PEM; without it --http.config says
    /// how that speaks.
    #[arg(
        long = "remote-write.server-tls-cert",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub cert: String,
    /// File with its private key in PEM.
    #[arg(
        long = "remote-write.server-tls-key",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub key: String,
    /// File with the authorities that certificates of its clients must come from.
    #[arg(
        id = "write_client_ca",
        long = "remote-write.server-tls-client-ca",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub client_ca: String,
    /// Oldest version of TLS that it speaks: 1.2 or 1.3.
    #[arg(
        id = "write_min_version",
        long = "remote-write.server-tls-min-version",
        value_name = "VERSION",
        default_value = "1.3"
    )]
    pub min_version: String,
}

impl WriteTlsFlags {
    fn resolve(&self, web: &WebConfig) -> Result<WebConfig, Error> {
        let tls = runtime::grpc::server_tls(
            ("remote-write.server-tls-cert", &self.cert),
            ("remote-write.server-tls-key", &self.key),
            ("remote-write.server-tls-client-ca", &self.client_ca),
            ("remote-write.server-tls-min-version", &self.min_version),
        )?;
        Ok(match tls {
            Some(tls) => web.with_tls(tls),
            None => web.clone(),
        })
    }
}

/// Why flags are refused that spread series over several receivers.
const ONE_RECEIVER: &str = "series are not spread over receivers here: each stores what it is sent; \
     leave the flag out and let writers send to as many as they need";

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "tsdb.min-block-duration",
        "tsdb.max-block-duration",
        "tsdb.out-of-order.cap-max",
        "tsdb.head.expanded-postings-cache-size",
        "tsdb.block.expanded-postings-cache-size",
        "tsdb.write-queue-size",
        "remote-write.server-tls-ciphers",
        "remote-write.server-tls-curves",
        "remote-write.client-tls-cert",
        "remote-write.client-tls-key",
        "remote-write.client-tls-ca",
        "remote-write.client-server-name",
        "receive.hashrings-file-refresh-interval",
        "receive.hashrings-algorithm",
        "receive.local-endpoint",
        "receive.replica-header",
        "receive.replication-protocol",
        "receive.capnproto-address",
        "receive.forward.async-workers",
        "receive.grpc-compression",
        "receive.grpc-service-config",
        "receive-forward-timeout",
        "receive-forward-max-backoff",
        "receive.otlp-promote-resource-attributes",
    ],
    switches: &[
        "tsdb.wal-compression",
        "tsdb.memory-snapshot-on-shutdown",
        "tsdb.allow-overlapping-blocks",
        "receive.otlp-enable-target-info",
        "shipper.ignore-unequal-block-size",
        "shipper.allow-out-of-order-uploads",
        "tsdb.enable-native-histograms",
    ],
    refused: &[
        RefusedFlag {
            name: "receive.hashrings",
            harmless: &["", "[]"],
            reason: ONE_RECEIVER,
        },
        RefusedFlag {
            name: "receive.hashrings-file",
            harmless: &[""],
            reason: ONE_RECEIVER,
        },
        RefusedFlag {
            name: "receive.replication-factor",
            harmless: &["", "0", "1"],
            reason: ONE_RECEIVER,
        },
        RefusedFlag {
            name: "receive.tenant-certificate-field",
            harmless: &[""],
            reason: "tenants are not told by certificates here, so that all writes would go to one; \
                     leave the flag out and have a proxy set --receive.tenant-header",
        },
    ],
};

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

/// How the TSDBs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsdbConfig {
    /// Where they are.
    pub path: PathBuf,
    /// What is there.
    pub layout: LayoutFlag,
    /// External labels.
    pub labels: Labels,
    /// External labels where neither these nor the configuration file name any.
    pub default_labels: Labels,
    /// Milliseconds that samples are kept.
    pub retention_ms: Option<i64>,
    /// Bytes that a tenant may have.
    pub retention_bytes: Option<u64>,
    /// How much older than the newest sample one may be, in milliseconds.
    pub out_of_order_window_ms: i64,
    /// How far in the future a sample may be, in milliseconds.
    pub future_max_ms: i64,
    /// Exemplars that are kept for each tenant.
    pub exemplars_max: usize,
    /// Series of a head.
    pub head_series_max: usize,
    /// When a write is acknowledged.
    pub wal_sync: WalSync,
    /// How float samples are logged.
    pub wal_records: WalRecords,
    /// Whether directories are locked.
    pub lock: bool,
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

impl TsdbFlags {
    fn resolve(self, memory: Memory) -> Result<TsdbConfig, Error> {
        let positive = |n: i64| (n > 0).then_some(n);
        Ok(TsdbConfig {
            path: self.path,
            layout: self.layout,
            labels: external_labels(&self.labels)?,
            default_labels: Labels::empty(),
            retention_ms: positive(self.retention.0),
            retention_bytes: Some(self.retention_bytes.0).filter(|bytes| *bytes > 0),
            out_of_order_window_ms: self.out_of_order_window.0.max(0),
            future_max_ms: positive(self.future_window.0).unwrap_or(i64::MAX),
            exemplars_max: self.exemplars,
            head_series_max: match self.head_series {
                None => HEAD_SERIES_MAX.min(memory.part(BYTES_PER_SERIES).max(1)) as usize,
                Some(0) => usize::MAX,
                Some(max) => max,
            },
            wal_sync: self.wal_sync,
            wal_records: self.wal_records,
            lock: !self.no_lockfile,
        })
    }
}

impl ReceiveFlags {
    fn resolve(self, environment: &Environment) -> Result<ReceiveSettings, Error> {
        let relabel = self.relabel_rules(environment)?;
        let header = self.tenant_header.parse::<HeaderName>();
        let header = header.map_err(|_| {
            let reason = format!("{:?} is not the name of a header", self.tenant_header);
            flag("receive.tenant-header", reason)
        })?;
        let limits_flag = match self.limits_file {
            Some(_) => LIMITS_FILE,
            None => "receive.limits-config",
        };
        let (file, text) = (self.limits_file.as_deref(), self.limits_config.as_deref());
        let limits_file = file.map(|file| (file.to_owned(), environment.clone()));
        let limits = match environment.configuration(limits_flag, file, text)? {
            Some(text) => LimitsFile::parse(&text).map_err(|reason| flag(limits_flag, reason))?,
            None => LimitsFile::default(),
        };
        Ok(ReceiveSettings {
            decode: DecodeOptions {
                labels: LabelLimits {
                    count_max: self.labels_max,
                    name_bytes_max: self.label_name_bytes_max.min(LABEL_BYTES_MAX),
                    value_bytes_max: self.label_value_bytes_max.min(LABEL_BYTES_MAX),
                },
                split_tenant_label: self.split_tenant_label.filter(|name| !name.is_empty()),
                relabel: relabel.into(),
                ..DecodeOptions::default()
            },
            bytes_max: bytes(
                "receive.decompressed-bytes-max",
                self.decompressed_bytes_max,
            )?,
            tenants: TenantSettings {
                header,
                default: self.default_tenant,
            },
            limits,
            limits_file,
        })
    }

    fn relabel_rules(&self, environment: &Environment) -> Result<Vec<RelabelRule>, Error> {
        let flag = "receive.relabel-config";
        let file = self.relabel_config_file.as_deref();
        let text = environment.configuration(flag, file, self.relabel_config.as_deref())?;
        yaml::relabel_rules(flag, text, NameScheme::Utf8)
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

/// Bytes that a request may have.
fn bytes(name: &'static str, ByteSize(bytes): ByteSize) -> Result<usize, Error> {
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| flag(name, "use a size of 1B or more"))
}

fn flag(flag: &'static str, reason: impl Into<String>) -> Error {
    Error::Flag {
        flag,
        reason: reason.into(),
    }
}

/// Labels from `NAME="VALUE"`, Thanos' form; the quotes may be left out.
fn external_labels(said: &[String]) -> Result<Labels, Error> {
    let mut labels = LabelsBuilder::new();
    for text in said {
        let pair = text.split_once('=');
        let (name, value) = pair.ok_or_else(|| {
            flag(
                "label",
                format!("{text:?} is not of the form NAME=\"VALUE\""),
            )
        })?;
        if !is_legacy_label_name(name) {
            return Err(flag(
                "label",
                format!("{name:?} is not the name of a label"),
            ));
        }
        let unquoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        labels.set(name, unquoted.unwrap_or(value));
    }
    Ok(labels.labels())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn resolve(args: &str) -> Result<Config, String> {
        let args = std::iter::once("ingester").chain(args.split_whitespace());
        let line = Line::try_parse_from(args).map_err(|e| e.to_string())?;
        line.flags
            .resolve(&Environment::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_safe() {
        let config = resolve("").unwrap();
        assert_eq!(config.write_address.to_string(), "0.0.0.0:19291");
        assert_eq!(config.tsdb.out_of_order_window_ms, 30 * 60 * 1000);
        assert_eq!(config.tsdb.retention_ms, Some(15 * 24 * 3_600_000));
        assert_eq!(config.tsdb.wal_sync, WalSync::Always);
        assert_eq!(config.receive.tenants.header.as_str(), "thanos-tenant");
        assert_eq!(config.receive.bytes_max, 64 << 20);
        assert_eq!(config.write_http.body_bytes_max, 16 << 20);
        assert_eq!(config.tsdb.head_series_max, 1_500_000);
        let memory = Memory {
            bytes: 1 << 30,
            ..Memory::default()
        };
        let line = Line::parse_from(["ingester"]);
        let config = line
            .flags
            .resolve(&Environment::default().with_memory(memory))
            .unwrap();
        assert_eq!(config.tsdb.head_series_max, 1 << 19);
    }

    #[test]
    fn labels_take_the_form_of_thanos() {
        let config =
            resolve("--label replica=\"a\" --label cluster=eu --tsdb.retention=0s").unwrap();
        let expected = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
        assert_eq!(config.tsdb.labels, expected);
        assert_eq!(config.tsdb.retention_ms, None);
        assert!(resolve("--label replica").unwrap_err().contains("--label"));
        assert!(resolve("--label a.b=c").is_err());
    }

    #[test]
    fn the_write_server_speaks_tls_of_its_own() {
        let config = resolve("--remote-write.server-tls-cert=c --remote-write.server-tls-key=k");
        let config = config.unwrap();
        assert!(config.write_web.tls.is_some() && config.servers.web.tls.is_none());
        assert_eq!(resolve("").unwrap().write_web, WebConfig::default());
    }

    #[test]
    fn configuration_is_looked_at_when_that_is_said() {
        let every = |args: &str| resolve(args).map(|config| config.auto_reload);
        assert_eq!(every(""), Ok(None));
        let half = Some(Duration::from_secs(30));
        assert_eq!(every("--config.auto-reload"), Ok(half));
        let feature = "--enable-feature=exemplar-storage,auto-reload-config";
        assert_eq!(every(feature), Ok(half));
        let five = "--config.auto-reload --config.auto-reload-interval=5s";
        assert_eq!(every(five), Ok(Some(Duration::from_secs(5))));
        assert!(every("--config.auto-reload-interval=10ms").is_err());
    }

    #[test]
    fn sizes_have_units() {
        let config = resolve("--tsdb.max-retention-bytes=10GB").unwrap();
        assert_eq!(config.tsdb.retention_bytes, Some(10 << 30));
        assert_eq!(resolve("").unwrap().tsdb.retention_bytes, None);
    }

    #[test]
    fn rules_for_writes_are_read() {
        let wrong = resolve("--receive.relabel-config=[{action:x}]").unwrap_err();
        assert!(wrong.contains("--receive.relabel-config"), "{wrong}");
        let rules = r#"--receive.relabel-config=[{"regex":"x","action":"labeldrop"}]"#;
        assert_eq!(resolve(rules).unwrap().receive.decode.relabel.len(), 1);
    }

    #[test]
    fn wrong_values_are_named() {
        for (args, named) in [
            (
                "--remote-write.server-tls-cert=c",
                "--remote-write.server-tls-key",
            ),
            ("--receive.tenant-header=a:b", "--receive.tenant-header"),
            ("--receive.body-bytes-max=0", "--receive.body-bytes-max"),
            (
                "--receive.limits-config={write:{x:1}}",
                "--receive.limits-config",
            ),
            (
                "--receive.limits-config-file=/nowhere/x",
                "--receive.limits-config-file",
            ),
            (
                "--remote-write.address=0.0.0.0:10902",
                "--remote-write.address",
            ),
        ] {
            let error = resolve(args).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
