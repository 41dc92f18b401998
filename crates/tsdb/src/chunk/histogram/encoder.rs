//! Building histogram chunks: what fits into the open chunk, what widens it, what starts the next.

use bytes::Bytes;
use model::histogram::schema::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, is_known_schema};
use model::sample::is_stale;
use model::{CounterResetHint, Span};

use super::counts::{Counts, Shape};
use super::layout::{Layout, bucket_count, is_bounded};
use super::spans::{Union, spread};
use super::{CounterReset, GenericSamples, HEADER_LEN};
use crate::chunk::Chunk;
use crate::chunk::bits::BitWriter;
use crate::error::{Corruption, Error, Result};

/// Initial capacity of a chunk.
const CAPACITY: usize = 128;

/// How a histogram relates to the samples before it.
#[derive(Debug, PartialEq)]
enum Fit {
    /// Same buckets; append as it is.
    Same,
    /// Append after widening the chunk, the histogram, or both.
    Widen { positive: Union, negative: Union },
    /// A counter reset lies between.
    Reset,
    /// Schema, threshold or staleness changed; whether there was a reset is not known.
    Different,
    /// Counters after gauges, or gauges after counters.
    OtherType,
}

/// Refuses histograms that could not be read back.
fn check(shape: &Shape<'_>) -> Result<()> {
    if !is_known_schema(shape.schema) || shape.schema > EXPONENTIAL_SCHEMA_MAX {
        return Err(Error::Invalid(format!(
            "a histogram of the unknown schema {}",
            shape.schema
        )));
    }
    for (spans, &counts) in shape.spans.iter().zip(&shape.buckets) {
        let buckets = bucket_count(spans);
        if buckets != counts {
            return Err(Error::Invalid(format!(
                "a histogram with {buckets} buckets in its spans but {counts} counts"
            )));
        }
    }
    if !is_bounded(shape.spans, shape.custom_values) {
        return Err(Error::Invalid(
            "a histogram with too many empty spans or custom bounds".to_owned(),
        ));
    }
    Ok(())
}

/// Builds chunks of histograms sample by sample.
#[derive(Debug, Clone)]
pub struct GenericEncoder<C> {
    writer: BitWriter,
    count: u16,
    header: CounterReset,
    layout: Layout,
    counts: C,
    /// True when `layout` and `counts` are those of the chunk before, to compare with.
    continues: bool,
}

impl<C: Counts> Default for GenericEncoder<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Counts> GenericEncoder<C> {
    /// An empty chunk without a predecessor.
    pub fn new() -> Self {
        Self {
            writer: BitWriter::new(&[0; HEADER_LEN], CAPACITY),
            count: 0,
            header: CounterReset::Unknown,
            layout: Layout::default(),
            counts: C::default(),
            continues: false,
        }
    }

    /// Goes on with a chunk's payload; what follows is the same as if it had never been closed.
    ///
    /// # Errors
    /// When the payload cannot be decoded.
    pub fn resume(data: &[u8]) -> Result<Self, Corruption> {
        let mut samples = GenericSamples::<C>::new(data)?;
        while samples.advance()? {}
        let mut encoder = Self::new();
        if samples.count > 0 {
            encoder.writer = BitWriter::resume(data, samples.reader.position());
        }
        Ok(Self {
            count: samples.count,
            header: samples.header,
            layout: samples.layout,
            counts: samples.counts,
            ..encoder
        })
    }

    /// Appends a histogram, and returns the finished chunk when the histogram had to start a new one.
    /// Times are expected to ascend.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the histogram's spans and buckets disagree or its schema is unknown;
    /// nothing is appended.
    ///
    /// # Panics
    /// When the chunk holds 65,535 samples already; callers cut long before.
    pub fn append(&mut self, t: i64, histogram: &C::Histogram) -> Result<Option<Chunk>> {
        let shape = C::shape(histogram);
        if is_stale(shape.sum) {
            let stale = C::stale(&shape);
            return Ok(self.append_sound(t, &stale));
        }
        check(&shape)?;
        Ok(self.append_sound(t, histogram))
    }

