//! The part of a pass that gathers classic histograms which become native ones.

use model::{CounterResetHint, Exemplar, Labels, MetricType};
use tsdb::batch::TimedHistogram;

use super::super::error::Error;
use super::super::lines::What;
use super::classic::{Collected, place};
use super::{Round, histogram};
use crate::exposition::protobuf;

/// A histogram of which samples are read.
#[derive(Debug)]
pub(super) struct Collecting {
    /// Tells it from others.
    pub(super) histogram: u64,
    what: What,
    hint: CounterResetHint,
    collected: Collected,
    /// The time of the last sample, if that says one.
    timestamp: Option<i64>,
    /// One of its lines was met in this pass before.
    again: bool,
    /// Since when it counts.
    pub(super) start: Option<i64>,
}

impl Round<'_> {
    /// What a sample is about that may be part of a classic histogram which becomes a native one.
    pub(super) fn resolve_part(
        &mut self,
        raw: &Labels,
        exposed: impl Fn(&str) -> bool,
    ) -> Result<What, Error> {
        let is_meant = match self.kind {
            MetricType::Histogram => self.rules.histograms.converts_classic,
            MetricType::GaugeHistogram => {
                self.rules.histograms.converts_classic && self.is_protobuf
            }
            _ => false,
        };
        let found = self.family.filter(|_| is_meant).and_then(|family| {
            let families = self.families.lock();
            place(raw, families.name(family)?)
        });
        let Some((place, histogram)) = found else {
            return self.resolve(raw, exposed);
        };
        let classic = match self.rules.histograms.forms.always_classic {
            true => Some(self.resolve(raw, &exposed)?),
            false => None,
        };
        let native = self.resolve(&histogram, exposed)?;
        let part = (self.cache).add_part(place, &histogram, (native, classic));
        Ok(What::Part(part))
    }

    /// Takes a sample of a classic histogram; what becomes of the sample itself, if anything.
    pub(super) fn part(
        &mut self,
        number: u32,
        (again, timestamp): (bool, Option<i64>),
        value: f64,
        exemplars: impl FnOnce() -> Vec<(Exemplar, bool)>,
    ) -> Result<Option<What>, Error> {
        let part = self.cache.part(number);
        let round = self.cache.round;
        for what in [Some(part.native), part.classic].into_iter().flatten() {
            if let What::Series(number) = what {
                // Its line is remembered, and names the series, whatever comes of the histogram.
                self.cache.series(number).seen = round;
            }
        }
        if self.last_native == Some(part.histogram) {
            return Ok(part.classic);
        }
        let is_other = |collecting: &Collecting| collecting.histogram != part.histogram;
        if self.collecting.as_ref().is_some_and(is_other) {
            self.collected()?;
        }
        let hint = match self.kind {
            MetricType::GaugeHistogram => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        };
        let collecting = self.collecting.get_or_insert_with(|| Collecting {
            histogram: part.histogram,
            what: part.native,
            hint,
            collected: Collected::default(),
            timestamp: None,
            again: false,
            start: None,
        });
        collecting.collected.add(part.place, value);
        collecting.collected.exemplars.extend(exemplars());
        collecting.timestamp = timestamp;
        collecting.again |= again;
        if let Some(classic) = part.classic {
            self.note_unknown(classic);
        }
        Ok(part.classic)
    }

    /// Notes that the next sample is of a series that the store does not know, if it is.
    fn note_unknown(&mut self, what: What) {
        if let What::Series(number) = what
            && self.cache.series(number).known.is_none()
        {
            self.added.push(self.numbers.len());
        }
    }

    /// Takes down that this histogram is native as it comes: its classic samples, which follow, are not
    /// made another one.
    pub(super) fn note_native(&mut self, name: protobuf::Name<'_>) {
        if self.rules.histograms.converts_classic && self.rules.histograms.forms.always_classic {
            let labels = name.to_labels().ok();
            self.last_native = labels.map(|labels| self.cache.histogram(&labels));
        }
    }

    /// Ends the histogram that is read, if one is, and takes it.
    #[inline]
    pub(super) fn collected(&mut self) -> Result<(), Error> {
        match self.collecting.take() {
            Some(collecting) => self.take_collected(collecting),
            None => Ok(()),
        }
    }

    fn take_collected(&mut self, mut collecting: Collecting) -> Result<(), Error> {
        let Some(mut native) = collecting.collected.histogram(0) else {
            return Ok(());
        };
        self.note_unknown(collecting.what);
        let Collecting {
            what,
            hint,
            again,
            timestamp,
            start,
            ..
        } = collecting;
        let Some((number, at)) = self.sample(what, again, timestamp) else {
            return Ok(());
        };
        self.start(start);
        let fitted = match &mut native {
            TimedHistogram::Integer(t, h) => {
                (*t, h.counter_reset_hint) = (at, hint);
                histogram::fit(h, self.rules)
            }
            TimedHistogram::Float(t, h) => {
                (*t, h.counter_reset_hint) = (at, hint);
                histogram::fit(h, self.rules)
            }
        };
        if !self.native(fitted.map(|()| native))? {
            return Ok(());
        }
        for (mut exemplar, has_time) in collecting.collected.exemplars {
            if !has_time {
                exemplar.t = at;
            }
            self.exemplar(number, exemplar, has_time);
        }
        Ok(())
    }
}
