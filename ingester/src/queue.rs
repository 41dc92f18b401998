//! A queue on disk: what was made durable in it survives a kill, and is read in order.
//!
//! Records are appended to numbered segment files and read from the front. [`Queue::sync`] makes
//! durable what many threads appended, together. The reader says how far it is with
//! [`Queue::consume`]; segments before that are removed. A crash may forget the last of these marks,
//! so that records come again: at least once, never out of order.
//!
//! The bytes on disk are bounded. A queue that is full refuses, or gives up its oldest segment, as
//! its options say. Format: `docs/format/queue.md`; [`segment`] reads and writes it.

mod cursor;
mod durable;
pub mod record;
pub mod segment;
mod spares;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tsdb::durable::{self as names, is_no_room, sync_dir};

use cursor::Mark;
use segment::{HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader};
use spares::Spares;
use state::{Segment, State};

/// What happens to a record that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused.
    Refuse,
    /// The oldest segment is given up.
    DropOldest,
}

/// How a queue is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOptions {
    /// Bytes of a segment, from which on the next one is begun.
    pub segment_bytes: u64,
    /// Bytes of all segments together.
    pub bytes_max: u64,
    /// What happens beyond that.
    pub when_full: WhenFull,
    /// Below so many free bytes on the disk, segments are made of spares only.
    pub free_bytes_min: u64,
    /// Segments whose place on the disk is kept from the start.
    pub spares: usize,
}

/// A place in the queue: between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes into it.
    pub offset: u64,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was appended, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Samples that it holds, as its writer said.
    pub samples: u32,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The place behind it.
    pub end: Position,
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue is full.
    #[error("the queue on disk is full: {bytes} of {max} bytes")]
    Full {
        /// Bytes that it has.
        bytes: u64,
        /// Bytes that it may have.
        max: u64,
    },
    /// The record is larger than one may be.
    #[error("a record of {0} bytes is larger than the queue takes")]
    TooLarge(usize),
    /// The system refused.
    #[error("cannot write the queue: {0}")]
    Io(#[from] io::Error),
}

/// Figures of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct QueueStats {
    /// Bytes of its segments.
    pub bytes: u64,
    /// Records that were not consumed.
    pub records: u64,
    /// Samples in them.
    pub samples: u64,
    /// When the oldest of them was appended, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// Samples that were given up, because the queue was full.
    pub dropped_samples: u64,
    /// Segments that were damaged, and were set aside.
    pub damaged_segments: u64,
}

/// A queue on disk.
#[derive(Debug)]
pub struct Queue {
    dir: PathBuf,
    options: QueueOptions,
    state: Mutex<State>,
    /// What the file says of how far the queue is read. Held while that is written, and taken before
    /// the state: appends do not wait for it.
    noted: Mutex<Mark>,
    /// Until where it is durable. Held while that is made so.
    synced: Mutex<Position>,
}

impl Queue {
    /// Opens the queue in `dir`, which is made when it is not there. What a crash left unfinished at
    /// the end of a segment is passed over.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read or written.
    pub fn open(dir: &Path, options: QueueOptions) -> io::Result<Self> {
        names::create_dir_all(dir)?;
        let noted = cursor::read(dir);
        let Mark { consumed, given } = noted;
        let mut numbers = segment::numbers(dir)?;
        numbers.retain(|number| {
            let is_left = *number >= consumed.segment;
            if !is_left {
                // It is tried again at the next start.
                let _ = fs::remove_file(segment::path(dir, *number));
            }
            is_left
        });
        let mut state = State {
            segments: VecDeque::new(),
            file: None,
            reading: None,
            next_number: numbers.last().map_or(consumed.segment, |last| *last) + 1,
            consumed,
            given,
            failed: BTreeMap::new(),
            spares: Spares::open(dir, options.segment_bytes, options.spares)?,
            stats: QueueStats::default(),
        };
        for number in numbers {
            state.add_found(dir, number)?;
        }
        let last = state.segments.back();
        let synced = last.map_or(consumed, |last| Position {
            segment: last.number,
            offset: last.end,
        });
        Ok(Self {
            dir: dir.to_owned(),
            options,
            state: Mutex::new(state),
            noted: Mutex::new(noted),
            synced: Mutex::new(synced),
        })
    }

