//! Float counts: every number is XORed with itself in the sample before.

use model::histogram::CannotReduce;
use model::sample::is_stale;
use model::{CounterResetHint, FloatHistogram, Span};

use super::CounterReset;
use super::counts::{Counts, Shape};
use super::layout::Layout;
use crate::chunk::Encoding;
use crate::chunk::bits::{BitReader, BitWriter};
use crate::chunk::varbit::{read_int, write_int};
use crate::chunk::window::{Window, read_xor, write_xor};
use crate::error::Corruption;

/// A number and the window of its last change.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    value: f64,
    window: Window,
}

impl Tracked {
    const fn new(value: f64) -> Self {
        Self {
            value,
            window: Window::NONE,
        }
    }

    #[inline]
    fn write(&mut self, writer: &mut BitWriter, value: f64) {
        write_xor(writer, &mut self.window, value, self.value);
        self.value = value;
    }

    #[inline]
    fn read_first(reader: &mut BitReader<'_>) -> Result<Self, Corruption> {
        Ok(Self::new(f64::from_bits(reader.read_bits(64)?)))
    }

    /// May run past the end, see [`BitReader`].
    #[inline]
    fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        self.value = read_xor(reader, &mut self.window, self.value)?;
        Ok(())
    }
}

/// The running state of float counts.
#[derive(Debug, Clone)]
pub struct FloatCounts {
    time: i64,
    delta: i64,
    count: Tracked,
    zero_count: Tracked,
    sum: Tracked,
    buckets: Vec<Tracked>,
}

impl Default for FloatCounts {
    fn default() -> Self {
        Self {
            time: 0,
            delta: 0,
            count: Tracked::new(0.0),
            zero_count: Tracked::new(0.0),
            sum: Tracked::new(0.0),
            buckets: Vec::new(),
        }
    }
}

impl Counts for FloatCounts {
    type Histogram = FloatHistogram;
    type Count = f64;

    const ENCODING: Encoding = Encoding::FloatHistogram;
    const FIRST_BUCKET_BITS: usize = 64;
    // Prometheus' float histograms know only "reset" and "no reset" here.
    const AFTER_DIFFERENT: CounterReset = CounterReset::NotReset;
    const AFTER_GAUGES: CounterReset = CounterReset::Unknown;

