//! Blocks from samples in OpenMetrics text, however large, in any order of time.
//!
//! Reading: every line is parsed once; its sample is encoded at once into the open chunk of its
//! series in its block ([`track`]), and when the chunks of all blocks outgrow the memory budget
//! those of the largest block go to a spill file ([`partition`]). Series are found by the bytes
//! they are written with ([`dictionary`]), so labels are parsed once per series, not per sample.
//! Memory: the budget, and the labels of all series twice.
//!
//! Writing: once the whole input was found sound, each block is made from its spill, series by
//! series in order of labels ([`build`]). Full chunks are copied. The journal makes sure that a run
//! after a kill goes on where this one was, and that no block is made twice ([`journal`]).
//!
//! Input is read as `promtool tsdb create-blocks-from openmetrics` reads it, and makes the same
//! blocks, with these differences: samples of a series may come in any order; of two samples of a
//! series at one time the first is kept and the other counted, where promtool gives up; nothing is
//! written when any line is wrong.

mod build;
mod dictionary;
mod input;
mod journal;
mod partition;
mod series_file;
mod spill;
mod track;

use std::fs;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;

use model::{ErrorKind, LabelsBuilder};
use tsdb::block::Meta;
use ulid::Ulid;

use crate::exposition::{self, Entry, Format, Parser, SampleEntry};
use dictionary::Dictionary;
use input::{Lines, quick_sample};
use journal::{Journal, PlannedBlock, Record, Settings};
use partition::Partition;

pub use journal::{DIR as JOURNAL_DIR, FileStamp};

/// Duration of a block unless a longer one is allowed, in milliseconds.
pub const BLOCK_DURATION_MS: i64 = 2 * 60 * 60 * 1000;

/// Lines between two reports of progress.
const REPORT_LINES: u64 = 1 << 16;

/// Why blocks could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line of the input is wrong; no block was made.
    #[error(transparent)]
    Line(#[from] exposition::Error),
    /// The input cannot be read.
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// The output cannot be written.
    #[error(transparent)]
    Storage(#[from] tsdb::Error),
    /// The caller stopped; the next run goes on from here.
    #[error("stopped; run the same command again to go on")]
    Stopped,
}

impl Error {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Line(_) => ErrorKind::Invalid,
            Self::Input(_) => ErrorKind::Unavailable,
            Self::Storage(e) => e.kind(),
            Self::Stopped => ErrorKind::Cancelled,
        }
    }
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory that gets the blocks; made if it is not there.
    pub output: PathBuf,
    /// Longest duration of a block; the longest of 2 h, 6 h, 18 h, 54 h, ... that fits is used.
    pub max_block_duration_ms: i64,
    /// Labels to set on every series.
    pub labels: Vec<(String, String)>,
    /// Memory for samples while the input is read.
    pub memory_bytes: usize,
}

/// What a run needs from outside.
pub struct Deps<'a> {
    /// Makes names of blocks.
    pub new_ulid: &'a mut dyn FnMut() -> Ulid,
    /// Hears how far the run is, and may stop it.
    pub progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl std::fmt::Debug for Deps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The input is read.
    Reading {
        /// Bytes read.
        bytes: u64,
        /// Samples met.
        samples: u64,
    },
    /// Blocks are written.
    Writing {
        /// Blocks in place.
        done: usize,
        /// Blocks in all.
        blocks: usize,
    },
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// Blocks made by this run, in order of time.
    pub blocks: Vec<Meta>,
    /// Blocks that an earlier run had made of the same input.
    pub blocks_before: usize,
    /// Samples read by this run; 0 when it did not have to read.
    pub samples: u64,
    /// Samples left out because their series had one at their time already.
    pub dropped: u64,
}

/// The longest of Prometheus' block durations (2 h times powers of 3, ten of them) within `max_ms`.
pub fn block_duration_ms(max_ms: i64) -> i64 {
    (0..10)
        .map(|i| BLOCK_DURATION_MS * 3i64.pow(i))
        .take_while(|d| *d <= max_ms)
        .last()
        .unwrap_or(BLOCK_DURATION_MS)
}

/// Makes blocks of `input`; `file` describes it where it is a file.
///
/// # Errors
/// [`Error`]; after any of them the run can be started again and neither skips nor doubles a block.
pub fn run(
    input: impl Read,
    file: Option<FileStamp>,
    options: &Options,
    deps: &mut Deps<'_>,
) -> Result<Report, Error> {
    let output = &options.output;
    fs::create_dir_all(output).map_err(|e| tsdb::Error::io("create", output, e))?;
    let mut run = Run {
        journal: Journal::open(output)?,
        settings: Settings {
            duration_ms: block_duration_ms(options.max_block_duration_ms),
            labels: options.labels.clone(),
        },
        options,
        deps,
        report: Report::default(),
    };
    let mut record = match run.known(file.as_ref())? {
        Some(record) => record,
        None => run.read(input, file)?,
    };
    run.report.blocks_before = record.blocks.iter().filter(|b| b.done).count();
    if !record.is_done() {
        run.write_blocks(&mut record)?;
    }
    run.journal.drop_spill(&record)?;
    Ok(run.report)
}

/// One run.
struct Run<'a, 'd> {
    journal: Journal,
    settings: Settings,
    options: &'a Options,
    deps: &'a mut Deps<'d>,
    report: Report,
}

impl Run<'_, '_> {
    /// The record of a file that need not be read again.
    fn known(&self, file: Option<&FileStamp>) -> Result<Option<Record>, Error> {
        let Some(file) = file else {
            return Ok(None);
        };
        let record = self.journal.of_file(file, &self.settings)?;
        Ok(record.filter(|r| r.is_done() || self.journal.spill(r).is_some()))
    }

