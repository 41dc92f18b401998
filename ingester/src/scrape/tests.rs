//! Whole scrapes, sample by sample; and against targets that answer over HTTP.

mod classic;
mod created;
mod http;
mod manager;
mod oauth2;
mod sequences;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use model::Labels;
use model::float::push_g;
use model::sample::is_stale;
use parking_lot::Mutex;
use runtime::ManualClock;
use tsdb::batch::{
    Appended, Batch, CommitPoint, Reject, Rejection, SeriesRef, TimedHistogram, WriteError,
};

use super::body::{Body, Encoding};
use super::error::Error;
use super::pool::Context;
use super::run::Scraped;
use super::target::{Populated, populate};
use super::{Manager, Settings};
use crate::append::Appender;
use crate::config::Config;
use crate::exposition::Format;

/// Takes every sample, and remembers it as a line: `labels value @time`.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    state: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    lines: Vec<String>,
    refs: HashMap<String, SeriesRef>,
    /// Series of the batches that were named by their number.
    known: usize,
    /// Metric names whose samples are refused, but for stale markers.
    refused: Vec<&'static str>,
    unavailable: bool,
}

impl Recorder {
    /// What was appended since this was asked last, in order.
    pub(super) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().lines)
    }

    fn known(&self) -> usize {
        std::mem::take(&mut self.state.lock().known)
    }
}

fn number(v: f64) -> String {
    if is_stale(v) {
        return "stale".to_owned();
    }
    let mut text = String::new();
    push_g(&mut text, v);
    text
}

impl Appender for Recorder {
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        assert_eq!(tenant, "tenant");
        let mut state = self.state.lock();
        if state.unavailable {
            return Err(WriteError::Refused {
                kind: model::ErrorKind::Unavailable,
                reason: "the disk is full".to_owned(),
            });
        }
        let mut appended = Appended::default();
        for (at, start) in batch.starts() {
            let labels = Labels::from_encoded(batch.get(*at).labels).to_string();
            state.lines.push(format!("{labels} from {start}"));
        }
        for (i, series) in batch.iter().enumerate() {
            let labels = Labels::from_encoded(series.labels).to_string();
            let next = SeriesRef(state.refs.len() as u64 + 1);
            let at = *state.refs.entry(labels.clone()).or_insert(next);
            if let Some(known) = series.known {
                assert_eq!(known, at, "{labels}");
                state.known += 1;
            }
            appended.series.push(Some(at));
            for float in series.floats {
                let mut refused = state.refused.iter();
                if !is_stale(float.v) && refused.any(|name| labels.contains(&format!("{name:?}"))) {
                    appended.rejected.push(Rejection {
                        series: i,
                        t: float.t,
                        reason: Reject::OutOfOrder,
                    });
                    continue;
                }
                state
                    .lines
                    .push(format!("{labels} {} @{}", number(float.v), float.t));
            }
            for histogram in series.histograms {
                let (count, buckets) = match histogram {
                    TimedHistogram::Integer(_, h) => (h.count as f64, h.positive_buckets.len()),
                    TimedHistogram::Float(_, h) => (h.count, h.positive_buckets.len()),
                };
                let t = histogram.t();
                state
                    .lines
                    .push(format!("{labels} histogram {count}/{buckets} @{t}"));
            }
            for exemplar in series.exemplars {
                let shown = format!("{} {} @{}", exemplar.labels, exemplar.value, exemplar.t);
                state.lines.push(format!("{labels} # {shown}"));
            }
        }
        Ok(appended)
    }

    fn commit(&self, _: &str, _: CommitPoint) -> Result<(), WriteError> {
        panic!("scrapes do not wait for the disk");
    }
}

/// The configuration of the job `j` with these further lines.
fn config(lines: &str) -> Config {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("scrape_configs:\n- job_name: j\n{lines}");
    Config::parse(&text, Path::new("/")).expect(&text)
}

