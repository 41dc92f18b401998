//! What is said on the command line, and what follows from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use model::time::DurationMs;
use promql::parse;
use runtime::grpc::{GrpcClientConfig, GrpcClientFlags};
use runtime::http::{HttpLimits, WebPaths};
use runtime::web_flags::WebFlags;
use runtime::{
    ByteSize, Environment, Error, ForeignFlags, Memory, RefusedFlag, ServerConfig, ServerFlags,
};
use storeapi::grpc::Limits;

use crate::dedup::Dedup;
use crate::dialect::DialectFlags;
use crate::endpoints::{EndpointConfig, SetOptions, config};
use crate::features;
use crate::query_log::Slow;
use crate::settings::{DEFAULT_TENANT, Settings, Tenancy, label_list};

/// Queries at once for each core, where nothing is said.
const CONCURRENT_PER_CORE: usize = 4;
/// Queries at once on few cores: as many as Prometheus and Thanos, since they wait for stores as well as
/// compute.
const CONCURRENT_MIN: usize = 20;

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Addresses of the servers.
    #[command(flatten)]
    pub servers: ServerFlags,
    /// Where the page and the API are found.
    #[command(flatten)]
    pub web: WebFlags,
    /// Connections to endpoints.
    #[command(flatten)]
    pub grpc_client: GrpcClientFlags,
    /// Endpoints.
    #[command(flatten)]
    pub endpoints: EndpointFlags,
    /// Queries.
    #[command(flatten)]
    pub queries: QueryFlags,
    /// Tenants.
    #[command(flatten)]
    pub tenants: TenantFlags,
    /// Data directory of a Prometheus or an ingester to answer from, beside the endpoints. It is read
    /// as it is when the querier starts, and never written.
    #[arg(
        long = "data-dir",
        aliases = ["tsdb.path", "storage.tsdb.path"],
        value_name = "DIR"
    )]
    pub data_dir: Option<PathBuf>,
}

/// Flags that say whom to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct EndpointFlags {
    /// Endpoint that speaks the StoreAPI: HOST:PORT, or dns+, dnsdualstack+, dnssrv+ or dnssrvnoa+ before
    /// a name to look up. May be repeated.
    #[arg(long = "endpoint", value_name = "ADDRESS")]
    pub endpoint: Vec<String>,
    /// Endpoint that is asked even when it does not answer. May be repeated.
    #[arg(long = "endpoint-strict", value_name = "ADDRESS")]
    pub endpoint_strict: Vec<String>,
    /// Name to look up whose endpoints all have the same data; one of them is asked. May be repeated.
    #[arg(long = "endpoint-group", value_name = "ADDRESS")]
    pub endpoint_group: Vec<String>,
    /// The same, asked even when it does not answer. May be repeated.
    #[arg(long = "endpoint-group-strict", value_name = "ADDRESS")]
    pub endpoint_group_strict: Vec<String>,
    /// File with endpoints, in Thanos' YAML form; read again when it changes.
    #[arg(
        long = "endpoint.sd-config-file",
        value_name = "FILE",
        conflicts_with = "sd_config"
    )]
    pub sd_config_file: Option<PathBuf>,
    /// The same itself, instead of a file.
    #[arg(long = "endpoint.sd-config", value_name = "YAML")]
    pub sd_config: Option<String>,
    /// File with addresses of endpoints, in the form of Prometheus' file discovery; * stands for
    /// anything in its name. Read again when it changes. May be repeated.
    #[arg(long = "store.sd-files", value_name = "PATH")]
    pub sd_files: Vec<String>,
    /// How often names are looked up again.
    #[arg(
        long = "store.sd-dns-interval",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub dns_interval: DurationMs,
    /// How long an endpoint that does not answer is remembered.
    #[arg(
        long = "store.unhealthy-timeout",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub unhealthy_timeout: DurationMs,
    /// How long an endpoint may take to say how it is.
    #[arg(
        long = "endpoint.info-timeout",
        value_name = "DURATION",
        default_value = "5s"
    )]
    pub info_timeout: DurationMs,
    /// How long an endpoint may send nothing of an answer that it owes; 0 for as long as the query
    /// may take.
    #[arg(
        long = "store.response-timeout",
        value_name = "DURATION",
        default_value = "0ms"
    )]
    pub response_timeout: DurationMs,
    /// Most series that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 1,600
    /// bytes of memory.
    #[arg(long = "store.limits.request-series", value_name = "COUNT")]
    pub request_series: Option<u64>,
    /// Most samples that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 4
    /// bytes of memory.
    #[arg(long = "store.limits.request-samples", value_name = "COUNT")]
    pub request_samples: Option<u64>,
}

