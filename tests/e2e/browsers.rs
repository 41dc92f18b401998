//! What browsers may do: run our pages and nothing else, and change nothing for pages of other sites.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use promontory_tests::{free_port, http, peer};

use crate::all_in_one::AllInOne;

/// What a page of another site has a browser send.
const FROM_ELSEWHERE: [(&str, &str); 1] = [("Origin", "http://elsewhere.example")];

/// What a page looks like once its script is done, and what the browser had to say.
fn shown(chromium: &Path, dir: &Path, url: &str) -> anyhow::Result<(String, String)> {
    let output = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=20000"])
        .arg(format!("--user-data-dir={}", dir.display()))
        .args(["--dump-dom", url])
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

#[test]
fn the_page_works_under_its_policy() -> anyhow::Result<()> {
    let Some(chromium) = peer("chromium") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    let profile = dir.path().join("profile");
    let url = format!("http://127.0.0.1:{}/?g0.expr=vector(12345)", ours.port);
    let (page, said) = shown(&chromium, &profile, &url)?;
    for part in [">12345</td>", ">local data</td>", "<dt>series</dt>"] {
        ensure!(page.contains(part), "{part} is missing: {page}\n{said}");
    }
    let complaints: Vec<_> = said.lines().filter(|l| l.contains("CONSOLE")).collect();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
fn pages_of_other_sites_read_and_change_nothing() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let flag = r"--web.cors.origin=http://(console|grafana)\.example".to_owned();
    let ours = AllInOne::start_with(dir.path(), free_port(), &[flag])?;
    let page = http::get(ours.port, "/")?;
    let policy = page.header("content-security-policy");
    let policy = policy.context("the page has no policy")?;
    ensure!(
        policy.contains("script-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
    ] {
        ensure!(page.header(name) == Some(value), "{}", page.head);
    }
    for (path, reads) in [
        ("/api/v1/query?query=1", true),
        ("/api/v1/series?match[]=up", true),
        ("/-/reload", false),
        ("/-/quit", false),
        ("/api/v1/admin/tsdb/delete_series?match[]=up", false),
        ("/api/v1/blocks/mark", false),
        ("/api/v1/write", false),
    ] {
        let refused = http::post(ours.port, path, &FROM_ELSEWHERE, b"")?;
        let is_refused = refused
            .body
            .starts_with("a page of http://elsewhere.example");
        ensure!(is_refused != reads, "{path}: {refused:?}");
        ensure!((refused.status == 403) != reads, "{path}: {refused:?}");
        let own = format!("http://127.0.0.1:{}", ours.port);
        for said in [vec![], vec![("Origin", own.as_str())]] {
            let taken = http::post(ours.port, path, &said, b"")?;
            ensure!(!taken.body.starts_with("a page of"), "{path}: {taken:?}");
        }
    }
    let console = [("Origin", "http://console.example")];
    let reloaded = http::post(ours.port, "/-/reload", &console, b"")?;
    ensure!(reloaded.status == 200, "{reloaded:?}");
    let allowed = reloaded.header("access-control-allow-origin");
    ensure!(allowed == Some(console[0].1), "{}", reloaded.head);
    Ok(())
}
