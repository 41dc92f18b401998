//! From syntax tree to plan.

mod call;

use model::TimeRange;

use crate::ast::{
    self, AggregateOp, At, DurationContext, Expr, RangeExtension, UnaryOp, ValueType,
};
use crate::columns::Steps;
use crate::error::Error;
use crate::source::Hints;

use super::{
    AggregateNode, AggregateParam, BinaryNode, BinaryScalarNode, Plan, RangeNode, ScalarNode,
    ScalarOp, Selector, SubqueryNode, VectorNode,
};

/// What a plan depends on beside the expression.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanContext {
    /// The steps of the query.
    pub(crate) steps: Steps,
    /// The end of the query, which may lie after the last step, in milliseconds.
    pub(crate) end: i64,
    /// How old a sample may be to count at an instant, in milliseconds.
    pub(crate) lookback_ms: i64,
    /// True for an instant query.
    pub(crate) is_instant: bool,
    /// Step of subqueries that do not say one.
    pub(crate) default_step_ms: i64,
    /// Start timestamps are to be read.
    pub(crate) start_timestamps: bool,
}

impl PlanContext {
    fn step_ms(&self) -> i64 {
        if self.is_instant { 0 } else { self.steps.step }
    }

    /// Milliseconds from the start to the end that were asked for.
    fn range_ms(&self) -> i64 {
        self.end - self.steps.start
    }

    fn durations(&self) -> DurationContext {
        DurationContext {
            step_ms: self.step_ms(),
            range_ms: self.range_ms(),
        }
    }

    fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Timestamp(t) => t,
            At::Start => self.steps.start,
            At::End => self.end,
        })
    }
}

/// Makes the plan of `expr`.
///
/// # Errors
/// When the expression can be parsed but not evaluated, whatever the data.
pub(crate) fn build(expr: &Expr, context: PlanContext) -> Result<Plan, Error> {
    let mut builder = Builder {
        context,
        hints: Hints {
            step_ms: context.step_ms(),
            start_timestamps: context.start_timestamps,
            ..Hints::default()
        },
        needs_buckets: false,
    };
    let expr = expr.unwrap_parens();
    Ok(match expr.value_type() {
        ValueType::Scalar => Plan::Scalar(builder.scalar(expr)?.pinned()),
        ValueType::Vector => Plan::Vector(builder.vector(expr)?.pinned()),
        ValueType::Matrix => Plan::Range(builder.range(expr)?),
        ValueType::String => match expr {
            Expr::String(s) => Plan::String(s.value.clone()),
            _ => return Err(mistyped(expr)),
        },
    })
}

/// The parser checks types, so this is a bug of ours or a hand-made tree.
fn mistyped(expr: &Expr) -> Error {
    Error::execution(format!(
        "unexpected {} expression at offset {}",
        expr.value_type().documented(),
        expr.pos().start
    ))
}

/// A node, and whether it is the same at every step.
struct Built<T> {
    node: T,
    invariant: bool,
}

impl<T> Built<T> {
    const fn new(node: T, invariant: bool) -> Self {
        Self { node, invariant }
    }
}

impl Built<ScalarNode> {
    /// The node, evaluated once if it can be.
    fn pinned(self) -> ScalarNode {
        match self.node {
            node @ (ScalarNode::Number(_) | ScalarNode::Time) => node,
            node if self.invariant => ScalarNode::StepInvariant(Box::new(node)),
            node => node,
        }
    }
}

impl Built<VectorNode> {
    /// The node, evaluated once if it can be.
    fn pinned(self) -> VectorNode {
        if self.invariant {
            VectorNode::StepInvariant(Box::new(self.node))
        } else {
            self.node
        }
    }
}

/// The nodes as they are when `together`, else each evaluated once if it can be.
fn settle(scalars: Vec<Built<ScalarNode>>, together: bool) -> Vec<ScalarNode> {
    scalars
        .into_iter()
        .map(|s| if together { s.node } else { s.pinned() })
        .collect()
}

struct Builder {
    context: PlanContext,
    /// Hints for the next selector below.
    hints: Hints,
    /// The buckets of histograms matter, whatever functions are further down.
    needs_buckets: bool,
}

