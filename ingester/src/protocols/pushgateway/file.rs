//! The file that keeps groups over a restart: JSON, replaced as a whole.
//!
//! `{"version":1,"groups":[{"tenant":"..","labels":{..},"pushed_ms":0,"failed_ms":0,"families":[{"name":"..",
//! "type":"..","help":"..","samples":[[{..labels},"value"]]}]}]}`. Values are text, since JSON knows
//! neither NaN nor infinity. See docs/format/pushgateway.md.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use model::float::G;
use model::{Labels, MetricType};
use serde::{Deserialize, Serialize};
use tsdb::durable;

use super::decode::Family;
use super::groups::{Group, Tenants, type_name};
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
    samples: Vec<(BTreeMap<String, String>, String)>,
}

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
        let mut group = Group {
            pushed_ms: entry.pushed_ms,
            failed_ms: entry.failed_ms,
            ..Group::default()
        };
        for family in entry.families {
            let samples = family.samples.iter().map(|(labels, value)| {
                let value = parse_value(value.as_bytes()).ok_or(io::ErrorKind::InvalidData)?;
                Ok((Labels::from_pairs(labels), value))
            });
            let read = Family {
                kind: MetricType::from_name(&family.r#type).unwrap_or_default(),
                help: family.help,
                samples: samples.collect::<io::Result<_>>()?,
            };
            group.families.insert(family.name, read);
        }
        let key = GroupKey::from_labels(entry.labels.into_iter().collect());
        tenants.of(&entry.tenant).insert(key, group);
    }
    Ok(tenants)
}

/// Writes the groups; they are durable afterwards.
///
/// # Errors
/// When that fails; the file is as before then.
pub(super) fn write(path: &Path, tenants: &Tenants) -> io::Result<()> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
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
                samples: (family.samples.iter())
                    .map(|(labels, value)| {
                        (labels.iter().map(owned).collect(), G(*value).to_string())
                    })
                    .collect(),
            })
            .collect(),
    });
    let contents = Contents {
        version: VERSION,
        groups: entries.collect(),
    };
    durable::replace(path, &serde_json::to_vec(&contents)?)
}
