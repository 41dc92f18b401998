//! What a block is made of: cardinality by metric, label and value, churn, and size of chunks.

use std::collections::HashMap;
use std::hash::Hash;

use model::Matcher;
use model::labels::METRIC_NAME;

use super::Block;
use crate::error::Result;
use crate::index::SeriesEntry;

/// A label name and a value, as numbers of symbols.
type Pair = (u32, u32);

/// A thing and a number that says how much there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// The thing: a metric name, a label name or `name=value`.
    pub what: String,
    /// How much.
    pub number: u64,
}

/// What a block is made of. Lists are in descending order of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Analysis {
    /// Series that were looked at.
    pub series: u64,
    /// Different label names.
    pub label_names: u64,
    /// Different pairs of label name and value.
    pub label_pairs: u64,
    /// Pairs of all series, with repetitions: the length of all postings lists.
    pub postings_entries: u64,
    /// Metric names with most series.
    pub series_by_metric: Vec<Ranked>,
    /// Label names with most values.
    pub values_by_label: Vec<Ranked>,
    /// Label names whose values are longest in all, in bytes.
    pub value_bytes_by_label: Vec<Ranked>,
    /// Label pairs in most series.
    pub series_by_pair: Vec<Ranked>,
    /// Label pairs whose series live shortest: for each pair, how many series' worth of the block's
    /// time its series do not cover.
    pub churn_by_pair: Vec<Ranked>,
    /// The same by label name.
    pub churn_by_label: Vec<Ranked>,
}

/// How full a block's chunks are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkAnalysis {
    /// Chunks by encoding: float, histogram, float histogram, aggregate.
    pub by_encoding: [ChunkTotals; 4],
    /// Chunks by number of samples: `1..=10`, `11..=20` and so on; the last holds all fuller ones.
    pub by_samples: Vec<u64>,
}

/// Sums over chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkTotals {
    /// Number of chunks.
    pub chunks: u64,
    /// Samples in them.
    pub samples: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

/// Samples that a bin of [`ChunkAnalysis::by_samples`] spans.
pub const SAMPLES_PER_BIN: u64 = 10;
/// Number of bins.
const BINS: usize = 15;

/// Counters by symbol; strings are looked up at the end, and only for the top of each list.
#[derive(Debug, Default)]
struct Counters {
    series: u64,
    entries: u64,
    metrics: HashMap<u32, u64>,
    pairs: HashMap<Pair, (u64, u64)>,
    label_uncovered: HashMap<u32, u64>,
}

impl Counters {
    fn add(&mut self, entry: &SeriesEntry, metric_name: Option<u32>, span: u64) {
        let covered = match (entry.chunks.first(), entry.chunks.last()) {
            (Some(first), Some(last)) => last.max_time.abs_diff(first.min_time),
            _ => 0,
        };
        let uncovered = span.saturating_sub(covered);
        self.series += 1;
        self.entries += entry.labels.len() as u64;
        for &(name, value) in &entry.labels {
            if Some(name) == metric_name {
                *self.metrics.entry(value).or_default() += 1;
            }
            let pair = self.pairs.entry((name, value)).or_default();
            pair.0 += 1;
            pair.1 += uncovered;
            *self.label_uncovered.entry(name).or_default() += uncovered;
        }
    }
}

/// The `limit` largest, of equal ones the smaller key first.
fn top<K: Ord + Copy + Hash>(
    counts: impl Iterator<Item = (K, u64)>,
    limit: usize,
) -> Vec<(K, u64)> {
    let mut all: Vec<_> = counts.filter(|(_, n)| *n > 0).collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(limit);
    all
}

