//! The index of a block of a million series: writing, opening, matching, looking up.
//!
//! The series are those of Prometheus' own benchmark of matchers, fewer of them: 100,000 values of
//! `i`, five of `n`, two of `j`, plus a job and a long metric name.

#![expect(
    clippy::print_stderr,
    reason = "figures that criterion does not measure"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, MatchOp, Matcher};
use tsdb::chunk::ChunkMeta;
use tsdb::index::{LastLabels, Postings, Reader, SeriesEntry, SeriesRef, Writer};
use tsdb::source::{ByteSource, Memory, PositionedFile};

const VALUES: usize = 100_000;
const SERIES: usize = VALUES * 10;

const METRIC: &str = "http_server_request_duration_seconds_count";

fn value_of_i(i: usize) -> String {
    format!("{i:05}_{}", "x".repeat(20))
}

/// The series in order, made as they are asked for, so that only the writer takes memory.
fn series() -> impl Iterator<Item = Labels> {
    (0..VALUES).flat_map(|i| {
        let value = value_of_i(i);
        (0..10).map(move |k| {
            Labels::from_pairs([
                ("__name__", METRIC),
                ("i", &value),
                ("j", ["bar", "foo"][k / 5]),
                ("job", ["api", "web", "batch"][i % 3]),
                ("n", ["0", "1", "2", "3", "4"][k % 5]),
            ])
        })
    })
}

fn write_index(path: &Path) {
    let mut symbols: BTreeSet<String> = (0..VALUES).map(value_of_i).collect();
    let others = "__name__ i j job n bar foo api web batch 0 1 2 3 4";
    symbols.extend(others.split(' ').chain([METRIC]).map(str::to_owned));
    let started = Instant::now();
    let mut writer = Writer::create(path).unwrap();
    for symbol in &symbols {
        writer.add_symbol(symbol).unwrap();
    }
    for (k, labels) in series().enumerate() {
        let chunks: [ChunkMeta; 4] = std::array::from_fn(|c| ChunkMeta {
            min_time: c as i64 * 1_800_000,
            max_time: c as i64 * 1_800_000 + 1_785_000,
            reference: 8 + (k * 4 + c) as u64 * 200,
        });
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer.finish().unwrap();
    eprintln!(
        "written: {SERIES} series in {:?}, peak of memory {}",
        started.elapsed(),
        peak_memory()
    );
}

/// The most memory that this process had so far, mapped files included.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |l| l.trim().to_owned())
}

fn open(path: &Path) -> Reader {
    Reader::open(Arc::new(Memory::map(path).unwrap())).unwrap()
}

fn report(index: &Reader) {
    let (toc, size) = (index.toc(), index.source().size());
    let read = (toc.series - toc.symbols) + (size - toc.postings_table);
    eprintln!(
        "index of {size} bytes; opening reads {read} of them and keeps {} in memory",
        index.heap_bytes()
    );
}

fn matching(c: &mut Criterion, index: &Reader) {
    let re = |op, name, value| Matcher::new(op, name, value).unwrap();
    let eq = Matcher::equal;
    let cases = [
        ("n=1", vec![eq("n", "1")]),
        ("n=1,j=foo", vec![eq("n", "1"), eq("j", "foo")]),
        (
            "n=1,j!=foo",
            vec![eq("n", "1"), Matcher::not_equal("j", "foo")],
        ),
        (
            "j=foo,job=web,n!=0",
            vec![
                eq("j", "foo"),
                eq("job", "web"),
                Matcher::not_equal("n", "0"),
            ],
        ),
        (
            "i=one",
            vec![eq("i", "00777_xxxxxxxxxxxxxxxxxxxx"), eq("n", "1")],
        ),
        ("i=~1.*", vec![re(MatchOp::Regex, "i", "1.*")]),
        ("i=~.*7.*x", vec![re(MatchOp::Regex, "i", ".*7.*x")]),
        ("i=~.+", vec![re(MatchOp::Regex, "i", ".+")]),
        ("j=~foo|bar", vec![re(MatchOp::Regex, "j", "foo|bar")]),
        (
            "n=1,i!~.*7.*",
            vec![eq("n", "1"), re(MatchOp::NotRegex, "i", ".*7.*")],
        ),
    ];
    let mut group = c.benchmark_group("postings_for_matchers");
    group.sample_size(10);
    for (name, matchers) in cases {
        let count = index.postings_for_matchers(&matchers).unwrap().count();
        eprintln!("{name}: {count} series");
        group.bench_function(name, |b| {
            b.iter(|| {
                index
                    .postings_for_matchers(black_box(&matchers))
                    .unwrap()
                    .count()
            });
        });
    }
    group.finish();
}

fn intersecting(c: &mut Criterion) {
    let list = |step: u32, len: u32| Postings::from_sorted((0..len).map(|i| i * step).collect());
    let cases = [
        ("equal density", list(2, 500_000), list(3, 333_333)),
        ("one in a hundred", list(1, 1_000_000), list(100, 10_000)),
    ];
    let mut group = c.benchmark_group("intersect");
    for (name, a, b) in cases {
        let inputs = a.len_max() + b.len_max();
        group.throughput(Throughput::Elements(inputs as u64));
        group.bench_function(name, |bench| {
            bench.iter_batched(
                || vec![a.clone(), b.clone()],
                |lists| Postings::intersect(lists).count(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn looking_up(c: &mut Criterion, path: &Path) {
    let sources: [(&str, Arc<dyn ByteSource>); 2] = [
        ("mapped", Arc::new(Memory::map(path).unwrap())),
        ("positioned", Arc::new(PositionedFile::open(path).unwrap())),
    ];
    let mut group = c.benchmark_group("series");
    for (name, source) in sources {
        let index = Reader::open(source).unwrap();
        // Every 997th, so that neighbours do not help.
        let all: Vec<SeriesRef> = index.all_postings().unwrap().collect();
        let refs: Vec<SeriesRef> = (0..all.len()).map(|k| all[k * 997 % all.len()]).collect();
        let mut next = refs.iter().cycle();
        let mut entry = SeriesEntry::default();
        group.bench_function(format!("{name}, entry"), |b| {
            b.iter(|| index.series(*next.next().unwrap(), &mut entry).unwrap());
        });
        group.bench_function(format!("{name}, entry and labels"), |b| {
            b.iter(|| {
                index.series(*next.next().unwrap(), &mut entry).unwrap();
                index.labels(&entry).unwrap()
            });
        });
        // As queries read them: in order, so that neighbours have labels in common.
        let mut next = all.iter().cycle();
        group.bench_function(format!("{name}, neighbours, each by itself"), |b| {
            b.iter(|| {
                index.series(*next.next().unwrap(), &mut entry).unwrap();
                index.labels(&entry).unwrap()
            });
        });
        let mut next = all.iter().cycle();
        let mut last = LastLabels::default();
        group.bench_function(format!("{name}, neighbours, one after the other"), |b| {
            b.iter(|| {
                index.series(*next.next().unwrap(), &mut entry).unwrap();
                index.labels_after(&entry, &mut last).unwrap()
            });
        });
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    write_index(&path);
    let index = open(&path);
    report(&index);
    c.bench_function("open", |b| b.iter(|| open(&path)));
    matching(c, &index);
    intersecting(c);
    looking_up(c, &path);
}

criterion_group!(benches, all);
criterion_main!(benches);
