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
    /// The stores that one of `matchers` means, see [`is_meant`]; all when there are none.
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

/// The label whose matchers choose stores by address.
const ADDRESS_LABEL: &str = "__address__";

/// True when one of `matchers` means a store, or when there are none.
///
/// Matchers on `__address__` must accept its address, which a store of this process has not. All others
/// must be accepted by one of its external label sets, of which those count that have the label, as when
/// it is chosen for a query; a store that says no labels may have any.
pub fn is_meant(
    matchers: &[Vec<Matcher>],
    address: Option<&str>,
    label_sets: impl FnOnce() -> Vec<Labels>,
) -> bool {
    let is_here = |m: &Matcher| address.is_some_and(|address| m.matches(address));
    let mut fits = matchers.iter().filter(|all| {
        let mut of_address = all.iter().filter(|m| m.name() == ADDRESS_LABEL);
        of_address.all(is_here)
    });
    let Some(first) = fits.next() else {
        return matchers.is_empty();
    };
    let sets = label_sets();
    let may_be = |set: &Labels, all: &[Matcher]| {
        let mut of_labels = all.iter().filter(|m| m.name() != ADDRESS_LABEL);
        of_labels.all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)))
    };
    let accepts = |all: &Vec<Matcher>| sets.is_empty() || sets.iter().any(|set| may_be(set, all));
    accepts(first) || fits.any(accepts)
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
        let meant = self.stores.iter().filter(|store| store.is_meant(matchers));
        meant.map(FixedStore::member).collect()
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
    /// See [`is_meant`].
    pub(crate) fn is_meant(&self, matchers: &[Vec<Matcher>]) -> bool {
        is_meant(matchers, None, || self.store.info().label_sets)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_chosen_by_address_and_labels() {
        let set = |cluster: &str| Labels::from_pairs([("cluster", cluster)]);
        let address = |is: &str| Matcher::equal(ADDRESS_LABEL, is);
        let cluster = |is: &str| Matcher::equal("cluster", is);
        let other = || Matcher::equal("other", "x");
        for (matchers, here, remote) in [
            (vec![], true, true),
            (vec![vec![address("a:1")]], false, true),
            (vec![vec![address("b:1")]], false, false),
            (vec![vec![cluster("eu")]], true, true),
            (vec![vec![cluster("us")]], true, true),
            (vec![vec![cluster("x")]], false, false),
            (vec![vec![address("a:1"), cluster("x")]], false, false),
            (vec![vec![address("a:1"), other()]], false, true),
            (vec![vec![cluster("x")], vec![cluster("us")]], true, true),
            (vec![vec![cluster("eu"), cluster("us")]], false, false),
        ] {
            let sets = || vec![set("eu"), set("us")];
            assert_eq!(is_meant(&matchers, None, sets), here, "{matchers:?}");
            assert_eq!(
                is_meant(&matchers, Some("a:1"), sets),
                remote,
                "{matchers:?}"
            );
        }
        assert!(
            is_meant(&[vec![cluster("x")]], None, Vec::new),
            "says nothing"
        );
    }
}