    fn append_sound(&mut self, t: i64, histogram: &C::Histogram) -> Option<Chunk> {
        let shape = C::shape(histogram);
        if self.count == 0 {
            self.header = self.first_header(histogram);
            self.start(t, histogram);
            return None;
        }
        let fit = self.fit(histogram);
        match fit {
            Fit::Same => self.push(t, histogram),
            Fit::Widen { positive, negative } => self.widen(t, histogram, [positive, negative]),
            Fit::Reset | Fit::Different | Fit::OtherType => {
                let finished = self.chunk();
                self.header = match (shape.hint, &fit) {
                    (CounterResetHint::Gauge, _) => CounterReset::Gauge,
                    (_, Fit::Reset) => CounterReset::Reset,
                    (_, Fit::OtherType) => C::AFTER_GAUGES,
                    _ => CounterReset::Unknown,
                };
                self.start(t, histogram);
                return Some(finished);
            }
        }
        None
    }

    /// The header of a chunk that begins with `histogram`.
    fn first_header(&self, histogram: &C::Histogram) -> CounterReset {
        match C::shape(histogram).hint {
            CounterResetHint::Gauge => CounterReset::Gauge,
            CounterResetHint::Reset => CounterReset::Reset,
            _ if !self.continues => CounterReset::Unknown,
            _ => match self.fit_counter(histogram) {
                Fit::Reset => CounterReset::Reset,
                Fit::Different => C::AFTER_DIFFERENT,
                Fit::Same | Fit::Widen { .. } | Fit::OtherType => CounterReset::NotReset,
            },
        }
    }

    /// Writes the first sample of a chunk.
    fn start(&mut self, t: i64, histogram: &C::Histogram) {
        let shape = C::shape(histogram);
        self.layout = shape.layout();
        self.writer = BitWriter::new(&[0; HEADER_LEN], CAPACITY);
        self.layout.write(&mut self.writer);
        self.counts = C::write_first(&mut self.writer, t, histogram);
        self.count = 1;
    }

    /// Writes a further sample that has the chunk's layout.
    fn push(&mut self, t: i64, histogram: &C::Histogram) {
        self.counts.write_next(&mut self.writer, t, histogram);
        self.count = self
            .count
            .checked_add(1)
            .expect("a chunk is cut before 65,535 samples");
    }

    fn fit(&self, histogram: &C::Histogram) -> Fit {
        if C::shape(histogram).hint == CounterResetHint::Gauge {
            self.fit_gauge(histogram)
        } else {
            self.fit_counter(histogram)
        }
    }

    fn fit_gauge(&self, histogram: &C::Histogram) -> Fit {
        let shape = C::shape(histogram);
        if self.header != CounterReset::Gauge {
            return Fit::OtherType;
        }
        if is_stale(shape.sum) {
            return Fit::Same;
        }
        if is_stale(self.counts.sum())
            || !self.same_resolution(&shape)
            || !self.same_custom_values(&shape)
        {
            return Fit::Different;
        }
        if self.layout.spans == shape.spans {
            return Fit::Same;
        }
        self.widen_or_same(
            Union::new(&self.layout.spans[0], shape.spans[0]),
            Union::new(&self.layout.spans[1], shape.spans[1]),
        )
    }

    fn fit_counter(&self, histogram: &C::Histogram) -> Fit {
        let shape = C::shape(histogram);
        if self.header == CounterReset::Gauge {
            return Fit::OtherType;
        }
        if shape.hint == CounterResetHint::Reset {
            return Fit::Reset;
        }
        if is_stale(shape.sum) {
            return Fit::Same;
        }
        if is_stale(self.counts.sum()) {
            return Fit::Different;
        }
        if self.counts.count_shrinks(histogram) {
            return Fit::Reset;
        }
        if !self.same_resolution(&shape) {
            return Fit::Different;
        }
        if !self.same_custom_values(&shape) || self.counts.zero_count_shrinks(histogram) {
            return Fit::Reset;
        }
        if self.layout.spans == shape.spans {
            return if self.counts.buckets_shrink(histogram) {
                Fit::Reset
            } else {
                Fit::Same
            };
        }
        let unions = [0, 1].map(|side| Union::new(&self.layout.spans[side], shape.spans[side]));
        let split = self.layout.bucket_counts()[0];
        let old = self.counts.absolute(split);
        let new = C::absolute_of(histogram);
        if (0..2).any(|side| unions[side].shrinks(&old[side], &new[side])) {
            return Fit::Reset;
        }
        let [positive, negative] = unions;
        self.widen_or_same(positive, negative)
    }

