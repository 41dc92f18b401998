//! The section `remote_write`: where samples are forwarded to.

use std::path::Path;

use model::labels::NameScheme;
use model::relabel::RelabelConfig;

use super::http::{HttpConfig, Secret, SecretSource, http_config};
use super::yaml::{Node, Section};
use super::{Error, relabel};

/// Version of the messages that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageVersion {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// How samples wait, and how often they are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendConfig {
    /// Samples of a request.
    pub samples_max: usize,
    /// Requests at once, each with series of its own.
    pub shards_max: usize,
    /// Pause before the second attempt, in milliseconds; it doubles with each.
    pub backoff_min_ms: u64,
    /// The longest pause, in milliseconds.
    pub backoff_max_ms: u64,
    /// A request that the other side finds too much is sent again.
    pub retry_on_429: bool,
    /// Samples older than this, in milliseconds, are not sent.
    pub age_max_ms: Option<i64>,
}

impl Default for SendConfig {
    /// Prometheus' values, but for 429: what waits on disk loses nothing by waiting longer.
    fn default() -> Self {
        Self {
            samples_max: 2000,
            shards_max: 50,
            backoff_min_ms: 30,
            backoff_max_ms: 5000,
            retry_on_429: true,
            age_max_ms: None,
        }
    }
}

/// One receiver of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteWrite {
    /// Its name, where one is said.
    pub name: Option<String>,
    /// Its address.
    pub url: String,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: i64,
    /// What is sent.
    pub version: MessageVersion,
    /// Exemplars are sent.
    pub exemplars: bool,
    /// Native histograms are sent.
    pub histograms: bool,
    /// Credentials, TLS, headers.
    pub http: HttpConfig,
    /// Rules for series on their way.
    pub relabel: Vec<RelabelConfig>,
    /// How they are sent.
    pub send: SendConfig,
}

pub(super) fn remote_writes(
    list: &Node,
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<Vec<RemoteWrite>, Error> {
    let mut all: Vec<RemoteWrite> = Vec::new();
    for node in list.list()? {
        let one = remote_write(node, dir, warnings)?;
        if one.name.is_some() && all.iter().any(|other| other.name == one.name) {
            let name = one.name.unwrap_or_default();
            let reason = format!("found multiple remote write configs with job name {name:?}");
            return Err(Error::at(node.at, reason));
        }
        all.push(one);
    }
    Ok(all)
}

fn remote_write(node: &Node, dir: &Path, warnings: &mut Vec<String>) -> Result<RemoteWrite, Error> {
    if node.is_null() {
        return Err(Error::at(
            node.at,
            "empty or null remote write config section",
        ));
    }
    let mut section = node.section("config.plain")?;
    let url = section.optional("url", Node::text)?.unwrap_or_default();
    if url.is_empty() {
        return Err(Error::at(section.at, "url for remote_write is empty"));
    }
    let parsed = reqwest::Url::parse(&url).map_err(|e| Error::at(section.at, e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::at(
            section.at,
            "URL scheme must be 'http' or 'https'",
        ));
    }
    let mut http = http_config(&mut section, dir, warnings)?;
    if let Some(headers) = section.field("headers") {
        for (name, value) in headers.text_map()? {
            http.headers
                .push((name, SecretSource::Inline(Secret(value))));
        }
    }
    for name in ["sigv4", "azuread", "google_iam"] {
        if section.field(name).is_some_and(|node| !node.is_null()) {
            let reason =
                format!("{name} is not in this build; use authorization with credentials_file");
            return Err(Error::at(section.at, reason));
        }
    }
    for name in ["metadata_config", "round_robin_dns"] {
        if section.field(name).is_some_and(|node| !node.is_null()) {
            warnings.push(format!(
                "line {}: remote_write's {name} is not acted on",
                section.at
            ));
        }
    }
    let mut remote = RemoteWrite {
        name: section
            .optional("name", Node::text)?
            .filter(|name| !name.is_empty()),
        url,
        timeout_ms: 30_000,
        version: MessageVersion::V1,
        exemplars: false,
        histograms: false,
        http,
        relabel: Vec::new(),
        send: SendConfig::default(),
    };
    section.set("remote_timeout", &mut remote.timeout_ms, Node::duration_ms)?;
    section.set("send_exemplars", &mut remote.exemplars, Node::bool)?;
    section.set("send_native_histograms", &mut remote.histograms, Node::bool)?;
    section.set("protobuf_message", &mut remote.version, version)?;
    section.set("write_relabel_configs", &mut remote.relabel, |node| {
        relabel::rules(node, NameScheme::Utf8)
    })?;
    if let Some(queue) = section.field("queue_config").filter(|node| !node.is_null()) {
        remote.send = send(queue.section("config.plain")?, warnings)?;
    }
    section.finish()?;
    Ok(remote)
}

fn version(node: &Node) -> Result<MessageVersion, Error> {
    match node.text()?.as_str() {
        "prometheus.WriteRequest" => Ok(MessageVersion::V1),
        "io.prometheus.write.v2.Request" => Ok(MessageVersion::V2),
        other => Err(Error::at(
            node.at,
            format!(
                "unknown remote write protobuf message {other}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
            ),
        )),
    }
}

fn send(mut section: Section<'_>, warnings: &mut Vec<String>) -> Result<SendConfig, Error> {
    let mut send = SendConfig::default();
    let count = |node: &Node| match node.unsigned()? {
        0 => Err(Error::at(node.at, "must not be 0")),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    };
    let ms = |node: &Node| Ok(node.duration_ms()?.unsigned_abs());
    section.set("max_samples_per_send", &mut send.samples_max, count)?;
    section.set("max_shards", &mut send.shards_max, count)?;
    section.set("min_backoff", &mut send.backoff_min_ms, ms)?;
    section.set("max_backoff", &mut send.backoff_max_ms, ms)?;
    section.set("retry_on_http_429", &mut send.retry_on_429, Node::bool)?;
    let age = section.optional("sample_age_limit", Node::duration_ms)?;
    send.age_max_ms = age.filter(|age| *age > 0);
    let line = section.at;
    // Samples wait on disk, and are sent at once when nothing is on its way.
    for name in ["capacity", "min_shards", "batch_send_deadline"] {
        if section.field(name).is_some_and(|node| !node.is_null()) {
            warnings.push(format!(
                "line {line}: queue_config.{name} has no counterpart"
            ));
        }
    }
    section.finish()?;
    send.backoff_min_ms = send.backoff_min_ms.max(1);
    send.backoff_max_ms = send.backoff_max_ms.max(send.backoff_min_ms);
    Ok(send)
}
