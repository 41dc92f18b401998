//! The compactor as a process, on blocks that promtool made, in a directory and on an S3 server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bucket::{BlockObject, Bucket, Fetcher, Filter, Origin, Patience, View, upload_block};
use promontory_tests::peer;

use crate::s3::S3;

/// A multiple of two weeks, so that windows are full where they look so.
const START_S: i64 = 1_400 * 14 * 86_400;

const HOUR_S: i64 = 3600;

/// Some time after the blocks were made.
const NOW_MS: i64 = (START_S + 30 * 86_400) * 1000;

pub(crate) fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Blocks of 2 h with 26 hours of a few series, by promtool; `None` after saying that it is absent.
pub(crate) fn promtool_blocks(dir: &Path) -> Option<PathBuf> {
    let promtool = peer("promtool")?;
    let mut input = String::from("# TYPE requests counter\n");
    for series in 0..5 {
        for i in 0..26 * 60 {
            let (value, t) = (i * (series + 1), START_S + i * 60);
            writeln!(input, "requests_total{{path=\"/{series}\"}} {value} {t}")
                .expect("to a String");
        }
    }
    input.push_str("# EOF\n");
    let (file, blocks) = (dir.join("input.om"), dir.join("blocks"));
    std::fs::write(&file, input).expect("temporary directory");
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &blocks])
        .output();
    text(&made.expect("promtool starts"));
    Some(blocks)
}

fn promontory(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command.args(args).output().expect("the binary starts")
}

pub(crate) fn dump(dir: &Path) -> BTreeSet<String> {
    let dir = dir
        .to_str()
        .expect("temporary directories have plain names");
    let lines = text(&promontory(&["tsdb", "dump", dir]));
    lines.lines().map(str::to_owned).collect()
}

pub(crate) async fn look(bucket: &Bucket) -> View {
    let filters = vec![Filter::Duplicates];
    let fetcher = Fetcher::new(bucket.clone(), None, filters);
    fetcher.sync(NOW_MS).await.expect("the bucket answers")
}

/// Brings what a reader sees into `dir`.
pub(crate) async fn download(bucket: &Bucket, view: &View, dir: &Path) {
    for (id, block) in &view.blocks {
        let to = dir.join(id.to_string());
        std::fs::create_dir_all(to.join("chunks")).expect("temporary directory");
        let mut objects = vec![
            (BlockObject::Meta(*id), "meta.json".to_owned()),
            (BlockObject::Index(*id), "index".to_owned()),
        ];
        for segment in block.files.segments.numbers() {
            let name = format!("chunks/{segment:06}");
            objects.push((BlockObject::Chunks(*id, segment), name));
        }
        for (object, name) in objects {
            let (key, file) = (object.to_string(), to.join(name));
            let downloaded = bucket.download_file(&key, &file).await;
            downloaded.expect("the object is there");
        }
    }
}

/// A bucket with all `blocks`.
pub(crate) async fn fill(yaml: &str, blocks: &Path) -> Bucket {
    let bucket = Bucket::open(yaml, Patience::Interactive).expect("the configuration is right");
    let labels = BTreeMap::from([("cluster".to_owned(), "a".to_owned())]);
    let origin = Origin::new("sidecar", labels);
    for entry in std::fs::read_dir(blocks).expect("promtool made it") {
        let path = entry.expect("readable").path();
        upload_block(&bucket, &path, &origin, NOW_MS)
            .await
            .expect("the bucket takes it");
    }
    bucket
}

/// Uploads blocks, compacts by the real process, and compares every sample.
async fn compact(yaml: &str, dir: &Path, blocks: &Path) {
    let bucket = fill(yaml, blocks).await;
    let before = look(&bucket).await;
    assert_eq!(before.blocks.len(), 13);
    let config = format!("--objstore.config={yaml}");
    let data = format!("--data-dir={}", dir.join("work").display());
    let args = [
        "compactor",
        &config,
        &data,
        "--consistency-delay=0s",
        "--http-address=127.0.0.1:0",
        "--grpc-address=127.0.0.1:0",
    ];
    text(&promontory(&args));
    let after = look(&bucket).await;
    let hours: Vec<_> = (after.blocks.values())
        .map(|b| {
            (
                b.meta.min_time / 1000 - START_S,
                b.meta.max_time / 1000 - START_S,
            )
        })
        .map(|(min, max)| (min / HOUR_S, max / HOUR_S))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    // promtool's blocks end at their last sample, so that no window is full; those before the newest
    // block but one are merged all the same.
    let rest = [(16, 17), (18, 19), (20, 21), (22, 23), (24, 25)];
    assert_eq!(hours, [&[(0, 7), (8, 15)][..], &rest].concat());
    assert_eq!(after.deletion_marks.len(), 8);
    let merged = dir.join("merged");
    download(&bucket, &after, &merged).await;
    assert_eq!(dump(&merged), dump(blocks));
    let inspected = text(&promontory(&["bucket", "inspect", &config, "-o", "json"]));
    assert_eq!(inspected.matches("\"cluster\": \"a\"").count(), 15);
    let verified = promontory(&["bucket", "verify", &config, "--deep"]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(said.contains("15 blocks, 0 problems"), "{said}");
    assert_eq!(
        text(&promontory(&["bucket", "ls", &config]))
            .lines()
            .count(),
        15
    );
    // Nothing is left to do.
    text(&promontory(&args));
    assert_eq!(look(&bucket).await.blocks.len(), 7);
}

#[tokio::test]
async fn a_directory_is_compacted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(blocks) = promtool_blocks(dir.path()) else {
        return;
    };
    let at = dir.path().join("bucket");
    let yaml = format!(
        "{{type: FILESYSTEM, config: {{directory: '{}'}}}}",
        at.display()
    );
    compact(&yaml, dir.path(), &blocks).await;
}

#[tokio::test]
async fn an_s3_bucket_is_compacted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(s3) = S3::start(dir.path()).expect("the S3 server starts") else {
        return;
    };
    let Some(blocks) = promtool_blocks(dir.path()) else {
        return;
    };
    compact(&s3.yaml(), dir.path(), &blocks).await;
}
