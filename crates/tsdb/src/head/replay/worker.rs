//! Workers: each appends to its share of the series.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use model::{Sample, Value};

use crate::head::HeadOptions;
use crate::head::chunk_files::{ChunkFiles, MappedChunk};
use crate::head::series::{Appended, Cutting, HeadSeries};

/// Samples that are handed over at once.
pub(super) const BATCH_SIZE: usize = 2048;

/// Batches that may wait for a worker.
const QUEUE_SIZE: usize = 32;

/// A sample of the series in a worker's slot.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) slot: u32,
    pub(super) out_of_order: bool,
    pub(super) t: i64,
    pub(super) value: Value,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Append samples.
    Rows(Vec<Row>),
    /// Take over chunks from disk.
    Chunks {
        slot: u32,
        in_order: Vec<MappedChunk>,
        out_of_order: Vec<MappedChunk>,
    },
    /// Forget buffered out-of-order samples, which are in a chunk from disk.
    ClearBuffer { slot: u32 },
    /// Make a chunk of buffered out-of-order samples: none has them, though the log says so.
    EndBuffer { slot: u32 },
    /// Forget everything about a series.
    Drop { slot: u32 },
}

/// A worker as the router sees it.
pub(super) struct Worker<'scope> {
    pub(super) queue: SyncSender<Work>,
    /// Emptied batches come back.
    pub(super) emptied: Receiver<Vec<Row>>,
    pub(super) thread: ScopedJoinHandle<'scope, Share>,
}

/// What a worker leaves behind.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// By slot.
    pub(super) series: Vec<HeadSeries>,
    pub(super) invalid_histograms: u64,
}

/// What workers need to know.
#[derive(Debug, Clone, Copy)]
struct Context<'a> {
    cutting: Cutting<'a>,
    /// Samples out of order that are buffered.
    cap: usize,
}

/// Starts the workers of a replay.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    options: &HeadOptions,
    files: &'scope ChunkFiles,
) -> Vec<Worker<'scope>> {
    let context = Context {
        cutting: Cutting {
            chunk_range: options.chunk_range,
            files,
        },
        cap: options.out_of_order_cap,
    };
    (0..options.replay_workers.max(1))
        .map(|_| {
            let (queue, work) = sync_channel(QUEUE_SIZE);
            let (give_back, emptied) = channel();
            Worker {
                queue,
                emptied,
                thread: scope.spawn(move || run(&work, &give_back, context)),
            }
        })
        .collect()
}

fn run(queue: &Receiver<Work>, give_back: &Sender<Vec<Row>>, context: Context<'_>) -> Share {
    let mut share = Share::default();
    for work in queue {
        match work {
            Work::Rows(mut rows) => {
                for row in rows.drain(..) {
                    share.append(row, context);
                }
                // The router may be done already.
                let _ = give_back.send(rows);
            }
            Work::Chunks {
                slot,
                in_order,
                out_of_order,
            } => {
                let series = share.slot(slot);
                series.add_mapped(in_order);
                if !out_of_order.is_empty() {
                    series.out_of_order().add_mapped(out_of_order);
                }
            }
            Work::ClearBuffer { slot } => share.slot(slot).out_of_order().clear_buffer(),
            Work::EndBuffer { slot } => share.slot(slot).out_of_order().encode_buffer(),
            Work::Drop { slot } => *share.slot(slot) = HeadSeries::default(),
        }
    }
    share
}

impl Share {
    #[inline]
    fn slot(&mut self, slot: u32) -> &mut HeadSeries {
        let slot = slot as usize;
        if self.series.len() <= slot {
            self.series.resize_with(slot + 1, HeadSeries::default);
        }
        &mut self.series[slot]
    }

    #[inline]
    fn append(&mut self, row: Row, Context { cutting, cap }: Context<'_>) {
        let Row { slot, t, value, .. } = row;
        let series = self.slot(slot);
        if row.out_of_order {
            let out_of_order = series.out_of_order();
            if out_of_order.buffered() >= cap {
                out_of_order.encode_buffer();
            }
            out_of_order.insert(Sample { t, value });
            return;
        }
        let appended = match value {
            Value::Float(v) => series.append_float(t, v, cutting),
            Value::Histogram(h) => series.append_histogram(t, &h, cutting),
            Value::FloatHistogram(h) => series.append_float_histogram(t, &h, cutting),
        };
        if appended == Appended::Invalid {
            self.invalid_histograms += 1;
        }
    }
}
