//! `thanos.WriteableStore`: writes that a Thanos router forwards.
//!
//! Newer routers put series into field 4, by tenant; older ones into field 1, for the tenant in
//! field 2. Both may be there. The status says what the router should do: `Unavailable` to try
//! again, `AlreadyExists` for samples that will never be taken, `InvalidArgument`, `Internal`.

use std::sync::Arc;

use model::ErrorKind;
use proto::thanos::writeable_store_server::WriteableStore;
use proto::thanos::{TimeSeriesTenantTuple, WriteRequest, WriteResponse};
use runtime::process::blocking;
use tonic::{Request, Response, Status};
use tsdb::batch::Reject;

use super::error::ReceiveError;
use super::outcome::{Outcome, Reason};
use super::receiver::Receiver;

/// The service.
#[derive(Debug, Clone)]
pub struct WriteService {
    receiver: Arc<Receiver>,
}

impl WriteService {
    /// The service that writes through `receiver`.
    pub fn new(receiver: Arc<Receiver>) -> Self {
        Self { receiver }
    }
}

#[tonic::async_trait]
impl WriteableStore for WriteService {
    async fn remote_write(
        &self,
        request: Request<WriteRequest>,
    ) -> Result<Response<WriteResponse>, Status> {
        let receiver = Arc::clone(&self.receiver);
        blocking(move || write(&receiver, request.into_inner())).await?;
        Ok(Response::new(WriteResponse {}))
    }
}

fn write(receiver: &Receiver, request: WriteRequest) -> Result<(), Status> {
    let mut parts = request.timeseries_tenant_data;
    if !request.timeseries.is_empty() {
        parts.push(TimeSeriesTenantTuple {
            timeseries: request.timeseries,
            tenant: request.tenant,
        });
    }
    let mut all = Outcome::default();
    for part in parts {
        let tenant = receiver.tenants().canonical(&part.tenant);
        let tenant = tenant.map_err(|error| of_error(&error.into()))?;
        let outcome = receiver.write_series(tenant, &part.timeseries);
        all.refusals
            .merge(&outcome.map_err(|error| of_error(&error))?.refusals);
    }
    if all.refusals.is_empty() {
        return Ok(());
    }
    let text = all.refusals.to_string();
    if all.refusals.count(Reason::Head(Reject::SeriesLimit)) > 0 {
        return Err(Status::resource_exhausted(text));
    }
    Err(Status::already_exists(text))
}

fn of_error(error: &ReceiveError) -> Status {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::NotFound => Status::invalid_argument(text),
        ErrorKind::Exhausted => Status::resource_exhausted(text),
        // Of the data, which another process has open; not of samples.
        ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Cancelled => {
            Status::unavailable(text)
        }
        ErrorKind::Corrupt | ErrorKind::Internal => Status::internal(text),
    }
}
