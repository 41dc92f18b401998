//! Appending a batch.
//!
//! First the series that the batch names by their labels are looked up, and made, by whoever appends,
//! at the same time as others. Then, with the logs locked, those that it names by reference are
//! looked up, and the samples of all are judged, taken and logged, in the order of the batch.
//! Completed chunks go to head chunk files after that.

use std::sync::Arc;

use model::sample::is_stale;
use model::{CounterResetHint, Exemplar, FloatHistogram, Histogram, Metadata, Sample, Value};
use parking_lot::{MutexGuard, RwLockReadGuard};

use super::Head;
use super::bounds::{Place, Window};
use super::entry::{Entry, State};
use super::logs::OpenLogs;
use super::series::Appended as Taken;
use crate::batch::{
    Appended, Batch, BatchSeries, Float, Reject, Rejection, TimedHistogram, WriteError,
};

/// Series whose completed chunks are written at once.
const FULL_MAX: usize = 4096;

impl Head {
    /// Appends a batch at the time `now` (milliseconds since the Unix epoch). What is taken can be
    /// read at once; it is durable after [`Head::commit`] of what the result says.
    ///
    /// # Errors
    /// When the head is open for reading only, or its logs cannot be written. Samples of the batch
    /// may then be visible, but must not be acknowledged.
    pub fn append(&self, batch: &Batch, now: i64) -> Result<Appended, WriteError> {
        let logs = self.logs()?;
        let first = first_time(batch).unwrap_or(now);
        let window = self.bounds.window(&self.options, now, first);
        let by_labels: Vec<_> = (batch.iter())
            .filter(|series| series.known.is_none())
            .map(|series| self.entry(&series, &window))
            .collect();
        let logs = logs.lock()?;
        let mut append = Append {
            head: self,
            logs,
            // It may have moved on while the series were looked up.
            window: self.bounds.window(&self.options, now, first),
            result: Appended::default(),
            full: Vec::new(),
            in_order: None,
            out_of_order: None,
            current: 0,
            start: None,
        };
        append.result.series.reserve(batch.len());
        let mut by_labels = by_labels.into_iter();
        let mut references = self.lookup.references();
        let mut starts = batch.starts().iter().peekable();
        for (i, series) in batch.iter().enumerate() {
            append.current = i;
            append.start = starts.next_if(|(at, _)| *at == i).map(|(_, start)| *start);
            let taken = match series.known {
                None => {
                    let found = by_labels.next();
                    append.found(&series, found.expect("each was looked up"))
                }
                Some(known) => match references.get(known) {
                    Some(entry) => append.known_series(&series, entry),
                    None => Err(Forgotten),
                },
            };
            if taken.is_err() {
                // Nobody forgets series while the logs are locked, so it is there this time.
                RwLockReadGuard::unlocked(&mut references, || {
                    let again = self.entry(&series, &append.window);
                    append.found(&series, again)
                })
                .unwrap_or_default();
            }
        }
        drop(references);
        let (result, full) = append.finish()?;
        self.write_full(&full);
        Ok(result)
    }

    /// The series that labels mean; made when it is new and has a sample that may be taken.
    fn entry(&self, series: &BatchSeries<'_>, window: &Window) -> Result<Arc<Entry>, Reject> {
        if series.labels.is_empty() && series.known.is_some() {
            return Err(Reject::UnknownSeries);
        }
        let hash = self.lookup.hash(series.labels);
        if let Some(entry) = self.lookup.find(hash, series.labels) {
            return Ok(entry);
        }
        let mut times = times(series).peekable();
        if times.peek().is_none() {
            return Err(Reject::UnknownSeries);
        }
        let judged = times.map(|t| window.place(i64::MIN, t).map(drop));
        judged.reduce(Result::or).unwrap_or(Ok(()))?;
        let max = self.series_max();
        let create = || self.index.create(series.labels, max);
        (self.lookup.find_or_create(hash, series.labels, create)).ok_or(Reject::SeriesLimit)
    }

