//! The `bucket` tools that change buckets: copies, rewrites, repairs, marks, uploads, the page; each run
//! twice where that must change nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use promontory_tests::process::Server;
use promontory_tests::{free_port, http};
use serde_json::Value;

use crate::block_data;
use crate::component::PATIENCE;
use crate::query_command::{promontory, text};

/// A bucket in a directory with one block.
struct Scene {
    dir: tempfile::TempDir,
    config: String,
    id: String,
}

fn yaml(dir: &Path) -> String {
    format!(
        "{{type: FILESYSTEM, config: {{directory: '{}'}}}}",
        dir.display()
    )
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = format!("--objstore.config={}", block_data::bucket(dir.path())?);
        let id = block_data::block_id().to_string();
        Ok(Self { dir, config, id })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<Output> {
        promontory(&[&["bucket"], args, &[&self.config]].concat())
    }

    fn blocks(&self) -> anyhow::Result<BTreeSet<String>> {
        names(&self.path("bucket"))
    }

    fn is_marked(&self, id: &str) -> bool {
        self.path("bucket")
            .join(id)
            .join("deletion-mark.json")
            .exists()
    }

    /// The block that is beside the first one.
    fn other(&self) -> anyhow::Result<String> {
        let mut blocks = self.blocks()?;
        blocks.remove(&self.id);
        anyhow::ensure!(blocks.len() == 1, "{blocks:?}");
        Ok(blocks.pop_first().unwrap_or_default())
    }

    fn meta(&self, id: &str) -> anyhow::Result<Value> {
        let file = self.path("bucket").join(id).join("meta.json");
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    }
}

fn names(dir: &Path) -> anyhow::Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// What a block holds, line by line.
fn dump(block: &Path) -> anyhow::Result<Vec<String>> {
    let shown = text(&promontory(&[
        "tsdb",
        "dump",
        &block.display().to_string(),
    ])?)?;
    Ok(shown.lines().map(str::to_owned).collect())
}

#[test]
fn blocks_are_copied_once_and_copies_gone_on_with() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let to = scene.path("copy");
    fs::create_dir(&to)?;
    let to_config = format!("--objstore-to.config={}", yaml(&to));
    let copy = |more: &[&str]| {
        let args = [&["replicate", "--single-run", &to_config], more].concat();
        text(&scene.run(&args)?)
    };
    for none in [
        "--compaction=7",
        "--resolution=5m",
        "--matcher=replica!=\"a\"",
        "--min-time=2200-01-01T00:00:00Z",
    ] {
        assert!(copy(&[none])?.contains("0 blocks are copied"), "{none}");
    }
    assert!(names(&to)?.is_empty());
    let said = copy(&[
        "--matcher={replica=~\"a|b\"}",
        "--compaction-max=1",
        "--resolution=0s",
    ])?;
    assert!(
        said.contains("1 of 1 blocks") && said.contains("s left"),
        "{said}"
    );
    let from = scene.path("bucket").join(&scene.id);
    assert_eq!(dump(&to.join(&scene.id))?, dump(&from)?);
    assert!(copy(&[])?.contains("0 blocks are copied, 1 were there"));

    // A copy that was cut off has no meta.json, and one of its objects is not whole.
    fs::remove_file(to.join(&scene.id).join("meta.json"))?;
    fs::write(to.join(&scene.id).join("index"), "half")?;
    assert!(copy(&[])?.contains("1 blocks are copied, 0 were there, 0 failed"));
    for file in ["index", "meta.json", "chunks/000001"] {
        let (a, b) = (
            fs::read(from.join(file))?,
            fs::read(to.join(&scene.id).join(file))?,
        );
        assert!(a == b, "{file}");
    }
    Ok(())
}

