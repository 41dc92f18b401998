//! The process' own figures, as `/metrics` shows them.
//!
//! Parts keep plain atomics where they count and implement [`Collect`]; a [`Registry`] asks them when
//! somebody looks. The text is Prometheus' format 0.0.4.

mod histogram;
mod process;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use hyper::StatusCode;

use crate::http::{Cost, Handler, Request, Response};

pub use histogram::Histogram;
pub use process::ProcessMetrics;

/// Something that has figures.
pub trait Collect: Send + Sync {
    /// Adds its figures as they are now.
    fn collect(&self, out: &mut Exposition);
}

/// Figures of one moment, family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    lines: String,
}

/// Names and values of the labels of one figure.
pub type LabelPairs<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Adds a counter; `name` ends with `_total`.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: u64,
    ) {
        self.line((name, help, "counter"), "", labels, &value);
    }

    /// Adds a counter that is not a whole number, such as seconds.
    pub fn float_counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: f64,
    ) {
        self.line((name, help, "counter"), "", labels, &Float(value));
    }

    /// Adds a gauge.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: f64,
    ) {
        self.line((name, help, "gauge"), "", labels, &Float(value));
    }

    /// Adds a histogram.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        value: &Histogram,
    ) {
        let family = (name, help, "histogram");
        let (buckets, count, sum) = value.read();
        for (bound, below) in buckets {
            let le = Float(bound).to_string();
            let mut labels = labels.to_vec();
            labels.push(("le", &le));
            self.line(family, "_bucket", &labels, &below);
        }
        self.line(family, "_sum", labels, &Float(sum));
        self.line(family, "_count", labels, &count);
    }

    /// Adds a summary without quantiles: how often something was observed, and the sum.
    pub fn summary(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: LabelPairs<'_>,
        (count, sum): (u64, f64),
    ) {
        let family = (name, help, "summary");
        self.line(family, "_sum", labels, &Float(sum));
        self.line(family, "_count", labels, &count);
    }

    fn line(
        &mut self,
        (name, help, kind): (&'static str, &'static str, &'static str),
        suffix: &str,
        labels: LabelPairs<'_>,
        value: &dyn fmt::Display,
    ) {
        let family = self.families.entry(name).or_insert_with(|| Family {
            help,
            kind,
            lines: String::new(),
        });
        let out = &mut family.lines;
        out.push_str(name);
        out.push_str(suffix);
        for (i, (label, text)) in labels.iter().enumerate() {
            out.push(if i == 0 { '{' } else { ',' });
            out.push_str(label);
            out.push_str("=\"");
            push_escaped(out, text);
            out.push('"');
        }
        if !labels.is_empty() {
            out.push('}');
        }
        writeln!(out, " {value}").expect("writing to a String");
    }

    /// The text, families in order of their names.
    pub fn into_text(self) -> String {
        let mut out = String::new();
        for (name, family) in self.families {
            writeln!(out, "# HELP {name} {}", family.help).expect("writing to a String");
            writeln!(out, "# TYPE {name} {}", family.kind).expect("writing to a String");
            out.push_str(&family.lines);
        }
        out
    }
}

/// A float as the format writes it.
struct Float(f64);

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == f64::INFINITY {
            f.write_str("+Inf")
        } else if self.0 == f64::NEG_INFINITY {
            f.write_str("-Inf")
        } else {
            fmt::Display::fmt(&self.0, f)
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
        let mut out = Exposition::default();
        let collectors = (self.collectors.read()).unwrap_or_else(PoisonError::into_inner);
        for collector in collectors.iter() {
            collector.collect(&mut out);
        }
        out.into_text()
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

    fn handle(&self, _: Request) -> Response {
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
}
