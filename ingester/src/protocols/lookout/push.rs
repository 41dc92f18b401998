//! Pushes to the gateway that are not Lookout's own: an exposition of Prometheus, and OpenTSDB's JSON.
//! Each is read by the decoder of its format; what it yields goes through the gateway's rules.

use std::borrow::Cow;

use model::Labels;
use model::labels::METRIC_NAME;

use super::intake::{Intake, Tags};
use crate::exposition::protobuf::{self, HistogramForms, Value};
use crate::exposition::{Entry, Format, Pair, Parser};
use crate::protocols::opentsdb;
use crate::protocols::points::Reason;

/// How an exposition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As text.
    Text(Format),
    /// As messages, each with its length before it.
    Protobuf,
}

/// Why nothing of a push was taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It is not the text format.
    #[error("text format parsing error in {0}")]
    Text(crate::exposition::Error),
    /// It is not protobuf.
    #[error(transparent)]
    Protobuf(#[from] protobuf::Error),
    /// It is not JSON, or not of OpenTSDB.
    #[error(transparent)]
    OpenTsdb(#[from] opentsdb::decode::DecodeError),
}

/// Takes the samples of an exposition. A line of text that is none is refused by itself.
///
/// # Errors
/// [`PushError`] when the first of it is wrong and nothing can be taken.
pub fn exposition(
    body: &[u8],
    form: Form,
    honor_timestamps: bool,
    intake: &mut Intake<'_>,
) -> Result<(), PushError> {
    let mut samples = Samples {
        honor_timestamps,
        intake,
    };
    match form {
        Form::Text(format) => samples.text(body, format),
        Form::Protobuf => samples.protobuf(body),
    }
}

/// Takes the points of OpenTSDB's `put`.
///
/// # Errors
/// [`PushError::OpenTsdb`]; nothing is taken then.
pub fn opentsdb(
    body: &[u8],
    labels: crate::receive::LabelLimits,
    intake: &mut Intake<'_>,
) -> Result<(), PushError> {
    let options = opentsdb::Options {
        labels,
        ..opentsdb::Options::default()
    };
    let mut decoded = opentsdb::decode::Decoded::default();
    opentsdb::decode::decode(body, intake.now_ms(), &options, &mut decoded)?;
    let mut taker = Taker::default();
    for series in decoded.points.batch().iter() {
        for float in series.floats {
            let (mut name, at) = ("", (float.t, float.v));
            let tags = Labels::iter_encoded(series.labels).filter(|(key, value)| {
                let is_name = *key == METRIC_NAME;
                name = if is_name { *value } else { name };
                !is_name
            });
            let is_plain = intake.plain(tags, &mut taker.plain);
            if !is_plain || !taker.take_plain(intake, name, at) {
                let labels = Labels::iter_encoded(series.labels);
                taker.take(intake, borrowed(labels), at);
            }
        }
    }
    intake.points.refuse_all(decoded.points.refusals());
    Ok(())
}

/// Labels as pairs that may be changed.
fn borrowed<'l>(
    labels: impl Iterator<Item = (&'l str, &'l str)>,
) -> impl Iterator<Item = Pair<'l>> {
    labels.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
}

/// Takes samples one by one. It is memory that is kept from one to the next.
#[derive(Default)]
struct Taker<'l> {
    tags: Tags<'l>,
    plain: Vec<(&'l str, &'l str)>,
}

impl<'l> Taker<'l> {
    /// Takes a sample of a series with these labels, its metric name among them.
    fn take<'r: 'l>(
        &mut self,
        intake: &mut Intake<'r>,
        labels: impl Iterator<Item = Pair<'l>>,
        (t_ms, value): (i64, f64),
    ) {
        let mut name = Cow::Borrowed("");
        let others = labels.filter_map(|(key, value)| {
            if key == METRIC_NAME {
                name = value;
                return None;
            }
            Some((key, value))
        });
        intake.tagged(others, &mut self.tags);
        let name = intake.name(&name);
        intake.at(&self.tags, t_ms).take(&name, Ok(value));
    }

