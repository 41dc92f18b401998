//! Protobuf exposition: messages of type `io.prometheus.client.MetricFamily`, each with its length
//! before it. The only format that has native histograms.
//!
//! [`Families`] reads the messages; [`samples`] takes one apart into what the text formats would
//! say in lines. The source of the format is Prometheus' `metrics.proto`, that of the names and the
//! order of samples its `model/textparse`.

mod histogram;
#[cfg(test)]
mod tests;

use model::float::push_openmetrics;
use model::labels::METRIC_NAME;
use model::{Exemplar, FloatHistogram, Histogram, Labels, LabelsBuilder};
use prost::Message as _;
use proto::client::{self, LabelPair, Metric, MetricFamily};

/// Why an exposition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A length that does not fit what is left of the input, or is no number.
    #[error("a message of the protobuf exposition is cut off at byte {0}")]
    Truncated(usize),
    /// A message that is none.
    #[error("decode the message at byte {at} of the protobuf exposition: {reason}")]
    Message {
        /// Where its body begins.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// A family without a name, or of a type that does not exist.
    #[error("invalid metric family {0:?} in the protobuf exposition")]
    Family(String),
}

/// The families of an exposition, in order.
#[derive(Debug)]
pub struct Families<'a> {
    input: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Families<'a> {
    /// The families in `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, rest: input }
    }

    fn next_family(&mut self) -> Result<MetricFamily, Error> {
        let at = self.input.len() - self.rest.len();
        let mut body = self.rest;
        let len = prost::decode_length_delimiter(&mut body).map_err(|_| Error::Truncated(at))?;
        if len > body.len() {
            return Err(Error::Truncated(at));
        }
        let start = self.input.len() - body.len();
        let (body, rest) = body.split_at(len);
        self.rest = rest;
        let family = MetricFamily::decode(body).map_err(|error| Error::Message {
            at: start,
            reason: error.to_string(),
        })?;
        let known = client::MetricType::try_from(family.r#type).is_ok();
        if family.name.is_empty() || !known {
            return Err(Error::Family(family.name));
        }
        Ok(family)
    }
}

impl Iterator for Families<'_> {
    type Item = Result<MetricFamily, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let family = self.next_family();
        if family.is_err() {
            self.rest = &[];
        }
        Some(family)
    }
}

/// What is taken of histograms that come in both forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramForms {
    /// Native histograms are taken.
    pub native: bool,
    /// Classic series are taken also of histograms that are taken as native.
    pub always_classic: bool,
}

impl HistogramForms {
    /// Classic series only.
    pub const CLASSIC: Self = Self {
        native: false,
        always_classic: true,
    };
}

/// The name of one sample: that of its family and a suffix, its labels, and perhaps one more.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    family: &'a str,
    suffix: &'static str,
    labels: &'a [LabelPair],
    /// `le` or `quantile`, with its value.
    extra: Option<(&'static str, &'a str)>,
}

impl<'a> Name<'a> {
    /// What follows the name of the family.
    pub const fn suffix(&self) -> &'static str {
        self.suffix
    }

    /// The labels as they came, and `le` or `quantile` where the sample has it.
    pub fn labels(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.labels.iter();
        let pairs = pairs.map(|l| (l.name.as_str(), l.value.as_str()));
        pairs.chain(self.extra)
    }

    /// Appends bytes that tell this series from every other of the exposition, and from any line of
    /// a text format.
    pub fn push_key(&self, key: &mut Vec<u8>) {
        key.push(0);
        key.extend_from_slice(self.family.as_bytes());
        key.extend_from_slice(self.suffix.as_bytes());
        for (name, value) in self.labels() {
            key.push(0xff);
            key.extend_from_slice(name.as_bytes());
            key.push(0xff);
            key.extend_from_slice(value.as_bytes());
        }
    }

    /// The label set.
    ///
    /// # Errors
    /// The name of a label that appears twice.
    pub fn to_labels(self) -> Result<Labels, String> {
        let mut builder = LabelsBuilder::new();
        builder.set(METRIC_NAME, &format!("{}{}", self.family, self.suffix));
        for (name, value) in self.labels() {
            if builder.get(name).is_some() {
                return Err(name.to_owned());
            }
            builder.set(name, value);
        }
        Ok(builder.labels())
    }

    /// True when the label is there, be it empty.
    pub fn has_label(&self, name: &str) -> bool {
        self.labels.iter().any(|l| l.name == name)
    }
}

/// What a series has.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Float(f64),
    /// A native histogram with integer counts.
    Histogram(Box<Histogram>),
    /// A native histogram with float counts.
    FloatHistogram(Box<FloatHistogram>),
}

/// One sample of a family.
#[derive(Debug)]
pub struct Sample<'a> {
    /// Of which series.
    pub name: Name<'a>,
    /// What it has.
    pub value: Value,
    /// When, in milliseconds; `None` means at the time of the scrape.
    pub timestamp: Option<i64>,
    /// Its exemplars; those without a time of their own have none.
    pub exemplars: Vec<(Exemplar, bool)>,
    /// Since when it counts, in milliseconds, if that is said.
    pub start: Option<i64>,
}

