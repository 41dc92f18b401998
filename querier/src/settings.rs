//! How queries are answered unless they say otherwise.

use std::collections::BTreeSet;
use std::time::Duration;

use model::Matcher;
use promql::parse;

use crate::dedup::Dedup;
use crate::dialect::DialectFlags;

/// Name of the tenant whose data has no tenant's name.
pub const DEFAULT_TENANT: &str = "default-tenant";

/// How queries are answered unless they say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How expressions are evaluated.
    pub engine: promql::Options,
    /// Which PromQL is spoken.
    pub dialect: DialectFlags,
    /// What the text of an expression may be like.
    pub text_limits: parse::Limits,
    /// Labels that tell replicas apart.
    pub replica_labels: Vec<String>,
    /// Labels that names and values of labels leave out: replica labels that the user did not name.
    pub hidden_labels: Vec<String>,
    /// How replicas become one series.
    pub dedup: Dedup,
    /// An answer that lacks a store's part is better than none.
    pub partial_response: bool,
    /// Range queries read downsampled data when their step allows it.
    pub auto_downsampling: bool,
    /// Coarsest resolution that instant queries read, in milliseconds.
    pub instant_max_resolution: i64,
    /// Least step of range queries that do not say one, in milliseconds; 0 when they must.
    pub default_step_ms: i64,
    /// `match[]` may accept series without labels, as in Thanos, where `{cluster=~".*"}` stands for
    /// all; Prometheus refuses it.
    pub open_selectors: bool,
    /// How far back names and values of labels are looked up when nothing is said; 0 for all time.
    pub metadata_range_ms: i64,
    /// How long a store may say nothing while it owes an answer; zero for ever.
    pub store_silence_max: Duration,
    /// How tenants are told apart.
    pub tenancy: Tenancy,
    /// Bytes of results of queries that are kept to answer later ones; 0 for none.
    pub results_cache_bytes: u64,
    /// Samples older than this do not arrive any more, in milliseconds; results of later steps are
    /// not kept.
    pub results_settle_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: promql::Options::default(),
            dialect: DialectFlags::default(),
            text_limits: parse::Limits::DEFAULT,
            replica_labels: Vec::new(),
            hidden_labels: Vec::new(),
            dedup: Dedup::Penalty,
            partial_response: true,
            auto_downsampling: false,
            instant_max_resolution: 0,
            default_step_ms: 0,
            open_selectors: false,
            metadata_range_ms: 0,
            store_silence_max: Duration::from_secs(120),
            tenancy: Tenancy::default(),
            results_cache_bytes: 64 << 20,
            // Ingesters take samples that are half an hour old.
            results_settle_ms: 40 * 60 * 1000,
        }
    }
}

/// Least step over endpoints, as in Thanos, in milliseconds.
const OPEN_STEP_MS: i64 = 1_000;

impl Settings {
    /// Answers as Thanos' querier does, not as one Prometheus; `says_step` if the least step was said.
    pub(crate) fn over_endpoints(&mut self, says_step: bool) {
        self.open_selectors = true;
        if !says_step {
            self.default_step_ms = OPEN_STEP_MS;
        }
    }

    /// What may be written in an expression, and how much of it.
    pub fn syntax(&self) -> parse::Options {
        parse::Options {
            limits: self.text_limits,
            ..self.dialect.syntax()
        }
    }
}

/// How tenants are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// The header that names the tenant.
    pub header: String,
    /// The tenant of requests without it.
    pub default_tenant: String,
    /// Tenants see only series whose `label` is their name.
    pub is_enforced: bool,
    /// The label that names the tenant of a series.
    pub label: String,
}

impl Default for Tenancy {
    fn default() -> Self {
        Self {
            header: "THANOS-TENANT".to_owned(),
            default_tenant: DEFAULT_TENANT.to_owned(),
            is_enforced: false,
            label: "tenant_id".to_owned(),
        }
    }
}

impl Tenancy {
    /// The tenant of a request of the StoreAPI, in which none is empty.
    pub(crate) fn named<'a>(&'a self, tenant: &'a str) -> &'a str {
        match tenant {
            "" => &self.default_tenant,
            name => name,
        }
    }

    /// What makes sure that a tenant sees its own only, where that is so.
    pub(crate) fn enforced(&self, name: &str) -> Option<Matcher> {
        self.is_enforced.then(|| Matcher::equal(&self.label, name))
    }
}

/// Labels that may be said one by one or in lists with commas, each once.
pub(crate) fn label_list<'a>(said: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names = said.into_iter().flat_map(|list| list.split(','));
    let names: BTreeSet<&str> = names.map(str::trim).filter(|n| !n.is_empty()).collect();
    names.into_iter().map(str::to_owned).collect()
}
