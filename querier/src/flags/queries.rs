//! Flags that say how to answer.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use model::time::DurationMs;
use promql::parse;
use runtime::{ByteSize, Error, Memory};

use super::telemetry::TelemetryFlags;
use super::{duration, positive, refused};
use crate::dedup::Dedup;
use crate::dialect::DialectFlags;
use crate::features;
use crate::query_log::Slow;
use crate::settings::{Settings, label_list};

/// Queries at once for each core, where nothing is said.
const CONCURRENT_PER_CORE: usize = 4;
/// Queries at once on few cores: as many as Prometheus and Thanos, since they wait for stores as well as
/// compute.
const CONCURRENT_MIN: usize = 20;

/// Flags that say how to answer.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryFlags {
    /// Most time that a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m")]
    pub timeout: DurationMs,
    /// Queries that are evaluated at once over HTTP, and as many more over gRPC; others wait for at most 10 s. Not said, four for each core, and
    /// at least 20.
    #[arg(
        long = "query.max-concurrent",
        alias = "query.max-concurrency",
        value_name = "COUNT"
    )]
    pub max_concurrent: Option<u16>,
    /// How old a sample may be to count at an instant.
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub lookback_delta: DurationMs,
    /// Most samples that a query may hold in memory; 0 for no limit.
    #[arg(
        long = "query.max-samples",
        value_name = "COUNT",
        default_value_t = 50_000_000
    )]
    pub max_samples: u64,
    /// Most bytes of samples that a query may hold in memory; 0 for no limit. Not said, a quarter of the
    /// memory.
    #[arg(long = "query.max-memory-bytes", value_name = "BYTES")]
    pub max_memory: Option<ByteSize>,
    /// Bytes that the text of a query may have.
    #[arg(
        long = "query.max-length",
        value_name = "BYTES",
        default_value = "16KB"
    )]
    pub max_length: ByteSize,
    /// How deep a query may nest: parentheses, arguments and right operands in each other; 250 at most.
    #[arg(
        long = "query.max-nesting",
        value_name = "COUNT",
        default_value_t = parse::Limits::DEFAULT.max_nesting
    )]
    pub max_nesting: u32,
    /// Operators and calls that may stand above each other in a query, each of a chain counted; 4000 at
    /// most.
    #[arg(
        long = "query.max-operators",
        value_name = "COUNT",
        default_value_t = parse::Limits::DEFAULT.max_height
    )]
    pub max_operators: u32,
    /// Step of subqueries that do not say one.
    #[arg(
        long = "query.default-evaluation-interval",
        value_name = "DURATION",
        default_value = "1m"
    )]
    pub default_evaluation_interval: DurationMs,
    /// Least step of range queries that do not say one; 0 when they must. Without it they get 1s over
    /// endpoints, and must say it over a data directory alone.
    #[arg(long = "query.default-step", value_name = "DURATION")]
    pub default_step: Option<DurationMs>,
    /// Label that tells replicas apart, or several with commas. May be repeated.
    #[arg(long = "query.replica-label", value_name = "LABEL")]
    pub replica_label: Vec<String>,
    /// How the samples of replicas become one series.
    #[arg(
        long = "deduplication.func",
        value_name = "FUNCTION",
        default_value = "penalty"
    )]
    pub dedup: Dedup,
    /// Read downsampled data when the step of a range query allows it.
    #[arg(long = "query.auto-downsampling")]
    pub auto_downsampling: bool,
    /// Coarsest resolution that instant queries read.
    #[arg(
        long = "query.instant.default.max_source_resolution",
        value_name = "DURATION",
        default_value = "0s"
    )]
    pub instant_max_resolution: DurationMs,
    /// Answer with what there is when an endpoint fails, with a warning. This is the default.
    #[arg(
        long = "query.partial-response",
        overrides_with = "no_partial_response"
    )]
    pub partial_response: bool,
    /// Fail when an endpoint does.
    #[arg(long = "no-query.partial-response")]
    pub no_partial_response: bool,
    /// How far back names and values of labels are looked up when nothing is said; 0 for all time.
    #[arg(
        long = "query.metadata.default-time-range",
        value_name = "DURATION",
        default_value = "0s"
    )]
    pub metadata_range: DurationMs,
    /// Megabytes of results that are kept to answer later queries; 0 for none.
    #[arg(
        long = "query.results-cache-size-mb",
        value_name = "MEGABYTES",
        default_value_t = 64
    )]
    pub results_cache_mb: u32,
    /// Results are kept only of steps older than this: samples must not arrive later.
    #[arg(
        long = "query.results-cache-max-freshness",
        value_name = "DURATION",
        default_value = "40m"
    )]
    pub results_settle: DurationMs,
    /// File that all queries are logged to, a JSON object a line, as Prometheus' query_log_file.
    #[arg(long = "query.log-file", value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Directory of the file queries.active, in which queries are noted while they are evaluated: those that
    /// were when the process died are named in the log of the next.
    #[arg(long = "query.active-query-path", value_name = "DIR")]
    pub active_dir: Option<PathBuf>,
    /// Queries that take longer are named in the log of the process; 0 for none, less for all.
    #[arg(
        long = "query.log-queries-longer-than",
        alias = "query-frontend.log-queries-longer-than",
        value_name = "DURATION",
        default_value = "0s",
        allow_hyphen_values = true
    )]
    pub log_longer_than: String,
    /// Figures of how long queries take by what they read.
    #[command(flatten)]
    pub telemetry: TelemetryFlags,
    /// Dialect.
    #[command(flatten)]
    pub dialect: DialectFlags,
}

