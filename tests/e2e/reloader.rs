//! A sidecar that has a real Prometheus follow its configuration.

use std::fs;
use std::process::Command;

use promontory_tests::process::Server;
use promontory_tests::{free_port, http};

use crate::component::{PATIENCE, wait_until};
use crate::prometheus::Prometheus;

/// A configuration of this version, as it is before variables are replaced.
fn template(version: &str) -> String {
    format!("global:\n  external_labels:\n    replica: $(REPLICA)\n    version: {version}\n")
}

#[test]
fn prometheus_follows_its_configuration_and_rules() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (port, http_port) = (free_port(), free_port());
    let flags = ["--web.enable-lifecycle"];
    let data = dir.path().join("data");
    let started = Prometheus::start_as(&data, dir.path(), port, "global: {}\n", &flags)?;
    let Some(_prometheus) = started else {
        return Ok(());
    };
    let (source, rules) = (dir.path().join("template.yml"), dir.path().join("rules"));
    fs::write(&source, template("first"))?;
    fs::create_dir(&rules)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .arg("sidecar")
        .env("REPLICA", "a")
        .arg(format!("--prometheus.url=http://127.0.0.1:{port}"))
        .arg(format!("--http-address=127.0.0.1:{http_port}"))
        .arg("--grpc-address=127.0.0.1:0")
        .arg(format!("--reloader.config-file={}", source.display()))
        .arg("--reloader.config-envsubst-file")
        .arg(dir.path().join("prometheus.yml"))
        .arg(format!("--reloader.rule-dir={}", rules.display()))
        .args(["--reloader.watch-interval", "100ms"])
        .args(["--reloader.retry-interval", "100ms"]);
    let mut server = Server::start(&mut command, &dir.path().join("sidecar.log"))?;
    server.wait_ready(http_port, "/-/ready", PATIENCE);

    let has = |text: &str| {
        let config = http::get(port, "/api/v1/status/config");
        Ok(config.is_ok_and(|config| config.body.contains(text)))
    };
    let figure = |name: &str| -> Option<f64> {
        let text = http::get(http_port, "/metrics").ok()?.body;
        let name = format!("thanos_sidecar_reloader_{name} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&name)?.parse().ok())
    };
    wait_until("the first configuration", || has("version: first"))?;
    assert!(has("replica: a")?);

    fs::write(&source, template("second"))?;
    wait_until("the second configuration", || has("version: second"))?;
    wait_until("word of it", || {
        Ok(figure("last_reload_successful") == Some(1.0))
    })?;

    // What cannot be used is tried again until it can.
    fs::write(&source, template("[a list is no label]"))?;
    wait_until("a refusal", || {
        Ok(figure("last_reload_successful") == Some(0.0))
    })?;
    assert!(has("version: second")?);
    fs::write(&source, template("third"))?;
    wait_until("the third configuration", || has("version: third"))?;

    wait_until("rest", || Ok(figure("last_reload_successful") == Some(1.0)))?;
    let before = figure("reloads_total").unwrap_or_default();
    fs::write(rules.join("a.yml"), "groups: []\n")?;
    wait_until("a reload for the rules", || {
        Ok(figure("reloads_total").is_some_and(|now| now > before))
    })?;
    Ok(())
}
