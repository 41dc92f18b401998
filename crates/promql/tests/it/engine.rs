//! Limits, cancellation, executors and explanations of the engine.

use std::sync::Arc;
use std::time::Duration;

use model::{ErrorKind, Labels};
use promql::columns::{StepValue, Steps};
use promql::executor::{Executor, Sequential};
use promql::limits::Cancellation;
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::testing::MemoryStorage;
use promql::testing::storage::LoadedSeries;
use promql::value::QueryResult;
use promql::{Engine, Error, Options, Query};

const STEP_MS: i64 = 15_000;

/// 60 counters at 15 s, an hour long, with resets.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for i in 0..60i64 {
        let (job, pod) = (format!("job-{}", i % 3), format!("pod-{i}"));
        let value = |k: i64| ((k * (i + 3)) % 997) as f64 * 0.1;
        storage.append(LoadedSeries {
            labels: Labels::from_pairs([("__name__", "x_total"), ("job", &job), ("pod", &pod)]),
            samples: (0..240)
                .map(|k| (k * STEP_MS, 0, StepValue::Float(value(k))))
                .collect(),
        });
    }
    storage
}

fn run(
    options: &Options,
    text: &str,
    cancellation: Cancellation,
    executor: &dyn Executor,
) -> Result<QueryResult, Error> {
    let expr = parse_expr(text, ParseOptions::all_features()).expect("the query is valid");
    Engine::new(options.clone()).run(
        &storage(),
        &Query {
            expr: &expr,
            text,
            steps: Steps::range(600_000, 3_000_000, 60_000),
            is_instant: false,
            cancellation,
            executor,
        },
    )
}

fn refused(change: impl Fn(&mut Options), text: &str) -> Error {
    let mut options = Options::default();
    change(&mut options);
    run(&options, text, Cancellation::new(), &Sequential).expect_err("a limit stops it")
}

#[test]
fn limits_stop_a_query_and_say_which() {
    let error = refused(|o| o.limits.samples_max = 100, "rate(x_total[5m])");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    let error = refused(|o| o.limits.bytes_max = 4096, "quantile(0.5, x_total)");
    assert!(
        error.to_string().contains("more than 4096 bytes"),
        "{error}"
    );
    let error = refused(|o| o.limits.steps_max = 40, "x_total");
    assert!(
        error
            .to_string()
            .contains("maximum resolution of 40 points"),
        "{error}"
    );
    let error = refused(
        |o| o.limits.subquery_steps_max = 1000,
        "max_over_time(x_total[1h:1s])",
    );
    assert!(
        matches!(error, Error::TooManySteps { limit: 1000 }),
        "{error}"
    );
    let error = refused(|o| o.limits.timeout = Duration::ZERO, "sum(x_total)");
    assert_eq!(error.to_string(), "query timed out in query execution");
}

#[test]
fn an_aggregation_holds_groups_not_series() {
    let mut options = Options::default();
    // 41 steps of 3 groups fit, 41 steps of 60 series do not.
    options.limits.samples_max = 41 * 10;
    let query = "sum by (job) (rate(x_total[5m]))";
    let result = run(&options, query, Cancellation::new(), &Sequential).unwrap();
    assert!(result.stats.samples_peak <= 41 * 6, "{:?}", result.stats);
    assert_eq!(result.stats.series, 60);
    assert!(
        run(
            &options,
            "rate(x_total[5m])",
            Cancellation::new(),
            &Sequential
        )
        .is_err()
    );
}

#[test]
fn a_cancelled_query_stops() {
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let result = run(&Options::default(), "x_total", cancellation, &Sequential);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
}

/// Runs jobs on threads of their own.
#[derive(Debug)]
struct Threads;

impl Executor for Threads {
    fn width(&self) -> usize {
        3
    }

    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for i in 0..count {
                scope.spawn(move || job(i));
            }
        });
    }
}

#[test]
fn threads_change_no_bit_of_a_result() {
    for text in [
        "sum by (job) (rate(x_total[5m]))",
        "avg(x_total)",
        "stddev by (job) (x_total * 0.1)",
        "topk(3, increase(x_total[10m]))",
        "x_total",
    ] {
        let run = |executor| run(&Options::default(), text, Cancellation::new(), executor).unwrap();
        assert_eq!(run(&Threads).value, run(&Sequential).value, "{text}");
    }
}

#[test]
fn samples_are_counted_by_step() {
    let options = Options {
        per_step_stats: true,
        ..Options::default()
    };
    let query = "sum(x_total)";
    let stats = run(&options, query, Cancellation::new(), &Sequential)
        .unwrap()
        .stats;
    assert_eq!(stats.samples_per_step, vec![60; 41]);
    assert_eq!(stats.samples_total, 60 * 41);
}

#[test]
fn a_source_that_fails_fails_the_query() {
    use promql::source::{SelectRequest, SeriesSet, Source, SourceError};
    struct Broken;
    impl Source for Broken {
        fn select(&self, _: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
            Err(SourceError::new(ErrorKind::Unavailable, "store is away"))
        }
    }
    let source: Arc<dyn Source> = Arc::new(Broken);
    let expr = parse_expr("x", ParseOptions::all_features()).unwrap();
    let error = Engine::default()
        .instant(&*source, (&expr, "x"), 0)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "store is away");
}

#[test]
fn operators_are_measured_when_asked_for() {
    let text = r#"sum by (job) (rate(x_total[5m])) / on (job) sum by (job) (x_total{job="job-1"})"#;
    let options = Options {
        per_operator_stats: true,
        ..Options::default()
    };
    let result = run(&options, text, Cancellation::new(), &Sequential).expect("the query runs");
    let [join] = &result.stats.operators[..] else {
        panic!(
            "one operator yields the result: {:?}",
            result.stats.operators
        );
    };
    assert_eq!((join.series, join.inputs.len()), (1, 2), "{join:#?}");
    assert_eq!(join.samples, result.stats.samples_total);
    let series = |i: usize| (join.inputs[i].series, join.inputs[i].inputs[0].series);
    assert_eq!((series(0), series(1)), ((3, 60), (1, 20)), "{join:#?}");
    assert!(join.inputs[0].inputs[0].name.contains("Rate"), "{join:#?}");
    let below: Duration = join.inputs.iter().map(|input| input.time).sum();
    assert!(join.time >= below, "{join:#?}");

    let plain = run(&Options::default(), text, Cancellation::new(), &Sequential);
    assert!(plain.expect("the query runs").stats.operators.is_empty());
}

/// Results of several series are ready at once, and count while they wait.
#[test]
fn what_waits_in_a_parallel_batch_counts() {
    let mut options = Options::default();
    options.limits.samples_max = 41 * 10;
    let query = "sum by (job) (rate(x_total[5m]))";
    let error = run(&options, query, Cancellation::new(), &Threads)
        .expect_err("a batch of 48 series does not fit");
    assert!(matches!(error, Error::TooManySamples), "{error}");
    options.limits = promql::limits::Limits::default();
    let stats = run(&options, query, Cancellation::new(), &Threads)
        .expect("it fits")
        .stats;
    // 16 series for each of 3 threads, 41 steps each.
    assert!(stats.samples_peak >= 41 * 48, "{stats:?}");
    // Given back in the end: twice as much is never held.
    let twice = format!("{query} + {query}");
    let stats = run(&options, &twice, Cancellation::new(), &Threads)
        .expect("it fits")
        .stats;
    assert!(stats.samples_peak < 2 * 41 * 48, "{stats:?}");
}
