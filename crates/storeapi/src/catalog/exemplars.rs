//! Exemplars.

use model::float::push_json;
use model::time::JsonSeconds;
use model::{Exemplar, Labels};
use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

use super::json;
use crate::external_labels::with_external;

/// The exemplars of a series: an item of the `data` of `/api/v1/query_exemplars`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeriesExemplars {
    /// The series' labels.
    #[serde(with = "json::labels")]
    pub series_labels: Labels,
    /// Its exemplars.
    #[serde(serialize_with = "serialize", deserialize_with = "deserialize")]
    pub exemplars: Vec<Exemplar>,
}

impl SeriesExemplars {
    /// Adds the external labels of whoever has the series.
    pub fn add_external(&mut self, external: &Labels) {
        self.series_labels = with_external(&self.series_labels, external);
    }
}

/// An exemplar as Prometheus writes it.
#[derive(Serialize, Deserialize)]
struct Shown {
    #[serde(with = "json::labels", default)]
    labels: Labels,
    value: String,
    /// Seconds.
    timestamp: Number,
}

fn serialize<S: Serializer>(all: &[Exemplar], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(all.len()))?;
    for exemplar in all {
        let mut value = String::new();
        push_json(&mut value, exemplar.value);
        let seconds = JsonSeconds(exemplar.t).to_string();
        list.serialize_element(&Shown {
            labels: exemplar.labels.clone(),
            value,
            timestamp: seconds.parse().map_err(serde::ser::Error::custom)?,
        })?;
    }
    list.end()
}

fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Exemplar>, D::Error> {
    let read = |shown: Shown| {
        let value = shown.value.parse().map_err(|_| {
            D::Error::custom(format_args!("exemplar {:?} is no number", shown.value))
        })?;
        let seconds = shown.timestamp.as_f64().unwrap_or_default();
        Ok(Exemplar {
            labels: shown.labels,
            t: (seconds * 1e3).round() as i64,
            value,
        })
    };
    let all = Vec::<Shown>::deserialize(deserializer)?;
    all.into_iter().map(read).collect()
}
