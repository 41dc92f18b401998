//! What every component says of itself at `/metrics`, read by promtool, and answers in the coding that
//! a client asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, http, now_ms, peer, workspace_root};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::block_data::{self, END_MS, START_MS};
use crate::component::{Component, PATIENCE};
use crate::query_command::piped;

/// What every component is known to serve.
const FILE: &str = "docs/reference/metrics.md";

/// Where somebody listens to nobody; what is forwarded there waits.
const NOBODY: &str = "http://127.0.0.1:9/api/v1/write";

/// The families of an exposition, each as a row of the reference: name, type and names of labels.
fn families(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut kinds = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').context(line.to_owned())?;
            kinds.insert(name, kind);
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (series, _) = line.rsplit_once(' ').context(line.to_owned())?;
        ensure!(seen.insert(series), "{series} is there twice");
        let (name, pairs) = series.split_once('{').unwrap_or((series, ""));
        let suffixes = ["", "_bucket", "_sum", "_count"];
        let family = suffixes
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix));
        let family = family.into_iter().find(|name| kinds.contains_key(name));
        let names = labels.entry(family.context(line.to_owned())?).or_default();
        let ends = pairs.match_indices("=\"").map(|(at, _)| &pairs[..at]);
        let found = ends.filter_map(|before| before.rsplit([',', '{']).next());
        names.extend(found.filter(|name| !matches!(*name, "le" | "quantile")));
    }
    let row = |(name, names): (&str, BTreeSet<&str>)| {
        let names: Vec<_> = names.into_iter().collect();
        format!("| {name} | {} | {} |", kinds[name], names.join(", "))
    };
    Ok(labels.into_iter().map(row).collect())
}

/// What a component serves now, once promtool could read it.
fn served(promtool: &Path, port: u16) -> anyhow::Result<BTreeSet<String>> {
    let answer = http::get(port, "/metrics")?;
    ensure!(answer.status == 200, "{answer:?}");
    let content_type = answer.header("content-type").unwrap_or_default();
    let is_text = content_type.starts_with("text/plain; version=0.0.4");
    ensure!(is_text, "{content_type}");
    let read = piped(promtool, &["check", "metrics"], &answer.body)?;
    let said = String::from_utf8_lossy(&read.stderr);
    // 3 is for names that could be better, which names of Thanos and Prometheus may be.
    let is_read = matches!(read.status.code(), Some(0 | 3));
    let own = said.lines().find(|line| line.starts_with("promontory_"));
    ensure!(is_read && own.is_none(), "{said}\n{}", answer.body);
    families(&answer.body)
}

/// The rows of each component in the reference.
fn known() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = std::fs::read_to_string(workspace_root().join(FILE))?;
    let sections = text.split("\n## ").skip(1).map(|section| {
        let (name, rows) = section.split_once('\n').unwrap_or((section, ""));
        let rows = rows.lines().filter(|line| line.starts_with("| "));
        // A title and a line come first.
        (name.to_owned(), rows.skip(1).map(str::to_owned).collect())
    });
    Ok(sections.collect())
}

/// Writes the reference.
fn write(components: &BTreeMap<String, BTreeSet<String>>) -> anyhow::Result<()> {
    let mut text = String::from(
        "# Metrics\n\nWhat each component serves at `/metrics` once it has done some work; generated, \
         CONTRIBUTING.md says how.\nNames of Prometheus and of Thanos mean what they mean there.\n",
    );
    for (name, rows) in components {
        text.push_str(&format!(
            "\n## {name}\n\n| name | type | labels |\n|---|---|---|\n"
        ));
        rows.iter()
            .for_each(|row| text.push_str(&format!("{row}\n")));
    }
    Ok(std::fs::write(workspace_root().join(FILE), text)?)
}

