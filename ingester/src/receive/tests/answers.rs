//! From a request to an answer, over an appender that remembers.

use std::sync::Arc;

use model::ErrorKind;
use parking_lot::Mutex;
use prost::Message as _;
use proto::thanos::writeable_store_server::WriteableStore as _;
use proto::thanos::{self, TimeSeriesTenantTuple};
use runtime::http::{
    Abandonment, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
};
use runtime::metrics::{Collect as _, Exposition};
use storeapi::snappy;
use tsdb::batch::{Appended, Batch, CommitPoint, Reject, Rejection, WriteError};

use super::super::grpc::WriteService;
use super::super::http::{Manner, WriteEndpoint};
use super::super::limits::LimitsFile;
use super::*;
use crate::append::Appender;

/// Remembers what was appended and committed; refuses samples at time 13 as out of order and at
/// time 14 for the limit of series.
#[derive(Default)]
struct Recorder {
    log: Mutex<Vec<String>>,
    /// Samples that were taken: labels, value in bits, time.
    samples: Mutex<Vec<String>>,
    failure: Option<ErrorKind>,
}

impl Appender for Recorder {
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError> {
        if let Some(kind) = self.failure {
            let reason = "the disk is nearly full".to_owned();
            return Err(WriteError::Refused { kind, reason });
        }
        let mut appended = Appended::default();
        for (i, series) in batch.iter().enumerate() {
            for float in series.floats {
                let reason = match float.t {
                    13 => Reject::OutOfOrder,
                    14 => Reject::SeriesLimit,
                    t => {
                        let labels = model::Labels::from_encoded(series.labels);
                        let sample = format!("{labels} {:016x} @ {t}", float.v.to_bits());
                        self.samples.lock().push(sample);
                        appended.floats += 1;
                        continue;
                    }
                };
                let t = float.t;
                appended.rejected.push(Rejection {
                    series: i,
                    t,
                    reason,
                });
            }
        }
        let mut log = self.log.lock();
        log.push(format!("append {tenant:?} {}", appended.floats));
        appended.commit = CommitPoint(log.len() as u64);
        Ok(appended)
    }

    fn commit(&self, tenant: &str, at: CommitPoint) -> Result<(), WriteError> {
        self.log.lock().push(format!("commit {tenant:?} {}", at.0));
        Ok(())
    }
}

struct Fixture {
    recorder: Arc<Recorder>,
    receiver: Arc<Receiver>,
}

impl Fixture {
    fn new(recorder: Recorder, limits: &str) -> Self {
        let recorder = Arc::new(recorder);
        let settings = Settings {
            decode: DecodeOptions {
                split_tenant_label: Some("tenant".to_owned()),
                ..DecodeOptions::default()
            },
            bytes_max: 100_000,
            tenants: TenantSettings {
                header: HeaderName::from_static("thanos-tenant"),
                default: "default-tenant".to_owned(),
            },
            limits: LimitsFile::parse(limits).unwrap(),
            limits_file: None,
        };
        let appender: Arc<dyn Appender> = Arc::<Recorder>::clone(&recorder);
        Self {
            receiver: Arc::new(Receiver::new(appender, settings)),
            recorder,
        }
    }

