//! Rules, scrape targets, metadata, exemplars and head statistics of Prometheus.
//!
//! Prometheus answers in JSON, which is read into the types of [`storeapi::catalog`]; external labels
//! are added to what has labels of series.

mod statistics;

use std::sync::Arc;

use reqwest::Method;
use serde::de::DeserializeOwned;
use storeapi::catalog::{
    Answer, Answering, Catalog, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup,
    RuleGroups, RuleKind, RulesRequest, SeriesExemplars, Services, StatisticsByTenant,
    StatisticsRequest, TargetState, Targets, TargetsRequest,
};

use crate::client::{Parameters, selection};
use crate::source::Source;

/// What a Prometheus answers, exemplars of any time among it.
pub(crate) const SERVICES: Services = Services {
    rules: true,
    targets: true,
    metadata: true,
    exemplars: Some((i64::MIN, i64::MAX)),
    statistics: true,
};

/// Whom heads are of: a Prometheus has one tenant, which bears Thanos' name for such a one.
const TENANT: &str = "default-tenant";

/// A Prometheus as a catalog.
#[derive(Debug, Clone)]
pub(crate) struct PrometheusCatalog {
    source: Arc<Source>,
}

impl PrometheusCatalog {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source }
    }

    /// What Prometheus answers, after `finish`.
    fn ask<T: DeserializeOwned + Send + 'static, U: Send + 'static>(
        &self,
        path: &'static str,
        parameters: Parameters,
        finish: impl FnOnce(T, &Source) -> U + Send + 'static,
    ) -> Answering<U> {
        let source = Arc::clone(&self.source);
        Box::pin(async move {
            let asked = source.client().ask::<T>(Method::GET, path, &parameters);
            let Answer { data, warnings } = asked.await?;
            let data = finish(data, &source);
            Ok(Answer { data, warnings })
        })
    }
}

impl Catalog for PrometheusCatalog {
    fn rules(&self, request: RulesRequest) -> Answering<Vec<RuleGroup>> {
        // The other choices are newer than many a Prometheus; who asks makes them in any case.
        let kind = request.kind.map(|kind| match kind {
            RuleKind::Alerting => ("type", "alert".to_owned()),
            RuleKind::Recording => ("type", "record".to_owned()),
        });
        let parameters = kind.into_iter().collect();
        self.ask("/api/v1/rules", parameters, |rules: RuleGroups, source| {
            let external = source.labels();
            let mut groups = rules.groups;
            for group in &mut groups {
                group.add_external(&external);
            }
            groups
        })
    }

    fn targets(&self, request: TargetsRequest) -> Answering<Targets> {
        let state = match request.state {
            TargetState::Any => "any",
            TargetState::Active => "active",
            TargetState::Dropped => "dropped",
        };
        let parameters = vec![("state", state.to_owned())];
        self.ask(
            "/api/v1/targets",
            parameters,
            |mut targets: Targets, source| {
                targets.add_external(&source.labels());
                targets
            },
        )
    }

    fn metadata(&self, request: MetadataRequest) -> Answering<MetadataByMetric> {
        let mut parameters = Parameters::new();
        if !request.metric.is_empty() {
            parameters.push(("metric", request.metric));
        }
        if let Some(limit) = request.limit {
            parameters.push(("limit", limit.to_string()));
        }
        self.ask("/api/v1/metadata", parameters, |metadata, _| metadata)
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>> {
        let mut parameters = selection(&[], request.range);
        parameters.push(("query", request.query));
        self.ask(
            "/api/v1/query_exemplars",
            parameters,
            |mut all: Vec<SeriesExemplars>, source| {
                let external = source.labels();
                for series in &mut all {
                    series.add_external(&external);
                }
                all
            },
        )
    }

    fn statistics(&self, request: StatisticsRequest) -> Answering<StatisticsByTenant> {
        let limit = request.limit.map(|limit| ("limit", limit.to_string()));
        let path = "/api/v1/status/tsdb";
        let parameters = limit.into_iter().collect();
        self.ask(path, parameters, |said: statistics::Said, _| {
            StatisticsByTenant::from([(TENANT.to_owned(), said.into())])
        })
    }
}