    /// Appends a record, which is durable after [`Queue::sync`] of the place that is returned.
    ///
    /// # Errors
    /// [`QueueError`]; the record is not in the queue then.
    pub fn append(
        &self,
        time_ms: i64,
        samples: u32,
        payload: &[u8],
    ) -> Result<Position, QueueError> {
        let header = RecordHeader::new(time_ms, samples, payload);
        let header = header.ok_or(QueueError::TooLarge(payload.len()))?;
        let mut bytes = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len());
        header.push(&mut bytes);
        bytes.extend_from_slice(payload);

        let state = &mut *self.state.lock();
        let (file, number, at) = self.room_for(state, bytes.len() as u64)?;
        if let Err(error) = file.write_all_at(&bytes, at) {
            // What the file has beyond this place is unknown, and it takes no more.
            self.finish_file(state);
            return Err(error.into());
        }
        let end = at + bytes.len() as u64;
        let segment = state.segments.back_mut().expect("room was made in it");
        segment.end = end;
        segment.records.push_back((end, time_ms, samples));
        state.stats.bytes += bytes.len() as u64;
        state.stats.records += 1;
        state.stats.samples += u64::from(samples);
        Ok(Position {
            segment: number,
            offset: end,
        })
    }

    /// The place of the first record that was not consumed.
    pub fn front(&self) -> Position {
        self.state.lock().consumed
    }

    /// The record at `at`, a place that this queue gave; nothing when that is the end.
    ///
    /// # Errors
    /// When a segment cannot be read. A record that is damaged is passed over with the rest of its
    /// segment.
    pub fn read(&self, at: Position) -> io::Result<Option<Entry>> {
        let mut at = at;
        loop {
            let (file, place, end) = {
                let state = &mut *self.state.lock();
                let begin = |segment: &Segment| match segment.number == at.segment {
                    true => at.offset.max(HEADER_BYTES),
                    false => HEADER_BYTES,
                };
                let mut left = state.segments.iter().filter(|s| s.number >= at.segment);
                let Some(found) = left.find(|segment| segment.end > begin(segment)) else {
                    return Ok(None);
                };
                let place = Position {
                    segment: found.number,
                    offset: begin(found),
                };
                let end = found.end;
                (state.reader(&self.dir, place.segment)?, place, end)
            };
            match segment::read_record(&*file, place.offset, end)? {
                Some((header, payload)) => {
                    let offset = place.offset + RECORD_HEADER_BYTES as u64 + payload.len() as u64;
                    return Ok(Some(Entry {
                        time_ms: header.time_ms,
                        samples: header.samples,
                        payload,
                        end: Position { offset, ..place },
                    }));
                }
                None => {
                    at = Position {
                        segment: place.segment,
                        offset: end,
                    };
                    self.note_damage(place.segment);
                }
            }
        }
    }

    fn note_damage(&self, number: u64) {
        let state = &mut *self.state.lock();
        let found = state.segments.iter_mut().find(|s| s.number == number);
        if let Some(segment) = found
            && !segment.is_damaged
        {
            segment.is_damaged = true;
            state.stats.damaged_segments += 1;
            tracing::error!(dir = %self.dir.display(), segment = number, "a queue on disk is damaged");
        }
    }

    /// Forgets what is before `upto`.
    pub fn consume(&self, upto: Position) {
        self.remove(upto);
        self.note();
    }

    fn remove(&self, upto: Position) {
        let state = &mut *self.state.lock();
        let Some(last) = state.segments.back() else {
            return;
        };
        let upto = upto.min(Position {
            segment: last.number,
            offset: last.end,
        });
        state.consume(upto);
        let is_behind = |segment: &Segment| {
            segment.number < upto.segment
                || segment.number == upto.segment && segment.end <= upto.offset
        };
        while state.segments.front().is_some_and(is_behind) {
            let is_last = state.segments.len() == 1;
            let used = state.segments.front().map_or(0, |s| s.end);
            // A segment that still takes records is kept, unless it is time for the next anyway.
            if is_last && state.file.is_some() && used < self.options.segment_bytes / 2 {
                break;
            }
            if is_last {
                state.file = None;
            }
            self.remove_front(state);
        }
    }

    /// Notes that what is before `upto` is given away. A run that is killed then can give away exactly
    /// the same again: see [`Queue::given`].
    pub fn give(&self, upto: Position) {
        {
            let state = &mut *self.state.lock();
            state.given = state.given.max(upto);
        }
        self.note();
    }

    /// The place up to which records may have arrived, though they were not consumed.
    pub fn given(&self) -> Position {
        self.state.lock().given
    }

    fn note(&self) {
        let mut noted = self.noted.lock();
        let mark = {
            let state = self.state.lock();
            Mark {
                consumed: state.consumed,
                given: state.given,
            }
        };
        if *noted == mark {
            return;
        }
        match cursor::write(&self.dir, mark) {
            Ok(()) => *noted = mark,
            Err(error) => tracing::warn!(dir = %self.dir.display(), %error,
                "cannot note how far a queue was read; records will come again after a restart"),
        }
    }

    /// Figures as of now.
    pub fn stats(&self) -> QueueStats {
        let state = self.state.lock();
        let mut records = state.segments.iter().flat_map(|s| s.records.front());
        QueueStats {
            oldest_ms: records.next().map(|(_, time_ms, _)| *time_ms),
            ..state.stats
        }
    }

    /// True when everything was consumed.
    pub fn is_empty(&self) -> bool {
        self.state.lock().stats.records == 0
    }

    /// The file, segment and place for a record of `bytes`.
    fn room_for(&self, state: &mut State, bytes: u64) -> Result<(Arc<File>, u64, u64), QueueError> {
        let max = self.options.bytes_max;
        loop {
            if let (Some(file), Some(last)) = (&state.file, state.segments.back()) {
                // A record that is larger than a segment has one of its own.
                let fits = last.end + bytes <= self.options.segment_bytes.max(HEADER_BYTES + bytes);
                if fits && state.stats.bytes + bytes <= max {
                    return Ok((Arc::clone(file), last.number, last.end));
                }
            }
            if state.stats.bytes + HEADER_BYTES + bytes > max {
                let has_more = state.segments.len() > usize::from(state.file.is_some());
                if self.options.when_full == WhenFull::Refuse || !has_more {
                    let bytes = state.stats.bytes;
                    return Err(QueueError::Full { bytes, max });
                }
                state.drop_front_samples();
                self.remove_front(state);
                continue;
            }
            self.begin_segment(state)?;
        }
    }

    /// Begins the next segment; the one before is durable afterwards, or known to have failed.
    fn begin_segment(&self, state: &mut State) -> Result<(), QueueError> {
        self.finish_file(state);
        let number = state.next_number;
        let path = segment::path(&self.dir, number);
        let file = state.spares.segment(&path, self.options.free_bytes_min);
        let file = file.map_err(|error| match is_no_room(&error) {
            true => QueueError::Full {
                bytes: state.stats.bytes,
                max: state.stats.bytes,
            },
            false => QueueError::Io(error),
        })?;
        file.write_all_at(&segment::header(), 0)?;
        // The name must be as durable as what the file will hold.
        sync_dir(&self.dir)?;
        state.next_number += 1;
        state.file = Some(Arc::new(file));
        state.stats.bytes += HEADER_BYTES;
        state.segments.push_back(Segment {
            number,
            end: HEADER_BYTES,
            records: VecDeque::new(),
            is_damaged: false,
        });
        Ok(())
    }

    fn remove_front(&self, state: &mut State) {
        let Some(segment) = state.segments.pop_front() else {
            return;
        };
        let held: u64 = segment
            .records
            .iter()
            .map(|(_, _, samples)| u64::from(*samples))
            .sum();
        state.stats.records -= segment.records.len() as u64;
        state.stats.samples -= held;
        state.stats.bytes = state.stats.bytes.saturating_sub(segment.end);
        state.failed.remove(&segment.number);
        state.reading = state
            .reading
            .take()
            .filter(|(number, _)| *number != segment.number);
        let next = Position {
            segment: segment.number + 1,
            offset: 0,
        };
        state.consumed = state.consumed.max(next);
        let path = segment::path(&self.dir, segment.number);
        let removed = match segment.is_damaged {
            true => fs::rename(&path, path.with_extension("damaged")),
            false => state.spares.take_back(&path),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove a segment of a queue");
        }
    }
}

#[cfg(test)]
mod tests;