impl QueryFlags {
    pub(super) fn concurrent_max(&self) -> Result<usize, Error> {
        match self.max_concurrent {
            None => {
                let cores = thread::available_parallelism().map_or(1, usize::from);
                Ok((CONCURRENT_PER_CORE * cores).max(CONCURRENT_MIN))
            }
            Some(0) => Err(refused("query.max-concurrent", "allow at least 1 query")),
            Some(count) => Ok(usize::from(count)),
        }
    }

    /// What the text of a query may be like.
    fn text_limits(&self) -> Result<parse::Limits, Error> {
        let highest = parse::Limits::HIGHEST;
        let within = |flag, said: u64, max: u32| match u32::try_from(said) {
            Ok(said) if (1..=max).contains(&said) => Ok(said),
            _ => Err(refused(flag, &format!("use a number from 1 to {max}"))),
        };
        Ok(parse::Limits {
            max_length: within("query.max-length", self.max_length.0, highest.max_length)?,
            max_nesting: within(
                "query.max-nesting",
                self.max_nesting.into(),
                highest.max_nesting,
            )?,
            max_height: within(
                "query.max-operators",
                self.max_operators.into(),
                highest.max_height,
            )?,
            are_flags: true,
        })
    }

    pub(super) fn resolve(&self, memory: Memory) -> Result<Settings, Error> {
        let mut engine = promql::Options {
            lookback_ms: positive("query.lookback-delta", self.lookback_delta)?,
            default_subquery_step_ms: positive(
                "query.default-evaluation-interval",
                self.default_evaluation_interval,
            )?,
            ..promql::Options::default()
        };
        features::apply(self.dialect.foreign_features(), &mut engine);
        engine.limits.timeout = duration("query.timeout", self.timeout)?;
        engine.limits.samples_max = unlimited_by_zero(self.max_samples);
        engine.limits.bytes_max = match self.max_memory {
            Some(ByteSize(bytes)) => unlimited_by_zero(bytes),
            None => memory.part(4),
        };
        Ok(Settings {
            engine,
            dialect: self.dialect.clone(),
            text_limits: self.text_limits()?,
            replica_labels: label_list(self.replica_label.iter().map(String::as_str)),
            hidden_labels: Vec::new(),
            dedup: self.dedup,
            partial_response: !self.no_partial_response,
            auto_downsampling: self.auto_downsampling,
            instant_max_resolution: self.instant_max_resolution.0.max(0),
            default_step_ms: self.default_step.map_or(0, |step| step.0),
            metadata_range_ms: self.metadata_range.0.max(0),
            results_cache_bytes: u64::from(self.results_cache_mb) << 20,
            results_settle_ms: self.results_settle.0.max(0),
            ..Settings::default()
        })
    }
}

/// Which queries are slow, in the words of Thanos.
pub(super) fn slow(text: &str) -> Result<Slow, Error> {
    const FLAG: &str = "query.log-queries-longer-than";
    let parsed = DurationMs::parse_signed(text);
    let DurationMs(ms) = parsed.map_err(|error| refused(FLAG, &error.to_string()))?;
    Ok(match ms {
        0 => Slow::Never,
        ms if ms < 0 => Slow::Always,
        ms => Slow::After(Duration::from_millis(ms.unsigned_abs())),
    })
}

/// The limit that a number says: none where it is 0.
const fn unlimited_by_zero(said: u64) -> u64 {
    match said {
        0 => u64::MAX,
        limit => limit,
    }
}
