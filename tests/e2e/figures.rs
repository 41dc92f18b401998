//! What every component says of itself at `/metrics`, read by promtool, and answers in the coding that
//! a client asks for.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use promontory_tests::{free_port, http, peer};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::block_data::{self, END_MS, START_MS};
use crate::component::Component;
use crate::query_command::piped;

/// Figures of every process that has an HTTP server.
const OF_ALL: &[&str] = &[
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "thanos_build_info",
];

/// Fails unless promtool can read the figures, and they have these names among them.
fn check(promtool: &Path, name: &str, port: u16, names: &[&str]) -> anyhow::Result<()> {
    // Figures of requests need one to be there.
    http::get(port, "/-/healthy")?;
    let answer = http::get(port, "/metrics")?;
    ensure!(answer.status == 200, "{name}: {answer:?}");
    let content_type = answer.header("content-type").unwrap_or_default();
    ensure!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{name}: {content_type}"
    );
    let read = piped(promtool, &["check", "metrics"], &answer.body)?;
    // 3 is for names that could be better; some are Thanos'.
    let is_read = matches!(read.status.code(), Some(0 | 3));
    let errors = String::from_utf8_lossy(&read.stderr);
    ensure!(is_read, "{name}: {errors}\n{}", answer.body);
    let mut seen = BTreeSet::new();
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').context("a sample")?;
        ensure!(seen.insert(series), "{name} has {series} twice");
    }
    for wanted in OF_ALL.iter().chain(names) {
        let is_it = |line: &str| line.split(['{', ' ']).next() == Some(wanted);
        let is_there = answer.body.lines().any(is_it);
        ensure!(is_there, "{name} has no {wanted}:\n{}", answer.body);
    }
    Ok(())
}

const OF_BUCKETS: &[&str] = &[
    "thanos_objstore_bucket_operations_total",
    "thanos_objstore_bucket_operation_failures_total",
    "thanos_objstore_bucket_last_successful_upload_time",
];
const OF_STORE: &[&str] = &[
    "thanos_bucket_store_blocks_loaded",
    "thanos_bucket_store_block_loads_total",
    "thanos_bucket_store_block_drops_total",
    "thanos_bucket_store_queries_dropped_total",
    "thanos_blocks_meta_syncs_total",
    "thanos_blocks_meta_sync_failures_total",
    "thanos_blocks_meta_synced",
];
const OF_INGESTER: &[&str] = &[
    "prometheus_tsdb_head_series",
    "prometheus_tsdb_head_samples_appended_total",
    "prometheus_tsdb_lowest_timestamp",
    "prometheus_tsdb_blocks_loaded",
    "prometheus_tsdb_compactions_failed_total",
    "prometheus_tsdb_reloads_failures_total",
    "prometheus_tsdb_wal_writes_failed_total",
    "prometheus_config_last_reload_successful",
    "prometheus_config_last_reload_success_timestamp_seconds",
];
const OF_SIDECAR: &[&str] = &[
    "thanos_sidecar_prometheus_up",
    "thanos_sidecar_last_heartbeat_success_time_seconds",
    "thanos_shipper_uploads_total",
    "thanos_shipper_upload_failures_total",
    "thanos_shipper_dir_syncs_total",
    "thanos_shipper_dir_sync_failures_total",
    "thanos_objstore_bucket_operations_total",
];
const OF_QUERIER: &[&str] = &[
    "thanos_query_concurrent_gate_queries_max",
    "thanos_query_concurrent_gate_queries_in_flight",
    "thanos_store_nodes_grpc_connections",
    "http_requests_total",
];
const OF_COMPACTOR: &[&str] = &[
    "thanos_compact_halted",
    "thanos_compact_iterations_total",
    "thanos_compact_retries_total",
    "thanos_compact_todo_compactions",
    "thanos_compact_todo_compaction_blocks",
    "thanos_compact_todo_deletion_blocks",
    "thanos_compact_garbage_collection_total",
    "thanos_blocks_meta_syncs_total",
];

