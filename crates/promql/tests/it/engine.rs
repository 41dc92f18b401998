//! Limits, cancellation, executors and explanations of the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ErrorKind, Labels};
use promql::columns::{StepValue, Steps};
use promql::executor::{Executor, Sequential};
use promql::limits::Cancellation;
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::testing::MemoryStorage;
use promql::testing::storage::LoadedSeries;
use promql::value::{QueryResult, QueryValue};
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
            end: None,
            is_instant: false,
            cancellation,
            executor,
        },
    )
}

/// As in Prometheus, they mean what was asked for, not the last step.
#[test]
fn the_end_of_a_query_may_lie_after_its_last_step() {
    let values = |text: &str, end| -> Vec<f64> {
        let expr = parse_expr(text, ParseOptions::all_features()).expect(text);
        let query = Query {
            expr: &expr,
            text,
            steps: Steps::range(0, 190_000, 60_000),
            end,
            is_instant: false,
            cancellation: Cancellation::new(),
            executor: &Sequential,
        };
        let result = Engine::default().run(&MemoryStorage::new(), &query);
        match result.expect(text).value {
            QueryValue::Matrix(all) => {
                let value = |(_, value): &(i64, StepValue)| match value {
                    StepValue::Float(v) => *v,
                    other => panic!("{text}: {other:?}"),
                };
                all[0].points.iter().map(|point| value(&point)).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    };
    let always = |v: f64| vec![v; 4];
    let at_the_end = "last_over_time(vector(time())[1s:1s] @ end())";
    assert_eq!(values(at_the_end, None), always(180.0));
    assert_eq!(values(at_the_end, Some(190_000)), always(190.0));
    for text in ["vector(end())", "vector(range())"] {
        assert_eq!(values(text, None), always(180.0));
        assert_eq!(values(text, Some(190_000)), always(190.0));
    }
    let before = "last_over_time(vector(time())[1s:1s] @ 300 offset range())";
    assert_eq!(values(before, None), always(120.0));
    assert_eq!(values(before, Some(190_000)), always(110.0));
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
    let error = error.to_string();
    let begin = "query processing would load too many samples into memory in query execution: ";
    let held = error.strip_prefix(begin).unwrap();
    let (held, limit) = held.split_once(' ').unwrap();
    assert!(held.parse::<u64>().unwrap() > 100, "{error}");
    assert!(
        limit.ends_with("the limit is 100 (--query.max-samples)"),
        "{error}"
    );
    let error = refused(|o| o.limits.bytes_max = 4096, "quantile(0.5, x_total)");
    assert!(
        error
            .to_string()
            .contains("the limit is 4096 (--query.max-memory-bytes)"),
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
    assert_eq!(
        error.to_string(),
        "query timed out in query execution: it was not done within 0ns \
         (--query.timeout, or the parameter timeout)"
    );
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

/// Counts what it is given to drop.
#[derive(Debug, Default)]
struct Discards(std::sync::atomic::AtomicUsize);

impl Executor for Discards {
    fn width(&self) -> usize {
        1
    }

    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(job);
    }

    fn discard(&self, held: Box<dyn Send>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        drop(held);
    }
}

#[test]
fn what_a_stopped_query_held_goes_to_the_executor() {
    let mut options = Options::default();
    options.limits.samples_max = 41 * 50;
    for (text, at_least) in [
        ("x_total", 1),
        ("sort(x_total)", 1),
        // What waits in the subquery, and what was put together from it.
        ("last_over_time(x_total[1m:1m])", 1),
        ("histogram_quantile(0.5, x_total)", 1),
        ("x_total * on (pod) x_total", 1),
    ] {
        let discards = Discards::default();
        let error = run(&options, text, Cancellation::new(), &discards).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{text}");
        let count = discards.0.into_inner();
        assert!(count >= at_least, "{text}: {count}");
    }
    let discards = Discards::default();
    run(
        &Options::default(),
        "sort(x_total)",
        Cancellation::new(),
        &discards,
    )
    .unwrap();
    assert_eq!(
        discards.0.into_inner(),
        0,
        "nothing is left of one that ends"
    );
}

#[test]
fn a_join_names_two_of_many_that_clash() {
    for (text, side) in [
        ("x_total * on (job) x_total", "right"),
        ("x_total * on (job) group_right () x_total", "left"),
    ] {
        let error = run(&Options::default(), text, Cancellation::new(), &Sequential);
        let error = error.unwrap_err().to_string();
        let wanted = format!("for the match group {{job=\"job-0\"}} on the {side} hand-side");
        assert!(error.contains(&wanted), "{error}");
        assert!(
            error.contains("pod=\"pod-0\"") && error.contains("pod=\"pod-12\""),
            "{error}"
        );
    }
}

#[test]
fn quantiles_that_change_from_step_to_step_count_as_memory() {
    let mut options = Options::default();
    options.limits.bytes_max = 60 * 41 * 8 * 10;
    let query = r#"histogram_quantiles(label_replace(x_total, "le", "$1", "pod", "pod-(.*)"), "q", 1 / time())"#;
    let error = run(&options, query, Cancellation::new(), &Sequential).unwrap_err();
    assert!(matches!(error, Error::TooManyBytes { .. }), "{error}");
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

/// Looks for series until it is told to stop, or stops when it is told to while it yields them.
#[derive(Debug)]
struct Searching {
    cancellation: Cancellation,
    /// Series are found, and one by one looked for.
    finds: bool,
}

impl promql::source::Source for Searching {
    fn select(
        &self,
        request: &promql::source::SelectRequest,
    ) -> Result<Box<dyn promql::source::SeriesSet>, promql::source::SourceError> {
        assert!(!request.stop.is_asked());
        let set = Stopping {
            cancellation: self.cancellation.clone(),
            stop: request.stop.clone(),
        };
        match self.finds {
            true => Ok(Box::new(set)),
            false => Err(set.search()),
        }
    }
}

struct Stopping {
    cancellation: Cancellation,
    stop: model::Stop,
}

impl Stopping {
    fn search(&self) -> promql::source::SourceError {
        self.cancellation.cancel();
        assert!(self.stop.is_asked());
        promql::source::SourceError::new(ErrorKind::Cancelled, "stopped")
    }
}

impl promql::source::SeriesSet for Stopping {
    fn next(
        &mut self,
    ) -> Result<Option<Box<dyn promql::source::Series>>, promql::source::SourceError> {
        Err(self.search())
    }
}

#[test]
fn a_source_is_told_when_the_query_ends() {
    for text in ["x", "rate(x[5m])", "x[5m]", "sum(x) + 1"] {
        for finds in [false, true] {
            let cancellation = Cancellation::new();
            let source = Searching {
                cancellation: cancellation.clone(),
                finds,
            };
            let expr = parse_expr(text, ParseOptions::all_features()).unwrap();
            let query = Query {
                expr: &expr,
                text,
                steps: Steps::instant(0),
                end: None,
                is_instant: true,
                cancellation,
                executor: &Sequential,
            };
            let result = Engine::default().run(&source, &query);
            assert!(
                matches!(result, Err(Error::Cancelled)),
                "{text}: {result:?}"
            );
        }
    }
}

#[test]
fn operators_are_measured_when_asked_for() {
    let text =
        r#"sum by (job) (rate(x_total[5m])) / on (job) sum by (job) (x_total{pod=~"pod-(1|4)"})"#;
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
    assert_eq!((series(0), series(1)), ((3, 60), (1, 2)), "{join:#?}");
    assert!(join.inputs[0].inputs[0].name.contains("Rate"), "{join:#?}");
    let below: Duration = join.inputs.iter().map(|input| input.time).sum();
    assert!(join.time >= below, "{join:#?}");

    let plain = run(&Options::default(), text, Cancellation::new(), &Sequential);
    assert!(plain.expect("the query runs").stats.operators.is_empty());
}

/// One series of many samples, for work that takes long though there is no second series.
fn long_series(samples: i64) -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    let value = |k: i64| StepValue::Float(((k * 7919) % 10_007) as f64);
    storage.append(LoadedSeries {
        labels: Labels::from_pairs([("__name__", "x_total")]),
        samples: (0..samples).map(|k| (k * 1000, 0, value(k))).collect(),
    });
    storage
}

/// Each of these takes seconds to minutes, nearly all of it on one series.
const ENDLESS: [&str; 8] = [
    "mad_over_time(x_total[2d])",
    "stddev_over_time(x_total[2d])",
    "sum_over_time(x_total[2d])",
    "deriv(x_total[2d])",
    "predict_linear(x_total[2d], 3600)",
    "double_exponential_smoothing(x_total[2d], 0.5, 0.5)",
    "increase(x_total[2d] smoothed)",
    "max_over_time(mad_over_time(x_total[2d])[2d:10s])",
];

/// Evaluates `text` on `storage`, two days of seconds, at 10,000 steps; says how long that took.
fn endless(
    storage: &MemoryStorage,
    text: &str,
    timeout: Duration,
    cancellation: Cancellation,
) -> (Error, Duration) {
    let expr = parse_expr(text, ParseOptions::all_features()).expect("the query is valid");
    let mut options = Options::default();
    options.limits.timeout = timeout;
    let begin = Instant::now();
    let error = Engine::new(options)
        .run(
            storage,
            &Query {
                expr: &expr,
                text,
                steps: Steps::range(172_800_000, 182_800_000, 1000),
                end: None,
                is_instant: false,
                cancellation,
                executor: &Sequential,
            },
        )
        .expect_err(text);
    (error, begin.elapsed())
}

#[test]
fn a_query_stops_in_the_middle_of_a_series() {
    let storage = long_series(180_000);
    // Reading the series takes this long before anything can stop.
    let (_, reading) = endless(&storage, "x_total", Duration::ZERO, Cancellation::new());
    for text in ENDLESS {
        let timeout = Duration::from_millis(300);
        let (error, took) = endless(&storage, text, timeout, Cancellation::new());
        assert!(matches!(error, Error::Timeout { .. }), "{text}: {error}");
        // Debug builds are many times slower, and machines are busy.
        let late = took.saturating_sub(timeout + reading);
        assert!(late < Duration::from_secs(30), "{text}: {late:?} too late");
    }
}

#[test]
fn a_query_is_cancelled_in_the_middle_of_a_series() {
    let storage = long_series(180_000);
    let cancellation = Cancellation::new();
    let other = cancellation.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.cancel();
    });
    let patience = Duration::from_secs(3600);
    let (error, took) = endless(&storage, ENDLESS[0], patience, cancellation);
    canceller.join().expect("it cancels");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn samples_that_a_function_works_on_count_as_memory() {
    let storage = long_series(180_000);
    let expr = parse_expr("max_over_time(x_total[1d])", ParseOptions::default()).expect("valid");
    let run = |bytes_max| {
        let mut options = Options::default();
        options.limits.bytes_max = bytes_max;
        Engine::new(options).instant(&storage, (&expr, ""), 100_000_000)
    };
    let peak = run(u64::MAX).expect("no limit").stats.bytes_peak;
    assert!(peak >= 86_400 * 16, "{peak}");
    let error = run(peak - 1).expect_err("it does not fit");
    assert!(matches!(error, Error::TooManyBytes { .. }), "{error}");
}

/// Names are dropped at once here, and with them `__type__` and `__unit__`.
#[test]
fn series_that_become_equal_without_their_names_are_refused() {
    let (name, kind, unit) = (("__name__", "m"), ("__type__", "t"), ("__unit__", "u"));
    let (a1, a2, upper) = (("a", "1"), ("a", "2"), ("B", "1"));
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&[Pairs<'_>], bool); 8] = [
        (&[&[name, kind, a1], &[name, a1]], false),
        (&[&[name, kind, unit, a1], &[name, unit, a1]], false),
        (&[&[name, unit], &[name]], false),
        (&[&[upper, name, kind], &[upper, name]], false),
        (&[&[upper, name, kind, a1], &[upper, name, unit, a1]], false),
        (&[&[("__name__", "n"), a1], &[name, a1]], false),
        (&[&[name, kind, a1], &[name, a2]], true),
        (&[&[name, kind], &[name, a1], &[name, unit, a2]], true),
    ];
    for (series, is_fine) in cases {
        let mut storage = MemoryStorage::new();
        for labels in series {
            storage.append(LoadedSeries {
                labels: Labels::from_pairs(labels.iter().copied()),
                samples: (0..9)
                    .map(|k| (k * STEP_MS, 0, StepValue::Float(k as f64)))
                    .collect(),
            });
        }
        for (function, argument) in [
            ("rate", "[1m]"),
            ("abs", ""),
            ("-", ""),
            ("timestamp", ""),
            ("-abs", ""),
            ("ceil", " * 2"),
            ("-last_over_time", "[1m]"),
        ] {
            let selectors = match series[0].contains(&("__name__", "n")) {
                true => &["{__name__=~'.'}"][..],
                false => &["m", "{__name__=~'m'}"],
            };
            for selector in selectors {
                let text = format!("sum by (a) ({function}({selector}{argument}))");
                let expr = parse_expr(&text, ParseOptions::default()).expect("valid");
                let result = Engine::default().instant(&storage, (&expr, &text), 100_000);
                assert_eq!(result.is_ok(), is_fine, "{text} of {series:?}: {result:?}");
            }
        }
    }
}

/// Nothing is remembered of each of them.
#[test]
fn a_sum_of_rates_takes_no_memory_for_a_series() {
    let peak = |series: i64| {
        let mut storage = MemoryStorage::new();
        for i in 0..series {
            let (job, pod) = (format!("job-{}", i % 3), format!("pod-{i:06}"));
            storage.append(LoadedSeries {
                labels: Labels::from_pairs([("__name__", "x_total"), ("job", &job), ("pod", &pod)]),
                samples: (0..20)
                    .map(|k| (k * STEP_MS, 0, StepValue::Float(k as f64)))
                    .collect(),
            });
        }
        let text = "sum by (job) (rate(x_total[1m]))";
        let expr = parse_expr(text, ParseOptions::default()).expect("valid");
        let steps = Steps::range(60_000, 300_000, 15_000);
        let engine = Engine::default();
        let stats = engine
            .range(&storage, (&expr, text), steps)
            .expect(text)
            .stats;
        (stats.bytes_peak, stats.samples_peak)
    };
    assert_eq!(peak(30), peak(3000));
}

/// Results of several series are ready at once, and count while they wait.
#[test]
fn what_waits_in_a_parallel_batch_counts() {
    let mut options = Options::default();
    options.limits.samples_max = 41 * 10;
    let query = "sum by (job) (rate(x_total[5m]))";
    let error = run(&options, query, Cancellation::new(), &Threads)
        .expect_err("a batch of 48 series does not fit");
    assert!(matches!(error, Error::TooManySamples { .. }), "{error}");
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
