//! The process' own figures, as `/metrics` shows them.
//!
//! Parts keep plain atomics where they count and implement [`Collect`]; a [`Registry`] asks them when
//! somebody looks. The text is Prometheus' format 0.0.4.

mod described;
mod process;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use hyper::{Method, StatusCode};
use model::figure::{Figure, Value};

use crate::http::{Cost, Handler, Request, Response};

pub use described::{SELF_METRICS, SelfMetrics};
pub use model::figure::{Histogram, LabelPairs, Quantiles, Tally};
pub use process::ProcessMetrics;
pub(crate) use process::build_labels;

/// Something that has figures.
pub trait Collect: Send + Sync {
    /// Adds its figures as they are now.
    fn collect(&self, out: &mut Exposition);
}

/// Figures of one moment, family by family.
///
/// No series is shown twice: of parts that count the same, such as two that read one bucket, counts
/// are added up, and of gauges the greatest is shown, unless each has a [share](Exposition::share) of
/// the whole.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    /// In the order in which they came first: names with labels, and values.
    series: Vec<(String, Number)>,
    places: HashMap<String, usize>,
}

/// The kind of gauges that are added up.
const SHARED_GAUGE: &str = "shared gauge";

/// A value as it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Whole(u64),
    Float(f64),
}

impl Exposition {
    /// Adds a figure; the name of a counter ends with `_total`.
    pub fn add(&mut self, figure: Figure<'_>) {
        let Figure {
            name,
            help,
            labels,
            value,
        } = figure;
        match value {
            Value::Counter(value) => self.float_counter(name, help, labels, value),
            Value::Gauge(value) => self.gauge(name, help, labels, value),
            Value::Summary {
                quantiles,
                count,
                sum,
            } => self.summarized((name, help), labels, quantiles, (count, sum)),
            Value::Histogram { buckets, sum } => {
                self.distribution((name, help), labels, buckets, sum);
            }
        }
    }

    /// Adds a counter; `name` ends with `_total`.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: u64,
    ) {
        self.put((name, help, "counter"), "", labels, Number::Whole(value));
    }

    /// Adds a counter that is not a whole number, such as seconds.
    pub fn float_counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: f64,
    ) {
        self.put((name, help, "counter"), "", labels, Number::Float(value));
    }

    /// Adds a gauge.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: f64,
    ) {
        self.put((name, help, "gauge"), "", labels, Number::Float(value));
    }

    /// Adds a gauge of which other parts have shares too, such as what is under way in one of two
    /// servers: they are added up.
    pub fn share(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: f64,
    ) {
        self.put((name, help, SHARED_GAUGE), "", labels, Number::Float(value));
    }

    /// Adds a histogram.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: &Histogram,
    ) {
        let (buckets, sum) = value.read();
        self.distribution((name, help), labels, &buckets, sum);
    }

    fn distribution(
        &mut self,
        (name, help): (&'static str, &'static str),
        labels: LabelPairs<'_>,
        buckets: &[(f64, u64)],
        sum: f64,
    ) {
        let family = (name, help, "histogram");
        for (bound, below) in buckets {
            let le = Number::Float(*bound).to_string();
            let mut labels = labels.to_vec();
            labels.push(("le", &le));
            self.put(family, "_bucket", &labels, Number::Whole(*below));
        }
        let count = buckets.last().map_or(0, |(_, below)| *below);
        self.put(family, "_sum", labels, Number::Float(sum));
        self.put(family, "_count", labels, Number::Whole(count));
    }

    /// Adds a summary without quantiles: how often something was observed, and the sum.
    pub fn summary(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        totals: (u64, f64),
    ) {
        self.summarized((name, help), labels, &[], totals);
    }

    /// Adds a summary with quantiles of what was observed until `now`.
    pub fn quantiles(
        &mut self,
        (name, help): (&'static str, &'static str),
        labels: LabelPairs<'_>,
        value: &Quantiles,
        now: Instant,
    ) {
        let (quantiles, count, sum) = value.read(now);
        self.summarized((name, help), labels, &quantiles, (count, sum));
    }

    fn summarized(
        &mut self,
        (name, help): (&'static str, &'static str),
        labels: LabelPairs<'_>,
        quantiles: &[(f64, f64)],
        (count, sum): (u64, f64),
    ) {
        let family = (name, help, "summary");
        for (quantile, value) in quantiles {
            let quantile = Number::Float(*quantile).to_string();
            let mut labels = labels.to_vec();
            labels.push(("quantile", &quantile));
            self.put(family, "", &labels, Number::Float(*value));
        }
        self.put(family, "_sum", labels, Number::Float(sum));
        self.put(family, "_count", labels, Number::Whole(count));
    }

    fn put(
        &mut self,
        (name, help, kind): (&'static str, &'static str, &'static str),
        suffix: &str,
        labels: LabelPairs<'_>,
        value: Number,
    ) {
        let family = self.families.entry(name).or_insert_with(|| Family {
            help,
            kind,
            series: Vec::new(),
            places: HashMap::new(),
        });
        let mut series = format!("{name}{suffix}");
        for (i, (label, text)) in labels.iter().enumerate() {
            series.push(if i == 0 { '{' } else { ',' });
            series.push_str(label);
            series.push_str("=\"");
            push_escaped(&mut series, text);
            series.push('"');
        }
        if !labels.is_empty() {
            series.push('}');
        }
        family.put(series, value);
    }

    /// The text, families in order of their names.
    pub fn into_text(self) -> String {
        let mut out = String::new();
        for (name, family) in self.families {
            writeln!(out, "# HELP {name} {}", family.help).expect("writing to a String");
            let kind = match family.kind {
                SHARED_GAUGE => "gauge",
                kind => kind,
            };
            writeln!(out, "# TYPE {name} {kind}").expect("writing to a String");
            for (series, value) in family.series {
                writeln!(out, "{series} {value}").expect("writing to a String");
            }
        }
        out
    }
}

