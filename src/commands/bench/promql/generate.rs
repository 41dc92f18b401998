//! Data to query when there are none: counters, gauges, classic and native histograms.
//!
//! The same numbers of series and hours make the same samples, so that results compare between
//! machines and versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::{Histogram, Labels, Span, TimeRange};
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::{SeriesEncoder, TimedChunk};
use ulid::Ulid;

/// When the data start, in milliseconds: midnight of 2025-01-01 UTC.
const START: i64 = 1_735_689_600_000;
const INTERVAL: i64 = 15_000;

const JOBS: [&str; 4] = ["api", "batch", "gateway", "web"];
const ZONES: [&str; 3] = ["a", "b", "c"];
const HANDLERS: [&str; 4] = ["/", "/api/v1/query", "/api/v1/series", "/metrics"];
const BOUNDS: [&str; 8] = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf"];
/// Series of one instance, see [`DataSet::layout`].
const PER_INSTANCE: u32 = 8 + 2 + 8 + 1 + 1;

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataSet {
    /// Rounded down to whole instances, of 20 series each.
    pub(super) series: u32,
    pub(super) hours: u32,
}

/// How a series moves.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Grows by up to this much at a time; restarts from 0 now and then.
    Counter(u64),
    Gauge,
    /// Stays 1.
    Info,
    NativeHistogram,
}

impl DataSet {
    /// Writes one block with all of the data into `dir`.
    pub(super) fn write(self, dir: &Path) -> tsdb::Result<()> {
        let layout = self.layout();
        let ulid = Ulid::from_parts(START.cast_unsigned(), 1);
        let mut writer = BlockWriter::create(dir, ulid)?;
        let symbols: BTreeSet<&str> = layout
            .keys()
            .flat_map(|labels| labels.iter().flat_map(|(name, value)| [name, value]))
            .collect();
        for symbol in symbols {
            writer.add_symbol(symbol)?;
        }
        for (i, (labels, shape)) in layout.iter().enumerate() {
            writer.add_series(labels, &self.chunks(*shape, i as u64)?)?;
        }
        writer.finish(Meta::new(ulid, TimeRange::new(START, self.end())))?;
        Ok(())
    }

    fn end(self) -> i64 {
        START + i64::from(self.hours) * 3_600_000
    }

    /// All series, in order of labels.
    fn layout(self) -> BTreeMap<Labels, Shape> {
        let mut layout = BTreeMap::new();
        for i in 0..(self.series / PER_INSTANCE) as usize {
            let job = JOBS[i % JOBS.len()];
            let instance = format!("10.{}.{}.{}:9100", i >> 16, i >> 8 & 255, i & 255);
            let mut add = |name: &str, more: &[(&str, &str)], shape| {
                let base = [("__name__", name), ("instance", &instance), ("job", job)];
                let labels = Labels::from_pairs(base.into_iter().chain(more.iter().copied()));
                layout.insert(labels, shape);
            };
            for (weight, handler) in (1..).zip(HANDLERS) {
                for (code, growth) in [("200", 400), ("500", 4)] {
                    let more = [("handler", handler), ("code", code)];
                    add("requests_total", &more, Shape::Counter(growth / weight));
                }
            }
            for area in ["heap", "stack"] {
                add("memory_bytes", &[("area", area)], Shape::Gauge);
            }
            for (growth, le) in (1..).zip(BOUNDS) {
                let shape = Shape::Counter(growth * 10);
                add("request_duration_seconds_bucket", &[("le", le)], shape);
            }
            add("rpc_duration_seconds", &[], Shape::NativeHistogram);
            let zone = ZONES[i % ZONES.len()];
            add("instance_info", &[("zone", zone)], Shape::Info);
        }
        layout
    }

    /// The samples of a series.
    fn chunks(self, shape: Shape, seed: u64) -> tsdb::Result<Vec<TimedChunk>> {
        let mut random = Random(seed);
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        let mut level = random.below(1 << 20);
        let mut histogram = empty_histogram();
        // Each series is scraped at a time of its own within the interval.
        let offset = random.below(INTERVAL.cast_unsigned()).cast_signed();
        let times = (START + offset..self.end()).step_by(INTERVAL as usize);
        for t in times {
            let late = if random.below(50) == 0 {
                random.below(40)
            } else {
                0
            };
            let t = (t + late.cast_signed()).min(self.end() - 1);
            match shape {
                Shape::Counter(growth) => {
                    level = match random.below(4000) {
                        0 => 0,
                        _ => level + random.below(growth + 1),
                    };
                }
                Shape::Gauge => level = (level + random.below(4096)).saturating_sub(2048),
                Shape::Info => level = 1,
                Shape::NativeHistogram => observe(&mut histogram, &mut random),
            }
            chunks.extend(match shape {
                Shape::NativeHistogram => encoder.push_histogram(t, &histogram)?,
                Shape::Gauge => encoder.push_float(t, level as f64 * 4096.0)?,
                _ => encoder.push_float(t, level as f64)?,
            });
        }
        chunks.extend(encoder.finish());
        Ok(chunks)
    }
}

fn empty_histogram() -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 1e-9,
        positive_spans: vec![Span {
            offset: -8,
            length: 12,
        }],
        positive_buckets: vec![0; 12],
        ..Histogram::default()
    }
}

/// Adds some observations, most of them in the middle.
fn observe(histogram: &mut Histogram, random: &mut Random) {
    for _ in 0..8 {
        let bucket = (random.below(7) + random.below(6)) as usize;
        // Buckets are deltas: one more here is one less of a step to the next.
        histogram.positive_buckets[bucket] += 1;
        if let Some(next) = histogram.positive_buckets.get_mut(bucket + 1) {
            *next -= 1;
        }
        histogram.count += 1;
        histogram.sum += 0.01 * f64::from(1 << bucket);
    }
}

/// Pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