    fn shape(histogram: &FloatHistogram) -> Shape<'_> {
        Shape {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            sum: histogram.sum,
            spans: [&histogram.positive_spans, &histogram.negative_spans],
            buckets: [
                histogram.positive_buckets.len(),
                histogram.negative_buckets.len(),
            ],
            custom_values: &histogram.custom_values,
        }
    }

    fn stale(shape: &Shape<'_>) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: shape.hint,
            sum: shape.sum,
            ..FloatHistogram::default()
        }
    }

    fn absolute_of(histogram: &FloatHistogram) -> [Vec<f64>; 2] {
        [
            histogram.positive_buckets.clone(),
            histogram.negative_buckets.clone(),
        ]
    }

    fn set_buckets(histogram: &mut FloatHistogram, side: usize, spans: Vec<Span>, values: &[f64]) {
        if side == 0 {
            (histogram.positive_spans, histogram.positive_buckets) = (spans, values.to_vec());
        } else {
            (histogram.negative_spans, histogram.negative_buckets) = (spans, values.to_vec());
        }
    }

    fn reduce(histogram: &mut FloatHistogram, schema: i32) -> Result<(), CannotReduce> {
        histogram.reduce_resolution(schema)
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn sum(&self) -> f64 {
        self.sum.value
    }

    fn absolute(&self, split: usize) -> [Vec<f64>; 2] {
        let (positive, negative) = self.buckets.split_at(split.min(self.buckets.len()));
        [positive, negative].map(|buckets| buckets.iter().map(|bucket| bucket.value).collect())
    }

    fn count_shrinks(&self, histogram: &FloatHistogram) -> bool {
        histogram.count < self.count.value
    }

    fn zero_count_shrinks(&self, histogram: &FloatHistogram) -> bool {
        histogram.zero_count < self.zero_count.value
    }

    fn buckets_shrink(&self, histogram: &FloatHistogram) -> bool {
        let new = histogram.positive_buckets.iter();
        self.buckets
            .iter()
            .zip(new.chain(&histogram.negative_buckets))
            .any(|(old, &new)| old.value > new)
    }

    fn write_first(writer: &mut BitWriter, t: i64, histogram: &FloatHistogram) -> Self {
        write_int(writer, t);
        let buckets = histogram.positive_buckets.iter();
        let buckets: Vec<Tracked> = buckets
            .chain(&histogram.negative_buckets)
            .map(|&bucket| Tracked::new(bucket))
            .collect();
        let counts = Self {
            time: t,
            delta: 0,
            count: Tracked::new(histogram.count),
            zero_count: Tracked::new(histogram.zero_count),
            sum: Tracked::new(histogram.sum),
            buckets,
        };
        let numbers = [counts.count, counts.zero_count, counts.sum];
        for number in numbers.iter().chain(&counts.buckets) {
            writer.write_bits(number.value.to_bits(), 64);
        }
        counts
    }

    fn write_next(&mut self, writer: &mut BitWriter, t: i64, histogram: &FloatHistogram) {
        let delta = t.wrapping_sub(self.time);
        write_int(writer, delta.wrapping_sub(self.delta));
        (self.time, self.delta) = (t, delta);
        self.count.write(writer, histogram.count);
        self.zero_count.write(writer, histogram.zero_count);
        self.sum.write(writer, histogram.sum);
        // A stale histogram has no buckets; only stale samples can follow.
        let buckets = histogram.positive_buckets.iter();
        for (old, &new) in self
            .buckets
            .iter_mut()
            .zip(buckets.chain(&histogram.negative_buckets))
        {
            old.write(writer, new);
        }
    }

    fn read_first(reader: &mut BitReader<'_>, buckets: usize) -> Result<Self, Corruption> {
        let mut counts = Self {
            time: read_int(reader)?,
            delta: 0,
            count: Tracked::read_first(reader)?,
            zero_count: Tracked::read_first(reader)?,
            sum: Tracked::read_first(reader)?,
            buckets: Vec::with_capacity(buckets),
        };
        for _ in 0..buckets {
            counts.buckets.push(Tracked::read_first(reader)?);
        }
        Ok(counts)
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        self.delta = self.delta.wrapping_add(read_int(reader)?);
        self.time = self.time.wrapping_add(self.delta);
        self.count.read(reader)?;
        self.zero_count.read(reader)?;
        self.sum.read(reader)?;
        if !is_stale(self.sum.value) {
            for bucket in &mut self.buckets {
                bucket.read(reader)?;
            }
        }
        reader.check_end()
    }

    fn fill(&self, layout: &Layout, hint: CounterResetHint, histogram: &mut FloatHistogram) {
        if is_stale(self.sum.value) {
            *histogram = FloatHistogram {
                sum: self.sum.value,
                ..FloatHistogram::default()
            };
            return;
        }
        histogram.counter_reset_hint = hint;
        histogram.schema = layout.schema;
        histogram.zero_threshold = layout.zero_threshold;
        histogram.zero_count = self.zero_count.value;
        histogram.count = self.count.value;
        histogram.sum = self.sum.value;
        histogram.positive_spans.clone_from(&layout.spans[0]);
        histogram.negative_spans.clone_from(&layout.spans[1]);
        histogram.custom_values.clone_from(&layout.custom_values);
        let [split, _] = layout.bucket_counts();
        let (positive, negative) = self.buckets.split_at(split);
        for (old, new) in [
            (&mut histogram.positive_buckets, positive),
            (&mut histogram.negative_buckets, negative),
        ] {
            old.clear();
            old.extend(new.iter().map(|bucket| bucket.value));
        }
    }
}