/// Flags that say how to answer.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryFlags {
    /// Most time that a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m")]
    pub timeout: DurationMs,
    /// Queries that are evaluated at once; more wait for at most 10 s. Not said, four for each core, and
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
    /// Most samples that a query may hold in memory.
    #[arg(
        long = "query.max-samples",
        value_name = "COUNT",
        default_value_t = 50_000_000
    )]
    pub max_samples: u64,
    /// Most bytes of samples that a query may hold in memory. Not said, a quarter of the memory.
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
    /// Queries that take longer are named in the log of the process; 0 for none, less for all.
    #[arg(
        long = "query.log-queries-longer-than",
        alias = "query-frontend.log-queries-longer-than",
        value_name = "DURATION",
        default_value = "0s",
        allow_hyphen_values = true
    )]
    pub log_longer_than: String,
    /// Dialect.
    #[command(flatten)]
    pub dialect: DialectFlags,
}

/// Flags that say how tenants are told apart.
#[derive(Debug, Clone, clap::Args)]
pub struct TenantFlags {
    /// Header that names the tenant.
    #[arg(
        long = "query.tenant-header",
        value_name = "HEADER",
        default_value = "THANOS-TENANT"
    )]
    pub header: String,
    /// Tenant of requests without it.
    #[arg(
        long = "query.default-tenant-id",
        value_name = "TENANT",
        default_value = DEFAULT_TENANT
    )]
    pub default_tenant: String,
    /// Show tenants only series that bear their name.
    #[arg(long = "query.enforce-tenancy")]
    pub enforce: bool,
    /// Label that names the tenant of a series.
    #[arg(
        long = "query.tenant-label-name",
        value_name = "LABEL",
        default_value = "tenant_id"
    )]
    pub label: String,
}

/// Least step over endpoints, as in Thanos, in milliseconds.
const DEFAULT_STEP_MS: i64 = 1_000;

/// Why flags are refused that leave a part of the data out of answers.
const SELECTION: &str = "a querier answers over all that its endpoints have here; leave the flag out and \
     name only the endpoints that are to be asked";

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "endpoint.sd-config-reload-interval",
        "store.sd-interval",
        "store.sd-dns-resolver",
        "grpc-compression",
        "query.promql-engine",
        "query.mode",
        "query.max-concurrent-select",
        "query.active-query-path",
        "query.partition-label",
        "grpc.proxy-strategy",
        "query.lazy-retrieval-max-buffered-responses",
        "query.conn-metric.label",
        "query.telemetry.request-duration-seconds-quantiles",
        "query.telemetry.request-samples-quantiles",
        "query.telemetry.request-series-seconds-quantiles",
        "alert.query-url",
    ],
    switches: &[
        "query.enable-x-functions",
        "query.distributed-with-overlapping-interval",
        "rule.partial-response",
        "target.partial-response",
        "metric-metadata.partial-response",
        "exemplar.partial-response",
    ],
    refused: &[
        RefusedFlag {
            name: "query.tenant-certificate-field",
            harmless: &[""],
            reason: "tenants are not told by certificates here, so that all would be one; leave the \
                     flag out and have a proxy set --query.tenant-header",
        },
        RefusedFlag {
            name: "selector.relabel-config",
            harmless: &["", "[]"],
            reason: SELECTION,
        },
        RefusedFlag {
            name: "selector.relabel-config-file",
            harmless: &[""],
            reason: SELECTION,
        },
        RefusedFlag {
            name: "selector-label",
            harmless: &[""],
            reason: SELECTION,
        },
    ],
};

