//! The series that tests ask about us and a Prometheus, as one block or as text.
//!
//! Times are off every grid that expressions use (.141 s past 15 s steps), so that it does not matter
//! whether ranges include their left end. Counters stay far above zero, where the two versions
//! extrapolate alike. Values are multiples of a quarter, so that sums are exact in any order.

use std::path::Path;

use anyhow::{Context as _, ensure};
use bucket::{Bucket, Origin, upload_block};
use model::{Labels, TimeRange, sample};
use promontory_tests::remote_write;
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use ulid::Ulid;

use crate::rng::Rng;

/// Where the data starts, in milliseconds: a multiple of two hours.
pub(crate) const START_MS: i64 = 1_700_006_400_000;
/// Where it ends.
pub(crate) const END_MS: i64 = START_MS + 2 * 3_600_000;

const OFF_GRID_MS: i64 = 141;

/// How the values of a series go on.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Odd,
}

/// When there are samples, in milliseconds: from a multiple of the interval on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) interval: i64,
}

/// The time of a block.
const BLOCK: Span = Span {
    start: START_MS,
    end: END_MS,
    interval: 15_000,
};

/// The series in order of labels, with their samples.
pub(crate) fn series(seed: u64, span: Span) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let mut rng = Rng::new(seed);
    let mut series = describe();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let samples = |(labels, kind)| (labels, samples(&mut rng, kind, span));
    series.into_iter().map(samples).collect()
}

/// The series in OpenMetrics' text, which has no stale markers; samples from `from` on.
pub(crate) fn open_metrics(seed: u64, span: Span, from: i64) -> String {
    let mut text = String::new();
    for (labels, samples) in series(seed, span) {
        let name = labels.metric_name();
        let rest = labels.iter().filter(|(label, _)| *label != "__name__");
        let rest = Labels::from_pairs(rest).to_string().replace(", ", ",");
        let shown = |(t, v): &(i64, f64)| *t >= from && !sample::is_stale(*v);
        for (t, v) in samples.into_iter().filter(shown) {
            let (seconds, ms) = (t / 1000, t % 1000);
            let v = match v {
                f64::INFINITY => "+Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                v => v.to_string(),
            };
            text.push_str(&format!("{name}{rest} {v} {seconds}.{ms:03}\n"));
        }
    }
    text + "# EOF\n"
}

