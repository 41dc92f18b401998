use clap::Parser as _;

use super::*;
use crate::dedup::Dedup;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
}

fn config(args: &[&str]) -> Result<Config, String> {
    let args = std::iter::once("querier").chain(args.iter().copied());
    let cli = Cli::try_parse_from(args).map_err(|e| e.to_string())?;
    let memory = Memory {
        bytes: 1 << 30,
        ..Memory::default()
    };
    let environment = Environment::default().with_memory(memory);
    cli.flags.resolve(&environment).map_err(|e| e.to_string())
}

#[test]
fn limits_follow_from_the_machine_where_nothing_is_said() {
    let flags = config(&["--data-dir=x"]).unwrap().effective_flags();
    for (name, value) in [
        ("query.max-memory-bytes", 1 << 28),
        ("query.max-length", 16 << 10),
        ("query.max-nesting", 100),
        ("query.max-operators", 1000),
        ("store.limits.request-series", (1 << 30) / 1600),
        ("store.limits.request-samples", 1 << 28),
    ] {
        assert_eq!(flags[name], value.to_string(), "{name}");
    }
    assert!(flags["query.max-concurrent"].parse::<u32>().unwrap() >= 20);
    let limits = |args: &[&str]| config(args).unwrap().settings.engine.limits;
    let said = limits(&["--data-dir=x", "--query.max-memory-bytes=1MB"]);
    assert_eq!(said.bytes_max, 1 << 20);
    let none = [
        "--data-dir=x",
        "--query.max-memory-bytes=0",
        "--query.max-samples=0",
    ];
    let shown = config(&none).unwrap().effective_flags();
    let shown = ["query.max-memory-bytes", "query.max-samples"].map(|name| shown[name].as_str());
    assert_eq!(shown, ["0", "0"]);
    let none = limits(&none);
    assert_eq!((none.bytes_max, none.samples_max), (u64::MAX, u64::MAX));
}

#[test]
fn flags_become_a_configuration() {
    let config = config(&[
        "--endpoint=a:1",
        "--endpoint-strict=b:2",
        "--endpoint-group=dns+c:3",
        "--query.replica-label=replica,prometheus_replica",
        "--query.replica-label=rule_replica",
        "--deduplication.func=chain",
        "--no-query.partial-response",
        "--query.results-cache-size-mb=1",
    ])
    .unwrap();
    assert_eq!(config.endpoints.endpoints.len(), 3);
    let settings = &config.settings;
    assert_eq!(
        settings.replica_labels,
        ["prometheus_replica", "replica", "rule_replica"]
    );
    assert_eq!(settings.dedup, Dedup::Chain);
    assert!(!settings.partial_response);
    assert_eq!(settings.results_cache_bytes, 1 << 20);
    assert_eq!(settings.store_silence_max, settings.engine.limits.timeout);
    let flags = config.effective_flags();
    assert_eq!(flags["endpoint-strict"], "b:2");
}

#[test]
fn parts_of_promql_are_turned_on_and_a_step_is_chosen_as_in_thanos() {
    let said = [
        "--endpoint=a:1",
        "--enable-feature=,promql-experimental-functions,x",
    ];
    let settings = config(&said).unwrap().settings;
    assert!(settings.syntax().features.experimental_functions);
    assert_eq!(
        settings.dialect.foreign_features().collect::<Vec<_>>(),
        ["x"]
    );
    assert_eq!(settings.default_step_ms, 1_000);
    let alone = config(&["--data-dir=x"]).unwrap().settings;
    assert_eq!((alone.default_step_ms, alone.open_selectors), (0, false));
    let nobody = config(&[]).unwrap();
    assert!(nobody.has_nobody_to_ask());
    let nobody = nobody.settings;
    assert_eq!(
        (nobody.default_step_ms, nobody.open_selectors),
        (1_000, true)
    );
    let plain = config(&said[..1]).unwrap().settings;
    assert!(!plain.syntax().features.experimental_functions);
}

#[test]
fn slow_queries_are_said_as_elsewhere() {
    let slow = |text: &str| {
        let flag = format!("--query-frontend.log-queries-longer-than={text}");
        config(&["--data-dir=x", &flag]).unwrap().log.slow
    };
    assert_eq!(slow("0"), Slow::Never);
    assert_eq!(slow("-1s"), Slow::Always);
    assert_eq!(slow("2s"), Slow::After(Duration::from_secs(2)));
}

#[test]
fn what_cannot_be_used_is_refused() {
    for (args, flag) in [
        (&["--endpoint=a"][..], "--endpoint:"),
        (&["--endpoint=http://a:1"], "--endpoint:"),
        (&["--endpoint-strict=http://a:1"], "--endpoint-strict:"),
        (&["--endpoint-group=http://a:1"], "--endpoint-group:"),
        (&["--endpoint-strict=dns+a:1"], "--endpoint-strict:"),
        (&["--endpoint.sd-config=x: 1"], "--endpoint.sd-config:"),
        (&["--data-dir=x", "--query.timeout=0s"], "--query.timeout:"),
        (
            &["--data-dir=x", "--query.max-concurrent=0"],
            "--query.max-concurrent:",
        ),
        (
            &["--data-dir=x", "--query.max-nesting=251"],
            "--query.max-nesting:",
        ),
        (
            &[
                "--data-dir=x",
                "--query.telemetry.request-samples-quantiles=2",
                "--query.telemetry.request-samples-quantiles=1",
            ],
            "--query.telemetry.request-samples-quantiles:",
        ),
        (
            &["--data-dir=x", "--query.max-length=5GB"],
            "--query.max-length:",
        ),
    ] {
        let error = config(args).unwrap_err();
        assert!(error.starts_with(flag), "{args:?}: {error}");
    }
}
