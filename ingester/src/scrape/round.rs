//! One pass over an exposition: from its bytes to a batch, with the help of what the target exposed
//! before.

pub(super) mod classic;
mod collect;
mod created;
mod histogram;
mod settle;

use std::sync::Arc;

use model::float::push_openmetrics;
use model::labels::METRIC_NAME;
use model::sample::STALE_NAN;
use model::{Exemplar, Labels, LabelsBuilder, MetricType};
use parking_lot::Mutex;
use tsdb::batch::{Batch, TimedHistogram};

use self::collect::Collecting;
pub(super) use self::settle::{Filled, Settled};
use super::cache::{Cache, Families};
use super::error::Error;
use super::lines::What;
use super::rules::SampleRules;
use crate::exposition::number::parse_value;
use crate::exposition::protobuf::{self, Families as Messages};
use crate::exposition::{self, Entry, Format, Parser, RawStr, Reading};

/// What a line of metadata says.
#[derive(Debug, Clone, Copy)]
enum Detail<'a> {
    Kind(MetricType),
    Help(RawStr<'a>, Format),
    Unit(RawStr<'a>),
}

/// How many samples a pass met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Samples that the target exposed.
    pub(super) scraped: u64,
    /// Samples that relabelling left.
    pub(super) kept: u64,
    /// Series that were not there before.
    pub(super) added: u64,
    /// Samples of a series that had one in this pass already.
    pub(super) duplicates: u64,
    /// A histogram has too many buckets, so that nothing of the pass is kept.
    pub(super) is_over_buckets: bool,
}

/// A pass.
#[derive(Debug)]
pub(super) struct Round<'a> {
    cache: &'a mut Cache,
    rules: &'a SampleRules,
    batch: &'a mut Batch,
    /// The time of samples that do not say theirs.
    t: i64,
    counts: Counts,
    /// By series of the batch: its number in the cache.
    numbers: Vec<u32>,
    /// Places in the batch of samples whose line was not known.
    added: Vec<usize>,
    appended: u64,
    /// The type of the family that is read.
    kind: MetricType,
    /// The number of that family.
    family: Option<u32>,
    /// The classic histogram that is read and becomes a native one.
    collecting: Option<Collecting>,
    /// The exposition is in protobuf, where gauge histograms have the names of others.
    is_protobuf: bool,
    /// The histogram that was native last.
    last_native: Option<u64>,
    /// The first series of the batch of which nothing was said yet since when it counts.
    startless: usize,
    families: Arc<Mutex<Families>>,
}

impl<'a> Round<'a> {
    /// Begins a pass that fills `batch`.
    pub(super) fn new(
        cache: &'a mut Cache,
        rules: &'a SampleRules,
        batch: &'a mut Batch,
        t: i64,
    ) -> Self {
        batch.clear();
        cache.begin();
        let families = Arc::clone(&cache.families);
        Self {
            cache,
            rules,
            batch,
            t,
            counts: Counts::default(),
            numbers: Vec::new(),
            added: Vec::new(),
            appended: 0,
            kind: MetricType::Unknown,
            family: None,
            collecting: None,
            is_protobuf: false,
            last_native: None,
            startless: 0,
            families,
        }
    }

    /// Reads an exposition in a text format.
    pub(super) fn text(&mut self, body: &[u8], format: Format) -> Result<(), Error> {
        let mut parser = Parser::new(body, format);
        loop {
            let (text, what) = self.cache.lines.expected();
            match what {
                What::Metadata(family, kind) => {
                    if parser.take_known_line(text) {
                        self.cache.lines.meet_expected();
                        self.collected()?;
                        self.meet_metadata(family, kind);
                        continue;
                    }
                }
                What::Series(_) | What::Dropped | What::Part(_) => {
                    if let Some(reading) = parser.take_known(text)? {
                        let again = self.cache.lines.meet_expected();
                        self.reading(what, again, &reading)?;
                        continue;
                    }
                }
            }
            if !self.entry(&mut parser)? {
                self.collected()?;
                return self.check_limits();
            }
        }
    }

