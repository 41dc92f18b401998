//! `info`: adds the labels of info series (`target_info` and the like) to the series they are about.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher, TimeRange};

use crate::columns::{Column, StepSeries, Steps};
use crate::error::Error;
use crate::limits::{Holding, Pace};
use crate::plan::{InfoNode, Selector};
use crate::source::Hints;

use super::distinct::StepGuard;
use super::scan::{Scan, Yield};
use super::{BoxedOperator, Context, Operator, merge};

/// The labels that say which target a series is about.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// What info metrics are called when the query does not say.
const DEFAULT_INFO: &str = "target_info";

pub(crate) struct Info<'q> {
    node: &'q InfoNode,
    input: Option<BoxedOperator<'q>>,
    steps: Steps,
    ready: std::vec::IntoIter<StepSeries>,
    /// Series that differ in a label may get one that makes them equal.
    guard: StepGuard,
    ctx: &'q Context<'q>,
}

/// An info series: its labels and, at each step, the time of its sample.
struct InfoSeries {
    labels: Labels,
    times: Column,
}

/// Info series by target, then by name.
type ByTarget = HashMap<[String; 2], HashMap<String, Vec<InfoSeries>>>;

impl<'q> Info<'q> {
    pub(crate) fn new(
        node: &'q InfoNode,
        input: BoxedOperator<'q>,
        steps: Steps,
        ctx: &'q Context<'q>,
    ) -> Self {
        Self {
            node,
            input: Some(input),
            steps,
            ready: Vec::new().into_iter(),
            guard: StepGuard::default(),
            ctx,
        }
    }

    fn run(&self, input: BoxedOperator<'q>) -> Result<Vec<StepSeries>, Error> {
        let base = merge::collect(input, self.ctx)?;
        let names = self.name_matchers()?;
        let is_info = |s: &StepSeries| names.iter().all(|m| m.matches(s.labels.metric_name()));
        let mut held = Holding::new(&self.ctx.tracker);
        let infos = self.fetch(base.iter().filter(|s| !is_info(s)), &names, &mut held)?;
        let pace = Pace::new(&self.ctx.tracker);
        let mut results = Vec::with_capacity(base.len());
        for series in base {
            self.ctx.tracker.check()?;
            merge::release(&series, self.ctx);
            if is_info(&series) {
                results.push(series);
            } else {
                let infos = infos.get(&target(&series.labels));
                self.enrich(&series, infos, (&pace, &mut results))?;
            }
        }
        Ok(results)
    }

