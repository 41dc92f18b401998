//! Where targets come from.

use std::path::{Path, PathBuf};

use model::labels::NameScheme;

use super::Error;
use super::http::{HttpConfig, http_config, resolve};
use super::yaml::{Node, Section};

/// Targets with labels in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StaticGroup {
    /// Addresses.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Vec<(String, String)>,
}

/// Kind of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// Host and port of a service.
    Srv,
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Mail server.
    Mx,
    /// Name server.
    Ns,
}

/// One source of targets.
#[derive(Debug, Clone, PartialEq)]
pub enum Discovery {
    /// Listed in the configuration.
    Static(Vec<StaticGroup>),
    /// Listed in files.
    Files {
        /// Paths whose last part may be a pattern.
        patterns: Vec<PathBuf>,
        /// How often all are read again, in milliseconds.
        refresh_ms: i64,
    },
    /// Listed by an HTTP server.
    Http {
        /// Its URL.
        url: String,
        /// How often it is asked, in milliseconds.
        refresh_ms: i64,
        /// How it is asked.
        http: Box<HttpConfig>,
    },
    /// Listed by DNS.
    Dns {
        /// Names to resolve.
        names: Vec<String>,
        /// Kind of record.
        record: RecordType,
        /// Port of what records name without one.
        port: u16,
        /// How often it is asked, in milliseconds.
        refresh_ms: i64,
    },
}

/// Reads every discovery of a scrape configuration; those that this build lacks are warned about.
pub(super) fn discoveries(
    section: &mut Section<'_>,
    dir: &Path,
    job: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Discovery>, Error> {
    let mut found = Vec::new();
    if let Some(list) = section.field("static_configs") {
        let groups = groups(list)?;
        // Relabelling may make an address of anything, such as the URL that a prober is to ask.
        let is_relabelled = section
            .field("relabel_configs")
            .map(Node::list)
            .transpose()?;
        if is_relabelled.is_none_or(<[Node]>::is_empty) {
            let mut targets = groups.iter().flat_map(|group| &group.targets);
            let checked = targets.try_for_each(|target| check_address(target));
            checked.map_err(|reason| Error::at(list.at, reason))?;
        }
        found.push(Discovery::Static(groups));
    }
    for node in items(section, "file_sd_configs")? {
        found.push(files(node, dir)?);
    }
    for node in items(section, "http_sd_configs")? {
        found.push(http(node, dir, warnings)?);
    }
    for node in items(section, "dns_sd_configs")? {
        found.push(dns(node)?);
    }
    for (name, node) in section.take_where(|name| name.ends_with("_sd_configs")) {
        warnings.push(format!(
            "line {}: {name} of job {job:?} is skipped: this build discovers by static_configs, file_sd_configs, http_sd_configs and dns_sd_configs",
            node.at
        ));
    }
    Ok(found)
}

fn items<'a>(section: &mut Section<'a>, name: &str) -> Result<&'a [Node], Error> {
    section.field(name).map_or(Ok(&[]), Node::list)
}

fn static_group(node: &Node) -> Result<StaticGroup, Error> {
    let mut section = node.section("struct { Targets []string; Labels model.LabelSet }")?;
    let mut group = StaticGroup::default();
    section.set("targets", &mut group.targets, Node::texts)?;
    if let Some(labels) = section.field("labels") {
        group.labels = labels.text_map()?;
        let mut names = group.labels.iter().map(|(name, _)| name);
        if let Some(name) = names.find(|name| !NameScheme::Utf8.is_valid_label_name(name)) {
            return Err(Error::at(
                labels.at,
                format!("{name:?} is not a valid label name"),
            ));
        }
    }
    section.finish()?;
    Ok(group)
}

/// Refuses what cannot be the address of a target.
pub(crate) fn check_address(address: &str) -> Result<(), String> {
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    Ok(())
}

fn refresh(section: &mut Section<'_>, default_ms: i64) -> Result<i64, Error> {
    let mut refresh_ms = default_ms;
    section.set("refresh_interval", &mut refresh_ms, Node::duration_ms)?;
    if refresh_ms <= 0 {
        return Err(Error::at(section.at, "refresh_interval must be positive"));
    }
    Ok(refresh_ms)
}

fn files(node: &Node, dir: &Path) -> Result<Discovery, Error> {
    let mut section = node.section("file.plain")?;
    let names = section.optional("files", Node::texts)?.unwrap_or_default();
    let refresh_ms = refresh(&mut section, 5 * 60_000)?;
    let line = section.at;
    section.finish()?;
    if names.is_empty() {
        return Err(Error::at(
            line,
            "file service discovery config must contain at least one path name",
        ));
    }
    for name in &names {
        let valid = [".json", ".yml", ".yaml"]
            .iter()
            .any(|end| name.ends_with(end))
            && name.trim_end_matches(|c| c != '/').matches('*').count() == 0;
        if !valid {
            return Err(Error::at(
                line,
                format!("path name {name:?} is not valid for file discovery"),
            ));
        }
    }
    Ok(Discovery::Files {
        patterns: names.iter().map(|name| resolve(dir, name)).collect(),
        refresh_ms,
    })
}

fn http(node: &Node, dir: &Path, warnings: &mut Vec<String>) -> Result<Discovery, Error> {
    let mut section = node.section("http.plain")?;
    let url = section.optional("url", Node::text)?.unwrap_or_default();
    let refresh_ms = refresh(&mut section, 60_000)?;
    let http = Box::new(http_config(&mut section, dir, warnings)?);
    let line = section.at;
    section.finish()?;
    if url.is_empty() {
        return Err(Error::at(line, "URL is missing"));
    }
    let parsed = reqwest::Url::parse(&url).map_err(|e| Error::at(line, e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::at(line, "URL scheme must be 'http' or 'https'"));
    }
    if parsed.host_str().is_none() {
        return Err(Error::at(line, "host is missing in URL"));
    }
    Ok(Discovery::Http {
        url,
        refresh_ms,
        http,
    })
}

fn dns(node: &Node) -> Result<Discovery, Error> {
    let mut section = node.section("dns.plain")?;
    let names = section.optional("names", Node::texts)?.unwrap_or_default();
    let mut record = RecordType::Srv;
    section.set("type", &mut record, record_type)?;
    let mut port = 0;
    section.set("port", &mut port, Node::unsigned)?;
    let refresh_ms = refresh(&mut section, 30_000)?;
    let line = section.at;
    section.finish()?;
    if names.is_empty() {
        return Err(Error::at(
            line,
            "DNS-SD config must contain at least one SRV record name",
        ));
    }
    if record != RecordType::Srv && port == 0 {
        return Err(Error::at(
            line,
            "a port is required in DNS-SD configs for all record types except SRV",
        ));
    }
    Ok(Discovery::Dns {
        names,
        record,
        port: u16::try_from(port).map_err(|_| Error::at(line, "a port is at most 65535"))?,
        refresh_ms,
    })
}

fn record_type(node: &Node) -> Result<RecordType, Error> {
    match node.text()?.to_ascii_uppercase().as_str() {
        "SRV" => Ok(RecordType::Srv),
        "A" => Ok(RecordType::A),
        "AAAA" => Ok(RecordType::Aaaa),
        "MX" => Ok(RecordType::Mx),
        "NS" => Ok(RecordType::Ns),
        other => Err(Error::at(
            node.at,
            format!("invalid DNS-SD records type {other}"),
        )),
    }
}

/// The groups of a list as a configuration, files and HTTP servers give them.
pub(super) fn groups(root: &Node) -> Result<Vec<StaticGroup>, Error> {
    root.list()?.iter().map(static_group).collect()
}