    /// Reads one entry that was not expected; false at the end.
    fn entry(&mut self, parser: &mut Parser<'_>) -> Result<bool, Error> {
        let (family, detail) = match parser.next_entry()? {
            None => return Ok(false),
            Some(Entry::Sample(sample)) if self.created(&sample) => return Ok(true),
            Some(Entry::Sample(sample)) => {
                let text = sample.series.text;
                let (what, again) = match self.cache.lines.meet_text(text) {
                    Some(known) => known,
                    None => {
                        let what = self.resolve_text(&sample.series)?;
                        self.cache.lines.add(text, what);
                        self.note_added(what)?;
                        (what, false)
                    }
                };
                self.reading(what, again, &sample.reading)?;
                return Ok(true);
            }
            Some(Entry::Type(family, kind)) => (family, Detail::Kind(kind)),
            Some(Entry::Help(family, help)) => (family, Detail::Help(help, parser.format())),
            Some(Entry::Unit(family, unit)) => (family, Detail::Unit(unit)),
        };
        self.collected()?;
        self.metadata(family, detail, parser.entry_text());
        Ok(true)
    }

    /// Takes a line of metadata that was not expected.
    fn metadata(&mut self, family: RawStr<'_>, detail: Detail<'_>, line: &[u8]) {
        let mut line_kind = None;
        if let Detail::Kind(kind) = detail {
            self.kind = kind;
            line_kind = Some(kind);
        }
        if let Some((What::Metadata(number, _), _)) = self.cache.lines.meet_text(line) {
            self.meet_metadata(number, line_kind);
            return;
        }
        let mut families = self.families.lock();
        let number = families.number(&family.unescape(), self.cache.round);
        if line_kind.is_some() {
            self.family = Some(number);
        }
        if let Some(metadata) = families.meet(number, self.cache.round) {
            match detail {
                Detail::Kind(kind) => metadata.kind = kind,
                Detail::Help(help, format) => {
                    metadata.help = help.unescape_help(format).into_owned();
                }
                Detail::Unit(unit) => metadata.unit = unit.unescape().into_owned(),
            }
        }
        self.cache
            .lines
            .add(line, What::Metadata(number, line_kind));
    }

    fn meet_metadata(&mut self, family: u32, kind: Option<MetricType>) {
        self.families.lock().meet(family, self.cache.round);
        if let Some(kind) = kind {
            self.kind = kind;
            self.family = Some(family);
        }
    }

    /// Takes down that the next sample is of a line that was not known.
    fn note_added(&mut self, what: What) -> Result<(), Error> {
        if !matches!(what, What::Part(_)) {
            self.collected()?;
        }
        if matches!(what, What::Series(_)) {
            self.added.push(self.numbers.len());
        }
        Ok(())
    }

    /// What a sample is about whose text was not met before.
    fn resolve_text(&mut self, series: &exposition::Series<'_, '_>) -> Result<What, Error> {
        let mut builder = LabelsBuilder::new();
        builder.set(METRIC_NAME, &series.name.unescape());
        let bound = match self.kind {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => "",
        };
        for label in series.labels {
            let name = label.name.unescape();
            if builder.get(&name).is_some() {
                self.counts.scraped += 1;
                return Err(Error::DuplicateLabel(name.into_owned()));
            }
            let value = label.value.unescape();
            match parse_value(value.as_bytes()).filter(|_| name == bound) {
                // The same bound, however a target writes it, is the same series.
                Some(number) => {
                    let mut canonical = String::new();
                    push_openmetrics(&mut canonical, number);
                    builder.set(&name, &canonical);
                }
                None => {
                    builder.set(&name, &value);
                }
            }
        }
        let exposed = |name: &str| series.labels.iter().any(|l| l.name.unescape() == name);
        let what = self.resolve_part(&builder.labels(), exposed)?;
        self.note_metric(what, &mut builder);
        Ok(what)
    }

    fn resolve(&mut self, raw: &Labels, exposed: impl Fn(&str) -> bool) -> Result<What, Error> {
        match self.rules.labels(raw, exposed) {
            Ok(None) => Ok(What::Dropped),
            Ok(Some(labels)) => Ok(What::Series(self.cache.number(labels))),
            Err(error) => {
                // The sample was met, and no other will be.
                self.counts.scraped += 1;
                Err(error)
            }
        }
    }

