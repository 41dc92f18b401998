//! What is held in memory of a block.
//!
//! A `meta.json` names the files of its block, all that it was made from, and whatever others keep
//! there: kilobytes, where a reader that serves tens of thousands of blocks needs to know their times
//! and labels. An [`Outline`] is of one size whatever the file says, and label sets, which most blocks
//! of a producer have in common, are held once.

use std::collections::HashSet;
use std::sync::Arc;

use model::time::parse_timestamp;
use model::{Labels, TimeRange};
use tsdb::block::Meta;
use tsdb::block::meta::Thanos;
use ulid::Ulid;

/// Sources whose blocks are seen at once: they replace blocks that were there before.
const UNDELAYED_SOURCES: [&str; 3] = ["compactor", "compactor.repair", "bucket.repair"];

/// What readers and filters look at of a block's `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The block's name.
    pub id: Ulid,
    /// What it covers.
    pub range: TimeRange,
    /// Milliseconds per sample: 0 (raw), 300,000 or 3,600,000.
    pub resolution: i64,
    /// External labels.
    pub labels: Arc<Labels>,
    /// When it was uploaded, in milliseconds since the Unix epoch; the first time there is for a block
    /// that is seen at once.
    pub settled_ms: i64,
    /// Bytes of its largest series entry; 0 when that is not known.
    pub series_bytes_max: u32,
    /// Bytes of its largest chunk; 0 when that is not known.
    pub chunk_bytes_max: u32,
    /// What it was made from.
    pub sources: Span,
}

/// The sources of a block, as far as two times and a count tell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How many there are.
    pub count: u32,
    /// The block is its only source.
    pub is_own: bool,
    /// When the oldest and the newest were made, in seconds since the Unix epoch.
    ends: (u32, u32),
}

impl Span {
    /// The span of the sources of a block.
    pub fn of(id: Ulid, sources: &[Ulid]) -> Self {
        let time = |id: &Ulid| u32::try_from(id.timestamp_ms() / 1000).unwrap_or(u32::MAX);
        let times = || sources.iter().map(time);
        Self {
            count: u32::try_from(sources.len()).unwrap_or(u32::MAX),
            is_own: *sources == [id],
            ends: (times().min().unwrap_or(0), times().max().unwrap_or(0)),
        }
    }

    /// Whether all of `other`'s sources may be among these; when not, some is not.
    pub fn may_hold(&self, other: &Self) -> bool {
        let ((begin, end), (from, to)) = (self.ends, other.ends);
        // Two blocks that are their own sources are two sources.
        !(self.is_own && other.is_own)
            && other.count > 0
            && other.count <= self.count
            && begin <= from
            && to <= end
    }

    /// When the oldest source was made, in seconds since the Unix epoch.
    pub(super) const fn begin(&self) -> u32 {
        self.ends.0
    }

    /// When the newest source was made, in seconds since the Unix epoch.
    pub(super) const fn end(&self) -> u32 {
        self.ends.1
    }
}

impl Outline {
    /// The outline of a block, whose labels are `shared` with other blocks that have the same.
    pub fn new(meta: &Meta, shared: &mut LabelSets) -> Self {
        let thanos = meta.thanos.as_ref();
        let labels = thanos.map(|t| Labels::from_pairs(&t.labels));
        let stats = thanos.map(|t| &t.index_stats);
        let bytes = |n: Option<u64>| u32::try_from(n.unwrap_or(0)).unwrap_or(u32::MAX);
        Self {
            id: meta.ulid,
            range: meta.range(),
            resolution: thanos.map_or(0, |t| t.downsample.resolution),
            labels: shared.share(labels.unwrap_or_default()),
            settled_ms: settled_ms(meta.ulid, thanos),
            series_bytes_max: bytes(stats.map(|s| s.series_max_size)),
            chunk_bytes_max: bytes(stats.map(|s| s.chunk_max_size)),
            sources: Span::of(meta.ulid, &meta.compaction.sources),
        }
    }
}

