//! The section `remote_write`: receivers that samples are forwarded to.

use std::path::Path;

use model::labels::NameScheme;
use model::relabel::RelabelConfig;

use super::export::{Export, SendConfig, check_url};
use super::http::{HttpConfig, http_config, own_headers};
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

pub(super) fn export(node: &Node, dir: &Path, warnings: &mut Vec<String>) -> Result<Export, Error> {
    remote_write(node, dir, warnings).map(Export::RemoteWrite)
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
    check_url(&url, &section)?;
    let mut http = http_config(&mut section, dir, warnings)?;
    own_headers(&mut section, &mut http)?;
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
    section.set("queue_config", &mut remote.send, |node| {
        send(node.section("config.plain")?, warnings)
    })?;
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
    send.read(&mut section)?;
    section.set("retry_on_http_429", &mut send.retry_on_429, Node::bool)?;
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
    Ok(send)
}
