//! Clients of each protocol that write what an oracle knows. One more protocol is one more entry of
//! [`PROTOCOLS`].

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use promontory_tests::http::{self, Answer};
use promontory_tests::lookout::Client;
use promontory_tests::remote_write::{self, Series};

/// Series of one writer.
pub(super) const SERIES: usize = 20;
/// Between the samples of a request and the next. Together they must stay near to now, where the
/// samples are whose time is that of their arrival.
const STEP_MS: i64 = 50;

/// One request: a sample of each series of a writer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(super) writer: usize,
    /// The number of the request, from 1; never sent twice.
    pub(super) number: i64,
    /// The time from which requests are counted.
    pub(super) start_ms: i64,
}

impl Batch {
    pub(super) fn t_ms(self) -> i64 {
        self.start_ms + self.number * STEP_MS
    }

    pub(super) fn value(self, series: usize) -> f64 {
        (self.number * 1000 + series as i64) as f64
    }
}

/// Sends batches; an error means that nobody knows whether the server has it.
pub(crate) type Send = Box<dyn FnMut(Batch) -> io::Result<()>>;

/// A protocol as the oracle sees it.
pub(crate) struct Protocol {
    pub(crate) name: &'static str,
    /// The flag that says where its receiver listens; without one it is served with all else.
    pub(crate) address_flag: Option<&'static str>,
    /// Opens a client of the server at this port.
    pub(super) open: fn(u16) -> io::Result<Send>,
    /// The series of a writer, where `WRITER` is to be its number.
    pub(super) selector: &'static str,
    /// The label that has the number of the series.
    pub(super) series_label: &'static str,
    /// Samples have the time that the client said; otherwise that of their arrival.
    pub(super) keeps_time: bool,
}

pub(super) const PROTOCOLS: [Protocol; 6] = [
    Protocol {
        name: "remote write",
        address_flag: None,
        open: |port| Ok(Box::new(move |batch| remote_write(port, batch))),
        selector: r#"crash_total{writer="WRITER"}"#,
        series_label: "series",
        keeps_time: true,
    },
    Protocol {
        name: "OpenTSDB over HTTP",
        address_flag: Some("opentsdb.address"),
        open: |port| Ok(Box::new(move |batch| opentsdb_http(port, batch))),
        selector: r#"{__name__="crash.http",writer="WRITER"}"#,
        series_label: "series",
        keeps_time: true,
    },
    Protocol {
        name: "OpenTSDB in lines",
        address_flag: Some("opentsdb.address"),
        open: opentsdb_lines,
        selector: r#"{__name__="crash.lines",writer="WRITER"}"#,
        series_label: "series",
        keeps_time: true,
    },
    Protocol {
        name: "Pushgateway",
        address_flag: Some("pushgateway.address"),
        open: |port| Ok(Box::new(move |batch| pushgateway(port, batch))),
        selector: r#"crash_pushed{job="WRITER"}"#,
        series_label: "series",
        keeps_time: false,
    },
    Protocol {
        name: "SOFALookout",
        address_flag: Some("lookout.address"),
        open: lookout,
        selector: r#"{__name__="crash.report",writer="WRITER"}"#,
        series_label: "series",
        keeps_time: true,
    },
    Protocol {
        name: "Metricbeat",
        address_flag: Some("metricbeat.address"),
        open: |port| Ok(Box::new(move |batch| metricbeat(port, batch))),
        selector: r#"{__name__="crash.value",crash_writer="WRITER"}"#,
        series_label: "crash_series",
        keeps_time: true,
    },
];

/// The kind of the error of a write that was refused, as opposed to those of a server that is gone.
pub(super) const REFUSED: io::ErrorKind = io::ErrorKind::PermissionDenied;

fn refused(said: &str) -> io::Error {
    io::Error::new(REFUSED, format!("a write was refused: {said}"))
}

