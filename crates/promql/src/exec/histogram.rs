//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, of native histograms and of
//! classic ones, whose buckets are series with a label `le`.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::Labels;
use model::float::push_openmetrics;

use crate::annotations::{ForcedMonotonicity, Note};
use crate::ast::PosRange;
use crate::columns::{Column, StepSeries, Steps};
use crate::error::Error;
use crate::functions::classic::{self, ClassicBucket};
use crate::functions::native::{self, NanEffect};
use crate::limits::Holding;
use crate::plan::HistogramCall;

use super::distinct::{DropName, Names, StepGuard};
use super::labels::{hash, with_label};
use super::merge::{self, Kept};
use super::range_buckets;
use super::{BoxedOperator, Context, Held, InOrder, Operator, ScalarColumn, eval_scalar};

const BUCKET_LABEL: &str = "le";

/// The operator of `call` over `input`, which stands at `pos`.
pub(crate) fn build<'q>(
    call: &'q HistogramCall,
    input: BoxedOperator<'q>,
    pos: PosRange,
    steps: Steps,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let scalar = |node| eval_scalar(node, steps, ctx);
    let asks = match call {
        HistogramCall::Ranges { q } => return range_buckets::build(q, input, steps, ctx),
        HistogramCall::Quantile { q, q_pos } => {
            let q = scalar(q)?;
            check_quantile(&q, *q_pos, steps, ctx);
            vec![(Ask::Quantile(q), None)]
        }
        HistogramCall::Fraction { lower, upper } => {
            vec![(Ask::Fraction(scalar(lower)?, scalar(upper)?), None)]
        }
        HistogramCall::Quantiles { label, qs } => {
            let mut asks = Vec::with_capacity(qs.len());
            for (q, q_pos) in qs {
                let q = scalar(q)?;
                check_quantile(&q, *q_pos, steps, ctx);
                asks.push((Ask::Quantile(q), Some(label.as_str())));
            }
            asks
        }
    };
    let operator = Box::new(HistogramOperator {
        input: Some(input),
        // One label for two equal quantiles makes two equal series.
        guard: asks
            .iter()
            .any(|(_, label)| label.is_some())
            .then(StepGuard::default),
        asks,
        pos,
        steps,
        ready: Kept::new(Vec::new(), ctx),
        ctx,
    });
    let dropped = DropName::new(operator, Names::Any, steps.count == 1, ctx);
    Ok(Box::new(dropped))
}

fn check_quantile(q: &ScalarColumn, pos: PosRange, steps: Steps, ctx: &Context<'_>) {
    for i in 0..steps.count {
        let got = q.at(i);
        if !(0.0..=1.0).contains(&got) {
            ctx.notes.add(Note::InvalidQuantile { got }, pos);
        }
    }
}

/// What is asked of each histogram.
enum Ask {
    Quantile(ScalarColumn),
    Fraction(ScalarColumn, ScalarColumn),
}

struct HistogramOperator<'q> {
    input: Option<BoxedOperator<'q>>,
    /// What is asked, and the label that tells its answer from others.
    asks: Vec<(Ask, Option<&'q str>)>,
    pos: PosRange,
    steps: Steps,
    guard: Option<StepGuard>,
    ready: Kept<'q>,
    ctx: &'q Context<'q>,
}

/// All series of one histogram.
#[derive(Default)]
struct Family {
    labels: Labels,
    drop_name: bool,
    /// Upper bounds and cumulative counts.
    classic: Vec<(f64, Column)>,
    native: Vec<Column>,
}

/// Families in the order in which their first series came.
type Families = InOrder<Family>;

impl Families {
    /// The family with these labels, which may be new.
    fn of(&mut self, labels: Labels) -> &mut Family {
        let index = self.place(hash(&labels), || Family {
            labels,
            ..Family::default()
        });
        &mut self.items[index]
    }
}

impl Operator for HistogramOperator<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(input) = self.input.take() {
            self.ready = Kept::new(self.run(input)?, self.ctx);
        }
        if !self.ready.pop(out) {
            return Ok(false);
        }
        if let Some(guard) = &mut self.guard {
            guard.admit(out)?;
        }
        Ok(true)
    }
}

