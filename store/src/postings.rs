//! From matchers to the series of a block, with few reads.
//!
//! Which postings lists are needed is known from the index-header; their ranges are read together.
//! Lists that are dear compared with the series that other matchers leave are not read: their
//! matchers are applied to the labels of those series instead.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use model::stop::Pace;
use model::{Matcher, Stop};
use moka::sync::Cache;
use runtime::process::{blocking, blocking_unless};
use storeapi::StoreError;
use tsdb::index::{ListGroup, PostingsPlan, Reader};

use crate::block::{Block, OpenBlock};
use crate::error::of_block;
use crate::limits::Usage;
use crate::pages::{PagedObject, Pages};
use crate::sparse::{Extents, Sparse};
use crate::stats::{DataType, Hits, Stats};

/// Lists of a group that take fewer bytes than this are always read.
const CHEAP_BYTES: u64 = 256 << 10;

/// What reading a series instead of a list is taken to cost, in bytes.
const SERIES_COST: u64 = 512;

/// What a result of matchers takes beside its key and its references: the cache's own, most of it.
const ENTRY_BYTES: usize = 400;

/// Bytes of a reference in a list.
const REF_BYTES: u64 = 4;

/// The series of a block that matchers may select.
#[derive(Debug, Clone)]
pub struct Expanded {
    /// References in ascending order.
    pub refs: Arc<[u32]>,
    /// The matchers, by their places, that are yet to be applied to labels.
    pub deferred: Arc<[usize]>,
}

/// An index as it is now, and matchers.
type Key = (PagedObject, Arc<str>);

/// Results of matchers.
pub struct ExpandedCache {
    cache: Cache<Key, Expanded>,
}

impl fmt::Debug for ExpandedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpandedCache").finish_non_exhaustive()
    }
}

impl ExpandedCache {
    /// A cache that holds at most `bytes_max`.
    pub fn new(bytes_max: u64, stats: Arc<Stats>) -> Self {
        let weigh = |key: &Key, found: &Expanded| {
            let bytes = ENTRY_BYTES + key.1.len() + size_of_val(&*found.refs);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self {
            cache: Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                .eviction_listener(move |_, _, cause| stats.expanded_postings.removed(cause))
                .build(),
        }
    }

    /// What it holds: results, and their bytes.
    pub fn held(&self) -> (u64, u64) {
        (self.cache.entry_count(), self.cache.weighted_size())
    }
}

/// What finding series works with.
#[derive(Debug, Clone, Copy)]
pub struct Finder<'a> {
    /// The block.
    pub block: &'a Block,
    /// It, open.
    pub open: &'a Arc<OpenBlock>,
    /// For reading it.
    pub pages: &'a Pages,
    /// Earlier results.
    pub cache: &'a ExpandedCache,
    /// Counts of the cache's use.
    pub hits: &'a Hits,
    /// What the request has used.
    pub usage: &'a Usage,
    /// Ends the search.
    pub stop: &'a Stop,
}

impl Finder<'_> {
    /// The series that `matchers` may select, of all series without matchers. Mapped files are read
    /// on this thread if it `may_block`.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged, a limit is reached, or the search was stopped.
    pub async fn find(
        &self,
        matchers: &Arc<[Matcher]>,
        may_block: bool,
    ) -> Result<Expanded, StoreError> {
        let key = key_of(self.block, matchers);
        self.hits.requests.add(1);
        if let Some(found) = self.cache.cache.get(&key) {
            self.hits.hits.add(1);
            return Ok(found);
        }
        let found = match &**self.open {
            OpenBlock::Local { .. } => self.find_local(matchers, may_block).await?,
            OpenBlock::Remote { .. } => self.find_remote(matchers).await?,
        };
        self.cache.cache.insert(key, found.clone());
        self.hits.added.add(1);
        Ok(found)
    }

    async fn find_local(
        &self,
        matchers: &Arc<[Matcher]>,
        may_block: bool,
    ) -> Result<Expanded, StoreError> {
        let (open, matchers) = (Arc::clone(self.open), Arc::clone(matchers));
        let stop = self.stop.clone();
        let refs = blocking_unless(may_block, move || {
            let postings = open
                .index()
                .postings_at_pace(&matchers, &Pace::new(&stop))?;
            Ok(postings.map(|series| series.0).collect::<Arc<[u32]>>())
        });
        let refs = refs.await.map_err(|e| of_block(&e))?;
        self.usage.bytes(refs.len() as u64 * REF_BYTES)?;
        Ok(Expanded {
            refs,
            deferred: Arc::default(),
        })
    }

    async fn find_remote(&self, matchers: &Arc<[Matcher]>) -> Result<Expanded, StoreError> {
        let planned = {
            let (open, matchers) = (Arc::clone(self.open), Arc::clone(matchers));
            let stop = self.stop.clone();
            blocking(move || Planned::new(open.index(), &matchers, &stop)).await
        };
        let planned = planned.map_err(|e| of_block(&e))?;
        let (plan, stop) = (Arc::new(planned.plan), self.stop.clone());
        let refs = read_index(self, (DataType::Postings, planned.ranges), move |index| {
            let postings = index.planned_postings(&plan, &Pace::new(&stop))?;
            Ok(postings.map(|series| series.0).collect::<Arc<[u32]>>())
        });
        Ok(Expanded {
            refs: refs.await?,
            deferred: planned.deferred.into(),
        })
    }
}

