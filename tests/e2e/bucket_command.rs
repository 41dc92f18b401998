//! The `bucket` tools that only look: what they print, for people and for programs, and how they end.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::block_data::{self, END_MS, START_MS};
use crate::query_command::{promontory, text};

/// A bucket in a directory with one block.
struct Scene {
    dir: tempfile::TempDir,
    config: String,
    /// The block's directory in the bucket, and its name.
    block: PathBuf,
    id: String,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = block_data::bucket(dir.path())?;
        let id = block_data::block_id().to_string();
        Ok(Self {
            block: dir.path().join("bucket").join(&id),
            dir,
            config,
            id,
        })
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<Output> {
        let config = format!("--objstore.config={}", self.config);
        promontory(&[&["bucket"], args, &[&config]].concat())
    }

    /// What a tool that succeeds prints as JSON.
    fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let output = self.run(&[args, &["-o", "json"]].concat())?;
        Ok(serde_json::from_str(&text(&output)?)?)
    }

    /// The problems that `verify` finds, as people and as programs read them.
    fn problems(&self, args: &[&str]) -> anyhow::Result<(String, Value)> {
        let args = [&["verify"], args].concat();
        let (shown, listed) = (
            self.run(&args)?,
            self.run(&[&args[..], &["-o", "json"]].concat())?,
        );
        let listed_value: Value = serde_json::from_slice(&listed.stdout)?;
        let is_sound = listed_value["problems"] == json!([]);
        for output in [&shown, &listed] {
            assert_eq!(
                output.status.code(),
                Some(i32::from(!is_sound)),
                "{output:?}"
            );
        }
        Ok((String::from_utf8(shown.stdout)?, listed_value))
    }
}

#[test]
fn blocks_are_listed_for_people_and_programs() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    assert_eq!(text(&scene.run(&["ls"])?)?, format!("{}\n", scene.id));
    let listed = scene.json(&["ls"])?;
    let meta: Value = serde_json::from_slice(&fs::read(scene.block.join("meta.json"))?)?;
    assert_eq!(listed["blocks"], json!([meta]));
    assert_eq!(listed["partial"], json!([]));

    // A block whose upload was not finished is none.
    fs::remove_file(scene.block.join("meta.json"))?;
    assert_eq!(text(&scene.run(&["ls"])?)?, "");
    let listed = scene.json(&["ls"])?;
    assert_eq!(
        (&listed["blocks"], &listed["partial"]),
        (&json!([]), &json!([scene.id]))
    );
    Ok(())
}

#[test]
fn origin_and_content_of_blocks_are_shown() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let inspected = scene.json(&["inspect"])?;
    let block = &inspected["blocks"][0];
    let meta: Value = serde_json::from_slice(&fs::read(scene.block.join("meta.json"))?)?;
    assert_eq!(block["ulid"], json!(scene.id));
    assert_eq!(block["labels"], json!({ "replica": "a" }));
    assert_eq!(block["source"], "sidecar");
    assert_eq!(
        (&block["level"], &block["resolution_ms"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(block["marks"], json!([]));
    for (name, of_meta) in [
        ("series", "numSeries"),
        ("samples", "numSamples"),
        ("chunks", "numChunks"),
    ] {
        assert_eq!(block[name], meta["stats"][of_meta], "{name}");
        assert!(block[name].as_u64() > Some(0), "{block}");
    }
    let min = block["min_time"].as_i64();
    assert!(
        min >= Some(START_MS) && block["max_time"].as_i64() <= Some(END_MS),
        "{block}"
    );
    let files = ["meta.json", "index", "chunks/000001"];
    let sizes = files.map(|name| fs::metadata(scene.block.join(name)).map_or(0, |m| m.len()));
    assert_eq!(block["size_bytes"], json!(sizes.iter().sum::<u64>()));

    let table = text(&scene.run(&["inspect"])?)?;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(
        lines[0].starts_with("ULID") && lines[0].contains("LABELS"),
        "{table}"
    );
    let samples = block["samples"].to_string();
    for word in [&*scene.id, "replica=a", "sidecar", &samples] {
        assert!(
            lines[1].split_whitespace().any(|found| found == word),
            "{word}: {table}"
        );
    }
    Ok(())
}

#[test]
fn damage_is_found_and_told_by_the_exit_code() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    for args in [&[][..], &["--deep"]] {
        let (shown, listed) = scene.problems(args)?;
        assert_eq!(shown, "1 blocks, 0 problems\n");
        assert_eq!(listed, json!({ "blocks": 1, "problems": [] }));
    }

    // A chunk whose bytes changed is seen only by who reads it.
    let segment = scene.block.join("chunks/000001");
    let sound = fs::read(&segment)?;
    let mut damaged = sound.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    fs::write(&segment, damaged)?;
    assert_eq!(scene.problems(&[])?.0, "1 blocks, 0 problems\n");
    let (shown, listed) = scene.problems(&["--deep"])?;
    assert!(shown.starts_with(&scene.id), "{shown}");
    assert_eq!(listed["problems"][0]["block"], json!(scene.id));
    // Of another block nothing is said.
    let other = "--id=01HZZZZZZZ0000000000000001";
    assert_eq!(scene.problems(&["--deep", other])?.1["problems"], json!([]));
    let this = format!("--id={}", scene.id);
    let (again, _) = scene.problems(&["--deep", &this])?;
    assert_eq!(again.lines().count(), shown.lines().count(), "{again}");
    fs::write(&segment, sound)?;

    // What is missing the listing says.
    let index = scene.block.join("index");
    let cut = fs::metadata(&index)?.len() - 1;
    fs::OpenOptions::new()
        .write(true)
        .open(&index)?
        .set_len(cut)?;
    let (shown, _) = scene.problems(&[])?;
    let expected = format!(
        "{}: index has {cut} bytes, where meta.json says {} (files)\n",
        scene.id,
        cut + 1
    );
    assert!(shown.starts_with(&expected), "{shown}");
    fs::remove_file(&index)?;
    assert!(scene.problems(&[])?.0.contains("there is no index"));
    Ok(())
}

#[test]
fn a_bucket_that_cannot_be_had_is_told() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let file = scene.dir.path().join("bucket.yml");
    fs::write(&file, &scene.config)?;
    let by_file = format!("--objstore.config-file={}", file.display());
    for tool in ["ls", "inspect", "verify"] {
        assert!(promontory(&["bucket", tool, &by_file])?.status.success());
        for (args, said) in [
            (&["--objstore.config={type: NONE}"][..], "NONE"),
            (&[][..], "objstore.config"),
            (&["--objstore.config-file=none.yml"][..], "none.yml"),
        ] {
            let output = promontory(&[&["bucket", tool], args].concat())?;
            assert!(!output.status.success(), "{tool} {args:?}");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.contains(said), "{tool} {args:?}: {errors}");
            assert!(output.stdout.is_empty(), "{tool} {args:?}");
        }
        let output = scene.run(&[tool, "-o", "yaml"])?;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    Ok(())
}
