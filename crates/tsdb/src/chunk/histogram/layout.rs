//! What all histograms of a chunk share: schema, zero threshold, bucket layout.

use model::Span;
use model::histogram::schema::{CUSTOM_BUCKETS_SCHEMA, is_known_schema};

use crate::chunk::bits::{BitReader, BitWriter};
use crate::chunk::varbit::{read_int, read_uint, write_int, write_uint};
use crate::error::Corruption;

/// Largest custom bound, in thousandths, that is stored as an integer.
const CUSTOM_BOUND_MAX: f64 = 33_554_430.0;

/// The layout of a chunk's histograms.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// Resolution.
    pub(crate) schema: i32,
    /// Half the width of the zero bucket.
    pub(crate) zero_threshold: f64,
    /// Runs of positive and of negative buckets.
    pub(crate) spans: [Vec<Span>; 2],
    /// Upper bounds of custom buckets.
    pub(crate) custom_values: Vec<f64>,
}

impl Layout {
    /// Number of positive and of negative buckets.
    pub(crate) fn bucket_counts(&self) -> [usize; 2] {
        [0, 1].map(|side| bucket_count(&self.spans[side]))
    }

    /// Appends the layout to a chunk.
    pub(crate) fn write(&self, writer: &mut BitWriter) {
        write_zero_threshold(writer, self.zero_threshold);
        write_int(writer, i64::from(self.schema));
        for spans in &self.spans {
            write_uint(writer, spans.len() as u64);
            for span in spans {
                write_uint(writer, u64::from(span.length));
                write_int(writer, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            write_uint(writer, self.custom_values.len() as u64);
            for &bound in &self.custom_values {
                write_custom_bound(writer, bound);
            }
        }
    }

    /// Reads a layout whose first sample takes at least `bits_per_bucket` bits for each bucket.
    ///
    /// # Errors
    /// When the bits are no layout, or the payload is too short for the buckets promised.
    pub(crate) fn read(
        reader: &mut BitReader<'_>,
        bits_per_bucket: usize,
    ) -> Result<Self, Corruption> {
        let zero_threshold = read_zero_threshold(reader)?;
        let schema = read_int(reader)?;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|&schema| is_known_schema(schema))
            .ok_or_else(|| reader.corrupt("a histogram schema from -9 to 52, or -53"))?;
        let spans = [read_spans(reader)?, read_spans(reader)?];
        let custom_values = if schema == CUSTOM_BUCKETS_SCHEMA {
            read_custom_bounds(reader)?
        } else {
            Vec::new()
        };
        let buckets = bucket_count(&spans[0]).saturating_add(bucket_count(&spans[1]));
        if buckets.saturating_mul(bits_per_bucket) > reader.remaining() {
            return Err(reader.corrupt("spans of no more buckets than the payload has room for"));
        }
        if !is_bounded([&spans[0], &spans[1]], &custom_values) {
            return Err(reader.corrupt("few empty spans and at most 16384 custom bounds"));
        }
        Ok(Self {
            schema,
            zero_threshold,
            spans,
            custom_values,
        })
    }
}

/// Spans beyond the number of buckets, that is, empty ones, that a side may have.
const EMPTY_SPANS_MAX: usize = 64;

/// Custom bounds that a histogram may have.
const CUSTOM_VALUES_MAX: usize = 1 << 14;

/// True when the parts of a layout that cost no bits in further samples are small.
///
/// Every histogram of a chunk gets a copy of them, so that without a limit the work to read a chunk
/// grows with the square of its size. No histogram of use comes near.
pub(crate) fn is_bounded(spans: [&[Span]; 2], custom_values: &[f64]) -> bool {
    custom_values.len() <= CUSTOM_VALUES_MAX
        && spans
            .iter()
            .all(|spans| spans.len() <= bucket_count(spans).saturating_add(EMPTY_SPANS_MAX))
}

/// Number of buckets in runs.
pub(crate) fn bucket_count(spans: &[Span]) -> usize {
    spans
        .iter()
        .fold(0usize, |sum, span| sum.saturating_add(span.length as usize))
}

fn read_spans(reader: &mut BitReader<'_>) -> Result<Vec<Span>, Corruption> {
    let len = read_len(reader, 2)?;
    let mut spans = Vec::with_capacity(len);
    for _ in 0..len {
        let length = u32::try_from(read_uint(reader)?)
            .map_err(|_| reader.corrupt("a span length of 32 bits"))?;
        let offset = i32::try_from(read_int(reader)?)
            .map_err(|_| reader.corrupt("a span offset of 32 bits"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn read_custom_bounds(reader: &mut BitReader<'_>) -> Result<Vec<f64>, Corruption> {
    let len = read_len(reader, 5)?;
    (0..len).map(|_| read_custom_bound(reader)).collect()
}

/// Reads the length of a list whose items take at least `bits_min` bits each.
fn read_len(reader: &mut BitReader<'_>, bits_min: usize) -> Result<usize, Corruption> {
    let len = read_uint(reader)?;
    usize::try_from(len)
        .ok()
        .filter(|&len| len <= reader.remaining() / bits_min)
        .ok_or_else(|| reader.corrupt("a list no longer than the payload"))
}

/// One byte for zero and for powers of two from 2^-243 to 2^10, nine bytes for the rest.
fn write_zero_threshold(writer: &mut BitWriter, threshold: f64) {
    let bits = threshold.to_bits();
    let exponent = bits >> 52;
    if threshold == 0.0 {
        writer.write_bits(0, 8);
    } else if bits.trailing_zeros() >= 52 && (780..=1033).contains(&exponent) {
        // A power of two; the byte counts from 2^-243, which is 1.
        writer.write_bits(exponent - 779, 8);
    } else {
        writer.write_bits(255, 8);
        writer.write_bits(bits, 64);
    }
}

fn read_zero_threshold(reader: &mut BitReader<'_>) -> Result<f64, Corruption> {
    Ok(f64::from_bits(match reader.read_bits(8)? {
        0 => 0,
        255 => reader.read_bits(64)?,
        byte => (byte + 779) << 52,
    }))
}

/// Bounds that are whole thousandths up to 33554.430 become small integers.
fn write_custom_bound(writer: &mut BitWriter, bound: f64) {
    let scaled = bound * 1000.0;
    let rounded = scaled.round();
    if (0.0..=CUSTOM_BOUND_MAX).contains(&scaled) && rounded / 1000.0 == bound {
        write_uint(writer, rounded as u64 + 1);
    } else {
        writer.write_bits(0, 1);
        writer.write_bits(bound.to_bits(), 64);
    }
}

fn read_custom_bound(reader: &mut BitReader<'_>) -> Result<f64, Corruption> {
    Ok(match read_uint(reader)? {
        0 => f64::from_bits(reader.read_bits(64)?),
        scaled => (scaled - 1) as f64 / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(layout: &Layout) -> usize {
        let mut writer = BitWriter::new(&[], 16);
        layout.write(&mut writer);
        let bytes = writer.to_vec();
        let mut reader = BitReader::new(&bytes, 0);
        assert_eq!(&Layout::read(&mut reader, 0).unwrap(), layout);
        reader.position()
    }

    #[test]
    fn zero_thresholds_take_one_byte_or_nine() {
        let empty = 1 + 1 + 1;
        for (zero_threshold, bytes) in [
            (0.0, 1),
            (2f64.powi(-128), 1),
            (2f64.powi(-243), 1),
            (2f64.powi(10), 1),
            (2f64.powi(-244), 9),
            (2f64.powi(11), 9),
            (0.001, 9),
            (-2f64.powi(-128), 9),
            (f64::INFINITY, 9),
        ] {
            let layout = Layout {
                zero_threshold,
                ..Layout::default()
            };
            assert_eq!(round_trip(&layout), bytes * 8 + empty, "{zero_threshold}");
        }
    }

    #[test]
    fn custom_bounds_that_are_thousandths_take_few_bits() {
        for (bound, bits) in [
            (0.0, 5),
            (0.006, 5),
            (0.005, 5),
            (0.1, 13),
            (33_554.430, 32),
            (33_554.431, 65),
            (-1.0, 65),
            (0.0001, 65),
            (f64::INFINITY, 65),
        ] {
            let layout = Layout {
                schema: CUSTOM_BUCKETS_SCHEMA,
                custom_values: vec![bound],
                ..Layout::default()
            };
            // threshold, schema, two empty span lists, one bound
            assert_eq!(round_trip(&layout) - (8 + 13 + 1 + 1 + 5), bits, "{bound}");
        }
    }

    #[test]
    fn layouts_that_cost_more_than_they_say_are_refused() {
        let empty_spans = |len| [vec![Span::default(); len], Vec::new()];
        let bounds = |len| Layout {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: vec![1.0; len],
            ..Layout::default()
        };
        let spans = |len| Layout {
            spans: empty_spans(len),
            ..Layout::default()
        };
        round_trip(&spans(EMPTY_SPANS_MAX));
        round_trip(&bounds(CUSTOM_VALUES_MAX));
        for layout in [spans(EMPTY_SPANS_MAX + 1), bounds(CUSTOM_VALUES_MAX + 1)] {
            let mut writer = BitWriter::new(&[], 16);
            layout.write(&mut writer);
            Layout::read(&mut BitReader::new(&writer.to_vec(), 0), 1).unwrap_err();
        }
    }

    #[test]
    fn lists_longer_than_the_payload_are_refused() {
        let mut writer = BitWriter::new(&[], 16);
        writer.write_bits(0, 8);
        write_int(&mut writer, 3);
        write_uint(&mut writer, 1 << 40);
        let bytes = writer.to_vec();
        let error = Layout::read(&mut BitReader::new(&bytes, 0), 1).unwrap_err();
        assert_eq!(error.expected, "a list no longer than the payload");
    }
}
