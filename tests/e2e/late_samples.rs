//! Samples that come out of order: every one of them is in the answers, as in a Prometheus that got
//! them in the same way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bucket::{Bucket, Origin, upload_block};
use promontory_tests::free_port;
use promontory_tests::remote_write::{self, Series};

use crate::all_in_one::AllInOne;
use crate::block_data::START_MS;
use crate::component::{Component, wait_until};
use crate::process_faults::figure;
use crate::prometheus::Prometheus;
use crate::promql_differential::peer::ask;
use crate::promql_differential::{When, difference};
use crate::rng::Rng;

const MINUTE_MS: i64 = 60_000;
/// Minutes with samples.
const MINUTES: i64 = 100;
/// How late samples may be.
const WINDOW: &str = "30m";
const SERIES: usize = 3;

const EXPRESSIONS: [&str; 7] = [
    "late",
    "sum(count_over_time(late[8h]))",
    "count_over_time(late[5m])",
    "sum by (pod) (sum_over_time(late[7m]))",
    "rate(late[5m])",
    "max_over_time(late[10m:15s])",
    "timestamp(late)",
];

/// What is written, in order of writing: a sample per minute, and after every twenty minutes the three
/// between each two of them, shuffled, in requests of a few.
fn writes() -> Vec<Vec<(i64, f64)>> {
    let mut rng = Rng::new(5);
    let at = |minute: i64, quarter: i64| {
        let t = START_MS + minute * MINUTE_MS + quarter * 15_000 + 141;
        (t, (minute * 4 + quarter) as f64)
    };
    let mut all = Vec::new();
    for begin in (0..MINUTES).step_by(20) {
        let minutes = begin..begin + 20;
        all.push(minutes.clone().map(|minute| at(minute, 0)).collect());
        let mut late: Vec<_> = minutes
            .take(19)
            .flat_map(|minute| (1..4).map(move |quarter| at(minute, quarter)))
            .collect();
        for i in (1..late.len()).rev() {
            late.swap(i, rng.below(i as u64 + 1) as usize);
        }
        all.extend(late.chunks(9).map(<[_]>::to_vec));
    }
    all
}

fn send(port: u16) -> anyhow::Result<()> {
    for samples in writes() {
        let series: Vec<Series> = (0..SERIES)
            .map(|i| {
                let pod = format!("pod-{i}");
                let labels = [("__name__", "late"), ("pod", pod.as_str())];
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                Series {
                    labels: labels.to_vec(),
                    samples: samples.clone(),
                }
            })
            .collect();
        let answer = remote_write::send(port, "/api/v1/write", &series)?;
        ensure!(answer.status / 100 == 2, "{answer:?}");
    }
    Ok(())
}

/// Fails unless `ours` has all that was written, and answers as the Prometheus does, if there is one.
fn compare(theirs: Option<&Prometheus>, ours: u16, who: &str) -> anyhow::Result<()> {
    let end = START_MS + MINUTES * MINUTE_MS;
    if let Some(theirs) = theirs {
        compare_answers(theirs.port(), ours, who)?;
    }
    let count = ask(ours, EXPRESSIONS[1], When::Instant(end))?.map_err(anyhow::Error::msg)?;
    let written: usize = writes().iter().map(|samples| samples.len() * SERIES).sum();
    let found = count.values().next().and_then(|points| points.first());
    ensure!(
        found.is_some_and(|(_, v)| *v == written as f64),
        "{who}: {written} were written, not {found:?}"
    );
    Ok(())
}

/// Fails unless both answer alike, in what is asked for as a whole and a part.
fn compare_answers(theirs: u16, ours: u16, who: &str) -> anyhow::Result<()> {
    let end = START_MS + MINUTES * MINUTE_MS;
    let whens = [
        When::Instant(end),
        When::Instant(START_MS + 17 * MINUTE_MS + 7),
        When::Range {
            start: START_MS + 7,
            end,
            step: 15_000,
        },
    ];
    for expr in EXPRESSIONS {
        for when in whens {
            let expected = ask(theirs, expr, when)?.map_err(anyhow::Error::msg)?;
            let found = ask(ours, expr, when)?
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("{who}: {expr}"))?;
            ensure!(!expected.is_empty(), "{expr} is of nothing");
            let difference = difference(&expected, &found);
            ensure!(
                difference.is_none(),
                "{who}: {expr} {when:?}: {difference:?} of {:?}",
                found.keys()
            );
        }
    }
    Ok(())
}

/// A Prometheus that takes late samples.
fn late_prometheus(dir: &Path) -> anyhow::Result<Option<Prometheus>> {
    let data = dir.join("data");
    std::fs::create_dir_all(&data)?;
    let yaml = format!("storage: {{tsdb: {{out_of_order_time_window: {WINDOW}}}}}\n");
    Prometheus::start_as(&data, dir, free_port(), &yaml, &[])
}

