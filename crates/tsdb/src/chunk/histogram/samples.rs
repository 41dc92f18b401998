//! Reading histogram chunks.

use model::histogram::schema::EXPONENTIAL_SCHEMA_MAX;

use super::counts::Counts;
use super::layout::Layout;
use super::{CounterReset, HEADER_LEN, count, counter_reset};
use crate::chunk::bits::BitReader;
use crate::error::Corruption;

/// Decodes a chunk histogram by histogram. After an error it ends.
#[derive(Debug, Clone)]
pub struct GenericSamples<'a, C> {
    pub(super) reader: BitReader<'a>,
    pub(super) count: u16,
    read: u16,
    pub(super) header: CounterReset,
    pub(super) layout: Layout,
    pub(super) counts: C,
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
    pub(super) fn advance(&mut self) -> Result<bool, Corruption> {
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
    ///
    /// Schemas finer than any that this version knows are brought down to the finest that it does.
    pub fn next_into(&mut self, histogram: &mut C::Histogram) -> Option<Result<i64, Corruption>> {
        match self.advance() {
            Ok(false) => return None,
            Ok(true) => {}
            Err(corruption) => return Some(Err(corruption)),
        }
        let hint = self.header.hint(self.read == 1);
        self.counts.fill(&self.layout, hint, histogram);
        if C::shape(histogram).schema > EXPONENTIAL_SCHEMA_MAX
            && C::reduce(histogram, EXPONENTIAL_SCHEMA_MAX).is_err()
        {
            self.read = self.count;
            return Some(Err(self.reader.corrupt("spans in ascending order before")));
        }
        Some(Ok(self.counts.time()))
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
