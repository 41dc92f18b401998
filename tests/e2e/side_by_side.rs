//! A node exporter scraped by us and by a Prometheus at once, with one configuration: the same
//! series, the same metadata, and values that differ by no more than the times of scrapes do.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{free_port, http, peer};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::component::wait_until;
use crate::prometheus::Prometheus;
use crate::promql_differential::When;
use crate::promql_differential::peer::{Series, ask};

/// How long both must have scraped without a miss, around the instant that is compared: what is asked of it
/// looks back so far, and then some.
const CALM_S: i64 = 24;
/// Around an instant, the other's scrapes next to ours are this near.
const NEAR_MS: i64 = 4_000;
/// Queries that must have been compared.
const QUERIES_MIN: usize = 300;

/// Relabelling before and after, so that it is compared too. The only summary is dropped: values of
/// `quantile` are written in one way since Prometheus 3, and as they come before.
fn config(target: u16) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: node
  static_configs: [{{targets: ['127.0.0.1:{target}'], labels: {{rack: r1}}}}]
  relabel_configs:
  - {{source_labels: [__address__, rack], separator: /, regex: '(.*):.*/(.*)', target_label: place, replacement: '$2-$1'}}
  metric_relabel_configs:
  - {{source_labels: [__name__], regex: 'go_(memstats|gc)_.*', action: drop}}
  - {{source_labels: [mode], regex: '(i).*', target_label: kind}}
"
    )
}

fn now_ms() -> i64 {
    #[allow(clippy::disallowed_methods, reason = "both scrape by this clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

/// Both, and what they scrape.
struct Scene {
    theirs: Prometheus,
    ours: AllInOne,
    exporter: Server,
    target: u16,
}

impl Scene {
    fn start(dir: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = peer("prometheus-node-exporter") else {
            return Ok(None);
        };
        let target = free_port();
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address=127.0.0.1:{target}"));
        let mut exporter = Server::start(&mut command, &dir.join("exporter.log"))?;
        exporter.wait_ready(target, "/metrics", Duration::from_secs(30));
        let theirs_dir = dir.join("theirs");
        std::fs::create_dir_all(theirs_dir.join("data"))?;
        let yaml = config(target);
        let data = theirs_dir.join("data");
        let theirs = Prometheus::start_as(&data, &theirs_dir, free_port(), &yaml, &[])?;
        let Some(theirs) = theirs else {
            return Ok(None);
        };
        let file = dir.join("scrape.yml");
        std::fs::write(&file, &yaml)?;
        let flag = format!("--config.file={}", file.display());
        let ours = AllInOne::start_with(dir, free_port(), &[flag])?;
        Ok(Some(Self {
            theirs,
            ours,
            exporter,
            target,
        }))
    }

    /// What both say; refusals fail.
    fn ask(&self, expr: &str, when: When) -> anyhow::Result<(Series, Series)> {
        let both = (
            ask(self.theirs.port(), expr, when)?,
            ask(self.ours.port, expr, when)?,
        );
        match both {
            (Ok(theirs), Ok(ours)) => Ok((theirs, ours)),
            both => anyhow::bail!("{expr}: {both:?}"),
        }
    }

    /// As [`Scene::ask`]; the series must be the same ones.
    fn same_series(&self, expr: &str, when: When) -> anyhow::Result<(Series, Series)> {
        let (theirs, ours) = self.ask(expr, when)?;
        let names = |series: &Series| series.keys().cloned().collect::<BTreeSet<_>>();
        let (a, b) = (names(&theirs), names(&ours));
        let differ: Vec<_> = a.symmetric_difference(&b).collect();
        ensure!(differ.is_empty(), "{expr}: {differ:?} are not in both");
        Ok((theirs, ours))
    }

    fn data(&self, port: u16, path: &str) -> anyhow::Result<Value> {
        let answer = http::get(port, path)?;
        let mut body: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        Ok(body["data"].take())
    }
}

/// Metadata of all metrics: type, help and unit, by name.
fn metadata(scene: &Scene, port: u16) -> anyhow::Result<BTreeMap<String, Value>> {
    let found = scene.data(port, "/api/v1/metadata")?;
    let found = found.as_object().context("metadata is an object")?;
    Ok(found
        .iter()
        .map(|(name, all)| (name.clone(), all.clone()))
        .collect())
}

/// How a metric's values go on, as far as it can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Other,
}

