//! One target: its loop, and what a scrape of it does.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::Labels;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, sleep};

use super::Shared;
use super::body::{Body, Encoding};
use super::cache::Cache;
use super::error::Error;
use super::pool::Context;
use super::report::{self, Report};
use super::round::{Counts, Round, Settled, mark_stale};
use super::rules::SampleRules;
use super::target::Target;

/// How far a scrape may be off the time that its interval says and still get that time, so that
/// samples are regular and compress well.
const TOLERANCE_MS: i64 = 2;

/// Whether the last scrape of a target went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Health {
    /// It was not scraped yet.
    #[default]
    Unknown,
    Up,
    Down,
}

/// How the last scrape of a target went.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) health: Health,
    pub(super) last_error: String,
    pub(super) last_scrape_ms: Option<i64>,
    pub(super) last_seconds: f64,
    pub(super) last_bytes: usize,
}

/// A target that is scraped.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) target: Target,
    context: Arc<Context>,
    rules: SampleRules,
    /// Held by one round at a time, on threads that may block.
    pub(super) cache: Arc<Mutex<Cache>>,
    pub(super) families: Arc<Mutex<super::cache::Families>>,
    pub(super) status: Mutex<Status>,
}

impl Scraped {
    /// A target that was not scraped yet, or that `before` scraped by other rules.
    pub(super) fn new(target: Target, context: Arc<Context>, before: Option<&Self>) -> Self {
        let cache = before.map_or_else(Arc::default, |before| Arc::clone(&before.cache));
        let families = match before {
            Some(before) => {
                cache.lock().forget_lines();
                Arc::clone(&before.families)
            }
            None => Arc::clone(&cache.lock().families),
        };
        let status = before.map(|before| before.status.lock().clone());
        Self {
            rules: SampleRules::new(
                &context.job,
                target.labels.clone(),
                (target.histograms, context.shared.settings.zeros),
                Arc::clone(&context.metric_relabel),
            ),
            target,
            context,
            cache,
            families,
            status: Mutex::new(status.unwrap_or_default()),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.context.shared
    }

    /// Scrapes in intervals, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let clock = Arc::clone(&self.shared().settings.clock);
        let seed = self.shared().offset_seed.load(Ordering::Relaxed);
        let offset = self.target.offset_ms(clock.now_ms(), seed);
        sleep(Duration::from_millis(offset.unsigned_abs())).await;
        let interval_ms = self.target.interval_ms;
        let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms.unsigned_abs()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut aligned = clock.now_ms();
        let mut last: Option<Instant> = None;
        loop {
            ticks.tick().await;
            let now = Instant::now();
            if let Some(last) = last.replace(now) {
                let length = now.duration_since(last);
                self.shared().stats.rescraped(interval_ms, length, now);
            }
            let t = align(clock.now_ms(), &mut aligned, interval_ms);
            Arc::clone(&self).scrape(t).await;
        }
    }

    /// Scrapes once; samples without a time get `t`.
    pub(super) async fn scrape(self: Arc<Self>, t: i64) {
        let t = match self.context.job.lookout {
            true => t - t.rem_euclid(self.target.interval_ms.max(1)),
            false => t,
        };
        let started = Instant::now();
        let timeout = Duration::from_millis(self.target.timeout_ms.unsigned_abs());
        // Some room, so that a body that grew a little does not move.
        let bytes = self.status.lock().last_bytes;
        let expected = bytes + bytes / 16;
        let answer = match self.context.forced_error() {
            Some(error) => Err(error),
            None => {
                let fetcher = &self.context.fetcher;
                fetcher
                    .fetch(&self.context.job, &self.target.url, timeout, expected)
                    .await
            }
        };
        let place = self.shared().rounds.acquire().await;
        let scraped = Arc::clone(&self);
        runtime::process::blocking(move || {
            let body = answer.and_then(|answer| answer.unpack(expected));
            scraped.take(body, t, started);
        })
        .await;
        drop(place);
    }