    /// Takes a sample of the metric `name` with the tags of `plain`; false when the name has to be
    /// changed.
    #[inline]
    fn take_plain<'r: 'l>(
        &mut self,
        intake: &mut Intake<'r>,
        name: &'l str,
        (t_ms, value): (i64, f64),
    ) -> bool {
        let Cow::Borrowed(name) = intake.name(name) else {
            return false;
        };
        let mut series = intake.plain_at(std::mem::take(&mut self.plain), t_ms);
        series.take(name, Ok(value));
        self.plain = series.into_labels();
        true
    }
}

struct Samples<'i, 'r> {
    honor_timestamps: bool,
    intake: &'i mut Intake<'r>,
}

impl Samples<'_, '_> {
    fn time(&self, said: Option<i64>) -> i64 {
        let said = said.filter(|_| self.honor_timestamps);
        said.unwrap_or(self.intake.now_ms())
    }

    fn text(&mut self, body: &[u8], format: Format) -> Result<(), PushError> {
        // Clients of the gateway leave the last end of a line out.
        let ended;
        let mut rest = body;
        if body.last().is_some_and(|b| *b != b'\n') {
            ended = [body, b"\n"].concat();
            rest = &ended;
        }
        let mut line = 1;
        let mut first_error = None;
        let taken_before = self.intake.points.batch().len();
        while let Err(error) = self.fragment(rest, format, line) {
            // Goes on behind the line that is wrong.
            let lines = (error.line.saturating_sub(line) + 1) as usize;
            let ends = memchr::memchr_iter(b'\n', rest);
            let (at, wrong) = after_lines(rest, ends, lines);
            let shown = String::from_utf8_lossy(wrong);
            self.intake.refuse(Reason::Malformed, &shown);
            line += lines as u64;
            rest = &rest[at..];
            first_error.get_or_insert(error);
        }
        match first_error {
            Some(error) if self.intake.points.batch().len() == taken_before => {
                Err(PushError::Text(error))
            }
            _ => Ok(()),
        }
    }

    fn fragment(
        &mut self,
        text: &[u8],
        format: Format,
        line: u64,
    ) -> Result<(), crate::exposition::Error> {
        let mut parser = Parser::fragment(text, format, line);
        let (mut pairs, mut taker) = (Vec::new(), Taker::default());
        while let Some(entry) = parser.next_entry()? {
            let Entry::Sample(sample) = entry else {
                continue;
            };
            let at = (self.time(sample.reading.timestamp), sample.reading.value);
            // What has escapes is changed in any case.
            let name = sample.series.name.raw();
            let tags = sample.series.labels.iter();
            let tags = tags.map(|label| (label.name.raw(), label.value.raw()));
            let is_plain = !name.is_empty() && self.intake.plain(tags, &mut taker.plain);
            if is_plain && taker.take_plain(self.intake, name, at) {
                continue;
            }
            match sample.series.to_pairs(&mut pairs) {
                Ok(()) => taker.take(self.intake, pairs.drain(..), at),
                Err(name) => self.intake.refuse(Reason::DuplicateLabel, &name),
            }
        }
        Ok(())
    }

    fn protobuf(&mut self, body: &[u8]) -> Result<(), PushError> {
        let mut count = 0;
        for message in protobuf::Families::new(body) {
            let message = match message {
                Ok(message) => message,
                Err(error) if count == 0 => return Err(error.into()),
                Err(error) => {
                    self.intake.refuse(Reason::Malformed, &error.to_string());
                    return Ok(());
                }
            };
            protobuf::samples(&message, HistogramForms::CLASSIC, |sample| {
                count += 1;
                match (sample.name.to_labels(), sample.value) {
                    (Ok(labels), Value::Float(value)) => {
                        let t_ms = self.time(sample.timestamp);
                        let labels = borrowed(labels.iter());
                        Taker::default().take(self.intake, labels, (t_ms, value));
                    }
                    (Err(name), _) => self.intake.refuse(Reason::DuplicateLabel, &name),
                    // Only the forms asked for come, which are floats.
                    (Ok(_), _) => {}
                }
                Ok::<(), protobuf::Error>(())
            })?;
        }
        Ok(())
    }
}

/// Where the text goes on after so many lines, and the last of them.
fn after_lines(text: &[u8], ends: impl Iterator<Item = usize>, lines: usize) -> (usize, &[u8]) {
    let mut from = 0;
    let mut last = text;
    for end in ends.take(lines) {
        last = &text[from..end];
        from = end + 1;
    }
    (if from == 0 { text.len() } else { from }, last)
}
