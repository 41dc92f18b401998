//! Aggregations.
//!
//! Those that fold ([`fold`]) hold a column per group; [`rank`] keeps the series it picks from,
//! [`quantile`] the values, [`count_values`] a column per value.

mod count_values;
mod fold;
mod hist_fold;
mod quantile;
mod rank;

use model::Labels;

use crate::ast::AggregateOp;
use crate::columns::{StepSeries, Steps};
use crate::error::Error;
use crate::plan::{AggregateNode, AggregateParam};

use super::labels::LabelFilter;
use super::{BoxedOperator, Context, InOrder, Operator, ScalarColumn, eval_scalar, vector};

/// The operator of `node`.
pub(crate) fn build<'q>(
    node: &'q AggregateNode,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let input = Input {
        node,
        operator: vector(&node.input, steps, ctx)?,
        filter: LabelFilter::new(&node.grouping, !node.without),
        steps,
        ctx,
    };
    let param = match &node.param {
        AggregateParam::Scalar(s) => eval_scalar(s, steps, ctx)?,
        AggregateParam::None | AggregateParam::Label(_) => ScalarColumn::Constant(f64::NAN),
    };
    let run: Run<'q> = match (node.op, &node.param) {
        (AggregateOp::CountValues, AggregateParam::Label(label)) => {
            Box::new(move || count_values::run(input, label))
        }
        (AggregateOp::Quantile, _) => Box::new(move || quantile::run(input, &param)),
        (
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio,
            _,
        ) => Box::new(move || rank::run(input, &param)),
        _ => Box::new(move || fold::run(input)),
    };
    Ok(Box::new(Aggregation {
        run: Some(run),
        results: Vec::new().into_iter(),
    }))
}

type Run<'q> = Box<dyn FnOnce() -> Result<Vec<StepSeries>, Error> + 'q>;

/// Aggregates when it is first asked, then yields the groups.
struct Aggregation<'q> {
    run: Option<Run<'q>>,
    results: std::vec::IntoIter<StepSeries>,
}

impl Operator for Aggregation<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(run) = self.run.take() {
            self.results = run()?.into_iter();
        }
        let Some(series) = self.results.next() else {
            return Ok(false);
        };
        *out = series;
        Ok(true)
    }
}

/// What is aggregated.
struct Input<'q> {
    node: &'q AggregateNode,
    operator: BoxedOperator<'q>,
    filter: LabelFilter,
    steps: Steps,
    ctx: &'q Context<'q>,
}

/// Groups in the order in which their first series came.
type Groups<S> = InOrder<Group<S>>;

struct Group<S> {
    labels: Labels,
    /// Some series of the group is to lose its name at the end.
    drop_name: bool,
    state: S,
}

impl<S> Groups<S> {
    /// The group of `series`, made with `state` if it is new.
    fn of(
        &mut self,
        series: &StepSeries,
        filter: &LabelFilter,
        state: impl FnOnce() -> S,
    ) -> (usize, &mut Group<S>) {
        let index = self.place(filter.hash(&series.labels), || Group {
            labels: filter.apply(&series.labels),
            drop_name: false,
            state: state(),
        });
        let group = &mut self.items[index];
        group.drop_name |= series.drop_name;
        (index, group)
    }
}