    fn send(&self, manner: Manner, body: Vec<u8>, headers: &[(&'static str, &str)]) -> Response {
        let mut map = HeaderMap::new();
        map.insert(
            "content-type",
            HeaderValue::from_static("application/x-protobuf"),
        );
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let request = Request {
            method: Method::POST,
            path: String::new(),
            query: String::new(),
            headers: map,
            body: body.into(),
            peer: None,
            waited: std::time::Duration::ZERO,
            abandonment: Abandonment::default(),
        };
        WriteEndpoint::new(Arc::clone(&self.receiver)).answer(&request, manner)
    }
}

fn body(series: Vec<TimeSeries>) -> Vec<u8> {
    snappy::compress(&request(series).encode_to_vec()).unwrap()
}

fn up(samples: &[(i64, f64)]) -> TimeSeries {
    floats(&[("__name__", "up")], samples)
}

fn text(response: Response) -> String {
    String::from_utf8(response.into_bytes().unwrap().to_vec()).unwrap()
}

#[test]
fn writes_are_acknowledged_after_they_are_durable() {
    let fixture = Fixture::new(Recorder::default(), "");
    let samples = body(vec![up(&[(1, 1.0), (2, 2.0)])]);
    let response = fixture.send(Manner::Prometheus, samples.clone(), &[]);
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let response = fixture.send(Manner::Thanos, samples, &[("thanos-tenant", "a")]);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        *fixture.recorder.log.lock(),
        [
            "append \"\" 2",
            "commit \"\" 1",
            "append \"a\" 2",
            "commit \"a\" 3"
        ]
    );
    let mut figures = Exposition::default();
    fixture.receiver.collect(&mut figures);
    let figures = figures.into_text();
    for line in [
        "promontory_receive_samples_total 4\n",
        "promontory_receive_requests_total 2\n",
        "promontory_receive_refused_samples_total{reason=\"out_of_order\"} 0\n",
    ] {
        assert!(figures.contains(line), "{line} {figures}");
    }
}

/// `WriteRequest` with one series of two samples, the second a stale marker, and metadata of its family, as
/// Prometheus sends them, but in one request.
const V1: &[u8] = b"\
    \x0a\x36\
        \x0a\x0e\x0a\x08__name__\x12\x02up\
        \x0a\x08\x0a\x03job\x12\x01a\
        \x12\x0c\x09\0\0\0\0\0\0\xf8\x3f\x10\xe8\x07\
        \x12\x0c\x09\x02\0\0\0\0\0\xf0\x7f\x10\xd0\x0f\
    \x1a\x0c\x08\x02\x12\x02up\x22\x01h\x2a\x01s";

/// The same as `io.prometheus.write.v2.Request`.
const V2: &[u8] = b"\
    \x22\0\x22\x08__name__\x22\x02up\x22\x03job\x22\x01a\x22\x01h\x22\x01s\
    \x2a\x2a\
        \x0a\x04\x01\x02\x03\x04\
        \x12\x0c\x09\0\0\0\0\0\0\xf8\x3f\x10\xe8\x07\
        \x12\x0c\x09\x02\0\0\0\0\0\xf0\x7f\x10\xd0\x0f\
        \x2a\x06\x08\x02\x18\x05\x20\x06";

const V2_TYPE: (&str, &str) = (
    "content-type",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
);

/// A block of snappy that is one literal of less than 256 bytes.
fn literal(bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).unwrap();
    assert!((61..128).contains(&len));
    [&[len, 60 << 2, len - 1], bytes].concat()
}

/// What was written, as every answer says it.
fn written(response: &Response) -> [&str; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        let name = format!("x-prometheus-remote-write-{what}-written");
        response.headers()[name.as_str()].to_str().unwrap()
    })
}

#[test]
fn requests_of_both_versions_are_read_byte_for_byte() {
    let stored = [
        r#"{__name__="up", job="a"} 3ff8000000000000 @ 1000"#,
        r#"{__name__="up", job="a"} 7ff0000000000002 @ 2000"#,
    ];
    for (body, content_type, version) in [
        (V1, ("content-type", "application/x-protobuf"), "0.1.0"),
        (
            V1,
            (
                "content-type",
                "application/x-protobuf;proto=prometheus.WriteRequest",
            ),
            "0.1.0",
        ),
        (V2, V2_TYPE, "2.0.0"),
    ] {
        let fixture = Fixture::new(Recorder::default(), "");
        let headers = [
            content_type,
            ("content-encoding", "snappy"),
            ("user-agent", "Prometheus/2.42.0+ds"),
            ("x-prometheus-remote-write-version", version),
        ];
        let response = fixture.send(Manner::Prometheus, literal(body), &headers);
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{version}");
        assert_eq!(written(&response), ["2", "0", "0"]);
        assert_eq!(text(response), "");
        assert_eq!(*fixture.recorder.samples.lock(), stored, "{version}");
    }
}

/// As Prometheus' receiver and as Thanos' receive, whatever the version of the message.
#[test]
fn samples_out_of_order_have_the_status_of_the_path() {
    let late = |message: &[u8]| {
        let at = message
            .windows(3)
            .position(|bytes| bytes == b"\x10\xe8\x07");
        let mut late = message.to_vec();
        // The time 13, in as many bytes.
        late[at.unwrap() + 1..][..2].copy_from_slice(b"\x8d\0");
        literal(&late)
    };
    let v1 = ("content-type", "application/x-protobuf");
    for (message, content_type) in [(V1, v1), (V2, V2_TYPE)] {
        for (manner, status) in [(Manner::Prometheus, 400), (Manner::Thanos, 409)] {
            let fixture = Fixture::new(Recorder::default(), "");
            let response = fixture.send(manner, late(message), &[content_type]);
            assert_eq!(response.status().as_u16(), status, "{content_type:?}");
            assert_eq!(written(&response), ["1", "0", "0"], "the rest is stored");
            assert!(text(response).contains("1 out_of_order"));
        }
    }
}

