//! Remote write 1.0: `prometheus.WriteRequest`.
//!
//! | message | fields |
//! |---|---|
//! | `WriteRequest` | 1 `timeseries`, 3 `metadata` |
//! | `TimeSeries` | 1 `labels`, 2 `samples`, 3 `exemplars`, 4 `histograms` |
//! | `Label` | 1 `name`, 2 `value` |
//! | `Sample` | 1 `value` double, 2 `timestamp` |
//! | `Exemplar` | 1 `labels`, 2 `value` double, 3 `timestamp` |
//! | `MetricMetadata` | 1 `type`, 2 `metric_family_name`, 4 `help`, 5 `unit` |

use std::ops::Range;

use model::exemplar::LABELS_CHARS_MAX;
use model::labels::MAX_STRING_LEN;
use model::{Exemplar, Labels, Metadata, MetricType};
use tsdb::batch::Batch;

use super::decoded::{DecodeOptions, Decoded, FamilyMetadata, Message, shown_encoded};
use super::histogram;
use super::known::{Known, Met};
use super::outcome::Reason;
use super::wire::{DecodeError, Fields};

/// Metadata that one request may carry; Prometheus sends 500 at a time.
const METADATA_MAX: usize = 100_000;

/// A label: where its name and its value lie.
type LabelRange = (Range<usize>, Range<usize>);

/// Decodes an uncompressed request into `out`, which is cleared before.
///
/// # Errors
/// [`DecodeError`] when the request must be refused as a whole.
pub fn decode(bytes: &[u8], options: &DecodeOptions, out: &mut Decoded) -> Result<(), DecodeError> {
    out.clear();
    decode_series(SeriesDecoder::new(bytes, options), out)
}

/// As [`decode`], but series that are `known` are not looked at: the batch has their references and
/// not their labels, and `out` says where in `bytes` they are.
///
/// # Errors
/// As [`decode`].
pub fn decode_known(
    bytes: &[u8],
    options: &DecodeOptions,
    known: &Known,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    out.clear();
    let mut series = SeriesDecoder::new(bytes, options);
    // Places of messages are 32 bits wide.
    if u32::try_from(bytes.len()).is_ok() {
        series.met = Some(Met::new(known));
    }
    decode_series(series, out)
}

/// Decodes some series of a request that was decoded before, and looks at their labels.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_some(
    bytes: &[u8],
    messages: impl Iterator<Item = Message>,
    options: &DecodeOptions,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    out.clear();
    let mut series = SeriesDecoder::new(bytes, options);
    let nothing = Known::default();
    series.met = Some(Met::new(&nothing));
    for message in messages {
        series.unknown(message.all(), out)?;
    }
    Ok(())
}

/// The series of a message as an error shows it.
#[cold]
pub(super) fn shown(message: &[u8], options: &DecodeOptions) -> String {
    let mut decoded = Decoded::new();
    let mut series = SeriesDecoder::new(message, options);
    let _ = series.unknown(0..message.len(), &mut decoded);
    let batch = decoded.batches().next();
    batch.map_or_else(String::new, |(_, batch)| shown_encoded(batch.get(0).labels))
}