    /// What names info metrics may have. Matchers that only exclude leave those that end in `_info`.
    fn name_matchers(&self) -> Result<Vec<Matcher>, Error> {
        let given = self
            .node
            .matchers
            .iter()
            .filter(|m| m.name() == METRIC_NAME);
        let mut matchers: Vec<Matcher> = given.cloned().collect();
        if matchers.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, DEFAULT_INFO));
        } else if matchers.iter().all(|m| m.op().is_negative()) {
            matchers.push(regex(METRIC_NAME, ".+_info")?);
        }
        Ok(matchers)
    }

    fn data_matchers(&self) -> impl Iterator<Item = &Matcher> {
        self.node
            .matchers
            .iter()
            .filter(|m| m.name() != METRIC_NAME)
    }

    /// The info series of the targets that `base` is about.
    fn fetch<'a>(
        &self,
        base: impl Iterator<Item = &'a StepSeries>,
        names: &[Matcher],
        held: &mut Holding<'_>,
    ) -> Result<ByTarget, Error> {
        let mut values: [Vec<String>; 2] = Default::default();
        for series in base {
            for (values, value) in values.iter_mut().zip(target(&series.labels)) {
                if !value.is_empty() {
                    values.push(value);
                }
            }
        }
        let mut by_target = ByTarget::new();
        if values.iter().all(Vec::is_empty) {
            return Ok(by_target);
        }
        let mut matchers = names.to_vec();
        for (name, mut values) in IDENTIFYING.into_iter().zip(values) {
            values.sort_unstable();
            values.dedup();
            if !values.is_empty() {
                let escaped: Vec<_> = values.iter().map(|v| regex::escape(v)).collect();
                matchers.push(regex(name, &escaped.join("|"))?);
            }
        }
        matchers.extend(self.data_matchers().cloned());
        let mut selector = Selector {
            matchers,
            offset_ms: self.node.offset_ms,
            at: self.node.at,
            extension: None,
            hints: Hints::default(),
            range: TimeRange::ALL,
            share: None,
            pos: self.node.pos,
        };
        selector.range = selector.instants_range(self.steps, self.ctx.options.lookback_ms);
        let mut scan = Scan::new(&selector, Yield::FloatTimes, self.steps, self.ctx);
        let mut series = StepSeries::default();
        while scan.next(&mut series)? {
            if series.column.hists.iter().any(Option::is_some) {
                return Err(Error::execution("info sample should be float"));
            }
            held.add_column(&series.column)?;
            held.add(0, series.labels.heap_bytes() as u64)?;
            let by_name = by_target.entry(target(&series.labels)).or_default();
            let name = series.labels.metric_name().to_owned();
            by_name.entry(name).or_default().push(InfoSeries {
                labels: std::mem::take(&mut series.labels),
                times: std::mem::take(&mut series.column),
            });
        }
        Ok(by_target)
    }

    /// Adds what the info series of its target say to `series`, step by step.
    fn enrich(
        &self,
        series: &StepSeries,
        infos: Option<&HashMap<String, Vec<InfoSeries>>>,
        (pace, results): (&Pace<'_>, &mut Vec<StepSeries>),
    ) -> Result<(), Error> {
        let needs_info = self.data_matchers().any(|m| !m.matches_empty());
        // Steps with the same info series have the same labels.
        let mut by_choice: HashMap<Vec<*const InfoSeries>, usize> = HashMap::new();
        for i in series.column.present().ones() {
            let mut chosen: Vec<&InfoSeries> = Vec::new();
            for same_name in infos.into_iter().flat_map(HashMap::values) {
                pace.spend(64 + same_name.len())?;
                chosen.extend(newest(same_name, i)?);
            }
            if chosen.is_empty() && needs_info {
                continue;
            }
            let key = chosen
                .iter()
                .map(|&info| std::ptr::from_ref(info))
                .collect();
            let index = match by_choice.entry(key) {
                hashbrown::hash_map::Entry::Occupied(slot) => *slot.get(),
                hashbrown::hash_map::Entry::Vacant(slot) => {
                    results.push(StepSeries {
                        labels: self.enriched_labels(&series.labels, &chosen)?,
                        drop_name: series.drop_name,
                        column: Column::absent(self.steps.count),
                    });
                    *slot.insert(results.len() - 1)
                }
            };
            if let Some(value) = series.column.get(i) {
                results[index].column.set(i, value);
            }
        }
        Ok(())
    }

    fn enriched_labels(&self, base: &Labels, infos: &[&InfoSeries]) -> Result<Labels, Error> {
        let wants_all = self.data_matchers().next().is_none();
        let mut added = LabelsBuilder::new();
        for info in infos {
            for (name, value) in info.labels.iter() {
                let is_wanted = wants_all || self.data_matchers().any(|m| m.name() == name);
                if name == METRIC_NAME || !is_wanted {
                    continue;
                }
                if added.get(name).is_some_and(|v| v != value) {
                    return Err(Error::execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        let mut labels = LabelsBuilder::from_labels(base);
        for (name, value) in added.iter() {
            labels.set(name, value);
        }
        Ok(labels.labels())
    }
}

/// Of info series that differ in their data labels only, the one with the newest sample.
fn newest(infos: &[InfoSeries], i: usize) -> Result<Option<&InfoSeries>, Error> {
    let mut best: Option<(&InfoSeries, f64)> = None;
    for info in infos {
        let Some(time) = info.times.float(i) else {
            continue;
        };
        match best {
            Some((_, other)) if other > time => {}
            Some((existing, other)) if other == time => {
                let t = (time * 1000.0).round();
                return Err(Error::execution(format!(
                    "found duplicate series for info metric: existing {} @ {t}, new {} @ {t}",
                    existing.labels, info.labels
                )));
            }
            _ => best = Some((info, time)),
        }
    }
    Ok(best.map(|(info, _)| info))
}

fn target(labels: &Labels) -> [String; 2] {
    IDENTIFYING.map(|name| labels.get(name).unwrap_or_default().to_owned())
}

fn regex(name: &str, pattern: &str) -> Result<Matcher, Error> {
    Matcher::new(MatchOp::Regex, name, pattern).map_err(|e| Error::execution(e.to_string()))
}

impl Operator for Info<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if let Some(input) = self.input.take() {
            self.ready = self.run(input)?.into_iter();
        }
        let Some(series) = self.ready.next() else {
            return Ok(false);
        };
        self.guard.admit(&series)?;
        *out = series;
        Ok(true)
    }
}
