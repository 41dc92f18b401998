//! Histograms as text: Prometheus' string form and the literal of its test language.

use std::fmt::{self, Write};

use super::schema::is_custom_schema;
use super::{Bucket, CounterResetHint, FloatHistogram, Histogram, Span};
use crate::float::{G, Text, push_g};

impl FloatHistogram {
    /// Appends the string form: `{count:3, sum:4.5, [-2,-1):1, [-0.001,0.001]:1, (1,2]:1}`, buckets
    /// from the lowest to the highest and only populated ones.
    pub fn push_text(&self, out: &mut impl Text) {
        out.push_text("{count:");
        push_g(out, self.count);
        out.push_text(", sum:");
        push_g(out, self.sum);
        let buckets = (self.negative().rev())
            .chain(std::iter::once(self.zero()))
            .chain(self.positive());
        for bucket in buckets.filter(|bucket| bucket.count != 0.0) {
            out.push_text(", ");
            bucket.push_bounds(out);
            push_g(out, bucket.count);
        }
        out.push_text("}");
    }

    /// The literal that stands for this histogram in Prometheus' test scripts and rule tests:
    /// `{{schema:1 count:3 sum:4.5 buckets:[1 2]}}`.
    pub fn test_expression(&self) -> String {
        let mut fields = Fields::default();
        if self.schema != 0 {
            fields.add(format_args!("schema:{}", self.schema));
        }
        for (name, v) in [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ] {
            if v != 0.0 {
                fields.add(format_args!("{name}:{}", G(v)));
            }
        }
        if is_custom_schema(self.schema) {
            fields.add(format_args!(
                "custom_values:[{}]",
                List(&self.custom_values)
            ));
        }
        match self.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::Reset => fields.add(format_args!("counter_reset_hint:reset")),
            CounterResetHint::NotReset => fields.add(format_args!("counter_reset_hint:not_reset")),
            CounterResetHint::Gauge => fields.add(format_args!("counter_reset_hint:gauge")),
        }
        fields.add_buckets(
            ["offset", "buckets"],
            &self.positive_spans,
            &self.positive_buckets,
        );
        fields.add_buckets(
            ["n_offset", "n_buckets"],
            &self.negative_spans,
            &self.negative_buckets,
        );
        format!("{{{{{}}}}}", fields.0)
    }
}

/// Space-separated fields of a test expression.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, field: fmt::Arguments<'_>) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.write_fmt(field).expect("a string takes all text");
    }

    /// The literal knows one run of buckets for each side, so gaps are written as empty buckets.
    fn add_buckets(&mut self, [offset, buckets]: [&str; 2], spans: &[Span], counts: &[f64]) {
        let (spans, counts) = super::layout::compact(spans, counts.iter().copied(), GAP_MAX)
            .unwrap_or_else(|| (spans.to_vec(), counts.to_vec()));
        let Some(first) = spans.first() else {
            return;
        };
        if first.offset != 0 {
            self.add(format_args!("{offset}:{}", first.offset));
        }
        let run = counts.get(..first.length as usize).unwrap_or(&counts);
        self.add(format_args!("{buckets}:[{}]", List(run)));
    }
}

/// More buckets than lie between the smallest and the greatest float in any schema. Wider gaps are
/// in damaged histograms only; what comes after them is left out.
const GAP_MAX: usize = 1 << 20;

/// Shows numbers separated by spaces.
struct List<'a>(&'a [f64]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &v) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}", G(v))?;
        }
        Ok(())
    }
}

impl Histogram {
    /// Appends the string form; see [`FloatHistogram::push_text`].
    pub fn push_text(&self, out: &mut impl Text) {
        let mut digits = itoa::Buffer::new();
        out.push_text("{count:");
        out.push_text(digits.format(self.count));
        out.push_text(", sum:");
        push_g(out, self.sum);
        let mut negative: Vec<Bucket<u64>> = self.negative().collect();
        negative.reverse();
        let buckets = (negative.into_iter())
            .chain(std::iter::once(self.zero()))
            .chain(self.positive());
        for bucket in buckets.filter(|bucket| bucket.count != 0) {
            out.push_text(", ");
            bucket.push_bounds(out);
            out.push_text(digits.format(bucket.count));
        }
        out.push_text("}");
    }
}

impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_text(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_text(&mut text);
        f.write_str(&text)
    }
}
