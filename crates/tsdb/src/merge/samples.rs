//! Merging the samples of one series from several places.
//!
//! Samples come out in time order, one per timestamp. The rules, also where two places disagree
//! about a timestamp, are those of Prometheus' chained sample iterator, because counter reset hints
//! depend on them: a histogram that follows one from another place does not know whether a reset
//! lies between.

use std::vec;

use model::{CounterResetHint, Sample, Value};

use crate::chunk::{Chunk, TimedChunk};
use crate::error::Corruption;

/// The samples of chunks, one chunk after the other; the first error ends them.
#[derive(Debug)]
pub struct ChunkSamples {
    chunks: vec::IntoIter<Chunk>,
    /// Of the chunk at hand.
    samples: vec::IntoIter<Sample>,
}

impl ChunkSamples {
    /// The samples of `chunks`, in that order.
    pub fn new(chunks: Vec<Chunk>) -> Self {
        Self {
            chunks: chunks.into_iter(),
            samples: Vec::new().into_iter(),
        }
    }
}

impl Iterator for ChunkSamples {
    type Item = Result<Sample, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(sample) = self.samples.next() {
                return Some(Ok(sample));
            }
            match self.chunks.next()?.samples().collect::<Result<Vec<_>, _>>() {
                Ok(samples) => self.samples = samples.into_iter(),
                Err(corruption) => {
                    self.chunks = Vec::new().into_iter();
                    return Some(Err(corruption));
                }
            }
        }
    }
}

/// The samples of chunks that may overlap, which are ordered by their first times.
pub fn merged_samples(chunks: Vec<TimedChunk>) -> impl Iterator<Item = Result<Sample, Corruption>> {
    let mut groups: Vec<Vec<Chunk>> = Vec::new();
    let mut max_time = i64::MIN;
    for timed in chunks {
        match groups.last_mut() {
            Some(group) if timed.min_time <= max_time => group.push(timed.chunk),
            _ => groups.push(vec![timed.chunk]),
        }
        max_time = max_time.max(timed.max_time);
    }
    groups.into_iter().flat_map(|group| {
        let places = group
            .into_iter()
            .map(|chunk| ChunkSamples::new(vec![chunk]));
        SampleMerge::new(places.collect())
    })
}

/// An iterator that stands at a sample.
#[derive(Debug)]
struct Place<I> {
    sample: Sample,
    rest: I,
}

/// Merges iterators over samples of the same series, each in time order; the first error ends it.
///
/// A single iterator is passed through as it is.
#[derive(Debug)]
pub struct SampleMerge<I> {
    /// Iterators that nothing was taken from yet.
    fresh: Vec<I>,
    /// The iterator that the last sample came from.
    current: Option<I>,
    others: Heap<I>,
    last_time: Option<i64>,
    is_single: bool,
}

impl<I, E> SampleMerge<I>
where
    I: Iterator<Item = Result<Sample, E>>,
{
    /// Merges the samples of `places`.
    pub fn new(places: Vec<I>) -> Self {
        Self {
            is_single: places.len() <= 1,
            fresh: places,
            current: None,
            others: Heap(Vec::new()),
            last_time: None,
        }
    }

    /// Takes the first sample of every iterator but the first.
    fn start(&mut self) -> Result<(), E> {
        let mut fresh = std::mem::take(&mut self.fresh).into_iter();
        self.current = fresh.next();
        for mut rest in fresh {
            if let Some(sample) = rest.next().transpose()? {
                self.others.push(Place { sample, rest });
            }
        }
        Ok(())
    }

    /// The next sample, and whether it comes from another place than the one before.
    fn advance(&mut self) -> Result<Option<(Sample, bool)>, E> {
        let mut is_other = false;
        if !self.fresh.is_empty() {
            self.start()?;
            is_other = true;
        }
        loop {
            let Some(current) = &mut self.current else {
                return Ok(None);
            };
            match current.next().transpose()? {
                None => self.current = None,
                Some(sample) if self.last_time == Some(sample.t) => continue,
                Some(sample) => match self.others.first_time() {
                    Some(other) if other <= sample.t => {
                        let rest = self.current.take().expect("it was just read");
                        self.others.push(Place { sample, rest });
                    }
                    _ => return Ok(Some((sample, is_other))),
                },
            }
            let Some(place) = self.others.pop() else {
                return Ok(None);
            };
            is_other = true;
            self.current = Some(place.rest);
            if self.last_time != Some(place.sample.t) {
                return Ok(Some((place.sample, true)));
            }
        }
    }
}

impl<I, E> Iterator for SampleMerge<I>
where
    I: Iterator<Item = Result<Sample, E>>,
{
    type Item = Result<Sample, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_single {
            return self.fresh.first_mut()?.next();
        }
        match self.advance() {
            Ok(None) => None,
            Ok(Some((mut sample, is_other))) => {
                self.last_time = Some(sample.t);
                if is_other {
                    forget_reset(&mut sample.value);
                }
                Some(Ok(sample))
            }
            Err(error) => {
                self.current = None;
                self.others.0.clear();
                Some(Err(error))
            }
        }
    }
}

/// Nothing is known of a reset before a counter histogram.
fn forget_reset(value: &mut Value) {
    let hint = match value {
        Value::Float(_) => return,
        Value::Histogram(h) => &mut h.counter_reset_hint,
        Value::FloatHistogram(h) => &mut h.counter_reset_hint,
    };
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}

/// A binary heap by time that is Go's, step for step: where times are equal, its order decides
/// which place's sample is taken.
#[derive(Debug)]
struct Heap<I>(Vec<Place<I>>);

impl<I> Heap<I> {
    fn first_time(&self) -> Option<i64> {
        self.0.first().map(|place| place.sample.t)
    }

    fn push(&mut self, place: Place<I>) {
        self.0.push(place);
        let mut at = self.0.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.0[at].sample.t >= self.0[parent].sample.t {
                break;
            }
            self.0.swap(at, parent);
            at = parent;
        }
    }

    fn pop(&mut self) -> Option<Place<I>> {
        let last = self.0.len().checked_sub(1)?;
        self.0.swap(0, last);
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= last {
                break;
            }
            let right = left + 1;
            let time = |i: usize| self.0[i].sample.t;
            let child = if right < last && time(right) < time(left) {
                right
            } else {
                left
            };
            if time(child) >= time(at) {
                break;
            }
            self.0.swap(at, child);
            at = child;
        }
        self.0.pop()
    }
}

#[cfg(test)]
mod tests;
