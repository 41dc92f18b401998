//! Two Prometheus replicas with our sidecars, an S3 server, a compactor, a store gateway and a
//! querier, each a process of its own, with data of three days, beside one Prometheus that holds
//! everything.
//!
//! The older days are backfilled blocks, the newest hours came by remote write: of those the first
//! are blocks that Prometheus cut, the last are in its head. One replica has all of it and forgets the
//! oldest days once they are shipped; the other was added a day before the newest hours. Thus an
//! answer about the whole time is put together from the bucket, from blocks and from heads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use bucket::{Bucket, Fetcher, Filter, Patience, View};
use promontory_tests::{free_port, http, peer};
use serde_json::Value;

use crate::block_data::{self, END_MS, START_MS, Span};
use crate::component::{Component, wait_until};
use crate::prometheus::Prometheus;
use crate::promql_differential::peer::ask;
use crate::promql_differential::{When, difference, generate, is_hidden_by_plan, is_newer_refusal};
use crate::rng::Rng;
use crate::s3::S3;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// When there is data: three days of blocks, then six hours by remote write.
const WHOLE: (i64, i64) = (START_MS - 3 * DAY_MS, START_MS + 6 * HOUR_MS);
/// What replicas still have themselves.
const RECENT: (i64, i64) = (START_MS - 18 * HOUR_MS, START_MS + 6 * HOUR_MS);
/// What the replica keeps that has everything at first.
const RETENTION: &str = "--storage.tsdb.retention.time=1d";
/// After all blocks were uploaded.
const NOW_MS: i64 = i64::MAX / 2;
/// Expressions compared in each state of the scene.
const EXPRESSIONS: usize = 100;

/// A Prometheus with its sidecar.
struct Replica {
    name: &'static str,
    dir: PathBuf,
    port: u16,
    prometheus: Option<Prometheus>,
    sidecar: Option<Component>,
}

impl Replica {
    /// Starts a Prometheus on the blocks in `dir/name/data`.
    fn start(dir: &Path, name: &'static str) -> anyhow::Result<Option<Self>> {
        let mut this = Self {
            name,
            dir: dir.join(name),
            port: free_port(),
            prometheus: None,
            sidecar: None,
        };
        let is_there = this.restart_prometheus(&[])?;
        Ok(is_there.then_some(this))
    }

    fn restart_prometheus(&mut self, flags: &[&str]) -> anyhow::Result<bool> {
        self.prometheus = None;
        let name = self.name;
        let yaml = format!("global: {{external_labels: {{cluster: c, replica: {name}}}}}\n");
        let mut all = vec![
            "--storage.tsdb.min-block-duration=2h",
            "--storage.tsdb.max-block-duration=2h",
        ];
        all.extend(flags);
        let data = self.dir.join("data");
        self.prometheus = Prometheus::start_as(&data, &self.dir, self.port, &yaml, &all)?;
        Ok(self.prometheus.is_some())
    }

    fn start_sidecar(&mut self, bucket: &str) -> anyhow::Result<()> {
        let args = [
            format!("--prometheus.url=http://127.0.0.1:{}", self.port),
            format!("--tsdb.path={}", self.dir.join("data").display()),
            format!("--objstore.config={bucket}"),
        ];
        self.sidecar = Some(Component::start(&self.dir, "sidecar", &args)?);
        Ok(())
    }

    fn sidecar(&mut self) -> &mut Component {
        self.sidecar.as_mut().expect("it was started")
    }

    fn kill(&mut self) {
        self.prometheus = None;
        self.sidecar().kill();
    }

    fn restart(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        self.restart_prometheus(flags)?;
        self.sidecar().restart()
    }

    fn blocks(&self) -> anyhow::Result<usize> {
        let entries = std::fs::read_dir(self.dir.join("data"))?.flatten();
        Ok(entries
            .filter(|entry| entry.path().join("meta.json").exists())
            .count())
    }
}

