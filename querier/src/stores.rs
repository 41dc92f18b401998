//! The stores that a querier asks, as of now.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storeapi::catalog::{Catalog, Services};
use storeapi::proxy::Member;
use storeapi::{Info, InfoPart, Store};

/// Where the stores to ask come from.
pub trait Stores: Send + Sync + fmt::Debug {
    /// The stores that one of `matchers` means, see [`is_meant`]; all when there are none.
    fn members(&self, matchers: &[Vec<Matcher>]) -> Vec<Member>;

    /// What knows of rules, targets, metadata, exemplars or heads.
    fn catalogs(&self) -> Vec<CatalogMember>;

    /// Which stores are to be asked, and what times they have.
    fn coverage(&self) -> Coverage;

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

/// Which stores there are, and what times they have: whoever keeps an answer tells by it whether they
/// would give the same one now.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Names and external labels of stores.
    stores: u64,
    spans: Vec<Span>,
}

/// Something that has samples of a time.
#[derive(Debug, Clone, Copy)]
struct Span {
    id: u64,
    min_time: i64,
    /// Inside.
    max_time: i64,
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Coverage {
    /// What stores, called by their names, say of themselves.
    pub(crate) fn of<'a>(stores: impl Iterator<Item = (&'a str, Info)>) -> Self {
        // Sums: stores name what they have in no order, and come in none.
        let sum = |all: u64, of: u64| all.wrapping_add(of);
        let (mut all, mut spans) = (0, Vec::new());
        for (name, info) in stores {
            let label_sets = info.label_sets.iter().map(hash).fold(0, sum);
            all = sum(all, hash((name, label_sets)));
            if info.parts.is_empty() {
                let id = hash(name);
                spans.push(Span::new(id, (info.min_time, info.max_time)));
            }
            let of_part = |part: &InfoPart| {
                let id = hash((name, &part.labels));
                Span::new(id, (part.min_time, part.max_time))
            };
            spans.extend(info.parts.iter().map(of_part));
        }
        Self { stores: all, spans }
    }

    /// The same, and something with this name that has samples from `min_time` to `max_time`, both
    /// inside: a block, of which its store only says that it is within the time of all.
    #[must_use]
    pub fn and(mut self, name: impl Hash, (min_time, max_time): (i64, i64)) -> Self {
        let span = Span::new(hash(name), (min_time, max_time));
        self.spans.push(span);
        self
    }

    /// A number that changes when other stores are to be asked, or what they have of `range`. Where
    /// something has all of it, it does not matter how much more it has: the end of a head that is
    /// written to moves all the time.
    pub fn within(&self, range: TimeRange) -> u64 {
        let inside = self.spans.iter().filter(|span| {
            span.min_time <= span.max_time
                && span.min_time < range.max
                && span.max_time >= range.min
        });
        inside.fold(self.stores, |all, span| {
            let starts = (span.min_time > range.min).then_some(span.min_time);
            let ends = (span.max_time < range.max - 1).then_some(span.max_time);
            all.wrapping_add(hash((span.id, starts, ends)))
        })
    }
}

impl Span {
    const fn new(id: u64, (min_time, max_time): (i64, i64)) -> Self {
        Self {
            id,
            min_time,
            max_time,
        }
    }
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

    fn coverage(&self) -> Coverage {
        Coverage::of(self.stores.iter().map(FixedStore::said))
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

    /// What it is called, and what it says of itself.
    pub(crate) fn said(&self) -> (&str, Info) {
        (&self.name, self.store.info())
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

    const RANGE: TimeRange = TimeRange {
        min: 1_000,
        max: 2_000,
    };

    fn within(spans: &[(&str, i64, i64)]) -> u64 {
        let all = spans.iter().fold(Coverage::default(), |all, (name, a, b)| {
            all.and(name, (*a, *b))
        });
        all.within(RANGE)
    }

    #[test]
    fn the_order_of_stores_and_of_what_they_have_makes_no_difference() {
        let info = |clusters: &[&str]| Info {
            label_sets: clusters
                .iter()
                .map(|cluster| Labels::from_pairs([("cluster", *cluster)]))
                .collect(),
            ..Info::default()
        };
        let (one, other) = (info(&["a", "b"]), info(&["b", "a"]));
        let (few, last) = (info(&["a"]), info(&["c"]));
        let of = |stores: &[(&str, &Info)]| {
            let stores = stores.iter().map(|(name, info)| (*name, (*info).clone()));
            Coverage::of(stores).within(RANGE)
        };
        let kept = of(&[("x", &one), ("y", &last)]);
        assert_eq!(of(&[("x", &other), ("y", &last)]), kept);
        assert_eq!(of(&[("y", &last), ("x", &one)]), kept);
        assert_ne!(of(&[("y", &one), ("x", &last)]), kept);
        assert_ne!(of(&[("x", &few), ("y", &last)]), kept);
        assert_ne!(of(&[("x", &one)]), kept);
    }

    #[test]
    fn only_what_is_inside_makes_a_difference() {
        let kept = within(&[("a", 0, 1_500), ("b", 1_200, 9_000)]);
        for same in [
            // In another order, and with more outside.
            &[("b", 1_200, 9_000), ("a", 0, 1_500)][..],
            &[("a", 500, 1_500), ("b", 1_200, 9_001)],
            &[("a", 0, 1_500), ("b", 1_200, i64::MAX)],
            &[("a", 1_000, 1_500), ("b", 1_200, 1_999)],
            &[("a", 0, 1_500), ("b", 1_200, 9_000), ("c", 2_000, 3_000)],
            &[("a", 0, 1_500), ("b", 1_200, 9_000), ("c", 0, 999)],
            &[
                ("a", 0, 1_500),
                ("b", 1_200, 9_000),
                ("c", i64::MAX, i64::MIN),
            ],
        ] {
            assert_eq!(within(same), kept, "{same:?}");
        }
        for other in [
            &[("a", 0, 1_501), ("b", 1_200, 9_000)][..],
            &[("a", 0, 1_500), ("b", 1_199, 9_000)],
            &[("a", 0, 1_500), ("b", 1_200, 1_998)],
            &[("a", 0, 1_500), ("b", 1_200, 9_000), ("c", 0, 1_000)],
            &[("a", 0, 1_500)],
        ] {
            assert_ne!(within(other), kept, "{other:?}");
        }
    }
}
