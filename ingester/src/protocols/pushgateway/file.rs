//! The file that keeps groups over a restart: JSON, replaced as a whole.
//!
//! `{"version":1,"groups":[{"tenant":"..","labels":{..},"pushed_ms":0,"failed_ms":0,"families":[{"name":"..",
//! "type":"..","help":"..","pushed_ms":0,"samples":[[{..labels},"value"]]}]}]}`. Values are text, since
//! JSON knows neither NaN nor infinity. See docs/format/pushgateway.md.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use model::MetricType;
use model::float::G;
use model::labels::METRIC_NAME;
use serde::{Deserialize, Serialize};
use tsdb::durable;

use super::groups::{Group, Tenants, type_name};
use super::metrics::{Collector, Families, Metric, Pairs};
use super::path::GroupKey;
use crate::exposition::number::parse_value;

/// The only version of the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    groups: Vec<GroupEntry>,
}

#[derive(Serialize, Deserialize)]
struct GroupEntry {
    /// Absent for the default one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tenant: String,
    labels: BTreeMap<String, String>,
    pushed_ms: i64,
    failed_ms: i64,
    families: Vec<FamilyEntry>,
}

#[derive(Serialize, Deserialize)]
struct FamilyEntry {
    name: String,
    r#type: String,
    help: String,
    /// Absent when it is that of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pushed_ms: Option<i64>,
    samples: Vec<SampleEntry>,
}

/// Labels, the name of the sample among them, and the value.
type SampleEntry = (BTreeMap<String, String>, String);

/// Reads the groups; none when there is no file yet.
///
/// # Errors
/// When the file cannot be read, or is none of ours.
pub(super) fn read(path: &Path) -> io::Result<Tenants> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tenants::default()),
        bytes => bytes?,
    };
    let contents: Contents = serde_json::from_slice(&bytes)?;
    if contents.version != VERSION {
        let reason = format!("version {} is not known", contents.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut tenants = Tenants::default();
    for entry in contents.groups {
        let key = GroupKey::from_labels(entry.labels.into_iter().collect());
        let group = Group {
            pushed_ms: entry.pushed_ms,
            failed_ms: entry.failed_ms,
            families: families(entry.families, &key, entry.pushed_ms)
                .ok_or(io::ErrorKind::InvalidData)?,
        };
        tenants.of(&entry.tenant).insert(key, group);
    }
    Ok(tenants)
}

/// The families of a group; `None` for what no push can have left.
fn families(entries: Vec<FamilyEntry>, key: &GroupKey, pushed_ms: i64) -> Option<Families> {
    let mut collector = Collector::new(key, false);
    for entry in entries {
        let number = collector.family(&entry.name);
        let family = collector.family_mut(number);
        family.kind = MetricType::from_name(&entry.r#type).unwrap_or_default();
        family.help = entry.help;
        family.pushed_ms = entry.pushed_ms.unwrap_or(pushed_ms);
        for (labels, value) in entry.samples {
            let suffix = labels
                .get(METRIC_NAME)?
                .strip_prefix(&entry.name)?
                .to_owned();
            let labels = labels.into_iter().filter(|(name, _)| name != METRIC_NAME);
            let mut labels: Pairs<'_> = labels.map(|(n, v)| (n.into(), v.into())).collect();
            let value = parse_value(value.as_bytes())?;
            collector.add((number, &suffix), &mut labels, value).ok()?;
        }
    }
    collector.finish().ok()
}

/// The samples of a metric.
fn samples(metric: &Metric) -> impl Iterator<Item = SampleEntry> {
    metric.samples().into_iter().map(|sample| {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut labels: BTreeMap<_, _> = metric.labels.iter().map(owned).collect();
        labels.extend(
            metric
                .empty
                .iter()
                .map(|name| (name.clone(), String::new())),
        );
        if let Some(name) = labels.get_mut(METRIC_NAME) {
            name.push_str(sample.suffix);
        }
        if let Some((name, bound)) = sample.bound {
            labels.insert(name.to_owned(), G(bound).to_string());
        }
        (labels, G(sample.value).to_string())
    })
}

/// Writes the groups; they are durable afterwards.
///
/// # Errors
/// When that fails; the file is as before then.
pub(super) fn write(path: &Path, tenants: &Tenants) -> io::Result<()> {
    let groups = tenants.iter().flat_map(|(tenant, groups)| {
        let groups = groups.iter();
        groups.map(move |(key, group)| (tenant, key, group))
    });
    let entries = groups.map(|(tenant, key, group)| GroupEntry {
        tenant: tenant.to_owned(),
        labels: key.labels().iter().cloned().collect(),
        pushed_ms: group.pushed_ms,
        failed_ms: group.failed_ms,
        families: (group.families.iter())
            .map(|(name, family)| FamilyEntry {
                name: name.clone(),
                r#type: type_name(family.kind).to_owned(),
                help: family.help.clone(),
                pushed_ms: Some(family.pushed_ms).filter(|ms| *ms != group.pushed_ms),
                samples: family.metrics.iter().flat_map(samples).collect(),
            })
            .collect(),
    });
    let contents = Contents {
        version: VERSION,
        groups: entries.collect(),
    };
    durable::replace(path, &serde_json::to_vec(&contents)?)
}
