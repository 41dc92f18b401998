//! Every block of commands in README.md and deploy/README.md that is marked `sh` runs as it stands, in
//! one directory, one after the other; but for ports, of which free ones are taken.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::{free_port, peer, workspace_root};

/// How long a block may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// What stands before each port.
const HOST: &str = "127.0.0.1:";

/// The blocks of a page that are marked with a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}");
    let mut lines = page.lines();
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == begin) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push(block.join("\n"));
    }
    found
}

/// The block with a free port for each port, the same for the same one.
fn with_free_ports(block: &str, ports: &mut BTreeMap<String, u16>) -> String {
    let mut parts = block.split(HOST);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        let port = ports
            .entry(part[..end].to_owned())
            .or_insert_with(free_port);
        text.push_str(&format!("{HOST}{port}{}", &part[end..]));
    }
    text
}

/// Runs a block in `dir`, and ends whatever it started.
fn run(dir: &Path, block: &str, http_port: u16) -> anyhow::Result<()> {
    let log = dir.join("block.log");
    let out = fs::File::create(&log)?;
    let script = format!(
        "set -euo pipefail\nexport PATH=\"$BIN:$PATH\"\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{block}\n"
    );
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir)
        .env("BIN", dir.join("bin"))
        // Of the process of all components, whose defaults are fixed ports.
        .env("PROMONTORY_HTTP_ADDRESS", format!("{HOST}{http_port}"))
        .env("PROMONTORY_GRPC_ADDRESS", "127.0.0.1:0")
        .stdin(Stdio::null())
        // So that all of it can be ended: the shell alone waits for what runs in the foreground.
        .process_group(0)
        .stderr(out.try_clone()?)
        .stdout(out)
        .spawn()
        .context("start bash")?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if begin.elapsed() > PATIENCE => {
                let group = format!("-{}", child.id());
                let _ = Command::new("kill").args(["--", &group]).status();
                break child.wait()?;
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let said = fs::read_to_string(&log)?;
    ensure!(status.success(), "{status}:\n{block}\n{said}");
    ensure!(!said.trim().is_empty(), "nothing is said by:\n{block}");
    Ok(())
}

#[test]
fn documented_commands_work() -> anyhow::Result<()> {
    if peer("curl").is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    fs::create_dir(dir.join("bin"))?;
    symlink(env!("CARGO_BIN_EXE_promontory"), dir.join("bin/promontory"))?;
    let root = workspace_root();
    fs::copy(
        root.join("docs/examples/requests.om"),
        dir.join("requests.om"),
    )?;
    let mut ports = BTreeMap::new();
    let http_port = *ports.entry("9090".to_owned()).or_insert_with(free_port);
    let mut count = 0;
    for page in ["README.md", "deploy/README.md"] {
        let text = fs::read_to_string(root.join(page))?;
        for block in blocks(&text, "sh") {
            let block = with_free_ports(&block, &mut ports);
            run(dir, &block, http_port).with_context(|| page.to_owned())?;
            count += 1;
        }
    }
    ensure!(count >= 3, "only {count} blocks were found");
    Ok(())
}
