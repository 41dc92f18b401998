//! Remote write 2.0: `io.prometheus.write.v2.Request`, whose labels refer to a table of symbols.
//!
//! | message | fields |
//! |---|---|
//! | `Request` | 4 `symbols`, 5 `timeseries` |
//! | `TimeSeries` | 1 `labels_refs` (name, value, name, ...), 2 `samples`, 3 `histograms`, 4 `exemplars`, 5 `metadata` |
//! | `Sample` | 1 `value` double, 2 `timestamp`, 3 `start_timestamp` |
//! | `Exemplar` | 1 `labels_refs`, 2 `value` double, 3 `timestamp` |
//! | `Metadata` | 1 `type`, 3 `help_ref`, 4 `unit_ref` |
//!
//! Histograms are those of 1.0 with a start time as field 17. Start times are read past: blocks
//! that Prometheus and Thanos can read have no place for them.

use std::ops::Range;

use model::Metadata;
use model::exemplar::LABELS_CHARS_MAX;
use tsdb::batch::Batch;

use super::decoded::{DecodeOptions, Decoded};
use super::histogram;
use super::outcome::Reason;
use super::v1::{metric_type, new_exemplar, scratch};
use super::wire::{DecodeError, Fields, Value};

/// Symbols of a request.
const SYMBOLS_MAX: usize = 1 << 20;

/// Decodes an uncompressed request into `out`, which is cleared before.
///
/// # Errors
/// [`DecodeError`] when the request must be refused as a whole.
pub fn decode(bytes: &[u8], options: &DecodeOptions, out: &mut Decoded) -> Result<(), DecodeError> {
    out.clear();
    let mut series = SeriesDecoder {
        bytes,
        options,
        symbols: symbols(bytes)?,
        refs: Vec::with_capacity(64),
        labels: Vec::with_capacity(32),
    };
    let mut fields = Fields::new(bytes, 0..bytes.len());
    while let Some((field, value)) = fields.next_field()? {
        if field == 5 {
            series.decode(fields.bytes_of(value)?, out)?;
        }
    }
    Ok(())
}

/// The table of symbols, which may come after the series; one that is not text is `None`.
fn symbols(bytes: &[u8]) -> Result<Vec<Option<&str>>, DecodeError> {
    let mut symbols = Vec::new();
    let mut fields = Fields::new(bytes, 0..bytes.len());
    while let Some((field, value)) = fields.next_field()? {
        if field == 4 {
            let symbol = fields.bytes_of(value)?;
            if symbols.len() == SYMBOLS_MAX {
                return Err(DecodeError::TooManySymbols { max: SYMBOLS_MAX });
            }
            symbols.push(std::str::from_utf8(&bytes[symbol]).ok());
        }
    }
    Ok(symbols)
}

/// Decodes one series after the other, in buffers that they share.
struct SeriesDecoder<'a> {
    bytes: &'a [u8],
    options: &'a DecodeOptions,
    symbols: Vec<Option<&'a str>>,
    refs: Vec<u32>,
    labels: Vec<(&'a str, &'a str)>,
}

