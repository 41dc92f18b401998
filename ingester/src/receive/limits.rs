//! Limits on writes, in the YAML form of Thanos' `--receive.limits-config`.
//!
//! ```yaml
//! write:
//!   global:
//!     max_concurrency: 30
//!   default:
//!     request:
//!       size_bytes_limit: 1024
//!       series_limit: 1000
//!       samples_limit: 10
//!     head_series_limit: 1000
//!   tenants:
//!     acme:
//!       request:
//!         series_limit: 50000
//! ```
//!
//! A number of 0 or below is no limit; what a tenant does not say is as in `default`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::storage::SeriesLimits;

/// The file.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Limits on writes.
    #[serde(default)]
    pub write: WriteLimits,
}

/// Limits on writes.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct WriteLimits {
    /// For all tenants together.
    #[serde(default)]
    pub global: GlobalLimits,
    /// For tenants that say nothing else.
    #[serde(default)]
    pub default: TenantLimits,
    /// By tenant.
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantLimits>,
}

/// Limits for all tenants together. Those of meta monitoring are read and not used: each ingester
/// knows its own head.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GlobalLimits {
    /// Requests at once.
    #[serde(default)]
    pub max_concurrency: i64,
    /// Where Thanos asks for the number of series.
    #[serde(default)]
    pub meta_monitoring_url: String,
    /// What Thanos asks there.
    #[serde(default)]
    pub meta_monitoring_limit_query: String,
    /// How Thanos asks there.
    #[serde(default)]
    pub meta_monitoring_http_client: Option<serde_json::Value>,
}

/// Limits for a tenant.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TenantLimits {
    /// Of each request.
    #[serde(default)]
    pub request: RequestLimits,
    /// Series of the head.
    #[serde(default)]
    pub head_series_limit: Option<i64>,
}

/// Limits of a request.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RequestLimits {
    /// Bytes, compressed and decompressed alike.
    #[serde(default)]
    pub size_bytes_limit: Option<i64>,
    /// Series.
    #[serde(default)]
    pub series_limit: Option<i64>,
    /// Samples.
    #[serde(default)]
    pub samples_limit: Option<i64>,
}

impl WriteLimits {
    /// Most series of heads; `unsaid` where neither a tenant nor the default says so.
    pub fn head_series_limits(&self, unsaid: usize) -> SeriesLimits {
        let tenants = self.tenants.iter();
        let own = tenants.filter(|(_, limits)| limits.head_series_limit.is_some());
        let own = own.map(|(name, limits)| {
            // 0 is no limit.
            let max = limit(limits.head_series_limit).unwrap_or(usize::MAX);
            (name.clone(), max)
        });
        SeriesLimits {
            default: limit(self.default.head_series_limit).unwrap_or(unsaid),
            by_tenant: own.collect(),
        }
    }
}

impl TenantLimits {
    /// These limits, with what they leave out as in `default`.
    #[must_use]
    pub fn over(self, default: Self) -> Self {
        let (own, rest) = (self.request, default.request);
        Self {
            request: RequestLimits {
                size_bytes_limit: own.size_bytes_limit.or(rest.size_bytes_limit),
                series_limit: own.series_limit.or(rest.series_limit),
                samples_limit: own.samples_limit.or(rest.samples_limit),
            },
            head_series_limit: self.head_series_limit.or(default.head_series_limit),
        }
    }
}

/// The number of a limit, or nothing for none.
pub fn limit(number: Option<i64>) -> Option<usize> {
    let number = number.and_then(|n| usize::try_from(n).ok());
    number.filter(|n| *n > 0)
}

impl LimitsFile {
    /// Reads the file; an empty one has no limits.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        runtime::yaml::read(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_fall_back_to_the_default() {
        let text = "
write:
  global:
    max_concurrency: 30
    meta_monitoring_url: http://example.org
  default:
    request:
      size_bytes_limit: 1024
      series_limit: 0
    head_series_limit: 1000
  tenants:
    acme:
      request:
        series_limit: 50
";
        let file = LimitsFile::parse(text).unwrap();
        let acme = file.write.tenants["acme"].over(file.write.default);
        assert_eq!(limit(acme.request.series_limit), Some(50));
        assert_eq!(limit(acme.request.size_bytes_limit), Some(1024));
        assert_eq!(limit(acme.request.samples_limit), None);
        assert_eq!(limit(acme.head_series_limit), Some(1000));
        assert_eq!(limit(file.write.default.request.series_limit), None);
        let limits = file.write.head_series_limits(7);
        assert_eq!((limits.default, limits.by_tenant), (1000, BTreeMap::new()));
        let text = "
write:
  tenants:
    acme: {head_series_limit: 7}
    free: {head_series_limit: 0}
    other: {}
";
        let limits = LimitsFile::parse(text).unwrap().write.head_series_limits(7);
        let expected = [("acme".to_owned(), 7), ("free".to_owned(), usize::MAX)];
        assert_eq!(limits.default, 7);
        assert_eq!(limits.by_tenant, expected.into());
        assert_eq!(LimitsFile::parse(" \n"), Ok(LimitsFile::default()));
        assert!(LimitsFile::parse("write: {defaults: {}}").is_err());
    }
}
