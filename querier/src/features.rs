//! `--enable-feature`: what Prometheus and Thanos have behind a flag beside the language, which the
//! dialect knows, by their names.

/// Features that are so here without being enabled, that have nothing to do here, or that
/// Prometheus and Thanos have enabled for good meanwhile.
const ALWAYS: [&str; 9] = [
    "auto-gomaxprocs",
    "concurrent-rule-eval",
    "exemplar-storage",
    "native-histograms",
    "promql-at-modifier",
    "promql-negative-offset",
    "promql-per-step-stats",
    "query-pushdown",
    "remote-write-receiver",
];
/// Features of Prometheus 3.15 that this version does not have.
const MISSING: [&str; 17] = [
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "extra-scrape-metrics",
    "histograms-st-encoding",
    "memory-snapshot-on-shutdown",
    "metadata-wal-records",
    "old-ui",
    "openmetrics2",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "search-api",
    "st-storage",
    "st-synthesis",
    "use-uncached-io",
    "xor2-encoding",
    "zstd-scrape",
    "metric-names-filter",
];

/// What became of the name of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is so.
    Enabled,
    /// It is not to be had.
    Missing,
    /// Nobody knows it.
    Unknown,
}

/// Enables what is not of the language, and warns of what is not to be had.
pub(crate) fn apply<'a>(names: impl Iterator<Item = &'a str>, engine: &mut promql::Options) {
    for feature in names {
        match enable(feature.trim(), engine) {
            Outcome::Enabled => {}
            Outcome::Missing => {
                tracing::warn!(feature, "feature is not supported yet and was ignored");
            }
            Outcome::Unknown => tracing::warn!(feature, "feature is unknown and was ignored"),
        }
    }
}

fn enable(name: &str, engine: &mut promql::Options) -> Outcome {
    match name {
        "promql-delayed-name-removal" => engine.delayed_name_removal = true,
        "type-and-unit-labels" => engine.type_and_unit_labels = true,
        "use-start-timestamps" => engine.start_timestamps = true,
        name if ALWAYS.contains(&name) => {}
        name if MISSING.contains(&name) => return Outcome::Missing,
        _ => return Outcome::Unknown,
    }
    Outcome::Enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_prometheus_change_what_queries_mean() {
        let mut engine = promql::Options::default();
        for (name, outcome) in [
            ("promql-delayed-name-removal", Outcome::Enabled),
            ("type-and-unit-labels", Outcome::Enabled),
            ("use-start-timestamps", Outcome::Enabled),
            ("exemplar-storage", Outcome::Enabled),
            ("search-api", Outcome::Missing),
            ("promql-typing-error", Outcome::Unknown),
        ] {
            assert_eq!(enable(name, &mut engine), outcome, "{name}");
        }
        assert!(engine.delayed_name_removal && engine.type_and_unit_labels);
        assert!(engine.start_timestamps);
    }
}
