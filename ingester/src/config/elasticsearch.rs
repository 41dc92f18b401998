//! The section `elasticsearch_write`: Elasticsearch and OpenSearch that samples are written to. It is
//! ours, shaped as `remote_write` beside it; see `docs/reference/exporters.md`.

use std::path::Path;

use model::labels::NameScheme;
use model::relabel::RelabelConfig;

use super::authorization::Authorization;
use super::export::{Export, SendConfig, check_url, count};
use super::http::{HttpConfig, http_config, own_headers, secret};
use super::yaml::{Node, Section};
use super::{Error, relabel};

const DAY_MS: i64 = 86_400_000;
/// Bytes that the name of an index may have; what is appended to the prefix must fit.
const PREFIX_BYTES_MAX: usize = 200;

/// Which index a sample goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// That of the sample's day, in UTC: `PREFIX-2026.11.21`.
    Daily,
    /// That of the sample's month: `PREFIX-2026.11`.
    Monthly,
    /// The newest of `PREFIX-000001` and so on, behind the alias `PREFIX`.
    Rollover,
    /// The data stream `PREFIX`.
    DataStream,
}

impl Rotation {
    /// True where the name of an index says which samples are in it.
    pub fn is_by_date(self) -> bool {
        matches!(self, Self::Daily | Self::Monthly)
    }
}

/// How a sample is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    /// `@timestamp`, `name`, `labels`, `value`.
    Labels,
    /// As SOFALookout's gateway does: `id`, `tags`, `time`, `value`.
    Lookout,
}

/// The template that new indices follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateConfig {
    /// It is set up.
    pub enabled: bool,
    /// One that is there already is replaced.
    pub overwrite: bool,
    /// Which of several templates wins.
    pub priority: u64,
    /// Shards of an index.
    pub shards: u64,
    /// Replicas of a shard; without it one where there are several nodes.
    pub replicas: Option<u64>,
    /// How soon documents are found, where it is said, in milliseconds.
    pub refresh_ms: Option<i64>,
}

/// What becomes of indices with time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleConfig {
    /// It is set up.
    pub enabled: bool,
    /// A policy that is there already is replaced.
    pub overwrite: bool,
    /// Age at which the next index is begun, in milliseconds.
    pub rollover_age_ms: i64,
    /// Bytes of primary shards at which the next index is begun.
    pub rollover_bytes: Option<u64>,
    /// Documents at which the next index is begun.
    pub rollover_docs: u64,
    /// Age at which an index is removed, in milliseconds; nothing keeps all of them.
    pub delete_after_ms: Option<i64>,
}

/// One Elasticsearch.
#[derive(Debug, Clone, PartialEq)]
pub struct Elasticsearch {
    /// Its name, where one is said.
    pub name: Option<String>,
    /// Addresses of its nodes, at least one: the next is asked when one does not answer.
    pub urls: Vec<String>,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: i64,
    /// Credentials, TLS, headers.
    pub http: HttpConfig,
    /// Rules for series on their way.
    pub relabel: Vec<RelabelConfig>,
    /// What the names of its indices begin with; names of template, policy, alias and data stream.
    pub index: String,
    /// Which index a sample goes to.
    pub rotation: Rotation,
    /// How samples are written down.
    pub format: DocumentFormat,
    /// The template.
    pub template: TemplateConfig,
    /// The lifecycle.
    pub lifecycle: LifecycleConfig,
    /// How they are sent.
    pub send: SendConfig,
    /// Bytes of a request.
    pub request_bytes_max: usize,
}

pub(super) fn export(node: &Node, dir: &Path, warnings: &mut Vec<String>) -> Result<Export, Error> {
    elasticsearch(node, dir, warnings).map(Export::Elasticsearch)
}

fn elasticsearch(
    node: &Node,
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<Elasticsearch, Error> {
    let mut section = node.section("config.ElasticsearchWrite")?;
    let urls = section.optional("urls", Node::texts)?.unwrap_or_default();
    if urls.is_empty() {
        return Err(Error::at(
            section.at,
            "urls of elasticsearch_write are empty",
        ));
    }
    urls.iter().try_for_each(|url| check_url(url, &section))?;
    let mut http = http_config(&mut section, dir, warnings)?;
    own_headers(&mut section, &mut http)?;
    http.authorization = authorization(&mut section, http.authorization.take(), dir)?;
    let name = section.optional("name", Node::text)?;
    let mut config = Elasticsearch {
        name: name.filter(|name| !name.is_empty()),
        urls: urls
            .iter()
            .map(|url| url.trim_end_matches('/').to_owned())
            .collect(),
        timeout_ms: 30_000,
        http,
        relabel: Vec::new(),
        index: "promontory-metrics".to_owned(),
        rotation: Rotation::Daily,
        format: DocumentFormat::Labels,
        template: TemplateConfig::default(),
        lifecycle: LifecycleConfig::default(),
        send: SendConfig {
            samples_max: 5000,
            shards_max: 2,
            backoff_min_ms: 1000,
            backoff_max_ms: 60_000,
            ..SendConfig::default()
        },
        request_bytes_max: 5 << 20,
    };
    section.set("remote_timeout", &mut config.timeout_ms, Node::duration_ms)?;
    section.set("index", &mut config.index, index)?;
    section.set("rotation", &mut config.rotation, rotation)?;
    section.set("format", &mut config.format, format)?;
    section.set("write_relabel_configs", &mut config.relabel, |node| {
        relabel::rules(node, NameScheme::Utf8)
    })?;
    section.set("template", &mut config.template, template)?;
    section.set("lifecycle", &mut config.lifecycle, lifecycle)?;
    section.optional("queue_config", |node| queue(node, &mut config))?;
    let is_mixed =
        config.format == DocumentFormat::Lookout && config.rotation == Rotation::DataStream;
    if is_mixed {
        let reason = "documents of format lookout have no @timestamp, which data streams need; choose another rotation";
        return Err(Error::at(section.at, reason));
    }
    section.finish()?;
    Ok(config)
}

/// An API key stands in for other credentials.
fn authorization(
    section: &mut Section<'_>,
    found: Option<Authorization>,
    dir: &Path,
) -> Result<Option<Authorization>, Error> {
    match (secret(section, ("api_key", "api_key_file"), dir)?, found) {
        (None, found) => Ok(found),
        (Some(key), None) => Ok(Some(Authorization::Credentials {
            scheme: "ApiKey".to_owned(),
            credentials: Some(key),
        })),
        (Some(_), Some(_)) => Err(Error::at(
            section.at,
            "at most one of api_key, basic_auth, authorization & bearer_token must be configured",
        )),
    }
}

impl Default for TemplateConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            overwrite: true,
            // Above those that come with Elasticsearch.
            priority: 200,
            shards: 1,
            replicas: None,
            refresh_ms: None,
        }
    }
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            overwrite: true,
            rollover_age_ms: DAY_MS,
            rollover_bytes: Some(50 << 30),
            rollover_docs: 100_000_000,
            delete_after_ms: Some(30 * DAY_MS),
        }
    }
}

