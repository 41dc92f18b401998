//! Pushed metrics: families of metrics, where the samples of one histogram or summary are one metric.
//!
//! The Pushgateway keeps them so, and shows them so; a [`Collector`] makes them of samples, and
//! [`Metric::samples`] makes samples of them again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ahash::{HashMap, HashSet, HashSetExt as _, RandomState};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use model::float::push_openmetrics;
use model::labels::METRIC_NAME;
use model::{Labels, MetricType};

use super::path::GroupKey;
use crate::exposition::number::parse_value;

/// Families by name.
pub type Families = BTreeMap<String, Family>;

/// A family of metrics of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Family {
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: String,
    /// When it was pushed, in milliseconds since the Unix epoch.
    pub pushed_ms: i64,
    /// Its metrics, in order of the push.
    pub metrics: Vec<Metric>,
}

/// A metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its labels with those of the group, and the name of its family.
    pub labels: Labels,
    /// Names of labels that were said to be empty: they are shown, and are no part of a series.
    pub empty: Vec<String>,
    /// What it says.
    pub value: Value,
}

/// What a metric says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Single(f64),
    /// The buckets of a histogram.
    Histogram(Distribution),
    /// The quantiles of a summary.
    Summary(Distribution),
}

/// A histogram or a summary.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Bounds of buckets with their counts, or quantiles with their values.
    pub points: Vec<(f64, f64)>,
    /// The sum of what was observed; 0 when it was not pushed.
    pub sum: f64,
    /// How often something was observed; 0 when it was not pushed.
    pub count: f64,
}

/// One sample of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// What follows the name of the family.
    pub suffix: &'static str,
    /// `le` or `quantile`, with its value.
    pub bound: Option<(&'static str, f64)>,
    /// The value.
    pub value: f64,
}

impl Metric {
    /// A number with the labels of a group.
    pub fn single(family: &str, key: &GroupKey, value: f64) -> Self {
        let pairs = key.labels().iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let (empty, filled): (Vec<_>, Vec<_>) = pairs.partition(|(_, value)| value.is_empty());
        Self {
            labels: Labels::from_pairs(filled.into_iter().chain([(METRIC_NAME, family)])),
            empty: empty.iter().map(|(name, _)| (*name).to_owned()).collect(),
            value: Value::Single(value),
        }
    }

    /// Its labels without the name of the family, by name, as they are shown: empty ones too, and
    /// always an instance, or a scrape would put its own in its place.
    pub fn shown_labels(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = self.labels.iter().filter(|p| p.0 != METRIC_NAME).collect();
        pairs.extend(self.empty.iter().map(|name| (name.as_str(), "")));
        if !pairs.iter().any(|(name, _)| *name == "instance") {
            pairs.push(("instance", ""));
        }
        pairs.sort_unstable();
        pairs
    }

    /// Its samples, in the order of the text format.
    pub fn samples(&self) -> Vec<Sample> {
        let sample = |suffix, bound, value| Sample {
            suffix,
            bound,
            value,
        };
        let (suffix, name, of) = match &self.value {
            Value::Single(value) => return vec![sample("", None, *value)],
            Value::Histogram(of) => ("_bucket", "le", of),
            Value::Summary(of) => ("", "quantile", of),
        };
        let points = of.points.iter();
        let mut samples: Vec<_> = points
            .map(|(bound, value)| sample(suffix, Some((name, *bound)), *value))
            .collect();
        let has_infinity = || of.points.iter().any(|(bound, _)| *bound == f64::INFINITY);
        if matches!(self.value, Value::Histogram(_)) && !has_infinity() {
            samples.push(sample(suffix, Some((name, f64::INFINITY)), of.count));
        }
        samples.push(sample("_sum", None, of.sum));
        samples.push(sample("_count", None, of.count));
        samples
    }
}

impl Metric {
    /// Its series as they are stored, each with its labels in any order and its value; bounds are
    /// written as a scrape writes them.
    pub fn each_series(&self, mut take: impl FnMut(&mut Vec<(&str, &str)>, f64)) {
        if let Value::Single(value) = self.value {
            return take(&mut self.labels.iter().collect(), value);
        }
        let family = self.labels.metric_name();
        for sample in self.samples() {
            let name = format!("{family}{}", sample.suffix);
            let mut bound = String::new();
            let mut labels = vec![(METRIC_NAME, name.as_str())];
            labels.extend(self.labels.iter().filter(|(name, _)| *name != METRIC_NAME));
            if let Some((name, value)) = sample.bound {
                push_openmetrics(&mut bound, value);
                labels.push((name, &bound));
            }
            take(&mut labels, sample.value);
        }
    }
}

/// Why a sample belongs to no metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It is not written as it must be.
    Syntax(String),
    /// It contradicts other samples, or has labels that it may not have.
    Inconsistent(String),
}