impl Builder {
    fn scalar(&mut self, expr: &Expr) -> Result<Built<ScalarNode>, Error> {
        Ok(match expr.unwrap_parens() {
            Expr::Number(n) => Built::new(ScalarNode::Number(n.value), true),
            Expr::Unary(u) => {
                let inner = self.scalar(&u.expr)?;
                match u.op {
                    UnaryOp::Plus => inner,
                    UnaryOp::Minus => {
                        Built::new(ScalarNode::Neg(Box::new(inner.node)), inner.invariant)
                    }
                }
            }
            Expr::Binary(b) => self.scalar_pair(ScalarOp::Binary(b.op), &b.lhs, &b.rhs)?,
            Expr::Call(c) => self.scalar_call(c)?,
            other => return Err(mistyped(other)),
        })
    }

    fn scalar_pair(
        &mut self,
        op: ScalarOp,
        lhs: &Expr,
        rhs: &Expr,
    ) -> Result<Built<ScalarNode>, Error> {
        let (lhs, rhs) = (self.scalar(lhs)?, self.scalar(rhs)?);
        let invariant = lhs.invariant && rhs.invariant;
        let pair = if invariant {
            (lhs.node, rhs.node)
        } else {
            (lhs.pinned(), rhs.pinned())
        };
        Ok(Built::new(
            ScalarNode::Binary(op, Box::new(pair)),
            invariant,
        ))
    }

    fn vector(&mut self, expr: &Expr) -> Result<Built<VectorNode>, Error> {
        Ok(match expr.unwrap_parens() {
            Expr::Vector(v) => {
                let selector = self.selector(v, 0)?;
                let invariant = selector.at.is_some();
                Built::new(VectorNode::Selector(selector), invariant)
            }
            Expr::Unary(u) => {
                let inner = self.vector(&u.expr)?;
                match u.op {
                    UnaryOp::Plus => inner,
                    UnaryOp::Minus => {
                        Built::new(VectorNode::Neg(Box::new(inner.node)), inner.invariant)
                    }
                }
            }
            Expr::Aggregate(a) => self.aggregate(a)?,
            Expr::Binary(b) => self.binary(b)?,
            Expr::Call(c) => self.vector_call(c)?,
            other => return Err(mistyped(other)),
        })
    }

    fn range(&mut self, expr: &Expr) -> Result<RangeNode, Error> {
        match expr.unwrap_parens() {
            Expr::Matrix(m) => {
                let range_ms = self.positive(&m.range)?;
                Ok(RangeNode::Matrix {
                    selector: self.selector(&m.selector, range_ms)?,
                    range_ms,
                    pos: m.pos,
                })
            }
            Expr::Subquery(s) => {
                let step_ms = match &s.step {
                    Some(step) => self.positive(step)?,
                    None => self.context.default_step_ms,
                };
                let range_ms = self.positive(&s.range)?;
                let offset_ms = self.offset(&s.offset)?;
                let hints = std::mem::take(&mut self.hints);
                self.hints.step_ms = step_ms;
                self.hints.start_timestamps = hints.start_timestamps;
                // Samples left out or shown twice make resets visible in buckets only.
                let needs_buckets = std::mem::replace(&mut self.needs_buckets, true);
                let input = self.vector(&s.expr)?.pinned();
                self.needs_buckets = needs_buckets;
                self.hints = hints;
                Ok(RangeNode::Subquery(Box::new(SubqueryNode {
                    input,
                    range_ms,
                    step_ms,
                    offset_ms,
                    at: self.context.at(s.at),
                    pos: s.pos,
                })))
            }
            other => Err(mistyped(other)),
        }
    }

    fn positive(&self, duration: &ast::Duration) -> Result<i64, Error> {
        duration
            .positive_millis(self.context.durations())
            .map_err(|e| Error::execution(e.to_string()))
    }

    fn offset(&self, duration: &ast::Duration) -> Result<i64, Error> {
        duration
            .offset_millis(self.context.durations())
            .map_err(|e| Error::execution(e.to_string()))
    }

    fn selector(&mut self, v: &ast::VectorSelector, range_ms: i64) -> Result<Selector, Error> {
        let mut hints = self.hints.clone();
        hints.range_ms = range_ms;
        hints.histogram_stats &= !self.needs_buckets;
        Ok(Selector {
            matchers: v.matchers.clone(),
            offset_ms: self.offset(&v.offset)?,
            at: self.context.at(v.at),
            extension: v.extension,
            hints,
            range: TimeRange::ALL,
            share: None,
            pos: v.pos,
        })
    }

