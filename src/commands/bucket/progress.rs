//! How far a long run over blocks is: rate, and time that is left.

use std::time::{Duration, Instant};

use crate::commands::table::bytes;

/// Counts what is done of what there is.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    all: Work,
    done: Work,
}

/// An amount of work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) blocks: usize,
    pub(super) bytes: u64,
}

impl Progress {
    /// Nothing is done of `all` yet.
    pub(super) fn new(all: Work) -> Self {
        Self {
            started: Instant::now(),
            all,
            done: Work::default(),
        }
    }

    /// One more block, with so many bytes, is done; says how far that is.
    pub(super) fn block(&mut self, bytes: u64) -> String {
        self.done.blocks += 1;
        self.done.bytes += bytes;
        describe(self.done, self.all, self.started.elapsed())
    }
}

fn describe(done: Work, all: Work, taken: Duration) -> String {
    let seconds = taken.as_secs_f64().max(1e-3);
    let rate = match done.bytes {
        0 => format!("{:.1} blocks/s", done.blocks as f64 / seconds),
        n => format!("{}/s", bytes((n as f64 / seconds) as u64)),
    };
    let part = match (all.bytes, done.blocks) {
        (_, 0) => 0.0,
        (0, n) => n as f64 / all.blocks.max(1) as f64,
        (all, _) => done.bytes as f64 / all as f64,
    };
    // Of bytes nothing may be done yet.
    let left = match part {
        0.0 => "unknown time".to_owned(),
        part => format!("{:.0} s", seconds * (1.0 - part).max(0.0) / part),
    };
    let (done, all) = (done.blocks, all.blocks);
    format!("{done} of {all} blocks, {rate}, {left} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_go_by_bytes_where_they_are_known() {
        let work = |blocks, bytes| Work { blocks, bytes };
        let two = Duration::from_secs(2);
        for (done, all, expected) in [
            (
                work(1, 1 << 20),
                work(2, 4 << 20),
                "1 of 2 blocks, 512.0 KiB/s, 6 s left",
            ),
            (
                work(1, 0),
                work(4, 0),
                "1 of 4 blocks, 0.5 blocks/s, 6 s left",
            ),
            (
                work(0, 0),
                work(4, 9),
                "0 of 4 blocks, 0.0 blocks/s, unknown time left",
            ),
        ] {
            assert_eq!(describe(done, all, two), expected);
        }
    }
}
