//! The text formats that targets expose: OpenMetrics 1.0 and Prometheus' text format 0.0.4.
//!
//! A [`Parser`] turns bytes into [`Entry`]s without copying: names and values are slices of the
//! input until somebody asks for them unescaped. It accepts exactly what Prometheus' own parsers
//! accept, because that is what targets are written against; the source of the grammar is their
//! lexers (`model/textparse` in prometheus/prometheus). What the OpenMetrics specification demands
//! beyond that (types, suffixes, order, values) is checked by [`strict::Validator`], a layer on the
//! entries that knows no syntax.
//!
//! The formats differ in the smallest things: OpenMetrics wants exactly one space between tokens,
//! no blank line, seconds as timestamps and `# EOF` at the end, and has exemplars and units; the
//! text format wants none of it, takes tabs, free comments, and milliseconds.
//!
//! Targets expose the same series again and again, so a reader that keeps the text of each line can
//! skip what it knows: [`Parser::take_known`].
//!
//! Reading order: here (the entries), [`number`], `scan`, `lexer` (tokens), [`parser`], [`strict`];
//! [`protobuf`] reads the third format.

mod lexer;
pub mod number;
pub mod parser;
pub mod protobuf;
mod scan;
pub mod strict;

use std::borrow::Cow;
use std::fmt;

use model::Labels;
use model::labels::METRIC_NAME;

pub use model::MetricType;
pub use parser::Parser;

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
    /// `text/plain; version=0.0.4`.
    Text,
}

/// Text between quotes, or a bare name: UTF-8, its escapes not yet resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawStr<'a>(pub(crate) &'a str);

impl<'a> RawStr<'a> {
    /// As written, without the quotes.
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// With `\"`, `\\` and `\n` resolved; any other backslash stands for itself.
    pub fn unescape(self) -> Cow<'a, str> {
        self.resolved(true)
    }

    /// A help text: Prometheus' text format escapes no quotes in it.
    pub fn unescape_help(self, format: Format) -> Cow<'a, str> {
        self.resolved(format == Format::OpenMetrics)
    }

    fn resolved(self, quotes: bool) -> Cow<'a, str> {
        if memchr::memchr(b'\\', self.0.as_bytes()).is_none() {
            return Cow::Borrowed(self.0);
        }
        let mut out = String::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let (replacement, taken) = match rest.as_bytes().get(at + 1) {
                Some(b'"') if quotes => ('"', 2),
                Some(b'\\') => ('\\', 2),
                Some(b'n') => ('\n', 2),
                _ => ('\\', 1),
            };
            out.push(replacement);
            rest = &rest[at + taken..];
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// One label of a series or an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawLabel<'a> {
    /// The name; may have been quoted.
    pub name: RawStr<'a>,
    /// The value.
    pub value: RawStr<'a>,
}

/// The series that a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series<'a, 'p> {
    /// Name and labels as written; equal bytes mean equal series.
    pub text: &'a [u8],
    /// The metric name.
    pub name: RawStr<'a>,
    /// The labels in order of appearance, without the name; may hold duplicates and empty values.
    pub labels: &'p [RawLabel<'a>],
    /// A comma follows the last label, which Prometheus takes and OpenMetrics does not.
    pub trailing_comma: bool,
}

/// A label with its escapes resolved.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> Series<'a, '_> {
    /// The label set, the metric name included; labels with an empty value are absent.
    ///
    /// # Errors
    /// The name of a label that appears twice, `__name__` beside the metric name included.
    pub fn to_labels(self) -> Result<Labels, String> {
        let mut pairs = Vec::with_capacity(self.labels.len() + 1);
        self.to_pairs(&mut pairs)?;
        let pairs = pairs.iter().map(|(name, value)| (&**name, &**value));
        Ok(Labels::from_sorted(pairs))
    }

    /// As [`Series::to_labels`], as pairs in order of their names, in place of what `pairs` has.
    ///
    /// # Errors
    /// As [`Series::to_labels`].
    pub fn to_pairs(self, pairs: &mut Vec<Pair<'a>>) -> Result<(), String> {
        pairs.clear();
        let name = (Cow::Borrowed(METRIC_NAME), self.name.unescape());
        let labels = self.labels.iter();
        let labels = labels.map(|label| (label.name.unescape(), label.value.unescape()));
        let all = std::iter::once(name).chain(labels);
        pairs.extend(all.filter(|(_, value)| !value.is_empty()));
        if pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return Ok(());
        }
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let twice = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0);
        twice.map_or(Ok(()), |pair| Err(pair[0].0.as_ref().to_owned()))
    }
}

/// An example of what a bucket or counter counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'a, 'p> {
    /// Its labels in order of appearance.
    pub labels: &'p [RawLabel<'a>],
    /// The value observed.
    pub value: f64,
    /// When, in milliseconds.
    pub timestamp: Option<i64>,
}

/// What a line says of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a, 'p> {
    /// The value; every NaN is the one that arithmetic yields.
    pub value: f64,
    /// When, in milliseconds; `None` means at the time of the scrape.
    pub timestamp: Option<i64>,
    /// The exemplar, if there is one.
    pub exemplar: Option<Exemplar<'a, 'p>>,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleEntry<'a, 'p> {
    /// What it belongs to.
    pub series: Series<'a, 'p>,
    /// What it says.
    pub reading: Reading<'a, 'p>,
    /// Seconds as written, of an OpenMetrics timestamp: finer than milliseconds.
    pub seconds: Option<f64>,
}

/// One line that says something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entry<'a, 'p> {
    /// A sample.
    Sample(SampleEntry<'a, 'p>),
    /// `# TYPE family type`.
    Type(RawStr<'a>, MetricType),
    /// `# HELP family text`.
    Help(RawStr<'a>, RawStr<'a>),
    /// `# UNIT family unit`.
    Unit(RawStr<'a>, RawStr<'a>),
}

/// Why an exposition cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong, and what was met where it helps.
    pub reason: Cow<'static, str>,
}

impl Error {
    pub(crate) fn new(line: u64, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for Error {}
