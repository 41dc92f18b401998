//! Requests of other systems' protocols: from bytes to points, new ones and named ones, and the whole
//! way from a request into a head and its log, without waiting for the disk.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

mod head;
mod payload;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ingester::exposition::Format;
use ingester::protocols::lookout::intake::{Intake, Origin, Step};
use ingester::protocols::lookout::push::{self as lookout_push, Form};
use ingester::protocols::lookout::{self, Information, native};
use ingester::protocols::metricbeat::bulk::{Chunk, Documents, actions};
use ingester::protocols::metricbeat::event::Context;
use ingester::protocols::metricbeat::{self, Mapping};
use ingester::protocols::opentsdb::{self, decode, line};
use ingester::protocols::points::Points;
use ingester::protocols::pushgateway::{decode as push, path::GroupKey};
use payload::{POINTS, Which};

const FIRST: Which = Which {
    first: 0,
    scrape: 0,
};
const NOW_MS: i64 = 1_795_226_430_123;

fn opentsdb(group: &mut BenchmarkGroup<'_, WallTime>) {
    let options = opentsdb::Options::default();
    let text = payload::lines(FIRST);
    group.throughput(Throughput::Bytes(text.len() as u64));
    let mut points = Points::new();
    group.bench_function("opentsdb, lines", |b| {
        b.iter(|| {
            points.clear();
            for text in black_box(&text).lines() {
                if let line::Command::Put(arguments) = line::Command::of_line(text) {
                    line::decode(arguments, &options, &mut points).unwrap();
                }
            }
            assert_eq!(points.len(), POINTS);
        });
    });
    let body = payload::json(FIRST);
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut decoded = decode::Decoded::default();
    group.bench_function("opentsdb, JSON", |b| {
        b.iter(|| {
            decode::decode(black_box(body.as_bytes()), 0, &options, &mut decoded).unwrap();
            assert_eq!(decoded.points.len(), POINTS);
        });
    });
}

fn pushgateway(group: &mut BenchmarkGroup<'_, WallTime>) {
    let text = payload::exposition(FIRST);
    let key = GroupKey::parse("job/backup/instance/db1").unwrap();
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("pushgateway, text", |b| {
        b.iter(|| push::decode(black_box(text.as_bytes()), false, &key, true).unwrap());
    });
}

fn lookout(group: &mut BenchmarkGroup<'_, WallTime>) {
    let options = lookout::Options::default();
    let origin = Origin {
        ip: Some("10.0.0.9".to_owned()),
        tags: Vec::new(),
        step: Step::NONE,
        now_ms: NOW_MS,
    };
    let body = payload::records(FIRST);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("lookout, records", |b| {
        b.iter(|| {
            let mut intake = Intake::new(&options, options.names, &origin);
            native::decode(black_box(body.as_bytes()), Information::Keep, &mut intake).unwrap();
            assert!(intake.points.batch().len() >= POINTS);
        });
    });
    let body = payload::exposition(FIRST);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("lookout, exposition", |b| {
        b.iter(|| {
            let mut intake = Intake::new(&options, options.names, &origin);
            let form = Form::Text(Format::Text);
            lookout_push::exposition(black_box(body.as_bytes()), form, true, &mut intake).unwrap();
            assert_eq!(intake.points.batch().len(), POINTS);
        });
    });
    let body = payload::json(FIRST);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("lookout, OpenTSDB's JSON", |b| {
        b.iter(|| {
            let mut intake = Intake::new(&options, options.names, &origin);
            lookout_push::opentsdb(black_box(body.as_bytes()), options.labels, &mut intake)
                .unwrap();
            assert_eq!(intake.points.batch().len(), POINTS);
        });
    });
}

fn metricbeat(group: &mut BenchmarkGroup<'_, WallTime>) {
    let body = payload::events(FIRST);
    group.throughput(Throughput::Bytes(body.len() as u64));
    for (name, mapping) in [
        ("metricbeat", Mapping::Paths),
        ("metricbeat, Lookout's mapping", Mapping::Lookout),
    ] {
        let options = metricbeat::Options {
            mapping,
            ..metricbeat::Options::default()
        };
        let context = Context {
            options: &options,
            names: options.names,
            now_ms: NOW_MS,
            extra: &[],
        };
        let mut chunk = Chunk::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                let actions = actions(black_box(body.as_bytes())).unwrap();
                let mut documents = Documents::new(&actions);
                let mut count = 0;
                while documents.next_chunk(&context, &mut chunk) {
                    count += chunk.points.batch().len();
                }
                assert_eq!(count, POINTS);
            });
        });
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("to points");
    opentsdb(&mut group);
    pushgateway(&mut group);
    lookout(&mut group);
    metricbeat(&mut group);
    group.finish();
}

criterion_group!(benches, decode, head::append);
criterion_main!(benches);