impl HistogramOperator<'_> {
    fn run(&self, input: BoxedOperator<'_>) -> Result<Vec<StepSeries>, Error> {
        let mut families = Held::new(Families::default(), self.ctx);
        let mut results = Held::new(Vec::new(), self.ctx);
        let mut held = Holding::new(&self.ctx.tracker);
        self.read(input, &mut families, &mut held)?;
        for family in &families.items {
            self.ctx.tracker.check()?;
            let clash = self.clashes(family);
            for (ask, label) in &self.asks {
                self.answer(family, &clash, (ask, *label), &mut results)?;
            }
        }
        drop(families.into_inner());
        Ok(results.into_inner())
    }

    /// Reads all series and puts those of one histogram together.
    fn read(
        &self,
        mut input: BoxedOperator<'_>,
        families: &mut Families,
        held: &mut Holding<'_>,
    ) -> Result<(), Error> {
        let mut series = StepSeries::default();
        while input.next(&mut series)? {
            self.ctx.tracker.check()?;
            held.add_column(&series.column)?;
            let mut column = std::mem::take(&mut series.column);
            let native = std::mem::take(&mut column.hists);
            if native.iter().any(Option::is_some) {
                let mut hists = Column::absent(self.steps.count);
                hists.hists = native;
                let family = families.of(series.labels.clone());
                family.native.push(hists);
                family.drop_name |= series.drop_name;
            }
            if column.valid.any() {
                let le = series.labels.get(BUCKET_LABEL).unwrap_or_default();
                let Some(bound) = parse_bound(le) else {
                    let name = self.name(&series.labels);
                    let value = le.to_owned();
                    self.ctx
                        .notes
                        .add(Note::BadBucketLabel { name, value }, self.pos);
                    continue;
                };
                let labels = with_label(&series.labels, BUCKET_LABEL, "");
                let family = families.of(labels);
                family.classic.push((bound, column));
                family.drop_name |= series.drop_name;
            }
        }
        Ok(())
    }

    /// The steps at which a family has classic buckets as well as a native histogram.
    fn clashes(&self, family: &Family) -> Vec<bool> {
        let mut clash = vec![false; self.steps.count];
        if family.native.is_empty() || family.classic.is_empty() {
            return clash;
        }
        for (i, clash) in clash.iter_mut().enumerate() {
            *clash = family.native.iter().any(|c| c.hist(i).is_some())
                && family.classic.iter().any(|(_, c)| c.valid.get(i));
            if *clash {
                let name = self.name(&family.labels);
                self.ctx
                    .notes
                    .add(Note::MixedClassicNative { name }, self.pos);
            }
        }
        clash
    }

    fn answer(
        &self,
        family: &Family,
        clash: &[bool],
        (ask, label): (&Ask, Option<&str>),
        results: &mut Vec<StepSeries>,
    ) -> Result<(), Error> {
        let mut column = Column::absent(self.steps.count);
        let mut buckets = Vec::new();
        for (i, clash) in clash.iter().enumerate() {
            if *clash {
                continue;
            }
            if let Some(h) = family.native.iter().find_map(|c| c.hist(i)) {
                column.set_float(i, self.native(ask, i, h, family));
                continue;
            }
            buckets.clear();
            buckets.extend(family.classic.iter().filter_map(|(upper, c)| {
                c.float(i).map(|count| ClassicBucket {
                    upper: *upper,
                    count,
                })
            }));
            if !buckets.is_empty() {
                column.set_float(i, self.classic(ask, i, &mut buckets, family));
            }
        }
        if column.is_absent() {
            return Ok(());
        }
        let series = StepSeries {
            labels: family.labels.clone(),
            drop_name: family.drop_name,
            column,
        };
        match (label, ask) {
            (Some(label), Ask::Quantile(q)) => self.labelled(&series, (label, q), results),
            _ => {
                merge::acquire(&series, self.ctx)?;
                results.push(series);
                Ok(())
            }
        }
    }

    /// Adds the values of `series` to `results` under a label that says which quantile they are, which
    /// may change from step to step.
    fn labelled(
        &self,
        series: &StepSeries,
        (label, q): (&str, &ScalarColumn),
        results: &mut Vec<StepSeries>,
    ) -> Result<(), Error> {
        let first = results.len();
        let mut by_value: HashMap<u64, usize> = HashMap::new();
        for i in series.column.valid.ones() {
            let q = q.at(i);
            let index = match by_value.entry(q.to_bits()) {
                Entry::Occupied(slot) => *slot.get(),
                Entry::Vacant(slot) => {
                    self.ctx.tracker.check()?;
                    let mut text = String::new();
                    push_openmetrics(&mut text, q);
                    let empty = StepSeries {
                        labels: with_label(&series.labels, label, &text),
                        drop_name: series.drop_name,
                        column: Column::absent(self.steps.count),
                    };
                    merge::acquire(&empty, self.ctx)?;
                    results.push(empty);
                    *slot.insert(results.len() - 1)
                }
            };
            results[index].column.set_float(i, series.column.floats[i]);
        }
        for series in &results[first..] {
            self.ctx.tracker.acquire(series.column.sample_count(), 0)?;
        }
        Ok(())
    }

    /// The name in annotations, which is gone already when names are dropped at once.
    fn name(&self, labels: &Labels) -> String {
        if self.ctx.options.delayed_name_removal {
            labels.metric_name().to_owned()
        } else {
            String::new()
        }
    }

    fn native(&self, ask: &Ask, i: usize, h: &model::FloatHistogram, family: &Family) -> f64 {
        match ask {
            Ask::Quantile(q) => {
                let (v, effect) = native::quantile(q.at(i), h);
                let name = self.name(&family.labels);
                match effect {
                    NanEffect::None => {}
                    NanEffect::Result => {
                        self.ctx
                            .notes
                            .add(Note::QuantileNanResult { name }, self.pos);
                    }
                    NanEffect::Skew => self.ctx.notes.add(Note::QuantileNanSkew { name }, self.pos),
                }
                v
            }
            Ask::Fraction(lower, upper) => {
                let (v, has_nans) = native::fraction(lower.at(i), upper.at(i), h);
                if has_nans {
                    let name = self.name(&family.labels);
                    self.ctx.notes.add(Note::FractionNans { name }, self.pos);
                }
                v
            }
        }
    }

    fn classic(
        &self,
        ask: &Ask,
        i: usize,
        buckets: &mut Vec<ClassicBucket>,
        family: &Family,
    ) -> f64 {
        match ask {
            Ask::Quantile(q) => {
                let (v, repair) = classic::quantile(q.at(i), buckets);
                if let Some(repair) = repair {
                    let t = self.steps.at(i);
                    let note = Note::ForcedMonotonicity(ForcedMonotonicity {
                        name: self.name(&family.labels),
                        ts: (t, t),
                        buckets: repair.buckets,
                        max_diff: repair.max_diff,
                        count: 1,
                    });
                    self.ctx.notes.add(note, self.pos);
                }
                v
            }
            Ask::Fraction(lower, upper) => classic::fraction(lower.at(i), upper.at(i), buckets),
        }
    }
}

/// The value of a label `le`, as Go's `ParseFloat` reads it.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}
