//! Data directories that we wrote, opened by Debian's Prometheus 2.42.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::{env, fs};

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{CounterResetHint, FloatHistogram, Histogram, Labels, Span, TimeRange};
use serde_json::Value;
use tsdb::batch::Batch;
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::SeriesEncoder;
use tsdb::head::{FloatRecords, Head, HeadOptions};
use tsdb::wal::dir::LogDir;
use tsdb::wal::head_chunks::{HeadChunkWriter, NewHeadChunk};
use tsdb::wal::record::{self, RefValue};
use tsdb::wal::{
    Compression, MmapMarker, RefExemplar, RefMetadata, RefSample, RefSeries, RefTombstone, Writer,
    WriterOptions, checkpoint,
};
use ulid::Ulid;

/// The start of a chunk range.
const START: i64 = 1_700_006_400_000;
const STEP: i64 = 15_000;
const SERIES: u64 = 20;
const SAMPLES: i64 = 300;

/// A running server, killed when dropped.
struct Prometheus {
    process: Child,
    port: u16,
    log: Vec<String>,
    /// Kept open, for a server that cannot log any more ends.
    more_log: BufReader<ChildStderr>,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Starts a server on `data` and waits until it has replayed everything.
    fn start(data: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = data.with_extension("yml");
        let text = "storage: {tsdb: {out_of_order_time_window: 1d}}\n";
        fs::write(&config, text).unwrap();
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--enable-feature=native-histograms,exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let more_log = BufReader::new(process.stderr.take().unwrap());
        let mut server = Self {
            process,
            port,
            log: Vec::new(),
            more_log,
        };
        while !server
            .log
            .last()
            .is_some_and(|line| line.contains("Server is ready"))
        {
            let mut line = String::new();
            let len = server.more_log.read_line(&mut line).unwrap();
            assert!(len > 0, "not ready:\n{}", server.log.concat());
            server.log.push(line);
        }
        server
    }

    /// The `data` of the answer to a GET request.
    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "GET {path}?{} HTTP/1.0\r\nHost: localhost\r\n\r\n",
            query.join("&")
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], "success", "{body}");
        body["data"].take()
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no main to configure them"
)]
fn is_installed() -> bool {
    let output = Command::new("prometheus").arg("--version").output();
    let installed = output.is_ok_and(|o| {
        [o.stdout, o.stderr]
            .iter()
            .any(|text| String::from_utf8_lossy(text).contains("2.42"))
    });
    if !installed {
        assert!(env::var("CI").is_err(), "CI needs Prometheus 2.42");
        eprintln!("skipped: install Debian's prometheus 2.42");
    }
    installed
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut record = Vec::new();
    encode(&mut record);
    record
}

fn labels(name: &str, i: u64) -> Labels {
    Labels::from_pairs([("__name__", name), ("i", &i.to_string())])
}

fn value(series: u64, i: i64) -> f64 {
    (series as f64).mul_add(0.1, i as f64 * 1.5)
}

fn sample(series: u64, i: i64) -> RefSample {
    RefSample {
        series,
        t: START + i * STEP,
        value: value(series, i),
    }
}

fn histogram(i: i64) -> Histogram {
    let count = u64::try_from(i + 1).unwrap();
    Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: count,
        count: 4 * count,
        sum: i as f64 * 2.5,
        positive_spans: vec![Span {
            offset: 1,
            length: 2,
        }],
        negative_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        positive_buckets: vec![i + 1, 0],
        negative_buckets: vec![i + 1],
        custom_values: Vec::new(),
    }
}

fn float_histogram(i: i64) -> FloatHistogram {
    let count = i as f64 + 0.5;
    FloatHistogram {
        schema: 0,
        zero_threshold: 0.001,
        zero_count: count,
        count: 2.0 * count,
        sum: i as f64,
        positive_spans: vec![Span {
            offset: 3,
            length: 1,
        }],
        positive_buckets: vec![count],
        ..FloatHistogram::default()
    }
}

