//! Histogram literals of the test language: `{{schema:1 sum:3 count:2 buckets:[1 1] offset:-1}}`.
//!
//! Keys stand in any order, once each, and are 0 or empty when left out: `schema`, `sum`, `count`,
//! `z_bucket` (count of the zero bucket), `z_bucket_w` (its width to each side), `custom_values`,
//! `buckets` and `offset` (of the first bucket), `n_buckets` and `n_offset`, `counter_reset_hint`.

use model::histogram::{CounterResetHint, FloatHistogram, Span};

use super::{Cursor, Result};

/// A histogram as written.
pub(super) struct Literal {
    pub(super) histogram: FloatHistogram,
    /// True when `counter_reset_hint` was written.
    pub(super) has_hint: bool,
}

/// Bucket counts and the index of the first.
#[derive(Default)]
struct Buckets {
    offset: i32,
    counts: Vec<f64>,
}

impl Buckets {
    fn into_spans(self) -> (Vec<Span>, Vec<f64>) {
        let span = Span {
            offset: self.offset,
            length: self.counts.len() as u32,
        };
        let spans = if self.counts.is_empty() {
            Vec::new()
        } else {
            vec![span]
        };
        (spans, self.counts)
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn histogram(&mut self) -> Result<Literal> {
        if !self.accept("{{") {
            return Err(self.unexpected("\"{{\""));
        }
        let mut histogram = FloatHistogram::default();
        let (mut positive, mut negative) = (Buckets::default(), Buckets::default());
        let mut seen: Vec<&str> = Vec::new();
        loop {
            self.skip_spaces();
            if self.accept("}}") {
                break;
            }
            let start = self.pos;
            let key = self.skip_while(|b| b.is_ascii_alphabetic() || b == b'_');
            if seen.contains(&key) {
                let message = format!("duplicate key \"{key}\" in histogram");
                return Err(self.error(start, message));
            }
            if !self.accept(":") {
                self.pos = start;
                let expected = "histogram description key, e.g. buckets:[5 10 7]";
                return Err(self.unexpected(expected));
            }
            seen.push(key);
            match key {
                "schema" => histogram.schema = self.integer()?,
                "sum" => histogram.sum = self.signed_number()?,
                "count" => histogram.count = self.signed_number()?,
                "z_bucket" => histogram.zero_count = self.signed_number()?,
                "z_bucket_w" => histogram.zero_threshold = self.signed_number()?,
                "custom_values" => histogram.custom_values = self.numbers()?,
                "buckets" => positive.counts = self.numbers()?,
                "offset" => positive.offset = self.integer()?,
                "n_buckets" => negative.counts = self.numbers()?,
                "n_offset" => negative.offset = self.integer()?,
                "counter_reset_hint" => histogram.counter_reset_hint = self.hint()?,
                _ => {
                    let message = format!("bad histogram descriptor found: \"{key}\"");
                    return Err(self.error(start, message));
                }
            }
        }
        let (spans, counts) = positive.into_spans();
        (histogram.positive_spans, histogram.positive_buckets) = (spans, counts);
        let (spans, counts) = negative.into_spans();
        (histogram.negative_spans, histogram.negative_buckets) = (spans, counts);
        Ok(Literal {
            histogram,
            has_hint: seen.contains(&"counter_reset_hint"),
        })
    }

    fn skip_spaces(&mut self) {
        self.skip_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    }

    fn integer(&mut self) -> Result<i32> {
        let start = self.pos;
        self.accept("-");
        self.skip_while(|b| b.is_ascii_digit());
        let text = &self.input[start..self.pos];
        text.parse()
            .map_err(|_| self.error(start, format!("not an integer of 32 bits: \"{text}\"")))
    }

    /// Numbers in brackets.
    fn numbers(&mut self) -> Result<Vec<f64>> {
        if !self.accept("[") {
            return Err(self.unexpected("\"[\""));
        }
        let mut numbers = Vec::new();
        loop {
            self.skip_spaces();
            if self.accept("]") {
                return Ok(numbers);
            }
            numbers.push(self.signed_number()?);
        }
    }

    fn hint(&mut self) -> Result<CounterResetHint> {
        let start = self.pos;
        match self.skip_while(|b| b.is_ascii_alphabetic() || b == b'_') {
            "unknown" => Ok(CounterResetHint::Unknown),
            "reset" => Ok(CounterResetHint::Reset),
            "not_reset" => Ok(CounterResetHint::NotReset),
            "gauge" => Ok(CounterResetHint::Gauge),
            other => {
                let message = format!("bad histogram descriptor found: \"{other}\"");
                Err(self.error(start, message))
            }
        }
    }
}
