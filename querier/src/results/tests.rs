//! Kept answers against fresh ones.

use std::cell::RefCell;
use std::convert::Infallible;

use model::Labels;
use promql::Engine;
use promql::columns::StepValue;
use promql::parse::{Options, parse_expr};
use promql::source::Source;
use promql::testing::MemoryStorage;
use promql::testing::storage::LoadedSeries;
use promql::value::QueryValue;
use proptest::prelude::*;

use super::*;

const STEP: i64 = 1000;
const SETTLE: i64 = 100_000;

fn asked(text: &str, step: i64) -> Asked {
    Asked {
        question: Question {
            text: text.to_owned(),
            step,
            circumstances: String::new(),
        },
        back_ms: Some(0),
    }
}

/// A series for every remainder of 3 and 1000, whose values are the times.
fn evaluate(steps: Steps) -> Matrix {
    let mut series: Vec<(Labels, Vec<(i64, StepValue)>)> = Vec::new();
    for i in 0..steps.count {
        let t = steps.at(i);
        for name in [
            format!("r{}", t / STEP % 3),
            format!("k{}", t / STEP / 1000),
        ] {
            let labels = Labels::from_pairs([("a", name)]);
            let point = (t, StepValue::Float(t as f64));
            match series.iter_mut().find(|s| s.0 == labels) {
                Some((_, points)) => points.push(point),
                None => series.push((labels, vec![point])),
            }
        }
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let series = series.into_iter();
    Matrix {
        series: series
            .map(|(labels, points)| MatrixSeries {
                labels,
                points: points.into_iter().collect(),
            })
            .collect(),
        ..Matrix::default()
    }
}

/// Asks, and returns which steps were evaluated.
fn ask(cache: &ResultsCache, steps: Steps, now_ms: i64) -> Vec<(i64, i64)> {
    ask_of(cache, steps, (now_ms, Coverage::default()))
}

/// The same when stores have `coverage`.
fn ask_of(
    cache: &ResultsCache,
    steps: Steps,
    (now_ms, coverage): (i64, Coverage),
) -> Vec<(i64, i64)> {
    let ran = RefCell::new(Vec::new());
    let run = |steps: Steps| -> Result<Matrix, Infallible> {
        ran.borrow_mut()
            .push((steps.start / STEP, steps.end() / STEP));
        Ok(evaluate(steps))
    };
    let Ok(found) = cache.evaluate(asked("x", STEP), steps, now_ms, || coverage.clone(), run);
    assert_eq!(found, evaluate(steps));
    ran.into_inner()
}

fn seconds(start: i64, end: i64) -> Steps {
    Steps::range(start * STEP, end * STEP, STEP)
}

#[test]
fn only_what_is_not_kept_is_evaluated() {
    let cache = ResultsCache::new(64 << 20, SETTLE);
    let now = 10_000_000;
    assert_eq!(ask(&cache, seconds(1000, 1599), now), [(1000, 1599)]);
    assert_eq!(ask(&cache, seconds(1000, 1599), now), []);
    assert_eq!(ask(&cache, seconds(1100, 1400), now), []);
    assert_eq!(
        ask(&cache, seconds(900, 1700), now),
        [(900, 999), (1600, 1700)]
    );
    assert_eq!(ask(&cache, seconds(900, 1700), now), []);
    // Steps between these are others.
    let shifted = Steps::range(1_000_500, 1_099_500, STEP);
    assert_eq!(ask(&cache, shifted, now).len(), 1);
}

#[test]
fn recent_steps_are_evaluated_again() {
    let cache = ResultsCache::new(64 << 20, SETTLE);
    assert_eq!(ask(&cache, seconds(1000, 1200), 1_200_000).len(), 1);
    assert_eq!(ask(&cache, seconds(1000, 1200), 1_200_000), [(1101, 1200)]);
    assert_eq!(ask(&cache, seconds(1010, 1210), 1_210_000), [(1101, 1210)]);
    assert_eq!(ask(&cache, seconds(1010, 1210), 1_210_000), [(1111, 1210)]);
    // Before the epoch and before anything can be kept.
    assert_eq!(ask(&cache, seconds(-50, 50), 0), [(-50, 50)]);
    assert_eq!(ask(&cache, seconds(-50, 50), 200_000), [(-50, 50)]);
    assert_eq!(ask(&cache, seconds(-50, 50), 200_000), []);
}

#[test]
fn warnings_keep_an_answer_from_being_kept_and_infos_stay() {
    let cache = ResultsCache::new(64 << 20, SETTLE);
    let answer = |warning: &str, info: &str| {
        let list = |s: &str| (!s.is_empty()).then(|| s.to_owned()).into_iter().collect();
        let run = |steps| -> Result<Matrix, Infallible> {
            Ok(Matrix {
                warnings: list(warning),
                infos: list(info),
                ..evaluate(steps)
            })
        };
        let coverage = Coverage::default;
        let Ok(found) = cache.evaluate(asked("x", STEP), seconds(10, 20), 1_000_000, coverage, run);
        (found.warnings, found.infos)
    };
    let text = |s: &str| vec![s.to_owned()];
    assert_eq!(
        answer("a store is gone", ""),
        (text("a store is gone"), vec![])
    );
    assert_eq!(answer("", "so so"), (vec![], text("so so")));
    assert_eq!(answer("unseen", "unseen"), (vec![], text("so so")));
}

#[test]
fn what_is_too_large_is_not_kept() {
    let cache = ResultsCache::new(64 << 10, SETTLE);
    assert_eq!(ask(&cache, seconds(0, 5000), 10_000_000).len(), 1);
    assert_eq!(ask(&cache, seconds(0, 5000), 10_000_000).len(), 1);
}

#[test]
fn steps_are_evaluated_again_when_stores_have_something_else_of_their_time() {
    let cache = ResultsCache::new(64 << 20, SETTLE);
    let steps = seconds(1024, 1535);
    let ask = |now_ms, spans: &[(&str, (i64, i64))]| {
        let all = spans.iter().fold(Coverage::default(), |all, (name, span)| {
            all.and(name, *span)
        });
        ask_of(&cache, steps, (now_ms, all))
    };
    let (bucket, now) = (("bucket", (0, 1_100_000)), 10_000_000);
    assert_eq!(ask(now, &[bucket]), [(1024, 1535)]);
    assert_eq!(ask(now, &[bucket]), []);
    // Blocks are uploaded: of the second piece only, then of both.
    let more = ("block", (1_300_000, 1_400_000));
    assert_eq!(ask(now, &[bucket, more]), [(1280, 1535)]);
    let bucket = ("bucket", (0, 1_400_000));
    assert_eq!(ask(now, &[bucket]), [(1024, 1535)]);
    assert_eq!(ask(now, &[bucket]), []);
    // A head grows, and what is older than the question goes.
    for end in 0..5 {
        let head = ("head", (1_000, 1_450_000 + end * 20_000));
        let bucket = ("bucket", (end * 1_000, 1_400_000));
        let fresh = ask(1_540_000 + end * 20_000, &[bucket, head]);
        assert_eq!(fresh.len(), 1, "{fresh:?}");
        let settled = 1440 + (end - 1) * 20;
        let from = if end == 0 { 1024 } else { settled + 1 };
        assert_eq!(fresh, [(from, 1535)], "after {end}");
    }
}

#[test]
fn what_is_evaluated_while_stores_come_and_go_is_not_kept() {
    let now = 10_000_000;
    let both = || {
        Coverage::default()
            .and("a", (0, 9_000_000))
            .and("b", (0, 1_100_000))
    };
    let one = || Coverage::default().and("a", (0, 9_000_000));
    // A store of the first piece's time goes away: before it is asked, while it is, and between two
    // pieces, of which one is there already.
    for when_gone in [1, 2, 3] {
        let cache = ResultsCache::new(64 << 20, SETTLE);
        ask_of(&cache, seconds(1100, 1110), (now, both()));
        let looks = std::cell::Cell::new(0);
        let coverage = || {
            looks.set(looks.get() + 1);
            if looks.get() > when_gone {
                one()
            } else {
                both()
            }
        };
        let run = |steps: Steps| -> Result<Matrix, Infallible> { Ok(evaluate(steps)) };
        let steps = seconds(1024, 1535);
        let Ok(_) = cache.evaluate(asked("x", STEP), steps, now, coverage, run);
        let again = ask_of(&cache, steps, (now, both()));
        let expected = match when_gone {
            // Both runs were within the first piece's time.
            1 | 2 => vec![(1024, 1099), (1111, 1279)],
            _ => vec![(1111, 1279)],
        };
        assert_eq!(again, expected, "after {when_gone}");
    }
}

#[test]
fn steps_that_are_added_do_not_make_older_ones_younger() {
    let cache = ResultsCache::new(64 << 20, 0);
    let ttl = i64::try_from(TIME_TO_LIVE.as_millis()).unwrap();
    // A graph of one piece that grows by a step each minute.
    let begin = 256 * STEP;
    assert_eq!(ask(&cache, seconds(256, 300), begin + ttl).len(), 1);
    for minute in 1..60 {
        let now = begin + ttl + minute * 60_000;
        let last = 300 + minute;
        assert_eq!(ask(&cache, seconds(256, last), now), [(last, last)]);
    }
    let late = begin + ttl + ttl;
    assert_eq!(ask(&cache, seconds(256, 360), late), [(256, 360)]);
    assert_eq!(ask(&cache, seconds(256, 360), late), []);
    // And so does a clock that is put back.
    assert_eq!(
        ask(&cache, seconds(256, 360), begin + 200_000),
        [(256, 360)]
    );
}

/// Counters and gauges that come and go, a sample every 7 s.
fn source() -> impl Source {
    let mut storage = MemoryStorage::new();
    for (name, job, slope) in [
        ("up", "a", 1.0),
        ("up", "b", 0.1),
        ("total", "a", 3.0),
        ("total", "b", 0.7),
    ] {
        let restart = if job == "a" { 300 } else { 450 };
        let is_there = |i: &i64| job == "a" || i / 100 % 3 != 1;
        let sample = |i: i64| {
            let v = (i % restart) as f64 * slope + (i % 7) as f64 * 0.3;
            (i * 7000, 0, StepValue::Float(v))
        };
        storage.append(LoadedSeries {
            labels: Labels::from_pairs([("__name__", name), ("job", job)]),
            samples: (0..1300).filter(is_there).map(sample).collect(),
        });
    }
    storage
}

const EXPRESSIONS: &[&str] = &[
    "up",
    "rate(total[1m])",
    "sum(increase(total[5m])) by (job)",
    "avg_over_time(up[3m])",
    "stddev_over_time(up[2m:10s])",
    "topk(1, up)",
    "deriv(up[2m]) * 3",
    "quantile_over_time(0.9, up[90s])",
    "up offset 2m > 100",
    "absent(up{job=\"b\"})",
    "time()",
    "5",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn kept_answers_are_fresh_ones(
        expression in 0..EXPRESSIONS.len(),
        step in prop::sample::select(vec![1000_i64, 7000, 15_000, 61_000]),
        queries in prop::collection::vec((0_i64..7_000, 1_i64..3_000, 0_i64..9_000), 1..6),
    ) {
        let text = EXPRESSIONS[expression];
        let expr = parse_expr(text, Options::default()).unwrap();
        prop_assert!(is_cacheable(&expr));
        let (engine, source) = (Engine::default(), source());
        let cache = ResultsCache::new(64 << 20, SETTLE);
        let run = |steps: Steps| -> Result<Matrix, promql::Error> {
            let result = engine.range(&source, (&expr, text), steps)?;
            let QueryValue::Matrix(series) = result.value else {
                return Ok(Matrix::default());
            };
            Ok(Matrix { series, infos: result.infos, warnings: result.warnings })
        };
        for (start, length, now) in queries {
            let start = start * 1000 / step * step;
            let steps = Steps::range(start, start + length * 1000, step);
            let coverage = Coverage::default;
            let kept = cache.evaluate(asked(text, step), steps, now * 1000, coverage, run).unwrap();
            let fresh = run(steps).unwrap();
            prop_assert_eq!(kept.series, fresh.series);
        }
    }
}