#[test]
fn metadata_alone_is_taken() {
    let fixture = Fixture::new(Recorder::default(), "");
    let at = V1.len() - 14;
    // A literal of up to 60 bytes has its length in its tag.
    let block = [&[14, 13 << 2], &V1[at..]].concat();
    let response = fixture.send(Manner::Prometheus, block, &[]);
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(written(&response), ["0", "0", "0"]);
}

#[test]
fn references_that_lead_nowhere_refuse_their_series() {
    // Beyond the table; a name without a value.
    let at = V2
        .windows(4)
        .position(|bytes| bytes == b"\x01\x02\x03\x04")
        .unwrap();
    let mut beyond = V2.to_vec();
    beyond[at + 3] = 9;
    let mut odd = V2.to_vec();
    odd[at - 1] = 3;
    odd.remove(at + 3);
    odd[at - 3] -= 1;
    for body in [beyond, odd] {
        let fixture = Fixture::new(Recorder::default(), "");
        let response = fixture.send(Manner::Prometheus, literal(&body), &[V2_TYPE]);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(written(&response), ["0", "0", "0"]);
        let said = text(response);
        assert!(said.contains("not stored: 2 bad_symbol"), "{said}");
    }
}

#[test]
fn every_answer_says_what_was_written() {
    let fixture = Fixture::new(Recorder::default(), "");
    let half = body(vec![up(&[(1, 1.0), (13, 1.0)])]);
    for (body, headers, status, samples) in [
        (half, vec![], 400, "1"),
        (b"no snappy".to_vec(), vec![], 400, "0"),
        (
            literal(V2),
            vec![(
                "content-type",
                "application/x-protobuf;proto=io.prometheus.write.v3.Request",
            )],
            415,
            "0",
        ),
        (
            literal(V2),
            vec![V2_TYPE, ("content-encoding", "gzip")],
            415,
            "0",
        ),
    ] {
        let response = fixture.send(Manner::Prometheus, body, &headers);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(written(&response), [samples, "0", "0"], "{headers:?}");
    }
}

#[test]
fn a_bad_sample_leaves_the_rest() {
    let fixture = Fixture::new(Recorder::default(), "");
    let samples = body(vec![
        up(&[(13, 1.0), (15, 1.0)]),
        floats(&[("job", "nameless")], &[(1, 1.0), (2, 1.0)]),
    ]);
    for (manner, status) in [
        (Manner::Prometheus, StatusCode::BAD_REQUEST),
        (Manner::Thanos, StatusCode::CONFLICT),
    ] {
        let response = fixture.send(manner, samples.clone(), &[]);
        assert_eq!(response.status(), status);
        assert_eq!(
            text(response),
            "series {job=\"nameless\"}: invalid metric name or labels: no __name__; not stored: 2 no_metric_name, 1 out_of_order\n"
        );
    }
    let limited = fixture.send(Manner::Prometheus, body(vec![up(&[(14, 1.0)])]), &[]);
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(text(limited).starts_with("series {__name__=\"up\"} at 14: series limit reached"));
    let log = fixture.recorder.log.lock();
    assert_eq!(log.iter().filter(|l| l.starts_with("commit")).count(), 3);
}

