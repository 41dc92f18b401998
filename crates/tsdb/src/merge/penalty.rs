//! Chunks of replicas that overlap, as the chunks of one of them at each time.
//!
//! Every chunk is a replica of its own and they are folded in the order of their first times: so does
//! Thanos' compactor, and results depend on it.

use model::{CounterResetHint, Sample, Value};

use super::overlap::encode;
use super::replicas::{Folded, Replica};
use crate::chunk::TimedChunk;
use crate::error::{Error, Result};

/// Most chunks that are a replica each: the time to fold them grows with the square of their number,
/// and each is a level of recursion. Of more, those that do not overlap are a replica together.
const REPLICAS_MAX: usize = 256;

/// Appends what is made of `chunks`, which are in the order of their first times.
pub(super) fn merge_samples(chunks: &[TimedChunk], merged: &mut Vec<TimedChunk>) -> Result<()> {
    let replicas = match chunks.len() {
        0..=REPLICAS_MAX => chunks.iter().map(|chunk| vec![chunk]).collect(),
        _ => without_overlap(chunks),
    };
    let decoded = replicas.iter().map(|chunks| {
        let samples = chunks.iter().flat_map(|timed| timed.chunk.samples());
        samples.collect::<std::result::Result<Vec<Sample>, _>>()
    });
    let decoded: std::result::Result<Vec<Vec<Sample>>, _> = decoded.collect();
    let decoded = decoded.map_err(|e| Error::Invalid(format!("a chunk to be merged is {e}")))?;
    let mut lanes = decoded.iter().zip(0..).map(|(samples, number)| Lane {
        samples,
        number,
        at: 0,
    });
    let Some(first) = lanes.next() else {
        return Ok(());
    };
    let followed = Followed {
        replicas: Folded::new(first, lanes, false),
        from: Some(i64::MIN),
        before: None,
    };
    encode(followed.map(Ok), merged)
}

/// The chunks in as few rows as it takes for those of a row not to overlap.
fn without_overlap(chunks: &[TimedChunk]) -> Vec<Vec<&TimedChunk>> {
    let mut rows: Vec<Vec<&TimedChunk>> = Vec::new();
    for chunk in chunks {
        let fits = |row: &&mut Vec<&TimedChunk>| {
            row.last()
                .is_some_and(|last| last.max_time < chunk.min_time)
        };
        match rows.iter_mut().find(fits) {
            Some(row) => row.push(chunk),
            None => rows.push(vec![chunk]),
        }
    }
    rows
}

/// Number of a replica, and of a sample in it.
type Place = (usize, usize);

/// The samples of one replica.
#[derive(Debug)]
struct Lane<'a> {
    samples: &'a [Sample],
    number: usize,
    at: usize,
}

impl<'a> Replica for Lane<'a> {
    type Value = (Place, &'a Sample);

    fn seek(&mut self, t: i64) -> Option<i64> {
        while self.samples.get(self.at)?.t < t {
            self.at += 1;
        }
        Some(self.samples[self.at].t)
    }

    fn value(&self) -> Self::Value {
        ((self.number, self.at), &self.samples[self.at])
    }

    fn float(&self) -> Option<f64> {
        match self.samples[self.at].value {
            Value::Float(v) => Some(v),
            _ => None,
        }
    }

    /// Values are kept as they were scraped.
    fn lift(&mut self, _: f64) {}
}

/// The samples that are left.
struct Followed<'a> {
    replicas: Folded<Lane<'a>>,
    /// Where the next may be.
    from: Option<i64>,
    /// Where the one before was from.
    before: Option<Place>,
}

impl Iterator for Followed<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let t = self.replicas.seek(self.from?)?;
        self.from = t.checked_add(1);
        let ((replica, at), sample) = self.replicas.value();
        let before = self.before;
        let follows = before.is_some_and(|(of, last)| (of, last + 1) == (replica, at));
        self.before = Some((replica, at));
        let mut sample = sample.clone();
        if !follows {
            forget_reset(&mut sample);
        }
        Some(sample)
    }
}

/// What a histogram says of a reset is relative to the sample before it in its own replica.
fn forget_reset(sample: &mut Sample) {
    let unless_gauge = |hint: &mut CounterResetHint| {
        if *hint != CounterResetHint::Gauge {
            *hint = CounterResetHint::Unknown;
        }
    };
    match &mut sample.value {
        Value::Float(_) => {}
        Value::Histogram(h) => unless_gauge(&mut h.counter_reset_hint),
        Value::FloatHistogram(h) => unless_gauge(&mut h.counter_reset_hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(samples: impl IntoIterator<Item = (i64, f64)>) -> Vec<TimedChunk> {
        let mut out = Vec::new();
        let samples = samples.into_iter().map(|(t, v)| {
            let value = Value::Float(v);
            Ok(Sample { t, value })
        });
        encode(samples, &mut out).unwrap();
        out
    }

    fn merged(mut chunks: Vec<TimedChunk>) -> Vec<(i64, f64)> {
        chunks.sort_by_key(|c| (c.min_time, c.max_time));
        let mut out = Vec::new();
        merge_samples(&chunks, &mut out).unwrap();
        let samples = out.iter().flat_map(|c| c.chunk.samples());
        let samples = samples.map(|s| match s.unwrap() {
            Sample {
                t,
                value: Value::Float(v),
            } => (t, v),
            other => panic!("only floats went in, not {other:?}"),
        });
        samples.collect()
    }

    #[test]
    fn one_replica_is_followed_until_it_has_a_gap() {
        let a = (0..100).map(|i| (i * 15_000, 1.0));
        let a = a.filter(|(t, _)| !(600_000..900_000).contains(t));
        let b = (0..100).map(|i| (i * 15_000 + 4_000, 2.0));
        let found = merged([chunks(a), chunks(b)].concat());
        assert!(found.windows(2).all(|w| w[0].0 < w[1].0));
        let of = |replica: f64| found.iter().filter(|(_, v)| *v == replica).count();
        // The gap of twenty samples is filled, but for what it takes to notice it.
        assert!(of(1.0) >= 40 && of(2.0) >= 18, "{found:?}");
        assert!((98..=101).contains(&found.len()), "{}", found.len());
    }

    #[test]
    fn many_chunks_are_as_few_replicas() {
        let of = |offset: i64, v: f64| chunks((0..60_000).map(move |i| (i * 1000 + offset, v)));
        let (a, b) = (of(0, 1.0), of(300, 2.0));
        assert!(a.len() + b.len() > REPLICAS_MAX);
        let found = merged([a, b].concat());
        assert_eq!(found.len(), 60_000);
        assert!(found.iter().all(|(_, v)| *v == 1.0));
    }
}
