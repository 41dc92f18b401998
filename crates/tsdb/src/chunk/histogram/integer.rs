//! Integer counts: delta-of-delta varbits.

use model::histogram::CannotReduce;
use model::sample::is_stale;
use model::{CounterResetHint, Histogram, Span};

use super::CounterReset;
use super::counts::{Counts, Shape};
use super::layout::Layout;
use crate::chunk::Encoding;
use crate::chunk::bits::{BitReader, BitWriter};
use crate::chunk::varbit::{read_int, read_uint, take_int, write_int, write_uint};
use crate::chunk::window::{Window, read_xor, write_xor};
use crate::error::Corruption;

/// A number and its last difference; arithmetic wraps as it does in the format.
#[derive(Debug, Clone, Copy, Default)]
struct Tracked {
    value: i64,
    delta: i64,
}

impl Tracked {
    const fn new(value: i64) -> Self {
        Self { value, delta: 0 }
    }

    /// Moves on to `value` and writes how the difference changed.
    #[inline]
    fn write(&mut self, writer: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.value);
        write_int(writer, delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }

    /// Reads how the difference changed and moves on. May run past the end, see [`BitReader`].
    #[inline(always)]
    fn read(&mut self, reader: &mut BitReader<'_>) {
        self.delta = self.delta.wrapping_add(take_int(reader));
        self.value = self.value.wrapping_add(self.delta);
    }
}

/// The running state of integer counts.
#[derive(Debug, Clone)]
pub struct IntegerCounts {
    time: Tracked,
    count: Tracked,
    zero_count: Tracked,
    sum: f64,
    window: Window,
    /// Buckets as histograms hold them: each as the difference to the one before.
    buckets: Vec<Tracked>,
}

impl Default for IntegerCounts {
    fn default() -> Self {
        Self {
            time: Tracked::default(),
            count: Tracked::default(),
            zero_count: Tracked::default(),
            sum: 0.0,
            window: Window::NONE,
            buckets: Vec::new(),
        }
    }
}

/// Sums up differences.
fn accumulate(deltas: impl Iterator<Item = i64>) -> impl Iterator<Item = i64> {
    deltas.scan(0i64, |count, delta| {
        *count = count.wrapping_add(delta);
        Some(*count)
    })
}

impl Counts for IntegerCounts {
    type Histogram = Histogram;
    type Count = i64;

    const ENCODING: Encoding = Encoding::Histogram;
    const FIRST_BUCKET_BITS: usize = 1;
    const AFTER_DIFFERENT: CounterReset = CounterReset::Unknown;
    const AFTER_GAUGES: CounterReset = CounterReset::NotReset;

    fn shape(histogram: &Histogram) -> Shape<'_> {
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

    fn stale(shape: &Shape<'_>) -> Histogram {
        Histogram {
            counter_reset_hint: shape.hint,
            sum: shape.sum,
            ..Histogram::default()
        }
    }

    fn absolute_of(histogram: &Histogram) -> [Vec<i64>; 2] {
        [&histogram.positive_buckets, &histogram.negative_buckets]
            .map(|buckets| accumulate(buckets.iter().copied()).collect())
    }

    fn set_buckets(histogram: &mut Histogram, side: usize, spans: Vec<Span>, values: &[i64]) {
        let mut before = 0;
        let deltas = values
            .iter()
            .map(|&value| value.wrapping_sub(std::mem::replace(&mut before, value)))
            .collect();
        if side == 0 {
            (histogram.positive_spans, histogram.positive_buckets) = (spans, deltas);
        } else {
            (histogram.negative_spans, histogram.negative_buckets) = (spans, deltas);
        }
    }

    fn reduce(histogram: &mut Histogram, schema: i32) -> Result<(), CannotReduce> {
        histogram.reduce_resolution(schema)
    }

    fn time(&self) -> i64 {
        self.time.value
    }

    fn sum(&self) -> f64 {
        self.sum
    }

