//! The logical plan: an expression with everything resolved that does not depend on data.
//!
//! Durations are milliseconds, `@ start()` is a time, parentheses are gone, default arguments are
//! there, and nodes have one of three types, so that the operators need no type checks:
//! [`ScalarNode`], [`VectorNode`] and [`RangeNode`]. [`build`] makes a plan of a syntax tree, the
//! optimizers in [`optimize`] rewrite it, [`explain`] prints it.

mod build;
mod explain;
pub(crate) mod optimize;
mod walk;

use model::{Matcher, TimeRange};

use crate::ast::{AggregateOp, BinaryOp, FunctionId, PosRange, RangeExtension, VectorMatching};
use crate::source::Hints;

pub(crate) use build::{PlanContext, build};
pub(crate) use explain::explain;

/// What a query computes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// A number at each step.
    Scalar(ScalarNode),
    /// Series with a value at each step.
    Vector(VectorNode),
    /// The samples of a range; instant queries only.
    Range(RangeNode),
    /// A string; instant queries only.
    String(Box<[u8]>),
}

/// A number at each step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarNode {
    /// The same at every step.
    Number(f64),
    /// The time of the step in seconds.
    Time,
    /// `scalar(v)`.
    FromVector(Box<VectorNode>),
    /// `-s`.
    Neg(Box<ScalarNode>),
    /// `a + b`, `max_of(a, b)`.
    Binary(ScalarOp, Box<(ScalarNode, ScalarNode)>),
    /// Evaluated once for all steps.
    StepInvariant(Box<ScalarNode>),
}

/// An operator on two scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarOp {
    /// Comparisons yield 0 or 1.
    Binary(BinaryOp),
    /// `max_of`.
    Max,
    /// `min_of`.
    Min,
}

/// What is read from the source for one selector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selector {
    /// All must accept a series.
    pub(crate) matchers: Vec<Matcher>,
    /// The time looked at is this much before the step (or before `at`).
    pub(crate) offset_ms: i64,
    /// The time of the `@` modifier.
    pub(crate) at: Option<i64>,
    /// `anchored` or `smoothed`.
    pub(crate) extension: Option<RangeExtension>,
    /// What the samples are for.
    pub(crate) hints: Hints,
    /// Samples outside are not looked at.
    pub(crate) range: TimeRange,
    /// Others read the same series.
    pub(crate) share: Option<Box<Share>>,
    /// Where it stands.
    pub(crate) pos: PosRange,
}

/// How a selector takes its series from a set that several selectors read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    /// Number of the set.
    pub(crate) group: usize,
    /// How many selectors read it.
    pub(crate) readers: usize,
    /// What this one asks of a series beside the matchers of the set.
    pub(crate) filter: Vec<Matcher>,
}

impl Selector {
    /// The time that a step at `t` looks at.
    pub(crate) fn reference(&self, t: i64) -> i64 {
        self.at.unwrap_or(t).saturating_sub(self.offset_ms)
    }
}

/// Series with a range of samples at each step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RangeNode {
    /// `x[5m]`
    Matrix {
        selector: Selector,
        range_ms: i64,
        pos: PosRange,
    },
    /// `rate(x[5m])[1h:1m]`
    Subquery(Box<SubqueryNode>),
}

impl RangeNode {
    /// Where it stands.
    pub(crate) fn pos(&self) -> PosRange {
        match self {
            Self::Matrix { pos, .. } => *pos,
            Self::Subquery(s) => s.pos,
        }
    }

    /// Width of the range.
    pub(crate) fn range_ms(&self) -> i64 {
        match self {
            Self::Matrix { range_ms, .. } => *range_ms,
            Self::Subquery(s) => s.range_ms,
        }
    }

    /// The time that the range of a step at `t` ends at.
    pub(crate) fn reference(&self, t: i64) -> i64 {
        match self {
            Self::Matrix { selector, .. } => selector.reference(t),
            Self::Subquery(s) => s.at.unwrap_or(t).saturating_sub(s.offset_ms),
        }
    }

    /// True when every step has the same range.
    pub(crate) fn is_pinned(&self) -> bool {
        match self {
            Self::Matrix { selector, .. } => selector.at.is_some(),
            Self::Subquery(s) => s.at.is_some(),
        }
    }
}

/// An expression evaluated at the steps of a subquery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SubqueryNode {
    pub(crate) input: VectorNode,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) offset_ms: i64,
    pub(crate) at: Option<i64>,
    pub(crate) pos: PosRange,
}

