//! The engine against a real Prometheus on the same block: random expressions, instant and range,
//! equal to a relative 1e-12 or refused by both.
//!
//! `PROMQL_SEED` makes another run; `PROMQL_EXPRESSIONS` sets how many expressions it has.

pub(crate) mod generate;
mod ours;
pub(crate) mod peer;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use peer::{Series, ask};

use crate::block_data as data;
use crate::prometheus::Prometheus;
use crate::rng::Rng;

/// Expressions when nothing else is asked for.
const EXPRESSIONS: u64 = 2000;
/// The run ends here even if expressions are left, so that a slow machine does not hold up CI.
const TIME_MAX: Duration = Duration::from_secs(180);
/// Fewer expressions that both accept than this share (1 in ...) would test nothing.
const ACCEPTED_SHARE: u64 = 2;
/// Largest relative difference.
const TOLERANCE: f64 = 1e-12;

/// When an expression is evaluated, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// Times are 7 ms past whole seconds, off the grids of samples and subqueries.
pub(crate) fn when(rng: &mut Rng) -> When {
    let at = |rng: &mut Rng, from_s: i64, span_s: u64| {
        data::START_MS + (from_s + rng.below(span_s) as i64) * 1000 + 7
    };
    if rng.below(2) == 0 {
        return When::Instant(at(rng, 0, 7200));
    }
    let start = at(rng, 0, 5400);
    let step = *rng.pick(&[1000, 15_000, 60_000, 301_000]);
    let end = start + step * (1 + rng.below(40) as i64);
    When::Range { start, end, step }
}

fn close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
        || a.is_nan() && b.is_nan()
        || a == b
        || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// What differs, or `None` when the results are the same.
pub(crate) fn difference(theirs: &Series, ours: &Series) -> Option<String> {
    for (labels, points) in theirs {
        let Some(own) = ours.get(labels) else {
            return Some(format!("{labels} is missing"));
        };
        let same = points.len() == own.len()
            && points
                .iter()
                .zip(own)
                .all(|(a, b)| a.0 == b.0 && close(a.1, b.1));
        if !same {
            return Some(format!("{labels}: expected {points:?}, got {own:?}"));
        }
    }
    let extra = ours.keys().find(|labels| !theirs.contains_key(*labels))?;
    Some(format!("{extra} is unexpected"))
}

/// True for what later versions refuse and 2.42 accepts: in a join whose comparison filters, pairs that
/// are filtered out count as matches now, so that it does not depend on values whether the join fails.
pub(crate) fn is_newer_refusal(expr: &str, error: &str) -> bool {
    let compares = ["==", "!=", "<", ">"].iter().any(|op| expr.contains(op));
    compares && error.starts_with("multiple matches for labels")
}

/// True for errors about series that cannot be in the result, which are not even read when matchers are
/// carried across a join (docs/adr/0046).
pub(crate) fn is_hidden_by_plan(error: &str) -> bool {
    error.starts_with("found duplicate series for the match group")
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var_os(name).and_then(|v| v.to_str()?.parse().ok())
}

#[test]
fn answers_equal_prometheus() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let blocks = dir.path().join("data");
    std::fs::create_dir(&blocks)?;
    let seed = from_environment("PROMQL_SEED").unwrap_or(1);
    println!("PROMQL_SEED={seed}");
    data::write_block(&blocks, seed)?;
    let Some(prometheus) = Prometheus::start(&blocks, dir.path())? else {
        return Ok(());
    };
    let engine = ours::Promontory::open(&blocks)?;

    let mut rng = Rng::new(seed);
    let (started, mut asked, mut accepted) = (Instant::now(), 0, 0);
    let mut failures = Vec::new();
    for _ in 0..from_environment("PROMQL_EXPRESSIONS").unwrap_or(EXPRESSIONS) {
        if started.elapsed() > TIME_MAX {
            break;
        }
        let (expr, when) = (generate::expression(&mut rng), when(&mut rng));
        let theirs = ask(prometheus.port(), &expr, when).with_context(|| expr.clone())?;
        let ours = engine.ask(&expr, when);
        asked += 1;
        match (theirs, ours) {
            (Err(_), Err(_)) => {}
            (Err(e), Ok(_)) if is_hidden_by_plan(&e) => {}
            (Err(e), Ok(_)) => {
                failures.push(format!("{expr} {when:?}: only Prometheus refuses it: {e}"))
            }
            (Ok(_), Err(e)) if is_newer_refusal(&expr, &e.to_string()) => {}
            (Ok(_), Err(e)) => failures.push(format!("{expr} {when:?}: only we refuse it: {e}")),
            (Ok(theirs), Ok(ours)) => {
                accepted += 1;
                let wrong = difference(&theirs, &ours);
                failures.extend(wrong.map(|wrong| format!("{expr} {when:?}: {wrong}")));
            }
        }
    }
    println!("{asked} expressions asked, {accepted} accepted by both");
    assert!(
        failures.is_empty(),
        "{} of {asked} differ (PROMQL_SEED={seed}), among them:\n{}",
        failures.len(),
        failures[..failures.len().min(10)].join("\n")
    );
    assert!(
        accepted * ACCEPTED_SHARE >= asked,
        "only {accepted} of {asked} were accepted"
    );
    Ok(())
}
