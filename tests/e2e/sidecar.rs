//! The sidecar between a real Prometheus and a bucket in a directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bucket::Bucket;
use model::ErrorKind;
use model::labels::quote_into;
use promontory_tests::process::Server;
use promontory_tests::{free_port, http};
use proto::thanos::status_client::StatusClient;
use proto::thanos::targets_client::TargetsClient;
use proto::thanos::{
    TargetsRequest, TsdbStatisticsRequest, targets_response, tsdb_statistics_response,
};
use runtime::grpc::{Connector, GrpcClientConfig};
use storeapi::acceptance::{DataSet, check};
use storeapi::grpc::{ClientConfig, GrpcStore};
use tsdb::block::Meta;

use crate::component::PATIENCE;
use crate::prometheus::Prometheus;

/// Flags of a Prometheus that merges nothing.
const NO_MERGING: [&str; 2] = [
    "--storage.tsdb.min-block-duration=2h",
    "--storage.tsdb.max-block-duration=2h",
];

/// The places of a test.
struct Scene {
    dir: tempfile::TempDir,
    data: DataSet,
    prometheus_port: u16,
    http_port: u16,
    grpc_port: u16,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let scene = Self {
            dir: tempfile::tempdir()?,
            data: DataSet::standard(),
            prometheus_port: free_port(),
            http_port: free_port(),
            grpc_port: free_port(),
        };
        let input = scene.dir.path().join("input.om");
        std::fs::write(&input, open_metrics(&scene.data))?;
        let created = Command::new(env!("CARGO_BIN_EXE_promontory"))
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&input, &scene.data_dir()])
            .output()?;
        let errors = String::from_utf8_lossy(&created.stderr);
        anyhow::ensure!(created.status.success(), "{errors}");
        Ok(scene)
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn bucket_dir(&self) -> PathBuf {
        self.dir.path().join("bucket")
    }

    fn prometheus(&self, flags: &[&str]) -> anyhow::Result<Option<Prometheus>> {
        let mut yaml = String::from("global:\n  external_labels:\n");
        for (name, value) in &self.data.external {
            writeln!(yaml, "    {name}: \"{value}\"")?;
        }
        write!(
            yaml,
            "scrape_configs:\n- job_name: itself\n  scrape_interval: 1d\n  \
             static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
            self.prometheus_port
        )?;
        let (data, dir) = (self.data_dir(), self.dir.path());
        Prometheus::start_as(&data, dir, self.prometheus_port, &yaml, flags)
    }

    fn sidecar(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        let bucket = self.bucket_dir();
        command
            .arg("sidecar")
            .arg(format!(
                "--prometheus.url=http://127.0.0.1:{}",
                self.prometheus_port
            ))
            .arg(format!("--tsdb.path={}", self.data_dir().display()))
            .arg(format!("--http-address=127.0.0.1:{}", self.http_port))
            .arg(format!("--grpc-address=127.0.0.1:{}", self.grpc_port))
            .arg("--prometheus.get_config_interval=200ms")
            .arg("--prometheus.get_config_timeout=5s")
            // As Kubernetes' operators start Thanos.
            .args(["--tracing.config-file", "unused.yml"])
            .arg("--objstore.config")
            .arg(format!(
                "type: FILESYSTEM\nconfig:\n  directory: {}\n",
                bucket.display()
            ));
        command
    }

    fn store(&self) -> anyhow::Result<GrpcStore> {
        let connector = Connector::new(&GrpcClientConfig::default())?;
        let address = format!("127.0.0.1:{}", self.grpc_port);
        Ok(GrpcStore::new(
            &address,
            &connector,
            ClientConfig::default(),
        )?)
    }

    fn status(&self) -> u16 {
        http::get(self.http_port, "/-/ready").map_or(0, |answer| answer.status)
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let text = http::get(self.http_port, "/metrics").ok()?.body;
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        lines.next()?.rsplit(' ').next()?.parse().ok()
    }
}

/// The series in text; names in order, so that families are whole.
fn open_metrics(data: &DataSet) -> String {
    let mut text = String::new();
    let mut series: Vec<_> = data.series.iter().collect();
    series.sort_by_key(|series| series.labels.metric_name().to_owned());
    for series in series {
        let mut labels = String::new();
        for (name, value) in series.labels.iter().filter(|(n, _)| *n != "__name__") {
            let separator = if labels.is_empty() { "" } else { "," };
            write!(labels, "{separator}{name}=").expect("writing to a String");
            quote_into(&mut labels, value);
        }
        for (t, v) in &series.samples {
            let name = series.labels.metric_name();
            writeln!(text, "{name}{{{labels}}} {v} {}", *t as f64 / 1e3)
                .expect("writing to a String");
        }
    }
    text + "# EOF\n"
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The blocks in a directory.
fn blocks(dir: &Path) -> anyhow::Result<BTreeMap<String, Meta>> {
    let mut blocks = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path().join("meta.json");
        if let Ok(bytes) = std::fs::read(&path) {
            let meta = Meta::parse(&bytes, &path)?;
            blocks.insert(meta.ulid.to_string(), meta);
        }
    }
    Ok(blocks)
}