fn custom(i: i64) -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: vec![1.0, 2.0],
        count: u64::try_from(i).unwrap(),
        positive_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        positive_buckets: vec![i],
        ..Histogram::default()
    }
}

fn row<V>(series: u64, i: i64, value: V) -> RefValue<V> {
    RefValue {
        series,
        t: START + i * STEP,
        value,
    }
}

const HISTOGRAM: u64 = 101;
const FLOAT_HISTOGRAM: u64 = 102;
const CUSTOM: u64 = 103;

/// The records of what is scraped at step `i`.
fn scrape(i: i64) -> Vec<Vec<u8>> {
    let samples: Vec<_> = (1..=SERIES).map(|s| sample(s, i)).collect();
    let exemplar = RefExemplar {
        series: 1,
        t: START + i * STEP,
        value: 0.25,
        labels: Labels::from_pairs([("trace_id", format!("{i:x}"))]),
    };
    let mut records = vec![encoded(|out| record::encode_samples(&samples, out))];
    records.extend(record::encode_histograms(&[
        row(HISTOGRAM, i, histogram(i)),
        row(CUSTOM, i, custom(i)),
    ]));
    records.extend(record::encode_float_histograms(&[row(
        FLOAT_HISTOGRAM,
        i,
        float_histogram(i),
    )]));
    if i % 100 == 0 {
        records.push(encoded(|out| record::encode_exemplars(&[exemplar], out)));
    }
    records
}

fn write_wal(data: &Path, options: WriterOptions) {
    let wal = data.join("wal");
    let mut writer = Writer::open(&wal, options).unwrap();
    let mut series: Vec<_> = (1..=SERIES)
        .map(|series| RefSeries {
            series,
            labels: labels("float", series),
        })
        .collect();
    for (series_ref, name) in [
        (HISTOGRAM, "histogram"),
        (FLOAT_HISTOGRAM, "float_histogram"),
        (CUSTOM, "custom"),
    ] {
        series.push(RefSeries {
            series: series_ref,
            labels: labels(name, 0),
        });
    }
    let metadata = RefMetadata {
        series: 1,
        metric_type: 1,
        unit: "s".to_owned(),
        help: "Help.".to_owned(),
    };
    let first = vec![
        encoded(|out| record::encode_series(&series, out)),
        encoded(|out| record::encode_metadata(&[metadata], out)),
        vec![250, 1, 2, 3],
    ];
    writer.log(&first).unwrap();
    for i in 0..SAMPLES / 2 {
        writer.log(&scrape(i)).unwrap();
    }
    let covered = writer.segment();
    writer.next_segment().unwrap();
    for i in SAMPLES / 2..SAMPLES {
        writer.log(&scrape(i)).unwrap();
    }
    let stone = RefTombstone {
        series: 2,
        min: START + 10 * STEP,
        max: START + 19 * STEP,
    };
    writer
        .log(&[encoded(|out| record::encode_tombstones(&[stone], out))])
        .unwrap();
    writer.sync().unwrap();
    // What the checkpoint takes over is read back through it.
    let log = LogDir::new(&wal);
    checkpoint::write(&log, covered, |_| true, START, options).unwrap();
    checkpoint::truncate(&log).unwrap();
}

/// The first chunk of series 3 as a head chunk, and out-of-order samples of series 4 in between its
/// samples, half of them in a head chunk.
fn write_head_chunks_and_wbl(data: &Path, options: WriterOptions) {
    let mut chunks = HeadChunkWriter::open(&data.join("chunks_head")).unwrap();
    let mut write = |series: u64, samples: &[RefSample], out_of_order: bool| {
        let mut encoder = SeriesEncoder::new();
        for s in samples {
            encoder.push_float(s.t, s.value).unwrap();
        }
        let chunk = encoder.finish().unwrap();
        chunks
            .write(&NewHeadChunk {
                series,
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                encoding: chunk.chunk.encoding,
                out_of_order,
                data: &chunk.chunk.data,
            })
            .unwrap()
    };
    let in_order: Vec<_> = (0..100).map(|i| sample(3, i)).collect();
    write(3, &in_order, false);
    let first: Vec<_> = (0..20).map(out_of_order).collect();
    let second: Vec<_> = (20..40).map(out_of_order).collect();
    let chunk = write(4, &first, true);
    chunks.sync().unwrap();
    let mut writer = Writer::open(&data.join("wbl"), options).unwrap();
    let marker = MmapMarker { series: 4, chunk };
    writer
        .log(&[
            encoded(|out| record::encode_samples(&first, out)),
            encoded(|out| record::encode_markers(&[marker], out)),
            encoded(|out| record::encode_samples(&second, out)),
        ])
        .unwrap();
}