/// Makes blocks of the older days from `start` on in `dir/name/data`, by the command line.
fn backfill(dir: &Path, name: &str, start: i64) -> anyhow::Result<()> {
    let dir = dir.join(name);
    let (input, data) = (dir.join("input.om"), dir.join("data"));
    std::fs::create_dir_all(&data)?;
    let span = Span {
        start: WHOLE.0,
        end: START_MS,
        interval: 60_000,
    };
    std::fs::write(&input, block_data::open_metrics(1, span, start))?;
    let made = Command::new(env!("CARGO_BIN_EXE_promontory"))
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&input, &data])
        .output()?;
    let errors = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "{errors}");
    Ok(())
}

/// Times of a part of the data, off all grids.
fn when(rng: &mut Rng, (from, to): (i64, i64)) -> When {
    let seconds = ((to - from) / 1000) as u64;
    let at = |rng: &mut Rng| from + rng.below(seconds) as i64 * 1000 + 7;
    if rng.below(2) == 0 {
        return When::Instant(at(rng));
    }
    let (start, step) = (at(rng), *rng.pick(&[60_000, 301_000, 1_807_000]));
    let end = (start + step * (1 + rng.below(40) as i64)).min(to);
    When::Range { start, end, step }
}

/// Fails unless both answer alike about a part of the data.
fn compare(theirs: u16, ours: u16, part: (i64, i64), seed: u64) -> anyhow::Result<()> {
    let mut rng = Rng::new(seed);
    let mut accepted = 0;
    for _ in 0..EXPRESSIONS {
        let (expr, when) = (generate::expression(&mut rng), when(&mut rng, part));
        match (ask(theirs, &expr, when)?, ask(ours, &expr, when)?) {
            (Err(_), Err(_)) => {}
            (Err(e), Ok(_)) if is_hidden_by_plan(&e) => {}
            (Ok(_), Err(e)) if is_newer_refusal(&expr, &e) => {}
            (Ok(a), Ok(b)) => {
                let wrong = difference(&a, &b).unwrap_or_default();
                ensure!(wrong.is_empty(), "{expr} {when:?}: {wrong}");
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

/// Number of stores that the querier takes for sound.
fn healthy(querier: u16) -> anyhow::Result<usize> {
    let body = http::get(querier, "/api/v1/stores")?.body;
    let body: Value = serde_json::from_str(&body)?;
    let stores = body["data"]
        .as_object()
        .context("an object of lists")?
        .values();
    let stores = stores.filter_map(Value::as_array).flatten();
    Ok(stores.filter(|store| store["lastError"].is_null()).count())
}

/// Status and body of an instant query.
fn query(port: u16, expr: &str, at_ms: i64, more: &str) -> anyhow::Result<(u16, Value)> {
    let (expr, at) = (http::encode(expr), at_ms / 1000);
    let path = format!("/api/v1/query?query={expr}&time={at}{more}");
    let answer = http::get(port, &path)?;
    let body = serde_json::from_str(&answer.body).context(answer.body)?;
    Ok((answer.status, body))
}

/// What the querier answers, and that it does so without reserve.
fn full(port: u16, expr: &str, at_ms: i64) -> anyhow::Result<Value> {
    let (status, mut body) = query(port, expr, at_ms, "&partial_response=false")?;
    ensure!(status == 200 && body["warnings"].is_null(), "{body}");
    Ok(body["data"]["result"].take())
}

/// Fails unless an answer that lacks something says so: a warning where parts are allowed to be
/// missing, an error where not. Both name `what`.
fn check_partial(port: u16, expr: &str, at_ms: i64, what: &str) -> anyhow::Result<()> {
    let (status, body) = query(port, expr, at_ms, "&partial_response=true")?;
    ensure!(status == 200 && body["status"] == "success", "{body}");
    let warnings = body["warnings"].as_array().context("no warning")?;
    let names = |text: &Value| text.as_str().is_some_and(|text| text.contains(what));
    ensure!(warnings.iter().any(names), "{what}: {body}");
    let (status, body) = query(port, expr, at_ms, "&partial_response=false")?;
    let error = body["error"].as_str().unwrap_or_default();
    ensure!(
        status == 503 && body["errorType"] == "unavailable" && error.contains(what),
        "{what}: {status} {body}"
    );
    Ok(())
}

/// What a reader of the bucket sees.
fn look(yaml: &str) -> anyhow::Result<View> {
    let runtime = tokio::runtime::Runtime::new()?;
    let bucket = Bucket::open(yaml, Patience::Interactive)?;
    let fetcher = Fetcher::new(bucket, None, vec![Filter::Duplicates]);
    Ok(runtime.block_on(fetcher.sync(NOW_MS))?)
}

fn has_all_blocks(yaml: &str, expected: usize) -> anyhow::Result<()> {
    wait_until("all blocks in the bucket", || {
        Ok(look(yaml)?.blocks.len() == expected)
    })
}

fn compact(dir: &Path, yaml: &str) -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_promontory"))
        .arg("compactor")
        .arg(format!("--objstore.config={yaml}"))
        .arg(format!("--data-dir={}", dir.join("compactor").display()))
        .args(["--consistency-delay=0s", "--http-address=127.0.0.1:0"])
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(())
}

/// Everything that runs.
struct Scene {
    dir: tempfile::TempDir,
    s3: S3,
    a: Replica,
    b: Replica,
    store: Component,
    querier: Component,
    whole: Prometheus,
}

impl Scene {
    /// Starts everything; `None` where a peer is not installed.
    fn start() -> anyhow::Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let at = dir.path();
        backfill(at, "a", WHOLE.0)?;
        backfill(at, "b", START_MS - DAY_MS)?;
        backfill(at, "whole", WHOLE.0)?;
        let (Some(s3), Some(mut a), Some(mut b)) = (
            S3::start(at)?,
            Replica::start(at, "a")?,
            Replica::start(at, "b")?,
        ) else {
            return Ok(None);
        };
        let folder = at.join("whole");
        let Some(whole) = Prometheus::start(&folder.join("data"), &folder)? else {
            return Ok(None);
        };
        let ports = [a.port, b.port, whole.port()];
        for port in ports {
            block_data::send(port, 2, 0)?;
            block_data::send(port, 3, END_MS - START_MS)?;
        }
        for replica in [&a, &b] {
            let expected = if replica.name == "a" { 37 } else { 13 };
            wait_until("a block of the head", || Ok(replica.blocks()? == expected))?;
        }
        let yaml = s3.yaml();
        a.start_sidecar(&yaml)?;
        b.start_sidecar(&yaml)?;
        has_all_blocks(&yaml, 50)?;
        let store = Component::start(
            at,
            "store",
            &[
                format!("--objstore.config={yaml}"),
                format!("--data-dir={}", at.join("store").display()),
                "--sync-block-duration=1s".to_owned(),
                // With it the store answers without a bucket what it was asked before.
                "--disk-cache-size=0".to_owned(),
            ],
        )?;
        let (address, strict) = (a.sidecar().address(), b.sidecar().address());
        let args = [
            format!("--endpoint={address}"),
            format!("--endpoint-strict={strict}"),
            format!("--endpoint-strict={}", store.address()),
            "--query.replica-label=replica".to_owned(),
            // Taken for a replica label too, so that series are those of the one Prometheus.
            "--query.replica-label=cluster".to_owned(),
        ];
        let querier = Component::start(at, "querier", &args)?;
        // The replica that has everything forgets most of it, and everybody gets the newest samples.
        a.restart_prometheus(&[RETENTION])?;
        wait_until("retention", || Ok(a.blocks()? < 14))?;
        for port in ports {
            block_data::send(port, 4, 2 * (END_MS - START_MS))?;
        }
        let scene = Self {
            dir,
            s3,
            a,
            b,
            store,
            querier,
            whole,
        };
        scene.wait_for_stores(3)?;
        Ok(Some(scene))
    }

    fn wait_for_stores(&self, count: usize) -> anyhow::Result<()> {
        wait_until(&format!("{count} sound stores"), || {
            Ok(healthy(self.querier.http)? == count)
        })
    }

    fn compare(&self, part: (i64, i64), seed: u64) -> anyhow::Result<()> {
        compare(self.whole.port(), self.querier.http, part, seed)
    }
}

/// Two replicas are one series, unless somebody wants to see both.
fn check_dedup(scene: &Scene) -> anyhow::Result<()> {
    let port = scene.querier.http;
    let expr = "temperature{job=\"api\", instance=\"i1\"}";
    let at_ms = START_MS - HOUR_MS;
    let result = full(port, expr, at_ms)?;
    ensure!(
        result.as_array().is_some_and(|all| all.len() == 1),
        "{result}"
    );
    ensure!(result[0]["metric"]["replica"].is_null(), "{result}");
    let (_, body) = query(port, expr, at_ms, "&dedup=false")?;
    let all = body["data"]["result"].as_array().context("a vector")?;
    let mut replicas: Vec<_> = all.iter().map(|one| &one["metric"]["replica"]).collect();
    replicas.sort_by_key(|replica| replica.to_string());
    ensure!(replicas == ["a", "b"], "{body}");
    let values: Vec<_> = all.iter().map(|one| &one["value"]).collect();
    ensure!(values[0] == values[1], "{body}");
    Ok(())
}

/// The old is in the bucket alone, the new with the replicas alone.
fn check_sources(scene: &Scene) -> anyhow::Result<()> {
    let port = scene.querier.http;
    let asked = |address: &str, at_ms: i64| -> anyhow::Result<usize> {
        let only = http::encode(&format!("{{__address__=\"{address}\"}}"));
        let more = format!("&storeMatch[]={only}");
        let (_, body) = query(port, "count(temperature)", at_ms, &more)?;
        Ok(body["data"]["result"].as_array().map_or(0, Vec::len))
    };
    let (store, sidecar) = (scene.store.address(), &scene.a.sidecar);
    let sidecar = sidecar.as_ref().map(Component::address).unwrap_or_default();
    let (old, new) = (WHOLE.0 + HOUR_MS, WHOLE.1 - HOUR_MS);
    ensure!(asked(&store, old)? == 1 && asked(&sidecar, old)? == 0);
    ensure!(asked(&store, new)? == 0 && asked(&sidecar, new)? == 1);
    Ok(())
}

/// A Prometheus that reads from the querier.
fn check_remote_read(scene: &Scene) -> anyhow::Result<()> {
    let dir = scene.dir.path().join("reader");
    std::fs::create_dir_all(dir.join("data"))?;
    let (port, querier) = (free_port(), scene.querier.http);
    let url = format!("http://127.0.0.1:{querier}/api/v1/read");
    let yaml = format!("remote_read: [{{url: '{url}', read_recent: true}}]\n");
    let reader = Prometheus::start_as(&dir.join("data"), &dir, port, &yaml, &[])?;
    let reader = reader.context("it is installed")?;
    // Its own engine computes, so that this compares what was read.
    for (from, to) in [WHOLE, RECENT] {
        for expr in ["temperature", "rate(requests_total[10m])", "odd_values"] {
            let (start, end, step) = (from + 7, to, 907_000);
            let when = When::Range { start, end, step };
            let expected = ask(scene.whole.port(), expr, when)?;
            let found = ask(reader.port(), expr, when)?;
            let (Ok(expected), Ok(found)) = (expected, found) else {
                anyhow::bail!("{expr} is refused");
            };
            let wrong = difference(&expected, &found).unwrap_or_default();
            ensure!(wrong.is_empty() && !found.is_empty(), "{expr}: {wrong}");
        }
    }
    Ok(())
}

/// promtool's queries, of the querier and of the Prometheus that holds everything.
fn check_promtool(scene: &Scene) -> anyhow::Result<()> {
    let Some(promtool) = peer("promtool") else {
        return Ok(());
    };
    let (start, end) = (WHOLE.0 / 1000, WHOLE.1 / 1000);
    let times = [format!("--start={start}"), format!("--end={end}")];
    let [start, end] = times.each_ref().map(String::as_str);
    let at = format!("--time={}", START_MS / 1000 - 7200);
    for (kind, flags, rest) in [
        ("instant", vec![at.as_str()], "sum by (job) (temperature)"),
        ("range", vec![start, end, "--step=1h"], "sum(temperature)"),
        ("series", vec!["--match=queue_depth", start, end], ""),
        ("labels", vec![start, end], "instance"),
    ] {
        let ask = |port: u16| -> anyhow::Result<String> {
            let mut command = Command::new(&promtool);
            command.args(["query", kind]).args(&flags);
            command.arg(format!("http://127.0.0.1:{port}"));
            command.args((!rest.is_empty()).then_some(rest));
            let output = command.output()?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{kind}: {errors}");
            Ok(String::from_utf8(output.stdout)?)
        };
        let ours = ask(scene.querier.http)?;
        ensure!(!ours.trim().is_empty(), "{kind} prints nothing");
        let theirs = ask(scene.whole.port())?;
        ensure!(ours == theirs, "{kind}: {ours}\n{theirs}");
    }
    Ok(())
}

/// One replica dies after the other; the one left has the rest.
fn lose_replicas(scene: &mut Scene) -> anyhow::Result<()> {
    let (port, recent) = (scene.querier.http, WHOLE.1 - HOUR_MS);
    scene.b.kill();
    let strict = scene.b.sidecar().address();
    check_partial(port, "sum(temperature)", recent, &strict)?;
    scene.compare(WHOLE, 2).context("without b")?;
    scene.b.restart(&[])?;
    scene.wait_for_stores(3)?;
    full(port, "sum(temperature)", recent)?;

    // Of one that need not be there nothing is said once it is known to be gone.
    scene.a.kill();
    scene.wait_for_stores(2)?;
    full(port, "sum(temperature)", recent)?;
    scene.compare(WHOLE, 3).context("without a")?;
    scene.a.restart(&[RETENTION])?;
    scene.wait_for_stores(3)
}

/// Without the bucket, or the way to it, the replicas answer of what they have.
fn lose_the_past(scene: &mut Scene) -> anyhow::Result<()> {
    let (port, address) = (scene.querier.http, scene.store.address());
    let old = WHOLE.0 + 5 * HOUR_MS;
    scene.store.kill();
    check_partial(port, "sum(queue_depth)", old, &address).context("no store")?;
    scene.compare(RECENT, 4).context("without the store")?;
    scene.store.restart()?;
    scene.wait_for_stores(3)?;
    full(port, "sum(queue_depth)", old)?;
    scene.compare(WHOLE, 5).context("with the store again")?;

    // The store has read nothing of these blocks yet but their index-headers.
    scene.store.restart()?;
    scene.wait_for_stores(3)?;
    scene.s3.kill();
    // The gateway names what it cannot read.
    check_partial(port, "avg(temperature)", old, "block ").context("no S3 server")?;
    scene.compare(RECENT, 6).context("without the S3 server")?;
    scene.s3.restart()?;
    full(port, "avg(temperature)", old)?;
    scene.compare(WHOLE, 7).context("with the S3 server again")
}

#[test]
fn processes_that_share_three_days_answer_as_one_prometheus() -> anyhow::Result<()> {
    let Some(mut scene) = Scene::start()? else {
        return Ok(());
    };
    scene.compare(WHOLE, 1).context("with everything up")?;
    check_dedup(&scene)?;
    check_sources(&scene)?;
    compact(scene.dir.path(), &scene.s3.yaml())?;
    let after = look(&scene.s3.yaml())?;
    ensure!(after.blocks.len() < 25, "{} blocks", after.blocks.len());
    // The store sees the merged blocks a second later at most.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    scene.compare(WHOLE, 8).context("with merged blocks")?;
    check_remote_read(&scene)?;
    check_promtool(&scene)?;
    lose_replicas(&mut scene)?;
    lose_the_past(&mut scene)?;
    for component in [&scene.querier, &scene.store] {
        let log = component.log();
        ensure!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}