#[test]
fn promtool_reads_the_figures_of_every_component() -> anyhow::Result<()> {
    let Some(promtool) = peer("promtool") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let bucket = block_data::bucket(at)?;
    let bucket = format!("--objstore.config={bucket}");
    let own = |flag: &str, name: &str| format!("--{flag}={}", at.join(name).display());

    let config = at.join("prometheus.yml");
    std::fs::write(&config, "global: {external_labels: {replica: a}}\n")?;
    let config = format!("--config.file={}", config.display());
    let ours = AllInOne::start_with(at, free_port(), std::slice::from_ref(&config))?;
    block_data::send(ours.port, 1, 0)?;
    let whole = [OF_INGESTER, OF_STORE, OF_COMPACTOR].concat();
    check(&promtool, "all in one", ours.port, &whole)?;

    let source = format!("--prometheus.url=http://127.0.0.1:{}", ours.port);
    let sidecar = [source, own("tsdb.path", "none"), bucket.clone()];
    let sidecar = Component::start(at, "sidecar", &sidecar)?;
    check(&promtool, "sidecar", sidecar.http, OF_SIDECAR)?;

    let store = [bucket.clone(), own("data-dir", "store")];
    let store = Component::start(at, "store", &store)?;
    let of_store = [OF_STORE, OF_BUCKETS].concat();
    check(&promtool, "store", store.http, &of_store)?;

    let endpoints = [&sidecar, &store].map(|of| format!("--endpoint={}", of.address()));
    let querier = Component::start(at, "querier", &endpoints)?;
    http::get(querier.http, "/api/v1/query?query=up")?;
    check(&promtool, "querier", querier.http, OF_QUERIER)?;

    let compactor = [
        bucket,
        own("data-dir", "compactor"),
        "--wait".to_owned(),
        "--wait-interval=1h".to_owned(),
    ];
    let compactor = Component::start(at, "compactor", &compactor)?;
    let of_compactor = [OF_COMPACTOR, OF_BUCKETS].concat();
    check(&promtool, "compactor", compactor.http, &of_compactor)?;

    let writes = free_port();
    let ingester = [
        own("tsdb.path", "ingester"),
        config,
        format!("--remote-write.address=127.0.0.1:{writes}"),
    ];
    let ingester = Component::start(at, "ingester", &ingester)?;
    // A tenant comes to be with its first samples.
    block_data::send(writes, 1, 0)?;
    check(&promtool, "ingester", ingester.http, OF_INGESTER)
}

#[test]
fn a_client_that_takes_zstd_gets_the_same_answers() -> anyhow::Result<()> {
    let (Some(curl), Some(zstd)) = (peer("curl"), peer("zstd")) else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    block_data::send(ours.port, 1, 0)?;
    let (start, end) = (START_MS / 1000, END_MS / 1000);
    let selector = http::encode("{__name__=~\".+\"}");
    for path in [
        format!("query_range?query={selector}&start={start}&end={end}&step=15"),
        format!("query?query={selector}&time={}", end - 60),
        format!("series?match[]={selector}&start={start}&end={end}"),
        format!("label/__name__/values?start={start}&end={end}"),
    ] {
        let path = format!("/api/v1/{path}");
        let plain = http::get(ours.port, &path)?;
        ensure!(plain.header("content-encoding").is_none(), "{}", plain.head);
        let (head, body) = (dir.path().join("head"), dir.path().join("body"));
        let asked = Command::new(&curl)
            .args(["--silent", "--globoff", "--max-time", "30"])
            .args(["--header", "Accept-Encoding: zstd, gzip;q=0.5"])
            .arg("--dump-header")
            .arg(&head)
            .arg("--output")
            .arg(&body)
            .arg(format!("http://127.0.0.1:{}{path}", ours.port))
            .status()?;
        ensure!(asked.success(), "{path}: {asked}");
        let head = std::fs::read_to_string(&head)?.to_ascii_lowercase();
        let is_small = plain.body.len() < 1024;
        ensure!(
            is_small || head.contains("content-encoding: zstd"),
            "{path}: {head}"
        );
        let decoded = match head.contains("content-encoding: zstd") {
            true => {
                let output = Command::new(&zstd).args(["-dc"]).arg(&body).output()?;
                ensure!(output.status.success(), "{path}: {output:?}");
                ensure!(std::fs::metadata(&body)?.len() < plain.body.len() as u64);
                output.stdout
            }
            false => std::fs::read(&body)?,
        };
        let decoded: Value = serde_json::from_slice(&decoded).context(path.clone())?;
        let plain: Value = serde_json::from_str(&plain.body)?;
        ensure!(plain["status"] == "success", "{path}: {plain}");
        ensure!(decoded == plain, "{path}");
    }
    Ok(())
}