/// Labels of a sample as they came, without the name of the metric.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Makes families of samples.
#[derive(Debug)]
pub struct Collector<'k> {
    key: &'k GroupKey,
    /// Refuses what the Pushgateway calls inconsistent; otherwise the first of two counts.
    check_consistency: bool,
    families: Vec<(String, Family)>,
    by_name: HashMap<String, usize>,
    /// The family that was met last: the next sample is mostly of the same.
    last: usize,
    /// Labels of the group that have a value, and the name of a family yet to come.
    group: Vec<(&'k str, &'k str)>,
    /// Metrics by the hash of their labels, the name of the family among them.
    known: HashTable<Known>,
    hasher: RandomState,
    /// The labels of the metric that is added, encoded. Kept for its memory.
    encoded: String,
}

/// Where a metric is.
#[derive(Debug)]
struct Known {
    hash: u64,
    family: usize,
    metric: usize,
}

impl<'k> Collector<'k> {
    /// One for pushes to the group `key`.
    pub fn new(key: &'k GroupKey, check_consistency: bool) -> Self {
        let labels = key.labels().iter();
        let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
        let mut group: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
        group.push((METRIC_NAME, ""));
        group.sort_unstable();
        Self {
            key,
            check_consistency,
            families: Vec::new(),
            by_name: HashMap::default(),
            last: 0,
            group,
            known: HashTable::new(),
            hasher: RandomState::new(),
            encoded: String::new(),
        }
    }

    /// The number of the family `name`, which is added when it is not there.
    pub fn family(&mut self, name: &str) -> usize {
        if let Some(known) = self.find(name) {
            return known;
        }
        self.last = self.families.len();
        self.families.push((name.to_owned(), Family::default()));
        self.by_name.insert(name.to_owned(), self.last);
        self.last
    }

    /// The family of that number, to be described.
    pub fn family_mut(&mut self, number: usize) -> &mut Family {
        &mut self.families[number].1
    }

    fn find(&mut self, name: &str) -> Option<usize> {
        let is_last = self.families.get(self.last).is_some_and(|f| f.0 == name);
        if !is_last {
            self.last = *self.by_name.get(name)?;
        }
        Some(self.last)
    }