    /// Moves completed chunks into head chunk files, those of many series with one write. When they
    /// cannot be written, they stay in memory until the next attempt; the log has their samples.
    pub(super) fn write_full(&self, entries: &[Arc<Entry>]) {
        if entries.is_empty() {
            return;
        }
        // Nobody else finds the same chunks meanwhile.
        let _one_at_a_time = self.writing_full.lock();
        for entries in entries.chunks(FULL_MAX) {
            let mut full = Vec::new();
            for entry in entries {
                let state = entry.state.lock();
                if !state.is_dropped {
                    let chunks = state.samples.full().iter().cloned();
                    full.extend(chunks.map(|chunk| (entry.series.0, chunk)));
                }
            }
            let mapped = match self.files.write(&full, false) {
                Ok(mapped) => mapped,
                Err(error) => {
                    tracing::warn!(%error, "completed chunks stay in memory");
                    return;
                }
            };
            let mut written = full.iter().zip(mapped).peekable();
            for entry in entries {
                let mut state = entry.state.lock();
                while let Some((_, mapped)) =
                    written.next_if(|((series, _), _)| *series == entry.series.0)
                {
                    state.samples.written(mapped);
                }
            }
        }
    }
}

fn times(series: &BatchSeries<'_>) -> impl Iterator<Item = i64> {
    let floats = series.floats.iter().map(|f| f.t);
    floats.chain(series.histograms.iter().map(TimedHistogram::t))
}

fn first_time(batch: &Batch) -> Option<i64> {
    batch.iter().find_map(|series| times(&series).next())
}

/// The head has no such series, or has forgotten it since it was looked up.
#[derive(Debug)]
struct Forgotten;

/// An append under way.
struct Append<'a> {
    head: &'a Head,
    logs: MutexGuard<'a, OpenLogs>,
    window: Window,
    result: Appended,
    /// Series with completed chunks.
    full: Vec<Arc<Entry>>,
    /// First and last time of what was taken.
    in_order: Option<(i64, i64)>,
    out_of_order: Option<(i64, i64)>,
    /// Number of the series in the batch.
    current: usize,
    /// Since when it counts.
    start: Option<i64>,
}

fn widen(span: &mut Option<(i64, i64)>, t: i64) {
    *span = Some(span.map_or((t, t), |(min, max)| (min.min(t), max.max(t))));
}

