//! Flags of Thanos on command lines of ours, as far as the start goes.

use std::process::Command;

use promontory_tests::http::{self, encode};

use crate::component::{Component, wait_until};

/// The exit code and standard error of the binary with these arguments, which end it at once.
fn ended(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_promontory"))
        .args(args)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn what_would_do_harm_stops_the_start() {
    for (args, said) in [
        (
            ["ingester", "--receive.hashrings-file=rings.json"],
            "--receive.hashrings-file: series are not spread",
        ),
        (
            ["querier", "--selector.relabel-config-file=a.yaml"],
            "--selector.relabel-config-file: a querier answers over all",
        ),
        (
            ["querier", "--store=127.0.0.1:10901"],
            "--store: as in Thanos there is no such flag any more; name the address by --endpoint",
        ),
        (
            ["querier", "--query.tenant-certificate-field=CN"],
            "--query.tenant-certificate-field: tenants are not told",
        ),
        (
            ["compactor", "--compact.concurency=2"],
            "unexpected argument",
        ),
    ] {
        let (code, error) = ended(&args);
        assert_eq!(code, Some(2), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
    }
}

#[test]
fn foreign_flags_are_warned_of_and_switches_have_opposites() {
    let args = [
        "store",
        "--tracing.config=type: JAEGER",
        "--grpc-server-tls-ciphers=x",
        "--log.format=journald",
        "--store.brand-new",
        "5",
        "--no-enable-auto-gomemlimit",
    ];
    let (code, error) = ended(&args);
    assert_eq!(code, Some(1), "{error}");
    for said in [
        "--tracing.config",
        "--grpc-server-tls-ciphers",
        "--store.brand-new",
        "--objstore.config-file: name the bucket",
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
    let (_, error) = ended(&[
        "querier",
        "--no-query.auto-downsampling",
        "--no-query.enforce-tenancy",
        "--endpoint=http://a:10902",
    ]);
    assert!(error.contains("--endpoint: "), "{error}");
    assert!(error.contains("write \"a:10902\""), "{error}");
}

#[test]
fn a_querier_with_nobody_to_ask_answers_nothing() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let querier = Component::start(dir.path(), "querier", &[])?;
    assert!(querier.log().contains("there is nobody to ask"));
    for path in ["/api/v1/query?query=up", "/api/v1/labels"] {
        let answer = http::get(querier.http, path)?;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.contains("warnings"), "{answer:?}");
    }
    Ok(())
}

#[test]
fn a_receiver_of_a_hashring_starts_and_says_that_it_is_alone() {
    let (code, error) = ended(&[
        "receive",
        "--receive.hashrings-file",
        "rings.json",
        "--receive.local-endpoint=127.0.0.1:10901",
        "--receive.replication-factor=3",
        "--receive.limits-config=7",
    ]);
    assert_eq!(code, Some(1), "{error}");
    for said in [
        "flag=receive.hashrings-file reason=\"series are not spread",
        "flag=receive.replication-factor reason=\"what is sent here is stored here only, once",
        "error: --receive.limits-config",
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
    assert_eq!(error.matches("level=error").count(), 2, "{error}");
}

#[test]
fn the_one_process_takes_flags_of_its_parts() {
    let args = [
        "--tracing.config=x",
        "--enable-auto-gomemlimit",
        "--receive.labels-max=5",
        "--query.replica-label=a",
        "--retention.resolution-raw=1h",
    ];
    let (code, error) = ended(&args);
    assert_eq!(code, Some(1), "{error}");
    let said = "--retention.resolution-raw: keep raw samples for 40h";
    assert!(error.contains(said), "{error}");
}

#[test]
fn queries_that_did_not_finish_are_told_after_a_crash() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let args = [format!(
        "--query.active-query-path={}",
        dir.path().display()
    )];
    let mut querier = Component::start(dir.path(), "querier", &args)?;
    let port = querier.http;
    let query = encode("count_over_time(vector(time())[20d:1s])");
    let asking = std::thread::spawn(move || {
        while http::get(port, &format!("/api/v1/query?query={query}")).is_ok() {}
    });
    let file = dir.path().join("queries.active");
    wait_until("a query in the file", || {
        Ok(std::fs::read_to_string(&file)?.contains("count_over_time"))
    })?;
    querier.kill();
    assert!(asking.join().is_ok());
    querier.restart()?;
    let log = querier.log();
    assert!(log.contains("these queries did not finish"), "{log}");
    assert!(
        log.contains("count_over_time(vector(time())[20d:1s])"),
        "{log}"
    );
    assert!(!std::fs::read_to_string(&file)?.contains("count_over_time"));
    Ok(())
}