/// Gives every sample of `family` to `take`, until that fails.
///
/// # Errors
/// What `take` fails with.
pub fn samples<E>(
    family: &MetricFamily,
    forms: HistogramForms,
    mut take: impl FnMut(Sample<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let gauge = family.r#type() == client::MetricType::GaugeHistogram;
    let mut text = String::new();
    for metric in &family.metric {
        let mut out = Metrics {
            family: &family.name,
            metric,
            start: start(metric),
            text: &mut text,
            take: &mut take,
        };
        match family.r#type() {
            client::MetricType::Counter => {
                let counter = metric.counter.clone().unwrap_or_default();
                out.float("", None, counter.value, exemplars(&counter.exemplar))?;
            }
            client::MetricType::Gauge => {
                let value = metric.gauge.map_or(0.0, |gauge| gauge.value);
                out.float("", None, value, Vec::new())?;
            }
            client::MetricType::Untyped => {
                let value = metric.untyped.map_or(0.0, |untyped| untyped.value);
                out.float("", None, value, Vec::new())?;
            }
            client::MetricType::Summary => out.summary()?,
            client::MetricType::Histogram | client::MetricType::GaugeHistogram => {
                out.histogram(forms, gauge)?;
            }
        }
    }
    Ok(())
}

/// The samples of one metric on their way.
struct Metrics<'a, T> {
    family: &'a str,
    metric: &'a Metric,
    start: Option<i64>,
    /// The value of `le` or `quantile`.
    text: &'a mut String,
    take: &'a mut T,
}

impl<T, E> Metrics<'_, T>
where
    T: FnMut(Sample<'_>) -> Result<(), E>,
{
    fn float(
        &mut self,
        suffix: &'static str,
        extra: Option<(&'static str, f64)>,
        value: f64,
        exemplars: Vec<(Exemplar, bool)>,
    ) -> Result<(), E> {
        self.text.clear();
        let extra = match extra {
            Some((name, bound)) => {
                push_openmetrics(self.text, bound);
                Some((name, self.text.as_str()))
            }
            None => None,
        };
        (self.take)(Sample {
            name: Name {
                family: self.family,
                suffix,
                labels: &self.metric.label,
                extra,
            },
            value: Value::Float(value),
            timestamp: timestamp(self.metric),
            exemplars,
            start: self.start,
        })
    }

    fn summary(&mut self) -> Result<(), E> {
        let metric = self.metric;
        let summary = &metric.summary.clone().unwrap_or_default();
        self.float("_count", None, summary.sample_count as f64, Vec::new())?;
        self.float("_sum", None, summary.sample_sum, Vec::new())?;
        for quantile in &summary.quantile {
            let extra = Some(("quantile", quantile.quantile));
            self.float("", extra, quantile.value, Vec::new())?;
        }
        Ok(())
    }

    fn histogram(&mut self, forms: HistogramForms, gauge: bool) -> Result<(), E> {
        let metric = self.metric;
        let histogram = &metric.histogram.clone().unwrap_or_default();
        if forms.native && histogram::is_native(histogram) {
            (self.take)(Sample {
                name: Name {
                    family: self.family,
                    suffix: "",
                    labels: &metric.label,
                    extra: None,
                },
                value: histogram::native(histogram, gauge),
                timestamp: timestamp(metric),
                exemplars: native_exemplars(histogram),
                start: self.start,
            })?;
            if !forms.always_classic || histogram.bucket.is_empty() {
                return Ok(());
            }
        }
        let either = |float: f64, integer: u64| if float > 0.0 { float } else { integer as f64 };
        let count = either(histogram.sample_count_float, histogram.sample_count);
        self.float("_count", None, count, Vec::new())?;
        self.float("_sum", None, histogram.sample_sum, Vec::new())?;
        let mut has_infinity = false;
        for bucket in &histogram.bucket {
            has_infinity |= bucket.upper_bound == f64::INFINITY;
            let value = either(bucket.cumulative_count_float, bucket.cumulative_count);
            let le = Some(("le", bucket.upper_bound));
            self.float("_bucket", le, value, exemplars(&bucket.exemplar))?;
        }
        if !has_infinity {
            self.float("_bucket", Some(("le", f64::INFINITY)), count, Vec::new())?;
        }
        Ok(())
    }
}

fn timestamp(metric: &Metric) -> Option<i64> {
    Some(metric.timestamp_ms).filter(|ms| *ms != 0)
}

fn ms(t: &client::Timestamp) -> i64 {
    let seconds = t.seconds.saturating_mul(1000);
    seconds.saturating_add(i64::from(t.nanos) / 1_000_000)
}

/// Since when a metric counts; what is not after the epoch says nothing.
fn start(metric: &Metric) -> Option<i64> {
    let of_counter = metric.counter.as_ref().map(|c| &c.created_timestamp);
    let of_summary = || metric.summary.as_ref().map(|s| &s.created_timestamp);
    let of_histogram = || metric.histogram.as_ref().map(|h| &h.created_timestamp);
    let created = of_counter.or_else(of_summary).or_else(of_histogram)?;
    created.as_ref().map(ms).filter(|start| *start > 0)
}

/// An exemplar, and whether it has a time of its own.
fn exemplar(from: &client::Exemplar) -> (Exemplar, bool) {
    let pairs = from.label.iter().map(|l| (&l.name, &l.value));
    let exemplar = Exemplar {
        labels: Labels::from_pairs(pairs),
        t: from.timestamp.as_ref().map_or(0, ms),
        value: from.value,
    };
    (exemplar, from.timestamp.is_some())
}

fn exemplars(one: &Option<client::Exemplar>) -> Vec<(Exemplar, bool)> {
    one.iter().map(exemplar).collect()
}

/// The exemplars of a native histogram, or those of its classic buckets: only with a time can they
/// be told apart.
fn native_exemplars(histogram: &client::Histogram) -> Vec<(Exemplar, bool)> {
    let own = histogram.exemplars.iter().map(exemplar);
    let of_buckets = histogram.bucket.iter().filter_map(|b| b.exemplar.as_ref());
    let mut found: Vec<_> = if histogram.exemplars.is_empty() {
        of_buckets.map(exemplar).collect()
    } else {
        own.collect()
    };
    found.retain(|(_, has_time)| *has_time);
    found.sort_by(|(a, _), (b, _)| a.order(b));
    found
}
