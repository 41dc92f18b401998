//! Prometheus' configuration file.
//!
//! [`Config::load`] reads the file and those that `scrape_config_files` names, checks all of it, and
//! says what in it has no effect here. What scraping needs is typed ([`Job`]); the sections of other
//! parts of Prometheus are accepted as they are. [`Config::printed`] gives the YAML back without its
//! secrets.
//!
//! Values of external labels may name variables of the environment, as `${NAME}`; one that is not set
//! and has no default (`${NAME:-default}`) is an error, where Prometheus takes it for empty.
//!
//! Fields, defaults and the words of errors are Prometheus 3's; fields that only 2.x had are taken.

mod authorization;
mod discovery;
mod elasticsearch;
mod export;
mod http;
mod job;
pub mod pipeline;
mod print;
mod relabel;
mod remote_write;
#[cfg(test)]
mod tests;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

use model::Labels;
use model::labels::NameScheme;
use runtime::Environment;

pub use authorization::{Authorization, OAuth2};
pub(crate) use discovery::check_address;
pub use discovery::{Discovery, RecordType, StaticGroup};
pub use elasticsearch::{DocumentFormat, Elasticsearch, LifecycleConfig, Rotation, TemplateConfig};
pub use export::{Export, SendConfig};
pub use http::{HttpConfig, Pem, ProxyConfig, Secret, SecretSource, TlsConfig, TlsVersion};
pub use job::{Defaults, Escaping, Job, Limits, Protocol};
pub use remote_write::{MessageVersion, RemoteWrite};
use yaml::{Node, Section, Value};

/// A list of targets in a file or from an HTTP server.
pub(crate) fn target_groups(text: &str) -> Result<Vec<StaticGroup>, Error> {
    discovery::groups(&yaml::parse(text)?)
}

/// Files larger than this are no configuration.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A place in a YAML file; shown as its line, as Prometheus does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The column, from 1; 0 when it is not known.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.line, f)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where in the YAML.
    pub at: Place,
    /// What is wrong.
    pub reason: String,
    /// The file, once it is known.
    pub file: Option<PathBuf>,
}

impl Error {
    pub(crate) fn at(place: Place, reason: impl Into<String>) -> Self {
        Self {
            at: place,
            reason: reason.into(),
            file: None,
        }
    }

    fn in_file(self, file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "parsing YAML file {}: ", file.display())?;
        }
        if self.at.line > 0 {
            write!(f, "line {}: ", self.at)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}

/// What SOFALookout's gateway pulls, in its files: jobs as Prometheus' are, with its labels and times.
const LOOKOUT_JOBS: &str = "metric_scrape_configs";

/// Elasticsearch and OpenSearch that samples are written to; a section of ours.
const ELASTICSEARCHES: &str = "elasticsearch_write";

/// Reads one of those that samples are forwarded to.
type ReadExport = fn(&Node, &Path, &mut Vec<String>) -> Result<Export, Error>;

/// The section `global`.
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// How often targets are scraped, in milliseconds.
    pub scrape_interval_ms: i64,
    /// How long a scrape may take, in milliseconds.
    pub scrape_timeout_ms: i64,
    /// How often rules are evaluated, in milliseconds.
    pub evaluation_interval_ms: i64,
    /// Labels that identify this producer; they are not on its series.
    pub external_labels: Labels,
    /// The file that a querier in the same process logs queries to.
    pub query_log_file: Option<PathBuf>,
    /// What scrape configurations may set as well.
    pub shared: Defaults,
    /// The exposition formats were chosen by whoever wrote the file.
    lists_protocols: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval_ms: 60_000,
            scrape_timeout_ms: 10_000,
            evaluation_interval_ms: 60_000,
            external_labels: Labels::empty(),
            query_log_file: None,
            shared: Defaults::default(),
            lists_protocols: false,
        }
    }
}

/// The configuration, complete and checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The section `global`.
    pub global: Global,
    /// Patterns of the files that it includes.
    pub included: Vec<PathBuf>,
    /// What is scraped.
    pub jobs: Vec<Job>,
    /// Where samples are forwarded to.
    pub exports: Vec<Export>,
    /// Patterns of files with rules, which this component does not evaluate.
    pub rule_files: Vec<String>,
    /// `storage.tsdb.out_of_order_time_window` in milliseconds, where it is set.
    pub out_of_order_window_ms: Option<i64>,
    /// What in the configuration has no effect, and what to do about it.
    pub warnings: Vec<String>,
    root: Node,
}

