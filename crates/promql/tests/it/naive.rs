//! A slow, obvious evaluator: one expression at one instant, sample by sample, as the language is
//! defined. Every window is scanned anew, every match looked for among all series. What it cannot
//! tell it says so ([`Stop::Unknown`]): which of equal values `topk` takes, which series `limitk`
//! takes, start timestamps, and matches that are not unique.
//!
//! Of native histograms it takes the arithmetic of [`model::FloatHistogram`] for granted.

mod aggregate;
mod binary;
mod buckets;
mod call;
mod date;
mod extended;
mod info;
mod labels;
mod math;
mod over_range;
mod rate;
mod select;

use model::Labels;
use promql::ast::{BinaryOp, Expr, FunctionId, PosRange, UnaryOp};
use promql::columns::StepValue;
use promql::testing::MemoryStorage;

const LOOKBACK_MS: i64 = 300_000;
const SUBQUERY_STEP_MS: i64 = 60_000;
const NAME: &str = "__name__";

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// This evaluator cannot tell.
    Unknown,
    /// The expression fails on this data.
    Failed,
}

/// A series at an instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Element {
    pub(crate) labels: Labels,
    pub(crate) value: StepValue,
    /// Its name goes at the end of the query.
    drop_name: bool,
}

impl Element {
    fn float(labels: Labels, v: f64) -> Self {
        Self {
            labels,
            value: StepValue::Float(v),
            drop_name: false,
        }
    }

    fn with(&self, value: StepValue) -> Self {
        Self {
            value,
            ..self.clone()
        }
    }
}

/// A value at an instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Naive {
    Scalar(f64),
    Vector(Vec<Element>),
}

/// What an expression is evaluated on.
pub(crate) struct Evaluator<'a> {
    pub(crate) storage: &'a MemoryStorage,
    /// First and last step of the query, which `start()` and `end()` stand for.
    pub(crate) ends: (i64, i64),
    /// Distance between its steps.
    pub(crate) step_ms: i64,
    /// Names are dropped at the end of a query.
    pub(crate) delayed_names: bool,
    /// Where the selectors stand of whose histograms only count and sum are read.
    pub(crate) without_buckets: Vec<PosRange>,
}

/// The selectors below `histogram_count`, `histogram_sum` and `histogram_avg`, but for those that
/// something around them needs the buckets of.
pub(crate) fn without_buckets(expr: &Expr) -> Vec<PosRange> {
    fn collect(expr: &Expr, (mut counts, mut needs): (bool, bool), found: &mut Vec<PosRange>) {
        use FunctionId as F;
        match expr {
            Expr::Call(call) => match call.function.id {
                F::HistogramCount | F::HistogramSum | F::HistogramAvg => counts = true,
                F::HistogramQuantile | F::HistogramQuantiles | F::HistogramFraction => needs = true,
                _ => {}
            },
            Expr::Binary(e) => needs |= matches!(e.op, BinaryOp::TrimUpper | BinaryOp::TrimLower),
            Expr::Subquery(_) => needs = true,
            Expr::Vector(selector) if counts && !needs => found.push(selector.pos),
            Expr::Matrix(matrix) if counts && !needs => found.push(matrix.selector.pos),
            _ => {}
        }
        for child in expr.children() {
            collect(child, (counts, needs), found);
        }
    }
    let mut found = Vec::new();
    collect(expr, (false, false), &mut found);
    found
}

impl Evaluator<'_> {
    /// The result of a query at one of its steps.
    pub(crate) fn query(&self, expr: &Expr, t: i64) -> Result<Naive, Stop> {
        let Naive::Vector(mut vector) = self.eval(expr, t)? else {
            return self.eval(expr, t);
        };
        for element in &mut vector {
            if std::mem::take(&mut element.drop_name) {
                element.labels = labels::without_name(&element.labels);
            }
        }
        labels::distinct(vector)
    }

    fn eval(&self, expr: &Expr, t: i64) -> Result<Naive, Stop> {
        match expr {
            Expr::Number(n) => Ok(Naive::Scalar(n.value)),
            Expr::Paren(e) => self.eval(&e.expr, t),
            Expr::Unary(e) if e.op == UnaryOp::Plus => self.eval(&e.expr, t),
            Expr::Unary(e) => match self.eval(&e.expr, t)? {
                Naive::Scalar(v) => Ok(Naive::Scalar(-v)),
                Naive::Vector(v) => {
                    let negated = v.iter().map(|e| e.with(binary::scaled(&e.value, -1.0)));
                    self.renamed(negated.collect())
                }
            },
            Expr::Vector(selector) => Ok(Naive::Vector(self.instant(selector, t)?)),
            Expr::Call(call) => self.call(call, t),
            Expr::Aggregate(e) => self.aggregate(e, t),
            Expr::Binary(e) => self.binary(e, t),
            Expr::Matrix(_) | Expr::Subquery(_) | Expr::String(_) => Err(Stop::Unknown),
        }
    }

    fn vector(&self, expr: &Expr, t: i64) -> Result<Vec<Element>, Stop> {
        match self.eval(expr, t)? {
            Naive::Vector(v) => Ok(v),
            Naive::Scalar(_) => Err(Stop::Unknown),
        }
    }

    fn scalar(&self, expr: &Expr, t: i64) -> Result<f64, Stop> {
        match self.eval(expr, t)? {
            Naive::Scalar(v) => Ok(v),
            Naive::Vector(_) => Err(Stop::Unknown),
        }
    }

    /// Drops names, or marks them to be dropped. Fails when series become equal by that.
    fn renamed(&self, mut vector: Vec<Element>) -> Result<Naive, Stop> {
        for element in &mut vector {
            if self.delayed_names {
                element.drop_name = true;
            } else {
                element.labels = labels::without_name(&element.labels);
            }
        }
        labels::distinct(vector)
    }
}