    fn absolute(&self, split: usize) -> [Vec<i64>; 2] {
        let (positive, negative) = self.buckets.split_at(split.min(self.buckets.len()));
        [positive, negative]
            .map(|buckets| accumulate(buckets.iter().map(|bucket| bucket.value)).collect())
    }

    fn count_shrinks(&self, histogram: &Histogram) -> bool {
        histogram.count < self.count.value.cast_unsigned()
    }

    fn zero_count_shrinks(&self, histogram: &Histogram) -> bool {
        histogram.zero_count < self.zero_count.value.cast_unsigned()
    }

    fn buckets_shrink(&self, histogram: &Histogram) -> bool {
        let split = histogram.positive_buckets.len().min(self.buckets.len());
        let (positive, negative) = self.buckets.split_at(split);
        [
            (positive, &histogram.positive_buckets),
            (negative, &histogram.negative_buckets),
        ]
        .into_iter()
        .any(|(old, new)| {
            let old = accumulate(old.iter().map(|bucket| bucket.value));
            let new = accumulate(new.iter().copied());
            old.zip(new).any(|(old, new)| old > new)
        })
    }

    fn write_first(writer: &mut BitWriter, t: i64, histogram: &Histogram) -> Self {
        write_int(writer, t);
        write_uint(writer, histogram.count);
        write_uint(writer, histogram.zero_count);
        writer.write_bits(histogram.sum.to_bits(), 64);
        let buckets = histogram.positive_buckets.iter();
        let buckets: Vec<Tracked> = buckets
            .chain(&histogram.negative_buckets)
            .map(|&bucket| Tracked::new(bucket))
            .collect();
        for bucket in &buckets {
            write_int(writer, bucket.value);
        }
        Self {
            time: Tracked::new(t),
            count: Tracked::new(histogram.count.cast_signed()),
            zero_count: Tracked::new(histogram.zero_count.cast_signed()),
            sum: histogram.sum,
            window: Window::NONE,
            buckets,
        }
    }

    fn write_next(&mut self, writer: &mut BitWriter, t: i64, histogram: &Histogram) {
        self.time.write(writer, t);
        if is_stale(histogram.sum) {
            // Only the sum tells; only stale samples can follow.
            writer.write_bits(0, 2);
        } else {
            self.count.write(writer, histogram.count.cast_signed());
            self.zero_count
                .write(writer, histogram.zero_count.cast_signed());
        }
        write_xor(writer, &mut self.window, histogram.sum, self.sum);
        self.sum = histogram.sum;
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
            time: Tracked::new(read_int(reader)?),
            count: Tracked::new(read_uint(reader)?.cast_signed()),
            zero_count: Tracked::new(read_uint(reader)?.cast_signed()),
            sum: f64::from_bits(reader.read_bits(64)?),
            window: Window::NONE,
            buckets: Vec::with_capacity(buckets),
        };
        for _ in 0..buckets {
            counts.buckets.push(Tracked::new(take_int(reader)));
        }
        reader.check_end()?;
        Ok(counts)
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corruption> {
        self.time.read(reader);
        self.count.read(reader);
        self.zero_count.read(reader);
        self.sum = read_xor(reader, &mut self.window, self.sum)?;
        if !is_stale(self.sum) {
            for bucket in &mut self.buckets {
                bucket.read(reader);
            }
        }
        reader.check_end()
    }

    fn fill(&self, layout: &Layout, hint: CounterResetHint, histogram: &mut Histogram) {
        if is_stale(self.sum) {
            *histogram = Histogram {
                sum: self.sum,
                ..Histogram::default()
            };
            return;
        }
        histogram.counter_reset_hint = hint;
        histogram.schema = layout.schema;
        histogram.zero_threshold = layout.zero_threshold;
        histogram.zero_count = self.zero_count.value.cast_unsigned();
        histogram.count = self.count.value.cast_unsigned();
        histogram.sum = self.sum;
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
