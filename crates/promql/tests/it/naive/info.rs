//! `info`: the labels of info series, looked for among all series at each instant.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, LabelsBuilder, Matcher};
use promql::ast::{At, Expr, ValueType, VectorSelector};
use promql::columns::StepValue;
use promql::parse::{Options, parse_expr};

use super::{Element, Evaluator, NAME, Naive, Stop, labels};

const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// What the second argument asks for.
struct Wanted<'a> {
    /// Of names of info metrics.
    names: Vec<&'a Matcher>,
    /// Of their other labels.
    data: Vec<&'a Matcher>,
}

impl Wanted<'_> {
    fn is_info(&self, labels: &Labels) -> bool {
        let name = labels.metric_name();
        match &self.names[..] {
            [] => name == "target_info",
            names if names.iter().all(|m| m.op().is_negative()) => {
                let is_info = name.len() > "_info".len() && name.ends_with("_info");
                is_info && names.iter().all(|m| m.matches(name))
            }
            names => names.iter().all(|m| m.matches(name)),
        }
    }

    fn accepts(&self, labels: &Labels) -> bool {
        let value = |m: &Matcher| labels.get(m.name()).unwrap_or_default();
        self.data.iter().all(|m| m.matches(value(m)))
    }

    fn adds(&self, name: &str) -> bool {
        name != NAME && (self.data.is_empty() || self.data.iter().any(|m| m.name() == name))
    }
}

impl Evaluator<'_> {
    pub(super) fn info(&self, args: &[Expr], t: i64) -> Result<Naive, Stop> {
        let [v, rest @ ..] = args else {
            return Err(Stop::Unknown);
        };
        let matchers: &[Matcher] = match rest.first().map(Expr::unwrap_parens) {
            Some(Expr::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let (names, data) = matchers.iter().partition(|m| m.name() == NAME);
        let wanted = Wanted { names, data };
        let base = self.vector(v, t)?;
        let (at, offset) = self.first_reference(v)?.unwrap_or((None, 0));
        let infos = self.info_series(&wanted, at.unwrap_or(t) - offset)?;
        let mut found = Vec::new();
        for element in base {
            if wanted.is_info(&element.labels) {
                found.push(element);
            } else if let Some(labels) = enriched(&element, &infos, &wanted)? {
                found.push(Element { labels, ..element });
            }
        }
        labels::distinct(found)
    }

    /// The info series that are wanted and have a value at `t`, with the times of their samples.
    fn info_series(&self, wanted: &Wanted<'_>, t: i64) -> Result<Vec<(i64, Labels)>, Stop> {
        let all = parse_expr("{__name__=~\".+\"}", Options::default());
        let Ok(Expr::Vector(all)) = all else {
            return Err(Stop::Unknown);
        };
        let mut infos = Vec::new();
        for (time, element) in self.newest(&all, t)? {
            if wanted.is_info(&element.labels) && wanted.accepts(&element.labels) {
                match element.value {
                    StepValue::Float(_) => infos.push((time, element.labels)),
                    StepValue::Histogram(_) => return Err(Stop::Unknown),
                }
            }
        }
        Ok(infos)
    }

    /// `@` and offset of the first selector in `expr`, with those of the subqueries around it.
    fn first_reference(&self, expr: &Expr) -> Result<Option<(Option<i64>, i64)>, Stop> {
        let time = |at: Option<At>| {
            at.map(|at| match at {
                At::Timestamp(t) => t,
                At::Start => self.ends.0,
                At::End => self.ends.1,
            })
        };
        let of_selector = |s: &VectorSelector| Ok(Some((time(s.at), self.offset(&s.offset)?)));
        match expr {
            Expr::Vector(selector) => of_selector(selector),
            Expr::Matrix(matrix) => of_selector(&matrix.selector),
            Expr::Subquery(s) => {
                let offset = self.offset(&s.offset)?;
                let inner = self.first_reference(&s.expr)?;
                Ok(inner.map(|(at, inner)| match at {
                    Some(_) => (at, inner),
                    None => (time(s.at), inner + offset),
                }))
            }
            _ => {
                for child in expr.children() {
                    let is_read =
                        matches!(child.value_type(), ValueType::Vector | ValueType::Matrix);
                    if is_read && let Some(found) = self.first_reference(child)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// The labels of `element` with what the info series of its target add; `None` when it needs one
/// and has none.
fn enriched(
    element: &Element,
    infos: &[(i64, Labels)],
    wanted: &Wanted<'_>,
) -> Result<Option<Labels>, Stop> {
    let target = |labels: &Labels| IDENTIFYING.map(|name| labels.get(name).map(str::to_owned));
    let own = target(&element.labels);
    if own.contains(&None) {
        // Whether others have the label decides which info series are looked at.
        return Err(Stop::Unknown);
    }
    let mut newest: BTreeMap<&str, (i64, &Labels)> = BTreeMap::new();
    let mut clashes = BTreeSet::new();
    for (time, labels) in infos.iter().filter(|(_, labels)| target(labels) == own) {
        let name = labels.metric_name();
        match newest.get(name) {
            Some((other, _)) if other > time => {}
            Some((other, _)) if other == time => {
                clashes.insert(name);
            }
            _ => {
                clashes.remove(name);
                newest.insert(name, (*time, labels));
            }
        }
    }
    if !clashes.is_empty() {
        return Err(Stop::Failed);
    }
    if newest.is_empty() && wanted.data.iter().any(|m| !m.matches("")) {
        return Ok(None);
    }
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, labels) in newest.values() {
        for (name, value) in labels.iter().filter(|(name, _)| wanted.adds(name)) {
            if *added.entry(name).or_insert(value) != value && element.labels.get(name).is_none() {
                return Err(Stop::Failed);
            }
        }
    }
    let mut builder = LabelsBuilder::from_labels(&element.labels);
    for (name, value) in added {
        if element.labels.get(name).is_none() {
            builder.set(name, value);
        }
    }
    Ok(Some(builder.labels()))
}