    /// Spans may differ in form and still hold the same buckets.
    fn widen_or_same(&self, positive: Union, negative: Union) -> Fit {
        let widens = |union: &Union| union.extends_first() || union.extends_second();
        if widens(&positive) || widens(&negative) {
            Fit::Widen { positive, negative }
        } else {
            Fit::Same
        }
    }

    #[expect(
        clippy::float_cmp,
        reason = "any other threshold is another zero bucket"
    )]
    fn same_resolution(&self, shape: &Shape<'_>) -> bool {
        shape.schema == self.layout.schema && shape.zero_threshold == self.layout.zero_threshold
    }

    fn same_custom_values(&self, shape: &Shape<'_>) -> bool {
        shape.schema != CUSTOM_BUCKETS_SCHEMA || shape.custom_values == self.layout.custom_values
    }

    /// Appends a histogram whose buckets differ from the chunk's; `unions` merge the chunk's layout
    /// with the histogram's.
    fn widen(&mut self, t: i64, histogram: &C::Histogram, unions: [Union; 2]) {
        let mut wide = histogram.clone();
        let buckets = C::absolute_of(histogram);
        let histogram_lacks = unions.each_ref().map(Union::extends_second);
        let chunk_lacks = unions.each_ref().map(Union::extends_first);
        // Which spans a wider layout is written with, where several describe the same buckets, is
        // Prometheus' choice: gauges merge both sides as soon as one side needs it.
        let merge_both = self.header == CounterReset::Gauge && histogram_lacks.contains(&true);
        for side in 0..2 {
            if histogram_lacks[side] || merge_both {
                let union = &unions[side];
                let values = spread(&buckets[side], &union.second, union.len);
                C::set_buckets(&mut wide, side, union.spans.clone(), &values);
            }
        }
        if chunk_lacks.contains(&true) {
            let spans = C::shape(&wide).spans.map(<[Span]>::to_vec);
            self.recode(&spans, &unions);
        }
        self.push(t, &wide);
    }

    /// Writes the chunk anew with a wider layout, whose spans are `spans`.
    fn recode(&mut self, spans: &[Vec<Span>; 2], unions: &[Union; 2]) {
        let chunk = self.chunk();
        let mut wide = Self::new();
        wide.header = self.header;
        let samples = GenericSamples::<C>::new(&chunk.data).expect("the chunk was just written");
        for sample in samples {
            let (t, mut histogram) = sample.expect("the chunk was just written");
            let buckets = C::absolute_of(&histogram);
            for side in 0..2 {
                let union = &unions[side];
                let values = spread(&buckets[side], &union.first, union.len);
                C::set_buckets(&mut histogram, side, spans[side].clone(), &values);
            }
            if wide.count == 0 {
                wide.start(t, &histogram);
            } else {
                wide.push(t, &histogram);
            }
        }
        *self = wide;
    }

    /// Closes the chunk; the next histogram starts one that goes on from it, so that its header says
    /// whether a counter reset lies between.
    pub fn cut(&mut self) -> Chunk {
        let chunk = self.chunk();
        self.continues |= self.count > 0;
        self.count = 0;
        self.writer = BitWriter::new(&[0; HEADER_LEN], CAPACITY);
        chunk
    }

    /// Samples so far.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Time of the last sample, unless there is none.
    pub fn last_time(&self) -> Option<i64> {
        (self.count > 0).then(|| self.counts.time())
    }

    /// Bytes of payload so far.
    pub const fn byte_len(&self) -> usize {
        self.writer.len()
    }

    /// The chunk as it is now; the encoder can go on.
    pub fn chunk(&self) -> Chunk {
        let mut data = self.writer.to_vec();
        data[..2].copy_from_slice(&self.count.to_be_bytes());
        if self.count > 0 {
            data[2] = self.header.as_header();
        }
        Chunk {
            encoding: C::ENCODING,
            data: Bytes::from(data),
        }
    }
}
