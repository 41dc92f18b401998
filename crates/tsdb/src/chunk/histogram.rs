//! Histogram chunks: one bucket layout for all samples, counts as differences.
//!
//! Payload: sample count (u16), a byte whose top two bits are the [`CounterReset`] header, then
//! bits: the layout, then per sample its time, counts, sum and buckets. Both kinds of histograms
//! share everything but how counts are coded, which [`Counts`] holds.
//!
//! An encoder keeps Prometheus' promise that inside a chunk of counter histograms no counter reset
//! happens and all samples share schema, zero threshold, custom bounds and buckets. A histogram
//! with new buckets makes the chunk be recoded to the wider layout; one that lacks buckets which
//! the chunk has, but never used, is widened itself; one that breaks the promise starts a new
//! chunk, whose header says whether because of a reset.

mod counts;
mod float;
mod integer;
mod layout;
mod spans;

use bytes::Bytes;
use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::sample::is_stale;
use model::{CounterResetHint, Span};

use self::counts::{Counts, Shape};
use self::float::FloatCounts;
use self::integer::IntegerCounts;
use self::layout::Layout;
use self::spans::{Union, spread};
use super::bits::{BitReader, BitWriter};
use super::{Chunk, header_count};
use crate::error::{Corruption, Error, Result};

/// Bytes before the bit stream: sample count and counter reset header.
const HEADER_LEN: usize = 3;

/// Initial capacity of a chunk.
const CAPACITY: usize = 128;

/// Builds chunks of histograms with integer counts.
pub type Encoder = GenericEncoder<IntegerCounts>;
/// Builds chunks of histograms with float counts.
pub type FloatEncoder = GenericEncoder<FloatCounts>;
/// Decodes a chunk of histograms with integer counts.
pub type Samples<'a> = GenericSamples<'a, IntegerCounts>;
/// Decodes a chunk of histograms with float counts.
pub type FloatSamples<'a> = GenericSamples<'a, FloatCounts>;

/// What a chunk's header says about a counter reset before its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum CounterReset {
    /// Nothing is known.
    #[default]
    Unknown = 0b00,
    /// None happened.
    NotReset = 0b01,
    /// One happened.
    Reset = 0b10,
    /// The chunk holds gauge histograms.
    Gauge = 0b11,
}

impl CounterReset {
    const fn from_header(byte: u8) -> Self {
        match byte >> 6 {
            0b00 => Self::Unknown,
            0b01 => Self::NotReset,
            0b10 => Self::Reset,
            _ => Self::Gauge,
        }
    }

    const fn as_header(self) -> u8 {
        (self as u8) << 6
    }

    /// The hint of a sample in a chunk with this header.
    ///
    /// The first sample of a counter chunk is always unknown: the chunk that the header compares
    /// with may be gone, or another may have come between since.
    const fn hint(self, is_first: bool) -> CounterResetHint {
        match (self, is_first) {
            (Self::Gauge, _) => CounterResetHint::Gauge,
            (_, false) => CounterResetHint::NotReset,
            (_, true) => CounterResetHint::Unknown,
        }
    }
}

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
    /// [`Error::Invalid`] when the histogram's spans and buckets disagree; nothing is appended.
    ///
    /// # Panics
    /// When the chunk holds 65,535 samples already; callers cut long before.
    pub fn append(&mut self, t: i64, histogram: &C::Histogram) -> Result<Option<Chunk>> {
        let shape = C::shape(histogram);
        if is_stale(shape.sum) {
            let stale = C::stale(&shape);
            return Ok(self.append_sound(t, &stale));
        }
        for side in 0..2 {
            if layout::bucket_count(shape.spans[side]) != shape.buckets[side] {
                return Err(Error::Invalid(format!(
                    "a histogram with {} buckets in its spans but {} counts",
                    layout::bucket_count(shape.spans[side]),
                    shape.buckets[side]
                )));
            }
        }
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

/// The sample count in a payload's header, checked against the payload's size.
///
/// # Errors
/// When the header is cut short or promises more than the payload can hold.
pub fn count(data: &[u8]) -> Result<u16, Corruption> {
    // The layout takes eleven bits or more; time, counts and sum 67, and later four.
    header_count(data, HEADER_LEN, 78, 4)
}

/// What a payload's header says about a counter reset before its first sample.
///
/// # Errors
/// When the header is cut short.
pub fn counter_reset(data: &[u8]) -> Result<CounterReset, Corruption> {
    match data {
        [_, _, byte, ..] => Ok(CounterReset::from_header(*byte)),
        _ => Err(Corruption::new(
            data.len(),
            "a counter reset header of one byte",
        )),
    }
}

/// Decodes a chunk histogram by histogram. After an error it ends.
#[derive(Debug, Clone)]
pub struct GenericSamples<'a, C> {
    reader: BitReader<'a>,
    count: u16,
    read: u16,
    header: CounterReset,
    layout: Layout,
    counts: C,
}

impl<'a, C: Counts> GenericSamples<'a, C> {
    /// The samples of a payload.
    ///
    /// # Errors
    /// When the header is damaged.
    pub fn new(data: &'a [u8]) -> Result<Self, Corruption> {
        let header = counter_reset(data)?;
        Ok(Self {
            count: count(data)?,
            reader: BitReader::new(data, HEADER_LEN),
            read: 0,
            header,
            layout: Layout::default(),
            counts: C::default(),
        })
    }

    /// Reads the next sample into the state; false at the end.
    fn advance(&mut self) -> Result<bool, Corruption> {
        if self.read >= self.count {
            return Ok(false);
        }
        if let Err(corruption) = self.read_next() {
            self.read = self.count;
            return Err(corruption);
        }
        self.read += 1;
        Ok(true)
    }

    fn read_next(&mut self) -> Result<(), Corruption> {
        if self.read > 0 {
            return self.counts.read_next(&mut self.reader);
        }
        self.layout = Layout::read(&mut self.reader, C::FIRST_BUCKET_BITS)?;
        let [positive, negative] = self.layout.bucket_counts();
        self.counts = C::read_first(&mut self.reader, positive + negative)?;
        Ok(())
    }

    /// Decodes the next sample into `histogram`, whose vectors are reused, and returns its time.
    pub fn next_into(&mut self, histogram: &mut C::Histogram) -> Option<Result<i64, Corruption>> {
        match self.advance() {
            Ok(false) => None,
            Ok(true) => {
                let hint = self.header.hint(self.read == 1);
                self.counts.fill(&self.layout, hint, histogram);
                Some(Ok(self.counts.time()))
            }
            Err(corruption) => Some(Err(corruption)),
        }
    }
}

impl<C: Counts> Iterator for GenericSamples<'_, C> {
    type Item = Result<(i64, C::Histogram), Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut histogram = C::Histogram::default();
        let time = self.next_into(&mut histogram)?;
        Some(time.map(|time| (time, histogram)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.count - self.read)))
    }
}

#[cfg(test)]
mod tests;
