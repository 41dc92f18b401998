//! Buffers of a writer that move to unnamed files when they grow.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Opens a file in `dir` that is gone once it is closed.
fn unnamed_file(dir: &Path, name: &str) -> Result<(File, PathBuf)> {
    let path = dir.join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|e| Error::io("create", &path, e))?;
    fs::remove_file(&path).map_err(|e| Error::io("unlink", &path, e))?;
    Ok((file, path))
}

/// Bytes that are appended and then read once, front to back.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    name: &'static str,
    /// What is not in the file.
    buf: Vec<u8>,
    spilled: Option<(File, PathBuf)>,
    spilled_len: u64,
}

impl Spool {
    /// Bytes held in memory before they move to a file.
    const MEMORY: usize = 1 << 20;

    /// A spool whose file, should it need one, is made in `dir`.
    pub(super) fn new(dir: &Path, name: &'static str) -> Self {
        Self {
            dir: dir.to_owned(),
            name,
            buf: Vec::new(),
            spilled: None,
            spilled_len: 0,
        }
    }

    /// Bytes appended so far.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.spilled_len + self.buf.len() as u64
    }

    /// The buffer to append to; call [`Spool::settle`] afterwards.
    pub(super) fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Moves the buffer to the file when it has grown large.
    pub(super) fn settle(&mut self) -> Result<()> {
        if self.buf.len() < Self::MEMORY {
            return Ok(());
        }
        let (file, path) = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(unnamed_file(&self.dir, self.name)?),
        };
        file.write_all_at(&self.buf, self.spilled_len)
            .map_err(|e| Error::io("write", path, e))?;
        self.spilled_len += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    /// Passes everything to `sink`, in order and in pieces.
    pub(super) fn drain(self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Some((file, path)) = self.spilled {
            let mut piece = vec![0; Self::MEMORY];
            let mut at = 0;
            while at < self.spilled_len {
                let len = (self.spilled_len - at).min(piece.len() as u64) as usize;
                file.read_exact_at(&mut piece[..len], at)
                    .map_err(|e| Error::io("read", &path, e))?;
                sink(&piece[..len])?;
                at += len as u64;
            }
        }
        sink(&self.buf)
    }
}

/// A series and one of its labels: symbols of name and value, reference of the series.
pub(super) type Pair = [u32; 3];

/// Size of a [`Pair`] in a file.
const PAIR_LEN: usize = 12;

/// Sorts pairs, by sorted runs in a file when there are many.
#[derive(Debug)]
pub(super) struct PairSorter {
    dir: PathBuf,
    run: Vec<Pair>,
    /// Pairs per run: what is held in memory.
    run_max: usize,
    /// Number of pairs in each run that was written.
    runs: Vec<usize>,
    spilled: Option<(File, PathBuf)>,
}

impl PairSorter {
    /// A sorter that holds `run_max` pairs in memory and makes a file in `dir` for more.
    pub(super) fn new(dir: &Path, run_max: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            run: Vec::new(),
            run_max,
            runs: Vec::new(),
            spilled: None,
        }
    }

    /// Adds a pair.
    pub(super) fn push(&mut self, pair: Pair) -> Result<()> {
        self.run.push(pair);
        if self.run.len() >= self.run_max {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        self.run.sort_unstable();
        let (file, path) = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(unnamed_file(&self.dir, "index_pairs")?),
        };
        let mut out = BufWriter::with_capacity(1 << 18, &*file);
        for pair in &self.run {
            out.write_all(&encode(*pair))
                .map_err(|e| Error::io("write", path, e))?;
        }
        out.flush().map_err(|e| Error::io("write", path, e))?;
        drop(out);
        self.runs.push(self.run.len());
        self.run.clear();
        Ok(())
    }

    /// Passes all pairs to `sink` in ascending order.
    pub(super) fn drain(mut self, mut sink: impl FnMut(Pair) -> Result<()>) -> Result<()> {
        if self.runs.is_empty() {
            self.run.sort_unstable();
            return self.run.into_iter().try_for_each(sink);
        }
        if !self.run.is_empty() {
            self.spill()?;
        }
        drop(std::mem::take(&mut self.run));
        let (file, path) = self.spilled.expect("a run was written");
        let mut start = 0;
        let mut runs: Vec<Run> = Vec::with_capacity(self.runs.len());
        for len in self.runs {
            let end = start + (len * PAIR_LEN) as u64;
            runs.push(Run {
                at: start,
                end,
                buf: Vec::new(),
                pos: 0,
            });
            start = end;
        }
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (i, run) in runs.iter_mut().enumerate() {
            if let Some(pair) = run.next(&file, &path)? {
                heads.push(Reverse((pair, i)));
            }
        }
        while let Some(Reverse((pair, i))) = heads.pop() {
            sink(pair)?;
            if let Some(next) = runs[i].next(&file, &path)? {
                heads.push(Reverse((next, i)));
            }
        }
        Ok(())
    }
}

fn encode(pair: Pair) -> [u8; PAIR_LEN] {
    let mut out = [0; PAIR_LEN];
    for (slot, n) in out.chunks_exact_mut(4).zip(pair) {
        slot.copy_from_slice(&n.to_le_bytes());
    }
    out
}

fn decode(bytes: &[u8; PAIR_LEN]) -> Pair {
    let (numbers, _) = bytes.as_chunks();
    [0, 1, 2].map(|i| u32::from_le_bytes(numbers[i]))
}

/// A sorted run in the file, read in pieces.
struct Run {
    at: u64,
    end: u64,
    buf: Vec<u8>,
    pos: usize,
}

impl Run {
    /// Bytes read at once; a multiple of a pair's size.
    const PIECE: usize = PAIR_LEN * 4096;

    fn next(&mut self, file: &File, path: &Path) -> Result<Option<Pair>> {
        if self.pos == self.buf.len() {
            let len = (self.end - self.at).min(Self::PIECE as u64) as usize;
            self.buf.resize(len, 0);
            file.read_exact_at(&mut self.buf, self.at)
                .map_err(|e| Error::io("read", path, e))?;
            self.at += len as u64;
            self.pos = 0;
        }
        let Some(bytes) = self.buf[self.pos..].first_chunk() else {
            return Ok(None);
        };
        self.pos += PAIR_LEN;
        Ok(Some(decode(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pairs_come_out_sorted(mut pairs in proptest::collection::vec(any::<Pair>(), 0..200), run_max in 1..50usize) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = PairSorter::new(dir.path(), run_max);
            for pair in &pairs {
                sorter.push(*pair).unwrap();
            }
            let mut sorted = Vec::new();
            sorter.drain(|p| { sorted.push(p); Ok(()) }).unwrap();
            pairs.sort_unstable();
            prop_assert_eq!(sorted, pairs);
            prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_spool_returns_what_was_put_in() {
        let dir = tempfile::tempdir().unwrap();
        for pieces in [0, 1, 3, 40] {
            let mut spool = Spool::new(dir.path(), "spool");
            let mut expected = Vec::new();
            for i in 0..pieces {
                let piece = vec![i as u8; 100_000];
                spool.buf().extend_from_slice(&piece);
                spool.settle().unwrap();
                expected.extend_from_slice(&piece);
            }
            assert_eq!(spool.len(), expected.len() as u64);
            let mut got = Vec::new();
            spool
                .drain(|piece| {
                    got.extend_from_slice(piece);
                    Ok(())
                })
                .unwrap();
            assert!(got == expected, "{pieces} pieces");
        }
    }
}
