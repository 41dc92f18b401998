//! Two Prometheus replicas with our sidecars, a bucket, a store gateway and a querier, each a process
//! of its own, beside one Prometheus that holds everything.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{free_port, http};

use crate::block_data;
use crate::prometheus::Prometheus;
use crate::promql_differential::peer::ask;
use crate::promql_differential::{When, difference, generate, is_hidden_by_plan, is_newer_refusal};
use crate::rng::Rng;

const PATIENCE: Duration = Duration::from_secs(60);
const SPAN_MS: i64 = block_data::END_MS - block_data::START_MS;
const NO_MERGING: [&str; 2] = [
    "--storage.tsdb.min-block-duration=2h",
    "--storage.tsdb.max-block-duration=2h",
];
/// Expressions compared in each state of the scene.
const EXPRESSIONS: usize = 150;

/// A component of ours as a process.
struct Component {
    http: u16,
    grpc: u16,
    server: Server,
}

impl Component {
    fn start(dir: &Path, name: &str, args: &[String]) -> anyhow::Result<Self> {
        let (http, grpc) = (free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
        command
            .arg(name)
            .arg(format!("--http-address=127.0.0.1:{http}"))
            .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
            .args(args);
        let log = dir.join(format!("{name}-{http}.log"));
        let mut server = Server::start(&mut command, &log)?;
        server.wait_ready(http, "/-/ready", PATIENCE);
        Ok(Self { http, grpc, server })
    }

    fn endpoint(&self) -> String {
        format!("--endpoint=127.0.0.1:{}", self.grpc)
    }
}

/// A Prometheus with its sidecar.
struct Replica {
    prometheus: Prometheus,
    sidecar: Component,
}

impl Replica {
    /// Starts both; the block of the past is only on the first one's disk.
    fn start(dir: &Path, name: &str, bucket: &str) -> anyhow::Result<Option<Self>> {
        let dir = dir.join(name);
        let data = dir.join("data");
        std::fs::create_dir_all(&data)?;
        if name == "a" {
            block_data::write_block(&data, 1)?;
        }
        let yaml = format!("global: {{external_labels: {{cluster: c, replica: {name}}}}}\n");
        let Some(prometheus) = Prometheus::start_as(&data, &dir, free_port(), &yaml, &NO_MERGING)?
        else {
            return Ok(None);
        };
        let sidecar = Component::start(
            &dir,
            "sidecar",
            &[
                format!("--prometheus.url=http://127.0.0.1:{}", prometheus.port()),
                format!("--tsdb.path={}", data.display()),
                format!("--objstore.config={bucket}"),
            ],
        )?;
        Ok(Some(Self {
            prometheus,
            sidecar,
        }))
    }
}

/// Times over both halves, off all grids.
fn when(rng: &mut Rng) -> When {
    let at = |rng: &mut Rng| block_data::START_MS + rng.below(4 * 3600) as i64 * 1000 + 7;
    if rng.below(2) == 0 {
        return When::Instant(at(rng));
    }
    let (start, step) = (at(rng), *rng.pick(&[15_000, 60_000, 301_000]));
    let end = start + step * (1 + rng.below(40) as i64);
    When::Range { start, end, step }
}

/// Fails unless both answer alike. The querier shows the cluster, which is an external label.
fn compare(theirs: u16, ours: u16, seed: u64) -> anyhow::Result<()> {
    let mut rng = Rng::new(seed);
    let mut accepted = 0;
    for _ in 0..EXPRESSIONS {
        let (expr, when) = (generate::expression(&mut rng), when(&mut rng));
        match (ask(theirs, &expr, when)?, ask(ours, &expr, when)?) {
            (Err(_), Err(_)) => {}
            (Err(e), Ok(_)) if is_hidden_by_plan(&e) => {}
            (Ok(_), Err(e)) if is_newer_refusal(&expr, &e) => {}
            (Ok(a), Ok(b)) => {
                let wrong = difference(&a, &b);
                ensure!(
                    wrong.is_none(),
                    "{expr} {when:?}: {}",
                    wrong.unwrap_or_default()
                );
                accepted += 1;
            }
            (a, b) => anyhow::bail!("{expr} {when:?}\n  theirs {a:?}\n  ours   {b:?}"),
        }
    }
    ensure!(
        accepted > EXPRESSIONS / 2,
        "only {accepted} were accepted by both"
    );
    Ok(())
}

fn wait_until(what: &str, is_so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        ensure!(begin.elapsed() < PATIENCE, "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Number of stores that the querier takes for sound.
fn healthy(querier: u16) -> anyhow::Result<usize> {
    let body = http::get(querier, "/api/v1/stores")?.body;
    let body: serde_json::Value = serde_json::from_str(&body)?;
    let stores = body["data"]
        .as_object()
        .context("an object of lists")?
        .values();
    let stores = stores.filter_map(serde_json::Value::as_array).flatten();
    Ok(stores.filter(|store| store["lastError"].is_null()).count())
}

#[test]
fn processes_that_share_the_data_answer_as_one_prometheus() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("bucket");
    let bucket = format!(
        "type: FILESYSTEM\nconfig: {{directory: {}}}\n",
        folder.display()
    );
    let Some(a) = Replica::start(dir.path(), "a", &bucket)? else {
        return Ok(());
    };
    let Some(b) = Replica::start(dir.path(), "b", &bucket)? else {
        return Ok(());
    };
    let whole = dir.path().join("whole");
    std::fs::create_dir_all(whole.join("data"))?;
    block_data::write_block(&whole.join("data"), 1)?;
    // The labels that the querier adds are part of the series here.
    let Some(whole) = Prometheus::start(&whole.join("data"), &whole)? else {
        return Ok(());
    };
    for port in [a.prometheus.port(), b.prometheus.port(), whole.port()] {
        // The newer half follows the block.
        block_data::send(port, 2, SPAN_MS)?;
    }
    wait_until("a shipped block", || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        Ok(entries
            .filter(|entry| entry.path().join("meta.json").exists())
            .count()
            == 1)
    })?;
    let store = Component::start(
        dir.path(),
        "store",
        &[
            format!("--objstore.config={bucket}"),
            format!("--data-dir={}", dir.path().join("store").display()),
        ],
    )?;
    let endpoints = [a.sidecar.endpoint(), b.sidecar.endpoint(), store.endpoint()];
    let mut args = endpoints.to_vec();
    // Taken for a replica label too, so that series are those of the one Prometheus.
    args.extend(["replica", "cluster"].map(|label| format!("--query.replica-label={label}")));
    let querier = Component::start(dir.path(), "querier", &args)?;
    wait_until("three sound stores", || Ok(healthy(querier.http)? == 3))?;
    compare(whole.port(), querier.http, 1).context("with everything up")?;

    // The past is in the bucket and with the first replica, the present with both replicas.
    drop(b);
    wait_until("the loss of a replica", || Ok(healthy(querier.http)? == 2))?;
    compare(whole.port(), querier.http, 2).context("without the second replica")?;
    drop(store);
    wait_until("the loss of the store", || Ok(healthy(querier.http)? == 1))?;
    compare(whole.port(), querier.http, 3).context("without the store")?;
    ensure!(
        !querier.server.log().contains("panicked"),
        "{}",
        querier.server.log()
    );
    Ok(())
}
