//! The body of a push: the text format 0.0.4, or protobuf.

use std::collections::{BTreeMap, HashSet};

use ahash::RandomState;
use model::labels::METRIC_NAME;
use model::{Labels, MetricType};

use super::path::GroupKey;
use crate::exposition::protobuf::{self, HistogramForms, Value};
use crate::exposition::{Entry, Format, Parser};

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
    /// It contradicts itself.
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {0}")]
    Inconsistent(String),
}

/// A family of metrics of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Family {
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: String,
    /// Its samples, the labels with the metric name and those of the group, in order of the push.
    pub samples: Vec<(Labels, f64)>,
}

/// Families by name.
pub type Families = BTreeMap<String, Family>;

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
        key,
        check_consistency,
        families: Families::new(),
        seen: HashSet::default(),
    };
    if is_protobuf {
        push.protobuf(body)?;
    } else {
        push.text(body)?;
    }
    for own in [PUSH_TIME, PUSH_FAILURE_TIME] {
        push.families.remove(own);
    }
    push.families.retain(|_, family| !family.samples.is_empty());
    Ok(push.families)
}

/// A push that is being read.
struct Push<'k> {
    key: &'k GroupKey,
    check_consistency: bool,
    families: Families,
    seen: HashSet<Labels, RandomState>,
}

impl<'k> Push<'k> {
    fn text(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        if body.last().is_some_and(|b| *b != b'\n') {
            let lines = body.iter().filter(|b| **b == b'\n').count();
            return Err(DecodeError::Text {
                line: lines as u64 + 1,
                reason: "unexpected end of input stream".to_owned(),
            });
        }
        let mut parser = Parser::new(body, Format::Text);
        let mut pairs = Vec::new();
        loop {
            let line = parser.line();
            let wrong = |reason: String| DecodeError::Text { line, reason };
            let entry = parser.next_entry().map_err(|error| DecodeError::Text {
                line: error.line,
                reason: error.reason.into_owned(),
            })?;
            match entry {
                None => return Ok(()),
                Some(Entry::Type(name, kind)) => self.family(&name.unescape()).kind = kind,
                Some(Entry::Help(name, help)) => {
                    self.family(&name.unescape()).help = help.unescape().into_owned();
                }
                Some(Entry::Unit(..)) => {}
                Some(Entry::Sample(sample)) => {
                    let reading = sample.reading;
                    sample.series.to_pairs(&mut pairs).map_err(|name| {
                        wrong(format!("duplicate label names for metric: {name:?}"))
                    })?;
                    let labels: Vec<_> = pairs.iter().map(|(k, v)| (&**k, &**v)).collect();
                    let name = labels.iter().find(|(name, _)| *name == METRIC_NAME);
                    let family = self.family_of(name.map_or("", |(_, name)| name));
                    let has_time = reading.timestamp.is_some();
                    self.add(family, labels, reading.value, has_time)?;
                }
            }
        }
    }

    fn protobuf(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let forms = HistogramForms {
            native: false,
            always_classic: true,
        };
        for message in protobuf::Families::new(body) {
            let message = message?;
            let family = self.family(&message.name);
            family.kind = kind_of(message.r#type());
            family.help.clone_from(&message.help);
            protobuf::samples(&message, forms, |sample| {
                let labels = sample.name.to_labels().map_err(|name| {
                    DecodeError::Inconsistent(format!("label {name:?} appears twice"))
                })?;
                // Only the forms asked for come, which are floats.
                let Value::Float(value) = sample.value else {
                    return Ok(());
                };
                let labels = labels.iter().collect();
                self.add(&message.name, labels, value, sample.timestamp.is_some())
            })?;
        }
        Ok(())
    }

    fn family(&mut self, name: &str) -> &mut Family {
        if !self.families.contains_key(name) {
            self.families.insert(name.to_owned(), Family::default());
        }
        self.families.get_mut(name).expect("inserted above")
    }

    /// The family of a sample: one of a histogram or summary has a suffix.
    fn family_of<'n>(&self, sample: &'n str) -> &'n str {
        for suffix in ["_bucket", "_sum", "_count"] {
            let Some(name) = sample.strip_suffix(suffix) else {
                continue;
            };
            let kind = self.families.get(name).map(|family| family.kind);
            let belongs = match kind {
                Some(MetricType::Histogram | MetricType::GaugeHistogram) => true,
                Some(MetricType::Summary) => suffix != "_bucket",
                _ => false,
            };
            if belongs {
                return name;
            }
        }
        sample
    }

    fn add<'l>(
        &mut self,
        family: &str,
        mut labels: Vec<(&'l str, &'l str)>,
        value: f64,
        has_time: bool,
    ) -> Result<(), DecodeError>
    where
        'k: 'l,
    {
        if has_time && self.check_consistency {
            let reason = "pushed metrics must not have timestamps";
            return Err(DecodeError::Inconsistent(reason.to_owned()));
        }
        // Those of the group replace what was pushed.
        for (name, value) in self.key.labels() {
            labels.retain(|(pushed, _)| *pushed != name);
            if !value.is_empty() {
                let at = labels.partition_point(|(pushed, _)| *pushed < name.as_str());
                labels.insert(at, (name, value));
            }
        }
        let labels = Labels::from_sorted(labels);
        if !self.seen.insert(labels.clone()) {
            if self.check_consistency {
                return Err(DecodeError::Inconsistent(format!(
                    "collected metric {:?} {labels} was collected before with the same name and label values",
                    labels.get(METRIC_NAME).unwrap_or_default(),
                )));
            }
            return Ok(());
        }
        self.family(family).samples.push((labels, value));
        Ok(())
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
