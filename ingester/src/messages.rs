//! Batches as messages of remote write, for queues on disk and for other systems. The reverse is in
//! [`crate::receive::v1`] and [`crate::receive::v2`], where the fields are listed.

use std::collections::HashMap;

use model::{Exemplar, Labels};
use prost::Message as _;
use proto::prometheus;
use tsdb::batch::{Batch, BatchSeries, Float, TimedHistogram};

/// What of a batch goes into a message beside its floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Native histograms.
    pub histograms: bool,
    /// Exemplars.
    pub exemplars: bool,
}

impl Contents {
    /// Everything.
    pub const ALL: Self = Self {
        histograms: true,
        exemplars: true,
    };
}

/// Fields that carry lengths of bytes, as the first bytes of each field.
const BYTES: u8 = 2;

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | BYTES);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn push_number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        push_varint(out, value);
    }
}

/// A message within a message, written into `scratch` first for its length.
fn push_message(
    out: &mut Vec<u8>,
    field: u8,
    scratch: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    scratch.clear();
    write(scratch);
    push_bytes(out, field, scratch);
}

fn sample(out: &mut Vec<u8>, float: &Float) {
    push_double(out, 1, float.v);
    push_number(out, 2, float.t.cast_unsigned());
}

/// The message of a histogram, which is the same in both versions.
fn histogram(out: &mut Vec<u8>, histogram: &TimedHistogram) {
    let message = match histogram {
        TimedHistogram::Integer(t, h) => prometheus::Histogram::from((*t, h)),
        TimedHistogram::Float(t, h) => prometheus::Histogram::from((*t, h)),
    };
    message.encode(out).expect("a Vec has room");
}

/// Appends `batch` as a `prometheus.WriteRequest`.
pub fn encode_v1(batch: &Batch, contents: Contents, out: &mut Vec<u8>) {
    let (mut message, mut inner) = (Vec::new(), Vec::new());
    let mut label = Vec::new();
    for series in batch.iter() {
        message.clear();
        let mut labels = |message: &mut Vec<u8>, field: u8, encoded: &str| {
            for (name, value) in Labels::iter_encoded(encoded) {
                push_message(message, field, &mut label, |out| {
                    push_bytes(out, 1, name.as_bytes());
                    push_bytes(out, 2, value.as_bytes());
                });
            }
        };
        labels(&mut message, 1, series.labels);
        for float in series.floats {
            push_message(&mut message, 2, &mut inner, |out| sample(out, float));
        }
        for exemplar in exemplars(&series, contents) {
            push_message(&mut message, 3, &mut inner, |out| {
                labels(out, 1, exemplar.labels.as_encoded());
                push_double(out, 2, exemplar.value);
                push_number(out, 3, exemplar.t.cast_unsigned());
            });
        }
        for one in histograms(&series, contents) {
            push_message(&mut message, 4, &mut inner, |out| histogram(out, one));
        }
        push_bytes(out, 1, &message);
    }
}

fn exemplars<'a>(series: &BatchSeries<'a>, contents: Contents) -> &'a [Exemplar] {
    if contents.exemplars {
        series.exemplars
    } else {
        &[]
    }
}

fn histograms<'a>(series: &BatchSeries<'a>, contents: Contents) -> &'a [TimedHistogram] {
    if contents.histograms {
        series.histograms
    } else {
        &[]
    }
}

/// The table of a message's texts.
struct Symbols<'a> {
    numbers: HashMap<&'a str, u32>,
    list: Vec<&'a str>,
}

impl<'a> Symbols<'a> {
    fn new() -> Self {
        Self {
            numbers: HashMap::from([("", 0)]),
            list: vec![""],
        }
    }

    fn number(&mut self, text: &'a str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.list.push(text);
            u32::try_from(self.list.len() - 1).expect("a batch is smaller than that")
        })
    }

    /// Writes the numbers of labels, packed.
    fn push_labels(&mut self, out: &mut Vec<u8>, scratch: &mut Vec<u8>, encoded: &'a str) {
        push_message(out, 1, scratch, |out| {
            for (name, value) in Labels::iter_encoded(encoded) {
                push_varint(out, u64::from(self.number(name)));
                push_varint(out, u64::from(self.number(value)));
            }
        });
    }
}

/// Appends `batch` as an `io.prometheus.write.v2.Request`.
pub fn encode_v2(batch: &Batch, contents: Contents, out: &mut Vec<u8>) {
    let mut symbols = Symbols::new();
    let mut all = Vec::new();
    for series in batch.iter() {
        let histograms = histograms(&series, contents);
        // A message has samples of one kind, or exemplars alone.
        let mut kinds = vec![(series.floats, &[][..]), (&[][..], histograms)];
        kinds.retain(|(floats, histograms)| !floats.is_empty() || !histograms.is_empty());
        if kinds.is_empty() && !exemplars(&series, contents).is_empty() {
            kinds.push((&[], &[]));
        }
        for (at, (floats, histograms)) in kinds.into_iter().enumerate() {
            let rest = (at == 0).then_some(&series);
            let labels = series.labels;
            push_series(
                &mut all,
                &mut symbols,
                (labels, floats, histograms),
                rest,
                contents,
            );
        }
    }
    for symbol in &symbols.list {
        push_bytes(out, 4, symbol.as_bytes());
    }
    out.extend_from_slice(&all);
}

