//! What several endpoints say, as if one had said it. Replica labels are gone already, unless said
//! otherwise.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::Labels;
use storeapi::catalog::{
    ActiveTarget, AlertState, Rule, RuleGroup, RuleKind, SeriesExemplars, Targets,
};

/// Groups of the same name and file become one, and equal rules of a group too: of alerts the one
/// in the worst state, then the one that was evaluated last. Groups and rules are sorted, as Thanos
/// has them.
pub(super) fn rules(mut groups: Vec<RuleGroup>) -> Vec<RuleGroup> {
    groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    groups.dedup_by(|next, kept| {
        let is_same = next.file == kept.file && next.name == kept.name;
        if is_same {
            kept.rules.append(&mut next.rules);
        }
        is_same
    });
    for group in &mut groups {
        let mut kept: Vec<Rule> = Vec::with_capacity(group.rules.len());
        let mut rules = std::mem::take(&mut group.rules);
        rules.sort_by(|a, b| identity(a, b).then_with(|| best_first(a, b)));
        for rule in rules {
            if kept.last().is_none_or(|last| identity(last, &rule).is_ne()) {
                kept.push(rule);
            }
        }
        group.rules = kept;
    }
    groups
}

/// Rules are the same when they raise or make the same of the same; alerting rules come first.
fn identity(a: &Rule, b: &Rule) -> Ordering {
    let key = |rule: &Rule| matches!(rule.kind(), RuleKind::Recording);
    let duration = |rule: &Rule| match rule {
        Rule::Alerting(rule) => rule.duration,
        Rule::Recording(_) => 0.0,
    };
    (key(a).cmp(&key(b)))
        .then_with(|| a.name().cmp(b.name()))
        .then_with(|| a.labels().cmp(b.labels()))
        .then_with(|| a.query().cmp(b.query()))
        .then_with(|| duration(a).total_cmp(&duration(b)))
}

fn best_first(a: &Rule, b: &Rule) -> Ordering {
    let state = |rule: &Rule| match rule {
        Rule::Alerting(rule) if rule.state != AlertState::Unknown => Some(rule.state),
        _ => None,
    };
    (state(b).cmp(&state(a))).then_with(|| b.last_evaluation().cmp(&a.last_evaluation()))
}

/// Each target once: of several the one that was scraped last.
pub(super) fn targets(mut targets: Targets) -> Targets {
    let key = |a: &ActiveTarget, b: &ActiveTarget| {
        (a.scrape_pool.cmp(&b.scrape_pool))
            .then_with(|| a.labels.cmp(&b.labels))
            .then_with(|| a.scrape_url.cmp(&b.scrape_url))
            .then_with(|| a.discovered_labels.cmp(&b.discovered_labels))
    };
    let active = &mut targets.active_targets;
    active.sort_by(|a, b| key(a, b).then_with(|| b.last_scrape.cmp(&a.last_scrape)));
    active.dedup_by(|next, kept| key(next, kept).is_eq());
    let dropped = &mut targets.dropped_targets;
    dropped.sort_by(|a, b| a.discovered_labels.cmp(&b.discovered_labels));
    dropped.dedup_by(|next, kept| next.discovered_labels == kept.discovered_labels);
    targets
}

/// The exemplars of each series, without `replica_labels`, in order of time and each once.
pub(super) fn exemplars(
    all: Vec<SeriesExemplars>,
    replica_labels: &[String],
) -> Vec<SeriesExemplars> {
    let mut merged: BTreeMap<Labels, Vec<_>> = BTreeMap::new();
    for series in all {
        let labels = series.series_labels.without(replica_labels);
        merged.entry(labels).or_default().extend(series.exemplars);
    }
    let merged = merged.into_iter();
    merged
        .map(|(series_labels, mut exemplars)| {
            exemplars.sort_by(model::Exemplar::order);
            exemplars.dedup_by(|a, b| a.order(b).is_eq());
            SeriesExemplars {
                series_labels,
                exemplars,
            }
        })
        .collect()
}
