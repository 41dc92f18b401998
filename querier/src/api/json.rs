//! Results of queries as JSON, written value by value into a buffer that is passed on when full.
//!
//! Numbers are those of Prometheus' `util/jsonutil`: timestamps are seconds with no fraction or one
//! of three digits, values are strings, and a native histogram is its count, its sum and its
//! populated buckets, each `[rule, lower, upper, count]`, where the rule says which bounds belong to
//! the bucket: 0 the upper, 1 the lower, 2 none, 3 both.

use std::io::{self, Write};

use model::float::push_json;
use model::{FloatHistogram, Labels};
use promql::columns::StepValue;
use promql::stats::QueryStats;
use promql::value::{MatrixSeries, QueryValue};

/// The buffer is passed on when it holds this much.
const FULL: usize = 32 << 10;

/// Writes the result of a query, with its type, and its statistics if there are any.
///
/// # Errors
/// When `out` takes no more.
pub fn write_result(
    out: &mut dyn Write,
    t: i64,
    value: &QueryValue,
    (stats, analysis): (Option<&StatsView<'_>>, Option<&serde_json::Value>),
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(FULL + (FULL >> 2));
    let kind: &[u8] = match value {
        QueryValue::Scalar(_) => b"scalar",
        QueryValue::String(_) => b"string",
        QueryValue::Vector(_) => b"vector",
        QueryValue::Matrix(_) => b"matrix",
    };
    buffer.extend_from_slice(b"{\"resultType\":\"");
    buffer.extend_from_slice(kind);
    buffer.extend_from_slice(b"\",\"result\":");
    match value {
        QueryValue::Scalar(v) => push_point(&mut buffer, t, *v),
        QueryValue::String(s) => {
            buffer.push(b'[');
            push_time(&mut buffer, t);
            buffer.push(b',');
            push_string(&mut buffer, &String::from_utf8_lossy(s));
            buffer.push(b']');
        }
        QueryValue::Vector(vector) => {
            write_list(out, &mut buffer, vector, |_, buffer, (labels, value)| {
                push_vector_item(buffer, labels, t, value);
                Ok(())
            })?;
        }
        QueryValue::Matrix(matrix) => write_list(out, &mut buffer, matrix, write_series)?,
    }
    if let Some(stats) = stats {
        buffer.extend_from_slice(b",\"stats\":");
        stats.push(&mut buffer);
    }
    if let Some(analysis) = analysis {
        buffer.extend_from_slice(b",\"analysis\":");
        buffer.extend_from_slice(analysis.to_string().as_bytes());
    }
    buffer.push(b'}');
    out.write_all(&buffer)
}

/// Writes a list of label sets, each an object.
pub(super) fn write_label_sets(out: &mut dyn Write, sets: &[Labels]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(FULL + (FULL >> 2));
    write_list(out, &mut buffer, sets, |_, buffer, labels| {
        push_labels(buffer, labels);
        Ok(())
    })?;
    out.write_all(&buffer)
}

/// Writes a list of strings.
pub(super) fn write_strings(out: &mut dyn Write, strings: &[String]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(FULL + (FULL >> 2));
    write_list(out, &mut buffer, strings, |_, buffer, s| {
        push_string(buffer, s);
        Ok(())
    })?;
    out.write_all(&buffer)
}

/// Writes a list, passing the buffer on between its items.
fn write_list<T>(
    out: &mut dyn Write,
    buffer: &mut Vec<u8>,
    items: &[T],
    mut write: impl FnMut(&mut dyn Write, &mut Vec<u8>, &T) -> io::Result<()>,
) -> io::Result<()> {
    buffer.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            buffer.push(b',');
        }
        write(out, buffer, item)?;
        pass_on(out, buffer)?;
    }
    buffer.push(b']');
    Ok(())
}

#[inline]
fn pass_on(out: &mut dyn Write, buffer: &mut Vec<u8>) -> io::Result<()> {
    if buffer.len() >= FULL {
        out.write_all(buffer)?;
        buffer.clear();
    }
    Ok(())
}

fn push_vector_item(out: &mut Vec<u8>, labels: &Labels, t: i64, value: &StepValue) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, labels);
    match value {
        StepValue::Float(v) => {
            out.extend_from_slice(b",\"value\":");
            push_point(out, t, *v);
        }
        StepValue::Histogram(h) => {
            out.extend_from_slice(b",\"histogram\":");
            push_histogram_point(out, t, h);
        }
    }
    out.push(b'}');
}

