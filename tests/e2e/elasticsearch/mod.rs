//! A real Elasticsearch and a real OpenSearch get all that is written, each sample as one document,
//! whoever is down for a while.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use model::time::{Civil, parse_timestamp};
use promontory_tests::process::Server;
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http, missing, peer, workspace_root};
use serde_json::{Value, json};

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::forwarding::{SERIES, Writer, wait_forwarded};

/// A server that may be killed and started again.
struct Cluster {
    name: &'static str,
    java: PathBuf,
    dir: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl Cluster {
    /// One that is not started yet, its files in `dir`; `None` after saying that it is not installed.
    /// `.ci/run` installs it.
    fn find(name: &'static str, dir: &Path) -> Option<Self> {
        let java = peer("java")?;
        let this = Self {
            name,
            java,
            dir: dir.join(name),
            port: free_port(),
            server: None,
        };
        if !this.jars().join("pom.xml").exists() {
            missing(&format!("{name}, which .ci/run installs"));
            return None;
        }
        Some(this)
    }

    fn jars(&self) -> PathBuf {
        let binary = Path::new(env!("CARGO_BIN_EXE_promontory"));
        let target = binary
            .ancestors()
            .nth(2)
            .expect("a profile's directory is in target");
        target.join("e2e-java").join(self.name)
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let source = format!("tests/e2e/elasticsearch/{}/Launch.java", self.name);
        let mut command = Command::new(&self.java);
        command
            .args(["-Xmx400m", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(self.jars().join("*"))
            .arg(workspace_root().join(source))
            .arg(&self.dir)
            .arg(self.port.to_string());
        std::fs::create_dir_all(&self.dir)?;
        let mut server = Server::start(&mut command, &self.dir.join("log"))?;
        server.wait_ready(
            self.port,
            "/_cluster/health?wait_for_status=yellow",
            Duration::from_secs(180),
        );
        self.server = Some(server);
        Ok(())
    }

    fn kill(&mut self) {
        self.server = None;
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let headers = [("Content-Type", "application/json")];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = http::send(self.port, method, path, &headers, body.as_bytes())?;
        ensure!(answer.status == 200, "{method} {path}: {answer:?}");
        serde_json::from_str(&answer.body).context(answer.body)
    }

    /// What the documents of `index` say: by series, values by time. Each must be there once.
    fn found(&self, index: &str) -> anyhow::Result<BTreeMap<i64, Vec<(i64, f64)>>> {
        self.ask("POST", &format!("/{index}/_refresh"), &Value::Null)?;
        let path = format!("/{index}/_search");
        let query = json!({ "size": 10_000, "query": { "term": { "name": "forwarded" } } });
        let body = self.ask("POST", &path, &query)?;
        let hits = body["hits"]["hits"].as_array().context("no hits")?;
        let mut found: BTreeMap<i64, BTreeMap<i64, f64>> = BTreeMap::new();
        for hit in hits {
            let document = &hit["_source"];
            ensure!(document["labels"]["region"] == "eu", "{document}");
            let series = document["labels"]["series"].as_str().context("no series")?;
            let t_ms = parse_timestamp(document["@timestamp"].as_str().unwrap_or_default())?;
            let value = document["value"].as_f64().context("no value")?;
            let twice = found
                .entry(series.parse()?)
                .or_default()
                .insert(t_ms, value);
            ensure!(twice.is_none(), "{document} is there twice");
        }
        Ok(found
            .into_iter()
            .map(|(k, v)| (k, v.into_iter().collect()))
            .collect())
    }
}

/// One exporter for each rotation; its index is named after it.
fn config(dir: &Path, port: u16, rotations: &[&str]) -> anyhow::Result<String> {
    let mut text = "global: {external_labels: {region: eu}}\nelasticsearch_write:\n".to_owned();
    for rotation in rotations {
        // Nobody listens at the first address.
        text.push_str(&format!(
            "- name: {rotation}\n  urls: ['http://127.0.0.1:1', 'http://127.0.0.1:{port}']\n  \
             index: {rotation}-metrics\n  rotation: {rotation}\n  \
             lifecycle: {{rollover_docs: 100}}\n  \
             queue_config: {{max_samples_per_send: 200, max_bytes_per_send: 20KB, min_backoff: 50ms, max_backoff: 500ms}}\n"
        ));
    }
    let file = dir.join("export.yml");
    std::fs::write(&file, text)?;
    Ok(format!("--config.file={}", file.display()))
}

/// The indices that hold what an exporter wrote.
fn indices(rotation: &str) -> String {
    match rotation {
        "daily" => "daily-metrics-*".to_owned(),
        other => format!("{other}-metrics"),
    }
}

fn check(cluster: &Cluster, writer: &Writer, rotations: &[&str]) -> anyhow::Result<()> {
    for rotation in rotations {
        let found = cluster
            .found(&indices(rotation))
            .context(rotation.to_string())?;
        ensure!(found == writer.written(), "{rotation}: {found:?}");
    }
    Ok(())
}

fn gets_all_that_was_written(name: &'static str, rotations: &[&str]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(mut cluster) = Cluster::find(name, dir.path()) else {
        return Ok(());
    };
    let port = free_port();
    let flags = [config(dir.path(), cluster.port, rotations)?];
    let mut writer = Writer::new(port);
    let waiting = (20 * SERIES) as f64 * rotations.len() as f64;

    // Nobody is there yet; and we are killed with all of it in the queues.
    for _ in 0..2 {
        let ours = AllInOne::start_with(dir.path(), port, &flags)?;
        if writer.is_new() {
            writer.write(20)?;
        }
        let samples = ours.figure("promontory_export_queue_samples")?;
        ensure!(samples == Some(waiting), "{samples:?}");
        let lags = || Ok(ours.figure("promontory_export_lag_seconds")? > Some(1.0));
        wait_until("a lag of a second", lags)?;
    }
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    cluster.start()?;
    wait_forwarded(&ours)?;
    check(&cluster, &writer, rotations)?;

    // A label that one of the indices knows as something else.
    refuses_what_it_cannot_hold(&cluster, &ours, &writer)?;

    // It is killed for a while.
    cluster.kill();
    writer.write(20)?;
    cluster.start()?;
    wait_forwarded(&ours)?;
    check(&cluster, &writer, rotations)?;

    // We are killed in the middle of it, again and again.
    drop(ours);
    for _ in 0..4 {
        let ours = AllInOne::start_with(dir.path(), port, &flags)?;
        writer.write(15)?;
        drop(ours);
    }
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    writer.write(1)?;
    wait_forwarded(&ours)?;
    check(&cluster, &writer, rotations)?;
    is_rolled_over(&cluster, rotations)?;
    let lost = ours.figure("promontory_export_dropped_samples_total")?;
    ensure!(lost == Some(0.0), "{lost:?}");
    Ok(())
}

/// A document that does not fit the index is refused, counted by reason, and holds up nothing.
fn refuses_what_it_cannot_hold(
    cluster: &Cluster,
    ours: &AllInOne,
    writer: &Writer,
) -> anyhow::Result<()> {
    let t_ms = writer.written()[&0][0].0;
    let Civil {
        year, month, day, ..
    } = Civil::from_unix_seconds(t_ms / 1000);
    let doc_type = if cluster.name == "elasticsearch-6" {
        "/doc"
    } else {
        ""
    };
    let path = format!("/daily-metrics-{year:04}.{month:02}.{day:02}/_mapping{doc_type}");
    let number =
        json!({ "properties": { "labels": { "properties": { "odd": { "type": "integer" } } } } });
    cluster.ask("PUT", &path, &number)?;
    let labels = [("__name__", "odd"), ("odd", "none")];
    let odd = Series {
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        samples: vec![(t_ms, 1.0)],
    };
    let answer = remote_write::send(ours.port, "/api/v1/write", &[odd])?;
    ensure!(answer.status / 100 == 2, "{answer:?}");
    wait_forwarded(ours)?;
    let ingest = ours.ingest()?;
    let exporter = &ingest["exporters"][0];
    ensure!(
        exporter["refused_by_reason"] == json!({ "mapper_parsing_exception": 1 }),
        "{exporter}"
    );
    Ok(())
}

/// Servers without lifecycles of their own are rolled over from here, at each start.
fn is_rolled_over(cluster: &Cluster, rotations: &[&str]) -> anyhow::Result<()> {
    for rotation in rotations.iter().filter(|rotation| **rotation != "daily") {
        let path = format!("/{rotation}-metrics/_settings/index.creation_date");
        let found = cluster.ask("GET", &path, &Value::Null)?;
        let indices = found.as_object().map_or(0, serde_json::Map::len);
        ensure!(indices > 1, "{rotation}: {found}");
    }
    Ok(())
}

#[test]
fn an_elasticsearch_gets_all_that_was_written_whoever_was_down() -> anyhow::Result<()> {
    gets_all_that_was_written("elasticsearch-6", &["daily", "rollover"])
}

#[test]
fn an_opensearch_gets_all_that_was_written_whoever_was_down() -> anyhow::Result<()> {
    gets_all_that_was_written("opensearch-2", &["daily", "rollover", "data_stream"])
}