#[test]
fn rewriting_is_tried_first_and_leaves_the_old_block() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let block = scene.path("bucket").join(&scene.id);
    let before = dump(&block)?;
    let first = before.first().and_then(|line| line.split('}').next());
    let series = format!("{}}}", first.unwrap_or_default());
    let name = series.split('"').nth(1).unwrap_or_default();
    assert!(!name.is_empty(), "{series}");
    let tmp = format!("--tmp.dir={}", scene.path("tmp").display());
    let id = format!("--id={}", scene.id);
    let delete = format!("--rewrite.to-delete-config=[{{matchers: '{{__name__=\"{name}\"}}'}}]");
    let args = ["rewrite", &id, &tmp, &delete];
    let said = text(&scene.run(&args)?)?;
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(scene.blocks()?.len(), 1);
    let logs = names(&scene.path("tmp"))?;
    assert!(
        logs.iter().all(|log| log.ends_with("change.log")) && logs.len() == 1,
        "{logs:?}"
    );

    let done = [&args[..], &["--no-dry-run", "--delete-blocks"]].concat();
    text(&scene.run(&done)?)?;
    let new = scene.other()?;
    let left = before
        .iter()
        .filter(|line| !line.contains(&format!("\"{name}\"")));
    let left: Vec<String> = left.cloned().collect();
    assert!(left.len() < before.len());
    assert_eq!(dump(&scene.path("bucket").join(&new))?, left);
    assert!(scene.is_marked(&scene.id) && !scene.is_marked(&new));
    let meta = scene.meta(&new)?;
    assert_eq!(meta["thanos"]["source"], "bucket.rewrite");
    assert_eq!(meta["thanos"]["labels"]["replica"], "a");
    let noted = &meta["thanos"]["rewrites"][0];
    assert_eq!(noted["sources"][0], *scene.id);
    let matcher = &noted["deletions_applied"][0]["matchers"][0];
    assert_eq!(
        (&matcher["Type"], &matcher["Value"]),
        (&0.into(), &name.into())
    );

    // Without a wish, without the block.
    assert!(!scene.run(&["rewrite", &id, &tmp])?.status.success());
    let other = scene.run(&["rewrite", "--id=01HZZZZZZZ0000000000000001", &tmp, &delete])?;
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("no block"),
        "{other:?}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_mended_stays() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let segment = scene.path("bucket").join(&scene.id).join("chunks/000001");
    let mut damaged = fs::read(&segment)?;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    fs::write(&segment, damaged)?;
    let found = scene.run(&["verify", "--issues=index_known_issues", "--repair"])?;
    let said = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be mended"), "{said}");
    assert!(!scene.is_marked(&scene.id) && scene.blocks()?.len() == 1);
    // Another issue is not looked for then.
    let other = scene.run(&["verify", "--issues=overlapped_blocks"])?;
    assert!(other.status.success(), "{other:?}");
    Ok(())
}