fn out_of_order(i: i64) -> RefSample {
    RefSample {
        series: 4,
        t: START + i * STEP + 7,
        value: -(i as f64),
    }
}

/// Two hours before the WAL, as a block.
fn write_block(data: &Path) {
    let mut writer = BlockWriter::create(data, Ulid::from_parts(1, 1)).unwrap();
    for symbol in ["1", "__name__", "float", "i"] {
        writer.add_symbol(symbol).unwrap();
    }
    let mut encoder = SeriesEncoder::new();
    for i in -50..0 {
        encoder.push_float(START + i * STEP, value(1, i)).unwrap();
    }
    let chunk = encoder.finish().unwrap();
    writer.add_series(&labels("float", 1), &[chunk]).unwrap();
    let range = TimeRange::new(START - 7_200_000, START);
    writer
        .finish(Meta::new(Ulid::from_parts(1, 1), range))
        .unwrap();
}

/// All float samples that are in the directory, by the value of the label `i`.
fn expected_floats() -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut expected: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for series in 1..=SERIES {
        let first = if series == 1 { -50 } else { 0 };
        let mut samples: Vec<_> = (first..SAMPLES)
            .filter(|i| series != 2 || !(10..20).contains(i))
            .map(|i| (START + i * STEP, value(series, i)))
            .collect();
        if series == 4 {
            samples.extend((0..40).map(|i| (out_of_order(i).t, out_of_order(i).value)));
            samples.sort_by_key(|s| s.0);
        }
        expected.insert(series.to_string(), samples);
    }
    expected
}

fn number(text: &Value) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}

fn millis(t: &Value) -> i64 {
    (t.as_f64().unwrap() * 1000.0).round() as i64
}

/// Nothing that a server logged says that it repaired or missed anything.
fn assert_undisturbed(server: &Prometheus, what: &str) {
    for line in &server.log {
        let is_bad = [
            "level=error",
            "level=warn",
            "orrupt",
            "msg=\"Repair",
            "nknown series",
        ]
        .iter()
        .any(|bad| line.contains(bad));
        assert!(!is_bad, "{what}: {line}");
    }
}

/// What a server has of the metric `float`, by the value of the label `i`.
fn floats_of(server: &Prometheus, end: i64) -> BTreeMap<String, Vec<(i64, f64)>> {
    let parameters = [("query", "float[4h]"), ("time", &end.to_string() as &str)];
    let answer = server.get("/api/v1/query", &parameters);
    let series = answer["result"].as_array().unwrap().iter();
    series
        .map(|series| {
            let values = series["values"].as_array().unwrap().iter();
            let samples = values.map(|v| (millis(&v[0]), number(&v[1])));
            let i = series["metric"]["i"].as_str().unwrap().to_owned();
            (i, samples.collect())
        })
        .collect()
}

