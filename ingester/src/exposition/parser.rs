//! The grammar of both formats.

use super::lexer::{Lexer, NameKind};
use super::number::{parse_ms, parse_seconds, parse_value, plain, seconds_to_ms};
use super::{
    Entry, Error, Exemplar, Format, MetricType, RawLabel, RawStr, Reading, SampleEntry, Series,
};

/// Reads an exposition entry by entry.
///
/// Entries borrow the parser until the next is asked for; names and values within them are slices
/// of the input. After an error the parser is at its end.
#[derive(Debug)]
pub struct Parser<'a> {
    lexer: Lexer<'a>,
    labels: Vec<RawLabel<'a>>,
    exemplar_labels: Vec<RawLabel<'a>>,
    /// Where the entry that was read last begins.
    entry_start: usize,
    /// A part of a larger input: `# EOF` may be missing.
    fragment: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// `# EOF` was met.
    Eof,
    /// The input ended or was found wrong.
    Ended,
}

/// What the start of a line announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Type,
    Help,
    Unit,
    Sample,
    Eof,
    End,
}

/// A sample without its labels, which are in the parser's buffers.
struct SampleLine<'a> {
    text: &'a [u8],
    name: RawStr<'a>,
    trailing_comma: bool,
    tail: Tail,
}

/// What follows the series in the line of a sample.
struct Tail {
    value: f64,
    seconds: Option<f64>,
    timestamp: Option<i64>,
    exemplar: Option<(f64, Option<i64>)>,
}

impl<'a> Parser<'a> {
    /// A parser of a whole exposition.
    pub fn new(input: &'a [u8], format: Format) -> Self {
        Self::of(Lexer::new(input, format, 1), false)
    }

    /// A parser of some whole lines from within an exposition, the first of which is `line`.
    pub fn fragment(input: &'a [u8], format: Format, line: u64) -> Self {
        Self::of(Lexer::new(input, format, line), true)
    }

    fn of(lexer: Lexer<'a>, fragment: bool) -> Self {
        Self {
            lexer,
            entry_start: 0,
            labels: Vec::new(),
            exemplar_labels: Vec::new(),
            fragment,
            state: State::Reading,
        }
    }

    /// True once `# EOF` was read.
    pub fn met_eof(&self) -> bool {
        self.state == State::Eof
    }

    /// The number of the line that is read next, from 1.
    pub fn line(&mut self) -> u64 {
        self.lexer.line()
    }

    /// The line of the entry that was read last, without its end; whole if that entry is metadata.
    pub fn entry_text(&self) -> &'a [u8] {
        let line = &self.lexer.input[self.entry_start..self.lexer.pos];
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// Takes the next line if it is a sample of the series that `text` is the [`Series::text`] of,
    /// without looking at its labels; `None` if it is something else, or may be.
    ///
    /// # Errors
    /// When what follows the series is wrong.
    #[inline]
    pub fn take_known(&mut self, text: &[u8]) -> Result<Option<Reading<'a, '_>>, Error> {
        let rest = self.lexer.rest();
        if self.state != State::Reading || !rest.starts_with(text) {
            return Ok(None);
        }
        // After a brace the series is over. A name is over at a blank, unless labels follow.
        let over = match (text.last(), &rest[text.len()..]) {
            (Some(b'}'), _) => true,
            (Some(_), [b' ', next, ..]) => !matches!(next, b'{' | b' ' | b'\t'),
            _ => false,
        };
        if !over {
            return Ok(None);
        }
        self.entry_start = self.lexer.pos;
        self.lexer.pos += text.len();
        self.state = State::Ended;
        let tail = self.tail()?;
        self.state = State::Reading;
        Ok(Some(self.reading(&tail)))
    }

