//! Arithmetic and comparison of two vectors, series by series.
//!
//! The side that has at most one series per match group (the right one, but for `group_right`) is
//! held, the other streams. Match groups are found once per series; what depends on the step, such
//! as whether a match is unique, is kept in bitmaps.

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::{Labels, LabelsBuilder};

use crate::ast::{BinaryOp, Cardinality};
use crate::columns::{Bitmap, Column, StepSeries, Steps};
use crate::error::Error;
use crate::exec::labels::{self, LabelFilter};
use crate::exec::{BoxedOperator, Context, Held, Operator, merge};
use crate::functions::arithmetic;
use crate::plan::BinaryNode;

/// Joins two vectors.
pub(super) struct Join<'q> {
    node: &'q BinaryNode,
    filter: LabelFilter,
    many: BoxedOperator<'q>,
    one: Option<BoxedOperator<'q>>,
    groups: Held<'q, HashMap<u128, MatchGroup>>,
    /// Where two series of the "one" side are in one match group, and the first such two.
    clash: Option<Clash>,
    /// Results of label sets that `group_left` or `group_right` made, by match group and labels.
    inserted: HashMap<(u128, u128), Bitmap>,
    ready: VecDeque<StepSeries>,
    /// The "one" side where it has no match is still to be filled.
    fill_pending: bool,
    steps: Steps,
    ctx: &'q Context<'q>,
}

/// The series of one match group.
#[derive(Default)]
struct MatchGroup {
    one: Vec<StepSeries>,
    /// Steps at which some series of the "one" side has a value.
    held: Option<Bitmap>,
    /// Steps at which two values were matched, if only to be filtered out.
    matched: Option<Bitmap>,
}

struct Clash {
    steps: Bitmap,
    message: String,
}

impl MatchGroup {
    /// The steps of `present` at which the "one" side has a value already, if there are any.
    fn clash(&self, present: &Bitmap) -> Option<Bitmap> {
        let mut both = self
            .held
            .as_ref()
            .filter(|h| h.intersects(present))?
            .clone();
        both.intersect(present);
        Some(both)
    }

    /// The clash of `series` with others of the group at `steps`, on this side of the operator.
    fn describe(
        &self,
        steps: Bitmap,
        series: &StepSeries,
        filter: &LabelFilter,
        side: &str,
    ) -> Option<Clash> {
        let clashes = |other: &&StepSeries| other.column.present().intersects(&steps);
        let other = self.one.iter().find(clashes)?;
        let mut pair = [&series.labels, &other.labels];
        pair.sort_unstable();
        let message = format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
            filter.apply(&series.labels),
            pair[0],
            pair[1],
        );
        Some(Clash { steps, message })
    }
}

impl<'q> Join<'q> {
    pub(super) fn new(
        node: &'q BinaryNode,
        (lhs, rhs): (BoxedOperator<'q>, BoxedOperator<'q>),
        steps: Steps,
        ctx: &'q Context<'q>,
    ) -> Self {
        let swapped = node.matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        Self {
            node,
            filter: LabelFilter::new(&node.matching.labels, node.matching.on),
            many,
            one: Some(one),
            groups: Held::new(HashMap::new(), ctx),
            clash: None,
            inserted: HashMap::new(),
            ready: VecDeque::new(),
            fill_pending: true,
            steps,
            ctx,
        }
    }

    const fn is_swapped(&self) -> bool {
        matches!(self.node.matching.cardinality, Cardinality::OneToMany)
    }

    /// Value of a missing series of the "one" side. Which side that is does not matter: Prometheus
    /// swaps the sides of `group_right`, but not their fill values.
    const fn fill_one(&self) -> Option<f64> {
        self.node.matching.fill_right
    }

    /// Value of a missing series of the "many" side.
    const fn fill_many(&self) -> Option<f64> {
        self.node.matching.fill_left
    }

