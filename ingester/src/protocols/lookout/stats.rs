//! What Lookout's gateway says about itself, under its own names: what came in by which importer and from
//! which application, what was stored, and how much waits.
//!
//! Numbers are those of a window of half a minute, as Lookout's client reports them, and all have the
//! label `app="gateway"`. Nothing is said before the gateway was used. It runs no thread pools and no
//! JVM, so of those it says nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use model::labels::METRIC_NAME;
use parking_lot::Mutex;

use crate::protocols::names::Names;
use crate::protocols::points::Points;
use crate::protocols::status::Totals;
use crate::receive::LabelLimits;

/// How often it is said.
pub const WINDOW: Duration = Duration::from_secs(30);
/// The application of all these metrics.
const APP: (&str, &str) = ("app", "gateway");
/// Applications that are told apart in a window; all further ones are one.
const APPS_MAX: usize = 1000;
/// Stands for all further applications.
const FURTHER_APPS: &str = "other";

/// Sums of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Summary {
    count: u64,
    total: f64,
    max: f64,
}

impl Summary {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.total += value;
        self.max = self.max.max(value);
    }
}

#[derive(Debug, Default)]
struct Window {
    /// Bytes of requests by importer. One that was ever used stays, so that it says zero.
    importers: BTreeMap<&'static str, Summary>,
    /// Requests by application and importer.
    uploads: BTreeMap<(String, &'static str), u64>,
    /// Seconds that requests took.
    times: Summary,
    /// The totals at the end of the window before.
    before: Totals,
}

/// Counts what a gateway does.
#[derive(Debug, Default)]
pub struct Stats {
    window: Mutex<Window>,
}

impl Stats {
    /// Counts a request of an application, of so many bytes, and how long it took.
    pub fn note(&self, importer: &'static str, app: &str, bytes: usize, took: Duration) {
        let mut window = self.window.lock();
        let size = window.importers.entry(importer).or_default();
        size.add(bytes as f64);
        window.times.add(took.as_secs_f64());
        let mut key = (app.to_owned(), importer);
        if window.uploads.len() >= APPS_MAX && !window.uploads.contains_key(&key) {
            key.0 = FURTHER_APPS.to_owned();
        }
        *window.uploads.entry(key).or_default() += 1;
    }

    /// What there is to say at `now_ms` of the window that ends, which began [`WINDOW`] ago; `totals`
    /// are those of the receiver, and `waiting_bytes` wait on disk.
    pub fn end_window(
        &self,
        (now_ms, names): (i64, Names),
        totals: Totals,
        waiting_bytes: u64,
    ) -> Points {
        let mut window = self.window.lock();
        let mut report = Report {
            now_ms,
            names,
            points: Points::new(),
        };
        if window.importers.is_empty() {
            return report.points;
        }
        for (importer, size) in &mut window.importers {
            let labels = [("importer", *importer), ("type", "metric")];
            report.counted("importer.stats.count", &labels, size.count);
            report.distributed("importer.stats.size", &labels, *size);
            *size = Summary::default();
        }
        for ((app, importer), count) in std::mem::take(&mut window.uploads) {
            let labels = [("client_app", app.as_str()), ("source_type", importer)];
            report.counted("metrics.upload.stats", &labels, count);
        }
        let labels = [("exporter", "tsdb"), ("type", "metric")];
        let before = std::mem::replace(&mut window.before, totals);
        for (part, count) in [
            ("count", totals.points - before.points),
            ("batch", totals.requests - before.requests),
            ("fail", totals.failed - before.failed),
        ] {
            report.counted(&format!("exporter.stats.{part}"), &labels, count);
        }
        let times = std::mem::take(&mut window.times);
        report.timed("exporter.stats.time", &labels, times);
        let mebibytes = waiting_bytes as f64 / f64::from(1 << 20);
        report.add("queue.size", "value", &[("name", "queue")], mebibytes);
        report.points
    }
}

/// Points that are gathered.
struct Report {
    now_ms: i64,
    names: Names,
    points: Points,
}

impl Report {
    fn add(&mut self, metric: &str, member: &str, labels: &[(&str, &str)], value: f64) {
        let name = format!("{metric}.{member}");
        let name = self.names.metric(&name);
        let mut all = vec![(METRIC_NAME, &*name), APP];
        all.extend_from_slice(labels);
        // Only an application's name comes from outside, and one that no label can have is left out.
        let _ = (self.points).add(&mut all, self.now_ms, value, &LabelLimits::default());
    }

    fn counted(&mut self, metric: &str, labels: &[(&str, &str)], count: u64) {
        let count = count as f64;
        self.add(metric, "count", labels, count);
        self.add(metric, "rate", labels, count / WINDOW.as_secs_f64());
    }