/// Appends one series; exemplars and metadata are those of `rest`.
fn push_series<'a>(
    all: &mut Vec<u8>,
    symbols: &mut Symbols<'a>,
    (labels, floats, histograms): (&'a str, &[Float], &[TimedHistogram]),
    rest: Option<&BatchSeries<'a>>,
    contents: Contents,
) {
    let (mut message, mut inner, mut refs) = (Vec::new(), Vec::new(), Vec::new());
    symbols.push_labels(&mut message, &mut inner, labels);
    for float in floats {
        push_message(&mut message, 2, &mut inner, |out| sample(out, float));
    }
    for one in histograms {
        push_message(&mut message, 3, &mut inner, |out| histogram(out, one));
    }
    for exemplar in rest.map_or(&[][..], |series| exemplars(series, contents)) {
        push_message(&mut message, 4, &mut inner, |out| {
            symbols.push_labels(out, &mut refs, exemplar.labels.as_encoded());
            push_double(out, 2, exemplar.value);
            push_number(out, 3, exemplar.t.cast_unsigned());
        });
    }
    if let Some(metadata) = rest.and_then(|series| series.metadata) {
        push_message(&mut message, 5, &mut inner, |out| {
            push_number(out, 1, metadata.kind as u64);
            push_number(out, 3, u64::from(symbols.number(&metadata.help)));
            push_number(out, 4, u64::from(symbols.number(&metadata.unit)));
        });
    }
    push_bytes(all, 5, &message);
}

#[cfg(test)]
mod tests {
    use model::{FloatHistogram, Histogram, Metadata, MetricType};

    use super::*;
    use crate::receive::{DecodeOptions, Decoded, v1, v2};

    fn everything() -> Batch {
        let mut batch = Batch::new();
        batch.series([("__name__", "a"), ("job", "x")]);
        batch.float(-5, f64::from_bits(0x7ff0_0000_0000_0002));
        batch.float(1_795_226_430_123, 0.0);
        batch.histogram(TimedHistogram::Integer(3, Histogram::default()));
        batch.exemplar(Exemplar {
            labels: Labels::from_pairs([("trace_id", "abc")]),
            t: 7,
            value: 0.5,
        });
        batch.metadata(Metadata {
            kind: MetricType::Counter,
            unit: "s".to_owned(),
            help: "Help.".to_owned(),
        });
        batch.series([("__name__", "b"), ("job", "x")]);
        batch.histogram(TimedHistogram::Float(4, FloatHistogram::default()));
        batch
    }

    type Decode =
        fn(&[u8], &DecodeOptions, &mut Decoded) -> Result<(), crate::receive::DecodeError>;

    fn decoded(bytes: &[u8], decode: Decode) -> Vec<String> {
        let mut decoded = Decoded::new();
        decode(bytes, &DecodeOptions::default(), &mut decoded).unwrap();
        assert!(decoded.refusals.is_empty());
        let mut shown = Vec::new();
        for (_, batch) in decoded.batches() {
            for series in batch.iter() {
                let labels = Labels::from_encoded(series.labels);
                let floats = series.floats.iter().map(|f| (f.t, f.v.to_bits()));
                shown.push(format!(
                    "{labels} {:?} {:?} {:?} {:?}",
                    floats.collect::<Vec<_>>(),
                    series.histograms,
                    series.exemplars,
                    series.metadata.map(|metadata| &metadata.help),
                ));
            }
        }
        shown
    }

    #[test]
    fn what_is_written_is_what_the_decoders_read() {
        let mut bytes = Vec::new();
        encode_v2(&everything(), Contents::ALL, &mut bytes);
        let shown = decoded(&bytes, v2::decode);
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown[0].contains("9218868437227405314") && shown[0].contains("Help."));
        assert!(shown[0].contains("trace_id") && !shown[1].contains("trace_id"));
        assert!(shown[1].contains("Integer(3") && shown[2].contains("Float(4"));

        bytes.clear();
        encode_v1(&everything(), Contents::ALL, &mut bytes);
        let shown = decoded(&bytes, v1::decode);
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].contains("Integer(3") && shown[0].contains("trace_id"));

        bytes.clear();
        let floats = Contents {
            histograms: false,
            exemplars: false,
        };
        encode_v2(&everything(), floats, &mut bytes);
        let shown = decoded(&bytes, v2::decode);
        assert_eq!(shown.len(), 1);
        assert!(!shown[0].contains("trace_id"));
    }
}
