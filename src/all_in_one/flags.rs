//! The few flags of the process that is everything, and what follows from them for its parts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use ingester::protocols::ProtocolFlags;
use model::time::DurationMs;
use querier::dialect::DialectFlags;
use runtime::flags::ListenAddress;
use runtime::http::WebPaths;
use runtime::web_config::WebConfig;
use runtime::web_flags::WebFlags;
use runtime::{BucketConfig, BucketFlags, Environment, Error};

use super::passed::PassedFlags;

/// The external label of this process' blocks unless the user says others. Answers do not show it.
pub(super) const REPLICA_LABEL: &str = "promontory_replica";

/// How long the end of the process waits for blocks to be cut and shipped.
const GRACE: Duration = Duration::from_secs(120);
/// How often the bucket is looked at.
const SYNC_INTERVAL: Duration = Duration::from_secs(60);

/// What was said on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Flags {
    /// Directory for everything: the TSDB, and the bucket unless one is named.
    #[arg(
        long = "data-dir",
        value_name = "DIR",
        default_value = "./promontory-data"
    )]
    data_dir: PathBuf,
    /// Address of the HTTP server: page, API, remote write.
    #[arg(
        long = "http-address",
        alias = "web.listen-address",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9090"
    )]
    http_address: String,
    /// Address of the gRPC server.
    #[arg(
        long = "grpc-address",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:10901"
    )]
    grpc_address: String,
    /// Prometheus' web configuration file: how the HTTP server speaks TLS, and whom it lets in.
    #[arg(
        long = "http.config",
        alias = "web.config.file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    web_config: String,
    /// Where the page and the API are found.
    #[command(flatten)]
    web: WebFlags,
    /// Prometheus' configuration file, for what to scrape. Without one this process scrapes itself,
    /// and a node exporter.
    #[arg(id = "prometheus_config", long = "config.file", value_name = "FILE")]
    scrape_config: Option<PathBuf>,
    /// Where a node exporter may listen, or "off". It is scraped from when it first answers, unless
    /// --config.file says what to scrape.
    #[arg(
        long = "node-exporter.address",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9100"
    )]
    node_exporter: String,
    /// The bucket; a folder of the data directory when none is named.
    #[command(flatten)]
    bucket: BucketFlags,
    /// External label of everything that is received here, `name="value"`; may be repeated.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Receivers of other protocols.
    #[command(flatten)]
    protocols: ProtocolFlags,
    /// Dialect of queries.
    #[command(flatten)]
    dialect: DialectFlags,
    /// How long blocks stay in the data directory after they were shipped to the bucket.
    #[arg(
        long = "tsdb.retention",
        alias = "storage.tsdb.retention.time",
        value_name = "DURATION",
        default_value = "2d"
    )]
    retention: DurationMs,
    /// How old a sample may be that comes after newer ones of its series.
    #[arg(
        long = "tsdb.out-of-order.time-window",
        value_name = "DURATION",
        default_value = "30m"
    )]
    out_of_order_window: DurationMs,
    /// When a write is acknowledged.
    #[arg(long = "wal.sync", value_name = "WHEN", default_value = "always")]
    wal_sync: String,
    /// Records of float samples in the log: compact ones, or those of Prometheus.
    #[arg(long = "wal.records", value_name = "FORM", default_value = "compact")]
    wal_records: String,
    /// What the parts take themselves.
    #[command(flatten)]
    passed: PassedFlags,
}

/// What the parts work with: complete and checked.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) data_dir: PathBuf,
    pub(super) http: ListenAddress,
    pub(super) web: WebConfig,
    pub(super) paths: WebPaths,
    pub(super) grpc: ListenAddress,
    pub(super) bucket: BucketConfig,
    /// The user says what to scrape.
    pub(super) has_config_file: bool,
    /// Where a node exporter is looked for.
    pub(super) node_exporter: Option<ListenAddress>,
    pub(super) ingester: ingester::Config,
    pub(super) store: store::Config,
    pub(super) querier: querier::Config,
    pub(super) compactor: compactor::Config,
    pub(super) grace: Duration,
    /// Variables that configuration names.
    pub(super) environment: Environment,
    /// All flags with their values.
    pub(super) shown_flags: BTreeMap<String, String>,
    retention: DurationMs,
}

/// Flags of a component, read from a command line that was made up.
#[derive(Debug, clap::Parser)]
struct Only<F: clap::Args> {
    #[command(flatten)]
    flags: F,
}

