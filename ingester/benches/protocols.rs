//! Requests of other systems' protocols, from bytes to a batch: 2,000 points of as many series.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingester::protocols::lookout::intake::{Intake, Origin, Step};
use ingester::protocols::lookout::{self, Information, native};
use ingester::protocols::opentsdb::{self, decode, line};
use ingester::protocols::points::Points;
use ingester::protocols::pushgateway::{decode as push, path::GroupKey};

const POINTS: usize = 2000;

/// Points as collectd's: name, time, value and four tags.
fn lines() -> String {
    let mut text = String::new();
    for i in 0..POINTS {
        writeln!(
            text,
            "put interface.if_octets.rx 1795225759 {}.25 fqdn=node{}.example.org if=eth{} dc=eu1 status=production",
            i * 977,
            i % 500,
            i % 4
        )
        .expect("writing to a String");
    }
    text
}

/// The same points as JSON.
fn json() -> String {
    let points = (0..POINTS).map(|i| {
        format!(
            r#"{{"metric":"interface.if_octets.rx","timestamp":1795225759,"value":{}.25,"tags":{{"fqdn":"node{}.example.org","if":"eth{}","dc":"eu1","status":"production"}}}}"#,
            i * 977,
            i % 500,
            i % 4
        )
    });
    let points: Vec<_> = points.collect();
    format!("[{}]", points.join(","))
}

fn opentsdb(c: &mut Criterion) {
    let options = opentsdb::Options::default();
    let mut group = c.benchmark_group("opentsdb");

    let text = lines();
    group.throughput(Throughput::Bytes(text.len() as u64));
    let mut points = Points::new();
    group.bench_function("lines", |b| {
        b.iter(|| {
            points.clear();
            for text in black_box(&text).lines() {
                if let line::Command::Put(arguments) = line::Command::of_line(text) {
                    line::decode(arguments, &options, &mut points).expect("it is sound");
                }
            }
            points.len()
        });
    });

    let body = json();
    group.throughput(Throughput::Bytes(body.len() as u64));
    let mut decoded = decode::Decoded::default();
    group.bench_function("json", |b| {
        b.iter(|| decode::decode(black_box(body.as_bytes()), 0, &options, &mut decoded));
    });
    group.finish();
}

fn pushgateway(c: &mut Criterion) {
    let mut text = String::from("# TYPE rows_copied_total counter\n");
    for i in 0..POINTS {
        let value = i * 977;
        writeln!(
            text,
            r#"rows_copied_total{{table="t{i}",schema="public"}} {value}"#
        )
        .expect("writing to a String");
    }
    let key = GroupKey::parse("job/backup/instance/db1").expect("it is a path");
    let mut group = c.benchmark_group("pushgateway");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("text", |b| {
        b.iter(|| push::decode(black_box(text.as_bytes()), false, &key, true));
    });
    group.finish();
}

/// Reports of Lookout's client: timers of services, three values each.
fn lookout(c: &mut Criterion) {
    let records = (0..POINTS / 3).map(|i| {
        format!(
            r#"{{"time":"2026-11-21T10:00:30+08:00","tags":{{"app":"order-center","ip":"10.0.{}.7","host":"n7.example.org","_type_":"t","priority":"low","service":"com.example.pay.PayFacade:1.0","method":"pay{i}"}},"rpc.provider.service.stats":{{"elapPerExec":0.0{i},"totalTime":{i}.36,"max":1.0E-{}}}}}"#,
            i % 200,
            i % 9,
        )
    });
    let records: Vec<_> = records.collect();
    let body = records.join("\t");
    let options = lookout::Options::default();
    let origin = Origin {
        ip: Some("10.0.0.9".to_owned()),
        tags: Vec::new(),
        step: Step::NONE,
        now_ms: 1_795_226_430_123,
    };
    let mut group = c.benchmark_group("lookout");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("records", |b| {
        b.iter(|| {
            let mut intake = Intake::new(&options, &origin);
            native::decode(black_box(body.as_bytes()), Information::Keep, &mut intake)
                .expect("they are records");
            intake.points.len()
        });
    });
    group.finish();
}

criterion_group!(benches, opentsdb, pushgateway, lookout);
criterion_main!(benches);
