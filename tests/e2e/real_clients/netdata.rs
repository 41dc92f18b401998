//! netdata, which writes to an OpenTSDB in lines and over HTTP.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{free_port, peer};

use super::Receivers;

/// A collector of netdata whose two dimensions always have the same values.
const COLLECTOR: &str = "\
#!/bin/sh
echo 'CHART known.chart \"\" \"Known values\" things known known.chart line 1000 1'
echo 'DIMENSION first \"\" absolute 1 1'
echo 'DIMENSION second \"\" absolute 1 4'
while :; do
    printf 'BEGIN known.chart\\nSET first = 42\\nSET second = 7\\nEND\\n'
    sleep 1
done
";

/// netdata's configuration, with all its files in `dir` and no collector but [`COLLECTOR`].
fn config(dir: &Path, port: u16) -> String {
    let at = dir.display();
    format!(
        "\
[global]
    run as user = root
    memory mode = ram
    config directory = {at}/config
    plugins directory = \"{at}/plugins\"
    cache directory = {at}/cache
    lib directory = {at}/lib
    log directory = {at}/log
    hostname = h1
[directories]
    config = {at}/config
    plugins = \"{at}/plugins\"
    cache = {at}/cache
    lib = {at}/lib
    log = {at}/log
[web]
    bind to = 127.0.0.1:{port}
[plugins]
    proc = no
    diskspace = no
    cgroups = no
    tc = no
    idlejitter = no
    checks = no
    timex = no
    statsd = no
    enable running new plugins = no
    netdata monitoring = no
    known = yes
[ml]
    enabled = no
[health]
    enabled = no
[registry]
    enabled = no
"
    )
}

/// The configuration of its exporters to an OpenTSDB.
fn exporting(opentsdb: u16) -> String {
    let exporter = |kind: &str, prefix: &str| {
        format!(
            "\
[{kind}:{prefix}]
    enabled = yes
    destination = 127.0.0.1:{opentsdb}
    data source = as collected
    prefix = {prefix}
    hostname = h1
    update every = 1
    send charts matching = known.*
"
        )
    };
    let (lines, http) = (
        exporter("opentsdb", "lines"),
        exporter("opentsdb:http", "http"),
    );
    format!("[exporting:global]\n    enabled = yes\n    update every = 1\n{lines}{http}")
}

#[test]
fn netdata_writes_known_values_both_ways() -> anyhow::Result<()> {
    let Some(program) = peer("netdata") else {
        return Ok(());
    };
    let receivers = Receivers::start()?;
    let dir = receivers.dir();
    for name in ["plugins", "cache", "lib", "log", "config"] {
        fs::create_dir(dir.join(name))?;
    }
    let collector = dir.join("plugins/known.plugin");
    fs::write(&collector, COLLECTOR)?;
    fs::set_permissions(&collector, fs::Permissions::from_mode(0o755))?;
    let config = config(dir, free_port());
    fs::write(dir.join("netdata.conf"), config)?;
    let exporting = exporting(receivers.opentsdb);
    fs::write(dir.join("config/exporting.conf"), exporting)?;
    let mut command = Command::new(program);
    command.arg("-D").arg("-c").arg(dir.join("netdata.conf"));
    let server = Server::start(&mut command, &dir.join("netdata.log"))?;
    for prefix in ["lines", "http"] {
        let selector = format!(r#"{{__name__=~"{prefix}[.].*"}}"#);
        let is_there = |found: &[serde_json::Value]| {
            let mut values = found
                .iter()
                .filter_map(|series| series["values"].as_array());
            found.len() == 2 && values.all(|values| values.len() >= 3)
        };
        let found = receivers.wait_for(&selector, is_there);
        let found = found.with_context(|| server.log())?;
        for series in found {
            let name = series["metric"]["__name__"].as_str().unwrap_or_default();
            let expected = match name.rsplit('.').next() {
                Some("first") => "42",
                Some("second") => "7",
                other => anyhow::bail!("a dimension {other:?}"),
            };
            ensure!(series["metric"]["host"] == "h1", "{series}");
            let values = series["values"].as_array().context("no values")?;
            let values: BTreeSet<_> = values.iter().map(|point| point[1].as_str()).collect();
            ensure!(
                values == BTreeSet::from([Some(expected)]),
                "{name}: {values:?}"
            );
        }
    }
    Ok(())
}
