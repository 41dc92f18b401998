//! A series' samples to a sequence of chunks, as blocks hold them.

use model::{FloatHistogram, Histogram, Sample, Value};

use super::{Chunk, histogram, xor};
use crate::error::{Error, Result};

/// Samples in a block's chunk, at most.
pub const SAMPLES_PER_CHUNK: u16 = 120;

/// A chunk and the time it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedChunk {
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample; it is inside.
    pub max_time: i64,
    /// The encoded samples.
    pub chunk: Chunk,
}

/// Cuts a series' samples into chunks: after [`SAMPLES_PER_CHUNK`], when floats and histograms take
/// turns, and where histograms break a chunk's promise (see [`histogram`]). So does Prometheus when
/// it rewrites a block.
#[derive(Debug, Clone, Default)]
pub struct SeriesEncoder {
    open: Option<Open>,
    min_time: i64,
    max_time: i64,
}

#[derive(Debug, Clone)]
enum Open {
    Float(xor::Encoder),
    Histogram(Box<histogram::Encoder>),
    FloatHistogram(Box<histogram::FloatEncoder>),
}

impl Open {
    fn chunk(&self) -> Chunk {
        match self {
            Self::Float(encoder) => encoder.chunk(),
            Self::Histogram(encoder) => encoder.chunk(),
            Self::FloatHistogram(encoder) => encoder.chunk(),
        }
    }
}

impl SeriesEncoder {
    /// No samples yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sample; returns a chunk that this one finished.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the time does not ascend or a histogram contradicts itself. The
    /// encoder is as before.
    pub fn push(&mut self, sample: &Sample) -> Result<Option<TimedChunk>> {
        match &sample.value {
            Value::Float(v) => self.push_float(sample.t, *v),
            Value::Histogram(histogram) => self.push_histogram(sample.t, histogram),
            Value::FloatHistogram(histogram) => self.push_float_histogram(sample.t, histogram),
        }
    }

    /// Appends a float; see [`push`](Self::push).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the time does not ascend.
    #[inline]
    pub fn push_float(&mut self, t: i64, v: f64) -> Result<Option<TimedChunk>> {
        self.check_time(t)?;
        if let Some(Open::Float(encoder)) = &mut self.open
            && encoder.count() < SAMPLES_PER_CHUNK
        {
            encoder.append(t, v);
            self.max_time = t;
            return Ok(None);
        }
        let mut encoder = xor::Encoder::new();
        encoder.append(t, v);
        Ok(self.start(t, Open::Float(encoder)))
    }

    /// Appends a histogram; see [`push`](Self::push).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the time does not ascend or the histogram contradicts itself.
    pub fn push_histogram(&mut self, t: i64, value: &Histogram) -> Result<Option<TimedChunk>> {
        self.check_time(t)?;
        if let Some(Open::Histogram(encoder)) = &mut self.open
            && encoder.count() < SAMPLES_PER_CHUNK
        {
            let finished = encoder.append(t, value)?;
            return Ok(self.extend(t, finished));
        }
        let mut encoder = histogram::Encoder::new();
        encoder.append(t, value)?;
        Ok(self.start(t, Open::Histogram(Box::new(encoder))))
    }

    /// Appends a float histogram; see [`push`](Self::push).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the time does not ascend or the histogram contradicts itself.
    pub fn push_float_histogram(
        &mut self,
        t: i64,
        value: &FloatHistogram,
    ) -> Result<Option<TimedChunk>> {
        self.check_time(t)?;
        if let Some(Open::FloatHistogram(encoder)) = &mut self.open
            && encoder.count() < SAMPLES_PER_CHUNK
        {
            let finished = encoder.append(t, value)?;
            return Ok(self.extend(t, finished));
        }
        let mut encoder = histogram::FloatEncoder::new();
        encoder.append(t, value)?;
        Ok(self.start(t, Open::FloatHistogram(Box::new(encoder))))
    }

    /// The last chunk, unless there were no samples since the one before. The encoder starts anew
    /// and can take another series.
    pub fn finish(&mut self) -> Option<TimedChunk> {
        let open = self.open.take()?;
        Some(TimedChunk {
            min_time: self.min_time,
            max_time: self.max_time,
            chunk: open.chunk(),
        })
    }

    fn check_time(&self, t: i64) -> Result<()> {
        if self.open.is_some() && t <= self.max_time {
            return Err(Error::Invalid(format!(
                "a sample at {t} after one at {}; times must ascend",
                self.max_time
            )));
        }
        Ok(())
    }

    /// Replaces the open chunk by one that starts at `t`.
    fn start(&mut self, t: i64, open: Open) -> Option<TimedChunk> {
        let finished = self.finish();
        self.open = Some(open);
        (self.min_time, self.max_time) = (t, t);
        finished
    }

    /// Notes a sample at `t` that the open chunk took, perhaps by starting over.
    fn extend(&mut self, t: i64, finished: Option<Chunk>) -> Option<TimedChunk> {
        let max_time = std::mem::replace(&mut self.max_time, t);
        finished.map(|chunk| TimedChunk {
            min_time: std::mem::replace(&mut self.min_time, t),
            max_time,
            chunk,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(samples: &[Sample]) -> Vec<TimedChunk> {
        let mut encoder = SeriesEncoder::new();
        let mut chunks: Vec<_> = samples
            .iter()
            .filter_map(|sample| encoder.push(sample).unwrap())
            .collect();
        chunks.extend(encoder.finish());
        chunks
    }

    fn float(t: i64) -> Sample {
        Sample {
            t,
            value: Value::Float(t as f64),
        }
    }

    fn histogram(t: i64, count: u64) -> Sample {
        Sample {
            t,
            value: Value::Histogram(Box::new(Histogram {
                count,
                zero_count: count,
                ..Histogram::default()
            })),
        }
    }

    #[test]
    fn chunks_are_cut_by_count_kind_and_reset() {
        let mut samples: Vec<_> = (0..250).map(float).collect();
        samples.extend((250..400).map(|t| histogram(t, 7)));
        samples.push(histogram(400, 3));
        samples.push(float(401));
        let chunks = encode(&samples);
        let cuts: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                let count = chunk.chunk.sample_count().unwrap();
                (chunk.min_time, chunk.max_time, count)
            })
            .collect();
        assert_eq!(
            cuts,
            [
                (0, 119, 120),
                (120, 239, 120),
                (240, 249, 10),
                (250, 369, 120),
                (370, 399, 30),
                (400, 400, 1),
                (401, 401, 1),
            ]
        );
        let times: Vec<_> = chunks
            .iter()
            .flat_map(|chunk| chunk.chunk.samples())
            .map(|sample| sample.unwrap().t)
            .collect();
        assert_eq!(times, (0..=401).collect::<Vec<_>>());
        assert_eq!(
            histogram::counter_reset(&chunks[5].chunk.data).unwrap(),
            histogram::CounterReset::Reset
        );
    }

    #[test]
    fn times_must_ascend() {
        let mut encoder = SeriesEncoder::new();
        encoder.push(&float(5)).unwrap();
        assert!(encoder.push(&float(5)).is_err());
        assert!(encoder.push(&histogram(4, 1)).is_err());
        encoder.push(&float(6)).unwrap();
        assert_eq!(encoder.finish().unwrap().chunk.sample_count().unwrap(), 2);
    }
}
