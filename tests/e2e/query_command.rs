//! `promontory query` beside `promtool query`, `check` and the tools that write to buckets.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use promontory_tests::remote_write::{self, Series};
use promontory_tests::{free_port, now_ms, peer};
use serde_json::{Value, json};

use crate::all_in_one::AllInOne;
use crate::prometheus::Prometheus;

const INPUT: &str = "# TYPE requests counter
requests_total{code=\"200\",job=\"a\\\"b\"} 1 1600000000
requests_total{code=\"500\",job=\"x\"} 2.5 1600000000
requests_total{code=\"200\",job=\"a\\\"b\"} 3 1600000060
requests_total{code=\"500\",job=\"x\"} NaN 1600000060
# EOF
";

/// Runs the binary.
pub(crate) fn promontory(args: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    Ok(command.args(args).output()?)
}

/// What a tool printed that succeeded.
pub(crate) fn text(output: &Output) -> anyhow::Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{errors}");
    Ok(String::from_utf8(output.stdout.clone())?)
}

/// Runs a program that reads `input` from its standard input.
pub(crate) fn piped(program: &Path, args: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("piped");
    // On a thread: a program may print before it has read everything.
    let input = input.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writing.join().expect("writing does not panic")?;
    Ok(output)
}

/// Lines in any order, which Prometheus does not promise; of nothing promtool prints an empty one.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn answers_look_as_promtool_shows_them() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (input, data) = (dir.path().join("input.om"), dir.path().join("data"));
    std::fs::write(&input, INPUT)?;
    let paths = [input.display().to_string(), data.display().to_string()];
    text(&promontory(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        &paths[0],
        &paths[1],
    ])?)?;
    let Some(prometheus) = Prometheus::start(&data, dir.path())? else {
        return Ok(());
    };
    let Some(promtool) = peer("promtool") else {
        return Ok(());
    };
    let url = format!("http://127.0.0.1:{}", prometheus.port());
    let times = ["--start=1600000000", "--end=1600000060"];
    for args in [
        &["instant", "--time=1600000060.5", &url, "requests_total"][..],
        &[
            "instant",
            "--time=1600000060",
            &url,
            "sum by (code) (requests_total)",
        ],
        &["instant", "--time=1600000060", &url, "1 + 2"],
        &[
            "instant",
            "--time=2020-09-13T12:27:40Z",
            &url,
            "requests_total[2m]",
        ],
        &["instant", "--time=5", &url, "nothing"],
        &[
            "range",
            times[0],
            times[1],
            "--step=30s",
            &url,
            "requests_total",
        ],
        &["series", "--match=requests_total", times[0], times[1], &url],
        &[
            "series",
            "--match={code=\"200\"}",
            "--match={job=\"x\"}",
            times[0],
            times[1],
            &url,
        ],
        &["labels", times[0], times[1], &url, "job"],
    ] {
        let ours = text(&promontory(&[&["query"], args].concat())?)?;
        let theirs = Command::new(&promtool).arg("query").args(args).output()?;
        assert_eq!(lines(&ours), lines(&text(&theirs)?), "{args:?}");
    }
    let json = text(&promontory(&["query", "instant", &url, "1", "-o", "json"])?)?;
    assert!(json.starts_with('[') && json.contains("\"1\""), "{json}");
    let names = text(&promontory(&["query", "labels", &url])?)?;
    assert!(names.contains("__name__"), "{names}");

    let wrong = promontory(&["query", "instant", &url, "sum("])?;
    assert_eq!(wrong.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&wrong.stderr);
    assert!(errors.contains("parse error"), "{errors}");
    let nobody = promontory(&["query", "instant", "127.0.0.1:1", "up"])?;
    let errors = String::from_utf8_lossy(&nobody.stderr);
    assert!(errors.contains("cannot be reached"), "{errors}");
    Ok(())
}

#[test]
fn answers_are_json_for_programs() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    let url = format!("http://127.0.0.1:{}", ours.port);
    let t = now_ms() / 1000 - 60;
    let known = [("__name__", "known"), ("job", "a")];
    let series = Series {
        labels: known.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        samples: vec![(t * 1000, 1.5), (t * 1000 + 15_000, 2.0)],
    };
    let sent = remote_write::send(ours.port, "/api/v1/write", &[series])?;
    anyhow::ensure!(sent.status / 100 == 2, "{sent:?}");
    let metric = json!({ "__name__": "known", "job": "a" });
    let at = |seconds: i64| format!("--time={}", t + seconds);
    let (start, end) = (format!("--start={t}"), format!("--end={}", t + 15));
    let values = json!([[t, "1.5"], [t + 15, "2"]]);
    for (args, expected) in [
        (
            &["instant", &at(20), &url, "known"][..],
            json!([{ "metric": metric, "value": [t + 20, "2"] }]),
        ),
        (
            &["instant", &at(20), &url, "known[1m]"],
            json!([{ "metric": metric, "values": values }]),
        ),
        (&["instant", &at(0), &url, "1 + 1"], json!([t, "2"])),
        (&["instant", &at(0), &url, "nothing"], json!([])),
        (
            &["range", &start, &end, "--step=15s", &url, "known"],
            json!([{ "metric": metric, "values": values }]),
        ),
        (
            &["series", "--match=known", &start, &end, &url],
            json!([metric]),
        ),
        (
            &["labels", "--match=known", &start, &end, &url],
            json!(["__name__", "job"]),
        ),
        (
            &["labels", "--match=known", &start, &end, &url, "job"],
            json!(["a"]),
        ),
    ] {
        for format in ["--output=json", "--format=json"] {
            let printed = text(&promontory(&[&["query"], args, &[format]].concat())?)?;
            let found: Value = serde_json::from_str(&printed)?;
            assert_eq!(found, expected, "{args:?}");
        }
    }
    for (args, code, said) in [
        (&["range", &url, "sum("][..], 1, "parse error"),
        (&["series", "--match={", &url], 1, "parse error"),
        (&["labels", "127.0.0.1:1"], 1, "cannot be reached"),
        (&["series", &url], 2, "--match"),
        (&["instant", &url, "known", "-o", "yaml"], 2, "yaml"),
        (&["range", "--start=x", &url, "known"], 2, "--start"),
    ] {
        let output = promontory(&[&["query"], args].concat())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(said), "{args:?}: {errors}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    Ok(())
}

#[test]
fn checks_tell_by_the_exit_code() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        let file = dir.path().join(name);
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let good = file("good.yml", "scrape_configs: [{job_name: a}]\n")?;
    let bad = file("bad.yml", "scrape_configs:\n- job: a\n")?;
    let missing = dir.path().join("none.yml").display().to_string();
    for (tool, files, code, said) in [
        ("config", &[&*good][..], 0, &["good.yml", "SUCCESS"][..]),
        (
            "config",
            &[&good, &bad],
            1,
            &["good.yml", "bad.yml", "line 2"],
        ),
        ("config", &[&missing], 1, &["none.yml"]),
        ("config", &[], 2, &["FILE"]),
        ("web-config", &[&bad], 1, &["bad.yml"]),
        ("web-config", &[&missing], 1, &["none.yml"]),
    ] {
        let output = promontory(&[&["check", tool], files].concat())?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed)?;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{tool} {files:?}: {printed}"
        );
        for word in said {
            assert!(printed.contains(word), "{tool} {files:?}: {printed}");
        }
    }
    let ours = Path::new(env!("CARGO_BIN_EXE_promontory"));
    for (metrics, code, said) in [
        (
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n",
            0,
            "",
        ),
        ("# TYPE requests counter\nrequests 1\n", 3, "requests"),
        ("a{ 1\n", 1, "cannot be read"),
    ] {
        let output = piped(ours, &["check", "metrics"], metrics)?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed)?;
        assert_eq!(output.status.code(), Some(code), "{metrics}: {printed}");
        assert!(printed.contains(said), "{metrics}: {printed}");
    }
    Ok(())
}