    /// Reads the "one" side.
    fn hold(&mut self, one: BoxedOperator<'q>) -> Result<(), Error> {
        let side = if self.is_swapped() { "left" } else { "right" };
        let mut all = Held::new(merge::collect(one, self.ctx)?.into_iter(), self.ctx);
        for series in all.by_ref() {
            self.ctx.tracker.check()?;
            let group = self.groups.entry(self.filter.hash(&series.labels));
            let group = group.or_default();
            let present = series.column.present();
            if let Some(steps) = group.clash(&present) {
                match &mut self.clash {
                    Some(clash) => clash.steps.union(&steps),
                    none => *none = group.describe(steps, &series, &self.filter, side),
                }
            }
            match &mut group.held {
                Some(held) => held.union(&present),
                none => *none = Some(present),
            }
            group.one.push(series);
        }
        drop(all.into_inner());
        // Without fill values the many side must have a value there too.
        let fills = self.fill_one().is_some() || self.fill_many().is_some();
        match &self.clash {
            Some(clash) if fills => Err(Error::execution(clash.message.clone())),
            _ => Ok(()),
        }
    }

    /// Joins a series of the "many" side with its match group.
    fn join(&mut self, many: &StepSeries) -> Result<(), Error> {
        let present = many.column.present();
        if let Some(clash) = &self.clash
            && clash.steps.intersects(&present)
        {
            return Err(Error::execution(clash.message.clone()));
        }
        let key = self.filter.hash(&many.labels);
        let fill = self.fill_one();
        let mut group = match self.groups.remove(&key) {
            Some(group) => group,
            None if fill.is_some() => MatchGroup::default(),
            None => return Ok(()),
        };
        let mut unmatched = present;
        let ones = std::mem::take(&mut group.one);
        for one in &ones {
            unmatched.subtract(&one.column.present());
            self.emit(key, &mut group, many, one)?;
        }
        group.one = ones;
        if let Some(v) = fill
            && unmatched.any()
        {
            let one = filled(&self.filter, &many.labels, (v, &unmatched));
            self.emit(key, &mut group, many, &one)?;
        }
        self.groups.insert(key, group);
        Ok(())
    }

    /// Yields what the steps that both series have come to.
    fn emit(
        &mut self,
        key: u128,
        group: &mut MatchGroup,
        many: &StepSeries,
        one: &StepSeries,
    ) -> Result<(), Error> {
        let mut both = many.column.present();
        both.intersect(&one.column.present());
        if !both.any() {
            return Ok(());
        }
        self.ctx.tracker.check()?;
        let mut column = Column::absent(self.steps.count);
        both.subtract(&self.compute(&many.column, &one.column, &mut column));
        if !both.any() {
            return Ok(());
        }
        let mut series = StepSeries {
            labels: self.result_labels(&many.labels, &one.labels),
            // A mark that the name is to be dropped does not survive a join in Prometheus either.
            drop_name: false,
            column,
        };
        if self.node.return_bool {
            match self.ctx.options.delayed_name_removal {
                true => series.drop_name = true,
                false => series.labels = labels::drop_reserved(&series.labels),
            }
        }
        // What a comparison filters out counts as matched, so that errors do not depend on values.
        self.check_unique(key, group, &series.labels, both)?;
        if !series.column.is_absent() {
            self.ready.push_back(series);
        }
        Ok(())
    }

