//! Checks of an expression whose syntax is right: types, numbers of arguments, what modifiers fit.

use model::labels::METRIC_NAME;

use super::ParseError;
use super::quote::quoted;
use crate::ast::{
    Aggregate, Binary, Call, Cardinality, Expr, FunctionId, PosRange, ValueType, Variadic,
    VectorSelector,
};

type Result<T> = std::result::Result<T, ParseError>;

/// Checks the expression written in `input`, and gives set operators their cardinality and takes the
/// matching from operators that are not between two vectors.
pub(super) fn check(expr: &mut Expr, input: &str) -> Result<()> {
    Checker { input }.expr(expr)
}

/// The error of a selector that selects everything.
pub(super) fn unselective(selector: &VectorSelector, input: &str) -> ParseError {
    ParseError::new(
        input,
        selector.pos,
        "vector selector must contain at least one non-empty matcher",
    )
}

struct Checker<'a> {
    input: &'a str,
}

impl Checker<'_> {
    fn expr(&self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Aggregate(e) => self.aggregate(e),
            Expr::Binary(e) => {
                self.expr(&mut e.lhs)?;
                self.expr(&mut e.rhs)?;
                self.binary(e)
            }
            Expr::Call(e) => self.call(e),
            Expr::Paren(e) => self.expr(&mut e.expr),
            Expr::Unary(e) => {
                self.expr(&mut e.expr)?;
                match e.value_type {
                    ValueType::Scalar | ValueType::Vector => Ok(()),
                    other => Err(self.not_signed(e.pos, other)),
                }
            }
            Expr::Subquery(e) => {
                self.expr(&mut e.expr)?;
                match e.expr.value_type() {
                    ValueType::Vector => Ok(()),
                    other => Err(self.not_subquery(e.pos, other)),
                }
            }
            Expr::Matrix(e) => self.selective(&e.selector),
            Expr::Vector(e) => self.selective(e),
            Expr::Number(_) | Expr::String(_) => Ok(()),
        }
    }

    #[cold]
    fn error(&self, pos: PosRange, message: impl Into<String>) -> ParseError {
        ParseError::new(self.input, pos, message)
    }

    #[cold]
    fn not_signed(&self, pos: PosRange, got: ValueType) -> ParseError {
        let got = got.documented();
        let message = format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got \
             \"{got}\""
        );
        self.error(pos, message)
    }

    #[cold]
    fn not_subquery(&self, pos: PosRange, got: ValueType) -> ParseError {
        let message = format!("subquery is only allowed on instant vector, got {got} instead");
        self.error(pos, message)
    }

    /// Checks `expr`, which must be of type `want`.
    fn expect(&self, expr: &mut Expr, want: ValueType, place: &str) -> Result<()> {
        self.expr(expr)?;
        let got = expr.value_type();
        if got == want {
            return Ok(());
        }
        Err(self.wrong_type(expr.pos(), want, place, got))
    }

    #[cold]
    fn wrong_type(
        &self,
        pos: PosRange,
        want: ValueType,
        place: &str,
        got: ValueType,
    ) -> ParseError {
        let (want, got) = (want.documented(), got.documented());
        self.error(pos, format!("expected type {want} in {place}, got {got}"))
    }

    fn aggregate(&self, e: &mut Aggregate) -> Result<()> {
        self.expect(&mut e.expr, ValueType::Vector, "aggregation expression")?;
        match (&mut e.param, e.op.param_type()) {
            (Some(param), Some(want)) => self.expect(param, want, "aggregation parameter"),
            _ => Ok(()),
        }
    }

    /// Checks a binary expression whose operands are fine.
    fn binary(&self, e: &mut Binary) -> Result<()> {
        let (lhs, rhs) = (e.lhs.value_type(), e.rhs.value_type());
        if e.return_bool && !e.op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return Err(self.error(self.operator(e), message));
        }
        let are_scalars = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        if e.op.is_comparison() && !e.return_bool && are_scalars {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.error(self.operator(e), message));
        }
        if let Some(matching) = &e.matching
            && matching.on
            && let Some(label) = matching
                .labels
                .iter()
                .find(|l| matching.include.contains(l))
        {
            let label = quoted(label.as_bytes());
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            return Err(self.error(self.operator(e), message));
        }
        for (operand, value_type) in [(&e.lhs, lhs), (&e.rhs, rhs)] {
            if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(operand.pos(), message));
            }
        }
        self.matching(e, lhs == ValueType::Vector && rhs == ValueType::Vector)
    }

    fn matching(&self, e: &mut Binary, are_vectors: bool) -> Result<()> {
        let Some(matching) = &mut e.matching else {
            return Ok(());
        };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        let op = e.op;
        if !are_vectors {
            let message = if !matching.labels.is_empty() {
                "vector matching only allowed between instant vectors".to_owned()
            } else if fills {
                "filling in missing series only allowed between instant vectors".to_owned()
            } else if op.is_set() {
                format!("set operator \"{op}\" not allowed in binary scalar expression")
            } else {
                e.matching = None;
                return Ok(());
            };
            return Err(self.error(e.pos, message));
        }
        if op.is_set() {
            if matching.cardinality != Cardinality::OneToOne {
                let message = format!("no grouping allowed for \"{op}\" operation");
                return Err(self.error(e.pos, message));
            }
            if fills {
                let message = "filling in missing series not allowed for set operators";
                return Err(self.error(e.pos, message));
            }
            matching.cardinality = Cardinality::ManyToMany;
        }
        Ok(())
    }

    /// Where the operator and its modifiers stand: between the operands, spaces apart.
    #[cold]
    fn operator(&self, e: &Binary) -> PosRange {
        let (start, end) = (e.lhs.pos().end, e.rhs.pos().start);
        let between = &self.input[start as usize..end as usize];
        let spaces = [' ', '\t', '\n', '\r'];
        let skipped = between.len() - between.trim_start_matches(spaces).len();
        PosRange::new(
            start + skipped as u32,
            start + between.trim_end_matches(spaces).len() as u32,
        )
    }

    fn call(&self, e: &mut Call) -> Result<()> {
        self.check_count(e)?;
        let function = e.function;
        if function.id == FunctionId::Info
            && let Some(labels) = e.args.get(1)
        {
            self.info_labels(labels, e.pos)?;
        }
        let Some(last) = function.arg_types.len().checked_sub(1) else {
            return Ok(());
        };
        for (i, arg) in e.args.iter_mut().enumerate() {
            let want = function.arg_types[i.min(last)];
            if let (FunctionId::Info, 1, Expr::Vector(labels)) = (function.id, i, &mut *arg) {
                // The only selector that may select everything.
                self.selector(labels)?;
            } else {
                self.expr(arg)?;
            }
            let got = arg.value_type();
            if got != want {
                let place = format!("call to function \"{}\"", function.name);
                return Err(self.wrong_type(arg.pos(), want, &place, got));
            }
        }
        Ok(())
    }

    fn check_count(&self, e: &Call) -> Result<()> {
        let (types, given) = (e.function.arg_types.len(), e.args.len());
        let (how, wanted) = match e.function.variadic {
            Variadic::No if given != types => ("", types),
            Variadic::UpTo(_) | Variadic::Unbounded if given + 1 < types => {
                ("at least ", types - 1)
            }
            Variadic::UpTo(more) if given + 1 > types + more => ("at most ", types - 1 + more),
            _ => return Ok(()),
        };
        let name = e.function.name;
        let message =
            format!("expected {how}{wanted} argument(s) in call to \"{name}\", got {given}");
        Err(self.error(e.pos, message))
    }

    /// Checks that the second argument of `info` is a selector without a name.
    fn info_labels(&self, labels: &Expr, call: PosRange) -> Result<()> {
        let got = labels.value_type();
        if got != ValueType::Vector {
            let place = "call to function \"info\"";
            return Err(self.wrong_type(call, ValueType::Vector, place, got));
        }
        match labels {
            Expr::Vector(selector) if selector.name.is_empty() => Ok(()),
            Expr::Vector(selector) => {
                let message = "expected label selectors only, got vector selector instead";
                Err(self.error(selector.pos, message))
            }
            other => Err(self.error(other.pos(), "expected label selectors only")),
        }
    }

    fn selective(&self, e: &VectorSelector) -> Result<()> {
        self.selector(e)?;
        if e.is_selective() {
            Ok(())
        } else {
            Err(unselective(e, self.input))
        }
    }

    /// Checks that a metric name outside the braces is the only one.
    fn selector(&self, e: &VectorSelector) -> Result<()> {
        let Some((_, inside)) = e.matchers.split_last().filter(|_| !e.name.is_empty()) else {
            return Ok(());
        };
        match inside.iter().find(|m| m.name() == METRIC_NAME) {
            Some(other) => {
                let (name, other) = (quoted(e.name.as_bytes()), quoted(other.value().as_bytes()));
                let message = format!("metric name must not be set twice: {name} or {other}");
                Err(self.error(e.pos, message))
            }
            None => Ok(()),
        }
    }
}
