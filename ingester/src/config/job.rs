//! `scrape_configs`: what is scraped, and how.

use std::path::{Path, PathBuf};

use model::labels::NameScheme;
use model::relabel::RelabelConfig;

use super::discovery::{Discovery, discoveries};
use super::http::{HttpConfig, http_config, resolve};
use super::relabel::rules;
use super::yaml::{Node, Section};
use super::{Error, Global};

/// An exposition format that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf, delimited messages.
    Protobuf,
    /// Prometheus' text format 0.0.4.
    Text004,
    /// Prometheus' text format 1.0.0: 0.0.4 with names in UTF-8.
    Text100,
    /// OpenMetrics 0.0.1.
    OpenMetrics001,
    /// OpenMetrics 1.0.0.
    OpenMetrics100,
}

impl Protocol {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Protobuf, "PrometheusProto"),
        (Self::Text004, "PrometheusText0.0.4"),
        (Self::Text100, "PrometheusText1.0.0"),
        (Self::OpenMetrics001, "OpenMetricsText0.0.1"),
        (Self::OpenMetrics100, "OpenMetricsText1.0.0"),
    ];
    const DEFAULT: [Self; 4] = [
        Self::OpenMetrics100,
        Self::OpenMetrics001,
        Self::Text100,
        Self::Text004,
    ];

    fn read(node: &Node) -> Result<Self, Error> {
        let text = node.text()?;
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known.map(|(protocol, _)| *protocol).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            Error::at(
                node.at,
                format!("unknown scrape protocol {text}, supported: {names:?}"),
            )
        })
    }
}

/// How names that a scraper cannot read are written by targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escaping {
    /// As they are.
    AllowUtf8,
    /// Other characters as underscores.
    Underscores,
    /// Dots as `_dot_`.
    Dots,
    /// Other characters as their numbers.
    Values,
}

impl Escaping {
    /// As requests name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// What a scrape may hold at most; 0 is without limit. A scrape beyond one fails as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of the body, once decompressed.
    pub body_bytes: u64,
    /// Samples after relabelling.
    pub samples: u64,
    /// Labels of a series.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_bytes: u64,
    /// Bytes of a label's value.
    pub label_value_bytes: u64,
    /// Targets of the job.
    pub targets: u64,
    /// Targets that relabelling dropped and that are remembered.
    pub kept_dropped_targets: u64,
    /// Buckets of a native histogram; its resolution is reduced until they fit.
    pub histogram_buckets: u64,
}

/// What both `global` and each scrape configuration may set.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// Formats to ask for, the best first.
    pub protocols: Vec<Protocol>,
    /// What a scrape may hold.
    pub limits: Limits,
    /// Which names are valid.
    pub name_scheme: NameScheme,
    /// How targets write names that are not.
    pub escaping: Escaping,
    /// Native histograms are asked for and taken.
    pub native_histograms: bool,
    /// Classic series are taken of histograms that are native as well.
    pub always_classic: bool,
    /// Classic histograms become native ones, whose buckets have the same bounds.
    pub converts_classic: bool,
    /// The file that takes down failed scrapes.
    pub failure_log: Option<PathBuf>,
    /// Series about timeouts, limits and sizes are added to each scrape.
    pub extra_metrics: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            protocols: Protocol::DEFAULT.to_vec(),
            limits: Limits::default(),
            name_scheme: NameScheme::Utf8,
            escaping: Escaping::AllowUtf8,
            native_histograms: false,
            always_classic: false,
            converts_classic: false,
            failure_log: None,
            extra_metrics: false,
        }
    }
}

/// One scrape configuration, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name, and the label `job` of its targets.
    pub name: String,
    /// How often a target is scraped, in milliseconds.
    pub interval_ms: i64,
    /// How long a scrape may take, in milliseconds.
    pub timeout_ms: i64,
    /// What `global` may set as well.
    pub shared: Defaults,
    /// The formats are listed, not those that are asked for otherwise.
    pub lists_protocols: bool,
    /// The format of answers that do not say theirs.
    pub fallback: Option<Protocol>,
    /// Labels that a target exposes win over those that the scrape gives it.
    pub honor_labels: bool,
    /// Timestamps that a target exposes are taken.
    pub honor_timestamps: bool,
    /// Series with timestamps of their own end as others do when they vanish.
    pub track_timestamps_staleness: bool,
    /// Answers may be compressed.
    pub compression: bool,
    /// Path of the URL.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Parameters of the URL.
    pub params: Vec<(String, Vec<String>)>,
    /// How requests are made.
    pub http: HttpConfig,
    /// Where targets come from.
    pub discoveries: Vec<Discovery>,
    /// Rules for targets.
    pub relabel: Vec<RelabelConfig>,
    /// Rules for series.
    pub metric_relabel: Vec<RelabelConfig>,
    /// Least growth factor between buckets of native histograms; 0 for any.
    pub min_bucket_factor: f64,
    /// Labels and times are as those of SOFALookout's gateway, which pulls what is here scraped: `app`
    /// is the job, `ip` the target, and samples are of whole intervals.
    pub lookout: bool,
}