impl Append<'_> {
    fn found(
        &mut self,
        series: &BatchSeries<'_>,
        entry: Result<Arc<Entry>, Reject>,
    ) -> Result<(), Forgotten> {
        match entry {
            Ok(entry) => self.known_series(series, &entry),
            Err(reason) => {
                self.refuse_all(series, reason);
                Ok(())
            }
        }
    }

    fn known_series(
        &mut self,
        series: &BatchSeries<'_>,
        entry: &Arc<Entry>,
    ) -> Result<(), Forgotten> {
        let mut state = entry.state.lock();
        if state.is_dropped {
            return Err(Forgotten);
        }
        self.result.series.push(Some(entry.series));
        if !state.is_logged {
            self.logs.wal_rows.series(entry.series, &entry.labels);
            state.is_logged = true;
        }
        let had_full = state.samples.has_full();
        if let Some(start) = self.start.take() {
            self.zero(entry, &mut state, (series, start));
        }
        if series.histograms.is_empty() {
            for float in series.floats {
                self.float(entry, &mut state, *float);
            }
        } else {
            self.mixed(entry, &mut state, series);
        }
        if !had_full && state.samples.has_full() {
            self.full.push(Arc::clone(entry));
        }
        if let Some(metadata) = series.metadata {
            self.metadata(entry, &mut state, metadata);
        }
        drop(state);
        for exemplar in series.exemplars {
            self.exemplar(entry, exemplar);
        }
        Ok(())
    }

    /// Takes a zero at the time since which a series counts, if that is before its samples and nothing
    /// of it is as new. It is no sample that anybody sent, so that nobody hears of a refusal; nor is it
    /// there when the first of them is not taken.
    fn zero(
        &mut self,
        entry: &Arc<Entry>,
        state: &mut State,
        (series, t): (&BatchSeries<'_>, i64),
    ) {
        let first = times(series).min();
        let place = |t| self.window.place(state.samples.max_time(), t);
        if first.is_none_or(|first| t >= first || place(first).is_err())
            || !matches!(place(t), Ok(Place::InOrder))
        {
            return;
        }
        let first = series.histograms.first();
        if first.is_some_and(|histogram| check(histogram).is_err()) {
            return;
        }
        let taken = match first {
            None => self.take_float(entry, state, Float { t, v: 0.0 }),
            Some(TimedHistogram::Integer(_, h)) => {
                let zero = Histogram {
                    schema: h.schema,
                    zero_threshold: h.zero_threshold,
                    custom_values: h.custom_values.clone(),
                    counter_reset_hint: CounterResetHint::Reset,
                    ..Histogram::default()
                };
                self.histogram(entry, state, (t, &zero))
            }
            Some(TimedHistogram::Float(_, h)) => {
                let zero = FloatHistogram {
                    schema: h.schema,
                    zero_threshold: h.zero_threshold,
                    custom_values: h.custom_values.clone(),
                    counter_reset_hint: CounterResetHint::Reset,
                    ..FloatHistogram::default()
                };
                self.float_histogram(entry, state, (t, &zero))
            }
        };
        taken.unwrap_or_default();
    }

    /// Floats and histograms of one series, in order of time as far as each comes in order.
    fn mixed(&mut self, entry: &Arc<Entry>, state: &mut State, series: &BatchSeries<'_>) {
        let mut floats = series.floats.iter().peekable();
        for histogram in series.histograms {
            while let Some(float) = floats.next_if(|f| f.t <= histogram.t()) {
                self.float(entry, state, *float);
            }
            let t = histogram.t();
            let taken = check(histogram).and_then(|()| match histogram {
                TimedHistogram::Integer(_, h) => self.histogram(entry, state, (t, h)),
                TimedHistogram::Float(_, h) => self.float_histogram(entry, state, (t, h)),
            });
            match taken {
                Ok(()) => self.result.histograms += 1,
                Err(reason) => self.refuse(t, reason),
            }
        }
        for float in floats {
            self.float(entry, state, *float);
        }
    }

    #[inline]
    fn float(&mut self, entry: &Arc<Entry>, state: &mut State, float: Float) {
        match self.take_float(entry, state, float) {
            Ok(()) => self.result.floats += 1,
            Err(reason) => self.refuse(float.t, reason),
        }
    }

    #[inline]
    fn take_float(
        &mut self,
        entry: &Arc<Entry>,
        state: &mut State,
        Float { t, v }: Float,
    ) -> Result<(), Reject> {
        match self.window.place(state.samples.max_time(), t)? {
            Place::InOrder if is_stale(v) && state.samples.stale_histogram(v).is_some() => {
                match state.samples.stale_histogram(v) {
                    Some(Value::Histogram(h)) => self.histogram(entry, state, (t, &h)),
                    Some(Value::FloatHistogram(h)) => self.float_histogram(entry, state, (t, &h)),
                    _ => Ok(()),
                }
            }
            Place::InOrder => {
                let cutting = self.head.cutting();
                let before = state.samples.last_float();
                if state.samples.append_float(t, v, cutting) == Taken::InOrder {
                    widen(&mut self.in_order, t);
                    (self.logs).wal_float((entry.series, t, v), before, &mut state.changed_in);
                }
                Ok(())
            }
            Place::AtNewest => self.same_as_newest(state, |newest| match newest {
                Value::Float(newest) => newest.to_bits() == v.to_bits(),
                // What a stale marker became.
                Value::Histogram(h) => is_stale(v) && is_stale(h.sum),
                Value::FloatHistogram(h) => is_stale(v) && is_stale(h.sum),
            }),
            Place::OutOfOrder => {
                if self.out_of_order(entry, state, t, Value::Float(v)) {
                    self.logs.wbl_rows.float(entry.series, t, v, None);
                }
                Ok(())
            }
        }
    }

    fn histogram(
        &mut self,
        entry: &Arc<Entry>,
        state: &mut State,
        (t, h): (i64, &Histogram),
    ) -> Result<(), Reject> {
        match self.window.place(state.samples.max_time(), t)? {
            Place::InOrder => {
                let cutting = self.head.cutting();
                if state.samples.append_histogram(t, h, cutting) != Taken::InOrder {
                    return Err(Reject::InvalidHistogram);
                }
                widen(&mut self.in_order, t);
                self.logs.wal_rows.histogram(entry.series, t, h.clone());
            }
            Place::AtNewest => self.same_as_newest(state, |newest| match newest {
                Value::Histogram(newest) => is_same(newest, h),
                _ => false,
            })?,
            Place::OutOfOrder => {
                let value = Value::Histogram(Box::new(h.clone()));
                if self.out_of_order(entry, state, t, value) {
                    self.logs.wbl_rows.histogram(entry.series, t, h.clone());
                }
            }
        }
        Ok(())
    }

    fn float_histogram(
        &mut self,
        entry: &Arc<Entry>,
        state: &mut State,
        (t, h): (i64, &FloatHistogram),
    ) -> Result<(), Reject> {
        match self.window.place(state.samples.max_time(), t)? {
            Place::InOrder => {
                let cutting = self.head.cutting();
                if state.samples.append_float_histogram(t, h, cutting) != Taken::InOrder {
                    return Err(Reject::InvalidHistogram);
                }
                widen(&mut self.in_order, t);
                self.logs
                    .wal_rows
                    .float_histogram(entry.series, t, h.clone());
            }
            Place::AtNewest => self.same_as_newest(state, |newest| match newest {
                Value::FloatHistogram(newest) => is_same_float(newest, h),
                _ => false,
            })?,
            Place::OutOfOrder => {
                let value = Value::FloatHistogram(Box::new(h.clone()));
                if self.out_of_order(entry, state, t, value) {
                    self.logs
                        .wbl_rows
                        .float_histogram(entry.series, t, h.clone());
                }
            }
        }
        Ok(())
    }

    /// A sample at the time of the newest one is taken, and nothing done, when it is the same.
    fn same_as_newest(
        &self,
        state: &State,
        is_same: impl Fn(&Value) -> bool,
    ) -> Result<(), Reject> {
        let newest = state.samples.newest(&self.head.files).ok().flatten();
        match newest {
            Some(newest) if is_same(&newest.value) => Ok(()),
            _ => Err(Reject::DuplicateTimestamp),
        }
    }

    /// Takes a sample out of order; false when there is one at its time.
    fn out_of_order(&mut self, entry: &Entry, state: &mut State, t: i64, value: Value) -> bool {
        let samples = state.samples.out_of_order();
        if samples.buffered() >= self.head.options.out_of_order_cap {
            self.logs
                .write_buffer(entry.series, samples, &self.head.files);
        }
        let is_new = samples.insert(Sample { t, value });
        if is_new {
            widen(&mut self.out_of_order, t);
        }
        is_new
    }

    fn metadata(&mut self, entry: &Entry, state: &mut State, metadata: &Metadata) {
        if state.metadata.as_deref() != Some(metadata) {
            state.metadata = Some(self.head.interned(metadata));
            self.logs.wal_rows.metadata(entry.series, metadata);
        }
    }

    fn exemplar(&mut self, entry: &Arc<Entry>, exemplar: &Exemplar) {
        let mut exemplars = self.head.exemplars.lock();
        match exemplars.judge(entry.series, exemplar) {
            Ok(is_new) => {
                self.result.exemplars += 1;
                if is_new {
                    exemplars.push(entry, exemplar.clone());
                    self.logs.wal_rows.exemplar(entry.series, exemplar);
                }
            }
            Err(reason) => {
                drop(exemplars);
                self.refuse(exemplar.t, reason);
            }
        }
    }

    #[cold]
    fn refuse(&mut self, t: i64, reason: Reject) {
        self.result.rejected.push(Rejection {
            series: self.current,
            t,
            reason,
        });
    }

    /// A series that is not there: its samples are judged one by one, for their reasons may differ.
    #[cold]
    fn refuse_all(&mut self, series: &BatchSeries<'_>, reason: Reject) {
        self.result.series.push(None);
        let is_of_sample = matches!(reason, Reject::UnknownSeries | Reject::SeriesLimit);
        for t in times(series) {
            let placed = self.window.place(i64::MIN, t);
            let own = placed.err().filter(|_| !is_of_sample);
            self.refuse(t, own.unwrap_or(reason));
        }
        for exemplar in series.exemplars {
            // What was named without labels comes again, with them.
            let reason = match series.labels.is_empty() {
                true => Reject::UnknownSeries,
                false => Reject::ExemplarOfUnknownSeries,
            };
            self.refuse(exemplar.t, reason);
        }
    }

    fn finish(mut self) -> Result<(Appended, Vec<Arc<Entry>>), WriteError> {
        let bounds = &self.head.bounds;
        self.in_order
            .into_iter()
            .for_each(|s| bounds.in_order.add(s));
        self.out_of_order
            .into_iter()
            .for_each(|s| bounds.out_of_order.add(s));
        self.result.commit = self.logs.write()?;
        Ok((self.result, self.full))
    }
}

fn check(histogram: &TimedHistogram) -> Result<(), Reject> {
    let valid = match histogram {
        TimedHistogram::Integer(_, h) => h.validate(),
        TimedHistogram::Float(_, h) => h.validate(),
    };
    valid.map_err(|_| Reject::InvalidHistogram)
}

/// True when two histograms are the same, whatever empty buckets they list.
fn is_same(newest: &Histogram, h: &Histogram) -> bool {
    let (mut newest, mut h) = (newest.clone(), h.clone());
    newest.compact(0).equals(h.compact(0))
}

/// As [`is_same`].
fn is_same_float(newest: &FloatHistogram, h: &FloatHistogram) -> bool {
    let (mut newest, mut h) = (newest.clone(), h.clone());
    newest.compact(0).equals(h.compact(0))
}
