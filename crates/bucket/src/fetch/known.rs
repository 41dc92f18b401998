//! What is known of blocks from earlier looks at the bucket.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use tsdb::block::Meta;
use ulid::Ulid;

use super::listing::{BlockFiles, Stamp};
use super::outline::{Keep, LabelSets, Outline};
use super::{BlockInfo, View};
use crate::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};

/// Blocks of a listing.
pub(super) type Listed = BTreeMap<Ulid, Arc<BlockFiles>>;

/// What is known.
#[derive(Debug)]
pub(super) struct Known<M> {
    /// In order of names.
    blocks: Vec<KnownBlock<M>>,
    pub(super) label_sets: LabelSets,
    pub(super) deletion: Marks<DeletionMark>,
    pub(super) no_compact: Marks<NoCompactMark>,
    pub(super) no_downsample: Marks<NoDownsampleMark>,
    /// The copies on disk were looked at.
    pub(super) disk_read: bool,
}

/// Marks of one kind that were read.
#[derive(Debug)]
pub(super) struct Marks<T>(HashMap<Ulid, (Stamp, Arc<T>)>);

impl<T> Default for Marks<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Marks<T> {
    /// Takes in a mark, unless the listing does not show it.
    pub(super) fn learn(&mut self, id: Ulid, stamp: Option<&Stamp>, mark: T) {
        let known = stamp.map(|stamp| (id, (stamp.clone(), Arc::new(mark))));
        self.0.extend(known);
    }

    fn get(&self, id: Ulid) -> Option<Arc<T>> {
        self.0.get(&id).map(|(_, mark)| Arc::clone(mark))
    }

    /// Whether a mark that is listed is not known.
    fn lacks(&self, id: Ulid, listed: Option<&Stamp>) -> bool {
        listed.is_some() && !self.0.contains_key(&id)
    }

    /// Forgets what the listing shows no more, or shows changed.
    fn forget_changed(&mut self, listed: &Listed, stamp: impl Fn(&BlockFiles) -> Option<&Stamp>) {
        self.0
            .retain(|id, (old, _)| listed.get(id).and_then(|files| stamp(files)) == Some(&*old));
    }
}

/// A `meta.json` that was read.
#[derive(Debug)]
pub(super) struct KnownBlock<M> {
    /// Stands for the content that was read.
    stamp: u64,
    outline: Arc<Outline>,
    meta: M,
}

impl<M: Keep> KnownBlock<M> {
    pub(super) fn new(stamp: &Stamp, meta: Meta, sets: &mut LabelSets) -> Self {
        Self {
            stamp: hash_of(stamp),
            outline: Arc::new(Outline::new(&meta, sets)),
            meta: M::of(meta),
        }
    }
}

/// A stamp takes more than all else that is held of a block of which nothing but the outline is.
fn hash_of(stamp: &Stamp) -> u64 {
    let mut hasher = DefaultHasher::new();
    stamp.hash(&mut hasher);
    hasher.finish()
}

/// One object that has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Meta,
    Deletion,
    NoCompact,
    NoDownsample,
}

impl<M> Default for Known<M> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            label_sets: LabelSets::default(),
            deletion: Marks::default(),
            no_compact: Marks::default(),
            no_downsample: Marks::default(),
            disk_read: false,
        }
    }
}

impl<M: Keep> Known<M> {
    fn block(&self, id: Ulid) -> Option<&KnownBlock<M>> {
        let at = self.blocks.binary_search_by_key(&id, |b| b.outline.id);
        Some(&self.blocks[at.ok()?])
    }

    /// Takes in blocks that are not known.
    pub(super) fn learn(&mut self, blocks: Vec<KnownBlock<M>>) {
        self.blocks.reserve_exact(blocks.len());
        self.blocks.extend(blocks);
        self.blocks.sort_unstable_by_key(|b| b.outline.id);
    }

    /// Forgets what the listing shows no more, or shows changed.
    pub(super) fn forget_changed(&mut self, listed: &Listed) {
        self.blocks.retain(|known| {
            let stamp = listed.get(&known.outline.id).map(|files| &files.meta);
            stamp.is_some_and(|stamp| stamp.as_ref().map(hash_of) == Some(known.stamp))
        });
        (self.deletion).forget_changed(listed, |f| f.deletion_mark.as_deref());
        (self.no_compact).forget_changed(listed, |f| f.no_compact_mark.as_deref());
        (self.no_downsample).forget_changed(listed, |f| f.no_downsample_mark.as_deref());
    }

    /// What is listed and not known.
    pub(super) fn wanted(&self, listed: &Listed) -> Vec<(Ulid, Wanted)> {
        let mut wanted = Vec::new();
        for (&id, files) in listed {
            if files.meta.is_some() && self.block(id).is_none() {
                wanted.push((id, Wanted::Meta));
            }
            if self.deletion.lacks(id, files.deletion_mark.as_deref()) {
                wanted.push((id, Wanted::Deletion));
            }
            if !M::COMPACTS {
                continue;
            }
            if self.no_compact.lacks(id, files.no_compact_mark.as_deref()) {
                wanted.push((id, Wanted::NoCompact));
            }
            if self
                .no_downsample
                .lacks(id, files.no_downsample_mark.as_deref())
            {
                wanted.push((id, Wanted::NoDownsample));
            }
        }
        wanted
    }

    /// Puts everything known about what is listed into `view`.
    pub(super) fn fill(&self, listed: Listed, view: &mut View<M>) {
        let marks = self.deletion.0.iter();
        let marks = marks.map(|(id, (_, mark))| (*id, Arc::clone(mark)));
        view.deletion_marks.extend(marks);
        for (id, files) in listed {
            if view.failed.contains_key(&id) || view.corrupted.contains_key(&id) {
                continue;
            }
            let Some(known) = self.block(id) else {
                view.partial.insert(id, files);
                continue;
            };
            let info = BlockInfo {
                outline: Arc::clone(&known.outline),
                meta: known.meta.clone(),
                files,
                deletion_mark: self.deletion.get(id),
                no_compact: self.no_compact.get(id),
                no_downsample: self.no_downsample.get(id),
            };
            view.blocks.insert(id, info);
        }
    }
}
