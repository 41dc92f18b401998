//! Where samples are forwarded to, of whatever kind, and how they wait for it.

use model::relabel::RelabelConfig;

use super::yaml::{Node, Section};
use super::{Elasticsearch, Error, RemoteWrite};

/// One system that samples are forwarded to.
#[derive(Debug, Clone, PartialEq)]
pub enum Export {
    /// A receiver of remote write.
    RemoteWrite(RemoteWrite),
    /// An Elasticsearch, or an OpenSearch.
    Elasticsearch(Elasticsearch),
}

impl Export {
    /// Its name, where one is said.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::RemoteWrite(config) => config.name.as_deref(),
            Self::Elasticsearch(config) => config.name.as_deref(),
        }
    }

    /// The address that tells it apart from others without a name: the first one, for several.
    pub fn url(&self) -> &str {
        match self {
            Self::RemoteWrite(config) => &config.url,
            Self::Elasticsearch(config) => config.urls.first().map_or("", String::as_str),
        }
    }

    /// Rules for series on their way.
    pub fn relabel(&self) -> &[RelabelConfig] {
        match self {
            Self::RemoteWrite(config) => &config.relabel,
            Self::Elasticsearch(config) => &config.relabel,
        }
    }

    /// How samples are sent.
    pub fn send(&self) -> &SendConfig {
        match self {
            Self::RemoteWrite(config) => &config.send,
            Self::Elasticsearch(config) => &config.send,
        }
    }
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

impl SendConfig {
    /// Reads the fields that every exporter has from its `queue_config`.
    pub(super) fn read(&mut self, section: &mut Section<'_>) -> Result<(), Error> {
        let ms = |node: &Node| Ok(node.duration_ms()?.unsigned_abs());
        section.set("max_samples_per_send", &mut self.samples_max, count)?;
        section.set("max_shards", &mut self.shards_max, count)?;
        section.set("min_backoff", &mut self.backoff_min_ms, ms)?;
        section.set("max_backoff", &mut self.backoff_max_ms, ms)?;
        let age = section.optional("sample_age_limit", Node::duration_ms)?;
        self.age_max_ms = age.filter(|age| *age > 0);
        self.backoff_min_ms = self.backoff_min_ms.max(1);
        self.backoff_max_ms = self.backoff_max_ms.max(self.backoff_min_ms);
        Ok(())
    }
}

/// A number of things of which there is at least one.
pub(super) fn count(node: &Node) -> Result<usize, Error> {
    match node.unsigned()? {
        0 => Err(Error::at(node.at, "must not be 0")),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

/// An address that requests can be sent to.
pub(super) fn check_url(url: &str, section: &Section<'_>) -> Result<(), Error> {
    let parsed = reqwest::Url::parse(url).map_err(|e| Error::at(section.at, e.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::at(
            section.at,
            "URL scheme must be 'http' or 'https'",
        ));
    }
    Ok(())
}

/// Refuses an exporter that has the name of one of `others`, and so its queue.
pub(super) fn check_name(others: &[Export], export: &Export, node: &Node) -> Result<(), Error> {
    let Some(name) = export.name() else {
        return Ok(());
    };
    let Some(other) = others.iter().find(|other| other.name() == Some(name)) else {
        return Ok(());
    };
    let reason = match (other, export) {
        (Export::RemoteWrite(_), Export::RemoteWrite(_)) => {
            format!("found multiple remote write configs with job name {name:?}")
        }
        (Export::Elasticsearch(_), Export::Elasticsearch(_)) => {
            format!("found multiple elasticsearch_write configs with name {name:?}")
        }
        _ => format!(
            "found multiple exporters with name {name:?}: remote_write and elasticsearch_write would share a queue"
        ),
    };
    Err(Error::at(node.at, reason))
}
