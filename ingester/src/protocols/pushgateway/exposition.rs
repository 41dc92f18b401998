//! Groups as they are shown: in the text format to scrapes, in JSON to whoever asks for a list.
//!
//! Both are the Pushgateway's to the byte, but for the order of groups in the list, which it leaves to
//! chance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::float::{G, push_g, push_plain};
use runtime::metrics::push_escaped;
use serde_json::{Map, Value as Json, json};
use storeapi::catalog::When;

use super::groups::{Group, Groups, type_name};
use super::metrics::{Distribution, Family, Metric, Value};
use super::path::GroupKey;

impl Groups {
    /// All metrics in the text format, each family once.
    pub fn text(&self) -> String {
        let mut by_name: BTreeMap<&str, Vec<Cow<'_, Family>>> = BTreeMap::new();
        for (key, group) in self.iter() {
            for (name, family) in &group.families {
                by_name.entry(name).or_default().push(Cow::Borrowed(family));
            }
            for (name, family) in group.times(key) {
                by_name.entry(name).or_default().push(Cow::Owned(family));
            }
        }
        let mut out = String::new();
        for (name, families) in &by_name {
            push_family(&mut out, name, families);
        }
        out
    }

    /// The groups with all that is known of them.
    pub fn list(&self) -> Json {
        self.iter().map(|(key, group)| entry(key, group)).collect()
    }
}

fn push_family(out: &mut String, name: &str, families: &[Cow<'_, Family>]) {
    let Some(first) = families.first() else {
        return;
    };
    if let Some(family) = families.iter().find(|family| !family.help.is_empty()) {
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        for part in ["# HELP ", name, " ", &help, "\n"] {
            out.push_str(part);
        }
    }
    for part in ["# TYPE ", name, " ", type_name(first.kind), "\n"] {
        out.push_str(part);
    }
    let metrics = families.iter().flat_map(|family| &family.metrics);
    let mut metrics: Vec<_> = metrics
        .map(|metric| (metric.shown_labels(), metric))
        .collect();
    metrics.sort_by(|(a, _), (b, _)| {
        let values = |labels: &[(_, _)]| -> Vec<&str> { labels.iter().map(|l| l.1).collect() };
        (a.len(), values(a)).cmp(&(b.len(), values(b)))
    });
    for (labels, metric) in metrics {
        push_metric(out, name, &labels, metric);
    }
}

fn push_metric(out: &mut String, name: &str, labels: &[(&str, &str)], metric: &Metric) {
    for sample in metric.samples() {
        out.push_str(name);
        out.push_str(sample.suffix);
        let mut before = '{';
        let mut push_label = |name: &str, value: &str| {
            out.push(before);
            before = ',';
            out.push_str(name);
            out.push_str("=\"");
            push_escaped(out, value);
            out.push('"');
        };
        for (name, value) in labels {
            push_label(name, value);
        }
        if let Some((name, bound)) = sample.bound {
            push_label(name, &G(bound).to_string());
        }
        out.push_str("} ");
        push_g(out, sample.value);
        out.push('\n');
    }
}

/// A group of the list.
fn entry(key: &GroupKey, group: &Group) -> Json {
    let labels: Map<_, _> = (key.labels().iter())
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let families = group.families.iter();
    let mut entry: Map<_, _> = families
        .map(|(name, family)| (name.clone(), shown_family(family)))
        .collect();
    for (name, family) in group.times(key) {
        entry.insert(name.to_owned(), shown_family(&family));
    }
    entry.insert("labels".to_owned(), Json::Object(labels));
    let succeeded = group.pushed_ms >= group.failed_ms;
    entry.insert("last_push_successful".to_owned(), json!(succeeded));
    Json::Object(entry)
}

fn shown_family(family: &Family) -> Json {
    let metrics: Vec<_> = family.metrics.iter().map(shown_metric).collect();
    let mut shown = json!({
        "time_stamp": When::at(family.pushed_ms),
        "type": type_name(family.kind).to_uppercase(),
        "metrics": metrics,
    });
    if !family.help.is_empty() {
        shown["help"] = json!(family.help);
    }
    shown
}

fn shown_metric(metric: &Metric) -> Json {
    let labels: Map<_, _> = (metric.shown_labels().into_iter())
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let text = |value: f64| json!(G(value).to_string());
    let whole = |value: f64| {
        let mut out = String::new();
        push_plain(&mut out, value);
        json!(out)
    };
    let points = |of: &Distribution, shown: &dyn Fn(f64) -> Json| -> Map<_, _> {
        let points = of.points.iter();
        points
            .map(|(bound, value)| (G(*bound).to_string(), shown(*value)))
            .collect()
    };
    let (name, points, of) = match &metric.value {
        Value::Single(value) => return json!({ "labels": labels, "value": text(*value) }),
        Value::Histogram(of) => ("buckets", points(of, &whole), of),
        Value::Summary(of) => ("quantiles", points(of, &text), of),
    };
    json!({ "labels": labels, name: points, "sum": text(of.sum), "count": whole(of.count) })
}
