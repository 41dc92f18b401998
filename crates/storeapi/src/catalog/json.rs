//! How values look in the JSON of Prometheus' HTTP API.

use model::time::{Rfc3339, parse_timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What Go's zero time looks like, which stands for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";
/// The same instant, in milliseconds.
const NEVER_MS: i64 = -62_135_596_800_000;

/// When something was, in milliseconds; `None` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct When(Option<i64>);

impl When {
    /// At this time, in milliseconds; Go's zero time is never.
    pub fn at(ms: i64) -> Self {
        Self(Some(ms).filter(|ms| *ms > NEVER_MS))
    }

    /// Milliseconds since the Unix epoch, if it was.
    pub const fn ms(self) -> Option<i64> {
        self.0
    }

    /// It never was.
    pub const fn is_never(&self) -> bool {
        self.0.is_none()
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(ms) => serializer.collect_str(&Rfc3339(ms)),
            None => serializer.serialize_str(NEVER),
        }
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(parse_timestamp(&text).map_or(Self(None), Self::at))
    }
}

/// A value, or none where there is `null`, which Go writes for a list or a map that was never made.
pub(super) fn or_null<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Labels are an object.
pub(super) mod labels {
    use std::collections::BTreeMap;

    use model::Labels;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        labels: &Labels,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(labels.iter())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Labels, D::Error> {
        let pairs: BTreeMap<String, String> = super::or_null(deserializer)?;
        Ok(Labels::from_pairs(pairs))
    }
}

/// A strategy has the name that it has in Thanos.
pub(super) fn strategy<S: Serializer>(
    strategy: &crate::PartialResponse,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match strategy {
        crate::PartialResponse::Warn => "WARN",
        crate::PartialResponse::Abort => "ABORT",
    })
}