    /// Takes the next line if it is `line`, a line of metadata that was read before.
    #[inline]
    pub fn take_known_line(&mut self, line: &[u8]) -> bool {
        let rest = self.lexer.rest();
        let found = self.state == State::Reading
            && !line.is_empty()
            && rest.starts_with(line)
            && rest.get(line.len()) == Some(&b'\n');
        if found {
            self.lexer.pos += line.len() + 1;
        }
        found
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// What Prometheus would refuse the whole exposition for. A whole OpenMetrics exposition that
    /// does not end with `# EOF` is one such case.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a, '_>>, Error> {
        if self.state != State::Reading {
            return Ok(None);
        }
        // Stays so when a step below fails.
        self.state = State::Ended;
        let start = match self.lexer.format {
            Format::OpenMetrics => self.start_openmetrics()?,
            Format::Text => self.start_text()?,
        };
        let entry = match start {
            Start::Sample => {
                let line = self.sample()?;
                self.state = State::Reading;
                return Ok(Some(Entry::Sample(self.with_labels(line))));
            }
            Start::Type | Start::Help | Start::Unit => self.metadata(start)?,
            Start::Eof => {
                self.state = State::Eof;
                return Ok(None);
            }
            Start::End => return Ok(None),
        };
        self.state = State::Reading;
        Ok(Some(entry))
    }

    /// What is read.
    pub const fn format(&self) -> Format {
        self.lexer.format
    }

    fn start_openmetrics(&mut self) -> Result<Start, Error> {
        let lexer = &mut self.lexer;
        self.entry_start = lexer.pos;
        if lexer.pos == lexer.input.len() {
            return if self.fragment {
                Ok(Start::End)
            } else {
                Err(lexer.error("the input does not end with # EOF"))
            };
        }
        if !lexer.take_word(b"# ") {
            return Ok(Start::Sample);
        }
        if lexer.take_word(b"EOF") {
            return match lexer.rest() {
                b"" | b"\n" => Ok(Start::Eof),
                _ => Err(lexer.error("nothing may follow # EOF")),
            };
        }
        for (word, start) in [
            (&b"HELP "[..], Start::Help),
            (b"TYPE ", Start::Type),
            (b"UNIT ", Start::Unit),
        ] {
            if lexer.take_word(word) {
                return Ok(start);
            }
        }
        Err(lexer.expected("HELP, TYPE, UNIT or EOF after #"))
    }

    /// Skips blank lines and comments.
    fn start_text(&mut self) -> Result<Start, Error> {
        let lexer = &mut self.lexer;
        loop {
            lexer.skip_blank();
            self.entry_start = lexer.pos;
            if lexer.pos == lexer.input.len() {
                return Ok(Start::End);
            }
            if lexer.take_line_end() {
                continue;
            }
            if !lexer.take(b'#') {
                return Ok(Start::Sample);
            }
            if matches!(lexer.peek(), Some(b' ' | b'\t')) {
                lexer.skip_blank();
                for (word, start) in [(&b"HELP"[..], Start::Help), (b"TYPE", Start::Type)] {
                    let rest = lexer.rest();
                    if rest.starts_with(word) && matches!(rest.get(word.len()), Some(b' ' | b'\t'))
                    {
                        lexer.pos += word.len();
                        lexer.skip_blank();
                        return Ok(start);
                    }
                }
            }
            lexer.rest_of_line();
            lexer.take_line_end();
        }
    }

