//! How far a long run is, for whoever waits: rate, and time that is left.

use std::io::Write;
use std::time::{Duration, Instant};

use ingester::backfill::Progress;

use crate::commands::table::bytes;

/// Time between two reports on a terminal, where each replaces the one before.
const TERMINAL_PERIOD: Duration = Duration::from_millis(200);

/// Time between two reports elsewhere, where each is a line.
const LOG_PERIOD: Duration = Duration::from_secs(5);

/// Prints progress from time to time.
pub(super) struct Meter<'a> {
    out: &'a mut dyn Write,
    on_terminal: bool,
    /// Size of the input, if it is known.
    total_bytes: Option<u64>,
    started: Instant,
    shown: Option<Instant>,
    /// Columns of the report that a terminal shows now.
    width: usize,
}

impl<'a> Meter<'a> {
    pub(super) fn new(out: &'a mut dyn Write, on_terminal: bool, total_bytes: Option<u64>) -> Self {
        Self {
            out,
            on_terminal,
            total_bytes,
            started: Instant::now(),
            shown: None,
            width: 0,
        }
    }

    /// Hears of progress; prints it unless it printed some just now.
    pub(super) fn show(&mut self, progress: Progress) {
        let period = if self.on_terminal {
            TERMINAL_PERIOD
        } else {
            LOG_PERIOD
        };
        if self.shown.unwrap_or(self.started).elapsed() < period {
            return;
        }
        self.shown = Some(Instant::now());
        let text = describe(progress, self.total_bytes, self.started.elapsed());
        // Progress is not worth failing for.
        let _ = if self.on_terminal {
            let width = std::mem::replace(&mut self.width, text.len());
            write!(self.out, "\r{text:<width$}")
        } else {
            writeln!(self.out, "{text}")
        };
        let _ = self.out.flush();
    }

    /// Wipes what a terminal shows.
    pub(super) fn end(&mut self) {
        if self.width > 0 {
            let width = std::mem::take(&mut self.width);
            let _ = write!(self.out, "\r{:width$}\r", "");
            let _ = self.out.flush();
        }
    }
}

fn describe(progress: Progress, total_bytes: Option<u64>, elapsed: Duration) -> String {
    match progress {
        Progress::Reading {
            bytes: read,
            samples,
        } => {
            let seconds = elapsed.as_secs_f64().max(1e-3);
            let rate = format!(
                "{samples} samples, {}/s, {:.0} samples/s",
                bytes((read as f64 / seconds) as u64),
                samples as f64 / seconds
            );
            match total_bytes.filter(|total| *total >= read && read > 0) {
                Some(total) => {
                    let left = seconds * (total - read) as f64 / read as f64;
                    let percent = read * 100 / total;
                    format!("reading: {percent}%, {rate}, {left:.0} s left")
                }
                None => format!("reading: {}, {rate}", bytes(read)),
            }
        }
        Progress::Writing { done, blocks } => format!("writing: {done} of {blocks} blocks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_tells_rate_and_time_left() {
        let progress = Progress::Reading {
            bytes: 1 << 20,
            samples: 500,
        };
        let two = Duration::from_secs(2);
        assert_eq!(
            describe(progress, Some(4 << 20), two),
            "reading: 25%, 500 samples, 512.0 KiB/s, 250 samples/s, 6 s left"
        );
        assert_eq!(
            describe(progress, None, two),
            "reading: 1.0 MiB, 500 samples, 512.0 KiB/s, 250 samples/s"
        );
    }

    #[test]
    fn a_terminal_is_wiped_at_the_end() {
        let mut out = Vec::new();
        let mut meter = Meter::new(&mut out, true, None);
        meter.started -= Duration::from_secs(1);
        meter.show(Progress::Writing { done: 1, blocks: 2 });
        meter.show(Progress::Writing { done: 2, blocks: 2 });
        meter.end();
        let text = String::from_utf8(out).unwrap();
        let wiped = " ".repeat(23);
        assert_eq!(text, format!("\rwriting: 1 of 2 blocks\r{}\r", &wiped[1..]));
    }
}
