//! `promontory check`: all files of a deployment, and with `--live` what they point to.

use std::fs;
use std::path::Path;
use std::process::Command;

use promontory_tests::free_port;
use promontory_tests::process::Server;
use serde_json::Value;

use crate::block_data;
use crate::component::PATIENCE;
use crate::query_command::promontory;

/// What is said of one thing: check, result, detail.
type Finding = (String, String, String);

/// What a check says of each thing, and its exit code.
fn check(args: &[&str]) -> anyhow::Result<(Vec<Finding>, Option<i32>)> {
    let output = promontory(&[&["check", "-o", "json"], args].concat())?;
    let report: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| anyhow::anyhow!("{e}: {output:?}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["checks"].as_array().cloned().unwrap_or_default();
    let findings = findings
        .iter()
        .map(|f| (text(&f["check"]), text(&f["result"]), text(&f["detail"])));
    Ok((findings.collect(), output.status.code()))
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let file = dir.join(name);
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

/// A flag, and a file for it that is as it must be.
const FILES: [(&str, &str); 11] = [
    (
        "--config.file",
        "rule_files: [good.yml]\nscrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [targets.json]}]\n",
    ),
    (
        "--rule-file",
        "groups: [{name: a, rules: [{record: x, expr: sum(y)}]}]",
    ),
    (
        "--http.config",
        "http_server_config: {headers: {X-Frame-Options: deny}}",
    ),
    (
        "--selector.relabel-config-file",
        "- {action: keep, source_labels: [a], regex: b}",
    ),
    ("--receive.hashrings-file", "[{\"endpoints\": [\"a:1\"]}]"),
    (
        "--receive.limits-config-file",
        "write: {default: {request: {series_limit: 5}}}",
    ),
    ("--request.logging-config-file", "options: {level: DEBUG}"),
    ("--flags-file", "query.max-samples: 7"),
    ("--endpoint.sd-config-file", "endpoints: [{address: 'a:1'}]"),
    ("--store.sd-files", "[{targets: ['a:1']}]"),
    (
        "--objstore.config-file",
        "{type: FILESYSTEM, config: {directory: /nowhere}}",
    ),
];

/// A directory with what the first of the files names.
fn files(rules: &str) -> anyhow::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    write(
        dir.path(),
        "targets.json",
        "[{\"targets\": [\"a:1\", \"b:1\"]}]",
    )?;
    write(dir.path(), "good.yml", rules)?;
    Ok(dir)
}

#[test]
fn every_kind_of_file_is_judged() -> anyhow::Result<()> {
    let dir = files("groups: [{name: a, rules: [{record: x, expr: sum(y)}]}]")?;
    let dir = dir.path();
    for (n, (flag, good)) in FILES.into_iter().enumerate() {
        let file = write(dir, &format!("{n}.yml"), good)?;
        let (findings, code) = check(&[flag, &file])?;
        assert_eq!(code, Some(0), "{flag}: {findings:?}");
        let has_ok = findings.iter().any(|(_, result, _)| result == "ok");
        assert!(has_ok, "{flag}: {findings:?}");
        // None of these forms has such a key.
        let file = write(dir, &format!("{n}.yml"), "no_such_key: [1, 2\n")?;
        let (findings, code) = check(&[flag, &file])?;
        assert_eq!(code, Some(1), "{flag}: {findings:?}");
        let (findings, code) = check(&[flag, "/nowhere/x.yml"])?;
        assert_eq!(code, Some(1), "{flag}: {findings:?}");
    }
    // Nothing to check is a mistake.
    assert!(!promontory(&["check"])?.status.success());
    Ok(())
}

#[test]
fn files_that_others_name_are_judged() -> anyhow::Result<()> {
    let dir = files("groups: [{name: a, rules: [{record: x, expr: sum(}]}]")?;
    let dir = dir.path();
    let config = write(dir, "0.yml", FILES[0].1)?;
    let (findings, code) = check(&["--config.file", &config])?;
    let failed = findings.iter().filter(|(_, result, _)| result == "failed");
    let failed: Vec<_> = failed.collect();
    assert_eq!((failed.len(), code), (1, Some(1)), "{findings:?}");
    assert!(
        failed[0].0 == "rules" && failed[0].2.contains("rule 1"),
        "{failed:?}"
    );
    let has_targets = |(check, _, detail): &Finding| check == "targets" && detail == "2 targets";
    assert!(findings.iter().any(has_targets), "{findings:?}");
    let flags = format!(
        "compactor={}",
        write(dir, "flags.yml", "delete-delay: soon")?
    );
    let (findings, code) = check(&["--flags-file", &flags])?;
    assert!(
        code == Some(1) && findings[0].2.contains("delete-delay"),
        "{findings:?}"
    );
    Ok(())
}

#[test]
fn what_files_point_to_is_used() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let config = block_data::bucket(dir.path())?;
    let (http_port, grpc_port) = (free_port(), free_port());
    let config_flag = format!("--objstore.config={config}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command.args(["store", &config_flag]);
    command.arg(format!("--data-dir={}", dir.path().join("store").display()));
    command.arg(format!("--http-address=127.0.0.1:{http_port}"));
    command.arg(format!("--grpc-address=127.0.0.1:{grpc_port}"));
    let mut store = Server::start(&mut command, &dir.path().join("store-log"))?;
    store.wait_ready(http_port, "/-/ready", PATIENCE);

    let endpoint = format!("--endpoint=127.0.0.1:{grpc_port}");
    let (findings, code) = check(&["--live", &config_flag, &endpoint])?;
    assert_eq!(code, Some(0), "{findings:?}");
    let checks: Vec<&str> = findings.iter().map(|(check, ..)| check.as_str()).collect();
    let expected = [
        "bucket",
        "bucket write",
        "bucket read",
        "bucket range",
        "bucket list",
        "bucket clock",
        "bucket delete",
        "bucket conditions",
        "names",
        "endpoint",
    ];
    assert_eq!(checks, expected);
    let said = &findings[9].2;
    assert!(
        said.starts_with("store, 1 label sets, series from "),
        "{said}"
    );
    // Nothing of it stays.
    let probes = dir.path().join("bucket/promontory/probes");
    assert!(!probes.exists() || fs::read_dir(probes)?.next().is_none());

    // A directory that is no directory, an endpoint that nobody serves.
    let file = dir.path().join("file");
    fs::write(&file, "")?;
    let bad = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: '{}'}}}}",
        file.display()
    );
    let nobody = format!("--endpoint=127.0.0.1:{}", free_port());
    let (findings, code) = check(&["--live", &bad, &nobody])?;
    assert_eq!(code, Some(1), "{findings:?}");
    let failed = |check: &str| {
        findings
            .iter()
            .any(|(c, result, _)| c.starts_with(check) && result == "failed")
    };
    assert!(failed("bucket") && failed("endpoint"), "{findings:?}");
    Ok(())
}