    /// The rest of a metadata line, from the name of the family on.
    fn metadata<'p>(&mut self, start: Start) -> Result<Entry<'a, 'p>, Error> {
        let lexer = &mut self.lexer;
        let family = match lexer.peek() {
            Some(b'"') => lexer.quoted("metric name")?,
            _ => lexer
                .name(NameKind::Metric)
                .ok_or_else(|| lexer.expected("a metric name"))?,
        };
        if lexer.format == Format::OpenMetrics && lexer.peek() != Some(b' ') {
            return Err(lexer.expected("a space and text after the metric name"));
        }
        // One byte separates, whichever it is.
        let begin = (lexer.pos + 1).min(lexer.input.len());
        let end = lexer.pos + lexer.rest_of_line().len();
        let text = lexer
            .str(begin.min(end), end)
            .ok_or_else(|| lexer.error("the metadata is not UTF-8"))?;
        let entry = match start {
            Start::Type => Entry::Type(
                family,
                metric_type(text, lexer.format)
                    .ok_or_else(|| lexer.error(format!("{text:?} is not a metric type")))?,
            ),
            Start::Unit => {
                let stem = family.raw().strip_suffix(text);
                if !text.is_empty() && !stem.is_some_and(|s| s.ends_with('_')) {
                    let reason = format!(
                        "the name of {:?} does not end with its unit, _{text}",
                        family.raw()
                    );
                    return Err(lexer.error(reason));
                }
                Entry::Unit(family, RawStr(text))
            }
            _ => Entry::Help(family, RawStr(text)),
        };
        if !lexer.take_line_end() {
            return Err(lexer.expected("the end of the line"));
        }
        Ok(entry)
    }

    fn sample(&mut self) -> Result<SampleLine<'a>, Error> {
        let lexer = &mut self.lexer;
        let start = lexer.pos;
        let mut name = lexer.name(NameKind::Metric);
        let mut end = lexer.pos;
        lexer.skip_blank();
        self.labels.clear();
        let mut trailing_comma = false;
        if lexer.take(b'{') {
            trailing_comma = labels(lexer, &mut self.labels, Some(&mut name))?;
            end = lexer.pos;
        }
        let name = name.ok_or_else(|| lexer.expected("a metric name"))?;
        let text = &lexer.input[start..end];

        Ok(SampleLine {
            text,
            name,
            trailing_comma,
            tail: self.tail()?,
        })
    }

    /// Value, timestamp and exemplar of a sample, and the end of its line.
    #[inline]
    fn tail(&mut self) -> Result<Tail, Error> {
        let lexer = &mut self.lexer;
        let value = value(lexer)?;
        let (mut seconds, mut timestamp, mut exemplar) = (None, None, None);
        if lexer.format == Format::OpenMetrics {
            if lexer.peek() == Some(b' ') {
                seconds = openmetrics_timestamp(lexer)?;
                timestamp = seconds.map(seconds_to_ms);
                if lexer.take_word(b" # {") {
                    self.exemplar_labels.clear();
                    labels(lexer, &mut self.exemplar_labels, None)?;
                    let observed = value_after_space(lexer)?;
                    let at = openmetrics_timestamp(lexer)?.map(seconds_to_ms);
                    exemplar = Some((observed, at));
                }
            }
        } else if lexer.peek() != Some(b'\n') {
            lexer.skip_blank();
            if lexer.peek().is_some_and(|b| b != b'\n') {
                timestamp = Some(text_timestamp(lexer)?);
                lexer.skip_blank();
            }
        }
        if !lexer.take_line_end() {
            return Err(lexer.expected("the end of the line"));
        }
        Ok(Tail {
            value,
            seconds,
            timestamp,
            exemplar,
        })
    }

    fn with_labels(&self, line: SampleLine<'a>) -> SampleEntry<'a, '_> {
        SampleEntry {
            series: Series {
                text: line.text,
                name: line.name,
                labels: &self.labels,
                trailing_comma: line.trailing_comma,
            },
            reading: self.reading(&line.tail),
            seconds: line.tail.seconds,
        }
    }

    #[inline]
    fn reading(&self, tail: &Tail) -> Reading<'a, '_> {
        Reading {
            value: tail.value,
            timestamp: tail.timestamp,
            exemplar: tail.exemplar.map(|(value, timestamp)| Exemplar {
                labels: &self.exemplar_labels,
                value,
                timestamp,
            }),
        }
    }
}

fn metric_type(word: &str, format: Format) -> Option<MetricType> {
    Some(match (word, format) {
        ("counter", _) => MetricType::Counter,
        ("gauge", _) => MetricType::Gauge,
        ("histogram", _) => MetricType::Histogram,
        ("summary", _) => MetricType::Summary,
        ("untyped", Format::Text) | ("unknown", Format::OpenMetrics) => MetricType::Unknown,
        ("gaugehistogram", Format::OpenMetrics) => MetricType::GaugeHistogram,
        ("info", Format::OpenMetrics) => MetricType::Info,
        ("stateset", Format::OpenMetrics) => MetricType::StateSet,
        _ => return None,
    })
}