    /// Fails when a match group has a second match at a step of `both`.
    fn check_unique(
        &mut self,
        key: u128,
        group: &mut MatchGroup,
        labels: &Labels,
        both: Bitmap,
    ) -> Result<(), Error> {
        let is_one_to_one = self.node.matching.cardinality == Cardinality::OneToOne;
        match &mut group.matched {
            Some(m) if is_one_to_one && m.intersects(&both) => {
                return Err(Error::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            Some(m) => m.union(&both),
            none => *none = Some(both.clone()),
        }
        if is_one_to_one {
            return Ok(());
        }
        match self.inserted.entry((key, labels::hash(labels))) {
            Entry::Vacant(slot) => drop(slot.insert(both)),
            Entry::Occupied(slot) if slot.get().intersects(&both) => {
                return Err(Error::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            Entry::Occupied(mut slot) => slot.get_mut().union(&both),
        }
        Ok(())
    }

    /// Puts results into `out`. Returns the steps at which the operator has no meaning for the two
    /// values, which count as not matched.
    fn compute(&self, many: &Column, one: &Column, out: &mut Column) -> Bitmap {
        let mut undefined = Bitmap::zeros(out.len());
        let (lhs, rhs) = if self.is_swapped() {
            (one, many)
        } else {
            (many, one)
        };
        let is_plain = lhs.hists.is_empty()
            && rhs.hists.is_empty()
            && !matches!(self.node.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if is_plain {
            let mut both = lhs.valid.clone();
            both.intersect(&rhs.valid);
            self.compute_floats(lhs, rhs, (&both, out));
            return undefined;
        }
        for i in 0..out.len() {
            if let (Some(a), Some(b)) = (lhs.get(i), rhs.get(i)) {
                let outcome = arithmetic::apply(self.node.op, &a, &b);
                for note in outcome.notes.into_iter().flatten() {
                    self.ctx.notes.add(note, self.node.pos);
                }
                match outcome.value {
                    Some(_) if self.node.return_bool => {
                        out.set_float(i, f64::from(u8::from(outcome.keep)));
                    }
                    Some(v) if outcome.keep => out.set(i, v),
                    Some(_) => {}
                    None => undefined.set(i),
                }
            }
        }
        undefined
    }

    fn compute_floats(&self, lhs: &Column, rhs: &Column, (both, out): (&Bitmap, &mut Column)) {
        let op = self.node.op;
        if !op.is_comparison() {
            for ((o, &a), &b) in out.floats.iter_mut().zip(&lhs.floats).zip(&rhs.floats) {
                *o = arithmetic::float(op, a, b);
            }
            out.valid.clone_from(both);
            return;
        }
        for i in both.ones() {
            let (a, b) = (lhs.floats[i], rhs.floats[i]);
            let holds = arithmetic::compare(op, a, b).unwrap_or(false);
            if self.node.return_bool {
                out.set_float(i, f64::from(u8::from(holds)));
            } else if holds {
                out.set_float(i, a);
            }
        }
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.node.matching;
        let mut builder = LabelsBuilder::from_labels(many);
        if arithmetic::drops_name(self.node.op) {
            builder.retain(|name, _| !labels::is_reserved(name));
        }
        if matching.cardinality == Cardinality::OneToOne {
            builder.retain(|name, _| matching.labels.iter().any(|l| l == name) == matching.on);
        }
        for name in &matching.include {
            builder.set(name, one.get(name).unwrap_or_default());
        }
        builder.labels()
    }

    /// Joins the "one" side with filled values where the "many" side has none.
    fn fill(&mut self, v: f64) -> Result<(), Error> {
        let mut groups = std::mem::take(&mut *self.groups);
        for (&key, group) in &mut groups {
            let ones = std::mem::take(&mut group.one);
            for one in &ones {
                let mut missing = one.column.present();
                if let Some(matched) = &group.matched {
                    missing.subtract(matched);
                }
                if missing.any() {
                    let many = filled(&self.filter, &one.labels, (v, &missing));
                    self.emit(key, group, &many, one)?;
                }
            }
        }
        Ok(())
    }
}

/// A series that stands in for one that is missing at `steps`.
fn filled(filter: &LabelFilter, labels: &Labels, (v, steps): (f64, &Bitmap)) -> StepSeries {
    let mut column = Column::absent(steps.len());
    column.floats.fill(v);
    column.valid.clone_from(steps);
    StepSeries {
        labels: filter.apply(labels),
        drop_name: false,
        column,
    }
}

impl Operator for Join<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(one) = self.one.take() {
            self.hold(one)?;
        }
        loop {
            if let Some(series) = self.ready.pop_front() {
                *out = series;
                return Ok(true);
            }
            self.ctx.tracker.check()?;
            if self.many.next(out)? {
                self.join(out)?;
                continue;
            }
            match self.fill_many() {
                Some(v) if std::mem::take(&mut self.fill_pending) => self.fill(v)?,
                _ => return Ok(false),
            }
        }
    }
}