fn settings(recorder: &Arc<Recorder>, now_ms: i64) -> Settings {
    let appender: Arc<dyn Appender> = Arc::clone(recorder) as _;
    Settings {
        appender,
        tenant: "tenant".to_owned(),
        clock: Arc::new(ManualClock::new(now_ms)),
        hostname: "host".to_owned(),
        zeros: false,
    }
}

/// The target `i` of the job `j`, scraped by hand.
struct Hand {
    recorder: Arc<Recorder>,
    context: Arc<Context>,
    scraped: Scraped,
}

impl Hand {
    fn new(lines: &str) -> Self {
        Self::at(lines, "i")
    }

    fn at(lines: &str, address: &str) -> Self {
        Self::of(lines, &Labels::from_pairs([("__address__", address)]))
    }

    fn of(lines: &str, discovered: &Labels) -> Self {
        Self::with(lines, discovered, |_| ())
    }

    /// One under further settings.
    fn with(lines: &str, discovered: &Labels, set: impl FnOnce(&mut Settings)) -> Self {
        let recorder = Arc::new(Recorder::default());
        let mut settings = settings(&recorder, 0);
        set(&mut settings);
        let shared = Arc::clone(&Manager::new(settings).shared);
        let job = config(lines).jobs.remove(0);
        let context = Arc::new(Context::new(&job, shared).expect(lines));
        let Populated::Active(target) = populate(discovered, &job, &[]) else {
            panic!("{discovered}");
        };
        let scraped = Scraped::new(*target, Arc::clone(&context), None);
        Self {
            recorder,
            context,
            scraped,
        }
    }

    /// The same target, of which nothing is known.
    fn afresh(&self) -> Self {
        let target = self.scraped.target.clone();
        Self {
            recorder: Arc::clone(&self.recorder),
            scraped: Scraped::new(target, Arc::clone(&self.context), None),
            context: Arc::clone(&self.context),
        }
    }

    fn answer(&self, body: Result<Body, Error>, t: i64) -> Vec<String> {
        self.scraped.take(body, t, Instant::now());
        short(self.recorder.lines())
    }

    /// Scrapes this text; what was appended, without labels that all have and without the duration.
    fn text(&self, body: &str, t: i64) -> Vec<String> {
        self.body(body.as_bytes(), Encoding::Text(Format::Text), t)
    }

    fn open_metrics(&self, body: &str, t: i64) -> Vec<String> {
        self.body(body.as_bytes(), Encoding::Text(Format::OpenMetrics), t)
    }

    fn body(&self, body: &[u8], encoding: Encoding, t: i64) -> Vec<String> {
        let bytes = body.to_vec();
        self.answer(Ok(Body { bytes, encoding }), t)
    }

    fn last_error(&self) -> String {
        self.scraped.status.lock().last_error.clone()
    }
}

/// Lines without the labels of the target and without what depends on the time of day.
fn short(lines: Vec<String>) -> Vec<String> {
    let mut lines: Vec<_> = lines
        .into_iter()
        .map(|line| {
            line.replace("{__name__=\"", "")
                .replacen("\", instance=\"i\", job=\"j\"}", "", 1)
                .replacen("\", ", " {", 1)
                .replace("instance=\"i\", job=\"j\", ", "")
                .replace(", instance=\"i\", job=\"j\"", "")
        })
        .filter(|line| !line.starts_with("scrape_duration_seconds ") || line.contains("stale"))
        .collect();
    lines.sort();
    lines
}

/// The series about a scrape, as [`short`] shows them.
fn report(up: u8, scraped: u32, kept: u32, added: u32, t: i64) -> Vec<String> {
    vec![
        format!("scrape_samples_post_metric_relabeling {kept} @{t}"),
        format!("scrape_samples_scraped {scraped} @{t}"),
        format!("scrape_series_added {added} @{t}"),
        format!("up {up} @{t}"),
    ]
}

/// Lines and a report together, sorted.
fn with(lines: &[&str], report: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    all.extend(report);
    all.sort();
    all
}
