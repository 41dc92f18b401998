//! Figures of a tenant's TSDB under the names that Prometheus gives them, so that its dashboards and
//! alerts work, and with the tenant as label
//! where there may be several, as in Thanos' receive.

use std::sync::atomic::Ordering;

use model::figure::{Figure, Value};
use runtime::metrics::{Exposition, LabelPairs};
use tsdb::db::{DbStats, OpenReport};
use tsdb::head::WalStats;

use super::tenants::{Layout, Tenant};

/// What a family counts in whole numbers: name, help, and the value of `type` where it has one.
type Counter = (&'static str, &'static str, Option<&'static str>, u64);

/// Adds the figures of a tenant; one alone has no label, as in a Prometheus.
pub(super) fn collect(tenant: &Tenant, layout: Layout, out: &mut Exposition) {
    let stats = tenant.db.stats();
    let label = [("tenant", &*tenant.name)];
    let of: LabelPairs<'_> = match layout {
        Layout::Single => &[],
        Layout::PerTenant => &label,
    };
    let chunks = tenant.head_chunks.load(Ordering::Relaxed) as f64;
    let help = "Chunks in the head, as of the last minute.";
    out.gauge("prometheus_tsdb_head_chunks", help, of, chunks);
    gauges(of, &stats, out);
    times(of, &stats, out);
    opening(of, tenant.db.report(), out);
    for (name, help, kind, value) in counters(&stats) {
        let mut labels = of.to_vec();
        labels.extend(kind.map(|kind| ("type", kind)));
        out.counter(name, help, &labels, value);
    }
    wal(of, &stats.wal, out);
}

/// What was found when the data was opened.
fn opening(of: LabelPairs<'_>, report: &OpenReport, out: &mut Exposition) {
    out.gauge(
        "prometheus_tsdb_data_replay_duration_seconds",
        "How long it took to open the data at the start.",
        of,
        report.took.as_secs_f64(),
    );
    out.gauge(
        "prometheus_tsdb_clean_start",
        "Whether the data was closed properly before: 1 yes, 0 no, -1 not known.",
        of,
        match report.is_clean_start {
            Some(true) => 1.0,
            Some(false) => 0.0,
            None => -1.0,
        },
    );
    out.gauge(
        "promontory_tsdb_unreadable_blocks",
        "Blocks that could not be read at the start, as those of a later version, and are left out.",
        of,
        report.unreadable.len() as f64,
    );
    out.counter(
        "promontory_tsdb_wal_unknown_records_total",
        "Records of the log that only a later version knows, which were skipped at the start.",
        of,
        report.head.replay.unknown_records,
    );
}

fn gauges(of: LabelPairs<'_>, stats: &DbStats, out: &mut Exposition) {
    let gauges = [
        (
            "prometheus_tsdb_head_series",
            "Series in the head.",
            stats.head_series as f64,
        ),
        (
            "prometheus_tsdb_blocks_loaded",
            "Blocks that are read.",
            stats.blocks as f64,
        ),
        (
            "prometheus_tsdb_storage_blocks_bytes",
            "Bytes of the blocks that are read.",
            stats.block_bytes as f64,
        ),
        (
            "promontory_tsdb_read_only",
            "1 while writes are refused because the disk is nearly full.",
            f64::from(u8::from(stats.is_read_only)),
        ),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, of, value);
    }
}

/// Times are in milliseconds, and in seconds under another name. An empty head has those that
/// Prometheus gives it.
fn times(of: LabelPairs<'_>, stats: &DbStats, out: &mut Exposition) {
    let head = stats.head_range;
    let times = [
        (
            [
                "prometheus_tsdb_head_min_time",
                "prometheus_tsdb_head_min_time_seconds",
            ],
            "First sample in the head.",
            head.map_or(i64::MAX, |range| range.min),
        ),
        (
            [
                "prometheus_tsdb_head_max_time",
                "prometheus_tsdb_head_max_time_seconds",
            ],
            "Last sample in the head.",
            head.map_or(i64::MIN, |range| range.max - 1),
        ),
        (
            [
                "prometheus_tsdb_lowest_timestamp",
                "prometheus_tsdb_lowest_timestamp_seconds",
            ],
            "First sample in the head and in blocks.",
            stats.lowest_time.unwrap_or(i64::MAX),
        ),
    ];
    for ([ms, seconds], help, time) in times {
        out.gauge(ms, help, of, time as f64);
        out.gauge(seconds, help, of, time as f64 / 1000.0);
    }
}

