//! What the queues of this component hold: a tenant and a batch of its samples.
//!
//! | bytes | |
//! |---|---|
//! | 1 | length of the tenant's name, 0 for the default tenant |
//! | so many | the name |
//! | the rest | a snappy block of an `io.prometheus.write.v2.Request` |

use model::Labels;
use model::labels::MAX_STRING_LEN;
use storeapi::snappy;
use tsdb::batch::Batch;

use crate::messages::{Contents, encode_v2};
use crate::pipeline::push_series;
use crate::receive::{DecodeOptions, Decoded, LabelLimits, v2};

/// Bytes that a message may have: what several receivers' largest requests come to.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Why a record cannot be read; its checksum was right, so that another version wrote it.
#[derive(Debug, thiserror::Error)]
#[error("not a record that this version reads: {0}")]
pub struct BadRecord(String);

/// Series of a record: their labels must fit into the table that a message may have.
const SERIES_MAX: usize = 8192;

/// The records of a batch, with the samples of each. The tenant's name has at most 255 bytes.
pub fn encode<'a>(tenant: &'a str, batch: &'a Batch) -> impl Iterator<Item = (u32, Vec<u8>)> + 'a {
    let pieces = (0..batch.len()).step_by(SERIES_MAX);
    pieces.map(move |from| {
        let to = (from + SERIES_MAX).min(batch.len());
        if from == 0 && to == batch.len() {
            return (batch.sample_count() as u32, encode_one(tenant, batch));
        }
        let mut piece = Batch::new();
        for series in (from..to).map(|i| batch.get(i)) {
            push_series(&mut piece, Labels::iter_encoded(series.labels), &series);
        }
        (piece.sample_count() as u32, encode_one(tenant, &piece))
    })
}

fn encode_one(tenant: &str, batch: &Batch) -> Vec<u8> {
    let mut message = Vec::new();
    encode_v2(batch, Contents::ALL, &mut message);
    let block = snap::raw::Encoder::new().compress_vec(&message);
    let block = block.expect("a message of so many series is smaller than 4 GiB");
    let mut record = Vec::with_capacity(1 + tenant.len() + block.len());
    record.push(u8::try_from(tenant.len()).expect("names of tenants are short"));
    record.extend_from_slice(tenant.as_bytes());
    record.extend_from_slice(&block);
    record
}

/// Memory for reading one record after the other.
#[derive(Debug, Default)]
pub struct RecordReader {
    message: Vec<u8>,
    decoded: Decoded,
}

impl RecordReader {
    /// The tenant and the batch of a record.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn read<'a>(&'a mut self, record: &'a [u8]) -> Result<(&'a str, &'a Batch), BadRecord> {
        let bad = |what: &dyn std::fmt::Display| BadRecord(what.to_string());
        let cut = record
            .split_first()
            .and_then(|(len, rest)| rest.split_at_checked((*len).into()));
        let (tenant, block) = cut.ok_or_else(|| bad(&"it is cut"))?;
        let tenant = std::str::from_utf8(tenant).map_err(|e| bad(&e))?;
        snappy::decompress(block, MESSAGE_BYTES_MAX, &mut self.message).map_err(|e| bad(&e))?;
        // What came in was held against its limits then.
        let options = DecodeOptions {
            labels: LabelLimits {
                count_max: MAX_STRING_LEN,
                name_bytes_max: MAX_STRING_LEN,
                value_bytes_max: MAX_STRING_LEN,
            },
            ..DecodeOptions::default()
        };
        v2::decode(&self.message, &options, &mut self.decoded).map_err(|e| bad(&e))?;
        Ok((tenant, self.decoded.batch()))
    }
}