#[test]
fn plans_are_shown_as_a_tree() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    let url = format!("http://127.0.0.1:{}", ours.port);
    for kind in ["instant", "range"] {
        let plan = text(&promontory(&[
            "query",
            kind,
            "--explain",
            &url,
            "sum(up) / sum(x)",
        ])?)?;
        let depths: Vec<_> = plan
            .lines()
            .map(|line| line.len() - line.trim_start().len())
            .collect();
        assert_eq!(depths, [0, 2, 4, 2, 4], "{plan}");
        let names: Vec<_> = plan.match_indices("__name__=").collect();
        assert!(
            plan.find("\"up\"") < plan.find("\"x\"") && names.len() == 2,
            "{plan}"
        );
    }
    Ok(())
}

#[test]
fn blocks_are_marked_and_cleaned_up() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let id = "01HZZZZZZZ0000000000000000";
    let block = dir.path().join(id);
    std::fs::create_dir_all(block.join("chunks"))?;
    let meta = format!(
        "{{\"version\":1,\"ulid\":\"{id}\",\"minTime\":0,\"maxTime\":1000,\
         \"stats\":{{}},\"compaction\":{{\"level\":1,\"sources\":[\"{id}\"]}},\
         \"thanos\":{{\"labels\":{{\"a\":\"b\"}},\"downsample\":{{\"resolution\":0}},\"source\":\"test\"}}}}"
    );
    std::fs::write(block.join("meta.json"), meta)?;
    std::fs::write(block.join("index"), "x")?;
    std::fs::write(block.join("chunks/000001"), "x")?;
    let config = format!(
        "--objstore.config=type: FILESYSTEM\nconfig:\n  directory: {}\n",
        dir.path().display()
    );
    let tool = |args: &[&str]| text(&promontory(&[&["bucket"], args, &[&config]].concat())?);
    let id_flag = format!("--id={id}");
    let mark =
        |marker: &str, more: &str| tool(&["mark", &id_flag, &format!("--marker={marker}"), more]);
    for marker in [
        "no-compact-mark.json",
        "no-downsample-mark.json",
        "deletion-mark.json",
    ] {
        assert!(mark(marker, "--details=why")?.contains("is marked"));
        let json = std::fs::read_to_string(block.join(marker))?;
        assert!(json.contains("why") && json.contains(id), "{json}");
        assert!(mark(marker, "--details=again")?.contains("was marked already"));
    }
    assert_eq!(tool(&["ls", "--exclude-delete"])?, "");
    assert!(mark("deletion-mark.json", "--remove")?.contains("not marked any more"));
    assert!(!block.join("deletion-mark.json").exists());
    assert!(tool(&["ls", "--exclude-delete"])?.contains(id));
    let unknown = [
        "mark",
        "--id=01HZZZZZZZ0000000000000001",
        "--marker=deletion-mark.json",
    ];
    assert!(tool(&[&unknown[..], &["--details=x"]].concat()).is_err());

    mark("deletion-mark.json", "--details=why")?;
    let waiting = tool(&["cleanup"])?;
    assert!(waiting.contains("0 due, 0 failed; 1 marked"), "{waiting}");
    let mark = std::fs::read_to_string(block.join("deletion-mark.json"))?;
    let old = mark.replace("\"deletion_time\":1", "\"deletion_time\":");
    std::fs::write(block.join("deletion-mark.json"), old)?;
    assert!(tool(&["cleanup", "--dry-run"])?.contains("would be deleted"));
    let cleaned = tool(&["cleanup"])?;
    assert!(
        cleaned.contains("1 of 1") && cleaned.contains("blocks/s"),
        "{cleaned}"
    );
    assert!(!block.join("meta.json").exists());
    Ok(())
}

