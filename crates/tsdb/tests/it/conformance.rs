//! Where the conformance data lies, and its dumps of samples.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::read::GzDecoder;
use model::{FloatHistogram, Histogram, Sample, Span, Value};

/// The conformance folder's `tsdb` part; nothing, with a notice, where it is absent outside CI.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no main to configure them"
)]
pub(crate) fn tsdb_dir() -> Option<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let candidates = [
        env::var("PROMONTORY_CONFORMANCE").ok().map(PathBuf::from),
        Some(root.join("../shared/conformance")),
        Some(root.join("../../shared/conformance")),
    ];
    let found = candidates.into_iter().flatten().find(|dir| dir.is_dir());
    if found.is_none() {
        assert!(env::var("CI").is_err(), "CI needs PROMONTORY_CONFORMANCE");
        eprintln!("skipped: set PROMONTORY_CONFORMANCE to the conformance data");
    }
    found.map(|dir| dir.join("tsdb"))
}

/// The lines of a `*.dump.tsv.gz`, in order.
pub(crate) fn dump_lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A sample as dumps print it: milliseconds, kind, then bits or fields; without labels and the
/// human-readable value.
pub(crate) fn dump_fields(sample: &Sample) -> [String; 3] {
    let (kind, fields) = match &sample.value {
        Value::Float(v) => ("float", format!("{:016x}", v.to_bits())),
        Value::Histogram(histogram) => ("histogram", histogram_fields(histogram)),
        Value::FloatHistogram(histogram) => ("float_histogram", float_histogram_fields(histogram)),
    };
    [sample.t.to_string(), kind.to_owned(), fields]
}

fn histogram_fields(h: &Histogram) -> String {
    format!(
        "hint={} schema={} zt={} zc={} count={} sum={:016x} pspans={} nspans={} pb={} nb={} cv={}",
        h.counter_reset_hint as u8,
        h.schema,
        h.zero_threshold,
        h.zero_count,
        h.count,
        h.sum.to_bits(),
        spans(&h.positive_spans),
        spans(&h.negative_spans),
        list(&h.positive_buckets),
        list(&h.negative_buckets),
        list(&h.custom_values),
    )
}

fn float_histogram_fields(h: &FloatHistogram) -> String {
    format!(
        "hint={} schema={} zt={} zc={} count={} sum={:016x} pspans={} nspans={} pb={} nb={} cv={}",
        h.counter_reset_hint as u8,
        h.schema,
        h.zero_threshold,
        h.zero_count,
        h.count,
        h.sum.to_bits(),
        spans(&h.positive_spans),
        spans(&h.negative_spans),
        list(&h.positive_buckets),
        list(&h.negative_buckets),
        list(&h.custom_values),
    )
}

fn spans(spans: &[Span]) -> String {
    let spans: Vec<_> = spans
        .iter()
        .map(|span| format!("{{{} {}}}", span.offset, span.length))
        .collect();
    list(&spans)
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(" "))
}
