//! Function calls.

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};

use crate::ast::{Call, Expr, FunctionId as F, ValueType};
use crate::error::Error;
use crate::plan::{
    HistogramCall, InfoNode, RangeNode, RelabelRule, ScalarNode, ScalarOp, SortOrder, VectorNode,
};

use super::{Builder, Built, check_extension, mistyped, settle};

impl Builder {
    pub(super) fn scalar_call(&mut self, call: &Call) -> Result<Built<ScalarNode>, Error> {
        let seconds = |ms: i64| Built::new(ScalarNode::Number(ms as f64 / 1000.0), true);
        Ok(match (call.function.id, call.args.as_slice()) {
            (F::Time, _) => Built::new(ScalarNode::Time, false),
            (F::Pi, _) => Built::new(ScalarNode::Number(std::f64::consts::PI), true),
            (F::Start, _) => seconds(self.context.steps.start),
            (F::End, _) => seconds(self.context.end),
            (F::Range, _) => seconds(self.context.range_ms()),
            (F::Step, _) => seconds(self.context.step_ms()),
            (F::Scalar, [arg]) => {
                let inner = self.vector(arg)?;
                Built::new(
                    ScalarNode::FromVector(Box::new(inner.node)),
                    inner.invariant,
                )
            }
            (F::MaxOf, [a, b]) => self.scalar_pair(ScalarOp::Max, a, b)?,
            (F::MinOf, [a, b]) => self.scalar_pair(ScalarOp::Min, a, b)?,
            _ => {
                return Err(Error::execution(format!(
                    "cannot evaluate {}",
                    call.function.name
                )));
            }
        })
    }

    pub(super) fn vector_call(&mut self, call: &Call) -> Result<Built<VectorNode>, Error> {
        let outer = (self.hints.clone(), self.needs_buckets);
        // Stores know the functions of Prometheus, and may read downsampled data by their names.
        let known_as = match call.function.id {
            F::Increase2 => "increase",
            F::Sum2OverTime => "sum_over_time",
            _ => call.function.name,
        };
        known_as.clone_into(&mut self.hints.func);
        match call.function.id {
            F::HistogramCount | F::HistogramSum | F::HistogramAvg => {
                self.hints.histogram_stats = true;
            }
            F::HistogramQuantile | F::HistogramQuantiles | F::HistogramFraction => {
                self.needs_buckets = true;
            }
            _ => {}
        }
        let built = self.named_call(call);
        (self.hints, self.needs_buckets) = outer;
        built
    }

    fn named_call(&mut self, call: &Call) -> Result<Built<VectorNode>, Error> {
        let args = call.args.as_slice();
        match (call.function.id, args) {
            (F::Vector, [s]) => {
                let s = self.scalar(s)?;
                Ok(Built::new(VectorNode::FromScalar(s.node), s.invariant))
            }
            (F::Absent, [arg]) => {
                let labels = absent_labels(arg);
                let inner = self.vector(arg)?;
                let input = Box::new(inner.node);
                Ok(Built::new(
                    VectorNode::Absent { input, labels },
                    inner.invariant,
                ))
            }
            (F::AbsentOverTime, [arg]) => {
                let inner = self.range_call(F::AbsentOverTime, call)?;
                let input = Box::new(inner.node);
                let labels = absent_labels(arg);
                Ok(Built::new(
                    VectorNode::Absent { input, labels },
                    inner.invariant,
                ))
            }
            (F::LabelReplace | F::LabelJoin, [v, rest @ ..]) => {
                let rule = relabel_rule(call.function.id, rest)?;
                let inner = self.vector(v)?;
                let input = Box::new(inner.node);
                Ok(Built::new(
                    VectorNode::Relabel { rule, input },
                    inner.invariant,
                ))
            }
            (F::Sort | F::SortDesc | F::SortByLabel | F::SortByLabelDesc, [v, rest @ ..]) => {
                let order = sort_order(call.function.id, rest)?;
                let inner = self.vector(v)?;
                let input = Box::new(inner.node);
                Ok(Built::new(
                    VectorNode::Sort {
                        order,
                        input,
                        pos: call.pos,
                    },
                    inner.invariant,
                ))
            }
            (
                F::HistogramQuantile
                | F::HistogramFraction
                | F::HistogramQuantiles
                | F::ZhistogramQuantile,
                _,
            ) => self.histogram_call(call),
            (F::Info, [v, rest @ ..]) => self.info(v, rest),
            (F::Timestamp | F::StartTimestamp, [arg]) => self.times(call, arg),
            _ if args.iter().any(|a| a.value_type() == ValueType::Matrix) => {
                self.range_call(call.function.id, call)
            }
            _ => self.map_call(call),
        }
    }

