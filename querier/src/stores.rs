//! The stores that a querier asks, as of now.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use model::{Labels, Matcher};
use storeapi::Store;
use storeapi::catalog::{Catalog, Services};
use storeapi::proxy::Member;

/// Where the stores to ask come from.
pub trait Stores: Send + Sync + fmt::Debug {
    /// The stores whose address one of `matchers` accepts, all when there are none.
    fn members(&self, matchers: &[Vec<Matcher>]) -> Vec<Member>;

    /// What knows of rules, targets, metadata, exemplars or heads.
    fn catalogs(&self) -> Vec<CatalogMember>;

    /// A number that changes when other stores are to be asked, or stores have something else.
    fn fingerprint(&self) -> u64;

    /// Each store and how it is.
    fn statuses(&self) -> Vec<StoreStatus>;
}

/// Something that knows of rules, targets, metadata, exemplars or heads.
#[derive(Debug, Clone)]
pub struct CatalogMember {
    /// Its address, or what else users know it by.
    pub name: String,
    /// What it can be asked for.
    pub services: Services,
    /// External labels of its series; none when they may have any.
    pub label_sets: Vec<Labels>,
    /// What it knows.
    pub catalog: Arc<dyn Catalog>,
}

/// A store and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// What it is: `sidecar`, `store`, `receive`, `rule`, `query`, `debug`.
    pub component: String,
    /// Its address, or a name for what has none.
    pub name: String,
    /// When it was last asked how it is, in milliseconds; none for what is part of this process.
    pub last_check_ms: Option<i64>,
    /// Why it did not answer then.
    pub last_error: Option<String>,
    /// External labels of what it has.
    pub label_sets: Vec<Labels>,
    /// Time of its first sample.
    pub min_time: i64,
    /// Time of its last sample.
    pub max_time: i64,
}

/// Tells stores by their names and external labels.
pub(crate) fn fingerprint<'a>(stores: impl Iterator<Item = (&'a str, &'a Arc<dyn Store>)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, store) in stores {
        name.hash(&mut hasher);
        for labels in store.info().label_sets {
            labels.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Stores of this process, which do not change.
#[derive(Debug, Clone)]
pub struct FixedStores {
    stores: Vec<FixedStore>,
}

impl FixedStores {
    /// These stores.
    pub fn new(stores: Vec<FixedStore>) -> Self {
        Self { stores }
    }
}

impl Stores for FixedStores {
    fn members(&self, matchers: &[Vec<Matcher>]) -> Vec<Member> {
        // What is in this process has no address that could match.
        if !matchers.is_empty() {
            return Vec::new();
        }
        self.stores.iter().map(FixedStore::member).collect()
    }

    fn catalogs(&self) -> Vec<CatalogMember> {
        self.stores.iter().filter_map(FixedStore::catalog).collect()
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(
            self.stores
                .iter()
                .map(|fixed| (fixed.name.as_str(), &fixed.store)),
        )
    }

    fn statuses(&self) -> Vec<StoreStatus> {
        self.stores.iter().map(FixedStore::status).collect()
    }
}

/// A store of this process.
#[derive(Debug, Clone)]
pub struct FixedStore {
    /// What it is, see [`StoreStatus::component`].
    pub component: &'static str,
    /// What to call it, in place of an address.
    pub name: String,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What it knows beside series, and can be asked for.
    pub catalog: Option<(Services, Arc<dyn Catalog>)>,
}

impl FixedStore {
    pub(crate) fn member(&self) -> Member {
        Member {
            name: self.name.clone(),
            store: Arc::clone(&self.store),
        }
    }

    pub(crate) fn catalog(&self) -> Option<CatalogMember> {
        let (services, catalog) = self.catalog.clone()?;
        Some(CatalogMember {
            name: self.name.clone(),
            services,
            label_sets: self.store.info().label_sets,
            catalog,
        })
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let info = self.store.info();
        StoreStatus {
            component: self.component.to_owned(),
            name: self.name.clone(),
            last_check_ms: None,
            last_error: None,
            label_sets: info.label_sets,
            min_time: info.min_time,
            max_time: info.max_time,
        }
    }
}
