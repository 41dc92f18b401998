//! How a stream of series is read from a connection: by [`crate::wire`], directly.

use bytes::Buf as _;
use proto::thanos::SeriesRequest;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use super::status::to_status;
use crate::store::Frame;
use crate::wire::decode;

/// Bytes that are written before they go to the connection, and the least that a buffer grows by.
const BUFFER_BYTES: usize = 64 << 10;
const YIELD_BYTES: usize = 256 << 10;

/// The client's side of `Series`. A message that holds nothing for us decodes to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientCodec;

impl Codec for ClientCodec {
    type Encode = SeriesRequest;
    type Decode = Option<Frame>;
    type Encoder = ProstEncoder<SeriesRequest>;
    type Decoder = SeriesDecoder;

    fn encoder(&mut self) -> ProstEncoder<SeriesRequest> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> SeriesDecoder {
        SeriesDecoder::default()
    }
}

/// Reads messages of series.
#[derive(Debug, Default)]
pub struct SeriesDecoder {
    decoder: decode::Decoder,
}

impl Decoder for SeriesDecoder {
    type Item = Option<Frame>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Option<Frame>>, Status> {
        // The whole message, still where it was received.
        let message = source.copy_to_bytes(source.remaining());
        let frame = self.decoder.decode(&message);
        Ok(Some(frame.map_err(|error| to_status(&error))?))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
