//! The samples of any float or histogram chunk.

use model::{Sample, Value};

use super::{Chunk, Encoding, histogram, xor};
use crate::error::Corruption;

/// Decodes a chunk sample by sample; the first error ends it.
///
/// Floats in bulk are read faster with [`xor::decode_columns`].
#[derive(Debug, Clone)]
pub struct Samples<'a>(Inner<'a>);

#[derive(Debug, Clone)]
enum Inner<'a> {
    Xor(xor::Samples<'a>),
    Histogram(Box<histogram::Samples<'a>>),
    FloatHistogram(Box<histogram::FloatSamples<'a>>),
    Broken(Option<Corruption>),
}

impl<'a> Samples<'a> {
    pub(super) fn new(chunk: &'a Chunk) -> Self {
        let data = &chunk.data;
        let inner = match chunk.encoding {
            Encoding::Xor => xor::Samples::new(data).map(Inner::Xor),
            Encoding::Histogram => {
                histogram::Samples::new(data).map(|samples| Inner::Histogram(Box::new(samples)))
            }
            Encoding::FloatHistogram => histogram::FloatSamples::new(data)
                .map(|samples| Inner::FloatHistogram(Box::new(samples))),
            _ => Err(chunk.encoding.unreadable()),
        };
        Self(inner.unwrap_or_else(|corruption| Inner::Broken(Some(corruption))))
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample, Corruption>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Xor(samples) => samples.next().map(|sample| {
                sample.map(|(t, v)| Sample {
                    t,
                    value: Value::Float(v),
                })
            }),
            Inner::Histogram(samples) => samples.next().map(|sample| {
                sample.map(|(t, histogram)| Sample {
                    t,
                    value: Value::Histogram(Box::new(histogram)),
                })
            }),
            Inner::FloatHistogram(samples) => samples.next().map(|sample| {
                sample.map(|(t, histogram)| Sample {
                    t,
                    value: Value::FloatHistogram(Box::new(histogram)),
                })
            }),
            Inner::Broken(corruption) => corruption.take().map(Err),
        }
    }
}
