//! Reading a scrape of 2,000 series: cold, with every label sliced and every number read; and with
//! all series known from the scrape before, which are told by their bytes.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingester::exposition::{Entry, Format, Parser};

/// A scrape as a Kubernetes target exposes it: about 130 bytes a line.
fn scrape(format: Format) -> String {
    let mut out =
        String::from("# HELP http_requests Requests served.\n# TYPE http_requests counter\n");
    for i in 0..2000 {
        writeln!(
            out,
            "http_requests_total{{code=\"{}\",handler=\"/api/v1/{}\",instance=\"10.0.{}.7:8080\",job=\"api\",pod=\"api-{:x}\"}} {}",
            200 + i % 5,
            i % 40,
            i % 256,
            i * 7919,
            f64::from(i) * 1234.5
        )
        .expect("writing to a String");
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("exposition");
    for format in [Format::OpenMetrics, Format::Text] {
        let input = scrape(format);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(format!("{format:?}"), |b| {
            b.iter(|| {
                let mut parser = Parser::new(black_box(input.as_bytes()), format);
                let mut sum = 0.0;
                while let Some(entry) = parser.next_entry().expect("a sound scrape") {
                    if let Entry::Sample(s) = entry {
                        sum += s.reading.value + s.series.labels.len() as f64;
                    }
                }
                sum
            });
        });
    }
    group.finish();
}

fn known(c: &mut Criterion) {
    let mut group = c.benchmark_group("exposition known");
    for format in [Format::OpenMetrics, Format::Text] {
        let input = scrape(format);
        let mut parser = Parser::new(input.as_bytes(), format);
        let mut lines: Vec<Box<[u8]>> = Vec::new();
        while let Some(entry) = parser.next_entry().expect("a sound scrape") {
            if let Entry::Sample(s) = entry {
                lines.push(s.series.text.into());
            }
        }
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(format!("{format:?}"), |b| {
            b.iter(|| {
                let mut parser = Parser::new(black_box(input.as_bytes()), format);
                let (mut sum, mut next) = (0.0, 0);
                while let Some(line) = lines.get(next) {
                    match parser.take_known(line).expect("a sound scrape") {
                        Some(reading) => {
                            sum += reading.value;
                            next += 1;
                        }
                        None => drop(parser.next_entry().expect("a sound scrape")),
                    }
                }
                sum
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, known);
criterion_main!(benches);
