//! Flags as they took effect, for the API to show.

use std::collections::BTreeMap;
use std::time::Duration;

use model::time::DurationMs;

use super::Config;

impl Config {
    /// The flags under their names, for the API to show.
    pub fn effective_flags(&self) -> BTreeMap<String, String> {
        let ms = |ms: i64| DurationMs(ms).to_string();
        let duration = |d: Duration| ms(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        // No limit is said as 0.
        let limit = |max: u64| if max == u64::MAX { 0 } else { max }.to_string();
        let settings = &self.settings;
        let endpoints = |strict: bool, group: bool| {
            let all = self.endpoints.endpoints.iter();
            let these = all.filter(|e| e.strict == strict && e.group == group);
            let these: Vec<_> = these.map(|e| e.address.to_string()).collect();
            these.join(",")
        };
        let data_dir = self.data_dir.as_ref();
        let flags = [
            ("http-address", self.servers.http.to_string()),
            ("grpc-address", self.servers.grpc.to_string()),
            ("endpoint", endpoints(false, false)),
            ("endpoint-strict", endpoints(true, false)),
            ("endpoint-group", endpoints(false, true)),
            ("endpoint-group-strict", endpoints(true, true)),
            (
                "data-dir",
                data_dir.map_or_else(String::new, |dir| dir.display().to_string()),
            ),
            ("query.timeout", duration(settings.engine.limits.timeout)),
            ("query.max-concurrent", self.http.large_max.to_string()),
            ("query.lookback-delta", ms(settings.engine.lookback_ms)),
            (
                "query.max-samples",
                limit(settings.engine.limits.samples_max),
            ),
            (
                "query.max-memory-bytes",
                limit(settings.engine.limits.bytes_max),
            ),
            (
                "query.max-length",
                settings.text_limits.max_length.to_string(),
            ),
            (
                "query.max-nesting",
                settings.text_limits.max_nesting.to_string(),
            ),
            (
                "query.max-operators",
                settings.text_limits.max_height.to_string(),
            ),
            (
                "store.limits.request-series",
                self.store_limits.series_max.to_string(),
            ),
            (
                "store.limits.request-samples",
                self.store_limits.samples_max.to_string(),
            ),
            ("query.replica-label", settings.replica_labels.join(",")),
            (
                "query.partial-response",
                settings.partial_response.to_string(),
            ),
            (
                "query.auto-downsampling",
                settings.auto_downsampling.to_string(),
            ),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value));
        let mut all = self.shown_flags.clone();
        all.extend(flags);
        all
    }
}