fn check(compression: Compression) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let options = WriterOptions {
        compression,
        ..WriterOptions::default()
    };
    write_block(&data);
    write_wal(&data, options);
    write_head_chunks_and_wbl(&data, options);

    let server = Prometheus::start(&data);
    assert_undisturbed(&server, &compression.to_string());
    let end = (START + SAMPLES * STEP) / 1000;
    let query = |query: &str| {
        let parameters = [("query", query), ("time", &end.to_string())];
        server.get("/api/v1/query", &parameters)["result"].take()
    };

    assert_eq!(floats_of(&server, end), expected_floats(), "{compression}");

    let count = usize::try_from(SAMPLES).unwrap();
    for (name, observations) in [
        (
            "histogram",
            &(|i| histogram(i).count as f64) as &dyn Fn(i64) -> f64,
        ),
        ("float_histogram", &|i| float_histogram(i).count),
    ] {
        let result = query(&format!("{name}[4h]"));
        let samples = result[0]["histograms"].as_array().unwrap();
        assert_eq!(samples.len(), count, "{compression}: {name}");
        for (i, sample) in (0..).zip(samples) {
            assert_eq!(millis(&sample[0]), START + i * STEP);
            assert_eq!(number(&sample[1]["count"]), observations(i), "{name} {i}");
        }
    }
    assert_eq!(
        query("custom[4h]"),
        Value::Array(Vec::new()),
        "2.42 does not know them"
    );

    let parameters = [
        ("query", "float"),
        ("start", &(START / 1000).to_string() as &str),
        ("end", &end.to_string()),
    ];
    let exemplars = server.get("/api/v1/query_exemplars", &parameters);
    assert_eq!(exemplars[0]["exemplars"].as_array().unwrap().len(), 3);
}

#[test]
fn a_directory_that_we_wrote_opens_without_repair_and_lacks_nothing() {
    if is_installed() {
        check(Compression::None);
        check(Compression::Snappy);
    }
}

/// Appends to a head as it is used: across restarts, with samples out of order, until it has head
/// chunk files, a checkpoint and an out-of-order log, and is closed. What is left is returned.
fn write_live(data: &Path, float_records: FloatRecords) -> BTreeMap<String, Vec<(i64, f64)>> {
    let options = HeadOptions {
        float_records,
        out_of_order_window: 3_600_000,
        wal: WriterOptions {
            segment_size: 64 * 1024,
            ..WriterOptions::default()
        },
        ..HeadOptions::default()
    };
    let open = || Head::open(data, options, &mut |_| ()).unwrap().0;
    let mut head = open();
    let mut batch = Batch::new();
    let mut expected: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for i in 0..700 {
        if i % 100 == 50 {
            drop(head);
            head = open();
        }
        batch.clear();
        for series in 1..=SERIES {
            batch.series(&labels("float", series));
            let mut push = |t: i64, v: f64| {
                batch.float(t, v);
                expected.entry(series.to_string()).or_default().push((t, v));
            };
            push(START + i * STEP, value(series, i));
            if series == 4 && i > 100 {
                push(START + (i - 100) * STEP + 7, -1.0);
            }
        }
        let appended = head.append(&batch, START + i * STEP).unwrap();
        assert!(appended.rejected.is_empty(), "{appended:?}");
        head.commit(appended.commit).unwrap();
    }
    let truncated = head.truncate(START + 480 * STEP).unwrap();
    assert!(truncated.checkpoint.is_some());
    head.close();
    expected
        .values_mut()
        .for_each(|samples| samples.sort_by_key(|s| s.0));
    expected
}

#[test]
fn a_directory_of_a_live_head_opens_without_repair_and_lacks_nothing() {
    for float_records in [FloatRecords::Samples, FloatRecords::Changes] {
        check_live(float_records);
    }
}

fn check_live(float_records: FloatRecords) {
    if !is_installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut expected = write_live(&data, float_records);
    let server = Prometheus::start(&data);
    assert_undisturbed(&server, "live");
    let mut found = floats_of(&server, (START + 700 * STEP) / 1000);
    assert_eq!(found.len(), expected.len());
    // What was truncated may be there or not.
    let is_kept = |(t, _): &(i64, f64)| *t >= START + 480 * STEP;
    found
        .values_mut()
        .for_each(|samples| samples.retain(is_kept));
    expected
        .values_mut()
        .for_each(|samples| samples.retain(is_kept));
    assert_eq!(found, expected);
}
