//! Samples as documents. Format: `docs/format/elasticsearch.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Labels;
use model::labels::METRIC_NAME;
use model::time::{Civil, Rfc3339};
use tsdb::batch::Batch;
use twox_hash::XxHash3_128;

use crate::config::{DocumentFormat, Elasticsearch, Rotation};
use crate::pipeline::push_series;

const DAY_MS: i64 = 86_400_000;

/// A sample of a batch: its series, and its place among the floats of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    series: usize,
    float: usize,
}

impl Place {
    /// The sample's time, in milliseconds since the Unix epoch.
    pub(super) fn t_ms(self, batch: &Batch) -> i64 {
        batch.get(self.series).floats[self.float].t
    }
}

/// A bulk request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) body: Vec<u8>,
    /// Samples that it holds.
    pub(super) documents: usize,
}

/// What writes documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) config: &'a Elasticsearch,
    /// The type of documents, for servers that still have types.
    pub(super) doc_type: Option<&'static str>,
    /// Bytes of a request, unless a single document has more.
    pub(super) bytes_max: usize,
}

impl Writer<'_> {
    /// Writes as many of the samples at `places` as one request takes, from the first on.
    pub(super) fn request(self, batch: &Batch, places: &[Place]) -> Request {
        let mut lines = Lines::new(self);
        let mut request = Request::default();
        for place in places {
            let lines = lines.of(batch, *place);
            if request.documents > 0 && request.body.len() + lines.len() > self.bytes_max {
                break;
            }
            request.body.extend_from_slice(lines);
            request.documents += 1;
        }
        request
    }
}

/// The samples of a batch that can be said, in their order, and how many cannot: JSON has no numbers
/// that are not finite, and documents no native histograms.
pub(super) fn sayable(batch: &Batch) -> (Vec<Place>, usize) {
    let mut places = Vec::new();
    for (number, series) in batch.iter().enumerate() {
        let floats = series.floats.iter().enumerate();
        places.extend(
            floats
                .filter(|(_, float)| float.v.is_finite())
                .map(|(float, _)| Place {
                    series: number,
                    float,
                }),
        );
    }
    let unsayable = batch.sample_count() - places.len();
    (places, unsayable)
}

/// Memory for the two lines of a document, and what documents of one series have in common.
struct Lines<'a> {
    writer: Writer<'a>,
    out: Vec<u8>,
    series: Option<usize>,
    /// Hash of the series' labels.
    hash: u128,
    /// What stands before and between time and value.
    parts: [Vec<u8>; 2],
    /// The index that the last document went to, and the day it is of.
    index: (i64, String),
}

impl<'a> Lines<'a> {
    fn new(writer: Writer<'a>) -> Self {
        Self {
            writer,
            out: Vec::new(),
            series: None,
            hash: 0,
            parts: Default::default(),
            index: (0, index_of(writer.config, 0)),
        }
    }

    fn of(&mut self, batch: &Batch, place: Place) -> &[u8] {
        let series = batch.get(place.series);
        let config = self.writer.config;
        if self.series != Some(place.series) {
            let labels = Labels::from_encoded(series.labels);
            self.series = Some(place.series);
            self.hash = hash(&labels);
            self.parts = parts(&labels, config.format);
        }
        let float = series.floats[place.float];
        let day = float.t.div_euclid(DAY_MS);
        if day != self.index.0 {
            self.index = (day, index_of(config, float.t));
        }
        let out = &mut self.out;
        out.clear();
        out.extend_from_slice(br#"{"create":{"_index":""#);
        out.extend_from_slice(self.index.1.as_bytes());
        if let Some(doc_type) = self.writer.doc_type {
            out.extend_from_slice(br#"","_type":""#);
            out.extend_from_slice(doc_type.as_bytes());
        }
        out.extend_from_slice(br#"","_id":""#);
        out.extend_from_slice(id(self.hash, float.t).as_bytes());
        out.extend_from_slice(b"\"}}\n");
        let [before, between] = &self.parts;
        out.extend_from_slice(before);
        push_json(out, &Rfc3339(float.t).to_string());
        out.extend_from_slice(between);
        push_json(out, &float.v);
        out.extend_from_slice(b"}\n");
        out
    }
}

/// What documents of a series have before their time, and between that and their value.
fn parts(labels: &Labels, format: DocumentFormat) -> [Vec<u8>; 2] {
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    let others = || labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let (mut before, mut between) = (Vec::new(), Vec::new());
    match format {
        DocumentFormat::Labels => {
            before.extend_from_slice(br#"{"@timestamp":"#);
            between.extend_from_slice(br#","name":"#);
            push_json(&mut between, name);
            between.extend_from_slice(br#","labels":{"#);
            let mut names = BTreeSet::new();
            for (name, value) in others() {
                // A dot would make an object of it.
                let mut name = name.replace('.', "_");
                while names.contains(&name) {
                    name.push('_');
                }
                if !names.is_empty() {
                    between.push(b',');
                }
                push_json(&mut between, &name);
                between.push(b':');
                push_json(&mut between, value);
                names.insert(name);
            }
            between.extend_from_slice(br#"},"value":"#);
        }
        DocumentFormat::Lookout => {
            let tags: Vec<_> = others()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            before.extend_from_slice(br#"{"id":"#);
            push_json(&mut before, name);
            before.extend_from_slice(br#","tags":"#);
            push_json(&mut before, &tags);
            before.extend_from_slice(br#","time":"#);
            between.extend_from_slice(br#","value":"#);
        }
    }
    [before, between]
}

fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("text and finite numbers are JSON");
}

/// The same for the same labels, also of another version.
fn hash(labels: &Labels) -> u128 {
    let mut bytes = Vec::new();
    for (name, value) in labels {
        // No UTF-8 text has this byte.
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0xff);
        }
    }
    XxHash3_128::oneshot(&bytes)
}

/// A document's id. Its time comes first: ids that are near each other are stored well.
fn id(hash: u128, t_ms: i64) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&t_ms.to_be_bytes());
    bytes[8..].copy_from_slice(&hash.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The index, alias or data stream that a sample of this time goes to.
pub(super) fn index_of(config: &Elasticsearch, t_ms: i64) -> String {
    let mut name = config.index.clone();
    let Civil {
        year, month, day, ..
    } = Civil::from_unix_seconds(t_ms.div_euclid(1000));
    let written = match config.rotation {
        Rotation::Daily => write!(name, "-{year:04}.{month:02}.{day:02}"),
        Rotation::Monthly => write!(name, "-{year:04}.{month:02}"),
        Rotation::Rollover | Rotation::DataStream => Ok(()),
    };
    written.expect("writing to a String");
    name
}

/// The samples at `places` of a batch, which are in the order of the batch.
pub(super) fn only(batch: &Batch, places: &[Place]) -> Batch {
    let mut kept = Batch::new();
    for of_series in places.chunk_by(|a, b| a.series == b.series) {
        let mut series = batch.get(of_series[0].series);
        let floats: Vec<_> = of_series
            .iter()
            .map(|place| series.floats[place.float])
            .collect();
        (series.floats, series.histograms) = (&floats, &[]);
        push_series(&mut kept, Labels::iter_encoded(series.labels), &series);
    }
    kept
}