/// Reads what `global` and scrape configurations have in common.
pub(super) fn defaults(
    section: &mut Section<'_>,
    to: &mut Defaults,
    dir: &Path,
) -> Result<(), Error> {
    // The formats that follow from native histograms are replaced by those that are listed.
    section.set(
        "scrape_native_histograms",
        &mut to.native_histograms,
        Node::bool,
    )?;
    section.set("scrape_protocols", &mut to.protocols, protocols)?;
    let limits = &mut to.limits;
    section.set("body_size_limit", &mut limits.body_bytes, Node::bytes)?;
    section.set("sample_limit", &mut limits.samples, Node::unsigned)?;
    section.set("label_limit", &mut limits.labels, Node::unsigned)?;
    section.set(
        "label_name_length_limit",
        &mut limits.label_name_bytes,
        Node::unsigned,
    )?;
    section.set(
        "label_value_length_limit",
        &mut limits.label_value_bytes,
        Node::unsigned,
    )?;
    section.set("target_limit", &mut limits.targets, Node::unsigned)?;
    section.set(
        "keep_dropped_targets",
        &mut limits.kept_dropped_targets,
        Node::unsigned,
    )?;
    section.set(
        "metric_name_validation_scheme",
        &mut to.name_scheme,
        name_scheme,
    )?;
    if to.name_scheme == NameScheme::Legacy && to.escaping == Escaping::AllowUtf8 {
        to.escaping = Escaping::Underscores;
    }
    section.set("metric_name_escaping_scheme", &mut to.escaping, escaping)?;
    if to.name_scheme == NameScheme::Legacy && to.escaping == Escaping::AllowUtf8 {
        return Err(Error::at(
            section.at,
            "utf8 metric names requested but validation scheme is not set to UTF8",
        ));
    }
    section.set(
        "always_scrape_classic_histograms",
        &mut to.always_classic,
        Node::bool,
    )?;
    section.set(
        "scrape_classic_histograms",
        &mut to.always_classic,
        Node::bool,
    )?;
    section.set("extra_scrape_metrics", &mut to.extra_metrics, Node::bool)?;
    section.set(
        "convert_classic_histograms_to_nhcb",
        &mut to.converts_classic,
        Node::bool,
    )?;
    let file = section.optional("scrape_failure_log_file", Node::text)?;
    if let Some(file) = file.filter(|file| !file.is_empty()) {
        to.failure_log = Some(resolve(dir, &file));
    }
    Ok(())
}

fn protocols(node: &Node) -> Result<Vec<Protocol>, Error> {
    let listed: Vec<_> = node
        .list()?
        .iter()
        .map(Protocol::read)
        .collect::<Result<_, _>>()?;
    if listed.is_empty() {
        return Err(Error::at(node.at, "scrape_protocols cannot be empty"));
    }
    let repeated = |(i, p): (usize, &Protocol)| listed[..i].contains(p);
    if listed.iter().enumerate().any(repeated) {
        return Err(Error::at(
            node.at,
            "duplicated protocol in scrape_protocols",
        ));
    }
    Ok(listed)
}

fn name_scheme(node: &Node) -> Result<NameScheme, Error> {
    match node.text()?.as_str() {
        "" | "utf8" => Ok(NameScheme::Utf8),
        "legacy" => Ok(NameScheme::Legacy),
        other => Err(Error::at(
            node.at,
            format!(
                "unknown metric name validation method specified, must be either '', 'legacy' or 'utf8', got {other}"
            ),
        )),
    }
}