/// True for what tells of the scrapes themselves: whoever asks while the other does sees another value,
/// and maybe each time.
fn depends_on_scrapes(name: &str) -> bool {
    let prefixes = ["go_", "process_", "promhttp_", "node_procs_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// A value of ours is one that Prometheus has, or lies between two that it has near that time.
fn compare_values(scene: &Scene, (name, kind): (&str, Kind), at: i64) -> anyhow::Result<()> {
    let (_, ours) = scene.same_series(name, When::Instant(at))?;
    let around = When::Range {
        start: at - NEAR_MS,
        end: at + NEAR_MS,
        step: 500,
    };
    let (theirs, ours_around) = scene.ask(name, around)?;
    for (labels, points) in ours {
        let (_, value) = points[0];
        let near = theirs.get(&labels).context(labels.clone())?;
        let bounds = |points: &[(i64, f64)]| {
            let values = points.iter().map(|(_, v)| *v);
            let min = values.clone().fold(f64::INFINITY, f64::min);
            (min, values.fold(f64::NEG_INFINITY, f64::max))
        };
        let (min, max) = bounds(near);
        let own = bounds(ours_around.get(&labels).context(labels.clone())?);
        let is_constant = min == max && own.0 == own.1;
        let is_alike = match kind {
            _ if is_constant && !depends_on_scrapes(name) => value == min,
            Kind::Counter => (min..=max).contains(&value),
            // What goes up and down may be anywhere between scrapes.
            Kind::Other => value.is_finite() == max.is_finite() || value.is_nan(),
        };
        ensure!(is_alike, "{name}{labels}: ours {value}, theirs {near:?}");
    }
    Ok(())
}

/// Names of all metrics that both have, with what is known of them.
fn metrics(scene: &Scene) -> anyhow::Result<Vec<(String, Kind)>> {
    let path = "/api/v1/label/__name__/values";
    let theirs = scene.data(scene.theirs.port(), path)?;
    let ours = scene.data(scene.ours.port, path)?;
    ensure!(theirs == ours, "names differ: {theirs}\n{ours}");
    let known = metadata(scene, scene.theirs.port())?;
    let names = theirs.as_array().context("names are a list")?.iter();
    let names = names.filter_map(Value::as_str).map(|name| {
        let base = ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let metadata = known.get(name).or_else(|| known.get(base?));
        let kind = metadata.map(|all| all[0]["type"].as_str().unwrap_or_default());
        let kind = match kind {
            Some("counter" | "histogram") => Kind::Counter,
            _ => Kind::Other,
        };
        (name.to_owned(), kind)
    });
    Ok(names.collect())
}

/// Compares a few hundred queries at one instant.
fn compare_queries(scene: &Scene, at: i64) -> anyhow::Result<usize> {
    let mut compared = 0;
    for (name, kind) in metrics(scene)? {
        compare_values(scene, (&name, kind), at)?;
        let (theirs, ours) = scene.ask(&format!("count({name})"), When::Instant(at))?;
        ensure!(theirs == ours, "count({name}): {theirs:?} {ours:?}");
        let range = When::Range {
            start: at - 8_000,
            end: at,
            step: 2_000,
        };
        let over = match kind {
            Kind::Counter => "rate",
            Kind::Other => "max_over_time",
        };
        scene.same_series(&format!("{over}({name}[5s])"), range)?;
        compared += 3;
    }
    Ok(compared)
}

/// The series that a scrape makes itself.
fn compare_synthetic(scene: &Scene, at: i64) -> anyhow::Result<()> {
    let own = "{__name__=~\"up|scrape_.*\"}";
    let (theirs, _) = scene.same_series(own, When::Instant(at))?;
    ensure!(theirs.len() == 5, "{theirs:?}");
    for exact in ["up", "avg_over_time(up[5s])"] {
        let (theirs, ours) = scene.ask(exact, When::Instant(at))?;
        let values = |series: &Series| series.values().map(|p| p[0].1).collect::<Vec<_>>();
        ensure!(values(&theirs) == values(&ours), "{theirs:?} {ours:?}");
    }
    // What is there for the first time is counted as such, once.
    let added = "sum_over_time(scrape_series_added[1h]) > scrape_samples_scraped - 200";
    let (theirs, ours) = scene.ask(added, When::Instant(at))?;
    ensure!(theirs.len() == 1 && ours.len() == 1, "{theirs:?} {ours:?}");
    Ok(())
}

/// What is said of the target and of its metrics.
fn compare_descriptions(scene: &Scene) -> anyhow::Result<()> {
    let theirs = metadata(scene, scene.theirs.port())?;
    let ours = metadata(scene, scene.ours.port)?;
    ensure!(theirs.len() > 100, "{} metrics", theirs.len());
    for (name, metadata) in &theirs {
        ensure!(
            ours.get(name) == Some(metadata),
            "{name}: {metadata} {:?}",
            ours.get(name)
        );
    }
    let targets = |port: u16| -> anyhow::Result<Value> {
        let found = scene.data(port, "/api/v1/targets?state=active")?;
        let mut of_target = found["activeTargets"][0].clone();
        // As Prometheus 3; this one is older.
        if let Some(discovered) = of_target["discoveredLabels"].as_object_mut() {
            discovered.retain(|name, _| !name.contains("histograms"));
        }
        let shown = [
            "discoveredLabels",
            "labels",
            "scrapePool",
            "scrapeUrl",
            "lastError",
            "health",
            "scrapeInterval",
            "scrapeTimeout",
        ];
        Ok(shown.iter().map(|name| of_target[*name].clone()).collect())
    };
    // Nobody's last scrape has just failed.
    wait_until("the same targets", || {
        Ok(targets(scene.theirs.port())? == targets(scene.ours.port)?)
    })
}

/// An instant with scrapes of both on both sides of it, none of which was late or failed, as they do on a
/// busy machine.
fn calm_instant(scene: &Scene) -> anyhow::Result<i64> {
    let found = Cell::new(0);
    wait_until("a while without a scrape that failed", || {
        let end = now_ms();
        found.set(end - 2 * NEAR_MS);
        let has_all = |series: &Series, least: i64| {
            let mut values = series.values().map(|points| points[0].1);
            values.next().is_some_and(|value| value >= least as f64)
        };
        let mut is_calm = true;
        for (expr, least) in [
            (format!("count_over_time(up[{CALM_S}s])"), CALM_S - 1),
            (format!("min_over_time(up[{CALM_S}s])"), 1),
        ] {
            let (theirs, ours) = scene.ask(&expr, When::Instant(end))?;
            is_calm &= has_all(&theirs, least) && has_all(&ours, least);
        }
        Ok(is_calm)
    })?;
    Ok(found.get())
}

/// The target dies: its series end at once for both, and it is down.
fn compare_death(scene: Scene) -> anyhow::Result<()> {
    let Scene { exporter, .. } = &scene;
    let id = exporter.id();
    let killed = Command::new("kill")
        .args(["-9", &id.to_string()])
        .status()?;
    ensure!(killed.success());
    let died = now_ms();
    wait_until("a target that is down", || {
        let (theirs, ours) = scene.ask("up == 0", When::Instant(now_ms()))?;
        Ok(theirs.len() == 1 && ours.len() == 1)
    })?;
    let at = now_ms();
    ensure!(at - died < 60_000, "the markers come with the next scrape");
    for expr in ["node_load1", "{__name__=~\"node_.*\"}"] {
        let (theirs, ours) = scene.ask(expr, When::Instant(at))?;
        ensure!(theirs.is_empty() && ours.is_empty(), "{expr}: {ours:?}");
    }
    let (_, ours) = scene.same_series("scrape_samples_scraped == 0", When::Instant(at))?;
    ensure!(ours.len() == 1, "{ours:?}");
    let port = scene.target;
    let found = scene.data(scene.ours.port, "/api/v1/targets")?;
    let target = &found["activeTargets"][0];
    let error = target["lastError"].as_str().unwrap_or_default();
    ensure!(
        target["health"] == "down" && error.contains(&port.to_string()),
        "{target}"
    );
    Ok(())
}

#[test]
fn a_node_exporter_looks_alike_to_us_and_to_prometheus() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(scene) = Scene::start(dir.path())? else {
        return Ok(());
    };
    let at = calm_instant(&scene)?;
    let compared = compare_queries(&scene, at)?;
    ensure!(compared >= QUERIES_MIN, "only {compared} queries");
    compare_synthetic(&scene, at)?;
    compare_descriptions(&scene)?;
    compare_death(scene)
}