/// Series with a value at each step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VectorNode {
    /// The latest sample of each series within the lookback.
    Selector(Selector),
    /// `timestamp(x)` or `start_timestamp(x)` of a selector: times of samples instead of values.
    SelectorTimes { selector: Selector, starts: bool },
    /// `vector(s)`.
    FromScalar(ScalarNode),
    /// A function of the samples in a range.
    RangeCall {
        func: FunctionId,
        /// Scalar arguments in the order written.
        args: Vec<ScalarNode>,
        input: Box<RangeNode>,
        /// Where the first argument stands, which annotations point at.
        note_pos: PosRange,
    },
    /// A function of each value by itself.
    Map {
        func: FunctionId,
        args: Vec<ScalarNode>,
        input: Box<VectorNode>,
    },
    /// `-v`
    Neg(Box<VectorNode>),
    /// `absent(v)` and `absent_over_time(r)`, where the input says which steps have a value.
    Absent {
        input: Box<VectorNode>,
        /// Labels that the matchers of the argument fix.
        labels: model::Labels,
    },
    /// `label_replace` and `label_join`.
    Relabel {
        rule: RelabelRule,
        input: Box<VectorNode>,
    },
    /// `sort` and its kin; only instant queries come sorted.
    Sort {
        order: SortOrder,
        input: Box<VectorNode>,
        pos: PosRange,
    },
    /// `histogram_quantile`, `histogram_fraction`, `histogram_quantiles`.
    Histogram {
        call: HistogramCall,
        input: Box<VectorNode>,
        pos: PosRange,
    },
    /// `info(v, {...})`.
    Info(Box<InfoNode>),
    /// An aggregation.
    Aggregate(Box<AggregateNode>),
    /// A binary operator on two vectors.
    Binary(Box<BinaryNode>),
    /// A binary operator on a vector and a scalar.
    BinaryScalar(Box<BinaryScalarNode>),
    /// Evaluated once for all steps.
    StepInvariant(Box<VectorNode>),
}

/// `label_replace` or `label_join`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RelabelRule {
    Replace {
        target: String,
        replacement: String,
        source: String,
        regex: String,
    },
    Join {
        target: String,
        separator: String,
        sources: Vec<String>,
    },
}

/// How a result is sorted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SortOrder {
    Value {
        descending: bool,
    },
    Labels {
        names: Vec<String>,
        descending: bool,
    },
}

/// A function of classic or native histograms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HistogramCall {
    Quantile {
        q: ScalarNode,
        q_pos: PosRange,
    },
    /// Of the buckets of the Lookout dialect.
    Ranges {
        q: ScalarNode,
    },
    Fraction {
        lower: ScalarNode,
        upper: ScalarNode,
    },
    Quantiles {
        label: String,
        qs: Vec<(ScalarNode, PosRange)>,
    },
}

/// `info(v, {...})`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InfoNode {
    pub(crate) input: VectorNode,
    /// Matchers of the second argument, empty when there is none.
    pub(crate) matchers: Vec<Matcher>,
    /// Time and offset of the first selector below, which info series share.
    pub(crate) at: Option<i64>,
    pub(crate) offset_ms: i64,
    pub(crate) pos: PosRange,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AggregateNode {
    pub(crate) op: AggregateOp,
    pub(crate) param: AggregateParam,
    pub(crate) input: VectorNode,
    /// Labels of `by` or `without`, sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
    /// What annotations about the input point at.
    pub(crate) input_pos: PosRange,
    /// Where the parameter stands; the aggregated expression when there is none.
    pub(crate) param_pos: PosRange,
}

/// First argument of an aggregation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AggregateParam {
    None,
    Scalar(ScalarNode),
    Label(String),
}

/// A binary operator on two vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BinaryNode {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: VectorNode,
    pub(crate) rhs: VectorNode,
    pub(crate) matching: VectorMatching,
    pub(crate) return_bool: bool,
    pub(crate) pos: PosRange,
}

/// A binary operator on a vector and a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BinaryScalarNode {
    pub(crate) op: BinaryOp,
    pub(crate) vector: VectorNode,
    pub(crate) scalar: ScalarNode,
    /// The scalar stands on the left.
    pub(crate) scalar_left: bool,
    pub(crate) return_bool: bool,
    pub(crate) pos: PosRange,
}