impl Family {
    fn put(&mut self, series: String, value: Number) {
        match self.places.get(&series) {
            Some(place) => {
                let (_, held) = &mut self.series[*place];
                *held = held.with(value, self.kind == "gauge");
            }
            None => {
                self.places.insert(series.clone(), self.series.len());
                self.series.push((series, value));
            }
        }
    }
}

impl Number {
    /// What two parts say of the same.
    fn with(self, other: Self, is_level: bool) -> Self {
        let float = |number| match number {
            Self::Whole(value) => value as f64,
            Self::Float(value) => value,
        };
        match (self, other) {
            (a, b) if is_level => Self::Float(float(a).max(float(b))),
            (Self::Whole(a), Self::Whole(b)) => Self::Whole(a.saturating_add(b)),
            (a, b) => Self::Float(float(a) + float(b)),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => fmt::Display::fmt(&value, f),
            Self::Float(f64::INFINITY) => f.write_str("+Inf"),
            Self::Float(f64::NEG_INFINITY) => f.write_str("-Inf"),
            Self::Float(value) => fmt::Display::fmt(&value, f),
        }
    }
}

/// Appends the value of a label as the text format writes it between its quotes.
pub fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str(r"\n"),
            c => out.push(c),
        }
    }
}

/// Everything of a process that has figures. Clones share it.
#[derive(Clone, Default)]
pub struct Registry {
    collectors: Arc<RwLock<Vec<Arc<dyn Collect>>>>,
}

impl Registry {
    /// A registry with the figures of the process itself, which started at `started_ms`.
    pub fn with_process(version: &'static str, started_ms: i64) -> Self {
        let registry = Self::default();
        registry.register(Arc::new(ProcessMetrics::new(version, started_ms)));
        registry
    }

    /// Shows the figures of `collector` from now on.
    pub fn register(&self, collector: Arc<dyn Collect>) {
        let mut collectors = (self.collectors.write()).unwrap_or_else(PoisonError::into_inner);
        collectors.push(collector);
    }

    /// All figures as text.
    pub fn text(&self) -> String {
        self.figures().into_text()
    }

    /// All figures.
    fn figures(&self) -> Exposition {
        let mut out = Exposition::default();
        let collectors = (self.collectors.read()).unwrap_or_else(PoisonError::into_inner);
        for collector in collectors.iter() {
            collector.collect(&mut out);
        }
        out
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Answers requests for `/metrics`.
impl Handler for Registry {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Response::not_allowed("GET, HEAD, OPTIONS");
        }
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Response::bytes(StatusCode::OK, content_type, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;

    impl Collect for Sample {
        fn collect(&self, out: &mut Exposition) {
            out.counter("b_total", "Things.", &[("kind", "a\"b\\c\nd")], 3);
            out.gauge("a", "A level.", &[], f64::NEG_INFINITY);
            out.counter("b_total", "Things.", &[("kind", "other")], 4);
        }
    }

    #[test]
    fn families_are_whole_and_sorted() {
        let registry = Registry::default();
        registry.register(Arc::new(Sample));
        assert_eq!(
            registry.text(),
            "# HELP a A level.\n# TYPE a gauge\na -Inf\n\
             # HELP b_total Things.\n# TYPE b_total counter\n\
             b_total{kind=\"a\\\"b\\\\c\\nd\"} 3\nb_total{kind=\"other\"} 4\n"
        );
    }

    #[test]
    fn parts_that_count_the_same_are_one_series() {
        let seconds = Histogram::new(&[1.0]);
        seconds.observe(0.5);
        let mut out = Exposition::default();
        for (count, level) in [(1, 5.0), (2, 4.0)] {
            out.counter("reads_total", "Reads.", &[], count);
            out.gauge("blocks", "Blocks.", &[], level);
            out.share("running", "Under way.", &[], level);
            out.histogram("seconds", "Time.", &[], &seconds);
        }
        assert_eq!(
            out.into_text(),
            "# HELP blocks Blocks.\n# TYPE blocks gauge\nblocks 5\n\
             # HELP reads_total Reads.\n# TYPE reads_total counter\nreads_total 3\n\
             # HELP running Under way.\n# TYPE running gauge\nrunning 9\n\
             # HELP seconds Time.\n# TYPE seconds histogram\nseconds_bucket{le=\"1\"} 2\n\
             seconds_bucket{le=\"+Inf\"} 2\nseconds_sum 1\nseconds_count 2\n"
        );
    }
}
