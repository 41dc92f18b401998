//! Where targets come from: lists in the configuration, in files, from HTTP servers, from DNS.
//!
//! A [`Watch`] keeps the targets of one source current in a task of its own. A source that fails
//! keeps the targets that it had; what fails is logged once until it changes. Each target is a label
//! set with `__address__` and the `__meta_` labels of its source, before relabelling.

mod dns;
mod files;
mod http;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Labels, LabelsBuilder};
use parking_lot::Mutex;
use runtime::tasks::Owned;
use tokio::sync::Notify;

use crate::config::{Discovery, StaticGroup};
use crate::scrape::client::Clients;

pub use files::{matching_files, targets_in};

/// The label that holds the address of a target.
pub(crate) const ADDRESS: &str = "__address__";

/// Files and answers larger than this hold no list of targets.
const LIST_BYTES_MAX: usize = 64 << 20;

/// Why a source could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Error(pub(crate) String);

/// The targets of one source, kept current until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    current: Arc<Mutex<Option<Vec<Labels>>>>,
    mechanism: &'static str,
    failures: Arc<AtomicU64>,
    _task: Option<Owned<()>>,
}

impl Watch {
    /// Starts to watch a source; `changed` is told whenever its targets are others.
    pub(crate) fn start(source: &Discovery, clients: &Clients, changed: Arc<Notify>) -> Self {
        let current = Arc::new(Mutex::new(None));
        let failures = Arc::new(AtomicU64::new(0));
        let sink = Sink {
            current: Arc::clone(&current),
            changed,
            failures: Arc::clone(&failures),
            last_error: None,
        };
        let mechanism = match source {
            Discovery::Static(_) => "static",
            Discovery::Files { .. } => "file",
            Discovery::Http { .. } => "http",
            Discovery::Dns { .. } => "dns",
        };
        let task = match source.clone() {
            Discovery::Static(groups) => {
                *current.lock() = Some(groups.iter().flat_map(|g| labels(g, &[])).collect());
                None
            }
            Discovery::Files {
                patterns,
                refresh_ms,
            } => Some(Owned::spawn(watch_files(patterns, refresh_ms, sink))),
            Discovery::Http {
                url,
                refresh_ms,
                http,
            } => Some(match clients.client(&http, true) {
                Ok(client) => {
                    let source = http::Source::new(url, client);
                    Owned::spawn(source.watch(millis(refresh_ms), sink))
                }
                Err(error) => {
                    tracing::error!(url, %error, "HTTP discovery cannot be used");
                    return Self {
                        current,
                        mechanism,
                        failures,
                        _task: None,
                    };
                }
            }),
            Discovery::Dns {
                names,
                record,
                port,
                refresh_ms,
            } => {
                let source = dns::Source::new(names, record, port);
                Some(Owned::spawn(source.watch(millis(refresh_ms), sink)))
            }
        };
        Self {
            current,
            mechanism,
            failures,
            _task: task,
        }
    }

    /// The kind of the source, as Prometheus calls it.
    pub(crate) const fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// How often the source could not be asked, or not wholly.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many targets the source has.
    pub(crate) fn len(&self) -> usize {
        self.current.lock().as_ref().map_or(0, Vec::len)
    }

    /// The targets as they are known now; `None` before the source was asked.
    pub(crate) fn targets(&self) -> Option<Vec<Labels>> {
        self.current.lock().clone()
    }
}

/// Where a source puts what it finds.
#[derive(Debug)]
struct Sink {
    current: Arc<Mutex<Option<Vec<Labels>>>>,
    changed: Arc<Notify>,
    failures: Arc<AtomicU64>,
    last_error: Option<Error>,
}

impl Sink {
    fn put(&self, targets: Vec<Labels>) {
        let mut current = self.current.lock();
        if current.as_ref() != Some(&targets) {
            *current = Some(targets);
            drop(current);
            self.changed.notify_one();
        }
    }

