//! Samples as lines of text, one sample a line, for people and for comparing storages.
//!
//! Tab-separated: labels as `{name="value", ...}`; milliseconds; `float`, `histogram` or
//! `float_histogram`; the value as Go's `%g` prints it, histograms in Prometheus' string form; last,
//! what a text cannot lose: 16 hex digits of the float's bits, or the histogram's fields.

use std::fmt::Write as _;

use model::float::{G, push_g};
use model::{FloatHistogram, Histogram, Labels, Sample, Span, Value};

/// Writes samples of one series at a time.
#[derive(Debug)]
pub struct Line {
    text: String,
    labels_len: usize,
}

impl Line {
    /// Lines of the series with these labels.
    pub fn new(labels: &Labels) -> Self {
        let mut text = labels.to_string();
        text.push('\t');
        Self {
            labels_len: text.len(),
            text,
        }
    }

    /// The line of a sample, without a line break.
    pub fn of(&mut self, sample: &Sample) -> &str {
        let out = &mut self.text;
        out.truncate(self.labels_len);
        put(out, format_args!("{}", sample.t));
        match &sample.value {
            Value::Float(v) => {
                out.push_str("\tfloat\t");
                push_g(out, *v);
                put(out, format_args!("\t{:016x}", v.to_bits()));
            }
            Value::Histogram(h) => {
                out.push_str("\thistogram\t");
                h.push_text(out);
                push_histogram(out, h);
            }
            Value::FloatHistogram(h) => {
                out.push_str("\tfloat_histogram\t");
                h.push_text(out);
                push_float_histogram(out, h);
            }
        }
        out
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all text");
}

fn push_histogram(out: &mut String, h: &Histogram) {
    let shape = (h.counter_reset_hint as u8, h.schema, G(h.zero_threshold));
    put(
        out,
        format_args!("\thint={} schema={} zt={}", shape.0, shape.1, shape.2),
    );
    put(
        out,
        format_args!(
            " zc={} count={} sum={:016x}",
            h.zero_count,
            h.count,
            h.sum.to_bits()
        ),
    );
    push_spans(out, [&h.positive_spans, &h.negative_spans]);
    push_list(out, " pb=", &h.positive_buckets);
    push_list(out, " nb=", &h.negative_buckets);
    push_list(out, " cv=", h.custom_values.iter().map(|v| G(*v)));
}

fn push_float_histogram(out: &mut String, h: &FloatHistogram) {
    let shape = (h.counter_reset_hint as u8, h.schema, G(h.zero_threshold));
    put(
        out,
        format_args!("\thint={} schema={} zt={}", shape.0, shape.1, shape.2),
    );
    let (zero_count, count) = (G(h.zero_count), G(h.count));
    put(
        out,
        format_args!(
            " zc={zero_count} count={count} sum={:016x}",
            h.sum.to_bits()
        ),
    );
    push_spans(out, [&h.positive_spans, &h.negative_spans]);
    push_list(out, " pb=", h.positive_buckets.iter().map(|v| G(*v)));
    push_list(out, " nb=", h.negative_buckets.iter().map(|v| G(*v)));
    push_list(out, " cv=", h.custom_values.iter().map(|v| G(*v)));
}

fn push_spans(out: &mut String, sides: [&[Span]; 2]) {
    for (name, spans) in [" pspans=", " nspans="].into_iter().zip(sides) {
        let spans = spans.iter();
        push_list(
            out,
            name,
            spans.map(|s| format!("{{{} {}}}", s.offset, s.length)),
        );
    }
}

fn push_list<T: std::fmt::Display>(
    out: &mut String,
    name: &str,
    items: impl IntoIterator<Item = T>,
) {
    out.push_str(name);
    out.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        put(out, format_args!("{item}"));
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_has_its_bits() {
        let labels = Labels::from_pairs([("a", "x\ty"), ("b.c", "1")]);
        let mut line = Line::new(&labels);
        for (v, text) in [
            (42.0, "42\t4045000000000000"),
            (1e6, "1e+06\t412e848000000000"),
            (1e21, "1e+21\t444b1ae4d6e2ef50"),
            (0.00001, "1e-05\t3ee4f8b588e368f1"),
            (f64::NEG_INFINITY, "-Inf\tfff0000000000000"),
        ] {
            let sample = Sample {
                t: -5,
                value: Value::Float(v),
            };
            let expected = format!("{{a=\"x\\ty\", \"b.c\"=\"1\"}}\t-5\tfloat\t{text}");
            assert_eq!(line.of(&sample), expected);
        }
    }
}
