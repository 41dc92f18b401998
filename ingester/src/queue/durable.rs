//! Making durable what was appended.

use std::io;
use std::sync::Arc;

use super::state::State;
use super::{Position, Queue};

impl Queue {
    /// Returns once everything up to `end` is durable.
    ///
    /// # Errors
    /// When it cannot be made so; it may or may not survive a crash then.
    pub fn sync(&self, end: Position) -> io::Result<()> {
        let mut synced = self.synced.lock();
        if *synced >= end {
            return self.check_failed(end);
        }
        let (file, upto) = {
            let state = self.state.lock();
            let last = state.segments.back().map(|last| Position {
                segment: last.number,
                offset: last.end,
            });
            match (&state.file, last) {
                (Some(file), Some(last)) => (Arc::clone(file), last),
                // All earlier files were made durable when they were done with.
                _ => {
                    drop(state);
                    return self.check_failed(end);
                }
            }
        };
        if upto.segment > end.segment {
            return self.check_failed(end);
        }
        if let Err(error) = file.sync_data() {
            // A second try could succeed without the bytes being there.
            let mut state = self.state.lock();
            state
                .failed
                .insert(upto.segment, synced_in(*synced, upto.segment));
            state.file = None;
            return Err(error);
        }
        *synced = upto;
        Ok(())
    }

    /// Returns once everything that was appended so far is durable.
    ///
    /// # Errors
    /// As [`Queue::sync`].
    pub fn sync_all(&self) -> io::Result<()> {
        let last = {
            let state = self.state.lock();
            let last = state.segments.back();
            last.map(|last| Position {
                segment: last.number,
                offset: last.end,
            })
        };
        last.map_or(Ok(()), |last| self.sync(last))
    }

    fn check_failed(&self, end: Position) -> io::Result<()> {
        let state = self.state.lock();
        match state.failed.get(&end.segment) {
            Some(durable) if end.offset > *durable => {
                Err(io::Error::other("the segment could not be made durable"))
            }
            _ => Ok(()),
        }
    }

    /// Makes the last segment durable, which takes no more records.
    pub(super) fn finish_file(&self, state: &mut State) {
        let (Some(file), Some(last)) = (state.file.take(), state.segments.back()) else {
            return;
        };
        if file.sync_data().is_err() {
            let durable = self
                .synced
                .try_lock()
                .map_or(0, |s| synced_in(*s, last.number));
            state.failed.insert(last.number, durable);
        }
    }
}

/// Bytes of the segment `number` that are durable, when the queue is until `synced`.
fn synced_in(synced: Position, number: u64) -> u64 {
    match synced.segment == number {
        true => synced.offset,
        false => 0,
    }
}