    /// As the client reports a distribution: its sum is one of a second.
    fn distributed(&mut self, metric: &str, labels: &[(&str, &str)], of: Summary) {
        let seconds = WINDOW.as_secs_f64();
        self.add(metric, "rate", labels, of.count as f64 / seconds);
        self.add(metric, "totalAmount", labels, of.total / seconds);
        self.add(metric, "max", labels, of.max);
    }

    fn timed(&mut self, metric: &str, labels: &[(&str, &str)], of: Summary) {
        let each = if of.count == 0 {
            0.0
        } else {
            of.total / of.count as f64
        };
        self.add(metric, "elapPerExec", labels, each);
        self.add(metric, "totalTime", labels, of.total);
        self.add(metric, "max", labels, of.max);
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    fn said(points: &Points) -> Vec<String> {
        let series = points.batch().iter();
        let said = series.map(|series| {
            let labels = Labels::from_encoded(series.labels);
            format!("{labels} {} @ {}", series.floats[0].v, series.floats[0].t)
        });
        said.collect()
    }

    #[test]
    fn a_window_is_said_under_the_gateways_names() {
        let stats = Stats::default();
        let end = |now_ms, points, waiting| {
            let totals = Totals {
                requests: points / 10,
                failed: points / 100,
                points,
            };
            said(&stats.end_window((now_ms, Names::Keep), totals, waiting))
        };
        assert_eq!(end(1, 0, 0), Vec::<String>::new());
        stats.note("standard", "order", 300, Duration::from_millis(20));
        stats.note("standard", "order", 600, Duration::from_millis(40));
        stats.note("opentsdb", "", 0, Duration::ZERO);
        let importer = |name: &str, importer: &str, value: &str| {
            format!(
                r#"{{__name__="importer.stats.{name}", app="gateway", importer="{importer}", type="metric"}} {value} @ 2"#
            )
        };
        let upload = |name: &str, app: &str, importer: &str, value: &str| {
            format!(
                r#"{{__name__="metrics.upload.stats.{name}", app="gateway"{app}, source_type="{importer}"}} {value} @ 2"#
            )
        };
        let exporter = |name: &str, value: &str| {
            format!(
                r#"{{__name__="exporter.stats.{name}", app="gateway", exporter="tsdb", type="metric"}} {value} @ 2"#
            )
        };
        let order = r#", client_app="order""#;
        let third = (1.0_f64 / 30.0).to_string();
        assert_eq!(
            end(2, 300, 3 << 19),
            [
                importer("count.count", "opentsdb", "1"),
                importer("count.rate", "opentsdb", &third),
                importer("size.rate", "opentsdb", &third),
                importer("size.totalAmount", "opentsdb", "0"),
                importer("size.max", "opentsdb", "0"),
                importer("count.count", "standard", "2"),
                importer("count.rate", "standard", &(2.0_f64 / 30.0).to_string()),
                importer("size.rate", "standard", &(2.0_f64 / 30.0).to_string()),
                importer("size.totalAmount", "standard", "30"),
                importer("size.max", "standard", "600"),
                upload("count", "", "opentsdb", "1"),
                upload("rate", "", "opentsdb", &third),
                upload("count", order, "standard", "2"),
                upload("rate", order, "standard", &(2.0_f64 / 30.0).to_string()),
                exporter("count.count", "300"),
                exporter("count.rate", "10"),
                exporter("batch.count", "30"),
                exporter("batch.rate", "1"),
                exporter("fail.count", "3"),
                exporter("fail.rate", "0.1"),
                exporter("time.elapPerExec", "0.02"),
                exporter("time.totalTime", "0.06"),
                exporter("time.max", "0.04"),
                r#"{__name__="queue.size.value", app="gateway", name="queue"} 1.5 @ 2"#.to_owned(),
            ]
        );
        // Who came once says zero from then on; applications are only those of the window.
        let quiet = end(3, 300, 0);
        assert_eq!(quiet.len(), 5 + 5 + 9 + 1);
        assert!(
            quiet.iter().all(|point| point.ends_with(" 0 @ 3")),
            "{quiet:?}"
        );
    }

    #[test]
    fn applications_are_not_told_apart_without_end() {
        let stats = Stats::default();
        for i in 0..2 * APPS_MAX {
            stats.note("standard", &i.to_string(), 1, Duration::ZERO);
        }
        let points = said(&stats.end_window((1, Names::Keep), Totals::default(), 0));
        let uploads = points
            .iter()
            .filter(|point| point.contains("upload.stats.count"));
        assert_eq!(uploads.count(), APPS_MAX + 1);
    }
}