    /// Reads the input into spill files and plans its blocks, unless an earlier run did.
    fn read(&mut self, input: impl Read, file: Option<FileStamp>) -> Result<Record, Error> {
        let dir = self.journal.start_reading()?;
        let mut reading = Reading {
            dictionary: Dictionary::default(),
            partition: Partition::new(self.settings.duration_ms, self.options.memory_bytes, &dir),
            labels: &self.settings.labels,
            met_eof: false,
        };
        let mut lines = Lines::new(input);
        while let Some((number, line)) = lines.next_line().map_err(Error::Input)? {
            reading.line(number, line)?;
            if number % REPORT_LINES == 0 {
                let progress = Progress::Reading {
                    bytes: lines.bytes_read(),
                    samples: reading.partition.samples(),
                };
                report(self.deps, progress)?;
            }
        }
        if !reading.met_eof {
            let reason = "the input does not end with # EOF";
            return Err(exposition::Error::new(lines.lines_read() + 1, reason).into());
        }
        let blocks = reading.partition.finish()?;
        self.report.samples = reading.partition.samples();
        self.report.dropped = reading.partition.dropped();

        if let Some(earlier) = self.journal.of_digest(lines.digest(), &self.settings)? {
            if !earlier.is_done() && self.journal.spill(&earlier).is_none() {
                series_file::write(&dir, &reading.dictionary.into_labels())?;
                self.journal.keep_spill(&earlier)?;
            }
            return Ok(earlier);
        }
        series_file::write(&dir, &reading.dictionary.into_labels())?;
        let blocks = blocks
            .into_iter()
            .map(|number| PlannedBlock {
                number,
                ulid: (self.deps.new_ulid)(),
                done: false,
            })
            .collect();
        let record = Record::new(lines.digest(), file, self.settings.clone(), blocks);
        self.journal.keep_spill(&record)?;
        self.journal.write(&record)?;
        Ok(record)
    }

    /// Makes the blocks of a record that were not made yet.
    fn write_blocks(&mut self, record: &mut Record) -> Result<(), Error> {
        let spill = self
            .journal
            .spill(record)
            .expect("made by reading, or looked for before");
        let series = build::SortedSeries::new(series_file::read(&spill)?);
        let blocks = record.blocks.len();
        for i in 0..blocks {
            report(self.deps, Progress::Writing { done: i, blocks })?;
            let block = &mut record.blocks[i];
            if block.done {
                continue;
            }
            // There already when the run before was killed between this and the next line.
            if !self.options.output.join(block.ulid.to_string()).is_dir() {
                let samples = partition::spill_path(&spill, block.number);
                let built = build::block(&self.options.output, block.ulid, &samples, &series)?;
                self.report.dropped += built.dropped;
                self.report.blocks.push(built.meta);
            }
            block.done = true;
            self.journal.write(record)?;
        }
        let done = blocks;
        report(self.deps, Progress::Writing { done, blocks })
    }
}

fn report(deps: &mut Deps<'_>, progress: Progress) -> Result<(), Error> {
    match (deps.progress)(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Stopped),
    }
}

/// The input while it is read.
struct Reading<'a> {
    dictionary: Dictionary,
    partition: Partition,
    labels: &'a [(String, String)],
    met_eof: bool,
}

impl Reading<'_> {
    #[inline]
    fn line(&mut self, number: u64, line: &[u8]) -> Result<(), Error> {
        if !self.met_eof
            && let Some(sample) = quick_sample(line)
            && let Some(series) = self.dictionary.find(sample.series)
        {
            check_time(number, sample.timestamp)?;
            self.partition
                .push(series, sample.timestamp, sample.value)?;
            return Ok(());
        }
        self.parse(number, line)
    }

    /// The way of every line that is not a plain sample of a series met before.
    fn parse(&mut self, number: u64, line: &[u8]) -> Result<(), Error> {
        if self.met_eof {
            return Err(exposition::Error::new(number, "nothing may follow # EOF").into());
        }
        let mut parser = Parser::fragment(line, Format::OpenMetrics, number);
        match parser.next_entry()? {
            Some(Entry::Sample(sample)) => self.sample(number, &sample),
            Some(_) => Ok(()),
            None => {
                self.met_eof = parser.met_eof();
                Ok(())
            }
        }
    }

    fn sample(&mut self, number: u64, sample: &SampleEntry<'_, '_>) -> Result<(), Error> {
        let wrong = |reason: String| exposition::Error::new(number, reason);
        let Some(t) = sample.reading.timestamp else {
            return Err(wrong("the sample has no timestamp".to_owned()).into());
        };
        check_time(number, t)?;
        let text = sample.series.text;
        let series = match self.dictionary.find(text) {
            Some(series) => series,
            None => {
                let labels = sample
                    .series
                    .to_labels()
                    .map_err(|name| wrong(format!("the label {name:?} appears twice")))?;
                let mut builder = LabelsBuilder::from_labels(&labels);
                for (name, value) in self.labels {
                    builder.set(name, value);
                }
                let labels = builder.labels();
                if labels.is_empty() {
                    return Err(wrong("the series has no label".to_owned()).into());
                }
                self.dictionary.insert(text, labels).map_err(wrong)?
            }
        };
        Ok(self.partition.push(series, t, sample.reading.value)?)
    }
}

/// Refuses the two timestamps that stand for any beyond them and have no block around them.
#[inline]
fn check_time(line: u64, t: i64) -> Result<(), Error> {
    if t == i64::MAX || t == i64::MIN {
        return Err(exposition::Error::new(line, "the timestamp is out of range").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
