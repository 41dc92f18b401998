//! What a component says of itself.

use model::{ErrorKind, Labels};
use proto::thanos::LabelSet;
use proto::thanos::info::{ExemplarsInfo, InfoResponse, StoreInfo, TsdbInfo};

use crate::catalog::Services;
use crate::store::{Info, InfoPart, StoreError};

/// What an endpoint is and serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointInfo {
    /// Its kind in Thanos' words: `sidecar`, `store`, `receive`, `rule`, `query`.
    pub component: String,
    /// What its StoreAPI has, if it serves one.
    pub store: Option<Info>,
    /// What it serves beside series.
    pub catalog: Services,
    /// It serves the Query API.
    pub query: bool,
}

/// An endpoint's answer to the question what it is.
pub fn to_wire(info: &EndpointInfo) -> InfoResponse {
    let label_sets = info.store.iter().flat_map(|store| &store.label_sets);
    InfoResponse {
        label_sets: label_sets.map(LabelSet::from).collect(),
        component_type: info.component.clone(),
        store: info.store.as_ref().map(store_to_wire),
        rules: info.catalog.rules.then(Default::default),
        metric_metadata: info.catalog.metadata.then(Default::default),
        targets: info.catalog.targets.then(Default::default),
        exemplars: info
            .catalog
            .exemplars
            .map(|(min_time, max_time)| ExemplarsInfo { min_time, max_time }),
        query: info.query.then(Default::default),
        status: info.catalog.statistics.then(Default::default),
    }
}

fn store_to_wire(info: &Info) -> StoreInfo {
    let part = |part: &InfoPart| TsdbInfo {
        labels: Some(LabelSet::from(&part.labels)),
        min_time: part.min_time,
        max_time: part.max_time,
    };
    StoreInfo {
        min_time: info.min_time,
        max_time: info.max_time,
        supports_sharding: info.supports_sharding,
        supports_without_replica_labels: info.supports_without_replica_labels,
        tsdb_infos: info.parts.iter().map(part).collect(),
        supports_projections: false,
    }
}

/// What an endpoint's answer says.
///
/// # Errors
/// When its labels are not text.
pub fn from_wire(response: InfoResponse) -> Result<EndpointInfo, StoreError> {
    let label_sets = &response.label_sets;
    let store = response
        .store
        .map(|store| store_from_wire(store, label_sets));
    Ok(EndpointInfo {
        component: response.component_type,
        store: store.transpose()?,
        catalog: Services {
            rules: response.rules.is_some(),
            targets: response.targets.is_some(),
            metadata: response.metric_metadata.is_some(),
            exemplars: response.exemplars.map(exemplar_times),
            statistics: response.status.is_some(),
        },
        query: response.query.is_some(),
    })
}

/// From when to when there are exemplars. Endpoints of Thanos say nothing of it, which reads as two
/// zeros: then they may be from any time.
fn exemplar_times(info: ExemplarsInfo) -> (i64, i64) {
    match (info.min_time, info.max_time) {
        (0, 0) => (i64::MIN, i64::MAX),
        times => times,
    }
}

fn store_from_wire(store: StoreInfo, label_sets: &[LabelSet]) -> Result<Info, StoreError> {
    let part = |part: &TsdbInfo| {
        Ok(InfoPart {
            labels: part
                .labels
                .as_ref()
                .map(read_labels)
                .transpose()?
                .unwrap_or_default(),
            min_time: part.min_time,
            max_time: part.max_time,
        })
    };
    Ok(Info {
        label_sets: label_sets
            .iter()
            .map(read_labels)
            .collect::<Result<_, _>>()?,
        min_time: store.min_time,
        max_time: store.max_time,
        parts: store
            .tsdb_infos
            .iter()
            .map(part)
            .collect::<Result<_, _>>()?,
        supports_without_replica_labels: store.supports_without_replica_labels,
        supports_sharding: store.supports_sharding,
    })
}

pub(super) fn read_labels(set: &LabelSet) -> Result<Labels, StoreError> {
    Labels::try_from(set).map_err(|error| {
        StoreError::new(
            ErrorKind::Corrupt,
            format!("the endpoint's labels cannot be read: {error}"),
        )
    })
}