    fn range_call(&mut self, func: F, call: &Call) -> Result<Built<VectorNode>, Error> {
        let mut scalars = Vec::new();
        let mut input = None;
        for arg in &call.args {
            match arg.value_type() {
                ValueType::Matrix => input = Some(self.range(arg)?),
                _ => scalars.push(self.scalar(arg)?),
            }
        }
        let Some(input) = input else {
            return Err(Error::execution(format!(
                "cannot evaluate {}",
                call.function.name
            )));
        };
        if let RangeNode::Matrix { selector, .. } = &input {
            check_extension(selector, call.function)?;
        }
        // The result of predict_linear depends on the time of the step itself.
        let invariant =
            input.is_pinned() && func != F::PredictLinear && scalars.iter().all(|s| s.invariant);
        let node = VectorNode::RangeCall {
            func,
            args: settle(scalars, invariant),
            input: Box::new(input),
            note_pos: call.args.first().map_or(call.pos, Expr::pos),
        };
        Ok(Built::new(node, invariant))
    }

    fn map_call(&mut self, call: &Call) -> Result<Built<VectorNode>, Error> {
        let mut input = None;
        let mut scalars = Vec::new();
        for arg in &call.args {
            match arg.value_type() {
                ValueType::Vector => input = Some(self.vector(arg)?),
                _ => scalars.push(self.scalar(arg)?),
            }
        }
        // Only the date functions can do without a vector.
        let input =
            input.unwrap_or_else(|| Built::new(VectorNode::FromScalar(ScalarNode::Time), false));
        let invariant = input.invariant && scalars.iter().all(|s| s.invariant);
        let node = VectorNode::Map {
            func: call.function.id,
            args: settle(scalars, invariant),
            input: Box::new(if invariant {
                input.node
            } else {
                input.pinned()
            }),
        };
        Ok(Built::new(node, invariant))
    }

    /// `timestamp` and `start_timestamp` look at the samples when their argument is a selector.
    fn times(&mut self, call: &Call, arg: &Expr) -> Result<Built<VectorNode>, Error> {
        let starts = call.function.id == F::StartTimestamp;
        if let Expr::Vector(v) = arg.unwrap_parens() {
            let selector = self.selector(v, 0)?;
            let invariant = selector.at.is_some();
            return Ok(Built::new(
                VectorNode::SelectorTimes { selector, starts },
                invariant,
            ));
        }
        let input = Box::new(self.vector(arg)?.pinned());
        let node = VectorNode::Map {
            func: call.function.id,
            args: Vec::new(),
            input,
        };
        Ok(Built::new(node, false))
    }

    fn histogram_call(&mut self, call: &Call) -> Result<Built<VectorNode>, Error> {
        let mut input = None;
        let mut scalars = Vec::new();
        let mut label = String::new();
        for arg in &call.args {
            match arg.value_type() {
                ValueType::Vector => input = Some(self.vector(arg)?),
                ValueType::String => label = label_arg(arg)?,
                _ => scalars.push((self.scalar(arg)?, arg.pos())),
            }
        }
        let Some(input) = input else {
            return Err(Error::execution(format!(
                "cannot evaluate {}",
                call.function.name
            )));
        };
        let invariant = input.invariant && scalars.iter().all(|(s, _)| s.invariant);
        let input_pos = call
            .args
            .iter()
            .find(|a| a.value_type() == ValueType::Vector)
            .map_or(call.pos, Expr::pos);
        let mut scalars = scalars
            .into_iter()
            .map(|(s, pos)| (if invariant { s.node } else { s.pinned() }, pos));
        let arity = || Error::execution(format!("cannot evaluate {}", call.function.name));
        let histogram = match call.function.id {
            F::HistogramQuantile => {
                let (q, q_pos) = scalars.next().ok_or_else(arity)?;
                HistogramCall::Quantile { q, q_pos }
            }
            F::ZhistogramQuantile => HistogramCall::Ranges {
                q: scalars.next().ok_or_else(arity)?.0,
            },
            F::HistogramFraction => HistogramCall::Fraction {
                lower: scalars.next().ok_or_else(arity)?.0,
                upper: scalars.next().ok_or_else(arity)?.0,
            },
            _ => HistogramCall::Quantiles {
                label,
                qs: scalars.collect(),
            },
        };
        let node = VectorNode::Histogram {
            call: histogram,
            input: Box::new(if invariant {
                input.node
            } else {
                input.pinned()
            }),
            pos: input_pos,
        };
        Ok(Built::new(node, invariant))
    }

    fn info(&mut self, v: &Expr, rest: &[Expr]) -> Result<Built<VectorNode>, Error> {
        let matchers = match rest.first().map(Expr::unwrap_parens) {
            Some(Expr::Vector(selector)) => selector.matchers.clone(),
            Some(other) => return Err(mistyped(other)),
            None => Vec::new(),
        };
        let input = self.vector(v)?;
        let (at, offset_ms) = first_reference(&input.node).unwrap_or((None, 0));
        let node = InfoNode {
            input: input.node,
            matchers,
            at,
            offset_ms,
            pos: v.pos(),
        };
        Ok(Built::new(
            VectorNode::Info(Box::new(node)),
            input.invariant,
        ))
    }
}

