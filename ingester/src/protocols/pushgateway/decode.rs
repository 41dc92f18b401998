//! The body of a push: the text format 0.0.4, or protobuf.

use std::borrow::Cow;
use std::collections::HashSet;

use model::MetricType;

use super::metrics::{Collector, Families, Misfit, Pairs};
use super::path::GroupKey;
use crate::exposition::protobuf::{self, HistogramForms, Value};
use crate::exposition::{Entry, Format, Parser, SampleEntry};

/// The names that the gateway itself gives to each group.
pub const PUSH_TIME: &str = "push_time_seconds";
/// See [`PUSH_TIME`].
pub const PUSH_FAILURE_TIME: &str = "push_failure_time_seconds";

/// Why a body cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not the text format.
    #[error("text format parsing error in line {line}: {reason}")]
    Text {
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It is not protobuf.
    #[error(transparent)]
    Protobuf(#[from] protobuf::Error),
    /// It is protobuf that says what no metric can be.
    #[error("protobuf parsing error: {0}")]
    Message(String),
    /// It contradicts itself.
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {0}")]
    Inconsistent(String),
}

/// Decodes a push to the group `key`.
///
/// # Errors
/// [`DecodeError`]; nothing is taken then.
pub fn decode(
    body: &[u8],
    is_protobuf: bool,
    key: &GroupKey,
    check_consistency: bool,
) -> Result<Families, DecodeError> {
    let mut push = Push {
        check_consistency,
        collector: Collector::new(key, check_consistency),
        typed: HashSet::new(),
        helped: HashSet::new(),
    };
    if is_protobuf {
        push.protobuf(body)?;
    } else {
        push.text(body)?;
    }
    let mut families = push.collector.finish().map_err(message)?;
    for own in [PUSH_TIME, PUSH_FAILURE_TIME] {
        families.remove(own);
    }
    Ok(families)
}

/// A push that is being read.
struct Push<'k> {
    check_consistency: bool,
    collector: Collector<'k>,
    /// Families whose type was said.
    typed: HashSet<usize>,
    /// Families whose help was said.
    helped: HashSet<usize>,
}

impl Push<'_> {
    fn text(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        if body.last().is_some_and(|b| *b != b'\n') {
            let lines = body.iter().filter(|b| **b == b'\n').count();
            return Err(DecodeError::Text {
                line: lines as u64 + 1,
                reason: "unexpected end of input stream".to_owned(),
            });
        }
        let mut parser = Parser::new(body, Format::Text);
        // Kept for its memory.
        let mut labels = Pairs::new();
        loop {
            let line = parser.line();
            let entry = parser.next_entry().map_err(|error| DecodeError::Text {
                line: error.line,
                reason: error.reason.into_owned(),
            })?;
            match entry {
                None => return Ok(()),
                Some(Entry::Type(name, kind)) => {
                    let name = name.unescape();
                    let number = self.collector.family(&name);
                    let family = self.collector.family_mut(number);
                    if !self.typed.insert(number) || !family.metrics.is_empty() {
                        let reason = format!(
                            "second TYPE line for metric name {name:?}, or TYPE reported after samples"
                        );
                        return Err(DecodeError::Text { line, reason });
                    }
                    family.kind = kind;
                }
                Some(Entry::Help(name, help)) => {
                    let name = name.unescape();
                    let number = self.collector.family(&name);
                    if !self.helped.insert(number) {
                        let reason = format!("second HELP line for metric name {name:?}");
                        return Err(DecodeError::Text { line, reason });
                    }
                    self.collector.family_mut(number).help = help.unescape().into_owned();
                }
                Some(Entry::Unit(..)) => {}
                Some(Entry::Sample(sample)) => self.sample(&sample, line, &mut labels)?,
            }
        }
    }

    fn sample<'a>(
        &mut self,
        sample: &SampleEntry<'a, '_>,
        line: u64,
        labels: &mut Pairs<'a>,
    ) -> Result<(), DecodeError> {
        self.check_time(sample.reading.timestamp)?;
        labels.clear();
        let pairs = sample.series.labels.iter();
        labels.extend(pairs.map(|label| (label.name.unescape(), label.value.unescape())));
        let name = sample.series.name.unescape();
        let part = self.collector.family_of(&name);
        let added = self.collector.add(part, labels, sample.reading.value);
        added.map_err(|misfit| match misfit {
            Misfit::Syntax(reason) => DecodeError::Text { line, reason },
            Misfit::Inconsistent(reason) => DecodeError::Inconsistent(reason),
        })
    }

    fn protobuf(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        for family in protobuf::Families::new(body) {
            let family = family?;
            let number = self.collector.family(&family.name);
            let described = self.collector.family_mut(number);
            described.kind = kind_of(family.r#type());
            described.help.clone_from(&family.help);
            protobuf::samples(&family, HistogramForms::CLASSIC, |sample| {
                self.check_time(sample.timestamp)?;
                // Only the forms asked for come, which are floats.
                let Value::Float(value) = sample.value else {
                    return Ok(());
                };
                let pairs = sample.name.labels();
                let mut labels: Pairs<'_> = pairs
                    .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
                    .collect();
                let part = (number, sample.name.suffix());
                let added = self.collector.add(part, &mut labels, value);
                added.map_err(message)
            })?;
        }
        Ok(())
    }

    fn check_time(&self, timestamp: Option<i64>) -> Result<(), DecodeError> {
        if timestamp.is_some() && self.check_consistency {
            let reason = "pushed metrics must not have timestamps";
            return Err(DecodeError::Inconsistent(reason.to_owned()));
        }
        Ok(())
    }
}

fn message(misfit: Misfit) -> DecodeError {
    match misfit {
        Misfit::Syntax(reason) => DecodeError::Message(reason),
        Misfit::Inconsistent(reason) => DecodeError::Inconsistent(reason),
    }
}

fn kind_of(kind: proto::client::MetricType) -> MetricType {
    use proto::client::MetricType as Wire;
    match kind {
        Wire::Counter => MetricType::Counter,
        Wire::Gauge => MetricType::Gauge,
        Wire::Summary => MetricType::Summary,
        Wire::Untyped => MetricType::Unknown,
        Wire::Histogram => MetricType::Histogram,
        Wire::GaugeHistogram => MetricType::GaugeHistogram,
    }
}
