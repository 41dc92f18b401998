//! A log in memory that remembers what was made durable, for tests.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::dir::{SegmentFile, SegmentStore};

#[derive(Debug, Default)]
struct State {
    segments: Vec<Vec<u8>>,
    /// Bytes of each segment that were synced.
    durable: Vec<usize>,
    fail_writes: bool,
    /// Bytes that writes still have room for.
    room: Option<usize>,
}

/// Segments in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug)]
pub(super) struct MemoryFile {
    store: MemoryStore,
    at: usize,
}

impl MemoryStore {
    /// All bytes written.
    pub(super) fn segments(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().segments.clone()
    }

    /// What is left when the machine loses power now.
    pub(super) fn after_power_cut(&self) -> Vec<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let durable = state.durable.iter();
        state
            .segments
            .iter()
            .zip(durable)
            .map(|(bytes, &len)| bytes[..len].to_vec())
            .collect()
    }

    /// Makes writes fail, or work again.
    pub(super) fn fail_writes(&self, fail: bool) {
        self.0.lock().unwrap().fail_writes = fail;
    }

    /// Lets so many more bytes be written, or any number.
    pub(super) fn limit(&self, room: Option<usize>) {
        self.0.lock().unwrap().room = room;
    }
}

impl SegmentStore for MemoryStore {
    type File = MemoryFile;

    fn create(&mut self, index: u32) -> io::Result<MemoryFile> {
        let mut state = self.0.lock().unwrap();
        assert_eq!(index as usize, state.segments.len());
        state.segments.push(Vec::new());
        state.durable.push(0);
        Ok(MemoryFile {
            store: self.clone(),
            at: index as usize,
        })
    }

    fn path(&self, index: u32) -> PathBuf {
        PathBuf::from(format!("{index:08}"))
    }
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.store.0.lock().unwrap();
        if state.fail_writes {
            return Err(io::Error::other("broken device"));
        }
        let taken = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.room = state.room.map(|room| room - taken);
        state.segments[self.at].extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for MemoryFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.store.0.lock().unwrap();
        state.durable[self.at] = state.segments[self.at].len();
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.store.0.lock().unwrap().segments[self.at].truncate(len as usize);
        Ok(())
    }
}