fn queue(node: &Node, config: &mut Elasticsearch) -> Result<(), Error> {
    let mut section = node.section("config.plain")?;
    config.send.read(&mut section)?;
    let bytes = |node: &Node| Ok(usize::try_from(node.bytes()?.max(1)).unwrap_or(usize::MAX));
    section.set("max_bytes_per_send", &mut config.request_bytes_max, bytes)?;
    section.finish()
}

fn template(node: &Node) -> Result<TemplateConfig, Error> {
    let mut template = TemplateConfig::default();
    let mut section = node.section("config.plain")?;
    section.set("enabled", &mut template.enabled, Node::bool)?;
    section.set("overwrite", &mut template.overwrite, Node::bool)?;
    section.set("priority", &mut template.priority, Node::unsigned)?;
    section.set("shards", &mut template.shards, |node| {
        Ok(count(node)? as u64)
    })?;
    template.replicas = section.optional("replicas", Node::unsigned)?;
    template.refresh_ms = section.optional("refresh_interval", Node::duration_ms)?;
    section.finish()?;
    Ok(template)
}

fn lifecycle(node: &Node) -> Result<LifecycleConfig, Error> {
    let mut lifecycle = LifecycleConfig::default();
    let mut section = node.section("config.plain")?;
    section.set("enabled", &mut lifecycle.enabled, Node::bool)?;
    section.set("overwrite", &mut lifecycle.overwrite, Node::bool)?;
    section.set("rollover_age", &mut lifecycle.rollover_age_ms, |node| {
        whole_seconds(node)?.ok_or_else(|| Error::at(node.at, "must not be 0"))
    })?;
    section.set("rollover_size", &mut lifecycle.rollover_bytes, |node| {
        Ok(Some(node.bytes()?).filter(|bytes| *bytes > 0))
    })?;
    section.set("rollover_docs", &mut lifecycle.rollover_docs, |node| {
        Ok(count(node)? as u64)
    })?;
    section.set(
        "delete_after",
        &mut lifecycle.delete_after_ms,
        whole_seconds,
    )?;
    section.finish()?;
    Ok(lifecycle)
}

/// A duration as policies say it: seconds; nothing for 0.
fn whole_seconds(node: &Node) -> Result<Option<i64>, Error> {
    match node.duration_ms()? {
        0 => Ok(None),
        ms if ms % 1000 == 0 => Ok(Some(ms)),
        _ => Err(Error::at(node.at, "must be whole seconds")),
    }
}

/// What the name of an index may begin with.
fn index(node: &Node) -> Result<String, Error> {
    let text = node.text()?;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_name = text.bytes().next().is_some_and(is_plain)
        && text.len() <= PREFIX_BYTES_MAX
        && text.bytes().all(|b| is_plain(b) || b"-_.".contains(&b));
    if !is_name {
        let reason = format!(
            "{text:?} cannot begin the name of an index: use lower case letters, digits, '-', '_' and '.'"
        );
        return Err(Error::at(node.at, reason));
    }
    Ok(text)
}

fn rotation(node: &Node) -> Result<Rotation, Error> {
    match node.text()?.as_str() {
        "daily" => Ok(Rotation::Daily),
        "monthly" => Ok(Rotation::Monthly),
        "rollover" => Ok(Rotation::Rollover),
        "data_stream" => Ok(Rotation::DataStream),
        other => Err(unknown(
            node,
            "rotation",
            other,
            "daily, monthly, rollover, data_stream",
        )),
    }
}

fn format(node: &Node) -> Result<DocumentFormat, Error> {
    match node.text()?.as_str() {
        "labels" => Ok(DocumentFormat::Labels),
        "lookout" => Ok(DocumentFormat::Lookout),
        other => Err(unknown(node, "format", other, "labels, lookout")),
    }
}

fn unknown(node: &Node, what: &str, given: &str, known: &str) -> Error {
    Error::at(
        node.at,
        format!("unknown {what} {given:?}, supported: {known}"),
    )
}