/// Whether targets of a job are there.
async fn has_target(store: &GrpcStore, job: &str) -> bool {
    let request = TargetsRequest::default();
    let answer = TargetsClient::new(store.channel()).targets(request).await;
    let mut messages = answer.expect("targets are served").into_inner();
    let message = messages.message().await.expect("targets are served");
    match message.and_then(|message| message.result) {
        Some(targets_response::Result::Targets(targets)) => {
            let mut active = targets.active_targets.iter();
            active.any(|target| target.scrape_pool == job)
        }
        other => panic!("no targets: {other:?}"),
    }
}

/// Figures of the head, with lists that are as long as asked for.
async fn check_figures(store: &GrpcStore) -> anyhow::Result<()> {
    let limit = 3;
    let request = TsdbStatisticsRequest {
        limit,
        ..TsdbStatisticsRequest::default()
    };
    let mut client = StatusClient::new(store.channel());
    let mut messages = client.tsdb_statistics(request).await?.into_inner();
    let result = messages.message().await?.and_then(|message| message.result);
    let Some(tsdb_statistics_response::Result::Statistics(figures)) = result else {
        anyhow::bail!("no figures: {result:?}");
    };
    let figures = &figures.statistics["default-tenant"];
    anyhow::ensure!(figures.head_statistics.is_some(), "{figures:?}");
    let names = &figures.series_count_by_metric_name;
    anyhow::ensure!(names.len() <= limit as usize, "{figures:?}");
    Ok(())
}

#[test]
fn a_sidecar_serves_ships_and_follows_its_prometheus() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let Some(prometheus) = scene.prometheus(&NO_MERGING)? else {
        return Ok(());
    };
    let log = scene.dir.path().join("sidecar.log");
    let mut server = Server::start(&mut scene.sidecar(), &log)?;
    server.wait_ready(scene.http_port, "/-/ready", PATIENCE);

    let runtime = tokio::runtime::Runtime::new()?;
    // Channels connect later, on the runtime that they were made on.
    let _entered = runtime.enter();
    let store = scene.store()?;
    let info = runtime.block_on(store.fetch_info(PATIENCE))?;
    assert_eq!(info.component, "sidecar");
    let info = info.store.expect("a sidecar serves the StoreAPI");
    assert_eq!(info.label_sets, std::slice::from_ref(&scene.data.external));
    assert_eq!(info.min_time, scene.data.time_bounds().0);
    store.set_info(info);
    runtime.block_on(check(&store, &scene.data));

    // Prometheus takes some seconds to find its targets.
    wait_until("a target", || {
        runtime.block_on(has_target(&store, "itself"))
    });

    // So are figures of its head.
    runtime.block_on(check_figures(&store))?;

    // The block is in the bucket, with the labels of its producer, and named as shipped.
    let state = scene.data_dir().join("thanos.shipper.json");
    wait_until("the list of shipped blocks", || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains("01"))
    });
    let (local, shipped) = (blocks(&scene.data_dir())?, blocks(&scene.bucket_dir())?);
    assert_eq!(
        local.keys().collect::<Vec<_>>(),
        shipped.keys().collect::<Vec<_>>()
    );
    for meta in shipped.values() {
        let thanos = meta.thanos.as_ref().expect("Thanos' part");
        let labels = thanos.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        assert!(labels.eq(scene.data.external.iter()), "{:?}", thanos.labels);
        assert_eq!(thanos.source, "sidecar");
    }
    runtime.block_on(async {
        let bucket = Bucket::in_directory(&scene.bucket_dir())?;
        let view = bucket::Fetcher::new(bucket, None, Vec::new())
            .sync(i64::MAX / 2)
            .await?;
        assert_eq!(view.blocks.len(), local.len());
        anyhow::Ok(())
    })?;
    assert_eq!(scene.metric("thanos_sidecar_prometheus_up"), Some(1.0));
    assert_eq!(scene.metric("thanos_shipper_uploads_total"), Some(1.0));

    // Without Prometheus it is not ready, and ready again with it.
    drop(prometheus);
    wait_until("not ready", || scene.status() == 503);
    assert_eq!(scene.metric("thanos_sidecar_prometheus_up"), Some(0.0));
    let error = runtime.block_on(store.fetch_info(PATIENCE)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let _prometheus = scene.prometheus(&NO_MERGING)?;
    wait_until("ready again", || scene.status() == 200);
    runtime.block_on(check(&store, &scene.data));
    assert!(
        server.log().contains("tracing.config-file"),
        "{}",
        server.log()
    );
    Ok(())
}

#[test]
fn a_prometheus_that_merges_blocks_is_refused() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let Some(_prometheus) = scene.prometheus(&[])? else {
        return Ok(());
    };
    let output = scene.sidecar().output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains("--storage.tsdb.max-block-duration"),
        "{errors}"
    );
    Ok(())
}
