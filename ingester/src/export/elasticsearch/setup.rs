//! What a server needs before documents come: a policy for the life of indices, a template that names
//! it, and an alias where indices are rolled over.

use std::fmt;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::connection::{Answer, Connection};
use super::retention::{self, Index};
use crate::config::{DocumentFormat, Elasticsearch, LifecycleConfig, Rotation};

/// Names of labels that an index may come to know, at most; Elasticsearch's own 1000 are few for metrics.
const FIELDS_MAX: u64 = 10_000;
/// Characters of a label's value that can be searched.
const KEYWORD_CHARS_MAX: u64 = 1024;
/// Names of a request that removes indices: paths may have 4096 bytes.
const REMOVED_AT_ONCE: usize = 10;
/// What Elasticsearch calls age, documents and bytes at which the next index is begun.
const ROLLOVER_CONDITIONS: [&str; 3] = ["max_age", "max_docs", "max_size"];
/// What policies of OpenSearch call them.
const ISM_CONDITIONS: [&str; 3] = ["min_index_age", "min_doc_count", "min_size"];

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    is_opensearch: bool,
    version: (u64, u64),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_opensearch {
            "OpenSearch"
        } else {
            "Elasticsearch"
        };
        let (major, minor) = self.version;
        write!(f, "{name} {major}.{minor}")
    }
}

impl Server {
    /// Reads what it says of itself at `/`.
    ///
    /// # Errors
    /// For one that is too old, or no Elasticsearch.
    pub(super) fn parse(root: &Value) -> Result<Self, String> {
        let version = &root["version"];
        let mut numbers = version["number"].as_str().unwrap_or_default().split('.');
        let mut number = || numbers.next().and_then(|n| n.parse().ok());
        let (Some(major), Some(minor)) = (number(), number()) else {
            return Err(
                "what answers at this address does not say which version it has".to_owned(),
            );
        };
        let server = Self {
            is_opensearch: version["distribution"] == "opensearch",
            version: (major, minor),
        };
        if !server.is_opensearch && server.version < (6, 4) {
            return Err(format!(
                "{server} is too old; 6.4 is the oldest that is written to"
            ));
        }
        Ok(server)
    }

    fn has(self, elasticsearch: (u64, u64)) -> bool {
        self.is_opensearch || self.version >= elasticsearch
    }

    /// The type of documents, before types were given up.
    pub(super) fn doc_type(self) -> Option<&'static str> {
        (!self.has((7, 0))).then_some("doc")
    }

    /// Documents may ask for an alias that is there already.
    pub(super) fn can_require_alias(self) -> bool {
        self.has((7, 10))
    }

    fn has_index_templates(self) -> bool {
        self.has((7, 8))
    }

    fn has_data_streams(self) -> bool {
        self.has((7, 9))
    }
}

/// A server that documents can be sent to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) server: Server,
    /// It rolls over and removes indices by itself.
    pub(super) has_policy: bool,
}

/// What sets up a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) config: &'a Elasticsearch,
    pub(super) connection: &'a Connection,
}