impl SeriesDecoder<'_> {
    fn decode(&mut self, range: Range<usize>, out: &mut Decoded) -> Result<(), DecodeError> {
        self.refs.clear();
        let mut samples = 0;
        let mut has_exemplars = false;
        let mut fields = Fields::new(self.bytes, range.clone());
        while let Some((field, value)) = fields.next_field()? {
            match field {
                // One label more than allowed is enough to refuse the series.
                1 => {
                    let max = 2 * (self.options.labels.count_max + 1);
                    references(self.bytes, &fields, value, max, &mut self.refs)?;
                }
                2 | 3 => samples += 1,
                4 => has_exemplars = true,
                _ => {}
            }
        }
        out.count(samples, self.options)?;
        let named = resolve(&self.symbols, &self.refs, &mut self.labels);
        let batch = match named {
            Err(reason) => {
                out.refuse(reason, samples, &self.labels);
                None
            }
            // Prometheus sends exemplars in messages of their own, and refuses them from others.
            Ok(()) if samples == 0 && !has_exemplars => {
                out.refuse(Reason::NoSamples, 0, &self.labels);
                None
            }
            Ok(()) => out.begin(&mut self.labels, samples, self.options, None),
        };
        match batch {
            Some(batch) => {
                let start = self.values(range, batch)?;
                if let Some(start) = start.filter(|start| *start > 0 && self.options.zeros) {
                    batch.start(batch.len() - 1, start);
                }
            }
            // What is refused must be sound all the same.
            None => {
                self.values(range, &mut scratch())?;
            }
        }
        Ok(())
    }

    /// Adds what a series has; since when its first sample counts, if that is said.
    fn values(
        &mut self,
        range: Range<usize>,
        batch: &mut Batch,
    ) -> Result<Option<i64>, DecodeError> {
        let mut fields = Fields::new(self.bytes, range);
        let mut start = None;
        while let Some((field, value)) = fields.next_field()? {
            match field {
                2 => {
                    let (t, v, since) = sample(self.bytes, fields.bytes_of(value)?)?;
                    batch.float(t, v);
                    start.get_or_insert(since);
                }
                3 => {
                    let (histogram, since) =
                        histogram::decode(self.bytes, fields.bytes_of(value)?)?;
                    batch.histogram(histogram);
                    start.get_or_insert(since);
                }
                4 => self.exemplar(fields.bytes_of(value)?, batch)?,
                5 => self.metadata(fields.bytes_of(value)?, batch)?,
                _ => {}
            }
        }
        Ok(start)
    }

    /// Adds an exemplar, unless its labels cannot be had: exemplars are kept as far as that goes.
    fn exemplar(&mut self, range: Range<usize>, batch: &mut Batch) -> Result<(), DecodeError> {
        let mut fields = Fields::new(self.bytes, range);
        let (mut t, mut v) = (0, 0.0);
        self.refs.clear();
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => {
                    let max = 2 * LABELS_CHARS_MAX;
                    references(self.bytes, &fields, value, max, &mut self.refs)?;
                }
                2 => v = fields.double_of(&value)?,
                3 => t = fields.varint_of(&value)?.cast_signed(),
                _ => {}
            }
        }
        if resolve(&self.symbols, &self.refs, &mut self.labels).is_ok()
            && let Some(exemplar) = new_exemplar(&self.labels, t, v)
        {
            batch.exemplar(exemplar);
        }
        Ok(())
    }

    /// Sets the series' metadata, unless nothing is known or the texts cannot be had.
    fn metadata(&self, range: Range<usize>, batch: &mut Batch) -> Result<(), DecodeError> {
        let mut fields = Fields::new(self.bytes, range);
        let (mut kind, mut help, mut unit) = (0, 0, 0);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                1 => kind = fields.varint_of(&value)?,
                3 => help = fields.varint_of(&value)? as u32,
                4 => unit = fields.varint_of(&value)? as u32,
                _ => {}
            }
        }
        let text = |reference: u32| symbol(&self.symbols, reference).unwrap_or_default();
        let metadata = Metadata {
            kind: metric_type(kind),
            unit: text(unit).to_owned(),
            help: text(help).to_owned(),
        };
        if !metadata.is_empty() {
            batch.metadata(metadata);
        }
        Ok(())
    }
}

fn symbol<'a>(symbols: &[Option<&'a str>], reference: u32) -> Result<&'a str, Reason> {
    let symbol = symbols.get(reference as usize).ok_or(Reason::BadSymbol)?;
    symbol.ok_or(Reason::InvalidUtf8)
}

/// Fills `labels` with the texts that `refs` refers to.
fn resolve<'a>(
    symbols: &[Option<&'a str>],
    refs: &[u32],
    labels: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), Reason> {
    labels.clear();
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Reason::BadSymbol);
    }
    for [name, value] in pairs {
        labels.push((symbol(symbols, *name)?, symbol(symbols, *value)?));
    }
    Ok(())
}

/// References that are packed, or one of them; those after the first `max` are read past.
fn references(
    bytes: &[u8],
    fields: &Fields<'_>,
    value: Value,
    max: usize,
    out: &mut Vec<u32>,
) -> Result<(), DecodeError> {
    let mut push = |reference: u64| {
        if out.len() < max {
            out.push(reference as u32);
        }
    };
    let Value::Bytes(range) = value else {
        push(fields.varint_of(&value)?);
        return Ok(());
    };
    let mut packed = Fields::new(bytes, range);
    while !packed.is_at_end() {
        push(packed.varint()?);
    }
    Ok(())
}

/// The time, the value, and since when it counts, which 0 leaves open.
#[inline]
fn sample(bytes: &[u8], range: Range<usize>) -> Result<(i64, f64, i64), DecodeError> {
    let mut fields = Fields::new(bytes, range);
    let (mut t, mut v, mut start) = (0, 0.0, 0);
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => v = fields.double_of(&value)?,
            2 => t = fields.varint_of(&value)?.cast_signed(),
            3 => start = fields.varint_of(&value)?.cast_signed(),
            _ => {}
        }
    }
    Ok((t, v, start))
}