/// Runs `work` on the index of a remote block of which `ranges` are fetched before; what it misses
/// is fetched too, and it is run again.
///
/// # Errors
/// Those of `work`, and when the bucket cannot be read.
pub async fn read_index<T: Send + 'static>(
    of: &Finder<'_>,
    (read, ranges): (DataType, Vec<Range<u64>>),
    work: impl Fn(&Reader) -> tsdb::Result<T> + Send + Sync + 'static,
) -> Result<T, StoreError> {
    let OpenBlock::Remote { header, .. } = &**of.open else {
        let open = Arc::clone(of.open);
        let done = blocking(move || work(open.index())).await;
        return done.map_err(|e| of_block(&e));
    };
    let object = of.block.index();
    let path = object.object.to_string();
    let work = Arc::new(work);
    let mut extents = Extents::default();
    let mut ranges = ranges;
    loop {
        of.pages
            .fetch(&object, ranges, &mut extents, (read, of.usage))
            .await?;
        let header = Arc::clone(header);
        let sparse = Arc::new(Sparse::new(&path, object.size, Some(header), extents));
        let index = of.open.index().over(Arc::<Sparse>::clone(&sparse));
        let run = Arc::clone(&work);
        let result = blocking(move || run(&index)).await;
        ranges = sparse.take_missing();
        match result {
            // What is missing is fetched, so that every round gets further.
            Err(_) if !ranges.is_empty() => extents = sparse.extents().clone(),
            result => return result.map_err(|e| of_block(&e)),
        }
    }
}

/// The matchers as text, which tells them apart.
fn key_of(block: &Block, matchers: &[Matcher]) -> Key {
    use fmt::Write as _;
    let mut key = String::new();
    for matcher in matchers {
        write!(key, "{matcher};").expect("writing to a String");
    }
    (block.index(), key.into())
}

/// What to read for matchers.
struct Planned {
    plan: PostingsPlan,
    ranges: Vec<Range<u64>>,
    deferred: Vec<usize>,
}

impl Planned {
    fn new(index: &Reader, matchers: &[Matcher], stop: &Stop) -> tsdb::Result<Self> {
        let mut plan = index.plan_postings(matchers, &Pace::new(stop))?;
        let mut ranges = Vec::new();
        let mut sized = |group: ListGroup| {
            let lists = group.lists.iter();
            let lists: Vec<Range<u64>> = lists
                .map(|list| index.list_range(*list))
                .collect::<tsdb::Result<_>>()?;
            let bytes: u64 = lists.iter().map(|r| r.end - r.start).sum();
            Ok((group, lists, bytes))
        };
        let mut kept = std::mem::take(&mut plan.kept)
            .into_iter()
            .map(&mut sized)
            .collect::<tsdb::Result<Vec<_>>>()?;
        let dropped = std::mem::take(&mut plan.dropped)
            .into_iter()
            .map(&mut sized)
            .collect::<tsdb::Result<Vec<_>>>()?;
        kept.sort_by_key(|(_, _, bytes)| *bytes);
        // The series that the smallest group leaves are read anyway.
        let left = kept.first().map_or(0, |(_, _, bytes)| bytes / REF_BYTES);
        let worth = CHEAP_BYTES.max(left.saturating_mul(SERIES_COST));
        let mut deferred = Vec::new();
        for (is_kept, is_first, (group, lists, bytes)) in kept
            .into_iter()
            .enumerate()
            .map(|(i, sized)| (true, i == 0, sized))
            .chain(dropped.into_iter().map(|sized| (false, false, sized)))
        {
            match group.matcher {
                Some(matcher) if !is_first && bytes > worth => deferred.push(matcher),
                _ => {
                    ranges.extend(lists);
                    let groups = if is_kept {
                        &mut plan.kept
                    } else {
                        &mut plan.dropped
                    };
                    groups.push(group);
                }
            }
        }
        Ok(Self {
            plan,
            ranges,
            deferred,
        })
    }
}

#[cfg(test)]
mod tests {
    use bucket::Tag;
    use bucket::fetch::{LabelSets, Outline};
    use model::TimeRange;
    use tsdb::block::Meta;
    use ulid::Ulid;

    use super::*;

    #[test]
    fn what_a_query_finds_in_an_index_is_not_in_the_one_that_replaced_it() {
        let meta = Meta::new(Ulid::from_parts(1, 1), TimeRange::new(0, 1));
        let outline = Arc::new(Outline::new(&meta, &mut LabelSets::default()));
        let with_tag = |tag: &str| {
            let block = Block::new(Arc::clone(&outline), 10, Vec::new());
            block.with_index_tag(Some(Tag::from(tag)))
        };
        let matchers = [Matcher::equal("a", "b")];
        let key = key_of(&with_tag("x"), &matchers);
        assert_eq!(key, key_of(&with_tag("x"), &matchers));
        assert_ne!(key, key_of(&with_tag("y"), &matchers));
        assert_ne!(key, key_of(&with_tag("x"), &[]));
    }
}