fn decode_series(mut series: SeriesDecoder<'_>, out: &mut Decoded) -> Result<(), DecodeError> {
    let bytes = series.bytes;
    let mut fields = Fields::new(bytes, 0..bytes.len());
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => series.decode(fields.bytes_of(value)?, out)?,
            3 => {
                let decoded = family_metadata(bytes, fields.bytes_of(value)?)?;
                if let Some(decoded) = decoded
                    && out.metadata.len() < METADATA_MAX
                {
                    out.metadata.push(decoded);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Decodes one series after the other, in buffers that they share.
struct SeriesDecoder<'a> {
    bytes: &'a [u8],
    options: &'a DecodeOptions,
    ranges: Vec<LabelRange>,
    labels: Vec<(&'a str, &'a str)>,
    /// Absent where nothing is known.
    met: Option<Met<'a>>,
}

impl<'a> SeriesDecoder<'a> {
    fn new(bytes: &'a [u8], options: &'a DecodeOptions) -> Self {
        Self {
            bytes,
            options,
            ranges: Vec::with_capacity(32),
            labels: Vec::with_capacity(32),
            met: None,
        }
    }

    fn decode(&mut self, range: Range<usize>, out: &mut Decoded) -> Result<(), DecodeError> {
        let known = (self.met.as_mut()).and_then(|met| met.series(&self.bytes[range.clone()]));
        if let Some((series, labels)) = known {
            let values = range.start + labels..range.end;
            if let Some((t, v)) = only_sample(&self.bytes[values.clone()]) {
                out.count(1, self.options)?;
                let message = Message::new(&range, values.start, true);
                out.begin_known(series, message).float(t, v);
                return Ok(());
            }
            if let Some(samples) = self.values_alone(values.clone())? {
                out.count(samples, self.options)?;
                let message = Message::new(&range, values.start, true);
                return self.values(values, out.begin_known(series, message));
            }
        }
        self.unknown(range, out)
    }

    /// How many samples there are among values; nothing when labels are among them, or nothing is.
    fn values_alone(&self, range: Range<usize>) -> Result<Option<usize>, DecodeError> {
        if range.is_empty() {
            return Ok(None);
        }
        let mut samples = 0;
        let mut fields = Fields::new(self.bytes, range);
        while let Some((field, _)) = fields.next_field()? {
            match field {
                1 => return Ok(None),
                2 | 4 => samples += 1,
                _ => {}
            }
        }
        Ok(Some(samples))
    }

    /// A series whose labels are to be looked at.
    fn unknown(&mut self, range: Range<usize>, out: &mut Decoded) -> Result<(), DecodeError> {
        // Labels may come after values, though nobody sends them so: labels first, then values,
        // from where the first of them lies.
        self.ranges.clear();
        let mut values_begin = range.end;
        let mut samples = 0;
        let mut fields = Fields::new(self.bytes, range.clone());
        loop {
            let begin = fields.pos();
            let Some((field, value)) = fields.next_field()? else {
                break;
            };
            match field {
                1 => {
                    let label = label(self.bytes, fields.bytes_of(value)?)?;
                    // One more than allowed is enough to refuse the series.
                    if self.ranges.len() <= self.options.labels.count_max {
                        self.ranges.push(label);
                    }
                    continue;
                }
                2 | 4 => samples += 1,
                _ => {}
            }
            values_begin = values_begin.min(begin);
        }
        out.count(samples, self.options)?;
        if values_begin == range.end {
            return Ok(());
        }
        let head = range.start..values_begin;
        let labels_lead = (self.ranges.last()).is_none_or(|(name, _)| name.start < values_begin);
        let message =
            (self.met.is_some() && labels_lead).then(|| Message::new(&range, values_begin, false));
        let batch = if texts(self.bytes, head, &self.ranges, &mut self.labels) {
            out.begin(&mut self.labels, samples, self.options, message)
        } else {
            out.refuse(Reason::InvalidUtf8, samples, &self.labels);
            None
        };
        match batch {
            Some(batch) => self.values(values_begin..range.end, batch),
            // What is refused must be sound all the same.
            None => self.values(values_begin..range.end, &mut scratch()),
        }
    }

    fn values(&self, range: Range<usize>, batch: &mut Batch) -> Result<(), DecodeError> {
        let mut fields = Fields::new(self.bytes, range);
        while let Some((field, value)) = fields.next_field()? {
            match field {
                2 => {
                    let (t, v) = sample(self.bytes, fields.bytes_of(value)?)?;
                    batch.float(t, v);
                }
                3 => {
                    let exemplar = exemplar(self.bytes, fields.bytes_of(value)?)?;
                    if let Some(exemplar) = exemplar {
                        batch.exemplar(exemplar);
                    }
                }
                4 => batch.histogram(histogram::decode(self.bytes, fields.bytes_of(value)?)?.0),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The time and the value of the sample that `values` are, when it is but one, and nothing else.
#[inline]
fn only_sample(values: &[u8]) -> Option<(i64, f64)> {
    const SAMPLE_KEY: u8 = 0x12;
    const VALUE_KEY: u8 = 0x09;
    const TIME_KEY: u8 = 0x10;
    let [SAMPLE_KEY, len @ 0..0x80, sample @ ..] = values else {
        return None;
    };
    if sample.len() != usize::from(*len) {
        return None;
    }
    // Zeros are often left out.
    let (v, time) = match sample {
        [VALUE_KEY, rest @ ..] => {
            let (v, time) = rest.split_first_chunk()?;
            (f64::from_le_bytes(*v), time)
        }
        time => (0.0, time),
    };
    let [TIME_KEY, time @ ..] = time else {
        return None;
    };
    // Nine bytes hold all times from 1970 on.
    let (last, before) = time.split_last()?;
    if *last >= 0x80 || before.len() > 8 || before.iter().any(|byte| *byte < 0x80) {
        return None;
    }
    let t = (time.iter().rev()).fold(0, |t, byte| t << 7 | i64::from(byte & 0x7f));
    Some((t, v))
}

/// A batch that takes the values of a refused series, to be dropped.
#[cold]
pub(super) fn scratch() -> Batch {
    let mut batch = Batch::new();
    batch.series(std::iter::empty());
    batch
}

#[inline]
fn label(bytes: &[u8], range: Range<usize>) -> Result<LabelRange, DecodeError> {
    let mut fields = Fields::new(bytes, range);
    let (mut name, mut text) = (0..0, 0..0);
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => name = fields.bytes_of(value)?,
            2 => text = fields.bytes_of(value)?,
            _ => {}
        }
    }
    Ok((name, text))
}

/// Fills `labels` with the texts at `ranges`; false when one is not UTF-8.
///
/// The lengths between short texts are ASCII, so all that comes before the values is checked in one
/// go, which is several times faster than text by text. Where that fails, as it does when a text
/// has 128 bytes or more, each text is looked at by itself.
fn texts<'a>(
    bytes: &'a [u8],
    head: Range<usize>,
    ranges: &[LabelRange],
    labels: &mut Vec<(&'a str, &'a str)>,
) -> bool {
    labels.clear();
    let start = head.start;
    let whole = std::str::from_utf8(&bytes[head]).ok();
    let text = |range: &Range<usize>| {
        let within = range
            .start
            .checked_sub(start)
            .zip(range.end.checked_sub(start));
        let within = within.and_then(|(begin, end)| whole?.get(begin..end));
        within.or_else(|| std::str::from_utf8(&bytes[range.clone()]).ok())
    };
    for (name, value) in ranges {
        let (Some(name), Some(value)) = (text(name), text(value)) else {
            return false;
        };
        labels.push((name, value));
    }
    true
}

#[inline]
fn sample(bytes: &[u8], range: Range<usize>) -> Result<(i64, f64), DecodeError> {
    let mut fields = Fields::new(bytes, range);
    let (mut t, mut v) = (0, 0.0);
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => v = fields.double_of(&value)?,
            2 => t = fields.varint_of(&value)?.cast_signed(),
            _ => {}
        }
    }
    Ok((t, v))
}

/// An exemplar; nothing when its labels are not text.
fn exemplar(bytes: &[u8], range: Range<usize>) -> Result<Option<Exemplar>, DecodeError> {
    let mut fields = Fields::new(bytes, range.clone());
    let (mut t, mut v) = (0, 0.0);
    let mut ranges = Vec::new();
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => {
                let label = label(bytes, fields.bytes_of(value)?)?;
                // With fewer the text is too long already.
                if ranges.len() <= LABELS_CHARS_MAX {
                    ranges.push(label);
                }
            }
            2 => v = fields.double_of(&value)?,
            3 => t = fields.varint_of(&value)?.cast_signed(),
            _ => {}
        }
    }
    let mut labels = Vec::with_capacity(ranges.len());
    let is_text = texts(bytes, range, &ranges, &mut labels);
    Ok(is_text.then(|| new_exemplar(&labels, t, v)).flatten())
}