/// When a block was there for all to see.
fn settled_ms(id: Ulid, thanos: Option<&Thanos>) -> i64 {
    if thanos.is_some_and(|t| UNDELAYED_SOURCES.contains(&t.source.as_str())) {
        return i64::MIN;
    }
    let uploaded = thanos.and_then(|t| parse_timestamp(t.upload_time.as_deref()?).ok());
    uploaded.unwrap_or_else(|| i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX))
}

/// Label sets that blocks have in common.
#[derive(Debug, Default)]
pub struct LabelSets(HashSet<Arc<Labels>>);

impl LabelSets {
    fn share(&mut self, labels: Labels) -> Arc<Labels> {
        if let Some(known) = self.0.get(&labels) {
            return Arc::clone(known);
        }
        let labels = Arc::new(labels);
        self.0.insert(Arc::clone(&labels));
        labels
    }

    /// Forgets those that no block has any more.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|labels| Arc::strong_count(labels) > 1);
    }
}

/// What a reader of a bucket holds of each `meta.json` beside its outline.
pub trait Keep: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// Whether it looks at the marks that are for compactors.
    const COMPACTS: bool;

    /// What is held of `meta`.
    fn of(meta: Meta) -> Self;

    /// What the block was made from, if that is held.
    fn sources(&self) -> Option<&[Ulid]>;

    /// Takes over labels that a filter changed.
    fn set_labels(&mut self, labels: &Labels);
}

/// All of it.
impl Keep for Arc<Meta> {
    const COMPACTS: bool = true;

    fn of(meta: Meta) -> Self {
        Self::new(meta)
    }

    fn sources(&self) -> Option<&[Ulid]> {
        Some(&self.compaction.sources)
    }

    fn set_labels(&mut self, labels: &Labels) {
        if let Some(thanos) = &mut Self::make_mut(self).thanos {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            thanos.labels = labels.iter().map(owned).collect();
        }
    }
}

/// Nothing: who serves blocks reads a `meta.json` when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutlineOnly;

impl Keep for OutlineOnly {
    const COMPACTS: bool = false;

    fn of(_: Meta) -> Self {
        Self
    }

    fn sources(&self) -> Option<&[Ulid]> {
        None
    }

    fn set_labels(&mut self, _: &Labels) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_is_of_one_size() {
        // What docs/benchmarking.md says a block takes rests on it.
        assert_eq!(size_of::<Outline>(), 80);
        let mut meta = Meta::new(Ulid::from_parts(5, 1), TimeRange::new(0, 1));
        let mut shared = LabelSets::default();
        meta.compaction.sources = (0..1_000).map(|n| Ulid::from_parts(n, 7)).collect();
        let first = Outline::new(&meta, &mut shared);
        meta.ulid = Ulid::from_parts(6, 1);
        let second = Outline::new(&meta, &mut shared);
        assert!(Arc::ptr_eq(&first.labels, &second.labels));
        assert_eq!(first.sources, second.sources);
        drop((first, second));
        shared.forget_unused();
        assert!(shared.0.is_empty());
    }

    #[test]
    fn spans_tell_what_cannot_be_held() {
        let id = |second: u64| Ulid::from_parts(second * 1000, 1);
        let of = |own: u64, sources: &[u64]| {
            let sources: Vec<Ulid> = sources.iter().map(|second| id(*second)).collect();
            Span::of(id(own), &sources)
        };
        let merged = of(9, &[1, 2, 5]);
        for (other, may) in [
            (of(1, &[1]), true),
            (of(3, &[3]), true),
            (of(6, &[6]), false),
            (of(9, &[1, 2, 5]), true),
            (of(9, &[1, 2, 3, 5]), false),
            (of(9, &[]), false),
        ] {
            assert_eq!(merged.may_hold(&other), may, "{other:?}");
        }
        assert!(!of(1, &[1]).may_hold(&of(1, &[1])));
    }
}
