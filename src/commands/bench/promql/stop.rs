//! How soon a query ends when it is stopped: by its caller, or by a limit.
//!
//! A query is stopped at several moments of its run. What counts is the time from then until the
//! call returns, with all that it held given back. Limits on samples and bytes are reached inside of
//! a query; they count from the end of the last read from the source, so that what the query did
//! before it reached the limit is counted, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Labels, TimeRange};
use promql::Error;
use promql::columns::Samples;
use promql::limits::{Cancellation, Limits};
use promql::source::{SelectRequest, Series, SeriesSet, Source, SourceError};

use super::measure::Bench;
use super::queries::Query;

/// Moments at which a query is stopped, spread over its run.
const MOMENTS: u32 = 6;

/// No query is let run for longer.
const LONGEST: Duration = Duration::from_secs(2);

/// What a query that was not let run to its end is taken to hold at most: samples and bytes.
const HELD: (u64, u64) = (2_000_000, 30_000_000);

/// The longest that a query went on for after it was stopped, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stops {
    /// What the query takes when nobody stops it, up to [`LONGEST`].
    pub(super) whole: f64,
    /// By its caller.
    pub(super) cancelled: f64,
    /// By the limit on time.
    pub(super) timed_out: f64,
    /// By the limit on samples.
    pub(super) samples: f64,
    /// By the limit on bytes.
    pub(super) bytes: f64,
}

impl Bench {
    /// Stops `query` in all ways; nothing for a query that is not in PromQL.
    pub(super) fn stops(&self, query: &Query) -> anyhow::Result<Option<Stops>> {
        if query.kind.expression(self.end).is_none() {
            return Ok(None);
        }
        self.pool.enter(|| self.stops_here(query)).map(Some)
    }

    fn stops_here(&self, query: &Query) -> anyhow::Result<Stops> {
        let unlimited = Limits {
            samples_max: u64::MAX,
            bytes_max: u64::MAX,
            timeout: LONGEST,
            ..Limits::default()
        };
        let mut stops = Stops::default();
        let begin = Instant::now();
        let whole = self.run(&query.kind, &self.blocks, unlimited, &Cancellation::new());
        let took = begin.elapsed().min(LONGEST);
        stops.whole = ms(took);
        let (samples, bytes) = match &whole {
            Ok(whole) => (whole.stats.samples_peak, whole.stats.bytes_peak),
            Err(_) => HELD,
        };
        stopped(whole)?;
        for moment in 0..MOMENTS {
            let after = took * moment / MOMENTS;
            longest(&mut stops.cancelled, self.cancel(query, unlimited, after)?);
            let limits = Limits {
                timeout: after,
                ..unlimited
            };
            longest(&mut stops.timed_out, self.time_out(query, limits)?);
            let limits = Limits {
                samples_max: samples / u64::from(MOMENTS) * u64::from(moment),
                ..unlimited
            };
            longest(&mut stops.samples, self.exhaust(query, limits)?);
            let limits = Limits {
                bytes_max: bytes / u64::from(MOMENTS) * u64::from(moment),
                ..unlimited
            };
            longest(&mut stops.bytes, self.exhaust(query, limits)?);
        }
        Ok(stops)
    }

    /// Cancels `query` when it ran for `after`; nothing when it was done before.
    fn cancel(
        &self,
        query: &Query,
        limits: Limits,
        after: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        let cancellation = Cancellation::new();
        let (result, end, cancelled) = std::thread::scope(|threads| {
            let canceller = threads.spawn(|| {
                std::thread::sleep(after);
                let now = Instant::now();
                cancellation.cancel();
                now
            });
            let result = self.run(&query.kind, &self.blocks, limits, &cancellation);
            let end = Instant::now();
            let cancelled = canceller.join().expect("sleeping does not panic");
            (result, end, cancelled)
        });
        Ok(stopped(result)?.then(|| end - cancelled))
    }

    /// Runs `query` under a limit on its time, and returns by how much it was missed.
    fn time_out(&self, query: &Query, limits: Limits) -> anyhow::Result<Option<Duration>> {
        let begin = Instant::now();
        let result = self.run(&query.kind, &self.blocks, limits, &Cancellation::new());
        let took = begin.elapsed();
        Ok(stopped(result)?.then(|| took.saturating_sub(limits.timeout)))
    }

    /// Runs `query` under limits that it reaches, and returns how long it went on after its last read.
    fn exhaust(&self, query: &Query, limits: Limits) -> anyhow::Result<Option<Duration>> {
        let source = Watched {
            source: &self.blocks,
            last: Arc::new(Mutex::new(Instant::now())),
        };
        let result = self.run(&query.kind, &source, limits, &Cancellation::new());
        let end = Instant::now();
        let last = *source.last.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stopped(result)?.then(|| end.saturating_duration_since(last)))
    }
}

/// True when a query was stopped, false when it was done before, or failed for another reason.
fn stopped<T>(result: anyhow::Result<T>) -> anyhow::Result<bool> {
    let Err(error) = result else {
        return Ok(false);
    };
    match error.downcast_ref::<Error>() {
        Some(
            Error::Cancelled
            | Error::Timeout { .. }
            | Error::TooManySamples { .. }
            | Error::TooManyBytes { .. },
        ) => Ok(true),
        Some(_) => Ok(false),
        None => Err(error),
    }
}

fn longest(longest: &mut f64, took: Option<Duration>) {
    *longest = longest.max(took.map_or(0.0, ms));
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A source that knows when it was read last.
struct Watched<'a> {
    source: &'a dyn Source,
    last: Arc<Mutex<Instant>>,
}

impl Source for Watched<'_> {
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError> {
        let set = self.source.select(request)?;
        touch(&self.last);
        Ok(Box::new(WatchedSet {
            set,
            last: Arc::clone(&self.last),
        }))
    }
}

fn touch(last: &Mutex<Instant>) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

struct WatchedSet {
    set: Box<dyn SeriesSet>,
    last: Arc<Mutex<Instant>>,
}

impl SeriesSet for WatchedSet {
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError> {
        let Some(series) = self.set.next()? else {
            return Ok(None);
        };
        Ok(Some(Box::new(WatchedSeries {
            series,
            last: Arc::clone(&self.last),
        })))
    }

    fn warnings(&mut self) -> Vec<String> {
        self.set.warnings()
    }
}

struct WatchedSeries {
    series: Box<dyn Series>,
    last: Arc<Mutex<Instant>>,
}

impl Series for WatchedSeries {
    fn labels(&self) -> &Labels {
        self.series.labels()
    }

    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError> {
        let result = self.series.read(range, out);
        touch(&self.last);
        result
    }
}