impl Setup<'_> {
    /// Finds out what the server is, and makes sure of all that documents need.
    ///
    /// # Errors
    /// What the server says, or that it does not answer.
    pub(super) async fn run(&self) -> Result<Ready, String> {
        let root = self.must(Method::GET, "/", None).await?;
        let server = Server::parse(&root.json())?;
        if self.config.rotation == Rotation::DataStream && !server.has_data_streams() {
            return Err(format!(
                "{server} has no data streams; choose another rotation"
            ));
        }
        let has_policy = self.config.lifecycle.enabled && self.put_policy(server).await?;
        if self.config.template.enabled {
            self.put_template(server, has_policy).await?;
        }
        if self.config.rotation == Rotation::Rollover {
            self.make_first_index().await?;
        }
        Ok(Ready { server, has_policy })
    }

    /// Asks for what has to be granted.
    async fn must(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let answer = match body {
            Some(body) => self.connection.send_json(method.clone(), path, body).await,
            None => self.connection.ask(method.clone(), path, None).await,
        };
        granted(&method, path, answer?)
    }

    /// Sets up the policy; false where the server knows none.
    async fn put_policy(&self, server: Server) -> Result<bool, String> {
        let name = &self.config.index;
        let (mut path, policy) = match server.is_opensearch {
            true => (
                format!("/_plugins/_ism/policies/{name}"),
                ism_policy(self.config),
            ),
            false => (format!("/_ilm/policy/{name}"), ilm_policy(self.config)),
        };
        let there = self.connection.ask(Method::GET, &path, None).await?;
        if there.status == StatusCode::OK {
            let known = there.json();
            let is_same =
                server.is_opensearch && is_same_policy(&known["policy"], &policy["policy"]);
            if !self.config.lifecycle.overwrite || is_same {
                return Ok(true);
            }
            if server.is_opensearch {
                let (number, term) = (&known["_seq_no"], &known["_primary_term"]);
                path.push_str(&format!("?if_seq_no={number}&if_primary_term={term}"));
            }
        }
        let put = self.connection.send_json(Method::PUT, &path, &policy);
        let answer = put.await?;
        if answer.is_unknown_path() {
            return Ok(false);
        }
        granted(&Method::PUT, &path, answer).map(|_| true)
    }

    async fn put_template(&self, server: Server, has_policy: bool) -> Result<(), String> {
        let folder = match server.has_index_templates() {
            true => "_index_template",
            false => "_template",
        };
        let path = format!("/{folder}/{}", self.config.index);
        if !self.config.template.overwrite {
            let there = self.connection.ask(Method::GET, &path, None).await?;
            if there.status == StatusCode::OK {
                return Ok(());
            }
        }
        let template = template(self.config, server, has_policy);
        self.must(Method::PUT, &path, Some(&template)).await?;
        Ok(())
    }

    /// Makes the index that the alias stands for at first.
    async fn make_first_index(&self) -> Result<(), String> {
        let alias = &self.config.index;
        let path = format!("/_alias/{alias}");
        let there = self.connection.ask(Method::GET, &path, None).await?;
        if there.status != StatusCode::NOT_FOUND {
            return granted(&Method::GET, &path, there).map(|_| ());
        }
        let path = format!("/{alias}-000001");
        let index = json!({ "aliases": { alias.as_str(): { "is_write_index": true } } });
        self.must(Method::PUT, &path, Some(&index)).await?;
        Ok(())
    }

    /// Rolls over and removes indices, as a policy would.
    ///
    /// # Errors
    /// What the server says, or that it does not answer.
    pub(super) async fn look_after(&self, now_ms: i64) -> Result<(), String> {
        let (name, lifecycle) = (&self.config.index, &self.config.lifecycle);
        if !self.config.rotation.is_by_date() {
            let path = format!("/{name}/_rollover");
            let conditions = json!({ "conditions": rollover(lifecycle, ROLLOVER_CONDITIONS) });
            let post = self.connection.send_json(Method::POST, &path, &conditions);
            let answer = post.await?;
            // A data stream comes to be with its first document.
            if answer.status != StatusCode::NOT_FOUND {
                granted(&Method::POST, &path, answer)?;
            }
        }
        let Some(after_ms) = lifecycle.delete_after_ms else {
            return Ok(());
        };
        let old = retention::expired(self.config, self.indices().await?, now_ms - after_ms);
        for names in old.chunks(REMOVED_AT_ONCE) {
            let path = format!("/{}", names.join(","));
            self.must(Method::DELETE, &path, None).await?;
            tracing::info!(indices = names.join(","), "old indices were removed");
        }
        Ok(())
    }

    /// The indices that are there, with the times when they were made.
    async fn indices(&self) -> Result<Vec<Index>, String> {
        let name = &self.config.index;
        let pattern = if self.config.rotation.is_by_date() {
            "-*"
        } else {
            ""
        };
        let path = format!("/{name}{pattern}/_settings/index.creation_date");
        let answer = self.connection.ask(Method::GET, &path, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let found = granted(&Method::GET, &path, answer)?.json();
        let index = |(name, index): (&String, &Value)| {
            let made = index["settings"]["index"]["creation_date"].as_str()?;
            Some(Index {
                name: name.clone(),
                made_ms: made.parse().ok()?,
            })
        };
        Ok(found
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(index)
            .collect())
    }
}

/// An answer, unless it is a refusal of what was asked.
fn granted(method: &Method, path: &str, answer: Answer) -> Result<Answer, String> {
    match answer.status.is_success() {
        true => Ok(answer),
        false => Err(format!("{method} {path}: {}", answer.said())),
    }
}

fn seconds(ms: i64) -> String {
    format!("{}s", ms / 1000)
}

/// When the next index is begun, under the names that the server has for age, documents and bytes.
fn rollover(lifecycle: &LifecycleConfig, [age, docs, bytes]: [&str; 3]) -> Value {
    let mut conditions = json!({
        age: seconds(lifecycle.rollover_age_ms),
        docs: lifecycle.rollover_docs,
    });
    if let Some(size) = lifecycle.rollover_bytes {
        conditions[bytes] = format!("{size}b").into();
    }
    conditions
}

/// Elasticsearch's policy: `PUT _ilm/policy/NAME`.
pub(super) fn ilm_policy(config: &Elasticsearch) -> Value {
    let lifecycle = &config.lifecycle;
    let mut hot = json!({});
    if !config.rotation.is_by_date() {
        hot = json!({ "rollover": rollover(lifecycle, ROLLOVER_CONDITIONS) });
    }
    let mut phases = json!({ "hot": { "min_age": "0ms", "actions": hot } });
    if let Some(ms) = lifecycle.delete_after_ms {
        phases["delete"] = json!({ "min_age": seconds(ms), "actions": { "delete": {} } });
    }
    json!({ "policy": { "phases": phases } })
}

