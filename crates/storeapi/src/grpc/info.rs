//! `thanos.info.Info`.

use std::fmt;
use std::sync::Arc;

use proto::thanos::info::info_server::{Info, InfoServer};
use proto::thanos::info::{InfoRequest, InfoResponse};
use runtime::grpc::Readiness;
use tonic::{Request, Response, Status};

use crate::wire::info::{EndpointInfo, to_wire};

/// Says what a component serves, once it is ready.
pub struct InfoService {
    describe: Arc<dyn Fn() -> EndpointInfo + Send + Sync>,
    readiness: Readiness,
}

impl fmt::Debug for InfoService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfoService")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

impl InfoService {
    /// A service that answers what `describe` says, from memory and at any time.
    pub fn new(
        readiness: Readiness,
        describe: impl Fn() -> EndpointInfo + Send + Sync + 'static,
    ) -> InfoServer<Self> {
        InfoServer::new(Self {
            describe: Arc::new(describe),
            readiness,
        })
    }
}

#[tonic::async_trait]
impl Info for InfoService {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        if !self.readiness.get() {
            return Err(Status::unavailable("not ready; ask again later"));
        }
        Ok(Response::new(to_wire(&(self.describe)())))
    }
}
