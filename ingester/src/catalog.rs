//! What an ingester knows beside series: its targets, metadata of what it scrapes and receives, what
//! its heads are made of, and the exemplars in them. Of rules it knows nothing.

use std::sync::Arc;

use model::{ErrorKind, Labels};
use promql::parse::{GIVEN, parse_expr};
use runtime::notifications::{Notifications, RELOAD_FAILED};
use runtime::process::blocking;
use runtime::{Clock, Reloads};
use storeapi::StoreError;
use storeapi::catalog::statistics::HeadStatistics;
use storeapi::catalog::{
    Answering, Catalog, ExemplarsRequest, MetadataByMetric, MetadataRequest, MetricMetadata,
    RuleGroup, RulesRequest, SeriesExemplars, Services, StatisticsByTenant, StatisticsRequest,
    Targets, TargetsRequest, add_metadata,
};
use storeapi::external_labels::remaining_matchers;

use crate::api::Control;
use crate::export::Exporters;
use crate::front::Front;
use crate::receive::Receiver;
use crate::scrape::status::TargetMetadata;
use crate::scraping::Scraping;
use crate::storage::{Tenant, Tenants};

/// What an ingester can answer.
pub const SERVICES: Services = Services {
    rules: false,
    targets: true,
    metadata: true,
    exemplars: Some((i64::MIN, i64::MAX)),
    statistics: true,
};

/// The parts of the component that the API shows and controls, and other components ask.
pub(crate) struct Parts {
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) scraping: Arc<Scraping>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) front: Front,
    pub(crate) exporters: Arc<Exporters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) notifications: Notifications,
    pub(crate) reloads: Reloads,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Parts {
    /// Reads the files again. What is wrong with one does not keep the other from it.
    fn read_again(&self) -> Result<(), String> {
        let of_front = self.front.reload();
        self.scraping.reload()?;
        let exported = self.exporters.set(&self.scraping.exports());
        of_front.and(exported.map_err(|error| error.to_string()))
    }
}

impl Parts {
    /// What tells whether files that are read again changed.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.scraping.fingerprint()
    }
}

impl Control for Parts {
    fn config_yaml(&self) -> String {
        self.scraping.config_yaml()
    }

    fn reload(&self) -> Result<(), String> {
        let _turn = self.reloads.turn();
        let reloaded = self.read_again();
        let now_ms = self.clock.now_ms();
        self.reloads.note(reloaded.is_ok(), now_ms);
        match &reloaded {
            Ok(()) => self.notifications.withdraw(RELOAD_FAILED),
            Err(_) => self.notifications.raise(RELOAD_FAILED, now_ms),
        }
        reloaded
    }

    fn ingest(&self) -> serde_json::Value {
        let mut shown = self.front.shown();
        shown["exporters"] = self.exporters.shown();
        shown
    }

    fn targets(&self, pool: Option<&str>) -> Targets {
        self.scraping.manager().targets(pool)
    }

    fn targets_metadata(
        &self,
        matching: &dyn Fn(&Labels) -> bool,
        metric: Option<&str>,
        limit: Option<usize>,
    ) -> Vec<TargetMetadata> {
        let manager = self.scraping.manager();
        manager.targets_metadata(matching, metric, limit)
    }

    fn scrape_pools(&self) -> Vec<String> {
        self.scraping.manager().pools()
    }

    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Option<Vec<serde_json::Value>> {
        self.scraping.manager().relabel_steps(pool, labels)
    }

    fn metadata(&self, metric: Option<&str>) -> MetadataByMetric {
        let mut all = self.scraping.manager().metadata(metric);
        for (metric, metadata) in self.receiver.metadata().list(metric, 0) {
            add_metadata(&mut all, &metric, MetricMetadata::from(&metadata));
        }
        all
    }

    fn heads(&self) -> StatisticsByTenant {
        heads(&self.tenants.all())
    }
}

fn heads(tenants: &[Arc<Tenant>]) -> StatisticsByTenant {
    let head = |tenant: &Arc<Tenant>| {
        let statistics = HeadStatistics::of(tenant.db.head());
        (tenant.name.to_string(), statistics)
    };
    tenants.iter().map(head).collect()
}

impl Catalog for Parts {
    fn rules(&self, _: RulesRequest) -> Answering<Vec<RuleGroup>> {
        told(Vec::new())
    }

    fn targets(&self, request: TargetsRequest) -> Answering<Targets> {
        let mut targets = self.scraping.manager().targets(None);
        targets.keep(request.state);
        targets.add_external(&self.tenants.options().labels);
        told(targets)
    }

    fn metadata(&self, request: MetadataRequest) -> Answering<MetadataByMetric> {
        let metric = Some(request.metric.as_str()).filter(|metric| !metric.is_empty());
        let all = Control::metadata(self, metric);
        let limit = request.limit.unwrap_or(usize::MAX);
        told(all.into_iter().take(limit).collect())
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>> {
        let tenants = self.tenants.all();
        Box::pin(async move {
            // A head may hold many.
            let found = blocking(move || {
                let mut found = Vec::new();
                for tenant in &tenants {
                    found.extend(of_tenant(tenant, &request)?);
                }
                Ok::<_, StoreError>(found)
            });
            Ok(found.await?.into())
        })
    }

    fn statistics(&self, _: StatisticsRequest) -> Answering<StatisticsByTenant> {
        let tenants = self.tenants.all();
        // All series are counted.
        Box::pin(async move {
            Ok(blocking(move || Ok::<_, StoreError>(heads(&tenants)))
                .await?
                .into())
        })
    }
}

fn told<T: Send + 'static>(data: T) -> Answering<T> {
    Box::pin(std::future::ready(Ok(data.into())))
}

/// The exemplars in a tenant's head, its labels added to those of the series.
fn of_tenant(
    tenant: &Tenant,
    request: &ExemplarsRequest,
) -> Result<Vec<SeriesExemplars>, StoreError> {
    let expr = parse_expr(&request.query, GIVEN)
        .map_err(|error| StoreError::new(ErrorKind::Invalid, error.to_string()))?;
    let selectors = expr.selectors();
    let selectors = selectors.iter();
    let selectors: Vec<_> = selectors
        .filter_map(|matchers| remaining_matchers(matchers, &tenant.labels))
        .collect();
    let found = tenant.db.head().exemplars(&selectors, request.range);
    let shown = found.into_iter().map(|series| {
        let mut shown = SeriesExemplars {
            series_labels: series.labels,
            exemplars: series.exemplars,
        };
        shown.add_external(&tenant.labels);
        shown
    });
    Ok(shown.collect())
}