impl Config {
    /// Reads the configuration from `file`; paths in it are relative to its directory.
    ///
    /// # Errors
    /// When the file, or one that it includes, cannot be read or is wrong.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self, Error> {
        let text = read(file)?;
        let dir = file.parent().unwrap_or(Path::new("."));
        Self::parse_with(&text, dir, environment).map_err(|error| match error.file {
            Some(_) => error,
            None => error.in_file(file),
        })
    }

    /// Checks the configuration `text`; paths in it are relative to `dir`.
    ///
    /// # Errors
    /// When it is wrong, or a file that it includes is.
    pub fn parse(text: &str, dir: &Path) -> Result<Self, Error> {
        Self::parse_with(text, dir, &Environment::default())
    }

    /// As [`Config::parse`], with the variables that external labels may name.
    fn parse_with(text: &str, dir: &Path, environment: &Environment) -> Result<Self, Error> {
        let mut root = yaml::parse(text)?;
        expand_external_labels(&mut root, environment)?;
        let mut section = root.section("config.plain")?;
        let mut config = Self::default();
        if let Some(node) = section.field("global").filter(|node| !node.is_null()) {
            config.global = global(node, dir, &mut config.warnings)?;
        }
        config.rule_files = section
            .optional("rule_files", Node::texts)?
            .unwrap_or_default();
        if !config.rule_files.is_empty() {
            config.warn("rule_files are not evaluated by the ingester");
        }
        if let Some(storage) = section.field("storage") {
            config.storage(storage)?;
        }
        for (name, inactive) in [
            ("alerting", "alerts are not sent by the ingester"),
            ("remote_read", "the querier reads from stores instead"),
            ("tracing", "traces are not sent"),
            ("otlp", "OTLP is not configured here"),
            ("runtime", "GOGC has no counterpart"),
        ] {
            if section.field(name).is_some_and(|node| !is_empty(node)) {
                config.warn(&format!("{name} is not acted on: {inactive}"));
            }
        }
        config.add_exports(&mut section, dir)?;
        if let Some(list) = section.field("scrape_configs") {
            config.add_jobs(list, dir, false)?;
        }
        if let Some(list) = section.field(LOOKOUT_JOBS) {
            config.add_jobs(list, dir, true)?;
        }
        let included = section.optional("scrape_config_files", Node::texts)?;
        section.finish()?;
        for pattern in included.unwrap_or_default() {
            let pattern = http::resolve(dir, &pattern);
            config.include(&pattern)?;
            config.included.push(pattern);
        }
        config.root = root;
        Ok(config)
    }

    fn add_exports(&mut self, section: &mut Section<'_>, dir: &Path) -> Result<(), Error> {
        for (name, read) in [
            ("remote_write", remote_write::export as ReadExport),
            (ELASTICSEARCHES, elasticsearch::export),
        ] {
            let Some(list) = section.field(name) else {
                continue;
            };
            for node in list.list()? {
                let export = read(node, dir, &mut self.warnings)?;
                export::check_name(&self.exports, &export, node)?;
                self.exports.push(export);
            }
        }
        Ok(())
    }

    /// The YAML with the external labels that are in force, its secrets hidden.
    pub fn printed(&self, external_labels: &Labels) -> String {
        print::printed(&self.root, external_labels)
    }

    fn warn(&mut self, warning: &str) {
        self.warnings.push(warning.to_owned());
    }

    fn storage(&mut self, node: &Node) -> Result<(), Error> {
        let mut storage = node.section("config.StorageConfig")?;
        if let Some(tsdb) = storage.field("tsdb") {
            let mut tsdb = tsdb.section("config.plain")?;
            self.out_of_order_window_ms =
                tsdb.optional("out_of_order_time_window", Node::duration_ms)?;
            for (name, _) in tsdb.take_where(|_| true) {
                self.warn(&format!(
                    "storage.tsdb.{name} is not acted on; use the flags"
                ));
            }
        }
        if storage
            .field("exemplars")
            .is_some_and(|node| !is_empty(node))
        {
            self.warn("storage.exemplars is not acted on; use the flags");
        }
        storage.finish()
    }

    fn add_jobs(&mut self, list: &Node, dir: &Path, lookout: bool) -> Result<(), Error> {
        for node in list.list()? {
            let job = job::job(node, &self.global, (dir, lookout), &mut self.warnings)?;
            if self.jobs.iter().any(|other| other.name == job.name) {
                return Err(Error::at(
                    node.at,
                    format!("found multiple scrape configs with job name {:?}", job.name),
                ));
            }
            self.jobs.push(job);
        }
        Ok(())
    }

    /// Adds the jobs of the files that match `pattern`.
    fn include(&mut self, pattern: &Path) -> Result<(), Error> {
        let files = crate::discovery::matching_files(pattern)
            .map_err(|e| Error::at(Place::default(), format!("list {}: {e}", pattern.display())))?;
        for file in files {
            let add = |config: &mut Self| {
                let root = yaml::parse(&read(&file)?)?;
                let mut section = root.section("config.ScrapeConfigs")?;
                let dir = file.parent().unwrap_or(Path::new("."));
                for (name, lookout) in [("scrape_configs", false), (LOOKOUT_JOBS, true)] {
                    if let Some(list) = section.field(name) {
                        config.add_jobs(list, dir, lookout)?;
                    }
                }
                section.finish()
            };
            add(self).map_err(|error| error.in_file(&file))?;
        }
        Ok(())
    }
}

