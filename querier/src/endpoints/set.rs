//! All endpoints, and how they are.
//!
//! Every few seconds each endpoint says what it has ([`EndpointSet::update`]). One that did not
//! answer is not asked by queries until it does, and forgotten after a while; a strict one is asked
//! always, so that its absence shows. Queries take the endpoints as they are at that moment.

mod wanted;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use model::{ErrorKind, Matcher};
use parking_lot::Mutex;
use runtime::Clock;
use runtime::metrics::{Collect, Exposition, Registry};
use storeapi::catalog::Services;
use storeapi::proxy::Member;
use storeapi::wire::info::EndpointInfo;
use storeapi::{Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use tokio::time::timeout;

use super::config::EndpointConfig;
use super::group::Group;
use super::peer::{Dial, Peer};
use super::resolve::{Counted, Resolve};
use crate::stores::{CatalogMember, Coverage, FixedStore, StoreStatus, Stores, is_meant};
use wanted::{Wanted, WantedEndpoint};

/// Endpoints that are asked for their state at once.
const CHECKS_AT_ONCE: usize = 64;

/// What a set is made of and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOptions {
    /// Endpoints that were named when the process started.
    pub endpoints: Vec<EndpointConfig>,
    /// File with further endpoints, read again when it changes.
    pub config_file: Option<PathBuf>,
    /// Files with addresses, read again when they change.
    pub files: Vec<String>,
    /// How often addresses are looked up again.
    pub lookup_interval: Duration,
    /// How long an endpoint may take to say how it is.
    pub info_timeout: Duration,
    /// How long an endpoint that does not answer is remembered.
    pub unhealthy_timeout: Duration,
}

impl Default for SetOptions {
    /// Thanos' defaults, without endpoints.
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            config_file: None,
            files: Vec::new(),
            lookup_interval: Duration::from_secs(30),
            info_timeout: Duration::from_secs(5),
            unhealthy_timeout: Duration::from_secs(300),
        }
    }
}

impl SetOptions {
    /// True when there may never be an endpoint.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.config_file.is_none() && self.files.is_empty()
    }
}

/// All endpoints.
#[derive(Debug)]
pub struct EndpointSet {
    options: SetOptions,
    fixed: Vec<FixedStore>,
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    lookups: Arc<Counted>,
    wanted: tokio::sync::Mutex<Wanted>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Whose turn it is in groups.
    turn: AtomicUsize,
    /// How often an address was met that was named already.
    duplicates: AtomicU64,
}

impl EndpointSet {
    /// A set that knows of nothing but `fixed` before its first update.
    pub fn new(
        options: SetOptions,
        fixed: Vec<FixedStore>,
        (dial, resolve): (Arc<dyn Dial>, Arc<dyn Resolve>),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let lookups = Arc::new(Counted::new(resolve));
        let resolve = Arc::clone(&lookups);
        Self {
            wanted: tokio::sync::Mutex::new(Wanted::new(&options, resolve)),
            lookups,
            options,
            fixed,
            dial,
            clock,
            endpoints: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            duplicates: AtomicU64::new(0),
        }
    }

    /// Has `registry` show figures of looking addresses up, and of those that are named twice.
    pub fn show_figures(self: &Arc<Self>, registry: &Registry) {
        registry.register(Arc::<Counted>::clone(&self.lookups));
        registry.register(Arc::<Self>::clone(self));
    }

    /// Looks up addresses that are due, and asks every endpoint how it is.
    pub async fn update(&self) {
        let mut wanted = self.wanted.lock().await;
        let endpoints = self.connected(wanted.endpoints(self.clock.now_ms()).await);
        let checks = endpoints.iter().map(|endpoint| endpoint.check(self));
        let checks: Vec<_> = checks.collect();
        futures::stream::iter(checks)
            .buffer_unordered(CHECKS_AT_ONCE)
            .for_each(|()| std::future::ready(()))
            .await;
        let now = self.clock.now_ms();
        let patience =
            i64::try_from(self.options.unhealthy_timeout.as_millis()).unwrap_or(i64::MAX);
        let kept = endpoints.into_iter().filter(|endpoint| {
            endpoint.is_strict || now.saturating_sub(endpoint.state.lock().last_seen_ms) <= patience
        });
        self.endpoints.store(Arc::new(kept.collect()));
    }

