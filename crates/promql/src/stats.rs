//! What a query touched and how long it took.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Statistics of a finished query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryStats {
    /// Samples that the selectors of the query looked at, summed over steps.
    pub samples_total: u64,
    /// Most samples held in memory at once.
    pub samples_peak: u64,
    /// Most bytes of columns held in memory at once, estimated.
    pub bytes_peak: u64,
    /// Series read from the source.
    pub series: u64,
    /// `samples_total` by step; empty unless asked for.
    pub samples_per_step: Vec<u64>,
    /// Time to plan the query.
    pub prepare_time: Duration,
    /// Time to evaluate it.
    pub eval_time: Duration,
    /// What each operator did, the one that yields the result first; empty unless asked for.
    pub operators: Vec<OperatorStats>,
}

/// What one operator of a query did, its inputs included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorStats {
    /// The operator, as the plan names it.
    pub name: String,
    /// Series that it yielded.
    pub series: u64,
    /// Samples that selectors looked at, summed over steps.
    pub samples: u64,
    /// Most samples that the query held in memory when it yielded a series.
    pub samples_peak: u64,
    /// Time that it took.
    pub time: Duration,
    /// Whom it asked for series; empty where the source does not say.
    pub fan_out: Vec<FanOutStats>,
    /// What it reads from.
    pub inputs: Vec<OperatorStats>,
}

/// What one of the stores behind a source answered to a select.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FanOutStats {
    /// Its address, or what else users know it by.
    pub name: String,
    /// Time from the question to the end of the answer.
    pub time: Duration,
    /// Bytes of labels and chunks.
    pub bytes: u64,
    /// Pieces that the answer came in.
    pub responses: u64,
    /// Series, or parts of series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Samples in the chunks.
    pub samples: u64,
    /// Why it did not answer, or not to the end.
    pub error: Option<String>,
}

/// Collects statistics while a query runs.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    samples: AtomicU64,
    series: AtomicU64,
    /// Present when statistics per step are asked for.
    per_step: Option<Mutex<Vec<u64>>>,
}

impl Recorder {
    /// A recorder; `per_step` is the number of steps to keep apart.
    pub(crate) fn new(per_step: Option<usize>) -> Self {
        Self {
            per_step: per_step.map(|steps| Mutex::new(vec![0; steps])),
            ..Self::default()
        }
    }

    /// A series was read.
    pub(crate) fn add_series(&self) {
        self.series.fetch_add(1, Ordering::Relaxed);
    }

    /// `samples` were looked at, over all steps.
    pub(crate) fn add_samples(&self, samples: u64) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
    }

    /// True when [`Recorder::add_steps`] wants to know.
    pub(crate) const fn wants_steps(&self) -> bool {
        self.per_step.is_some()
    }

    /// Samples looked at by step; ignored for subqueries, whose steps are others.
    pub(crate) fn add_steps(&self, samples: impl ExactSizeIterator<Item = u64>) {
        let Some(per_step) = &self.per_step else {
            return;
        };
        let mut per_step = per_step.lock().expect("no panic while adding");
        if per_step.len() == samples.len() {
            for (slot, n) in per_step.iter_mut().zip(samples) {
                *slot += n;
            }
        }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    pub(crate) fn series(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    pub(crate) fn per_step(&self) -> Vec<u64> {
        let per_step = self.per_step.as_ref();
        per_step.map_or_else(Vec::new, |p| {
            p.lock().expect("no panic while adding").clone()
        })
    }
}