/// Sends the series of `seed`, their times later by `shift_ms`, to a server by remote write: in order
/// of time, a few minutes of all series at once.
pub(crate) fn send(port: u16, seed: u64, shift_ms: i64) -> anyhow::Result<()> {
    const SLICE_MS: i64 = 600_000;
    let all = series(seed, BLOCK);
    for from in (START_MS..END_MS).step_by(SLICE_MS as usize) {
        let slice: Vec<remote_write::Series> = (all.iter())
            .filter_map(|(labels, samples)| {
                let within = |(t, _): &&(i64, f64)| (from..from + SLICE_MS).contains(t);
                let samples = samples.iter().filter(within);
                let samples: Vec<_> = samples.map(|(t, v)| (t + shift_ms, *v)).collect();
                let own = |(n, v): (&str, &str)| (n.to_owned(), v.to_owned());
                let labels = labels.iter().map(own).collect();
                (!samples.is_empty()).then_some(remote_write::Series { labels, samples })
            })
            .collect();
        let answer = remote_write::send(port, "/api/v1/write", &slice)?;
        ensure!(
            answer.status / 100 == 2,
            "{} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

/// The block that [`write_block`] writes.
pub(crate) fn block_id() -> Ulid {
    Ulid::from_parts(START_MS as u64, 1)
}

/// The configuration of a bucket in `dir/bucket` that has the block, as by the sidecar of replica `a`.
pub(crate) fn bucket(dir: &Path) -> anyhow::Result<String> {
    let (block, folder) = (dir.join("block"), dir.join("bucket"));
    std::fs::create_dir_all(&block)?;
    write_block(&block, 1)?;
    let bucket = Bucket::in_directory(&folder)?;
    let origin = Origin::new("sidecar", [("replica".to_owned(), "a".to_owned())].into());
    let block = block.join(block_id().to_string());
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(upload_block(&bucket, &block, &origin, 0))?;
    let folder = folder.display();
    Ok(format!(
        "{{type: FILESYSTEM, config: {{directory: '{folder}'}}}}"
    ))
}

/// Writes the block into `dir`.
pub(crate) fn write_block(dir: &Path, seed: u64) -> anyhow::Result<()> {
    let series = series(seed, BLOCK);
    let mut symbols: Vec<&str> = series
        .iter()
        .flat_map(|(l, _)| l)
        .flat_map(|(n, v)| [n, v])
        .collect();
    symbols.sort_unstable();
    symbols.dedup();
    let ulid = block_id();
    let mut writer = BlockWriter::create(dir, ulid)?;
    for symbol in symbols {
        writer.add_symbol(symbol)?;
    }
    for (labels, samples) in &series {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        for &(t, v) in samples {
            chunks.extend(encoder.push_float(t, v)?);
        }
        chunks.extend(encoder.finish());
        writer.add_series(labels, &chunks)?;
    }
    let meta = Meta::new(ulid, TimeRange::new(START_MS, END_MS));
    writer.finish(meta)?.context("the block holds series")?;
    Ok(())
}

fn describe() -> Vec<(Labels, Kind)> {
    let mut series = Vec::new();
    for (i, job) in ["api", "db", "web"].into_iter().enumerate() {
        for instance in ["i0", "i1", "i2", "i3"] {
            let zone =
                ["a", "b", "c", ""][(i + instance.len() + usize::from(instance.as_bytes()[1])) % 4];
            let with = |name: &str, more: &[(&str, &str)]| {
                let own = [
                    ("__name__", name),
                    ("job", job),
                    ("instance", instance),
                    ("zone", zone),
                ];
                Labels::from_pairs(own.iter().chain(more).copied())
            };
            for code in ["200", "404", "500"] {
                series.push((with("requests_total", &[("code", code)]), Kind::Counter));
            }
            series.push((with("bytes_total", &[]), Kind::Counter));
            series.push((with("temperature", &[]), Kind::Gauge));
            series.push((with("queue_depth", &[("code", "200")]), Kind::Gauge));
            series.push((with("odd_values", &[]), Kind::Odd));
            for le in ["0.1", "0.5", "1", "+Inf"] {
                series.push((with("latency_seconds_bucket", &[("le", le)]), Kind::Counter));
            }
        }
    }
    series
}

fn samples(rng: &mut Rng, kind: Kind, span: Span) -> Vec<(i64, f64)> {
    // Some series start late or end early with a stale marker.
    let first = if rng.below(4) == 0 {
        rng.below(200) as i64
    } else {
        0
    };
    let steps = (span.end - span.start) / span.interval;
    let last = if rng.below(4) == 0 {
        steps - 1 - rng.below(150) as i64
    } else {
        steps - 1
    };
    let jitter = rng.below(9) as i64 * 1000;
    let mut value = 1e6 + (rng.below(1000) as f64) * 0.25;
    if !matches!(kind, Kind::Counter) {
        value = 200.0;
    }
    (first..=last)
        .map(|i| {
            let t = span.start + i * span.interval + jitter + OFF_GRID_MS;
            let step = rng.below(400) as f64 * 0.25;
            value = match kind {
                Kind::Counter if rng.below(120) == 0 => 5e5 + step,
                Kind::Counter => value + step,
                Kind::Gauge => (value + step - 50.0).clamp(1.0, 900.0),
                Kind::Odd => *rng.pick(&[
                    0.0,
                    1.0,
                    -1.0,
                    2.5,
                    f64::NAN,
                    f64::INFINITY,
                    f64::NEG_INFINITY,
                ]),
            };
            let ends = i == last && last != steps - 1;
            (t, if ends { sample::STALE_NAN } else { value })
        })
        .collect()
}