    /// Appends what was fetched, and how that went.
    pub(super) fn take(&self, body: Result<Body, Error>, t: i64, started: Instant) {
        let shared = self.shared();
        let mut cache = self.cache.lock();
        let mut batch = shared.batch();
        let bytes = body.as_ref().map_or(0, |body| body.bytes.len());
        let mut round = Round::new(&mut cache, &self.rules, &mut batch, t);
        let (filled, mut failure) = match body {
            Err(error) => {
                self.note_failure(&error);
                (round.fail(), Some(error))
            }
            Ok(body) if body.bytes.is_empty() => (round.fail(), None),
            Ok(body) => {
                let read = match body.encoding {
                    Encoding::Text(format) => round.text(&body.bytes, format),
                    Encoding::Protobuf => round.protobuf(&body.bytes),
                };
                match read {
                    Ok(()) => (round.succeed(), None),
                    Err(error) => (round.fail(), Some(error)),
                }
            }
        };
        let Settled { counts, ended } = match self.append(&batch) {
            Ok(appended) => {
                let settled = filled.settle(&mut cache, &appended);
                self.note_rejected(settled.counts, &appended);
                settled
            }
            Err(error) => {
                failure.get_or_insert(error);
                filled.unsettled()
            }
        };
        let report = Report {
            up: failure.is_none(),
            seconds: started.elapsed().as_secs_f64(),
            counts,
            body_bytes: match failure {
                Some(Error::BodySize) => -1,
                _ => i64::try_from(bytes).unwrap_or(i64::MAX),
            },
            timeout_ms: self.target.timeout_ms,
        };
        let about = (&self.context.job, &self.target.labels);
        report::fill(&mut batch, &cache, about, Some(&report), t);
        for number in ended {
            mark_stale(&mut batch, cache.series(number), t);
        }
        match self.append(&batch) {
            Ok(appended) => report::settle(&mut cache, &appended),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
        shared.stats.scraped(counts, failure.as_ref());
        shared.give_back(batch);
        self.note(failure, &report, bytes, t);
    }

    /// Takes down that the target gave no answer that can be read.
    fn note_failure(&self, error: &Error) {
        let was_asked = !matches!(error, Error::TargetLimit { .. });
        if let Some(failures) = self.context.failures.as_ref().filter(|_| was_asked) {
            let now_ms = self.shared().settings.clock.now_ms();
            let about = (&*self.context.job.name, self.target.url.as_str());
            failures.note(now_ms, about, &error.to_string());
        }
    }

    fn append(&self, batch: &tsdb::batch::Batch) -> Result<tsdb::batch::Appended, Error> {
        if batch.is_empty() {
            return Ok(tsdb::batch::Appended::default());
        }
        let settings = &self.shared().settings;
        let appended = settings.appender.append(&settings.tenant, batch);
        appended.map_err(Error::Append)
    }

    fn note_rejected(&self, counts: Counts, appended: &tsdb::batch::Appended) {
        let dropped = self.shared().stats.rejected(counts.duplicates, appended);
        if dropped > 0 {
            tracing::debug!(
                job = self.context.job.name,
                target = %self.target.url,
                dropped,
                duplicates = counts.duplicates,
                "samples of a scrape were not taken"
            );
        }
    }

    fn note(&self, failure: Option<Error>, report: &Report, bytes: usize, t: i64) {
        let mut status = self.status.lock();
        status.health = if report.up { Health::Up } else { Health::Down };
        status.last_error = failure.map_or_else(String::new, |error| error.to_string());
        status.last_scrape_ms = Some(t);
        status.last_seconds = report.seconds;
        if bytes > 0 {
            status.last_bytes = bytes;
        }
        if !report.up {
            tracing::debug!(
                job = self.context.job.name,
                target = %self.target.url,
                error = status.last_error,
                "scrape failed"
            );
        }
    }

    /// Waits until the target would have been scraped twice, for it may have come back meanwhile
    /// under another loop; then marks series that are gone stale at the first of these times.
    pub(super) async fn end(self: Arc<Self>) {
        let Some(last) = self.status.lock().last_scrape_ms else {
            return;
        };
        let clock = &self.shared().settings.clock;
        let interval = Duration::from_millis(self.target.interval_ms.unsigned_abs());
        let next = last.saturating_add(self.target.interval_ms);
        let wait = next.saturating_sub(clock.now_ms()).max(0);
        sleep(Duration::from_millis(wait.unsigned_abs())).await;
        let t = clock.now_ms();
        sleep(interval + interval / 10).await;
        runtime::process::blocking(move || self.mark_stale(t)).await;
    }

    /// Marks all series of the target as ended at `t`, those about its scrapes included; where it is
    /// scraped by another loop, only those that this did not find.
    pub(super) fn mark_stale(&self, t: i64) {
        let successors = self.shared().live_with(&self.target.labels);
        let found: HashSet<Labels> = successors
            .iter()
            .flat_map(|successor| successor.cache.lock().labels())
            .collect();
        let mut cache = self.cache.lock();
        cache.leave(|labels| found.contains(labels));
        let mut batch = self.shared().batch();
        Round::new(&mut cache, &self.rules, &mut batch, t).fail();
        let mut ended = self.append(&batch).map(drop);
        if successors.is_empty() {
            let about = (&self.context.job, &self.target.labels);
            report::fill(&mut batch, &cache, about, None, t);
            ended = ended.and_then(|()| self.append(&batch).map(drop));
        }
        if let Err(error) = ended {
            tracing::warn!(
                job = self.context.job.name,
                target = %self.target.url,
                %error,
                "stale markers of a target that is gone were not written"
            );
        }
        self.shared().give_back(batch);
    }
}

/// The time of a scrape at `now`: that of the last multiple of the interval, if it is near enough.
fn align(now: i64, aligned: &mut i64, interval_ms: i64) -> i64 {
    let tolerance = (interval_ms / 100).min(TOLERANCE_MS);
    let passed = now.saturating_sub(*aligned);
    if passed >= interval_ms {
        *aligned += passed / interval_ms.max(1) * interval_ms;
    }
    if now.saturating_sub(*aligned) <= tolerance {
        *aligned
    } else {
        now
    }
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn times_near_the_interval_are_aligned() {
        let mut aligned = 1_000;
        for (now, expected) in [
            (1_000, 1_000),
            (2_001, 2_000),
            (3_002, 3_000),
            (4_003, 4_003),
            (9_002, 9_000),
            (9_999, 9_999),
        ] {
            assert_eq!(align(now, &mut aligned, 1_000), expected, "{now}");
        }
        // One per cent of a short interval is less than two milliseconds.
        let mut aligned = 0;
        assert_eq!(align(102, &mut aligned, 100), 102);
        assert_eq!(align(201, &mut aligned, 100), 200);
    }
}