    /// The family of the sample named `name`, and what follows the family's name in that: a
    /// histogram or summary has suffixes.
    pub fn family_of<'n>(&mut self, name: &'n str) -> (usize, &'n str) {
        for suffix in ["_bucket", "_sum", "_count"] {
            let Some(family) = name.strip_suffix(suffix) else {
                continue;
            };
            let found = self.find(family);
            let kind = found.map(|number| self.families[number].1.kind);
            let belongs = match kind {
                Some(MetricType::Histogram | MetricType::GaugeHistogram) => true,
                Some(MetricType::Summary) => suffix != "_bucket",
                _ => false,
            };
            if let Some(number) = found.filter(|_| belongs) {
                return (number, &name[family.len()..]);
            }
        }
        (self.family(name), "")
    }

    /// Adds a sample of the family of that number. `labels` is as it came, and of no use afterwards.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn add(
        &mut self,
        (family, suffix): (usize, &str),
        labels: &mut Pairs<'_>,
        value: f64,
    ) -> Result<(), Misfit> {
        let kind = self.families[family].1.kind;
        if !labels.is_sorted_by(|(a, _), (b, _)| a < b) {
            labels.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        if labels.array_windows().any(|[(a, _), (b, _)]| a == b) {
            let name = model::labels::quoted(&self.families[family].0);
            let reason = format!("duplicate label names for metric {name}");
            return Err(Misfit::Syntax(reason));
        }
        let bound = bound(kind, suffix, labels)?;
        let empty = self.complete(family, labels)?;
        let Some(at) = self.find_or_note(family) else {
            self.families[family].1.metrics.push(Metric {
                labels: Labels::from_encoded(&self.encoded),
                empty,
                value: first(kind, suffix, bound, value),
            });
            return Ok(());
        };
        let is_part = bound.is_some() || !suffix.is_empty();
        let metric = &mut self.families[family].1.metrics[at];
        match &mut metric.value {
            Value::Histogram(of) | Value::Summary(of) if is_part => of.take(suffix, bound, value),
            _ if self.check_consistency => return Err(collected_before(&metric.labels)),
            _ => {}
        }
        Ok(())
    }

    /// The number of the metric in its family that has the labels that were completed; notes the
    /// next one when there is none.
    fn find_or_note(&mut self, family: usize) -> Option<usize> {
        let hash = self.hasher.hash_one(&self.encoded);
        let (families, encoded) = (&self.families, &self.encoded);
        let is_it = |known: &Known| {
            let metric = &families[known.family].1.metrics[known.metric];
            known.hash == hash && metric.labels.as_encoded() == encoded
        };
        match self.known.entry(hash, is_it, |known| known.hash) {
            Entry::Occupied(known) => Some(known.get().metric),
            Entry::Vacant(vacant) => {
                let metric = families[family].1.metrics.len();
                vacant.insert(Known {
                    hash,
                    family,
                    metric,
                });
                None
            }
        }
    }

    /// Encodes the labels of a metric, those of its group among them, and returns the names of those
    /// that are empty. `labels` is in order of names.
    fn complete(&mut self, family: usize, labels: &Pairs<'_>) -> Result<Vec<String>, Misfit> {
        let family = self.families[family].0.as_str();
        let reserved = labels.iter().find(|(name, _)| name.starts_with("__"));
        if let Some((name, _)) = reserved {
            let name = name.as_ref();
            return Err(Misfit::Inconsistent(format!(
                "collected metric {family:?} has a label with an invalid name: {name}"
            )));
        }
        let key = self.key.labels();
        let encoded = &mut self.encoded;
        encoded.clear();
        let encode_group = |group: &[(&str, &str)], encoded: &mut String| {
            let named = group.iter().map(|(name, value)| match *name {
                METRIC_NAME => (METRIC_NAME, family),
                name => (name, *value),
            });
            Labels::encode_sorted(named.filter(|(_, value)| !value.is_empty()), encoded);
        };
        let mut empty = Vec::new();
        let mut group = &self.group[..];
        for (name, value) in labels {
            let (before, rest) = group.split_at(group.partition_point(|(n, _)| *n < &**name));
            encode_group(before, encoded);
            group = rest;
            // What the group says of it counts, were it nothing.
            if key.iter().any(|(known, _)| known == name) {
                continue;
            }
            if value.is_empty() {
                empty.push(name.as_ref().to_owned());
            } else {
                Labels::encode_sorted([(&**name, &**value)], encoded);
            }
        }
        encode_group(group, encoded);
        let of_key = key
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let others = of_key.chain([(METRIC_NAME, family)]);
        empty.extend(
            others
                .filter(|(_, value)| value.is_empty())
                .map(|(name, _)| name.to_owned()),
        );
        Ok(empty)
    }

    /// The families that have metrics.
    ///
    /// # Errors
    /// [`Misfit::Inconsistent`] for two buckets with one bound.
    pub fn finish(mut self) -> Result<Families, Misfit> {
        for (_, family) in &mut self.families {
            for metric in &mut family.metrics {
                let (Value::Histogram(of) | Value::Summary(of)) = &mut metric.value else {
                    continue;
                };
                let pushed = of.points.len();
                of.unite_bounds();
                if of.points.len() < pushed && self.check_consistency {
                    return Err(collected_before(&metric.labels));
                }
            }
        }
        let families = self.families.into_iter();
        Ok(families
            .filter(|(_, family)| !family.metrics.is_empty())
            .collect())
    }
}

fn collected_before(labels: &Labels) -> Misfit {
    Misfit::Inconsistent(format!(
        "collected metric {:?} {labels} was collected before with the same name and label values",
        labels.metric_name(),
    ))
}

/// The bound of a bucket or a quantile, which is taken out of its labels.
fn bound(kind: MetricType, suffix: &str, labels: &mut Pairs<'_>) -> Result<Option<f64>, Misfit> {
    let name = match (kind, suffix) {
        (MetricType::Histogram | MetricType::GaugeHistogram, "_bucket") => "le",
        (MetricType::Summary, "") => "quantile",
        _ => return Ok(None),
    };
    let at = labels.iter().position(|(label, _)| label == name);
    let value = at.map(|at| labels.remove(at).1);
    let bound = value
        .as_deref()
        .and_then(|value| parse_value(value.as_bytes()));
    match bound {
        Some(bound) => Ok(Some(bound)),
        None => Err(Misfit::Syntax(format!(
            "expected float as value for '{name}' label, got {}",
            model::labels::quoted(value.as_deref().unwrap_or_default())
        ))),
    }
}

/// A metric of which this is the first sample.
fn first(kind: MetricType, suffix: &str, bound: Option<f64>, value: f64) -> Value {
    let mut of = Distribution::default();
    of.take(suffix, bound, value);
    match kind {
        MetricType::Histogram | MetricType::GaugeHistogram if !suffix.is_empty() => {
            Value::Histogram(of)
        }
        MetricType::Summary => Value::Summary(of),
        _ => Value::Single(value),
    }
}

impl Distribution {
    fn take(&mut self, suffix: &str, bound: Option<f64>, value: f64) {
        match (bound, suffix) {
            (Some(bound), _) => self.points.push((bound, value)),
            (None, "_sum") => self.sum = value,
            (None, _) => self.count = value,
        }
    }

    /// Keeps the first of those with one bound.
    fn unite_bounds(&mut self) {
        let mut met = HashSet::with_capacity(self.points.len());
        self.points.retain(|(bound, _)| met.insert(bound.to_bits()));
    }
}