#[test]
fn requests_that_cannot_be_read_have_their_status() {
    let fixture = Fixture::new(Recorder::default(), "");
    let sound = body(vec![up(&[(1, 1.0)])]);
    let huge = snappy::compress(&vec![0; 200_000]).unwrap();
    let check = |body: &[u8], headers: &[(&'static str, &str)], expected: u16| {
        let response = fixture.send(Manner::Prometheus, body.to_vec(), headers);
        assert_eq!(
            response.status().as_u16(),
            expected,
            "{headers:?} {:?}",
            text(response)
        );
    };
    check(b"not snappy", &[], 400);
    check(&snappy::compress(b"\xff\xff\xff").unwrap(), &[], 400);
    check(&huge, &[], 413);
    check(&sound, &[("content-type", "application/json")], 415);
    check(&sound, &[("content-encoding", "gzip")], 415);
    check(&sound, &[("thanos-tenant", "../etc")], 400);
    check(&sound, &[("content-encoding", "snappy")], 204);
    let plain = request(vec![up(&[(1, 1.0)])]).encode_to_vec();
    let zstd = zstd::bulk::compress(&plain, 1).unwrap();
    check(&zstd, &[("content-encoding", "zstd")], 204);
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    check(
        &snappy::compress(&[]).unwrap(),
        &[("content-type", v2)],
        204,
    );
}

#[test]
fn storage_that_cannot_write_says_when_to_try_again() {
    for (kind, status) in [
        (ErrorKind::Unavailable, 503),
        // Another process has the data, which is no conflict of samples.
        (ErrorKind::Conflict, 503),
        (ErrorKind::Exhausted, 429),
        (ErrorKind::Internal, 500),
        (ErrorKind::Invalid, 400),
    ] {
        let recorder = Recorder {
            failure: Some(kind),
            ..Recorder::default()
        };
        let fixture = Fixture::new(recorder, "");
        let response = fixture.send(Manner::Thanos, body(vec![up(&[(1, 1.0)])]), &[]);
        assert_eq!(response.status().as_u16(), status);
        let shown = format!("{response:?}");
        assert_eq!(
            shown.contains("retry-after"),
            matches!(status, 503 | 429),
            "{shown}"
        );
        assert!(
            shown.contains("x-prometheus-remote-write-samples-written\": \"0\""),
            "{shown}"
        );
    }
}

#[test]
fn tenants_have_limits_of_their_own() {
    let limits = "
write:
  default: {request: {samples_limit: 2}}
  tenants: {big: {request: {samples_limit: 3, series_limit: 1}}, tiny: {request: {size_bytes_limit: 5}}}
";
    let fixture = Fixture::new(Recorder::default(), limits);
    let three = body(vec![up(&[(1, 1.0), (2, 1.0), (3, 1.0)])]);
    let check = |body: &Vec<u8>, tenant: &str, expected: u16| {
        let response = fixture.send(Manner::Thanos, body.clone(), &[("thanos-tenant", tenant)]);
        assert_eq!(response.status().as_u16(), expected, "{tenant}");
    };
    check(&three, "other", 413);
    check(&three, "big", 200);
    check(&three, "tiny", 413);
    check(&body(vec![up(&[(1, 1.0)]), up(&[(2, 1.0)])]), "big", 413);
}

#[test]
fn series_may_name_their_tenant() {
    let fixture = Fixture::new(Recorder::default(), "");
    let of = |tenant, t| floats(&[("__name__", "up"), ("tenant", tenant)], &[(t, 1.0)]);
    let mixed = body(vec![
        of("a", 1),
        of("b", 2),
        up(&[(3, 1.0)]),
        of("a", 4),
        of("..", 5),
    ]);
    let response = fixture.send(Manner::Prometheus, mixed, &[]);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        *fixture.recorder.log.lock(),
        [
            "append \"\" 1",
            "append \"a\" 2",
            "append \"b\" 1",
            "commit \"\" 1",
            "commit \"a\" 2",
            "commit \"b\" 3"
        ]
    );
}

#[tokio::test]
async fn routers_write_in_both_forms() {
    let fixture = Fixture::new(Recorder::default(), "");
    let service = WriteService::new(Arc::clone(&fixture.receiver));
    let tuple = |tenant: &str, t| TimeSeriesTenantTuple {
        timeseries: vec![up(&[(t, 1.0)])],
        tenant: tenant.to_owned(),
    };
    let both = thanos::WriteRequest {
        timeseries: vec![up(&[(1, 1.0)])],
        tenant: "old".to_owned(),
        replica: 1,
        timeseries_tenant_data: vec![tuple("new", 2), tuple("", 3)],
    };
    service
        .remote_write(tonic::Request::new(both))
        .await
        .unwrap();
    let code = async |tenant: &str, t| {
        let request = thanos::WriteRequest {
            timeseries_tenant_data: vec![tuple(tenant, t)],
            ..Default::default()
        };
        let answer = service.remote_write(tonic::Request::new(request)).await;
        answer.unwrap_err().code()
    };
    assert_eq!(code("a", 13).await, tonic::Code::AlreadyExists);
    assert_eq!(code("a/b", 1).await, tonic::Code::InvalidArgument);
    let log = fixture.recorder.log.lock();
    assert_eq!(
        log[..6],
        [
            "append \"new\" 1",
            "commit \"new\" 1",
            "append \"\" 1",
            "commit \"\" 3",
            "append \"old\" 1",
            "commit \"old\" 5"
        ]
    );
}