fn counters(stats: &DbStats) -> [Counter; 10] {
    const APPENDED: &str = "prometheus_tsdb_head_samples_appended_total";
    const APPENDED_HELP: &str = "Samples taken.";
    let written = &stats.written;
    let removed = stats
        .head_series_created
        .saturating_sub(stats.head_series as u64);
    [
        (APPENDED, APPENDED_HELP, Some("float"), written.floats),
        (
            APPENDED,
            APPENDED_HELP,
            Some("histogram"),
            written.histograms,
        ),
        (
            "prometheus_tsdb_head_series_created_total",
            "Series that came into the head.",
            None,
            stats.head_series_created,
        ),
        (
            "prometheus_tsdb_head_series_removed_total",
            "Series that left the head.",
            None,
            removed,
        ),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Samples refused: older than the newest of their series, and no window for such is open.",
            Some("float"),
            written.out_of_order,
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Samples refused: older than the window for samples that come out of order.",
            Some("float"),
            written.too_old,
        ),
        (
            "prometheus_tsdb_out_of_bound_samples_total",
            "Samples refused: before what the head takes, or too far in the future.",
            Some("float"),
            written.out_of_bounds,
        ),
        (
            "promontory_tsdb_duplicate_samples_total",
            "Samples refused: another value for a time that there is one of.",
            Some("float"),
            written.duplicate,
        ),
        (
            "prometheus_tsdb_exemplar_exemplars_appended_total",
            "Exemplars taken.",
            None,
            written.exemplars,
        ),
        (
            "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
            "Exemplars refused: older than the newest of their series.",
            None,
            written.out_of_order_exemplars,
        ),
    ]
}

fn wal(of: LabelPairs<'_>, wal: &WalStats, out: &mut Exposition) {
    out.gauge(
        "prometheus_tsdb_wal_segment_current",
        "The segment of the log that is written to.",
        of,
        f64::from(wal.segment),
    );
    out.add(Figure {
        name: "prometheus_tsdb_wal_fsync_duration_seconds",
        help: "How long it took to bring the log to disk.",
        labels: of,
        value: Value::Summary {
            quantiles: &wal.sync_quantiles,
            count: wal.syncs,
            sum: wal.sync_seconds,
        },
    });
    out.counter(
        "prometheus_tsdb_wal_corruptions_total",
        "Damaged parts of logs and of head chunks that were set aside.",
        of,
        wal.corruptions,
    );
    out.counter(
        "prometheus_tsdb_wal_writes_failed_total",
        "Writes to the log that failed; nothing is written after the first.",
        of,
        u64::from(wal.has_failed),
    );
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::super::tenants::Layout;
    use super::super::testing::{START, open, options, write};
    use super::*;

    /// The value of a figure of tenant "a" in the text, by what follows its name.
    fn value<'t>(text: &'t str, name: &str) -> &'t str {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next())
            .unwrap_or_else(|| panic!("{name} in {text}"))
    }

    #[test]
    fn writes_show() {
        let dir = tempfile::tempdir().unwrap();
        let tenants = open(options(dir.path(), Layout::PerTenant)).unwrap();
        let series = ["up", "down"].map(|name| Labels::from_pairs([("__name__", name)]));
        write(&tenants, "a", START, &series);
        write(&tenants, "a", START + 1000, &series);
        let mut out = Exposition::default();
        let tenant = tenants.get("a").unwrap();
        tenant.db.head().flush().unwrap();
        collect(&tenant, Layout::PerTenant, &mut out);
        let text = out.into_text();
        let appended = "prometheus_tsdb_head_samples_appended_total{tenant=\"a\",type=\"float\"}";
        assert_eq!(value(&text, appended), "4");
        assert_eq!(
            value(&text, "prometheus_tsdb_head_series_created_total{"),
            "2"
        );
        assert_eq!(
            value(&text, "prometheus_tsdb_head_series_removed_total{"),
            "0"
        );
        assert_eq!(
            value(&text, "prometheus_tsdb_lowest_timestamp{"),
            START.to_string()
        );
        let max = (START + 1000) as f64 / 1000.0;
        assert_eq!(
            value(&text, "prometheus_tsdb_head_max_time_seconds{"),
            max.to_string()
        );
        let synced: u64 = value(&text, "prometheus_tsdb_wal_fsync_duration_seconds_count{")
            .parse()
            .unwrap();
        assert!(synced > 0, "{text}");
    }
}
