//! The servers.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use proto::thanos::exemplars_server::{Exemplars, ExemplarsServer};
use proto::thanos::metadata_server::{Metadata, MetadataServer};
use proto::thanos::rules_server::{Rules, RulesServer};
use proto::thanos::status_server::{self, StatusServer};
use proto::thanos::targets_server::{Targets, TargetsServer};
use proto::thanos::{
    ExemplarsRequest, ExemplarsResponse, MetricMetadataRequest, MetricMetadataResponse,
    RulesRequest, RulesResponse, TargetsRequest, TargetsResponse, TsdbStatisticsRequest,
    TsdbStatisticsResponse, exemplars_response, metric_metadata_response, rules_response,
    targets_response, tsdb_statistics_response,
};
use tonic::{Request, Response, Status};

use super::super::{Served, tenant_of, to_status};
use crate::catalog::{Answering, Catalog, Services};
use crate::wire::{catalog as wire, statistics};

/// Serves a catalog.
#[derive(Debug, Clone)]
pub struct CatalogService(Arc<dyn Catalog>);

impl CatalogService {
    /// Adds to `all` those of the services that `catalog` has.
    pub fn add_to(all: Served, catalog: Arc<dyn Catalog>, has: Services) -> Served {
        let service = Self(catalog);
        let mut all = all;
        if has.rules {
            all = all.with(RulesServer::new(service.clone()));
        }
        if has.targets {
            all = all.with(TargetsServer::new(service.clone()));
        }
        if has.metadata {
            all = all.with(MetadataServer::new(service.clone()));
        }
        if has.exemplars.is_some() {
            all = all.with(ExemplarsServer::new(service.clone()));
        }
        if has.statistics {
            all = all.with(StatusServer::new(service));
        }
        all
    }
}

/// Messages of an answer.
type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// Warnings, and then what `rest` makes of the data.
async fn answer<T, M: Send + 'static, I: IntoIterator<Item = M>>(
    asked: Answering<T>,
    warn: impl Fn(String) -> M + Send,
    rest: impl FnOnce(T) -> I + Send,
) -> Result<Response<Messages<M>>, Status> {
    let answer = asked.await.map_err(|error| to_status(&error))?;
    let warnings = answer.warnings.into_iter().map(warn);
    let all: Vec<_> = warnings.chain(rest(answer.data)).map(Ok).collect();
    Ok(Response::new(stream::iter(all).boxed()))
}

#[tonic::async_trait]
impl Rules for CatalogService {
    type RulesStream = Messages<RulesResponse>;

    async fn rules(
        &self,
        request: Request<RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        use rules_response::Result as Say;
        let tenant = tenant_of(request.metadata());
        let request = wire::rules_request_from_wire(request.into_inner(), tenant);
        let say = |result| RulesResponse {
            result: Some(result),
        };
        let warn = |text| say(Say::Warning(text));
        answer(self.0.rules(request), warn, |groups| {
            let groups = groups.into_iter();
            groups.map(move |group| say(Say::Group(wire::group_to_wire(&group))))
        })
        .await
    }
}

#[tonic::async_trait]
impl Targets for CatalogService {
    type TargetsStream = Messages<TargetsResponse>;

    async fn targets(
        &self,
        request: Request<TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        use targets_response::Result as Say;
        let tenant = tenant_of(request.metadata());
        let request = wire::targets_request_from_wire(request.into_inner(), tenant);
        let say = |result| TargetsResponse {
            result: Some(result),
        };
        let warn = |text| say(Say::Warning(text));
        answer(self.0.targets(request), warn, |targets| {
            [say(Say::Targets(wire::targets_to_wire(&targets)))]
        })
        .await
    }
}

#[tonic::async_trait]
impl Metadata for CatalogService {
    type MetricMetadataStream = Messages<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        use metric_metadata_response::Result as Say;
        let tenant = tenant_of(request.metadata());
        let request = wire::metadata_request_from_wire(request.into_inner(), tenant);
        let say = |result| MetricMetadataResponse {
            result: Some(result),
        };
        let warn = |text| say(Say::Warning(text));
        answer(self.0.metadata(request), warn, |metadata| {
            [say(Say::Metadata(wire::metadata_to_wire(metadata)))]
        })
        .await
    }
}

#[tonic::async_trait]
impl Exemplars for CatalogService {
    type ExemplarsStream = Messages<ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        use exemplars_response::Result as Say;
        let tenant = tenant_of(request.metadata());
        let request = wire::exemplars_request_from_wire(request.into_inner(), tenant);
        let say = |result| ExemplarsResponse {
            result: Some(result),
        };
        let warn = |text| say(Say::Warning(text));
        answer(self.0.exemplars(request), warn, |all| {
            let all = all.into_iter();
            all.map(move |series| say(Say::Data(wire::exemplars_to_wire(&series))))
        })
        .await
    }
}

#[tonic::async_trait]
impl status_server::Status for CatalogService {
    type TSDBStatisticsStream = Messages<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        use tsdb_statistics_response::Result as Say;
        let tenant = tenant_of(request.metadata());
        let request = statistics::request_from_wire(request.get_ref(), tenant);
        let ranks = request.limit.unwrap_or(usize::MAX);
        let say = |result| TsdbStatisticsResponse {
            result: Some(result),
        };
        let warn = |text| say(Say::Warning(text));
        answer(self.0.statistics(request), warn, |by_tenant| {
            [say(Say::Statistics(statistics::to_wire(by_tenant, ranks)))]
        })
        .await
    }
}