/// What the component works with: complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the servers listen.
    pub servers: ServerConfig,
    /// Where the page and the API are found.
    pub paths: WebPaths,
    /// Connections to endpoints.
    pub grpc_client: GrpcClientConfig,
    /// Whom to ask.
    pub endpoints: SetOptions,
    /// A data directory to answer from.
    pub data_dir: Option<PathBuf>,
    /// How queries are answered.
    pub settings: Settings,
    /// What clients of the HTTP server may use.
    pub http: HttpLimits,
    /// What one answer of the StoreAPI may have.
    pub store_limits: Limits,
    /// All flags with their values, for the API to show.
    pub shown_flags: BTreeMap<String, String>,
    /// What the process may have.
    pub memory: Memory,
    /// Where queries are logged.
    pub log: LogSettings,
}

/// Which queries are logged, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// The file of all queries.
    pub file: Option<PathBuf>,
    /// Those that are named in the log of the process.
    pub slow: Slow,
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used, and when there is nobody to
    /// ask.
    pub fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let config = self.resolve_for_given_stores(environment)?;
        if config.endpoints.is_empty() && config.data_dir.is_none() {
            return Err(Error::Flag {
                flag: "endpoint",
                reason: "name whom to ask: an endpoint that speaks the StoreAPI, or a data directory of Prometheus by --data-dir".to_owned(),
            });
        }
        Ok(config)
    }

    /// As [`Flags::resolve`], for who is given stores of the same process and need not name any.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub fn resolve_for_given_stores(self, environment: &Environment) -> Result<Config, Error> {
        let memory = environment.memory();
        let endpoints = self.endpoints.resolve()?;
        let mut settings = self.queries.resolve(memory)?;
        let slow = slow(&self.queries.log_longer_than)?;
        settings.tenancy = Tenancy {
            header: self.tenants.header,
            default_tenant: self.tenants.default_tenant,
            is_enforced: self.tenants.enforce,
            label: self.tenants.label,
        };
        settings.open_selectors = !endpoints.is_empty();
        if self.queries.default_step.is_none() && !endpoints.is_empty() {
            settings.default_step_ms = DEFAULT_STEP_MS;
        }
        settings.store_silence_max = match self.endpoints.response_timeout.0 {
            0 => settings.engine.limits.timeout,
            ms => Duration::from_millis(ms.unsigned_abs()),
        };
        let servers = self.servers.resolve()?;
        let message_limit = servers.grpc_server.message_limit;
        Ok(Config {
            servers,
            paths: self.web.resolve()?,
            grpc_client: self.grpc_client.resolve(message_limit)?,
            store_limits: Limits::new(
                self.endpoints.request_series,
                self.endpoints.request_samples,
                memory,
            ),
            memory,
            log: LogSettings {
                file: self.queries.log_file.clone(),
                slow,
            },
            endpoints,
            data_dir: self.data_dir,
            shown_flags: BTreeMap::new(),
            settings,
            http: HttpLimits {
                large_max: self.queries.concurrent_max()?,
                large_flag: Some("query.max-concurrent"),
                ..HttpLimits::default()
            },
        })
    }
}

impl EndpointFlags {
    fn resolve(&self) -> Result<SetOptions, Error> {
        let mut endpoints = Vec::new();
        for (flag, addresses, strict, group) in [
            ("endpoint", &self.endpoint, false, false),
            ("endpoint-strict", &self.endpoint_strict, true, false),
            ("endpoint-group", &self.endpoint_group, false, true),
            (
                "endpoint-group-strict",
                &self.endpoint_group_strict,
                true,
                true,
            ),
        ] {
            for address in addresses {
                let endpoint = EndpointConfig::new(address, strict, group);
                endpoints.push(endpoint.map_err(|reason| Error::Flag { flag, reason })?);
            }
        }
        let yaml = self.sd_config.as_deref().unwrap_or_default();
        endpoints.extend(config::parse(yaml).map_err(|reason| Error::Flag {
            flag: "endpoint.sd-config",
            reason,
        })?);
        Ok(SetOptions {
            endpoints,
            config_file: self.sd_config_file.clone(),
            files: self.sd_files.clone(),
            lookup_interval: duration("store.sd-dns-interval", self.dns_interval)?,
            info_timeout: duration("endpoint.info-timeout", self.info_timeout)?,
            unhealthy_timeout: duration("store.unhealthy-timeout", self.unhealthy_timeout)?,
        })
    }
}

