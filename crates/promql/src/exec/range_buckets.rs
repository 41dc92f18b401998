//! `zhistogram_quantile` of the Lookout dialect, over buckets as Lookout's clients report them: series
//! with a label `_bucket`, whose value is `LOW-HIGH` or `LOW-`, each with the count of its bucket
//! alone. The result keeps its metric name.

use model::Labels;

use crate::columns::{Column, StepSeries, Steps};
use crate::error::Error;
use crate::limits::{Holding, Pace};
use crate::plan::ScalarNode;

use super::labels::{hash, with_label};
use super::{BoxedOperator, Context, Held, InOrder, Operator, ScalarColumn, eval_scalar};

const BUCKET_LABEL: &str = "_bucket";

/// The operator over `input` for the quantile `q`.
pub(crate) fn build<'q>(
    q: &'q ScalarNode,
    input: BoxedOperator<'q>,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let q = eval_scalar(q, steps, ctx)?;
    for i in 0..steps.count {
        let got = q.at(i);
        if !(0.0..=1.0).contains(&got) {
            return Err(Error::execution(format!(
                "zhistogram_quantile needs a quantile between 0 and 1, not {got}"
            )));
        }
    }
    Ok(Box::new(RangeBuckets {
        input: Some(input),
        q,
        steps,
        ready: Vec::new().into_iter(),
        ctx,
    }))
}

/// Bounds of a bucket; one without an upper bound has what is beyond all others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    low: f64,
    high: Option<f64>,
}

impl Bounds {
    /// The bounds that a label says.
    fn parse(text: &str) -> Option<Self> {
        // A bound may begin with a sign or have one in its exponent.
        text.match_indices('-').find_map(|(at, _)| {
            let (low, high) = (&text[..at], &text[at + 1..]);
            let high = match high {
                "" => None,
                high => Some(high.parse().ok()?),
            };
            Some(Self {
                low: low.parse().ok()?,
                high,
            })
        })
    }
}

/// The buckets of one histogram.
struct Family {
    labels: Labels,
    drop_name: bool,
    buckets: Vec<(Bounds, Column)>,
}

struct RangeBuckets<'q> {
    input: Option<BoxedOperator<'q>>,
    q: ScalarColumn,
    steps: Steps,
    ready: std::vec::IntoIter<StepSeries>,
    ctx: &'q Context<'q>,
}

impl Operator for RangeBuckets<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(input) = self.input.take() {
            self.ready = self.run(input)?.into_iter();
        }
        let Some(series) = self.ready.next() else {
            return Ok(false);
        };
        *out = series;
        Ok(true)
    }
}

impl RangeBuckets<'_> {
    fn run(&self, mut input: BoxedOperator<'_>) -> Result<Vec<StepSeries>, Error> {
        let mut families = Held::new(InOrder::<Family>::default(), self.ctx);
        let mut held = Holding::new(&self.ctx.tracker);
        let mut series = StepSeries::default();
        while input.next(&mut series)? {
            self.ctx.tracker.check()?;
            let bounds = series.labels.get(BUCKET_LABEL).and_then(Bounds::parse);
            let Some(bounds) = bounds.filter(|_| series.column.valid.any()) else {
                continue;
            };
            let column = std::mem::take(&mut series.column);
            held.add_column(&column)?;
            let labels = with_label(&series.labels, BUCKET_LABEL, "");
            let family = families.place(hash(&labels), || Family {
                labels,
                drop_name: series.drop_name,
                buckets: Vec::new(),
            });
            families.items[family].buckets.push((bounds, column));
        }
        let pace = Pace::new(&self.ctx.tracker);
        let mut results = Vec::with_capacity(families.items.len());
        for family in &mut families.items {
            // A bucket is looked at three times at each step.
            pace.spend(family.buckets.len() * self.steps.count * 4)?;
            let series = self.quantiles(family);
            if !series.column.is_absent() {
                results.push(series);
            }
        }
        drop(families.into_inner());
        Ok(results)
    }

    fn quantiles(&self, family: &mut Family) -> StepSeries {
        let buckets = &mut family.buckets;
        buckets.sort_by(|(a, _), (b, _)| a.low.total_cmp(&b.low));
        let mut column = Column::absent(self.steps.count);
        for i in 0..self.steps.count {
            let counts = buckets.iter();
            let counts = counts.filter_map(|(bounds, c)| Some((*bounds, c.float(i)?)));
            if let Some(v) = quantile(self.q.at(i), counts) {
                column.set_float(i, v);
            }
        }
        StepSeries {
            labels: std::mem::take(&mut family.labels),
            drop_name: family.drop_name,
            column,
        }
    }
}

/// The value below which the share `q` lies, of buckets in order; nothing when there are none.
fn quantile(q: f64, buckets: impl Iterator<Item = (Bounds, f64)> + Clone) -> Option<f64> {
    let total = (buckets.clone())
        .map(|(_, count)| count)
        .reduce(|a, b| a + b)?;
    let rank = q * total;
    let mut before = 0.0;
    // Nothing lies in an empty bucket, not even the least of all.
    for (bounds, count) in buckets.filter(|(_, count)| *count > 0.0) {
        if before + count >= rank {
            let width = bounds.high.map_or(0.0, |high| high - bounds.low);
            return Some(bounds.low + width * (rank - before) / count);
        }
        before += count;
    }
    Some(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_bounds() {
        let bounds = |low, high| Some(Bounds { low, high });
        for (text, expected) in [
            ("0-5", bounds(0.0, Some(5.0))),
            ("0.5-2.5", bounds(0.5, Some(2.5))),
            ("200-", bounds(200.0, None)),
            ("-5--1", bounds(-5.0, Some(-1.0))),
            ("1e-5-2", bounds(1e-5, Some(2.0))),
            ("", None),
            ("5", None),
            ("a-b", None),
        ] {
            assert_eq!(Bounds::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let of = |q, counts: [f64; 3]| {
            let bounds = [(0.0, Some(10.0)), (10.0, Some(20.0)), (20.0, None)];
            let buckets = bounds.into_iter().zip(counts);
            quantile(
                q,
                buckets.map(|((low, high), count)| (Bounds { low, high }, count)),
            )
        };
        for (q, counts, expected) in [
            (0.5, [2.0, 2.0, 0.0], 10.0),
            (0.75, [2.0, 2.0, 0.0], 15.0),
            (0.99, [1.0, 1.0, 8.0], 20.0),
            (0.0, [0.0, 4.0, 0.0], 10.0),
            (1.0, [0.0, 4.0, 0.0], 20.0),
        ] {
            assert_eq!(of(q, counts), Some(expected), "{q} of {counts:?}");
        }
        assert!(of(0.5, [0.0; 3]).is_some_and(f64::is_nan));
        assert_eq!(quantile(0.5, std::iter::empty()), None);
    }
}
