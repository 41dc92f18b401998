use clap::Parser as _;

use model::Labels;
use runtime::Memory;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn resolve(args: &str) -> Result<Config, String> {
    let args = std::iter::once("ingester").chain(args.split_whitespace());
    let line = Line::try_parse_from(args).map_err(|e| e.to_string())?;
    line.flags
        .resolve(&Environment::default())
        .map_err(|e| e.to_string())
}

#[test]
fn defaults_are_safe() {
    let config = resolve("").unwrap();
    assert_eq!(config.write_address.to_string(), "0.0.0.0:19291");
    assert_eq!(config.tsdb.out_of_order_window_ms, 30 * 60 * 1000);
    assert_eq!(config.tsdb.retention_ms, Some(15 * 24 * 3_600_000));
    assert_eq!(config.tsdb.wal_sync, WalSync::Always);
    assert_eq!(config.receive.tenants.header.as_str(), "thanos-tenant");
    assert_eq!(config.receive.bytes_max, 64 << 20);
    assert_eq!(config.write_http.body_bytes_max, 16 << 20);
    assert_eq!(config.tsdb.head_series_max, 1_500_000);
    let tenants = |said: &str| resolve(said).unwrap().tenants_max;
    assert_eq!(tenants("--receive.tenants-max=7"), 7);
    assert_eq!(tenants("--receive.tenants-max=0"), usize::MAX);
    let memory = Memory {
        bytes: 1 << 30,
        ..Memory::default()
    };
    let line = Line::parse_from(["ingester"]);
    let config = line
        .flags
        .resolve(&Environment::default().with_memory(memory))
        .unwrap();
    assert_eq!(config.tsdb.head_series_max, 1 << 19);
    assert_eq!(config.tenants_max, 1 << 10);
}

#[test]
fn labels_take_the_form_of_thanos() {
    let config = resolve("--label replica=\"a\" --label cluster=eu --tsdb.retention=0s").unwrap();
    let expected = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
    assert_eq!(config.tsdb.labels, expected);
    assert_eq!(config.tsdb.retention_ms, None);
    assert!(resolve("--label replica").unwrap_err().contains("--label"));
    assert!(resolve("--label a.b=c").is_err());
}

#[test]
fn the_write_server_speaks_tls_of_its_own() {
    let config = resolve("--remote-write.server-tls-cert=c --remote-write.server-tls-key=k");
    let config = config.unwrap();
    assert!(config.write_web.tls.is_some() && config.servers.web.tls.is_none());
    assert_eq!(resolve("").unwrap().write_web, WebConfig::default());
}

#[test]
fn configuration_is_looked_at_when_that_is_said() {
    let every = |args: &str| resolve(args).map(|config| config.auto_reload);
    assert_eq!(every(""), Ok(None));
    let half = Some(Duration::from_secs(30));
    assert_eq!(every("--config.auto-reload"), Ok(half));
    let feature = "--enable-feature=exemplar-storage,auto-reload-config";
    assert_eq!(every(feature), Ok(half));
    let five = "--config.auto-reload --config.auto-reload-interval=5s";
    assert_eq!(every(five), Ok(Some(Duration::from_secs(5))));
    assert!(every("--config.auto-reload-interval=10ms").is_err());
}

#[test]
fn sizes_have_units() {
    let config = resolve("--tsdb.max-retention-bytes=10GB").unwrap();
    assert_eq!(config.tsdb.retention_bytes, Some(10 << 30));
    assert_eq!(resolve("").unwrap().tsdb.retention_bytes, None);
}

#[test]
fn rules_for_writes_are_read() {
    let wrong = resolve("--receive.relabel-config=[{action:x}]").unwrap_err();
    assert!(wrong.contains("--receive.relabel-config"), "{wrong}");
    let rules = r#"--receive.relabel-config=[{"regex":"x","action":"labeldrop"}]"#;
    assert_eq!(resolve(rules).unwrap().receive.decode.relabel.len(), 1);
}

#[test]
fn wrong_values_are_named() {
    for (args, named) in [
        (
            "--remote-write.server-tls-cert=c",
            "--remote-write.server-tls-key",
        ),
        ("--receive.tenant-header=a:b", "--receive.tenant-header"),
        ("--receive.body-bytes-max=0", "--receive.body-bytes-max"),
        (
            "--receive.limits-config={write:{x:1}}",
            "--receive.limits-config",
        ),
        (
            "--receive.limits-config-file=/nowhere/x",
            "--receive.limits-config-file",
        ),
        (
            "--remote-write.address=0.0.0.0:10902",
            "--remote-write.address",
        ),
    ] {
        let error = resolve(args).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