/// Reads labels up to and including the closing brace; true when a comma precedes it.
///
/// A quoted string without a value is the metric name, where `metric_name` says that one may be
/// here and none was read before the brace.
fn labels<'a>(
    lexer: &mut Lexer<'a>,
    labels: &mut Vec<RawLabel<'a>>,
    mut metric_name: Option<&mut Option<RawStr<'a>>>,
) -> Result<bool, Error> {
    let mut after_comma = false;
    loop {
        if let Some((label, next)) = lexer.plain_label() {
            labels.push(label);
            after_comma = next == b',';
            if after_comma {
                continue;
            }
            return Ok(false);
        }
        lexer.skip_blank();
        if lexer.take(b'}') {
            return Ok(after_comma);
        }
        let quoted = lexer.peek() == Some(b'"');
        let name = if quoted {
            lexer.quoted("name")?
        } else {
            lexer
                .name(NameKind::Label)
                .ok_or_else(|| lexer.expected("a label name or the closing brace"))?
        };
        lexer.skip_blank();
        if quoted && matches!(lexer.peek(), Some(b',' | b'}')) {
            match &mut metric_name {
                Some(slot @ None) => **slot = Some(name),
                Some(Some(_)) => return Err(lexer.error("the series has two metric names")),
                None => return Err(lexer.error("an exemplar has no metric name")),
            }
        } else {
            if !lexer.take(b'=') {
                return Err(lexer.expected("= after the label name"));
            }
            lexer.skip_blank();
            if lexer.peek() != Some(b'"') {
                return Err(lexer.expected("a label value in quotes"));
            }
            let value = lexer.quoted("label value")?;
            labels.push(RawLabel { name, value });
            lexer.skip_blank();
        }
        after_comma = lexer.take(b',');
        if !after_comma && lexer.format == Format::OpenMetrics && lexer.peek() != Some(b'}') {
            return Err(lexer.expected("a comma or the closing brace"));
        }
    }
}

/// The value of a sample, with the space before it.
fn value(lexer: &mut Lexer<'_>) -> Result<f64, Error> {
    if lexer.format == Format::OpenMetrics {
        return value_after_space(lexer);
    }
    lexer.skip_blank();
    value_here(lexer)
}

fn value_after_space(lexer: &mut Lexer<'_>) -> Result<f64, Error> {
    if !lexer.take(b' ') {
        return Err(lexer.expected("one space and a value"));
    }
    value_here(lexer)
}

/// The value of a sample, where it begins.
#[inline]
fn value_here(lexer: &mut Lexer<'_>) -> Result<f64, Error> {
    let rest = lexer.rest();
    if let Some((plain, len)) = plain(rest)
        && matches!(rest.get(len), Some(b' ' | b'\n'))
    {
        lexer.pos += len;
        return Ok(plain.value());
    }
    number(lexer, "a value", parse_value)
}

/// OpenMetrics' timestamp, if one is next.
fn openmetrics_timestamp(lexer: &mut Lexer<'_>) -> Result<Option<f64>, Error> {
    if lexer.peek() != Some(b' ') || lexer.rest().starts_with(b" # {") {
        return Ok(None);
    }
    lexer.pos += 1;
    number(lexer, "a timestamp in seconds", parse_seconds).map(Some)
}

fn text_timestamp(lexer: &mut Lexer<'_>) -> Result<i64, Error> {
    number(lexer, "a timestamp in milliseconds", parse_ms)
}

/// The next word as a number.
#[inline]
fn number<T>(
    lexer: &mut Lexer<'_>,
    what: &str,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Error> {
    let start = lexer.pos;
    if let Some(number) = parse(lexer.word()) {
        return Ok(number);
    }
    lexer.pos = start;
    Err(lexer.expected(what))
}

#[cfg(test)]
mod tests;
