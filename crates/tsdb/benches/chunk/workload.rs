//! Columns of samples as monitoring produces them, the same on every run.

use model::{Histogram, Span};

/// What a series' values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Constant,
    IdleCounter,
    BusyCounter,
    DecimalCounter,
    FloatSum,
    Gauge,
    Noise,
}

impl Class {
    /// Every class with its share of a thousand series.
    pub(crate) const ALL: [(Self, usize); 7] = [
        (Self::Constant, 182),
        (Self::IdleCounter, 241),
        (Self::BusyCounter, 247),
        (Self::DecimalCounter, 105),
        (Self::FloatSum, 25),
        (Self::Gauge, 180),
        (Self::Noise, 20),
    ];
}

/// Times and values of one series.
pub(crate) struct Columns {
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
}

/// Samples per series: six hours, fifteen seconds apart.
const SAMPLES: usize = 1440;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, around 0.
    fn normal(&mut self) -> f64 {
        ((0..4).map(|_| self.unit()).sum::<f64>() - 2.0) * 1.732
    }

    /// Events in an interval that sees `rate` of them on average.
    fn events(&mut self, rate: f64) -> f64 {
        if rate > 8.0 {
            return (rate + rate.sqrt() * self.normal()).max(0.0).round();
        }
        let end = (-rate).exp();
        let (mut events, mut product) = (0.0, self.unit());
        while product > end {
            events += 1.0;
            product *= self.unit();
        }
        events
    }
}

/// `count` series of a class. One scrape in fifty is a few milliseconds off.
pub(crate) fn series(class: Class, count: usize) -> Vec<Columns> {
    (0..count)
        .map(|i| one(class, &mut Rng((class as u64) << 32 | i as u64)))
        .collect()
}

fn one(class: Class, rng: &mut Rng) -> Columns {
    let start = 1_763_596_800_000 + (rng.next() % 15_000) as i64;
    let scale = 10f64.powf(rng.unit() * 3.0);
    let mut value = match class {
        Class::Constant => (rng.unit() * 100.0 * scale).floor(),
        Class::DecimalCounter => (rng.unit() * 4e8).floor() / 100.0,
        Class::Gauge => ((scale * 1e6) / 4096.0).floor() * 4096.0,
        _ => (rng.unit() * scale * 40_000.0).floor(),
    };
    let level = value;
    let mut columns = Columns {
        times: Vec::with_capacity(SAMPLES),
        values: Vec::with_capacity(SAMPLES),
    };
    for i in 0..SAMPLES as i64 {
        let jitter = match rng.next() % 50 {
            0 => (rng.next() % 41) as i64 - 20,
            _ => 0,
        };
        match class {
            Class::Constant => {}
            Class::IdleCounter => value += rng.events(scale / 20_000.0),
            Class::BusyCounter => value += rng.events(scale),
            Class::DecimalCounter => {
                value = ((value + 2.0 * rng.unit()) * 100.0).round() / 100.0;
            }
            Class::FloatSum => {
                for _ in 0..rng.events(scale / 50.0) as u32 {
                    value += rng.unit() * 0.1;
                }
            }
            Class::Gauge => {
                let step = (rng.normal() * 8.0).round() * 4096.0;
                value = (value + step).max(0.0);
            }
            Class::Noise => value = level + rng.normal(),
        }
        columns.times.push(start + i * 15_000 + jitter);
        columns.values.push(value);
    }
    columns
}

/// Buckets of the histograms below.
pub(crate) const BUCKETS: usize = 20;

/// Native histograms of request durations: one run of buckets, most of them growing slowly.
pub(crate) fn histograms() -> Vec<(i64, Histogram)> {
    let mut rng = Rng(7);
    let mut counts = [0i64; BUCKETS];
    let mut histogram = Histogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        positive_spans: vec![Span {
            offset: -8,
            length: BUCKETS as u32,
        }],
        positive_buckets: vec![0; BUCKETS],
        ..Histogram::default()
    };
    (0..SAMPLES as i64)
        .map(|i| {
            for _ in 0..rng.events(30.0) as usize {
                let bucket = (10.0 + rng.normal() * 4.0).clamp(0.0, 19.0) as usize;
                counts[bucket] += 1;
                histogram.count += 1;
                histogram.sum += rng.unit();
            }
            let mut before = 0;
            for (delta, &count) in histogram.positive_buckets.iter_mut().zip(&counts) {
                *delta = count - before;
                before = count;
            }
            (i * 15_000, histogram.clone())
        })
        .collect()
}

/// Reads a file of columns: counts of series and of samples (u32), then per series the length of its
/// name (u32), the name, all times (i64), all values (f64); little-endian.
pub(crate) fn read_file(bytes: &[u8]) -> Vec<Columns> {
    let mut rest = bytes;
    let length = |rest: &mut &[u8]| {
        let bytes = take(rest, 4).try_into().expect("four bytes were taken");
        u32::from_le_bytes(bytes) as usize
    };
    let series = length(&mut rest);
    let samples = length(&mut rest);
    (0..series)
        .map(|_| {
            let name = length(&mut rest);
            take(&mut rest, name);
            let words = |bytes: &[u8]| {
                bytes
                    .chunks_exact(8)
                    .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
                    .collect::<Vec<_>>()
            };
            let times = words(take(&mut rest, samples * 8));
            let values = words(take(&mut rest, samples * 8));
            Columns {
                times: times.into_iter().map(u64::cast_signed).collect(),
                values: values.into_iter().map(f64::from_bits).collect(),
            }
        })
        .collect()
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(len);
    *rest = after;
    taken
}
