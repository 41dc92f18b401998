//! What the buffer shows of itself.

use std::sync::atomic::Ordering;

use runtime::metrics::{Collect, Exposition};
use serde::Serialize;

use super::Buffer;
use crate::queue::QueueStats;

/// Figures of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BufferFigures {
    /// Tenants whose pushes are held.
    pub holding_tenants: usize,
    /// Bytes that the queues may have.
    pub bytes_max: u64,
    /// What they have.
    #[serde(flatten)]
    pub queues: QueueStats,
    /// Samples that were held since the start.
    pub held_samples: u64,
    /// Samples that were handed on since the start.
    pub drained_samples: u64,
    /// Pushes that found the buffer full since the start.
    pub full: u64,
}

impl Buffer {
    /// Figures as of now.
    pub fn figures(&self) -> BufferFigures {
        let mut figures = BufferFigures {
            holding_tenants: self.open.load(Ordering::Relaxed),
            bytes_max: self.options.bytes_max,
            held_samples: self.held.load(Ordering::Relaxed),
            drained_samples: self.drained.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            ..BufferFigures::default()
        };
        for line in self.lines.read().values() {
            let stats = line.queue.stats();
            let all = &mut figures.queues;
            all.bytes += stats.bytes;
            all.records += stats.records;
            all.samples += stats.samples;
            all.damaged_segments += stats.damaged_segments;
            all.oldest_ms = match (all.oldest_ms, stats.oldest_ms) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        figures
    }
}

impl Collect for Buffer {
    fn collect(&self, out: &mut Exposition) {
        let figures = self.figures();
        let oldest = figures.queues.oldest_ms;
        let lag_ms = oldest.map_or(0, |oldest| (self.clock.now_ms() - oldest).max(0));
        for (name, help, value) in [
            (
                "promontory_buffer_bytes",
                "Bytes of pushes that are held on disk.",
                figures.queues.bytes as f64,
            ),
            (
                "promontory_buffer_samples",
                "Samples that are held on disk.",
                figures.queues.samples as f64,
            ),
            (
                "promontory_buffer_lag_seconds",
                "How long the oldest push that is held waits.",
                lag_ms as f64 / 1000.0,
            ),
            (
                "promontory_buffer_holding_tenants",
                "Tenants whose pushes are held.",
                figures.holding_tenants as f64,
            ),
        ] {
            out.gauge(name, help, &[], value);
        }
        for (name, help, value) in [
            (
                "promontory_buffer_held_samples_total",
                "Samples that were held on disk.",
                figures.held_samples,
            ),
            (
                "promontory_buffer_drained_samples_total",
                "Samples that were held and then handed on.",
                figures.drained_samples,
            ),
            (
                "promontory_buffer_full_total",
                "Pushes that found the buffer full.",
                figures.full,
            ),
        ] {
            out.counter(name, help, &[], value);
        }
    }
}
