//! Answers questions from a store.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::ErrorKind;
use prost::Message as _;
use proto::prometheus::{QueryResult, ReadResponse};
use runtime::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::encode::{OutOfSamples, time_series, write_frames};
use super::series::{SeriesReader, WholeSeries};
use super::{
    CONTENT_TYPE_SAMPLES, CONTENT_TYPE_STREAMED, ReadError, ReadQuery, ReadRequest, ResponseType,
};
use crate::snappy;
use crate::store::{Aggregate, PartialResponse, SeriesRequest, Store};

/// What questions may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of a question when decompressed.
    pub request_bytes_max: usize,
    /// Samples of an answer of the kind [`ResponseType::Samples`].
    pub samples_max: u64,
    /// Questions answered at once.
    pub concurrent_max: usize,
    /// How long a question waits until another one is answered.
    pub queue_time_max: Duration,
}

impl Default for ReadLimits {
    /// Prometheus' limits where it has them.
    fn default() -> Self {
        Self {
            request_bytes_max: 8 << 20,
            samples_max: 50_000_000,
            concurrent_max: 10,
            queue_time_max: Duration::from_secs(10),
        }
    }
}

/// The endpoint `/api/v1/read` over a store. Clones share the limit of questions at once.
///
/// The store adds external labels and decides matchers on them, which is all that Prometheus does
/// there.
#[derive(Clone)]
pub struct RemoteRead {
    store: Arc<dyn Store>,
    limits: ReadLimits,
    places: Arc<Semaphore>,
}

impl fmt::Debug for RemoteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRead")
            .field("store", &self.store)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl RemoteRead {
    /// The endpoint over `store`.
    pub fn new(store: Arc<dyn Store>, limits: ReadLimits) -> Self {
        Self {
            store,
            limits,
            places: Arc::new(Semaphore::new(limits.concurrent_max)),
        }
    }

    /// Answers a request for `tenant`.
    ///
    /// # Panics
    /// When called on a thread that is not one of tokio's for work that blocks, which is where the
    /// HTTP server calls handlers.
    pub fn answer(&self, request: &Request, tenant: &str) -> Response {
        if request.method != Method::POST {
            return Response::not_allowed("OPTIONS, POST");
        }
        match self.try_answer(request, tenant) {
            Ok(response) => response,
            Err(error) => refuse(&error),
        }
    }

    fn try_answer(&self, request: &Request, tenant: &str) -> Result<Response, ReadError> {
        let runtime = Handle::current();
        let question = ReadRequest::decode(&request.body, self.limits.request_bytes_max)?;
        let waiting = Arc::clone(&self.places).acquire_owned();
        let place = runtime.block_on(timeout(self.limits.queue_time_max, waiting));
        let Ok(Ok(place)) = place else {
            return Err(ReadError::Busy {
                max: self.limits.concurrent_max,
            });
        };
        let readers = question.queries.into_iter().map(|query| {
            let stream = self.store.series(series_request(&query, tenant));
            let reader = SeriesReader::new(stream, runtime.clone());
            (query, reader)
        });
        let readers: Vec<_> = readers.collect();
        match question.response_type {
            ResponseType::Samples => self.answer_samples(readers),
            ResponseType::StreamedXorChunks => answer_chunks(readers, place),
        }
    }

    fn answer_samples(
        &self,
        readers: Vec<(ReadQuery, SeriesReader)>,
    ) -> Result<Response, ReadError> {
        let mut left = self.limits.samples_max;
        let mut message = ReadResponse::default();
        for (query, mut reader) in readers {
            let mut result = QueryResult::default();
            while let Some(series) = reader.next()? {
                match time_series(&series, query.range, &mut left) {
                    Ok(found) => result.timeseries.extend(found),
                    Err(OutOfSamples::Unreadable(error)) => return Err(error),
                    Err(OutOfSamples::Exceeded) => {
                        return Err(ReadError::TooManySamples {
                            max: self.limits.samples_max,
                        });
                    }
                }
            }
            message.results.push(result);
        }
        let body = snappy::compress(&message.encode_to_vec())?;
        Ok(Response::bytes(StatusCode::OK, CONTENT_TYPE_SAMPLES, body)
            .with_header(header::CONTENT_ENCODING, HeaderValue::from_static("snappy")))
    }
}

fn series_request(query: &ReadQuery, tenant: &str) -> SeriesRequest {
    SeriesRequest {
        range: query.range,
        matchers: query.matchers.clone(),
        aggregates: vec![Aggregate::Raw],
        // The protocol has no place to say that a part is missing.
        partial_response: PartialResponse::Abort,
        hints: query.hints.clone(),
        tenant: tenant.to_owned(),
        ..SeriesRequest::default()
    }
}

/// Streams chunks. The first series is read before the answer begins, so that a store that fails at
/// once is seen to; one that fails later ends the connection.
fn answer_chunks(
    readers: Vec<(ReadQuery, SeriesReader)>,
    place: OwnedSemaphorePermit,
) -> Result<Response, ReadError> {
    let mut started = Vec::with_capacity(readers.len());
    for (query, (_, mut reader)) in readers.into_iter().enumerate() {
        let first = reader.next()?;
        started.push((query, first, reader));
    }
    Ok(Response::written(
        StatusCode::OK,
        CONTENT_TYPE_STREAMED,
        move |out| {
            let _place = place;
            let mut buffer = Vec::new();
            for (query, first, mut reader) in started {
                let mut next: Option<WholeSeries> = first;
                while let Some(series) = next {
                    write_frames(series, query, out, &mut buffer)?;
                    next = reader.next().map_err(|error| {
                        tracing::warn!(%error, "remote read was cut");
                        io::Error::other(error)
                    })?;
                }
            }
            Ok(())
        },
    ))
}

fn refuse(error: &ReadError) -> Response {
    let status = match error.kind() {
        ErrorKind::Invalid | ErrorKind::Exhausted => StatusCode::BAD_REQUEST,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(%error, "remote read failed");
    }
    Response::text(status, &error.to_string())
}