#[test]
fn duplicates_are_marked_by_a_repair() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    // The same block once more, by a name of its own but made of the first one.
    let copy = "01HZZZZZZZ0000000000000001";
    let (from, to) = (
        scene.path("bucket").join(&scene.id),
        scene.path("bucket").join(copy),
    );
    fs::create_dir_all(to.join("chunks"))?;
    for file in ["index", "chunks/000001"] {
        fs::copy(from.join(file), to.join(file))?;
    }
    let mut meta = scene.meta(&scene.id)?;
    meta["ulid"] = copy.into();
    fs::write(to.join("meta.json"), meta.to_string())?;
    let found = scene.run(&["verify", "--issues=duplicated_compaction", "-o", "json"])?;
    let listed: Value = serde_json::from_slice(&found.stdout)?;
    assert_eq!(
        listed["problems"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    let doomed = listed["problems"][0]["block"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(!scene.is_marked(&doomed));

    // A block that lacks something stands for no other.
    let holder = if doomed == copy { &scene.id } else { copy };
    let segment = scene.path("bucket").join(holder).join("chunks/000001");
    let away = scene.path("away");
    fs::rename(&segment, &away)?;
    let repaired = scene.run(&["verify", "--issues=duplicated_compaction", "-r"])?;
    assert!(repaired.status.success(), "{repaired:?}");
    assert!(!scene.is_marked(&doomed) && !scene.is_marked(holder));
    fs::rename(&away, &segment)?;

    assert!(
        scene
            .run(&["verify", "--issues=duplicated_compaction", "-r"])?
            .status
            .success()
    );
    assert!(scene.is_marked(&doomed));
    assert_eq!(
        text(&scene.run(&["verify", "--issues=duplicated_compaction"])?)?,
        "2 blocks, 0 problems\n"
    );
    Ok(())
}

#[test]
fn old_blocks_are_marked_and_new_ones_uploaded() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    assert!(!scene.run(&["retention"])?.status.success());
    let said = text(&scene.run(&["retention", "--retention.resolution-5m=1d"])?)?;
    assert!(said.starts_with("0 of 1"), "{said}");
    let tried = text(&scene.run(&["retention", "--retention.resolution-raw=1d", "--dry-run"])?)?;
    assert!(
        tried.contains("would be marked") && !scene.is_marked(&scene.id),
        "{tried}"
    );
    text(&scene.run(&["retention", "--retention.resolution-raw=1d"])?)?;
    assert!(scene.is_marked(&scene.id));

    let fresh = scene.path("fresh");
    fs::create_dir(&fresh)?;
    let config = format!("--objstore.config={}", yaml(&fresh));
    let path = format!("--path={}", scene.path("bucket").display());
    let args = [
        "bucket",
        "upload-blocks",
        &config,
        &path,
        "--label",
        "cluster=\"x\"",
    ];
    let said = text(&promontory(&args)?)?;
    assert!(said.contains("is uploaded; 1 of 1 blocks"), "{said}");
    assert!(text(&promontory(&args)?)?.contains("was there already"));
    let inspect = ["bucket", "inspect", &config, "-o", "tsv", "-l", "cluster=x"];
    let shown = text(&promontory(&inspect)?)?;
    assert!(
        shown.contains("\tcluster=x\t") && shown.contains("\tbucket.upload\t"),
        "{shown}"
    );
    let wide = text(&promontory(&["bucket", "ls", &config, "-o", "wide"])?)?;
    assert!(
        wide.contains("Compaction: 1, Downsample: 0, Source: bucket.upload"),
        "{wide}"
    );
    let template = "{{.ULID}} {{.Thanos.Labels.cluster}}";
    let line = text(&promontory(&["bucket", "ls", &config, "-o", template])?)?;
    assert_eq!(line, format!("{} x\n", scene.id));
    Ok(())
}

#[test]
fn a_bucket_has_a_page() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command.args(["bucket", "web", &scene.config, "--label=replica"]);
    command.arg(format!("--http-address=127.0.0.1:{port}"));
    let mut server = Server::start(&mut command, &scene.path("web"))?;
    server.wait_ready(port, "/-/ready", PATIENCE);
    let ask = || -> anyhow::Result<Value> {
        let answer = http::get(port, "/api/v1/blocks")?;
        Ok(serde_json::from_str(&answer.body)?)
    };
    let begin = std::time::Instant::now();
    let mut listed = ask()?;
    while listed["data"]["blocks"] == Value::Array(Vec::new()) && begin.elapsed() < PATIENCE {
        std::thread::sleep(std::time::Duration::from_millis(20));
        listed = ask()?;
    }
    assert_eq!(listed["data"]["blocks"][0]["ulid"], *scene.id);
    assert_eq!(
        (&listed["data"]["label"], &listed["data"]["err"]),
        (&"replica".into(), &Value::Null)
    );
    let page = http::get(port, "/")?;
    assert!(
        page.status == 200 && page.body.contains("api/v1/blocks"),
        "{}",
        page.body
    );
    let policy = page.header("content-security-policy");
    assert!(policy.is_some_and(|policy| policy.contains("script-src 'sha256-")));
    Ok(())
}

#[test]
fn the_compactor_shows_and_marks_blocks() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let (port, grpc) = (free_port(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command.args(["compactor", "--wait", &scene.config]);
    command.arg(format!("--data-dir={}", scene.path("work").display()));
    command.arg(format!("--http-address=127.0.0.1:{port}"));
    command.arg(format!("--grpc-address=127.0.0.1:{grpc}"));
    command.arg("--consistency-delay=0s");
    let mut server = Server::start(&mut command, &scene.path("compactor"))?;
    server.wait_ready(port, "/-/ready", PATIENCE);
    for view in ["loaded", "global"] {
        let begin = std::time::Instant::now();
        let mut listed = Value::Null;
        while listed["data"]["blocks"][0]["ulid"] != *scene.id && begin.elapsed() < PATIENCE {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let answer = http::get(port, &format!("/api/v1/blocks?view={view}"))?;
            listed = serde_json::from_str(&answer.body)?;
        }
        assert_eq!(listed["data"]["blocks"][0]["ulid"], *scene.id, "{view}");
    }
    let form = format!("id={}&action=NO_COMPACTION&detail=why", scene.id);
    let answer = http::post(port, &format!("/api/v1/blocks/mark?{form}"), &[], b"")?;
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert!(
        scene
            .path("bucket")
            .join(&scene.id)
            .join("no-compact-mark.json")
            .exists()
    );
    Ok(())
}
