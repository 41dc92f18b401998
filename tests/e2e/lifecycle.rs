//! The components as processes: what they make of SIGHUP, and how they end when they cannot start.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use promontory_tests::process::Server;
use promontory_tests::{free_port, http};

use crate::component::wait_until;

/// A process of ours, told where it listens and where its data is.
fn begin(
    dir: &Path,
    name: &str,
    (component, args): (&[&str], &[&str]),
) -> anyhow::Result<(Server, u16)> {
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .current_dir(dir)
        .args(component)
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .args(args);
    let server = Server::start(&mut command, &dir.join(format!("{name}.log")))?;
    Ok((server, port))
}

const GRPC: &str = "--grpc-address=127.0.0.1:0";
const BUCKET: &str = "--objstore.config={type: FILESYSTEM, config: {directory: bucket}}";
const INGESTER: &[&str] = &[
    GRPC,
    "--remote-write.address=127.0.0.1:0",
    "--config.file=prometheus.yml",
];

/// Receivers have ports that others may need.
const OFF: &[&str] = &[
    "--opentsdb.address=off",
    "--pushgateway.address=off",
    "--metricbeat.address=off",
    "--lookout.address=off",
    "--lookout.admin-address=off",
];

/// Writes the configuration that [`INGESTER`] reads.
fn configure(dir: &Path, interval: &str) -> anyhow::Result<()> {
    let text = format!("global:\n  scrape_interval: {interval}\n");
    Ok(fs::write(dir.join("prometheus.yml"), text)?)
}

fn shown_config(port: u16) -> anyhow::Result<String> {
    Ok(http::get(port, "/api/v1/status/config")?.body)
}

#[test]
fn a_hangup_ends_nothing_and_is_a_reload_where_there_is_a_configuration() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let prometheus = format!("--prometheus.url=http://127.0.0.1:{}", free_port());
    let components: &[(&[&str], &[&str])] = &[
        (
            &[],
            &[&[GRPC, "--config.file=prometheus.yml"], OFF].concat(),
        ),
        (&["ingester"], &[INGESTER, OFF, &["--tsdb.path=i"]].concat()),
        (&["sidecar"], &[GRPC, &prometheus]),
        (&["store"], &[GRPC, "--data-dir=s", BUCKET]),
        (&["querier"], &[GRPC, "--endpoint=127.0.0.1:1"]),
        (&["compactor"], &["--wait", "--data-dir=c", BUCKET]),
    ];
    configure(dir.path(), "47s")?;
    for (component, args) in components {
        let name = component.first().unwrap_or(&"all-in-one");
        let (mut server, port) = begin(dir.path(), name, (component, args))?;
        let health = if *name == "sidecar" {
            "/-/healthy"
        } else {
            "/-/ready"
        };
        server.wait_ready(port, health, Duration::from_secs(60));
        let reloads = args.contains(&"--config.file=prometheus.yml");
        if reloads {
            ensure!(shown_config(port)?.contains("47s"), "{name}");
            configure(dir.path(), "48s")?;
        }
        server.signal("HUP")?;
        if reloads {
            wait_until("the new configuration", || {
                Ok(shown_config(port)?.contains("48s"))
            })?;
            configure(dir.path(), "47s")?;
        }
        // What would end it does so at once.
        std::thread::sleep(Duration::from_millis(300));
        ensure!(http::get(port, health)?.status == 200, "{name}");
        server.signal("TERM")?;
        wait_until("the end", || Ok(server.has_ended()?))?;
    }
    Ok(())
}

/// Starts a component that cannot, and returns what it said once it ended.
fn failed(dir: &Path, (component, args): (&[&str], &[&str])) -> anyhow::Result<String> {
    let (mut server, _) = begin(dir, "failed", (component, args))?;
    wait_until("the end of what cannot start", || Ok(server.has_ended()?))?;
    let log = server.log();
    ensure!(server.exit_code()? == Some(1), "{log}");
    Ok(log)
}

#[test]
fn what_cannot_start_says_why_and_ends() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    configure(dir, "47s")?;
    let ingester = [INGESTER, OFF, &["--tsdb.path=i"]].concat();
    let (mut first, port) = begin(dir, "ingester", (&["ingester"], &ingester))?;
    first.wait_ready(port, "/-/ready", Duration::from_secs(60));
    let log = failed(dir, (&["ingester"], &ingester))?;
    ensure!(log.contains("in use by process"), "{log}");

    fs::write(dir.join("prometheus.yml"), "scrape_configs: 5\n")?;
    let other = [INGESTER, OFF, &["--tsdb.path=j"]].concat();
    let log = failed(dir, (&["ingester"], &other))?;
    ensure!(log.contains("cannot unmarshal"), "{log}");
    fs::remove_file(dir.join("prometheus.yml"))?;
    let log = failed(dir, (&["ingester"], &other))?;
    ensure!(log.contains("prometheus.yml"), "{log}");

    let compactor = ["--wait", "--data-dir=c", BUCKET];
    let (mut first, port) = begin(dir, "compactor", (&["compactor"], &compactor))?;
    first.wait_ready(port, "/-/ready", Duration::from_secs(60));
    let log = failed(dir, (&["compactor"], &compactor))?;
    ensure!(log.contains("another compactor"), "{log}");
    Ok(())
}