/// A string argument that must be UTF-8.
fn text(expr: &Expr, invalid: impl FnOnce(&[u8]) -> Error) -> Result<&str, Error> {
    match expr.unwrap_parens() {
        Expr::String(s) => s.as_str().ok_or_else(|| invalid(&s.value)),
        other => Err(mistyped(other)),
    }
}

/// A string as Go's `%q` writes it, bytes that are not UTF-8 as `\xNN`.
fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let mut quoted = String::new();
        model::labels::quote_into(&mut quoted, chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// A string argument that names a label.
pub(super) fn label_arg(expr: &Expr) -> Result<String, Error> {
    let invalid =
        |bytes: &[u8]| Error::execution(format!("invalid label name {}", quote_bytes(bytes)));
    let name = text(expr, invalid)?;
    if name.is_empty() {
        return Err(invalid(b""));
    }
    Ok(name.to_owned())
}

fn relabel_rule(func: F, args: &[Expr]) -> Result<RelabelRule, Error> {
    let name = if func == F::LabelReplace {
        "label_replace"
    } else {
        "label_join"
    };
    let invalid = |what: &str, bytes: &[u8]| {
        Error::execution(format!(
            "invalid {what} in {name}(): {}",
            String::from_utf8_lossy(bytes)
        ))
    };
    let string = |expr, what: &str| text(expr, |b| invalid(what, b)).map(str::to_owned);
    let target = |expr| {
        let target = string(expr, "destination label name")?;
        if target.is_empty() {
            return Err(invalid("destination label name", b""));
        }
        Ok(target)
    };
    match (func, args) {
        (F::LabelReplace, [dst, replacement, src, regex]) => Ok(RelabelRule::Replace {
            target: target(dst)?,
            replacement: string(replacement, "replacement")?,
            source: string(src, "source label name")?,
            regex: string(regex, "regular expression")?,
        }),
        (F::LabelJoin, [dst, separator, sources @ ..]) => {
            let sources: Result<Vec<_>, _> = sources
                .iter()
                .map(|s| match string(s, "source label name") {
                    Ok(s) if s.is_empty() => Err(invalid("source label name", b"")),
                    other => other,
                })
                .collect();
            Ok(RelabelRule::Join {
                target: target(dst)?,
                separator: string(separator, "separator")?,
                sources: sources?,
            })
        }
        _ => Err(Error::execution(format!("cannot evaluate {name}"))),
    }
}

fn sort_order(func: F, args: &[Expr]) -> Result<SortOrder, Error> {
    let names: Result<Vec<String>, Error> = args.iter().map(label_arg).collect();
    let names = names?;
    Ok(match func {
        F::Sort => SortOrder::Value { descending: false },
        F::SortDesc => SortOrder::Value { descending: true },
        F::SortByLabel => SortOrder::Labels {
            names,
            descending: false,
        },
        _ => SortOrder::Labels {
            names,
            descending: true,
        },
    })
}

/// The labels that the matchers of a selector fix; labels with several matchers are left out.
fn absent_labels(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match arg.unwrap_parens() {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.delete(matcher.name());
        }
    }
    builder.labels()
}

/// `@` and offset of the first selector below, with those of the subqueries around it.
fn first_reference(node: &VectorNode) -> Option<(Option<i64>, i64)> {
    match node {
        VectorNode::Selector(s) | VectorNode::SelectorTimes { selector: s, .. } => {
            Some((s.at, s.offset_ms))
        }
        VectorNode::FromScalar(_) => None,
        VectorNode::RangeCall { input, .. } => match &**input {
            RangeNode::Matrix { selector, .. } => Some((selector.at, selector.offset_ms)),
            RangeNode::Subquery(s) => {
                let (at, offset) = first_reference(&s.input)?;
                Some(match at {
                    Some(_) => (at, offset),
                    None => (s.at, offset.saturating_add(s.offset_ms)),
                })
            }
        },
        VectorNode::Map { input, .. }
        | VectorNode::Neg(input)
        | VectorNode::Absent { input, .. }
        | VectorNode::Relabel { input, .. }
        | VectorNode::Sort { input, .. }
        | VectorNode::Histogram { input, .. }
        | VectorNode::StepInvariant(input) => first_reference(input),
        VectorNode::Info(i) => first_reference(&i.input),
        VectorNode::Aggregate(a) => first_reference(&a.input),
        VectorNode::Binary(b) => first_reference(&b.lhs).or_else(|| first_reference(&b.rhs)),
        VectorNode::BinaryScalar(b) => first_reference(&b.vector),
    }
}