    /// Takes a sample of a text format.
    #[inline]
    fn reading(&mut self, what: What, again: bool, reading: &Reading<'_, '_>) -> Result<(), Error> {
        let timestamp = reading.timestamp;
        let what = match what {
            What::Part(number) => {
                let exemplar = || reading.exemplar.as_ref().map(owned).into_iter().collect();
                match self.part(number, (again, timestamp), reading.value, exemplar)? {
                    Some(classic) => classic,
                    None => return Ok(()),
                }
            }
            what => {
                self.collected()?;
                what
            }
        };
        let Some((number, t)) = self.sample(what, again, timestamp) else {
            return Ok(());
        };
        self.batch.float(t, reading.value);
        if let Some((mut exemplar, has_time)) = reading.exemplar.as_ref().map(owned) {
            if !has_time {
                exemplar.t = t;
            }
            self.exemplar(number, exemplar, has_time);
        }
        Ok(())
    }

    /// Counts a sample and begins its series in the batch; `None` if the sample is not taken.
    #[inline]
    fn sample(&mut self, what: What, again: bool, timestamp: Option<i64>) -> Option<(u32, i64)> {
        self.counts.scraped += 1;
        let What::Series(number) = what else {
            return None;
        };
        self.counts.kept += 1;
        let timestamp = timestamp.filter(|_| self.rules.honor_timestamps);
        if again && timestamp.is_none() {
            self.counts.duplicates += 1;
            return None;
        }
        self.appended += 1;
        let is_over_limit = self.is_over_limit() || self.counts.is_over_buckets;
        let round = self.cache.round;
        let series = self.cache.series(number);
        // Also of a sample that is not taken: its line is remembered, and names the series.
        series.seen = round;
        if is_over_limit {
            return None;
        }
        if timestamp.is_none() || self.rules.track_timestamps_staleness {
            series.tracked = round;
        }
        match series.known {
            Some(known) => self.batch.known_series(known, &series.labels),
            None => self.batch.series(&series.labels),
        }
        self.numbers.push(number);
        Some((number, timestamp.unwrap_or(self.t)))
    }

    fn is_over_limit(&self) -> bool {
        let limit = self.rules.limits.samples;
        limit > 0 && self.appended > limit
    }

    /// The limits let all samples be counted before they fail, so that the user sees how many there are.
    fn check_limits(&self) -> Result<(), Error> {
        if self.is_over_limit() {
            return Err(Error::SampleLimit);
        }
        if self.counts.is_over_buckets {
            return Err(Error::BucketLimit);
        }
        Ok(())
    }

    /// Adds an exemplar; one without a time of its own only when it is another than before.
    fn exemplar(&mut self, number: u32, exemplar: Exemplar, has_time: bool) {
        if !has_time {
            let last = &mut self.cache.series(number).exemplar;
            let same = |(value, labels): &(f64, Labels)| {
                value.to_bits() == exemplar.value.to_bits() && *labels == exemplar.labels
            };
            if last.as_deref().is_some_and(same) {
                return;
            }
            *last = Some(Box::new((exemplar.value, exemplar.labels.clone())));
        }
        self.batch.exemplar(exemplar);
    }

    /// Reads an exposition in protobuf.
    pub(super) fn protobuf(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut key = Vec::new();
        self.is_protobuf = true;
        for family in Messages::new(body) {
            let family = family?;
            self.describe(&family);
            let forms = self.rules.histograms.forms;
            protobuf::samples(&family, forms, |sample| self.message(&mut key, sample))?;
            self.collected()?;
        }
        self.check_limits()
    }

