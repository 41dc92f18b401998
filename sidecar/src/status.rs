//! Figures of Prometheus' head, over gRPC.

mod statistics;

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use proto::thanos::{
    TsdbStatistics, TsdbStatisticsRequest, TsdbStatisticsResponse, status_server,
    tsdb_statistics_response,
};
use reqwest::Method;
use storeapi::grpc::to_status;
use tonic::{Request, Response, Status};

use crate::client::Parameters;
use crate::source::Source;

/// Whom figures are of: a Prometheus has one tenant, which bears Thanos' name for such a one.
const TENANT: &str = "default-tenant";

/// Answers with the figures of a Prometheus.
#[derive(Debug, Clone)]
pub(crate) struct PrometheusStatus {
    source: Arc<Source>,
}

impl PrometheusStatus {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source }
    }
}

#[tonic::async_trait]
impl status_server::Status for PrometheusStatus {
    type TSDBStatisticsStream = BoxStream<'static, Result<TsdbStatisticsResponse, Status>>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let limit = usize::try_from(request.get_ref().limit).ok();
        let limit = limit.filter(|limit| *limit > 0);
        let parameters = limit.map(|limit| ("limit", limit.to_string()));
        let parameters: Parameters = parameters.into_iter().collect();
        let path = "/api/v1/status/tsdb";
        let client = self.source.client();
        let asked = client.ask::<statistics::Statistics>(Method::GET, path, &parameters);
        let answer = asked.await.map_err(|error| to_status(&error))?;
        let entry = answer.data.into_wire(limit.unwrap_or(usize::MAX));
        let result = |result| TsdbStatisticsResponse {
            result: Some(result),
        };
        let statistics = tsdb_statistics_response::Result::Statistics(TsdbStatistics {
            statistics: [(TENANT.to_owned(), entry)].into(),
        });
        let warn = |text| result(tsdb_statistics_response::Result::Warning(text));
        let warnings = answer.warnings.into_iter().map(warn);
        let all: Vec<_> = warnings.chain([result(statistics)]).map(Ok).collect();
        Ok(Response::new(stream::iter(all).boxed()))
    }
}