    fn aggregate(&mut self, a: &ast::Aggregate) -> Result<Built<VectorNode>, Error> {
        let outer = self.hints.clone();
        a.op.as_str().clone_into(&mut self.hints.func);
        self.hints.grouping.clone_from(&a.grouping);
        self.hints.by = !a.without;
        let input = self.vector(&a.expr)?;
        self.hints = outer;

        let mut invariant = input.invariant;
        // Of topk and bottomk Prometheus names the aggregation, of others what they aggregate.
        let input_pos = match a.op {
            AggregateOp::Topk | AggregateOp::Bottomk => a.pos,
            _ => a.expr.pos(),
        };
        let mut param_pos = input_pos;
        let mut scalar = None;
        let mut label = None;
        match (&a.param, a.op) {
            (None, _) => {}
            (Some(expr), AggregateOp::CountValues) => label = Some(call::label_arg(expr)?),
            (Some(expr), _) => {
                param_pos = expr.unwrap_parens().pos();
                let built = self.scalar(expr)?;
                invariant &= built.invariant;
                scalar = Some(built);
            }
        }
        let param = match (scalar, label) {
            (Some(s), _) => AggregateParam::Scalar(if invariant { s.node } else { s.pinned() }),
            (None, Some(label)) => AggregateParam::Label(label),
            (None, None) => AggregateParam::None,
        };
        let mut grouping = a.grouping.clone();
        grouping.sort_unstable();
        grouping.dedup();
        let node = VectorNode::Aggregate(Box::new(AggregateNode {
            op: a.op,
            param,
            input: if invariant {
                input.node
            } else {
                input.pinned()
            },
            grouping,
            without: a.without,
            input_pos,
            param_pos,
        }));
        Ok(Built::new(node, invariant))
    }

    fn binary(&mut self, b: &ast::Binary) -> Result<Built<VectorNode>, Error> {
        let outer = self.needs_buckets;
        self.needs_buckets |= matches!(b.op, ast::BinaryOp::TrimUpper | ast::BinaryOp::TrimLower);
        let built = self.operation(b);
        self.needs_buckets = outer;
        built
    }

    fn operation(&mut self, b: &ast::Binary) -> Result<Built<VectorNode>, Error> {
        let types = (b.lhs.value_type(), b.rhs.value_type());
        if types == (ValueType::Vector, ValueType::Vector) {
            let (lhs, rhs) = (self.vector(&b.lhs)?, self.vector(&b.rhs)?);
            let invariant = lhs.invariant && rhs.invariant;
            let (lhs, rhs) = if invariant {
                (lhs.node, rhs.node)
            } else {
                (lhs.pinned(), rhs.pinned())
            };
            let node = VectorNode::Binary(Box::new(BinaryNode {
                op: b.op,
                lhs,
                rhs,
                matching: b.matching.clone().unwrap_or_default(),
                return_bool: b.return_bool,
                pos: b.pos,
            }));
            return Ok(Built::new(node, invariant));
        }
        let scalar_left = types.0 == ValueType::Scalar;
        let (scalar, vector) = if scalar_left {
            (&b.lhs, &b.rhs)
        } else {
            (&b.rhs, &b.lhs)
        };
        let (scalar, vector) = (self.scalar(scalar)?, self.vector(vector)?);
        let invariant = scalar.invariant && vector.invariant;
        let (scalar, vector) = if invariant {
            (scalar.node, vector.node)
        } else {
            (scalar.pinned(), vector.pinned())
        };
        let node = VectorNode::BinaryScalar(Box::new(BinaryScalarNode {
            op: b.op,
            vector,
            scalar,
            scalar_left,
            return_bool: b.return_bool,
            pos: b.pos,
        }));
        Ok(Built::new(node, invariant))
    }
}

/// Refuses `anchored` and `smoothed` around functions that do not know them.
fn check_extension(selector: &Selector, function: &ast::Function) -> Result<(), Error> {
    use ast::FunctionId::{Changes, Delta, Increase, Rate, Resets};
    let (modifier, allowed, names): (_, &[ast::FunctionId], _) = match selector.extension {
        None => return Ok(()),
        Some(RangeExtension::Anchored) => (
            "anchored",
            &[Changes, Delta, Increase, Rate, Resets],
            "changes, delta, increase, rate, resets",
        ),
        Some(RangeExtension::Smoothed) => (
            "smoothed",
            &[Delta, Increase, Rate],
            "delta, increase, rate",
        ),
    };
    if allowed.contains(&function.id) {
        return Ok(());
    }
    Err(Error::execution(format!(
        "{modifier} modifier can only be used with: {names} - not with {}",
        function.name
    )))
}