/// A Prometheus without data that reads from the server on `port`, whose external labels it takes for
/// its own and leaves out.
fn reader(dir: &Path, port: u16, external: &str) -> anyhow::Result<Option<Prometheus>> {
    let data = dir.join("data");
    std::fs::create_dir_all(&data)?;
    let url = format!("http://127.0.0.1:{port}/api/v1/read");
    let yaml = format!(
        "global: {{external_labels: {external}}}\nremote_read:\n- {{url: '{url}', read_recent: true}}\n"
    );
    Prometheus::start_as(&data, dir, free_port(), &yaml, &[])
}

/// The directories of blocks below `dir`, by name.
fn blocks(dir: &Path) -> anyhow::Result<BTreeMap<OsString, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if path.join("index").exists() {
            found.insert(entry.file_name(), path);
        } else if path.is_dir() {
            found.extend(blocks(&path)?);
        }
    }
    Ok(found)
}

/// The same of a querier over a store gateway that has the blocks of `data`, before they are merged.
fn behind_a_store(at: &Path, data: &Path, theirs: Option<&Prometheus>) -> anyhow::Result<()> {
    let blocks = blocks(data)?;
    ensure!(blocks.len() > 1, "late samples have blocks of their own");
    std::fs::create_dir_all(at)?;
    let folder = at.join("blocks");
    let bucket = Bucket::in_directory(&folder)?;
    let origin = Origin::new("ingester", [("replica".to_owned(), "a".to_owned())].into());
    let runtime = tokio::runtime::Runtime::new()?;
    for block in blocks.values() {
        runtime.block_on(upload_block(&bucket, block, &origin, 0))?;
    }
    let folder = folder.display();
    let args = [
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: '{folder}'}}}}"),
        format!("--data-dir={}", at.join("store").display()),
    ];
    let store = Component::start(at, "store", &args)?;
    wait_until("all blocks", || {
        let loaded = figure(store.http, "thanos_bucket_store_blocks_loaded")?;
        Ok(loaded == blocks.len() as f64)
    })?;
    for func in ["penalty", "chain"] {
        let args = [
            format!("--endpoint={}", store.address()),
            "--query.replica-label=replica".to_owned(),
            "--query.replica-label=tenant_id".to_owned(),
            format!("--deduplication.func={func}"),
        ];
        let querier = Component::start(at, "querier", &args)?;
        compare(theirs, querier.http, &format!("{func} over a store"))?;
        if let Some(reader) = reader(&at.join(format!("of-{func}")), querier.http, "{}")? {
            compare(
                theirs,
                reader.port(),
                &format!("remote read, {func} over a store"),
            )?;
        }
    }
    Ok(())
}

#[test]
fn late_samples_are_all_there() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let theirs = late_prometheus(&dir.path().join("theirs"))?;
    let theirs = theirs.as_ref();
    if let Some(theirs) = theirs {
        send(theirs.port())?;
    }

    let flags = [format!("--tsdb.out-of-order.time-window={WINDOW}")];
    let port = free_port();
    let ours = AllInOne::start_with(dir.path(), port, &flags)?;
    send(port)?;
    compare(theirs, port, "all in one")?;
    if let Some(reader) = reader(&dir.path().join("of-all-in-one"), port, "{}")? {
        compare(theirs, reader.port(), "remote read of all in one")?;
    }
    // Its head becomes blocks that overlap.
    let mut ours = ours;
    ours.server.signal("TERM")?;
    wait_until("the end", || Ok(ours.server.has_ended()?))?;
    behind_a_store(&dir.path().join("bucket"), dir.path(), theirs)?;
    let _ours = AllInOne::start_with(dir.path(), port, &flags)?;
    compare(theirs, port, "all in one, started again")?;

    let writes = free_port();
    let at = dir.path();
    let args = [
        format!("--tsdb.path={}", at.join("ingester").display()),
        format!("--remote-write.address=127.0.0.1:{writes}"),
        flags[0].clone(),
        "--label=replica=\"a\"".to_owned(),
    ];
    let ingester = Component::start(at, "ingester", &args)?;
    send(writes)?;
    let args = [
        format!("--endpoint={}", ingester.address()),
        "--query.replica-label=replica".to_owned(),
        "--query.replica-label=tenant_id".to_owned(),
    ];
    let querier = Component::start(at, "querier", &args)?;
    compare(theirs, querier.http, "querier over an ingester")?;
    let external = "{replica: a, tenant_id: default-tenant}";
    if let Some(reader) = reader(&at.join("of-ingester"), ingester.http, external)? {
        compare(theirs, reader.port(), "remote read of an ingester")?;
    }
    Ok(())
}