    /// The endpoints at these places, those that are known with what is known of them.
    fn connected(&self, wanted: Vec<WantedEndpoint>) -> Vec<Arc<Endpoint>> {
        let known = self.endpoints.load();
        let mut connected: Vec<Arc<Endpoint>> = Vec::with_capacity(wanted.len());
        for place in wanted {
            // The first that names an address says how it is treated.
            if connected.iter().any(|e| e.address == place.address) {
                self.duplicates.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let same = |e: &&Arc<Endpoint>| {
                e.address == place.address
                    && e.group == place.group
                    && e.is_strict == place.is_strict
            };
            if let Some(endpoint) = known.iter().find(same) {
                connected.push(Arc::clone(endpoint));
                continue;
            }
            match self.dial.dial(&place.address, place.tls.as_ref()) {
                Ok(peer) => {
                    tracing::info!(address = place.address, "endpoint added");
                    let now = self.clock.now_ms();
                    connected.push(Arc::new(Endpoint::new(place, peer, now)));
                }
                Err(error) => {
                    tracing::error!(address = place.address, %error, "endpoint cannot be connected to");
                }
            }
        }
        for endpoint in known.iter() {
            if !connected.iter().any(|e| Arc::ptr_eq(e, endpoint)) {
                tracing::info!(address = endpoint.address, "endpoint removed");
            }
        }
        connected
    }
}

impl Collect for EndpointSet {
    fn collect(&self, out: &mut Exposition) {
        out.counter(
            "thanos_query_duplicated_endpoint_addresses_total",
            "How often an address was met that another endpoint has already.",
            &[],
            self.duplicates.load(Ordering::Relaxed),
        );
    }
}

impl Stores for EndpointSet {
    fn members(&self, matchers: &[Vec<Matcher>]) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        let fixed = self.fixed.iter().filter(|fixed| fixed.is_meant(matchers));
        members.extend(fixed.map(FixedStore::member));
        let mut groups: BTreeMap<&str, Vec<Arc<dyn Store>>> = BTreeMap::new();
        let endpoints = self.endpoints.load();
        for endpoint in endpoints.iter().filter(|e| e.serves_series()) {
            let label_sets = || Store::info(&**endpoint).label_sets;
            if !is_meant(matchers, Some(&endpoint.address), label_sets) {
                continue;
            }
            let store: Arc<dyn Store> = Arc::<Endpoint>::clone(endpoint);
            match &endpoint.group {
                None => members.push(Member {
                    name: endpoint.address.clone(),
                    store,
                }),
                Some(group) => groups.entry(group).or_default().push(store),
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for (name, stores) in groups {
            members.extend(Group::new(stores, turn).map(|group| Member {
                name: name.to_owned(),
                store: Arc::new(group),
            }));
        }
        members
    }

    fn catalogs(&self) -> Vec<CatalogMember> {
        let endpoints = self.endpoints.load();
        let fixed = self.fixed.iter().filter_map(FixedStore::catalog);
        fixed
            .chain(endpoints.iter().filter_map(|endpoint| endpoint.catalog()))
            .collect()
    }

    fn coverage(&self) -> Coverage {
        let endpoints = self.endpoints.load();
        let usable = endpoints.iter().filter(|e| e.serves_series());
        let usable = usable.map(|e| (e.address.as_str(), Store::info(&**e)));
        Coverage::of(self.fixed.iter().map(FixedStore::said).chain(usable))
    }

    fn statuses(&self) -> Vec<StoreStatus> {
        let fixed = self.fixed.iter().map(FixedStore::status);
        let endpoints = self.endpoints.load();
        let endpoints = endpoints.iter().map(|endpoint| endpoint.status());
        fixed.chain(endpoints).collect()
    }
}

/// An endpoint, as a store that knows what it has.
#[derive(Debug)]
struct Endpoint {
    address: String,
    group: Option<String>,
    is_strict: bool,
    peer: Arc<dyn Peer>,
    store: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What it said last; nothing before it said anything.
    info: Option<EndpointInfo>,
    last_check_ms: i64,
    last_error: Option<String>,
    /// When it answered last, or when it was added.
    last_seen_ms: i64,
}

impl Endpoint {
    fn new(place: WantedEndpoint, peer: Arc<dyn Peer>, now_ms: i64) -> Self {
        Self {
            address: place.address,
            group: place.group,
            is_strict: place.is_strict,
            store: peer.store(),
            peer,
            state: Mutex::new(State {
                info: None,
                last_check_ms: 0,
                last_error: None,
                last_seen_ms: now_ms,
            }),
        }
    }

    /// Asks how it is.
    async fn check(&self, set: &EndpointSet) {
        let limit = set.options.info_timeout;
        let answer = match timeout(limit, self.peer.ask_info()).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new(
                ErrorKind::Unavailable,
                format!("no answer within {limit:?}"),
            )),
        };
        let now = set.clock.now_ms();
        let mut state = self.state.lock();
        state.last_check_ms = now;
        match answer {
            Ok(info) => {
                if state.last_error.take().is_some() {
                    tracing::info!(address = self.address, "endpoint answers again");
                }
                state.last_seen_ms = now;
                state.info = Some(info);
            }
            Err(error) => {
                if state.last_error.is_none() {
                    tracing::warn!(address = self.address, %error, "endpoint does not answer");
                }
                state.last_error = Some(error.message);
            }
        }
    }

    fn is_usable(&self) -> bool {
        let state = self.state.lock();
        self.is_strict || (state.info.is_some() && state.last_error.is_none())
    }

    fn serves_series(&self) -> bool {
        let has_series = match &self.state.lock().info {
            Some(info) => info.store.is_some(),
            None => true,
        };
        has_series && self.is_usable()
    }

    /// What it said that it knows beside series, if it can be asked.
    fn catalog(&self) -> Option<CatalogMember> {
        let services = self.state.lock().info.as_ref()?.catalog;
        (services != Services::default() && self.is_usable()).then(|| CatalogMember {
            name: self.address.clone(),
            services,
            label_sets: Store::info(self).label_sets,
            catalog: self.peer.catalog(),
        })
    }

    fn status(&self) -> StoreStatus {
        let info = Store::info(self);
        let state = self.state.lock();
        let component = state.info.as_ref().map(|info| info.component.clone());
        StoreStatus {
            component: component.unwrap_or_else(|| "store".to_owned()),
            name: self.address.clone(),
            last_check_ms: Some(state.last_check_ms),
            last_error: state.last_error.clone(),
            label_sets: info.label_sets,
            min_time: info.min_time,
            max_time: info.max_time,
        }
    }
}

impl Store for Endpoint {
    fn is_portable(&self) -> bool {
        self.store.is_portable()
    }

    /// What it said last; of one that never answered, everything is possible.
    fn info(&self) -> Info {
        let state = self.state.lock();
        let said = state.info.as_ref().and_then(|info| info.store.clone());
        said.unwrap_or_else(|| Info {
            min_time: i64::MIN,
            max_time: i64::MAX,
            ..Info::default()
        })
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        self.store.series(request)
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.store.label_names(request)
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.store.label_values(name, request)
    }
}

#[cfg(test)]
mod tests;
