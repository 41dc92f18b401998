//! What a queue knows of its segments.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::spares::Spares;
use super::{Position, QueueStats, segment};

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Where its records end.
    pub(super) end: u64,
    /// By place behind a record, its time and samples; consumed ones are removed.
    pub(super) records: VecDeque<(u64, i64, u32)>,
    pub(super) is_damaged: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) segments: VecDeque<Segment>,
    /// The last segment's file, while it takes records.
    pub(super) file: Option<Arc<File>>,
    /// The file that is read, and its number.
    pub(super) reading: Option<(u64, Arc<File>)>,
    pub(super) next_number: u64,
    pub(super) consumed: Position,
    pub(super) given: Position,
    /// Places up to which segments are durable whose files failed.
    pub(super) failed: BTreeMap<u64, u64>,
    pub(super) spares: Spares,
    pub(super) stats: QueueStats,
}

impl State {
    /// Adds a segment that is there at the start.
    pub(super) fn add_found(&mut self, dir: &Path, number: u64) -> io::Result<()> {
        let consumed = self.consumed;
        let found = segment::scan(&segment::path(dir, number))?;
        let mut segment = Segment {
            number,
            end: found.end,
            records: VecDeque::new(),
            is_damaged: found.is_damaged,
        };
        for record in found.records {
            let is_left = number > consumed.segment || record.0 > consumed.offset;
            if is_left {
                self.stats.records += 1;
                self.stats.samples += u64::from(record.2);
                segment.records.push_back(record);
            }
        }
        if found.is_damaged {
            self.stats.damaged_segments += 1;
            tracing::error!(dir = %dir.display(), segment = number, offset = found.end,
                "a queue on disk is damaged; what is behind that place in the segment is set aside");
        }
        self.stats.bytes += segment.end;
        self.segments.push_back(segment);
        Ok(())
    }

    pub(super) fn reader(&mut self, dir: &Path, number: u64) -> io::Result<Arc<File>> {
        match &self.reading {
            Some((open, file)) if *open == number => Ok(Arc::clone(file)),
            _ => {
                let file = Arc::new(File::open(segment::path(dir, number))?);
                self.reading = Some((number, Arc::clone(&file)));
                Ok(file)
            }
        }
    }

    pub(super) fn consume(&mut self, upto: Position) {
        self.consumed = self.consumed.max(upto);
        for segment in &mut self.segments {
            if segment.number > upto.segment {
                break;
            }
            let is_all = segment.number < upto.segment;
            while let Some((end, _, samples)) = segment.records.front()
                && (is_all || *end <= upto.offset)
            {
                self.stats.records -= 1;
                self.stats.samples -= u64::from(*samples);
                segment.records.pop_front();
            }
        }
    }

    /// Counts what the first segment still holds as given up.
    pub(super) fn drop_front_samples(&mut self) {
        let Some(front) = self.segments.front() else {
            return;
        };
        let held = front
            .records
            .iter()
            .map(|(_, _, samples)| u64::from(*samples));
        self.stats.dropped_samples += held.sum::<u64>();
    }
}