    /// Logs an error unless it is the one that was logged last.
    fn report(&mut self, error: Option<Error>) {
        if error.is_some() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(error) = error
            .as_ref()
            .filter(|e| Some(*e) != self.last_error.as_ref())
        {
            tracing::warn!(%error, "discovery failed; its targets stay as they were");
        }
        self.last_error = error;
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

async fn watch_files(patterns: Vec<PathBuf>, refresh_ms: i64, mut sink: Sink) {
    const POLL: Duration = Duration::from_secs(5);
    let mut source = files::Source::new(patterns);
    let mut since_read_ms = 0;
    loop {
        let force = since_read_ms >= refresh_ms;
        if force {
            since_read_ms = 0;
        }
        let (back, found, error) = runtime::process::blocking(move || {
            let (found, error) = source.read(force);
            (source, found, error)
        })
        .await;
        source = back;
        if let Some(targets) = found {
            sink.report(error);
            sink.put(targets);
        }
        tokio::time::sleep(POLL).await;
        since_read_ms += i64::try_from(POLL.as_millis()).unwrap_or(i64::MAX);
    }
}

/// The targets of a group: its labels, overridden by `__address__`, and those of the source.
fn labels(group: &StaticGroup, meta: &[(&str, &str)]) -> Vec<Labels> {
    let mut builder = LabelsBuilder::new();
    builder.extend(group.labels.iter().map(|(n, v)| (n, v)));
    builder.extend(meta.iter().copied());
    let common = builder.labels();
    let target = |address: &String| {
        builder.reset(&common).set(ADDRESS, address);
        builder.labels()
    };
    group.targets.iter().map(target).collect()
}

/// The groups of a JSON list.
fn json_groups(text: &[u8]) -> Result<Vec<StaticGroup>, Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Group {
        targets: Option<Vec<String>>,
        labels: Option<std::collections::BTreeMap<String, String>>,
    }
    let groups: Option<Vec<Option<Group>>> =
        serde_json::from_slice(text).map_err(|error| Error(error.to_string()))?;
    let group = |group: Option<Group>| {
        let group = group.ok_or_else(|| Error("nil target group item".to_owned()))?;
        let labels: Vec<_> = group.labels.unwrap_or_default().into_iter().collect();
        if labels.iter().any(|(name, _)| name.is_empty()) {
            return Err(Error("\"\" is not a valid label name".to_owned()));
        }
        Ok(StaticGroup {
            targets: group.targets.unwrap_or_default(),
            labels,
        })
    };
    groups.into_iter().flatten().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_wins_over_labels_of_the_group() {
        let group = StaticGroup {
            targets: vec!["h:1".to_owned(), "h:2".to_owned()],
            labels: vec![
                ("env".to_owned(), "x".to_owned()),
                (ADDRESS.to_owned(), "no".to_owned()),
            ],
        };
        let found = labels(&group, &[("__meta_a", "b")]);
        assert_eq!(
            found[1],
            Labels::from_pairs([("__address__", "h:2"), ("__meta_a", "b"), ("env", "x")])
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn json_lists() {
        let groups = json_groups(br#"[{"targets":["a"],"labels":{"x":"y"}},{"labels":{}}]"#);
        let groups = groups.unwrap();
        assert_eq!((groups.len(), groups[0].targets.len()), (2, 1));
        assert_eq!(json_groups(b"null").unwrap(), []);
        let empty = json_groups(br#"[{"targets":null,"labels":null}]"#).unwrap();
        assert_eq!(empty, [StaticGroup::default()]);
        for wrong in [
            "{}",
            "[null]",
            r#"[{"targets":"a"}]"#,
            r#"[{"labels":{"x":1}}]"#,
            r#"[{"labels":{"":"x"}}]"#,
            r#"[{"target":["a"]}]"#,
            "",
        ] {
            assert!(json_groups(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