#[test]
fn files_and_metrics_are_checked() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let check = |name: &str, yaml: &str| -> anyhow::Result<Output> {
        let file = dir.path().join(name);
        std::fs::write(&file, yaml)?;
        promontory(&["check", "config", &file.display().to_string()])
    };
    let good = text(&check("good.yml", "scrape_configs: [{job_name: a}]\n")?)?;
    assert!(good.contains("SUCCESS"), "{good}");
    let bad = check("bad.yml", "scrape_configs: [{job: a}]\n")?;
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stdout).contains("FAILED"));

    let web = dir.path().join("web.yml");
    std::fs::write(&web, "tls_server_config: {cert_file: a}\n")?;
    let bad = promontory(&["check", "web-config", &web.display().to_string()])?;
    assert_eq!(bad.status.code(), Some(1));
    std::fs::write(&web, "")?;
    text(&promontory(&[
        "check",
        "web-config",
        &web.display().to_string(),
    ])?)?;

    let lint = |program: &Path, metrics: &str| -> anyhow::Result<(Vec<String>, Option<i32>)> {
        let output = piped(program, &["check", "metrics"], metrics)?;
        // promtool says on standard error what we say on standard output.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said)?;
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        Ok((lines, output.status.code()))
    };
    let ours = Path::new(env!("CARGO_BIN_EXE_promontory"));
    let Some(promtool) = peer("promtool") else {
        return Ok(());
    };
    for metrics in [
        "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n",
        "# TYPE requests counter\nrequests 1\n",
        "# HELP aB_milliseconds Time.\n# TYPE aB_milliseconds gauge\naB_milliseconds 1\n",
        "# HELP a_gauge_total Things.\n# TYPE a_gauge_total gauge\na_gauge_total{le=\"1\"} 1\n",
        "# HELP x_ms Time.\n# TYPE x_ms gauge\nx_ms{someLabel=\"1\"} 1\n",
    ] {
        assert_eq!(lint(ours, metrics)?, lint(&promtool, metrics)?, "{metrics}");
    }
    Ok(())
}
