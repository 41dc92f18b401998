//! Samples told apart by the block that they belong to, in memory up to a budget, then on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ahash::RandomState;
use hashbrown::HashMap;
use tsdb::Result;

use super::dictionary::SeriesId;
use super::spill::SpillWriter;
use super::track::{Taken, Track};

/// Samples of each block, by the block's number: its start divided by the duration of a block.
#[derive(Debug)]
pub(super) struct Partition {
    duration_ms: i64,
    budget_bytes: usize,
    used_bytes: usize,
    spill_dir: PathBuf,
    parts: BTreeMap<i64, Part>,
    samples: u64,
    dropped: u64,
}

/// The samples of one block.
#[derive(Debug, Default)]
struct Part {
    tracks: HashMap<SeriesId, Track, RandomState>,
    used_bytes: usize,
}

/// Memory of a track without samples, with its share of the map.
const TRACK_BYTES: usize = size_of::<Track>() + 24;

impl Partition {
    /// Keeps samples in memory until about `budget_bytes` are in use; then the largest block so
    /// far goes to a file in `spill_dir`.
    pub(super) fn new(duration_ms: i64, budget_bytes: usize, spill_dir: &Path) -> Self {
        Self {
            duration_ms,
            budget_bytes,
            used_bytes: 0,
            spill_dir: spill_dir.to_owned(),
            parts: BTreeMap::new(),
            samples: 0,
            dropped: 0,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, series: SeriesId, t: i64, v: f64) -> Result<()> {
        let part = self
            .parts
            .entry(t.div_euclid(self.duration_ms))
            .or_default();
        self.samples += 1;
        let mut used = 0;
        let track = part.tracks.entry(series).or_insert_with(|| {
            used = TRACK_BYTES;
            Track::default()
        });
        match track.push(t, v) {
            Taken::Kept(bytes) => used += bytes,
            Taken::Repeated => self.dropped += 1,
        }
        part.used_bytes += used;
        self.used_bytes += used;
        if self.used_bytes > self.budget_bytes {
            self.spill_largest()?;
        }
        Ok(())
    }

    /// Samples pushed.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples dropped so far because their series had one at their time.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Puts everything on disk, synced, so that a run that is killed from here on can be resumed;
    /// yields the numbers of the blocks that have samples, ascending.
    pub(super) fn finish(&mut self) -> Result<Vec<i64>> {
        let blocks: Vec<_> = self.parts.keys().copied().collect();
        for block in &blocks {
            self.spill(*block, true)?;
        }
        Ok(blocks)
    }

    fn spill_largest(&mut self) -> Result<()> {
        let largest = self
            .parts
            .iter()
            .max_by_key(|(_, part)| part.used_bytes)
            .map(|(block, _)| *block)
            .expect("memory is in use by a block");
        self.spill(largest, false)
    }

    fn spill(&mut self, block: i64, sync: bool) -> Result<()> {
        let part = self.parts.get_mut(&block).expect("named by the caller");
        let mut out = SpillWriter::open(&spill_path(&self.spill_dir, block))?;
        for (id, track) in std::mem::take(&mut part.tracks) {
            let (chunks, dropped) = track.into_chunks();
            self.dropped += dropped;
            out.append(id, &chunks)?;
        }
        out.close(sync)?;
        self.used_bytes -= std::mem::take(&mut part.used_bytes);
        Ok(())
    }
}

/// The file that holds the samples of a block.
pub(super) fn spill_path(dir: &Path, block: i64) -> PathBuf {
    dir.join(format!("{block}.samples"))
}
