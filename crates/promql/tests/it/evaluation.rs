//! Evaluates every expression of the conformance data on made-up series: nothing panics, and a step
//! of a range query is what an instant query at that time yields, bit by bit. That holds windows
//! that slide, queues and batches to evaluation from scratch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::sample::STALE_NAN;
use model::{FloatHistogram, Labels, LabelsBuilder, MatchOp, Span, TimeRange};
use promql::ast::{At, Expr, FunctionId};
use promql::columns::{Samples, StepValue, Steps};
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::source::{SelectRequest, Series, SeriesSet, Source, SourceError};
use promql::value::QueryValue;
use promql::{Engine, Error, Options};
use serde_json::Value;

use crate::conformance;

const SCRAPE_MS: i64 = 15_000;
const END_MS: i64 = 40 * 60_000;

/// Has series for every selector: floats, histograms, both, with gaps, stale markers and resets.
struct Anything;

impl Source for Anything {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let mut all = BTreeMap::new();
        for kind in 0..5u64 {
            let mut labels = LabelsBuilder::new();
            labels.set(
                "__name__",
                if kind < 3 {
                    "made_up_total"
                } else {
                    "made_up_bucket"
                },
            );
            labels.set("job", ["a", "b"][kind as usize % 2]);
            labels.set("instance", &format!("i{kind}"));
            if kind >= 3 {
                labels.set("le", ["0.5", "+Inf"][kind as usize % 2]);
            }
            for matcher in &request.matchers {
                if matcher.op() == MatchOp::Equal {
                    labels.set(matcher.name(), matcher.value());
                }
            }
            let labels = labels.labels();
            if labels.match_all(&request.matchers) {
                all.insert(labels, kind);
            }
        }
        let series: Vec<_> = all
            .into_iter()
            .map(|(labels, kind)| MadeUp { labels, kind })
            .collect();
        Ok(Box::new(Set(series.into_iter())))
    }
}

struct Set(std::vec::IntoIter<MadeUp>);

impl SeriesSet for Set {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        Ok(self.0.next().map(|s| Box::new(s) as Box<dyn Series>))
    }
}

struct MadeUp {
    labels: Labels,
    kind: u64,
}

/// The same number for the same two.
fn noise(kind: u64, i: i64) -> u64 {
    let mut x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (kind + 1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

fn histogram(n: u64) -> Arc<FloatHistogram> {
    let buckets = vec![(n % 7) as f64, (n % 5) as f64 + 1.0];
    Arc::new(FloatHistogram {
        count: buckets.iter().sum(),
        sum: (n % 31) as f64 * 0.7,
        positive_spans: vec![Span {
            offset: (n % 3) as i32,
            length: 2,
        }],
        positive_buckets: buckets,
        ..FloatHistogram::default()
    })
}

impl Series for MadeUp {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        for i in 0..END_MS / SCRAPE_MS {
            let n = noise(self.kind, i);
            let t = i * SCRAPE_MS + (n % 997) as i64;
            let start = if n.is_multiple_of(3) { t - 20_000 } else { 0 };
            if !range.contains(t) || n.is_multiple_of(13) {
                continue;
            }
            if self.kind == 1 || (self.kind == 2 && (i / 40) % 2 == 1) {
                out.push_hist(t, histogram(n >> 8), start);
                continue;
            }
            let v = match n % 101 {
                0 => STALE_NAN,
                1 => f64::NAN,
                2 => f64::INFINITY,
                3 => -0.0,
                _ => ((n >> 16) % 2000) as f64 * 0.1 - 30.0,
            };
            out.push_float(t, v, start);
        }
        Ok(())
    }
}

/// True when the steps of a query show in its values.
fn knows_its_steps(expr: &Expr) -> bool {
    let mut knows = false;
    expr.walk(&mut |e| {
        let at = match e {
            Expr::Vector(v) => v.at,
            Expr::Matrix(m) => m.selector.at,
            Expr::Subquery(s) => s.at,
            _ => None,
        };
        knows |= matches!(at, Some(At::Start | At::End));
        if let Expr::Call(c) = e {
            use FunctionId as F;
            knows |= matches!(c.function.id, F::Start | F::End | F::Step | F::Range);
            // Hints of resets depend on where reading begins.
            knows |= matches!(
                c.function.id,
                F::HistogramCount | F::HistogramSum | F::HistogramAvg
            );
        }
    });
    knows || format!("{expr}").contains("step()") || format!("{expr}").contains("range()")
}

type Bits = BTreeMap<Labels, String>;

fn bits(value: &StepValue) -> String {
    match value {
        StepValue::Float(v) if v.is_nan() => "NaN".to_owned(),
        StepValue::Float(v) => format!("{v} {:x}", v.to_bits()),
        StepValue::Histogram(h) => format!("{h}"),
    }
}

fn at(value: &QueryValue, t: i64) -> Bits {
    match value {
        QueryValue::Scalar(v) => BTreeMap::from([(Labels::empty(), bits(&StepValue::Float(*v)))]),
        QueryValue::Vector(all) => all.iter().map(|(l, v)| (l.clone(), bits(v))).collect(),
        QueryValue::Matrix(all) => {
            let point = |s: &promql::value::MatrixSeries| {
                let value = s.points.iter().find(|(at, _)| *at == t)?;
                Some((s.labels.clone(), bits(&value.1)))
            };
            all.iter().filter_map(point).collect()
        }
        QueryValue::String(_) => Bits::new(),
    }
}

fn check(engine: &Engine, expr: &Expr, text: &str) -> usize {
    let steps = Steps::range(10 * 60_000, 30 * 60_000, 95_000);
    let range = match engine.range(&Anything, (expr, text), steps) {
        Ok(range) => range.value,
        Err(Error::Timeout { .. }) => panic!("{text} takes too long"),
        Err(_) => return 0,
    };
    if knows_its_steps(expr) {
        return 0;
    }
    let mut compared = 0;
    for t in (0..steps.count).map(|i| steps.at(i)) {
        let instant = engine
            .instant(&Anything, (expr, text), t)
            .unwrap_or_else(|e| panic!("{text} at {t}: {e}"))
            .value;
        assert_eq!(at(&range, t), at(&instant, t), "{text} at {t}");
        compared += 1;
    }
    compared
}

#[test]
fn a_step_is_what_an_instant_query_yields() {
    let Some(path) = conformance::find("promql-parser/expressions.jsonl") else {
        return;
    };
    let mut compared = 0;
    let data = std::fs::read_to_string(path).unwrap();
    let engine = |delayed_name_removal| {
        let mut options = Options {
            delayed_name_removal,
            start_timestamps: true,
            ..Options::default()
        };
        options.limits.subquery_steps_max = 5_000;
        options.limits.bytes_max = 64 << 20;
        options.limits.timeout = Duration::from_secs(20);
        Engine::new(options)
    };
    // The engines take turns, for each expression is evaluated at every step.
    let mut engines = [engine(true), engine(false)];
    for line in data.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = row["expr"].as_str().unwrap_or_default();
        if let Ok(expr) = parse_expr(text, ParseOptions::all_features()) {
            compared += check(&engines[0], &expr, text);
            engines.swap(0, 1);
        }
    }
    assert!(compared > 10_000, "only {compared} steps could be compared");
}
