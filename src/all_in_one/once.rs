//! Local data and the bucket as stores of which each block is answered by one.
//!
//! A block that was shipped is in both until local retention removes it. The bucket's copy is left
//! out of an answer while everything that it was made from is here, be it that block or one that the
//! compactor merged of several. What is here is never left out: it answers though the bucket cannot
//! be reached. Each query takes the blocks as they are when it begins and holds them, so that none is
//! missed that retention removes meanwhile.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bucket::fetch::Span;
use ingester::core::{Core, TenantBlocks};
use model::Matcher;
use querier::stores::{CatalogMember, Coverage, FixedStores, StoreStatus, Stores};
use store::set::BlockSet;
use store::{Gateway, Syncer};
use storeapi::proxy::Member;
use ulid::Ulid;

/// The stores of the process.
#[derive(Debug)]
pub(super) struct Once {
    main: Arc<Core>,
    gateway: Gateway,
    /// What blocks of the bucket were made from.
    syncer: Arc<Syncer>,
    /// All of them, for what needs no care.
    all: FixedStores,
    known: Mutex<Known>,
}

/// What followed from the blocks that there were.
#[derive(Debug, Default)]
struct Known {
    here: Vec<Vec<Ulid>>,
    served: Arc<BlockSet>,
    /// Those of them that are not here.
    rest: Arc<BlockSet>,
}

impl Once {
    /// `all` are the stores, of which the first is `main`'s and the second `gateway`, to which
    /// `syncer` says what to serve.
    pub(super) fn new(
        main: Arc<Core>,
        (gateway, syncer): (Gateway, Arc<Syncer>),
        all: FixedStores,
    ) -> Self {
        Self {
            main,
            gateway,
            syncer,
            all,
            known: Mutex::default(),
        }
    }

    /// The blocks of the bucket that are not here too.
    fn rest(&self, here: &[TenantBlocks]) -> Arc<BlockSet> {
        let served = self.gateway.blocks();
        let ids = |of: &TenantBlocks| of.blocks.iter().map(|b| b.meta().ulid).collect();
        let ids: Vec<Vec<Ulid>> = here.iter().map(ids).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = known.here == ids && Arc::ptr_eq(&known.served, &served);
        if !is_same {
            let sources = |id| Some(self.syncer.copy_of_meta(id)?.compaction.sources);
            let copies = copies(&served, &ids, sources);
            let rest = served.iter().filter(|b| !copies.contains(&b.id()));
            *known = Known {
                rest: Arc::new(BlockSet::new(rest.cloned())),
                served,
                here: ids,
            };
        }
        Arc::clone(&known.rest)
    }
}

/// The blocks all of whose sources are among the blocks `here`. `sources` says what a block was made
/// from, and is asked about those that may be such. External labels do not matter: what is here was
/// shipped with those of its time, and is shown with those of today.
fn copies(
    served: &BlockSet,
    here: &[Vec<Ulid>],
    sources: impl Fn(Ulid) -> Option<Vec<Ulid>>,
) -> HashSet<Ulid> {
    let all: Vec<Ulid> = here.iter().flatten().copied().collect();
    let of_all = Span::of(Ulid::nil(), &all);
    let all: HashSet<Ulid> = all.into_iter().collect();
    let is_copy = |block: &&Arc<store::block::Block>| {
        let (id, span) = (block.id(), &block.outline().sources);
        if block.resolution() != 0 || !of_all.may_hold(span) {
            return false;
        }
        match span.is_own {
            true => all.contains(&id),
            // A copy that could not be replaced may be of another content.
            false => sources(id).is_some_and(|sources| {
                Span::of(id, &sources) == *span && sources.iter().all(|s| all.contains(s))
            }),
        }
    };
    served.iter().filter(is_copy).map(|b| b.id()).collect()
}

impl Stores for Once {
    fn members(&self, matchers: &[Vec<Matcher>]) -> Vec<Member> {
        let mut members = self.all.members(matchers);
        let [local, bucket, ..] = members.as_mut_slice() else {
            return members;
        };
        let here = self.main.blocks();
        let rest = self.rest(&here);
        local.store = self.main.store_holding(&here);
        bucket.store = Arc::new(self.gateway.answering_from(rest));
        members
    }

    fn catalogs(&self) -> Vec<CatalogMember> {
        self.all.catalogs()
    }

    fn coverage(&self) -> Coverage {
        // The bucket is at hand, so it is known of each block and not only of all.
        let blocks = self.gateway.blocks();
        blocks.iter().fold(self.all.coverage(), |all, block| {
            let range = block.range();
            all.and(block.id(), (range.min, range.max.saturating_sub(1)))
        })
    }

    fn statuses(&self) -> Vec<StoreStatus> {
        self.all.statuses()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bucket::fetch::{LabelSets, Outline};
    use model::TimeRange;
    use tsdb::block::Meta;
    use tsdb::block::meta::Thanos;

    use super::*;

    fn block(
        n: u128,
        replica: &str,
        sources: &[u128],
        resolution: i64,
    ) -> Arc<store::block::Block> {
        let mut meta = Meta::new(Ulid(n), TimeRange::new(0, 100));
        meta.compaction.sources = sources.iter().map(|n| Ulid(*n)).collect();
        let mut thanos = Thanos {
            labels: BTreeMap::from([("replica".to_owned(), replica.to_owned())]),
            ..Thanos::default()
        };
        thanos.downsample.resolution = resolution;
        meta.thanos = Some(thanos);
        let outline = Outline::new(&meta, &mut LabelSets::default());
        Arc::new(store::block::Block::new(Arc::new(outline), 0, Vec::new()))
    }

    #[test]
    fn only_what_is_here_in_whole_is_a_copy() {
        const BLOCKS: &[(u128, &str, &[u128], i64)] = &[
            (1, "a", &[1], 0),
            (2, "a", &[2], 0),
            (3, "b", &[1], 0),
            (10, "a", &[1, 4], 0),
            (11, "a", &[1, 2], 0),
            (12, "a", &[1], 300_000),
            (13, "a", &[], 0),
        ];
        let blocks = BLOCKS
            .iter()
            .map(|&(n, replica, sources, resolution)| block(n, replica, sources, resolution));
        let served = BlockSet::new(blocks);
        let here = [vec![Ulid(1)], vec![Ulid(4)]];
        let sources = |id: Ulid| {
            let found = BLOCKS.iter().find(|(n, ..)| *n == id.0);
            found.map(|(_, _, sources, _)| sources.iter().map(|n| Ulid(*n)).collect())
        };
        let mut found: Vec<u128> = copies(&served, &here, sources)
            .into_iter()
            .map(|ulid| ulid.0)
            .collect();
        found.sort_unstable();
        // 3 was shipped from here under other labels.
        assert_eq!(found, [1, 3, 10]);
    }
}
