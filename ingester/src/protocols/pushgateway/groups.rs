//! What was pushed and not deleted, group by group.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::MetricType;

use super::decode::{PUSH_FAILURE_TIME, PUSH_TIME};
use super::metrics::{Families, Family, Metric};
use super::path::GroupKey;

/// Groups that are held for all tenants together. Each stays in memory, in the file and in every
/// answer to a scrape.
pub(super) const GROUPS_MAX: usize = 10_000;

/// How a push changes its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `PUT`: the group is what was pushed.
    Replace,
    /// `POST`: families that were pushed are replaced, others stay.
    Merge,
}

/// What was pushed to one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// When it was pushed last, in milliseconds; 0 for never.
    pub pushed_ms: i64,
    /// When a push to it failed last, in milliseconds; 0 for never.
    pub failed_ms: i64,
    /// Its metrics.
    pub families: Families,
}

impl Group {
    /// What the gateway itself says of the group `key`: when it was pushed to, and when that failed.
    pub fn times(&self, key: &GroupKey) -> [(&'static str, Family); 2] {
        let changed_ms = self.pushed_ms.max(self.failed_ms);
        let family = |name, help: &str, time_ms: i64| {
            let family = Family {
                kind: MetricType::Gauge,
                help: help.to_owned(),
                pushed_ms: if time_ms > 0 { time_ms } else { changed_ms },
                metrics: vec![Metric::single(name, key, time_ms as f64 / 1000.0)],
            };
            (name, family)
        };
        [
            family(PUSH_TIME, PUSH_HELP, self.pushed_ms),
            family(PUSH_FAILURE_TIME, FAILURE_HELP, self.failed_ms),
        ]
    }

    /// All metrics of the group `key`, with those that [`Group::times`] says.
    pub fn each_metric(&self, key: &GroupKey, mut take: impl FnMut(&Metric)) {
        let times = self.times(key);
        let times = times.iter().map(|(_, family)| family);
        let families = self.families.values().chain(times);
        families
            .flat_map(|family| &family.metrics)
            .for_each(&mut take);
    }
}

const PUSH_HELP: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";
const FAILURE_HELP: &str = "Last Unix time when changing this group in the Pushgateway failed.";

/// The groups of all tenants. No tenant sees those of another, nor can contradict them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tenants {
    groups: BTreeMap<String, Groups>,
}

impl Tenants {
    /// The groups by tenant.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Groups)> {
        let groups = self.groups.iter();
        groups.map(|(tenant, groups)| (tenant.as_str(), groups))
    }

    /// The groups of a tenant, if it has any.
    pub fn get(&self, tenant: &str) -> Option<&Groups> {
        self.groups.get(tenant)
    }

    /// The groups of a tenant, to be changed.
    pub fn of(&mut self, tenant: &str) -> &mut Groups {
        self.groups.entry(tenant.to_owned()).or_default()
    }

    /// True when a push to `key` would make one group more than there may be.
    pub fn is_full_for(&self, tenant: &str, key: &GroupKey) -> bool {
        let known = self.get(tenant).and_then(|groups| groups.get(key));
        let count: usize = self.groups.values().map(|groups| groups.groups.len()).sum();
        known.is_none() && count >= GROUPS_MAX
    }

    /// Forgets tenants that have nothing.
    pub(super) fn tidy(&mut self) {
        self.groups.retain(|_, groups| !groups.groups.is_empty());
    }
}

/// The groups of a tenant. Clones share them until one is changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups {
    groups: BTreeMap<GroupKey, Arc<Group>>,
}

impl Groups {
    /// The groups by their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupKey, &Group)> {
        self.groups.iter().map(|(key, group)| (key, &**group))
    }

    /// The group of a key.
    pub fn get(&self, key: &GroupKey) -> Option<&Arc<Group>> {
        self.groups.get(key)
    }

    /// Puts a group in its place.
    pub(super) fn insert(&mut self, key: GroupKey, group: Group) {
        self.groups.insert(key, Arc::new(group));
    }

    /// What contradicts others in a push to `key`: a family has one type everywhere, and no name that
    /// a sample of another has.
    pub fn conflict(&self, key: &GroupKey, change: Change, pushed: &Families) -> Option<String> {
        let mut kinds: BTreeMap<&str, MetricType> = BTreeMap::new();
        for (other, group) in self.iter() {
            if other != key || change == Change::Merge {
                let replaced = |name: &str| other == key && pushed.contains_key(name);
                let families = group.families.iter();
                let kept = families.filter(|(name, _)| !replaced(name));
                kinds.extend(kept.map(|(name, family)| (name.as_str(), family.kind)));
            }
        }
        for (name, family) in pushed {
            let clash = match kinds.get(name.as_str()) {
                Some(kind) if *kind != family.kind => {
                    let labels = &family.metrics.first()?.labels;
                    let kind = type_name(*kind).to_uppercase();
                    Some(format!(
                        "collected metric {name:?} {labels} is not a {kind}"
                    ))
                }
                Some(_) => None,
                None => collision(&kinds, name, family.kind),
            };
            if clash.is_some() {
                return clash;
            }
            kinds.insert(name, family.kind);
        }
        None
    }

    /// Applies a push of `now_ms`.
    pub fn push(&mut self, key: &GroupKey, change: Change, mut pushed: Families, now_ms: i64) {
        for family in pushed.values_mut() {
            family.pushed_ms = now_ms;
        }
        match change {
            Change::Replace => {
                let failed_ms = self.get(key).map_or(0, |group| group.failed_ms);
                let group = Group {
                    pushed_ms: now_ms,
                    failed_ms,
                    families: pushed,
                };
                self.insert(key.clone(), group);
            }
            Change::Merge => {
                let group = self.group_mut(key);
                group.pushed_ms = now_ms;
                group.families.extend(pushed);
            }
        }
    }

    /// Notes that a push failed, which makes the group.
    pub fn fail(&mut self, key: &GroupKey, now_ms: i64) {
        self.group_mut(key).failed_ms = now_ms;
    }

    /// Deletes a group; there need be none.
    pub fn delete(&mut self, key: &GroupKey) {
        self.groups.remove(key);
    }

    fn group_mut(&mut self, key: &GroupKey) -> &mut Group {
        Arc::make_mut(self.groups.entry(key.clone()).or_default())
    }
}

/// What a new family collides with: the samples of a histogram or summary have names of their own.
fn collision(kinds: &BTreeMap<&str, MetricType>, name: &str, kind: MetricType) -> Option<String> {
    let suffixes = |kind| match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_count", "_sum", "_bucket"][..],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    for suffix in ["_count", "_sum", "_bucket"] {
        let of = name.strip_suffix(suffix).and_then(|of| kinds.get(of));
        if let Some(of) = of.filter(|of| suffixes(**of).contains(&suffix)) {
            return Some(format!(
                "collected metric named {name:?} collides with previously collected {} named {:?}",
                type_name(*of),
                name.strip_suffix(suffix).unwrap_or(name)
            ));
        }
    }
    let own = suffixes(kind)
        .iter()
        .map(|suffix| format!("{name}{suffix}"));
    let taken = { own }.find(|own| kinds.contains_key(own.as_str()))?;
    Some(format!(
        "collected histogram or summary named {name:?} collides with previously collected metric named {taken:?}"
    ))
}

/// The name of a type in the text format.
pub(super) fn type_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Unknown => "untyped",
        kind => kind.as_str(),
    }
}