impl Block {
    /// What the block's index says of the series that all of `matchers` select, with lists of at
    /// most `limit` lines.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] and [`crate::Error::Io`] when the index cannot be read.
    pub fn analyze(&self, matchers: &[Matcher], limit: usize) -> Result<Analysis> {
        let index = self.index();
        let metric_name = index.find_symbol(METRIC_NAME)?;
        let span = self.meta().max_time.abs_diff(self.meta().min_time).max(1);
        let mut counters = Counters::default();
        let mut entry = SeriesEntry::default();
        for reference in index.postings_for_matchers(matchers)? {
            index.series(reference, &mut entry)?;
            counters.add(&entry, metric_name, span);
        }
        self.rank(&counters, span, limit)
    }

    fn rank(&self, counters: &Counters, span: u64, limit: usize) -> Result<Analysis> {
        let index = self.index();
        let text = |symbol: u32| index.with_symbol(symbol, str::to_owned);
        let labels = |ranked: Vec<(u32, u64)>| -> Result<Vec<Ranked>> {
            let named = |(name, number)| {
                Ok(Ranked {
                    what: text(name)?,
                    number,
                })
            };
            ranked.into_iter().map(named).collect()
        };
        let pairs = |ranked: Vec<(Pair, u64)>| -> Result<Vec<Ranked>> {
            let named = |((name, value), number)| {
                let what = format!("{}={}", text(name)?, text(value)?);
                Ok(Ranked { what, number })
            };
            ranked.into_iter().map(named).collect()
        };
        let (mut values, mut bytes) = (HashMap::<u32, u64>::new(), HashMap::<u32, u64>::new());
        for &(name, value) in counters.pairs.keys() {
            *values.entry(name).or_default() += 1;
            *bytes.entry(name).or_default() += index.with_symbol(value, str::len)? as u64;
        }
        let by_pair =
            |n: fn(&(u64, u64)) -> u64| counters.pairs.iter().map(move |(p, c)| (*p, n(c)));
        let by_label = |m: &HashMap<u32, u64>| m.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>();
        let churn_by_pair = by_pair(|c| c.1).map(|(p, uncovered)| (p, uncovered / span));
        let churn_by_label = counters.label_uncovered.iter().map(|(k, v)| (*k, v / span));
        Ok(Analysis {
            series: counters.series,
            label_names: values.len() as u64,
            label_pairs: counters.pairs.len() as u64,
            postings_entries: counters.entries,
            series_by_metric: labels(top(by_label(&counters.metrics).into_iter(), limit))?,
            values_by_label: labels(top(by_label(&values).into_iter(), limit))?,
            value_bytes_by_label: labels(top(by_label(&bytes).into_iter(), limit))?,
            series_by_pair: pairs(top(by_pair(|c| c.0), limit))?,
            churn_by_pair: pairs(top(churn_by_pair, limit))?,
            churn_by_label: labels(top(churn_by_label, limit))?,
        })
    }

    /// Reads every chunk and says how full they are.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] and [`crate::Error::Io`] when index or chunks cannot be read.
    pub fn analyze_chunks(&self) -> Result<ChunkAnalysis> {
        let mut analysis = ChunkAnalysis {
            by_samples: vec![0; BINS],
            ..ChunkAnalysis::default()
        };
        let mut walk = self.index().walk();
        let mut entry = SeriesEntry::default();
        while walk.next_into(&mut entry)?.is_some() {
            for meta in &entry.chunks {
                let chunk = self.chunk(meta.reference)?;
                let in_chunk =
                    |c| crate::Error::Invalid(format!("chunk {:#x} is {c}", meta.reference));
                let samples = u64::from(chunk.sample_count().map_err(in_chunk)?);
                let bin = samples.saturating_sub(1) / SAMPLES_PER_BIN;
                analysis.by_samples[(bin as usize).min(BINS - 1)] += 1;
                let kind = match chunk.encoding.as_byte() {
                    n @ 1..=3 => usize::from(n) - 1,
                    _ => 3,
                };
                let totals = &mut analysis.by_encoding[kind];
                totals.chunks += 1;
                totals.samples += samples;
                totals.bytes += chunk.data.len() as u64;
            }
        }
        Ok(analysis)
    }
}
