//! Flags of the TSDBs.

use std::path::PathBuf;

use model::labels::is_legacy_label_name;
use model::time::DurationMs;
use model::{Labels, LabelsBuilder};
use runtime::{ByteSize, Error, Memory};

use super::flag;

/// Bytes of memory for a series of a head, twice what it takes with labels of usual length.
const BYTES_PER_SERIES: u64 = 2048;
/// Series of a head where there is plenty of memory and nothing is said.
const HEAD_SERIES_MAX: u64 = 1_500_000;

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

impl TsdbFlags {
    pub(super) fn resolve(self, memory: Memory) -> Result<TsdbConfig, Error> {
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