/// Replaces variables of the environment in the values of external labels.
fn expand_external_labels(root: &mut Node, environment: &Environment) -> Result<(), Error> {
    let labels = root.existing_mut("global");
    let labels = labels.and_then(|global| global.existing_mut("external_labels"));
    let Some(Value::Map(labels)) = labels.map(|labels| &mut labels.value) else {
        return Ok(());
    };
    for (name, node) in labels {
        if let Value::Text(value) = &mut node.value {
            *value = environment
                .expand_braces(value)
                .map_err(|reason| Error::at(node.at, format!("external label {name}: {reason}")))?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, Error> {
    let failed = |error: String| {
        Error::at(
            Place::default(),
            format!("read {}: {error}", file.display()),
        )
    };
    let len = std::fs::metadata(file)
        .map_err(|e| failed(e.to_string()))?
        .len();
    if len > FILE_BYTES_MAX {
        return Err(failed(format!(
            "{len} bytes are more than {FILE_BYTES_MAX}"
        )));
    }
    std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Map(fields) => fields.is_empty(),
        _ => false,
    }
}

fn global(node: &Node, dir: &Path, warnings: &mut Vec<String>) -> Result<Global, Error> {
    let mut global = Global::default();
    let mut section = node.section("config.plain")?;
    let set = |ms: &mut i64, found: Option<i64>| *ms = found.filter(|f| *f != 0).unwrap_or(*ms);
    let interval = section.optional("scrape_interval", Node::duration_ms)?;
    set(&mut global.scrape_interval_ms, interval);
    let timeout = section.optional("scrape_timeout", Node::duration_ms)?;
    set(&mut global.scrape_timeout_ms, timeout);
    if timeout.unwrap_or(0) == 0 {
        global.scrape_timeout_ms = global.scrape_timeout_ms.min(global.scrape_interval_ms);
    } else if global.scrape_timeout_ms > global.scrape_interval_ms {
        return Err(Error::at(
            section.at,
            "global scrape timeout greater than scrape interval",
        ));
    }
    let evaluation = section.optional("evaluation_interval", Node::duration_ms)?;
    set(&mut global.evaluation_interval_ms, evaluation);
    if let Some(labels) = section.field("external_labels") {
        let pairs = labels.text_map()?;
        for (name, _) in &pairs {
            if !NameScheme::Utf8.is_valid_label_name(name) {
                return Err(Error::at(
                    labels.at,
                    format!("{name:?} is not a valid label name"),
                ));
            }
        }
        global.external_labels = Labels::from_pairs(pairs);
    }
    job::defaults(&mut section, &mut global.shared, dir)?;
    global.lists_protocols = section
        .field("scrape_protocols")
        .is_some_and(|n| !n.is_null());
    let log = section.optional("query_log_file", Node::text)?;
    let log = log.filter(|file| !file.is_empty());
    global.query_log_file = log.map(|file| dir.join(file));
    if section
        .field("rule_query_offset")
        .is_some_and(|node| !node.is_null())
    {
        warnings.push("global.rule_query_offset is not acted on by the ingester".to_owned());
    }
    if section.field("runtime").is_some_and(|node| !is_empty(node)) {
        warnings.push("global.runtime is not acted on: GOGC has no counterpart".to_owned());
    }
    section.finish()?;
    Ok(global)
}