/// Fails where the server answers anything but success.
fn expect(answer: &Answer, is_success: bool) -> io::Result<()> {
    let Answer { status, body, .. } = answer;
    match is_success {
        true => Ok(()),
        false => Err(refused(&format!("{status} {body}"))),
    }
}

fn remote_write(port: u16, batch: Batch) -> io::Result<()> {
    let series = (0..SERIES).map(|series| Series {
        labels: vec![
            ("__name__".to_owned(), "crash_total".to_owned()),
            ("series".to_owned(), series.to_string()),
            ("writer".to_owned(), batch.writer.to_string()),
        ],
        samples: vec![(batch.t_ms(), batch.value(series))],
    });
    let answer = remote_write::send(port, "/api/v1/write", &series.collect::<Vec<_>>())?;
    expect(&answer, answer.status / 100 == 2)
}

fn opentsdb_http(port: u16, batch: Batch) -> io::Result<()> {
    let points = (0..SERIES).map(|series| {
        format!(
            r#"{{"metric":"crash.http","timestamp":{},"value":{},"tags":{{"writer":"{}","series":"{series}"}}}}"#,
            batch.t_ms(),
            batch.value(series),
            batch.writer
        )
    });
    let body = format!("[{}]", points.collect::<Vec<_>>().join(","));
    let answer = http::post(port, "/api/put", &[], body.as_bytes())?;
    expect(&answer, answer.status == 204)
}

/// Lines are stored in silence; what answers a later command is behind them.
fn opentsdb_lines(port: u16) -> io::Result<Send> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answers = BufReader::new(stream);
    Ok(Box::new(move |batch| {
        let mut lines = String::new();
        for series in 0..SERIES {
            writeln!(
                lines,
                "put crash.lines {} {} writer={} series={series}",
                batch.t_ms(),
                batch.value(series),
                batch.writer
            )
            .expect("writing to a String");
        }
        lines.push_str("version\n");
        answers.get_mut().write_all(lines.as_bytes())?;
        for expected in ["promontory ", "Built "] {
            let mut line = String::new();
            if answers.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !line.starts_with(expected) {
                return Err(refused(&line));
            }
        }
        Ok(())
    }))
}

fn pushgateway(port: u16, batch: Batch) -> io::Result<()> {
    let mut body = String::from("# TYPE crash_pushed gauge\n");
    for series in 0..SERIES {
        let value = batch.value(series);
        writeln!(body, "crash_pushed{{series=\"{series}\"}} {value}").expect("writing to a String");
    }
    let path = format!("/metrics/job/{}", batch.writer);
    let answer = http::post(port, &path, &[], body.as_bytes())?;
    expect(&answer, answer.status == 200)
}

fn metricbeat(port: u16, batch: Batch) -> io::Result<()> {
    let mut body = String::new();
    for series in 0..SERIES {
        body.push_str("{\"index\":{\"_index\":\"metricbeat-6.8.23\",\"_type\":\"doc\"}}\n");
        writeln!(
            body,
            r#"{{"@timestamp":{},"crash":{{"value":{},"writer":"{}","series":"{series}"}}}}"#,
            batch.t_ms(),
            batch.value(series),
            batch.writer
        )
        .expect("writing to a String");
    }
    let answer = http::post(port, "/_bulk", &[], body.as_bytes())?;
    // An answer that was cut is none.
    if answer.status == 200 && !answer.body.ends_with("]}") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let stored = answer.body.matches(r#""status":201"#).count();
    expect(&answer, answer.status == 200 && stored == SERIES)
}

fn lookout(port: u16) -> io::Result<Send> {
    let mut client = Client::connect(port, "crash")?;
    Ok(Box::new(move |batch| {
        let records = (0..SERIES).map(|series| {
            format!(
                r#"{{"time":{},"tags":{{"app":"crash","writer":"{}","series":"{series}"}},"crash":{{"report":{}}}}}"#,
                batch.t_ms(),
                batch.writer,
                batch.value(series)
            )
        });
        let answer = client.report(&records.collect::<Vec<_>>())?;
        expect(&answer, answer.status == 200)
    }))
}