    fn describe(&mut self, family: &proto::client::MetricFamily) {
        use proto::client::MetricType as Wire;

        let kind = match family.r#type() {
            Wire::Counter => MetricType::Counter,
            Wire::Gauge => MetricType::Gauge,
            Wire::Summary => MetricType::Summary,
            Wire::Untyped => MetricType::Unknown,
            Wire::Histogram => MetricType::Histogram,
            Wire::GaugeHistogram => MetricType::GaugeHistogram,
        };
        self.kind = kind;
        let mut families = self.families.lock();
        let number = families.number(&family.name, self.cache.round);
        self.family = Some(number);
        if let Some(metadata) = families.meet(number, self.cache.round) {
            metadata.kind = kind;
            metadata.help.clone_from(&family.help);
            metadata.unit.clone_from(&family.unit);
        }
    }

    /// Takes a sample of the protobuf format.
    fn message(&mut self, key: &mut Vec<u8>, sample: protobuf::Sample<'_>) -> Result<(), Error> {
        key.clear();
        sample.name.push_key(key);
        let (expected, what) = self.cache.lines.expected();
        let (what, again) = if expected == key.as_slice() {
            (what, self.cache.lines.meet_expected())
        } else if let Some(known) = self.cache.lines.meet_text(key) {
            known
        } else {
            let raw = sample.name.to_labels().map_err(|name| {
                self.counts.scraped += 1;
                Error::DuplicateLabel(name)
            })?;
            let what = self.resolve_part(&raw, |name| sample.name.has_label(name))?;
            self.cache.lines.add(key, what);
            self.note_added(what)?;
            (what, false)
        };
        let what = match (what, &sample.value) {
            (What::Part(number), protobuf::Value::Float(value)) => {
                let exemplars = || sample.exemplars.clone();
                let classic = self.part(number, (again, sample.timestamp), *value, exemplars)?;
                self.start_collecting(sample.start);
                match classic {
                    Some(classic) => classic,
                    None => return Ok(()),
                }
            }
            (what, value) => {
                self.collected()?;
                if !matches!(value, protobuf::Value::Float(_)) {
                    self.note_native(sample.name);
                }
                what
            }
        };
        let Some((number, t)) = self.sample(what, again, sample.timestamp) else {
            return Ok(());
        };
        self.start(sample.start);
        let histogram = match sample.value {
            protobuf::Value::Float(v) => {
                self.batch.float(t, v);
                None
            }
            protobuf::Value::Histogram(mut h) => {
                let fitted = histogram::fit(&mut *h, self.rules);
                Some(fitted.map(|()| TimedHistogram::Integer(t, *h)))
            }
            protobuf::Value::FloatHistogram(mut h) => {
                let fitted = histogram::fit(&mut *h, self.rules);
                Some(fitted.map(|()| TimedHistogram::Float(t, *h)))
            }
        };
        if let Some(fitted) = histogram
            && !self.native(fitted)?
        {
            return Ok(());
        }
        for (mut exemplar, has_time) in sample.exemplars {
            if !has_time {
                exemplar.t = t;
            }
            self.exemplar(number, exemplar, has_time);
        }
        Ok(())
    }

    /// Adds a histogram to the series that was begun; false if it has too many buckets.
    fn native(&mut self, fitted: Result<TimedHistogram, Error>) -> Result<bool, Error> {
        match fitted {
            Ok(histogram) => {
                self.batch.histogram(histogram);
                Ok(true)
            }
            Err(Error::BucketLimit) => {
                self.counts.is_over_buckets = true;
                self.numbers.pop();
                Ok(false)
            }
            Err(error) => {
                self.counts.kept -= 1;
                self.numbers.pop();
                Err(error)
            }
        }
    }

    /// Ends a pass that was read whole: what vanished is marked stale.
    pub(super) fn succeed(self) -> Filled {
        let Self {
            cache,
            batch,
            t,
            mut numbers,
            ..
        } = self;
        cache.succeed(|number, series| {
            mark_stale(batch, series, t);
            numbers.push(number);
        });
        Filled {
            counts: self.counts,
            numbers,
            added: self.added,
        }
    }

    /// Ends a pass that failed, or never began: nothing is kept, and all series are marked stale.
    pub(super) fn fail(self) -> Filled {
        let Self {
            cache, batch, t, ..
        } = self;
        batch.clear();
        let mut numbers = Vec::new();
        cache.fail(|number, series| {
            mark_stale(batch, series, t);
            numbers.push(number);
        });
        let numbered = self.numbers.len();
        let added = self.added.iter().filter(|at| **at < numbered).count() as u64;
        Filled {
            counts: Counts {
                added,
                ..self.counts
            },
            numbers,
            added: Vec::new(),
        }
    }
}

/// An exemplar, and whether it says its time.
fn owned(exemplar: &exposition::Exemplar<'_, '_>) -> (Exemplar, bool) {
    let labels = exemplar.labels.iter();
    let pairs = labels.map(|l| (l.name.unescape(), l.value.unescape()));
    let owned = Exemplar {
        labels: Labels::from_pairs(pairs),
        t: exemplar.timestamp.unwrap_or_default(),
        value: exemplar.value,
    };
    (owned, exemplar.timestamp.is_some())
}

pub(super) fn mark_stale(batch: &mut Batch, series: &super::cache::Series, t: i64) {
    match series.known {
        Some(known) => batch.known_series(known, &series.labels),
        None => batch.series(&series.labels),
    }
    batch.float(t, STALE_NAN);
}