/// Writes a series: its floats, then its histograms, each list only if there are any.
fn write_series(
    out: &mut dyn Write,
    buffer: &mut Vec<u8>,
    series: &MatrixSeries,
) -> io::Result<()> {
    buffer.extend_from_slice(b"{\"metric\":");
    push_labels(buffer, &series.labels);
    let mut before: &[u8] = b",\"values\":[";
    for (t, v) in series.points.floats() {
        buffer.extend_from_slice(before);
        before = b",";
        push_point(buffer, t, v);
        pass_on(out, buffer)?;
    }
    if before == b"," {
        buffer.push(b']');
    }
    let mut before: &[u8] = b",\"histograms\":[";
    for (t, h) in series.points.histograms() {
        buffer.extend_from_slice(before);
        before = b",";
        push_histogram_point(buffer, *t, h);
        pass_on(out, buffer)?;
    }
    if before == b"," {
        buffer.push(b']');
    }
    buffer.push(b'}');
    Ok(())
}

/// Appends `[seconds,"value"]`.
#[inline]
fn push_point(out: &mut Vec<u8>, t: i64, v: f64) {
    out.push(b'[');
    push_time(out, t);
    out.extend_from_slice(b",\"");
    push_json(out, v);
    out.extend_from_slice(b"\"]");
}

fn push_histogram_point(out: &mut Vec<u8>, t: i64, h: &FloatHistogram) {
    out.push(b'[');
    push_time(out, t);
    out.extend_from_slice(b",{\"count\":\"");
    push_json(out, h.count);
    out.extend_from_slice(b"\",\"sum\":\"");
    push_json(out, h.sum);
    out.push(b'"');
    let mut before: &[u8] = b",\"buckets\":[[";
    for bucket in h.all() {
        if bucket.count == 0.0 {
            continue;
        }
        out.extend_from_slice(before);
        before = b",[";
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.extend_from_slice(b",\"");
            push_json(out, v);
            out.push(b'"');
        }
        out.push(b']');
    }
    if before == b",[" {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

/// Appends milliseconds as seconds.
#[inline]
pub(super) fn push_time(out: &mut Vec<u8>, t: i64) {
    if t < 0 {
        out.push(b'-');
    }
    let ms = t.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    let fraction = (ms % 1000) as u16;
    if fraction != 0 {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        let digits = [digit(fraction / 100), digit(fraction / 10), digit(fraction)];
        out.push(b'.');
        out.extend_from_slice(&digits);
    }
}

/// Appends labels as an object.
fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        push_string(out, value);
    }
    out.push(b'}');
}

/// Appends a string in quotes, with what JSON must have escaped escaped.
pub(super) fn push_string(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = s.as_bytes();
    for (i, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..i]);
        plain = i + 1;
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |n: u8| b"0123456789abcdef"[usize::from(n)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(b >> 4), digit(b & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Statistics of a query as the API shows them.
#[derive(Debug)]
pub struct StatsView<'a> {
    /// What the query took.
    pub stats: &'a QueryStats,
    /// Seconds that it took in all, parsing included.
    pub total_seconds: f64,
    /// The first step and the distance of steps, in milliseconds, where samples are shown by step.
    pub per_step: Option<(i64, i64)>,
}

impl StatsView<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        let prepare = self.stats.prepare_time.as_secs_f64();
        let eval = self.stats.eval_time.as_secs_f64();
        out.extend_from_slice(b"{\"timings\":");
        let timings = [
            ("evalTotalTime", prepare + eval),
            ("resultSortTime", 0.0),
            ("queryPreparationTime", prepare),
            ("innerEvalTime", eval),
            ("execQueueTime", 0.0),
            ("execTotalTime", self.total_seconds),
        ];
        for (i, (name, seconds)) in timings.into_iter().enumerate() {
            out.push(if i == 0 { b'{' } else { b',' });
            push_string(out, name);
            out.push(b':');
            push_json(out, seconds);
        }
        out.extend_from_slice(b"},\"samples\":{");
        if let Some((start, step)) = self.per_step {
            out.extend_from_slice(b"\"totalQueryableSamplesPerStep\":[");
            for (i, samples) in (0_i64..).zip(&self.stats.samples_per_step) {
                out.extend_from_slice(if i == 0 { b"[" } else { b",[" });
                push_time(out, start.saturating_add(i.saturating_mul(step)));
                out.push(b',');
                out.extend_from_slice(itoa::Buffer::new().format(*samples).as_bytes());
                out.push(b']');
            }
            out.extend_from_slice(b"],");
        }
        let totals = [
            ("totalQueryableSamples", self.stats.samples_total),
            ("peakSamples", self.stats.samples_peak),
        ];
        for (i, (name, samples)) in totals.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_string(out, name);
            out.push(b':');
            out.extend_from_slice(itoa::Buffer::new().format(samples).as_bytes());
        }
        out.extend_from_slice(b"}}");
    }
}

#[cfg(test)]
mod tests;