/// Every component at work: each with what it is called in the reference, and its port.
struct Running {
    ports: Vec<(&'static str, u16)>,
    _all_in_one: AllInOne,
    _components: Vec<Component>,
}

fn start(at: &Path) -> anyhow::Result<Running> {
    let bucket = block_data::bucket(at)?;
    let bucket = format!("--objstore.config={bucket}");
    let own = |flag: &str, name: &str| format!("--{flag}={}", at.join(name).display());
    let (port, writes) = (free_port(), free_port());
    let config = at.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, external_labels: {{replica: a}}}}\n\
         remote_write: [{{url: '{NOBODY}'}}]\n\
         scrape_configs: [{{job_name: own, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    std::fs::write(&config, text)?;
    let config = format!("--config.file={}", config.display());

    let ours = AllInOne::start_with(at, port, std::slice::from_ref(&config))?;
    let ingester = [
        own("tsdb.path", "ingester"),
        config,
        format!("--remote-write.address=127.0.0.1:{writes}"),
    ];
    let ingester = Component::start(at, "ingester", &ingester)?;
    let time = now_ms();
    for port in [port, writes] {
        let labels = vec![("__name__".to_owned(), "written".to_owned())];
        let samples = vec![(time, 1.0)];
        let series = [Series { labels, samples }];
        let answer = remote_write::send(port, "/api/v1/write", &series)?;
        ensure!(answer.status / 100 == 2, "{answer:?}");
    }
    let source = format!("--prometheus.url=http://127.0.0.1:{port}");
    let sidecar = [source, own("tsdb.path", "none"), bucket.clone()];
    let sidecar = Component::start(at, "sidecar", &sidecar)?;
    let store = [bucket.clone(), own("data-dir", "store")];
    let store = Component::start(at, "store", &store)?;
    let endpoints = [&ingester, &sidecar, &store].map(|of| format!("--endpoint={}", of.address()));
    let querier = Component::start(at, "querier", &endpoints)?;
    let compactor = [
        bucket,
        own("data-dir", "compactor"),
        "--wait".to_owned(),
        "--wait-interval=1h".to_owned(),
    ];
    let compactor = Component::start(at, "compactor", &compactor)?;
    for port in [port, querier.http] {
        let time = time / 1000 + 1;
        let selector = http::encode("{__name__=~\".+\"}");
        for path in [
            format!("query?query={selector}&time={time}"),
            format!("query_range?query={selector}&start={time}&end={time}&step=15"),
            "labels".to_owned(),
        ] {
            let answer = http::get(port, &format!("/api/v1/{path}"))?;
            ensure!(answer.status == 200, "{answer:?}");
        }
    }
    let components = vec![ingester, sidecar, store, querier, compactor];
    let names = ["ingester", "sidecar", "store", "querier", "compactor"];
    for component in &components {
        // Figures of requests need one to be there.
        http::get(component.http, "/-/healthy")?;
    }
    let ports = names.into_iter().zip(components.iter().map(|c| c.http));
    Ok(Running {
        ports: ports.chain([("all in one", port)]).collect(),
        _all_in_one: ours,
        _components: components,
    })
}

#[test]
fn every_component_serves_the_figures_of_the_reference() -> anyhow::Result<()> {
    let Some(promtool) = peer("promtool") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let running = start(dir.path())?;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // All that comes to be has come to be by then.
        std::thread::sleep(Duration::from_secs(20));
        let of = |(name, port): &(&str, u16)| Ok(((*name).to_owned(), served(&promtool, *port)?));
        write(
            &running
                .ports
                .iter()
                .map(of)
                .collect::<anyhow::Result<_>>()?,
        )?;
    }
    let known = known()?;
    for (name, port) in &running.ports {
        let known = known.get(*name).cloned().unwrap_or_default();
        let begin = Instant::now();
        loop {
            let now = served(&promtool, *port).context(*name)?;
            if now == known {
                break;
            }
            // Some come to be only with the second scrape.
            ensure!(
                begin.elapsed() < PATIENCE,
                "{name} lacks {:#?} and has beside them {:#?}; where that is wanted, \
                 UPDATE_GOLDEN=1 writes {FILE}",
                known.difference(&now).collect::<Vec<_>>(),
                now.difference(&known).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    Ok(())
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
