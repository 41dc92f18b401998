//! What a compactor is told to do, resolved.

use bucket::{HashFunction, TimeBounds, View};
use model::relabel::RelabelRule;
use tsdb::merge::Overlap;
use ulid::Ulid;

/// What marks of deletion say that are set since a block is older than it is kept.
pub const RETENTION_DETAILS: &str = "block exceeding retention";

/// How long blocks are kept, in milliseconds after their last sample; 0 is for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Raw samples.
    pub raw_ms: i64,
    /// One sample for five minutes.
    pub five_minutes_ms: i64,
    /// One sample an hour.
    pub hour_ms: i64,
}

impl Retention {
    /// How long blocks of a resolution are kept.
    pub const fn of(&self, resolution: i64) -> i64 {
        match resolution {
            0 => self.raw_ms,
            300_000 => self.five_minutes_ms,
            3_600_000 => self.hour_ms,
            _ => 0,
        }
    }

    /// The blocks of a view that are older at `now_ms` than they are kept, and not marked for deletion.
    pub fn expired(&self, view: &View, now_ms: i64) -> Vec<Ulid> {
        let is_old = |(id, block): (&Ulid, &bucket::BlockInfo)| {
            let kept_ms = self.of(block.resolution());
            let is_old = kept_ms > 0 && now_ms.saturating_sub(kept_ms) > block.meta.max_time;
            (is_old && block.deletion_mark.is_none()).then_some(*id)
        };
        view.blocks.iter().filter_map(is_old).collect()
    }
}

/// The lease of who works on the whole bucket.
pub const LEASE: &str = "compactor";

/// What takes part, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Name of the lease of who works on this part of the bucket; [`LEASE`] for the whole.
    pub lease: String,
    /// Blocks of this time take part.
    pub time: TimeBounds,
    /// Blocks whose external labels pass these take part.
    pub selector: Vec<RelabelRule>,
    /// How old an upload must be, in milliseconds.
    pub consistency_delay_ms: i64,
    /// How long a marked block stays, in milliseconds.
    pub delete_delay_ms: i64,
    /// How long blocks are kept.
    pub retention: Retention,
    /// Labels that tell replicas apart, whose blocks are merged into one.
    pub replica_labels: Vec<String>,
    /// What becomes of samples where blocks overlap.
    pub overlap: Overlap,
    /// Windows in milliseconds.
    pub ranges_ms: Vec<i64>,
    /// Largest index that a block may have, in bytes.
    pub index_bytes_max: u64,
    /// Groups that are worked on at once.
    pub concurrency: usize,
    /// Blocks of a group that are downloaded at once.
    pub downloads: usize,
    /// How files of blocks are hashed.
    pub hash: HashFunction,
}
