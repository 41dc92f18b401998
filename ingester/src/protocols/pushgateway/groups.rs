//! What was pushed and not deleted, group by group.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use model::float::G;
use model::{Labels, MetricType};

use super::decode::{Families, Family, PUSH_FAILURE_TIME, PUSH_TIME};
use super::path::GroupKey;

/// Groups that are held for all tenants together. Each stays in memory, in the file and in every answer to a scrape.
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
    pub fn get(&self, key: &GroupKey) -> Option<&Group> {
        self.groups.get(key).map(|group| &**group)
    }

    /// Puts a group in its place.
    pub(super) fn insert(&mut self, key: GroupKey, group: Group) {
        self.groups.insert(key, Arc::new(group));
    }

    /// What contradicts other groups in a push to `key`: a family has one type everywhere.
    pub fn conflict(&self, key: &GroupKey, pushed: &Families) -> Option<String> {
        let others = self.groups.iter().filter(|(other, _)| *other != key);
        let known = others.flat_map(|(_, group)| &group.families);
        for (name, family) in known {
            if let Some(ours) = pushed.get(name).filter(|ours| ours.kind != family.kind) {
                let (is, was) = (type_name(ours.kind), type_name(family.kind));
                return Some(format!(
                    "metric family {name:?} is a {is} here and a {was} in another group"
                ));
            }
        }
        None
    }

    /// Applies a push of `now_ms`.
    pub fn push(&mut self, key: &GroupKey, change: Change, pushed: Families, now_ms: i64) {
        let group = self.group_mut(key);
        group.pushed_ms = now_ms;
        match change {
            Change::Replace => group.families = pushed,
            Change::Merge => group.families.extend(pushed),
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

    /// All metrics in the text format, each family once.
    pub fn text(&self) -> String {
        let mut by_name: BTreeMap<&str, Vec<&Family>> = BTreeMap::new();
        for group in self.groups.values() {
            for (name, family) in &group.families {
                by_name.entry(name).or_default().push(family);
            }
        }
        let own = [
            (
                PUSH_TIME,
                self.times(PUSH_TIME, PUSH_HELP, |group| group.pushed_ms),
            ),
            (
                PUSH_FAILURE_TIME,
                self.times(PUSH_FAILURE_TIME, FAILURE_HELP, |group| group.failed_ms),
            ),
        ];
        for (name, family) in &own {
            by_name.insert(name, vec![family]);
        }
        let mut out = String::new();
        for (name, families) in by_name {
            write_family(&mut out, name, &families);
        }
        out
    }

    fn times(&self, name: &str, help: &str, time: impl Fn(&Group) -> i64) -> Family {
        let samples = self.groups.iter().map(|(key, group)| {
            let pairs = key.labels().iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let labels = Labels::from_pairs(pairs.chain([("__name__", name)]));
            (labels, time(group) as f64 / 1000.0)
        });
        Family {
            kind: MetricType::Gauge,
            help: help.to_owned(),
            samples: samples.collect(),
        }
    }
}

const PUSH_HELP: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";
const FAILURE_HELP: &str = "Last Unix time when changing this group in the Pushgateway failed.";

/// The name of a type in the text format.
pub(super) fn type_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Unknown => "untyped",
        kind => kind.as_str(),
    }
}

fn write_family(out: &mut String, name: &str, families: &[&Family]) {
    let samples = || families.iter().flat_map(|family| &family.samples);
    let Some(first) = families.first() else {
        return;
    };
    if samples().next().is_none() {
        return;
    }
    if let Some(family) = families.iter().find(|family| !family.help.is_empty()) {
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        writeln!(out, "# HELP {name} {help}").expect("writing to a String");
    }
    writeln!(out, "# TYPE {name} {}", type_name(first.kind)).expect("writing to a String");
    for (labels, value) in samples() {
        out.push_str(labels.metric_name());
        out.push('{');
        // Scrapes with their own labels would else put theirs in its place.
        let mut pairs: Vec<_> = labels.iter().filter(|(n, _)| *n != "__name__").collect();
        if labels.get("instance").is_none() {
            pairs.push(("instance", ""));
            pairs.sort_unstable();
        }
        for (i, (name, value)) in pairs.into_iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => out.push_str(r"\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str(r"\n"),
                    c => out.push(c),
                }
            }
            out.push('"');
        }
        writeln!(out, "}} {}", G(*value)).expect("writing to a String");
    }
}
