//! The engine against [`super::naive`] on random expressions and series, samples on the grid of steps
//! and off it. `PROMONTORY_SEED` repeats a run.

use std::collections::BTreeMap;

use model::Labels;
use promql::columns::{StepValue, Steps};
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::testing::MemoryStorage;
use promql::testing::generate::choices::{Choices, Seeded};
use promql::testing::generate::{self, data};
use promql::testing::script::{Command, parse};
use promql::value::QueryValue;
use promql::{Engine, Options};

use super::naive::{Evaluator, Naive, Stop};

const SETS: u64 = 8;
const EXPRESSIONS: usize = 3000;

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no main that reads the environment for them"
)]
fn seed() -> u64 {
    let given = std::env::var("PROMONTORY_SEED").ok();
    given.map_or(1, |text| text.parse().expect("PROMONTORY_SEED is a number"))
}

fn storage(choices: &mut Seeded) -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for command in parse(&data::load_script(choices)).expect("generated data is a script") {
        if let Command::Load(load) = command {
            load.series.into_iter().for_each(|s| storage.append(s));
        }
    }
    storage
}

/// Values by labels and time.
type Points = BTreeMap<(Labels, i64), f64>;

fn expected(evaluator: &Evaluator<'_>, text: &str, steps: Steps) -> Result<Points, Stop> {
    let expr = parse_expr(text, ParseOptions::all_features()).expect("generated text parses");
    let mut points = Points::new();
    let mut failed = false;
    for t in (0..steps.count).map(|i| steps.at(i)) {
        match evaluator.eval(&expr, t) {
            Ok(Naive::Scalar(v)) => drop(points.insert((Labels::empty(), t), v)),
            Ok(Naive::Vector(vector)) => {
                points.extend(vector.into_iter().map(|(labels, v)| ((labels, t), v)));
            }
            Err(Stop::Failed) => failed = true,
            Err(stop) => return Err(stop),
        }
    }
    if failed {
        Err(Stop::Failed)
    } else {
        Ok(points)
    }
}

fn actual(storage: &MemoryStorage, text: &str, steps: Steps) -> Result<Points, Stop> {
    let expr = parse_expr(text, ParseOptions::all_features()).expect("generated text parses");
    let engine = Engine::new(Options::default());
    let result = engine.range(storage, (&expr, text), steps);
    let Ok(QueryValue::Matrix(matrix)) = result.map(|r| r.value) else {
        return Err(Stop::Failed);
    };
    let mut points = Points::new();
    for series in matrix {
        for (t, value) in series.points {
            let StepValue::Float(v) = value else {
                return Err(Stop::Unknown);
            };
            points.insert((series.labels.clone(), t), v);
        }
    }
    Ok(points)
}

fn same(a: &Result<Points, Stop>, b: &Result<Points, Stop>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((ka, a), (kb, b))| {
                    let is_close = (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
                    ka == kb && (a == b || is_close || a.is_nan() && b.is_nan())
                })
        }
        _ => a == b,
    }
}

#[test]
fn the_engine_agrees_with_the_definition() {
    let seed = seed();
    let mut compared = 0;
    for set in 0..SETS {
        let mut choices = Seeded::new(seed.wrapping_mul(1000).wrapping_add(set));
        let storage = storage(&mut choices);
        for _ in 0..EXPRESSIONS {
            let text = generate::expression(&mut choices);
            let grid = [30_000, 1000, 1][choices.below(3)];
            let start = choices.below(1_260_000 / grid) as i64 * grid as i64;
            let step = [30_000, 60_000, 17_000, 7333][choices.below(4)];
            let steps = Steps::range(start, start + step * choices.below(6) as i64, step);
            let evaluator = Evaluator {
                storage: &storage,
                ends: (steps.start, steps.end()),
            };
            let expected = expected(&evaluator, &text, steps);
            if expected == Err(Stop::Unknown) {
                continue;
            }
            let actual = actual(&storage, &text, steps);
            compared += 1;
            assert!(
                same(&expected, &actual),
                "PROMONTORY_SEED={seed}, set {set}: {text} at {steps:?}\nexpected {expected:?}\nactual   {actual:?}"
            );
        }
    }
    assert!(compared > 2000, "only {compared} could be compared");
}