/// The flags of a component as if these had been said to it.
pub(super) fn flags_of<F: clap::Args>(said: &[String]) -> Result<F, Error> {
    let name = std::iter::once("promontory".to_owned());
    let only = Only::<F>::try_parse_from(name.chain(said.iter().cloned()));
    only.map(|only| only.flags).map_err(|error| Error::Start {
        action: "configure the parts".to_owned(),
        source: Box::new(error),
    })
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

impl Flags {
    /// Checks the flags and fills in what follows from them.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first flag whose value cannot be used.
    pub(super) fn resolve(self, environment: &Environment) -> Result<Config, Error> {
        let address = |flag, text: &str| {
            ListenAddress::parse(text).map_err(|reason| Error::Flag { flag, reason })
        };
        let work = |part: &str| self.data_dir.join(part).display().to_string();
        let (bucket, bucket_flag) = match self.bucket.resolve(environment)? {
            BucketConfig::None => {
                let folder = serde_json::Value::from(work("bucket"));
                let yaml = format!("type: FILESYSTEM\nconfig: {{directory: {folder}}}\n");
                let said = flag("objstore.config", &yaml);
                (BucketConfig::Yaml(yaml), said)
            }
            named => (named, self.bucket_flag()),
        };
        let mut store = vec![
            bucket_flag.clone(),
            flag("data-dir", work("store")),
            flag(
                "sync-block-duration",
                format!("{}s", SYNC_INTERVAL.as_secs()),
            ),
        ];
        store.extend(self.passed.for_part::<store::Flags>());
        let mut compactor = vec![
            bucket_flag.clone(),
            flag("data-dir", work("compactor")),
            "--wait".to_owned(),
        ];
        compactor.extend(self.passed.for_part::<compactor::Flags>());
        Ok(Config {
            http: address("http-address", &self.http_address)?,
            web: WebConfig::read(&self.web_config)?,
            paths: self.web.resolve()?,
            grpc: address("grpc-address", &self.grpc_address)?,
            ingester: self.ingester(&bucket_flag, environment)?,
            store: flags_of::<store::Flags>(&store)?.resolve(environment)?,
            querier: self.querier()?.resolve_for_given_stores(environment)?,
            compactor: flags_of::<compactor::Flags>(&compactor)?.resolve(environment)?,
            has_config_file: self.scrape_config.is_some(),
            node_exporter: match &*self.node_exporter {
                "off" => None,
                said => Some(address("node-exporter.address", said)?),
            },
            bucket,
            environment: environment.clone(),
            shown_flags: BTreeMap::new(),
            grace: GRACE,
            retention: self.retention,
            data_dir: self.data_dir,
        })
    }

    /// The flag that named the bucket.
    fn bucket_flag(&self) -> String {
        match (&self.bucket.config_file, &self.bucket.config) {
            (Some(file), _) => flag("objstore.config-file", file.display()),
            (None, text) => flag("objstore.config", text.as_deref().unwrap_or_default()),
        }
    }

    fn querier(&self) -> Result<querier::Flags, Error> {
        let said = self.passed.for_part::<querier::Flags>();
        let mut flags = flags_of::<querier::Flags>(&said)?;
        flags.queries.dialect = self.dialect.clone();
        Ok(flags)
    }

    fn ingester(
        &self,
        bucket_flag: &str,
        environment: &Environment,
    ) -> Result<ingester::Config, Error> {
        let mut said = vec![
            bucket_flag.to_owned(),
            "--tsdb.layout=single".to_owned(),
            flag("tsdb.path", self.data_dir.join("tsdb").display()),
            flag("tsdb.retention", self.retention),
            flag("tsdb.out-of-order.time-window", self.out_of_order_window),
            flag("wal.sync", &self.wal_sync),
            flag("wal.records", &self.wal_records),
        ];
        said.extend(
            self.dialect
                .features
                .iter()
                .map(|name| flag("enable-feature", name)),
        );
        said.extend(self.labels.iter().map(|label| flag("label", label)));
        let config_file = self.scrape_config.iter();
        said.extend(config_file.map(|file| flag("config.file", file.display())));
        said.extend(self.passed.for_part::<ingester::Flags>());
        let mut flags = flags_of::<ingester::Flags>(&said)?;
        flags.protocols = self.protocols.clone();
        // What was pushed is data like any other, so it is there again after a restart.
        let groups = || self.data_dir.join("pushgateway");
        flags.protocols.pushgateway.file.get_or_insert_with(groups);
        flags.resolve(environment)
    }
}

impl Config {
    /// The flags under their names, for the API to show.
    pub(super) fn effective_flags(&self) -> BTreeMap<String, String> {
        let flags = [
            ("data-dir", self.data_dir.display().to_string()),
            ("http-address", self.http.to_string()),
            ("grpc-address", self.grpc.to_string()),
            ("tsdb.retention", self.retention.to_string()),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value));
        let mut all = self.shown_flags.clone();
        // What the parts make of those that are flags here too.
        let parts = ingester::core::effective_flags(&self.ingester).into_iter();
        let parts = parts.chain(self.store.effective_flags());
        let parts = parts.chain(self.querier.effective_flags());
        all.extend(parts.filter(|(name, _)| self.shown_flags.contains_key(name)));
        all.extend(flags);
        all
    }
}
