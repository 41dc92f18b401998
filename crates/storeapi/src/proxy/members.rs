//! The stores behind a proxy, and which of them a question concerns.

use std::fmt;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};

use crate::store::{Info, Store};

/// A store and what it is called in warnings.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its address, or what else users know it by.
    pub name: String,
    /// The store.
    pub store: Arc<dyn Store>,
}

/// Who the members are now.
pub trait Members: Send + Sync + fmt::Debug {
    /// The members to ask; asked once for every question.
    fn members(&self) -> Vec<Member>;
}

impl Members for Vec<Member> {
    fn members(&self) -> Vec<Member> {
        self.clone()
    }
}

/// Whether a store may have samples in the range of series that the matchers accept: its own range
/// overlaps, and one of its label sets contradicts no matcher. A matcher on a label that a set does
/// not have says nothing about it.
pub fn may_have(info: &Info, range: TimeRange, matchers: &[Matcher]) -> bool {
    let accepts = |labels: &Labels| {
        matchers
            .iter()
            .all(|m| labels.get(m.name()).is_none_or(|value| m.matches(value)))
    };
    TimeRange::closed(info.min_time, info.max_time).overlaps(range)
        && (info.label_sets.is_empty() || info.label_sets.iter().any(accepts))
}

/// What stores have together.
pub(super) fn joined(infos: impl Iterator<Item = Info>) -> Info {
    let mut all = Info {
        min_time: i64::MAX,
        max_time: i64::MIN,
        supports_without_replica_labels: true,
        supports_sharding: true,
        ..Info::default()
    };
    let mut may_be_any = false;
    for info in infos {
        all.min_time = all.min_time.min(info.min_time);
        all.max_time = all.max_time.max(info.max_time);
        may_be_any |= info.label_sets.is_empty();
        all.label_sets.extend(info.label_sets);
        all.parts.extend(info.parts);
    }
    all.label_sets.sort_unstable();
    all.label_sets.dedup();
    if may_be_any {
        all.label_sets.clear();
    }
    all
}