/// OpenSearch's policy: `PUT _plugins/_ism/policies/NAME`.
pub(super) fn ism_policy(config: &Elasticsearch) -> Value {
    let lifecycle = &config.lifecycle;
    let mut actions = json!([]);
    if !config.rotation.is_by_date() {
        actions = json!([{ "rollover": rollover(lifecycle, ISM_CONDITIONS) }]);
    }
    let (mut transitions, mut states) = (json!([]), Vec::new());
    if let Some(ms) = lifecycle.delete_after_ms {
        let age = json!({ "min_index_age": seconds(ms) });
        transitions = json!([{ "state_name": "delete", "conditions": age }]);
        states.push(json!({ "name": "delete", "actions": [{ "delete": {} }], "transitions": [] }));
    }
    states.insert(
        0,
        json!({ "name": "hot", "actions": actions, "transitions": transitions }),
    );
    let patterns = patterns(config);
    json!({ "policy": {
        "description": "indices of metrics, set up by promontory",
        "default_state": "hot",
        "states": states,
        "ism_template": [{ "index_patterns": patterns, "priority": config.template.priority }],
    } })
}

/// True when what is there says all that we would say: replacing it would only raise its version.
fn is_same_policy(there: &Value, ours: &Value) -> bool {
    match (there, ours) {
        (Value::Object(there), Value::Object(ours)) => ours.iter().all(|(name, ours)| {
            there
                .get(name)
                .is_some_and(|there| is_same_policy(there, ours))
        }),
        (Value::Array(there), Value::Array(ours)) => {
            there.len() == ours.len() && there.iter().zip(ours).all(|(a, b)| is_same_policy(a, b))
        }
        (there, ours) => there == ours,
    }
}

/// Names of the indices, or of the data stream, that the template is for.
fn patterns(config: &Elasticsearch) -> [String; 1] {
    [match config.rotation {
        Rotation::DataStream => config.index.clone(),
        _ => format!("{}-*", config.index),
    }]
}

/// The template: `PUT _index_template/NAME`, or `PUT _template/NAME` for servers without these.
pub(super) fn template(config: &Elasticsearch, server: Server, has_policy: bool) -> Value {
    let (settings, patterns) = (settings(config, server, has_policy), patterns(config));
    let mut mappings = mappings(config.format);
    if let Some(doc_type) = server.doc_type() {
        mappings = json!({ doc_type: mappings });
    }
    let priority = config.template.priority;
    if !server.has_index_templates() {
        return json!({
            "index_patterns": patterns,
            "order": priority,
            "settings": settings,
            "mappings": mappings,
        });
    }
    let mut template = json!({
        "index_patterns": patterns,
        "priority": priority,
        "template": { "settings": settings, "mappings": mappings },
        "_meta": { "description": "indices of metrics, set up by promontory" },
    });
    if config.rotation == Rotation::DataStream {
        template["data_stream"] = json!({});
    }
    template
}

fn settings(config: &Elasticsearch, server: Server, has_policy: bool) -> Value {
    let template = &config.template;
    let mut index = json!({
        "number_of_shards": template.shards,
        "codec": "best_compression",
        "mapping": { "total_fields": { "limit": FIELDS_MAX } },
    });
    match template.replicas {
        Some(replicas) => index["number_of_replicas"] = replicas.into(),
        None => index["auto_expand_replicas"] = "0-1".into(),
    }
    if let Some(ms) = template.refresh_ms {
        index["refresh_interval"] = format!("{ms}ms").into();
    }
    let is_aliased = config.rotation == Rotation::Rollover;
    if has_policy && !server.is_opensearch {
        index["lifecycle"] = json!({ "name": config.index });
        if is_aliased {
            index["lifecycle"]["rollover_alias"] = config.index.as_str().into();
        }
    }
    let mut settings = json!({ "index": index });
    if has_policy && server.is_opensearch && is_aliased {
        let alias = config.index.as_str().into();
        settings["plugins.index_state_management.rollover_alias"] = alias;
    }
    settings
}

fn mappings(format: DocumentFormat) -> Value {
    let keyword = json!({ "type": "keyword", "ignore_above": KEYWORD_CHARS_MAX });
    match format {
        DocumentFormat::Labels => json!({
            "dynamic": false,
            "date_detection": false,
            "dynamic_templates": [{ "labels": { "path_match": "labels.*", "mapping": keyword } }],
            "properties": {
                "@timestamp": { "type": "date" },
                "name": keyword,
                "labels": { "type": "object", "dynamic": true },
                "value": { "type": "double" },
            },
        }),
        DocumentFormat::Lookout => json!({
            "dynamic": false,
            "properties": {
                "id": keyword,
                "tags": keyword,
                "time": { "type": "date" },
                "value": { "type": "double" },
            },
        }),
    }
}