impl QueryFlags {
    fn concurrent_max(&self) -> Result<usize, Error> {
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
        })
    }

    fn resolve(&self, memory: Memory) -> Result<Settings, Error> {
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
        engine.limits.samples_max = self.max_samples;
        let max_memory = self.max_memory.map(|ByteSize(bytes)| bytes);
        engine.limits.bytes_max = max_memory.unwrap_or_else(|| memory.part(4));
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
fn slow(text: &str) -> Result<Slow, Error> {
    const FLAG: &str = "query.log-queries-longer-than";
    let parsed = DurationMs::parse_signed(text);
    let DurationMs(ms) = parsed.map_err(|error| refused(FLAG, &error.to_string()))?;
    Ok(match ms {
        0 => Slow::Never,
        ms if ms < 0 => Slow::Always,
        ms => Slow::After(Duration::from_millis(ms.unsigned_abs())),
    })
}

fn refused(flag: &'static str, reason: &str) -> Error {
    Error::Flag {
        flag,
        reason: reason.to_owned(),
    }
}

fn duration(flag: &'static str, duration: DurationMs) -> Result<Duration, Error> {
    let ms = positive(flag, duration)?;
    Ok(Duration::from_millis(ms.unsigned_abs()))
}

/// The milliseconds of a duration that may not be zero.
fn positive(flag: &'static str, duration: DurationMs) -> Result<i64, Error> {
    if duration.0 > 0 {
        return Ok(duration.0);
    }
    Err(Error::Flag {
        flag,
        reason: format!("{duration} is too short; use 1ms or more"),
    })
}

impl Config {
    /// The flags under their names, for the API to show.
    pub fn effective_flags(&self) -> BTreeMap<String, String> {
        let ms = |ms: i64| DurationMs(ms).to_string();
        let duration = |d: Duration| ms(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let settings = &self.settings;
        let endpoints = |strict: bool, group: bool| {
            let all = self.endpoints.endpoints.iter();
            let these = all.filter(|e| e.strict == strict && e.group == group);
            let these: Vec<_> = these.map(|e| e.address.to_string()).collect();
            these.join(",")
        };
        let data_dir = self.data_dir.as_ref();
        let flags = [
            ("http-address", self.servers.http.to_string()),
            ("grpc-address", self.servers.grpc.to_string()),
            ("endpoint", endpoints(false, false)),
            ("endpoint-strict", endpoints(true, false)),
            ("endpoint-group", endpoints(false, true)),
            ("endpoint-group-strict", endpoints(true, true)),
            (
                "data-dir",
                data_dir.map_or_else(String::new, |dir| dir.display().to_string()),
            ),
            ("query.timeout", duration(settings.engine.limits.timeout)),
            ("query.max-concurrent", self.http.large_max.to_string()),
            ("query.lookback-delta", ms(settings.engine.lookback_ms)),
            (
                "query.max-samples",
                settings.engine.limits.samples_max.to_string(),
            ),
            (
                "query.max-memory-bytes",
                settings.engine.limits.bytes_max.to_string(),
            ),
            (
                "query.max-length",
                settings.text_limits.max_length.to_string(),
            ),
            (
                "query.max-nesting",
                settings.text_limits.max_nesting.to_string(),
            ),
            (
                "query.max-operators",
                settings.text_limits.max_height.to_string(),
            ),
            (
                "store.limits.request-series",
                self.store_limits.series_max.to_string(),
            ),
            (
                "store.limits.request-samples",
                self.store_limits.samples_max.to_string(),
            ),
            ("query.replica-label", settings.replica_labels.join(",")),
            (
                "query.partial-response",
                settings.partial_response.to_string(),
            ),
            (
                "query.auto-downsampling",
                settings.auto_downsampling.to_string(),
            ),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value));
        let mut all = self.shown_flags.clone();
        all.extend(flags);
        all
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn config(args: &[&str]) -> Result<Config, String> {
        let args = std::iter::once("querier").chain(args.iter().copied());
        let cli = Cli::try_parse_from(args).map_err(|e| e.to_string())?;
        let memory = Memory {
            bytes: 1 << 30,
            ..Memory::default()
        };
        let environment = Environment::default().with_memory(memory);
        cli.flags.resolve(&environment).map_err(|e| e.to_string())
    }

    #[test]
    fn limits_follow_from_the_machine_where_nothing_is_said() {
        let flags = config(&["--data-dir=x"]).unwrap().effective_flags();
        for (name, value) in [
            ("query.max-memory-bytes", 1 << 28),
            ("query.max-length", 16 << 10),
            ("query.max-nesting", 100),
            ("query.max-operators", 1000),
            ("store.limits.request-series", (1 << 30) / 1600),
            ("store.limits.request-samples", 1 << 28),
        ] {
            assert_eq!(flags[name], value.to_string(), "{name}");
        }
        assert!(flags["query.max-concurrent"].parse::<u32>().unwrap() >= 20);
        let config = config(&["--data-dir=x", "--query.max-memory-bytes=1MB"]);
        assert_eq!(config.unwrap().settings.engine.limits.bytes_max, 1 << 20);
    }

    #[test]
    fn flags_become_a_configuration() {
        let config = config(&[
            "--endpoint=a:1",
            "--endpoint-strict=b:2",
            "--endpoint-group=dns+c:3",
            "--query.replica-label=replica,prometheus_replica",
            "--query.replica-label=rule_replica",
            "--deduplication.func=chain",
            "--no-query.partial-response",
            "--query.results-cache-size-mb=1",
        ])
        .unwrap();
        assert_eq!(config.endpoints.endpoints.len(), 3);
        let settings = &config.settings;
        assert_eq!(
            settings.replica_labels,
            ["prometheus_replica", "replica", "rule_replica"]
        );
        assert_eq!(settings.dedup, Dedup::Chain);
        assert!(!settings.partial_response);
        assert_eq!(settings.results_cache_bytes, 1 << 20);
        assert_eq!(settings.store_silence_max, settings.engine.limits.timeout);
        let flags = config.effective_flags();
        assert_eq!(flags["endpoint-strict"], "b:2");
    }

    #[test]
    fn parts_of_promql_are_turned_on_and_a_step_is_chosen_as_in_thanos() {
        let said = [
            "--endpoint=a:1",
            "--enable-feature=,promql-experimental-functions,x",
        ];
        let settings = config(&said).unwrap().settings;
        assert!(settings.syntax().features.experimental_functions);
        assert_eq!(
            settings.dialect.foreign_features().collect::<Vec<_>>(),
            ["x"]
        );
        assert_eq!(settings.default_step_ms, 1_000);
        let alone = config(&["--data-dir=x"]).unwrap().settings;
        assert_eq!((alone.default_step_ms, alone.open_selectors), (0, false));
        let plain = config(&said[..1]).unwrap().settings;
        assert!(!plain.syntax().features.experimental_functions);
    }

    #[test]
    fn slow_queries_are_said_as_elsewhere() {
        let slow = |text: &str| {
            let flag = format!("--query-frontend.log-queries-longer-than={text}");
            config(&["--data-dir=x", &flag]).unwrap().log.slow
        };
        assert_eq!(slow("0"), Slow::Never);
        assert_eq!(slow("-1s"), Slow::Always);
        assert_eq!(slow("2s"), Slow::After(Duration::from_secs(2)));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (args, flag) in [
            (&[][..], "--endpoint:"),
            (&["--endpoint=a"], "--endpoint:"),
            (&["--endpoint-strict=dns+a:1"], "--endpoint-strict:"),
            (&["--endpoint.sd-config=x: 1"], "--endpoint.sd-config:"),
            (&["--data-dir=x", "--query.timeout=0s"], "--query.timeout:"),
            (
                &["--data-dir=x", "--query.max-concurrent=0"],
                "--query.max-concurrent:",
            ),
            (
                &["--data-dir=x", "--query.max-nesting=251"],
                "--query.max-nesting:",
            ),
            (
                &["--data-dir=x", "--query.max-length=5GB"],
                "--query.max-length:",
            ),
        ] {
            let error = config(args).unwrap_err();
            assert!(error.starts_with(flag), "{args:?}: {error}");
        }
    }
}