/// An exemplar, unless a label is longer than a label set can hold.
pub(super) fn new_exemplar(labels: &[(&str, &str)], t: i64, value: f64) -> Option<Exemplar> {
    let fits = |text: &str| text.len() <= MAX_STRING_LEN;
    let all_fit = labels.iter().all(|(n, v)| fits(n) && fits(v));
    all_fit.then(|| Exemplar {
        labels: Labels::from_pairs(labels.iter().copied()),
        t,
        value,
    })
}

/// Metadata of a family; nothing when it is not text or names none.
fn family_metadata(
    bytes: &[u8],
    range: Range<usize>,
) -> Result<Option<FamilyMetadata>, DecodeError> {
    let mut fields = Fields::new(bytes, range);
    let mut kind = MetricType::Unknown;
    let (mut family, mut help, mut unit) = (0..0, 0..0, 0..0);
    while let Some((field, value)) = fields.next_field()? {
        match field {
            1 => kind = metric_type(fields.varint_of(&value)?),
            2 => family = fields.bytes_of(value)?,
            4 => help = fields.bytes_of(value)?,
            5 => unit = fields.bytes_of(value)?,
            _ => {}
        }
    }
    let text = |range: Range<usize>| std::str::from_utf8(&bytes[range]).ok().map(str::to_owned);
    let (Some(family), Some(help), Some(unit)) = (text(family), text(help), text(unit)) else {
        return Ok(None);
    };
    Ok((!family.is_empty()).then_some(FamilyMetadata {
        family,
        metadata: Metadata { kind, unit, help },
    }))
}

/// The type of that number on the wire, which is not that of write-ahead logs.
pub(super) fn metric_type(number: u64) -> MetricType {
    u8::try_from(number).map_or(MetricType::Unknown, MetricType::from_number)
}
