//! Rules, scrape targets, metadata, exemplars and figures of Prometheus, over gRPC.
//!
//! Prometheus answers in JSON; the answer goes on in Thanos' messages, with external labels added
//! to what has labels of series.

mod json;
mod statistics;

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use model::TimeRange;
use proto::thanos::{
    ExemplarsRequest, ExemplarsResponse, MetricMetadataRequest, MetricMetadataResponse,
    RulesRequest, RulesResponse, TargetsRequest, TargetsResponse, TsdbStatistics,
    TsdbStatisticsRequest, TsdbStatisticsResponse, exemplars_response, exemplars_server,
    metadata_server, metric_metadata_response, rules_request, rules_response, rules_server,
    status_server, targets_request, targets_response, targets_server, tsdb_statistics_response,
};
use reqwest::Method;
use storeapi::StoreError;
use storeapi::grpc::to_status;
use tonic::{Request, Response, Status};

use crate::client::{Answer, Parameters, selection};
use crate::source::Source;

/// Whom figures are of: a Prometheus has one tenant, which bears Thanos' name for such a one.
const TENANT: &str = "default-tenant";

/// Answers what Prometheus answers.
#[derive(Debug, Clone)]
pub(crate) struct Apis {
    source: Arc<Source>,
}

/// Messages of an answer.
type Messages<T> = BoxStream<'static, Result<T, Status>>;

impl Apis {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source }
    }

    async fn ask<T: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        parameters: &Parameters,
    ) -> Result<Answer<T>, Status> {
        let answer = self.source.client().ask(Method::GET, path, parameters);
        answer.await.map_err(|error: StoreError| to_status(&error))
    }
}

/// Warnings, and then the rest.
fn messages<T: Send + 'static>(
    warnings: Vec<String>,
    warn: impl Fn(String) -> T,
    rest: impl IntoIterator<Item = T>,
) -> Response<Messages<T>> {
    let warnings = warnings.into_iter().map(warn);
    let all: Vec<_> = warnings.chain(rest).map(Ok).collect();
    Response::new(stream::iter(all).boxed())
}

#[tonic::async_trait]
impl rules_server::Rules for Apis {
    type RulesStream = Messages<RulesResponse>;

    async fn rules(
        &self,
        request: Request<RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        let kind = match request.get_ref().r#type() {
            rules_request::Type::All => None,
            rules_request::Type::Alert => Some("alert"),
            rules_request::Type::Record => Some("record"),
        };
        let kind = kind.map(|kind| ("type", kind.to_owned()));
        let kind = kind.into_iter().collect();
        let answer = self.ask::<json::Groups>("/api/v1/rules", &kind).await?;
        let external = self.source.labels();
        let result = |result| RulesResponse {
            result: Some(result),
        };
        let groups = answer.data.groups.into_iter();
        let groups = groups
            .map(|group| result(rules_response::Result::Group(group.into_wire(&external))))
            .collect::<Vec<_>>();
        let warn = |text| result(rules_response::Result::Warning(text));
        Ok(messages(answer.warnings, warn, groups))
    }
}

#[tonic::async_trait]
impl targets_server::Targets for Apis {
    type TargetsStream = Messages<TargetsResponse>;

    async fn targets(
        &self,
        request: Request<TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let state = match request.get_ref().state() {
            targets_request::State::Any => "any",
            targets_request::State::Active => "active",
            targets_request::State::Dropped => "dropped",
        };
        let state = vec![("state", state.to_owned())];
        let answer = self.ask::<json::Targets>("/api/v1/targets", &state).await?;
        let targets = answer.data.into_wire(&self.source.labels());
        let result = |result| TargetsResponse {
            result: Some(result),
        };
        let targets = result(targets_response::Result::Targets(targets));
        let warn = |text| result(targets_response::Result::Warning(text));
        Ok(messages(answer.warnings, warn, [targets]))
    }
}

#[tonic::async_trait]
impl metadata_server::Metadata for Apis {
    type MetricMetadataStream = Messages<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let request = request.into_inner();
        let mut parameters = Parameters::new();
        if !request.metric.is_empty() {
            parameters.push(("metric", request.metric));
        }
        if request.limit >= 0 {
            parameters.push(("limit", request.limit.to_string()));
        }
        let answer = self
            .ask::<json::Metadata>("/api/v1/metadata", &parameters)
            .await?;
        let result = |result| MetricMetadataResponse {
            result: Some(result),
        };
        let metadata = json::metadata_into_wire(answer.data);
        let metadata = result(metric_metadata_response::Result::Metadata(metadata));
        let warn = |text| result(metric_metadata_response::Result::Warning(text));
        Ok(messages(answer.warnings, warn, [metadata]))
    }
}

#[tonic::async_trait]
impl exemplars_server::Exemplars for Apis {
    type ExemplarsStream = Messages<ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let request = request.into_inner();
        let mut parameters = selection(&[], TimeRange::closed(request.start, request.end));
        parameters.push(("query", request.query));
        let path = "/api/v1/query_exemplars";
        let answer = self
            .ask::<Vec<json::SeriesExemplars>>(path, &parameters)
            .await?;
        let external = self.source.labels();
        let result = |result| ExemplarsResponse {
            result: Some(result),
        };
        let data: Vec<_> = answer
            .data
            .into_iter()
            .map(|series| series.into_wire(&external))
            .collect::<Result<_, _>>()
            .map_err(|value| Status::unavailable(format!("exemplar {value:?} is no number")))?;
        let data = data
            .into_iter()
            .map(|data| result(exemplars_response::Result::Data(data)));
        let warn = |text| result(exemplars_response::Result::Warning(text));
        Ok(messages(answer.warnings, warn, data))
    }
}

#[tonic::async_trait]
impl status_server::Status for Apis {
    type TSDBStatisticsStream = Messages<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let limit = usize::try_from(request.get_ref().limit).ok();
        let limit = limit.filter(|limit| *limit > 0);
        let parameters = limit.map(|limit| ("limit", limit.to_string()));
        let parameters: Parameters = parameters.into_iter().collect();
        let path = "/api/v1/status/tsdb";
        let answer = self
            .ask::<statistics::Statistics>(path, &parameters)
            .await?;
        let entry = answer.data.into_wire(limit.unwrap_or(usize::MAX));
        let result = |result| TsdbStatisticsResponse {
            result: Some(result),
        };
        let statistics = tsdb_statistics_response::Result::Statistics(TsdbStatistics {
            statistics: [(TENANT.to_owned(), entry)].into(),
        });
        let warn = |text| result(tsdb_statistics_response::Result::Warning(text));
        Ok(messages(answer.warnings, warn, [result(statistics)]))
    }
}