fn escaping(node: &Node) -> Result<Escaping, Error> {
    match node.text()?.as_str() {
        "allow-utf-8" => Ok(Escaping::AllowUtf8),
        "underscores" => Ok(Escaping::Underscores),
        "dots" => Ok(Escaping::Dots),
        "values" => Ok(Escaping::Values),
        other => Err(Error::at(
            node.at,
            format!(
                "unknown metric name escaping scheme {other:?}; use allow-utf-8, underscores, dots or values"
            ),
        )),
    }
}

/// Reads one scrape configuration; `lookout` says what it is if it does not say so itself, see
/// [`Job::lookout`].
pub(super) fn job(
    node: &Node,
    global: &Global,
    (dir, lookout): (&Path, bool),
    warnings: &mut Vec<String>,
) -> Result<Job, Error> {
    if node.is_null() {
        return Err(Error::at(node.at, "empty or null scrape config section"));
    }
    let mut section = node.section("config.ScrapeConfig")?;
    let name = section
        .optional("job_name", Node::text)?
        .unwrap_or_default();
    if name.is_empty() {
        return Err(Error::at(section.at, "job_name is empty"));
    }
    let (interval_ms, timeout_ms) = timing(&mut section, global, &name)?;
    let mut shared = global.shared.clone();
    defaults(&mut section, &mut shared, dir)?;
    section.set(
        "native_histogram_bucket_limit",
        &mut shared.limits.histogram_buckets,
        Node::unsigned,
    )?;
    let listed = global.lists_protocols || section.field("scrape_protocols").is_some();
    if shared.native_histograms && !listed {
        shared.protocols.insert(0, Protocol::Protobuf);
    }
    let name_scheme = shared.name_scheme;
    let mut job = Job {
        interval_ms,
        timeout_ms,
        shared,
        lists_protocols: listed,
        fallback: section.optional("fallback_scrape_protocol", Protocol::read)?,
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        compression: true,
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        params: Vec::new(),
        http: http_config(&mut section, dir, warnings)?,
        discoveries: discoveries(&mut section, dir, &name, warnings)?,
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
        min_bucket_factor: 0.0,
        lookout,
        name,
    };
    honored(&mut section, &mut job)?;
    section.set(
        "track_timestamps_staleness",
        &mut job.track_timestamps_staleness,
        Node::bool,
    )?;
    section.set("enable_compression", &mut job.compression, Node::bool)?;
    section.set("metrics_path", &mut job.metrics_path, Node::text)?;
    section.set("scheme", &mut job.scheme, Node::text)?;
    section.set("params", &mut job.params, params)?;
    section.set("relabel_configs", &mut job.relabel, |list| {
        rules(list, name_scheme)
    })?;
    section.set("metric_relabel_configs", &mut job.metric_relabel, |list| {
        rules(list, name_scheme)
    })?;
    section.set(
        "native_histogram_min_bucket_factor",
        &mut job.min_bucket_factor,
        Node::float,
    )?;
    section.finish()?;
    Ok(job)
}

/// What of a target's labels and timestamps counts, which SOFALookout's rules say if nothing else does.
fn honored(section: &mut Section<'_>, job: &mut Job) -> Result<(), Error> {
    section.set("lookout_compatible", &mut job.lookout, Node::bool)?;
    if job.lookout {
        job.honor_labels = true;
        job.honor_timestamps = false;
    }
    section.set("honor_labels", &mut job.honor_labels, Node::bool)?;
    section.set("honor_timestamps", &mut job.honor_timestamps, Node::bool)
}

/// Interval and timeout.
fn timing(section: &mut Section<'_>, global: &Global, name: &str) -> Result<(i64, i64), Error> {
    let set = |node: Option<i64>| node.filter(|ms| *ms != 0);
    let interval_ms = set(section.optional("scrape_interval", Node::duration_ms)?)
        .unwrap_or(global.scrape_interval_ms);
    let timeout_ms = set(section.optional("scrape_timeout", Node::duration_ms)?)
        .unwrap_or_else(|| global.scrape_timeout_ms.min(interval_ms));
    if timeout_ms > interval_ms {
        return Err(Error::at(
            section.at,
            format!(
                "scrape timeout greater than scrape interval for scrape config with job name {name:?}"
            ),
        ));
    }
    Ok((interval_ms, timeout_ms))
}

fn params(node: &Node) -> Result<Vec<(String, Vec<String>)>, Error> {
    let fields = node.map()?.iter();
    fields
        .map(|(name, values)| Ok((name.clone(), values.texts()?)))
        .collect()
}
