//! Requests as libbeat and other clients send them, byte for byte, and what must not harm.

use model::ErrorKind;
use proptest::prelude::*;
use runtime::http::Method;

use super::bulk::{Chunk, Documents, actions};
use super::event::{Context, Decoder};
use super::handler::Endpoint;
use super::*;
use crate::protocols::points::Points;
use crate::protocols::sink::Limits;
use crate::protocols::testing::{Bench, NOW_MS, gzip, parts, send};

const ACTION: &str = r#"{"index":{"_index":"metricbeat-6.8.23-2026.11.21","_type":"doc"}}"#;

/// An event of Metricbeat 6 about a network interface.
const NIC: &str = concat!(
    r#"{"@timestamp":"2026-11-21T02:00:30.123Z","#,
    r#""metricset":{"name":"network","module":"system","rtt":1207},"#,
    r#""system":{"network":{"name":"eth0","in":{"bytes":12345,"packets":7,"errors":0},"out":{"bytes":1.5}}},"#,
    r#""beat":{"name":"n7","hostname":"n7.example.org","version":"6.8.23"},"#,
    r#""host":{"name":"n7","architecture":"x86_64","id":"4f","os":{"platform":"debian"}},"#,
    r#""fields":{"zone":"a","rack":5},"tags":["x"]}"#,
);

fn labels(metric: &str, more: &str, value: &str) -> String {
    format!(
        concat!(
            r#"|{{__name__="{metric}", beat_hostname="n7.example.org", beat_name="n7", "#,
            r#"fields_rack="5", fields_zone="a", host_name="n7", metricset_module="system", "#,
            r#"metricset_name="network", {more}}} {value} @ 1795226430123"#,
        ),
        metric = metric,
        more = more,
        value = value,
    )
}

fn nic_stored() -> Vec<String> {
    let nic = r#"system_network_name="eth0""#;
    let of = |(name, value)| labels(&format!("system.network.{name}"), nic, value);
    [
        ("in.bytes", "12345"),
        ("in.packets", "7"),
        ("in.errors", "0"),
        ("out.bytes", "1.5"),
    ]
    .map(of)
    .to_vec()
}

fn endpoint(bench: &Bench) -> Endpoint {
    Endpoint::new(bench.sink.clone(), Options::default())
}

fn bulk(bench: &Bench, target: &str, body: &str) -> (u16, String) {
    parts(send(&endpoint(bench), Method::POST, target, &[], body))
}

/// The points of one event.
fn points(mapping: Mapping, names: Names, event: &str) -> Result<Vec<String>, String> {
    let options = Options {
        mapping,
        ..Options::default()
    };
    let context = Context {
        options: &options,
        names,
        now_ms: NOW_MS,
        extra: &[("ip", "10.0.0.9")],
    };
    let mut points = Points::new();
    let decoded = Decoder::default().event(event.as_bytes(), &context, &mut points);
    decoded.map_err(|error| error.to_string())?;
    let shown = points.batch().iter().map(|series| {
        let labels = model::Labels::from_encoded(series.labels);
        let float = &series.floats[0];
        format!("{labels} {} @ {}", float.v, float.t)
    });
    Ok(shown.collect())
}

fn by_paths(event: &str) -> Result<Vec<String>, String> {
    points(Mapping::Paths, Names::Keep, event)
}

const NIC_ITEM: &str =
    r#""_index":"metricbeat-6.8.23-2026.11.21","_type":"doc","_id":"AAABofvVaqsAAAAAAAAA""#;

#[test]
fn events_are_stored_and_answered_item_by_item() {
    let bench = Bench::new(Limits::default());
    let body = format!("{ACTION}\n{NIC}\n");
    let (status, answer) = bulk(&bench, "/_bulk", &body);
    let item =
        format!(r#"{{"index":{{{NIC_ITEM},"_version":1,"result":"created","status":201}}}}"#);
    assert_eq!(
        (status, answer),
        (
            200,
            format!(r#"{{"took":0,"errors":false,"items":[{item}]}}"#)
        )
    );
    assert_eq!(bench.recorder.take(), nic_stored());

    // The paths of other clients and of Lookout's users; an index by the path, an id of the client.
    for target in ["/beat/_bulk", "/beat/_bulk/?pipeline=p", "//_bulk"] {
        assert_eq!(bulk(&bench, target, &body).0, 200, "{target}");
        assert_eq!(bench.recorder.take(), nic_stored(), "{target}");
    }
    let body = "{\"create\":{\"_id\":7}}\n{}\n\n{\"index\":{\"_id\":\"é\\n\"}}\r\n{\"a\":1}\r\n";
    let (_, answer) = bulk(&bench, "/i/t/_bulk", body);
    let expected = concat!(
        r#"{"took":0,"errors":false,"items":["#,
        r#"{"create":{"_index":"i","_type":"t","_id":"7","_version":1,"result":"created","status":201}},"#,
        r#"{"index":{"_index":"i","_type":"t","_id":"é\n","_version":1,"result":"created","status":201}}]}"#,
    );
    assert_eq!(answer, expected);
    let stored = format!(r#"|{{__name__="a"}} 1 @ {NOW_MS}"#);
    assert_eq!(bench.recorder.take(), [stored]);
}

#[test]
fn half_valid_requests_keep_the_good_and_name_the_bad() {
    let bench = Bench::new(Limits::default());
    let late = r#"{"@timestamp":1000013000,"a":{"good":1,"name":"x"}}"#;
    let body = [
        NIC,
        r#"{"a":{"b":1}"#,
        r#"[]"#,
        r#"{"@timestamp":"yesterday","a":{"b":1}}"#,
        r#"{"@timestamp":"2026-11-21T02:00:30Z","a":{"b":1e999}}"#,
        late,
    ]
    .map(|event| format!("{{\"index\":{{\"_id\":\"i\"}}}}\n{event}\n"));
    let more = "{\"delete\":{\"_id\":\"d\"}}\n{\"update\":{\"_id\":\"u\"}}\n{\"doc\":{}}\n";
    let (status, answer) = bulk(&bench, "/m/_bulk", &format!("{}{more}", body.concat()));
    assert_eq!(status, 200);
    let item = |operation: &str, id: &str, rest: &str| {
        format!(r#"{{"{operation}":{{"_index":"m","_type":"_doc","_id":"{id}",{rest}}}}}"#)
    };
    let wrong = |reason: &str| {
        let error = format!(
            r#""status":400,"error":{{"type":"mapper_parsing_exception","reason":"{reason}"}}"#
        );
        item("index", "i", &error)
    };
    let refused = concat!(
        r#""status":400,"error":{"type":"illegal_argument_exception","#,
        r#""reason":"only index and create are supported: samples cannot be changed"}"#,
    );
    let items = [
        item(
            "index",
            "i",
            r#""_version":1,"result":"created","status":201"#,
        ),
        wrong("not an object: a comma or the end of the object was expected at byte 12"),
        wrong("not an object: an object was expected at byte 0"),
        wrong("failed to parse field [@timestamp] of type [date]"),
        wrong("number out of the range of double"),
        wrong(r#"out of order sample: {__name__=\"a.good\", a_name=\"x\"} 1 @ 1000013000"#),
        item("delete", "d", refused),
        item("update", "u", refused),
    ];
    let items = items.join(",");
    assert_eq!(
        answer,
        format!(r#"{{"took":0,"errors":true,"items":[{items}]}}"#)
    );
    assert_eq!(bench.recorder.take(), nic_stored());
    let figures = &bench.status.figures()["test"];
    assert_eq!((figures.points, figures.refused["malformed"]), (4, 2));
    assert_eq!(figures.refused["invalid_timestamp"], 1);
    assert_eq!(figures.refused["out_of_order"], 1);
}

#[test]
fn damaged_requests_store_nothing() {
    let bench = Bench::new(Limits::default());
    let envelope = |kind: &str, reason: &str| {
        let cause = format!(r#""type":"{kind}","reason":"{reason}""#);
        format!(r#"{{"error":{{"root_cause":[{{{cause}}}],{cause}}},"status":400}}"#)
    };
    let illegal = |reason: &str| envelope("illegal_argument_exception", reason);
    let unterminated = illegal(r"The bulk request must be terminated by a newline [\n]");
    let action = |line, why| illegal(&format!("Malformed action/metadata line [{line}], {why}"));
    for (body, expected) in [
        (
            String::new(),
            envelope("parse_exception", "request body is required"),
        ),
        (
            "\n".to_owned(),
            envelope("parse_exception", "request body is required"),
        ),
        (format!("{ACTION}\n{NIC}"), unterminated.clone()),
        (format!("{ACTION}\n{NIC}\n{ACTION}\n"), unterminated),
        (
            format!("{ACTION}\n{NIC}\n{{\"foo\":{{}}}}\n{{}}\n"),
            action(
                3,
                "unknown variant `foo`, expected one of `index`, `create`, `update`, `delete` at line 1 column 6",
            ),
        ),
        (
            "not JSON\n{}\n".to_owned(),
            action(1, "expected value at line 1 column 1"),
        ),
    ] {
        assert_eq!(bulk(&bench, "/_bulk", &body), (400, expected), "{body}");
    }
    let many = "{\"index\":{}}\n{}\n".repeat(100_001);
    assert_eq!(bulk(&bench, "/_bulk", &many).0, 413);
    assert_eq!(bench.recorder.take(), Vec::<String>::new());
    assert_eq!(bench.status.figures()["test"].failed, 7);
}

#[test]
fn bodies_are_decompressed_within_the_limit() {
    let limits = Limits {
        decompressed_bytes_max: 10_000,
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    let body = format!("{ACTION}\n{NIC}\n");
    let send = |headers: &[_], body: Vec<u8>| {
        parts(send(
            &endpoint(&bench),
            Method::POST,
            "/_bulk",
            headers,
            body,
        ))
    };
    let gz = [("content-encoding", "gzip")];
    assert_eq!(send(&gz, gzip(body.as_bytes())).0, 200);
    assert_eq!(bench.recorder.take(), nic_stored());
    let (status, answer) = send(&gz, gzip(&vec![b'\n'; 10_000_000]));
    assert_eq!(status, 413, "{answer}");
    assert!(answer.ends_with(r#"},"status":413}"#), "{answer}");
    assert_eq!(send(&gz, body.clone().into()).0, 400);
    assert_eq!(
        send(&[("content-encoding", "br")], body.clone().into()).0,
        400
    );
    assert_eq!(send(&[("thanos-tenant", "..")], body.clone().into()).0, 400);
    assert_eq!(send(&[("thanos-tenant", "a")], body.into()).0, 200);
    assert!(bench.recorder.take()[0].starts_with("a|"));
}

#[test]
fn a_small_event_does_not_become_a_large_batch() {
    let bench = Bench::new(Limits::default());
    let texts: Vec<_> = (0..30)
        .map(|i| format!(r#""t{i}":"{}""#, "x".repeat(1000)))
        .collect();
    let numbers = |n| {
        (0..n)
            .map(|i| format!(r#""n{i}":1"#))
            .collect::<Vec<_>>()
            .join(",")
    };
    let event = |n| format!(r#"{{"a":{{{},{}}}}}"#, texts.join(","), numbers(n));
    let few = by_paths(&event(5)).unwrap();
    assert_eq!((few.len(), few[0].matches("xxx\"").count()), (5, 30));
    assert!(by_paths(&event(1000)).unwrap_err().contains("exceed"));
    let fields = format!(r#"{{"a":{{{}}}}}"#, numbers(5001));
    assert!(
        by_paths(&fields)
            .unwrap_err()
            .contains("limit of total fields")
    );
    // Many events are stored piece by piece, and each has its item.
    let body = format!("{ACTION}\n{}\n", event(100)).repeat(10);
    let (_, answer) = bulk(&bench, "/_bulk", &body);
    assert_eq!(answer.matches(r#""status":201"#).count(), 10);
    assert_eq!(bench.recorder.take().len(), 1000);
    assert!(bench.status.figures()["test"].requests >= 2);
}

#[test]
fn a_store_that_takes_nothing_is_said_so() {
    let limits = Limits {
        points_per_second_max: 1,
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    let body = format!("{ACTION}\n{}\n", r#"{"a":1}"#);
    let status_of = || {
        let (status, answer) = bulk(&bench, "/_bulk", &body);
        assert_eq!(status, 200);
        let at = answer.find("\"status\":").unwrap() + 9;
        answer[at..at + 3].to_owned()
    };
    *bench.recorder.failure.lock() = Some(ErrorKind::Unavailable);
    assert_eq!(status_of(), "503");
    *bench.recorder.failure.lock() = Some(ErrorKind::Internal);
    assert_eq!(status_of(), "500");
    *bench.recorder.failure.lock() = None;
    let codes: Vec<_> = (0..9).map(|_| status_of()).collect();
    assert_eq!(codes, [["201"; 8].as_slice(), &["429"]].concat());
    let (_, answer) = bulk(&bench, "/_bulk", &body);
    let expected = r#""error":{"type":"es_rejected_execution_exception","reason":"more than 1 points a second (--test.points-per-second-max)"}"#;
    assert!(answer.contains(expected), "{answer}");
    bench.clock.advance(1000);
    assert_eq!(status_of(), "201");
}

#[test]
fn series_beyond_the_limit_are_throttled_item_by_item() {
    let bench = Bench::with_series_max("metricbeat", 4);
    let other = NIC.replace("eth0", "eth1");
    let body = format!("{ACTION}\n{NIC}\n{ACTION}\n{other}\n{ACTION}\n{NIC}\n");
    let (status, answer) = bulk(&bench, "/_bulk", &body);
    let item = |id: &str, rest: &str| {
        let item = NIC_ITEM.replace("AAAAAAAAA\"", &format!("AAAAAAAA{id}\""));
        format!(r#"{{"index":{{{item},{rest}}}}}"#)
    };
    let created = r#""_version":1,"result":"created","status":201"#;
    let refused = labels(
        "system.network.in.bytes",
        r#"system_network_name="eth1""#,
        "12345",
    );
    let refused = refused[1..].replace('"', r#"\""#);
    let throttled = format!(
        r#""status":429,"error":{{"type":"es_rejected_execution_exception","reason":"series limit reached: {refused}"}}"#
    );
    let items = [
        item("A", created),
        item("B", &throttled),
        item("C", created),
    ];
    let items = items.join(",");
    let expected = format!(r#"{{"took":0,"errors":true,"items":[{items}]}}"#);
    assert_eq!((status, answer), (200, expected));
    let twice = [nic_stored(), nic_stored()].concat();
    assert_eq!(bench.recorder.take(), twice);
    let figures = &bench.status.figures()["metricbeat"];
    assert_eq!((figures.points, figures.refused["series_limit"]), (8, 4));
}

#[test]
fn whole_numbers_beyond_what_a_float_holds_are_the_float_next_to_them() {
    for (number, stored) in [
        ("9007199254740993", "9007199254740992"),
        ("9223372036854775807", "9223372036854775807"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9007199254740995", "-9007199254740996"),
    ] {
        let stored: f64 = stored.parse().unwrap();
        let event = format!(r#"{{"@timestamp":5,"a":{{"b":{number}}}}}"#);
        let expected = format!(r#"{{__name__="a.b", ip="10.0.0.9"}} {stored} @ 5"#);
        assert_eq!(by_paths(&event), Ok(vec![expected]), "{number}");
    }
}

#[test]
fn things_stay_apart() {
    let event = r#"{"@timestamp":"2026-11-21T02:00:30Z","metricset":{"name":"process","module":"system","host":"h:1"},
        "system":{"process":{"name":"nginx","pid":4711,"ppid":1,"cmdline":"nginx -g x","state":"sleeping",
        "cpu":{"total":{"pct":0.0105},"start_time":"2018"}},"core":{"id":3,"user":{"pct":0.5}}},
        "docker":{"container":{"id":"c1","labels":{"a":"b"},"up":true}},"error":{"code":7,"message":"m"}}"#;
    let event = event.replace('\n', "");
    let more = concat!(
        r#"docker_container_id="c1", docker_container_labels_a="b", ip="10.0.0.9", metricset_host="h:1", "#,
        r#"metricset_module="system", metricset_name="process", system_core_id="3", "#,
        r#"system_process_name="nginx", system_process_pid="4711""#,
    );
    let of = |name: &str, value: &str| {
        format!(r#"{{__name__="{name}", {more}}} {value} @ 1795226430000"#)
    };
    let expected = vec![
        of("system.process.ppid", "1"),
        of("system.process.cpu.total.pct", "0.0105"),
        of("system.core.user.pct", "0.5"),
        of("docker.container.up", "1"),
    ];
    assert_eq!(by_paths(&event), Ok(expected));
    let underscored = points(Mapping::Paths, Names::Underscore, &event).unwrap();
    assert!(underscored[1].contains("\"system_process_cpu_total_pct\""));
}

#[test]
fn later_versions_say_where_they_are_from_in_other_words() {
    let event = concat!(
        r#"{"@timestamp":"2026-11-21T02:00:30.5Z","agent":{"type":"metricbeat","name":"n7","id":"x","version":"8.9.0"},"#,
        r#""ecs":{"version":"8.0.0"},"event":{"module":"nginx","dataset":"nginx.stubstatus","duration":17},"#,
        r#""service":{"type":"nginx","address":"http://a/s"},"metricset":{"name":"stubstatus","period":10000},"#,
        r#""host":{"name":"n7","cpu":{"usage":0.25}},"process":{"pid":9,"name":"w"},"nginx":{"stubstatus":{"active":2}}}"#,
    );
    let of = |name: &str, value: &str| {
        let labels = concat!(
            r#"agent_name="n7", event_module="nginx", host_name="n7", ip="10.0.0.9", "#,
            r#"metricset_name="stubstatus", process_name="w", process_pid="9", service_address="http://a/s""#,
        );
        format!(r#"{{__name__="{name}", {labels}}} {value} @ 1795226430500"#)
    };
    let expected = vec![
        of("host.cpu.usage", "0.25"),
        of("nginx.stubstatus.active", "2"),
    ];
    assert_eq!(by_paths(event), Ok(expected));
}

#[test]
fn labels_are_capped_the_least_known_first() {
    let texts: Vec<_> = (10..50).map(|i| format!(r#""t{i}":"x""#)).collect();
    let texts = texts.join(",");
    let event = format!(
        r#"{{"kubernetes":{{"k":"x"}},"fields":{{"f":"x"}},"m":{{{texts},"v":1}},"beat":{{"name":"é{}"}}}}"#,
        "é".repeat(600)
    );
    let stored = by_paths(&event).unwrap().remove(0);
    assert!(!stored.contains("fields_f") && !stored.contains("kubernetes_k"));
    assert!(stored.contains(r#"m_t38="x""#) && !stored.contains("m_t39"));
    assert_eq!(stored.matches('é').count(), 512);
    // Two texts of one name: the first.
    let twice = by_paths(r#"{"@timestamp":5,"a":{"b-c":"1","b_c":"2","d":3}}"#);
    let expected = r#"{__name__="a.d", a_b_c="1", ip="10.0.0.9"} 3 @ 5"#;
    assert_eq!(twice, Ok(vec![expected.to_owned()]));
}

#[test]
fn lookouts_mapping_is_the_gateways() {
    let lookout = |event: &str| points(Mapping::Lookout, Names::Keep, event);
    let of = |name: &str, value: &str| {
        let labels = r#"hostname="n7.example.org", ip="10.0.0.9", module="system", name="n7", version="6.8.23""#;
        format!(r#"{{__name__="{name}", {labels}}} {value} @ 1795226430000"#)
    };
    let expected = vec![
        of("system.network.in.bytes", "12345"),
        of("system.network.in.packets", "7"),
        of("system.network.in.errors", "0"),
        of("system.network.out.bytes", "1.5"),
        of("fields.rack", "5"),
    ];
    assert_eq!(lookout(NIC), Ok(expected));
    let odd = r#"{"beat":{"a b":"x = y","ip":"b"},"m":{"1-x":{"é":1},"b":true,"c":"2"},"top":3}"#;
    let expected = format!(
        r#"{{__name__="m.1_x._", a_b="x_y", ip="b"}} 1 @ {}"#,
        NOW_MS / 10_000 * 10_000
    );
    assert_eq!(lookout(odd), Ok(vec![expected]));
    // Left out by its rules, which clients are not told of.
    let bench = Bench::new(Limits::default());
    let options = Options {
        mapping: Mapping::Lookout,
        ..Options::default()
    };
    let endpoint = Endpoint::new(bench.sink.clone(), options);
    let body = format!(
        "{ACTION}\n{}\n{ACTION}\n{}\n{ACTION}\n{}\n{ACTION}\n{{}}x\n",
        r#"{"m":{"a":1}}"#,
        r#"{"@timestamp":"2026-11-18T02:00:30Z","beat":{"name":"n"},"m":{"a":1}}"#,
        r#"{"@timestamp":-9223372036854775808,"beat":{"name":"n"},"m":{"a":1}}"#
    );
    let (_, answer) = parts(send(&endpoint, Method::POST, "/_bulk", &[], body));
    assert_eq!(answer.matches(r#""status":201"#).count(), 3);
    assert_eq!(answer.matches(r#""status":400"#).count(), 1);
    let refused = &bench.status.figures()["test"].refused;
    assert_eq!((refused["no_labels"], refused["expired"]), (1, 2));
}

const ROOT: &str = concat!(
    r#"{"name":"promontory","cluster_name":"promontory","cluster_uuid":"UHJvbW9udG9yeUJlYXRzMQ","#,
    r#""version":{"number":"6.8.23","build_flavor":"default","build_type":"tar","#,
    r#""build_hash":"0000000","build_date":"2022-01-06T00:00:00.000Z","build_snapshot":false,"#,
    r#""lucene_version":"7.7.3","minimum_wire_compatibility_version":"5.6.0","#,
    r#""minimum_index_compatibility_version":"5.0.0"},"tagline":"You Know, for Search"}"#,
);

const XPACK: &str = concat!(
    r#"{"build":{"hash":"0000000","date":"2022-01-06T00:00:00.000Z"},"#,
    r#""license":{"uid":"8f0a5c1e-6d0b-4f0e-9a55-50726f6d6f6e","type":"basic","mode":"basic","status":"active"},"#,
    r#""features":{"ilm":{"available":false,"enabled":false},"monitoring":{"available":false,"enabled":false},"#,
    r#""security":{"available":false,"enabled":false}},"tagline":"You know, for X"}"#,
);
const LICENSE: &str = concat!(
    r#"{"license":{"uid":"8f0a5c1e-6d0b-4f0e-9a55-50726f6d6f6e","type":"basic","mode":"basic","#,
    r#""status":"active"}}"#,
);
const ACKNOWLEDGED: &str = r#"{"acknowledged":true}"#;
const CREATED: &str = concat!(
    r#"{"acknowledged":true,"shards_acknowledged":true,"#,
    r#""index":"<metricbeat-6.8.23-{now/d}-000001>"}"#,
);
const MONITORING: &str = r#"{"features":{"monitoring":{"enabled":false}}}"#;
const IGNORED: &str = r#"{"took":0,"ignored":true,"errors":false}"#;
const WRONG_METHOD: &str =
    r#"{"error":"Incorrect HTTP method for uri [/_bulk] and method [GET]","status":405}"#;
const WRONG_METHOD_OF_INDEX: &str =
    r#"{"error":"Incorrect HTTP method for uri [/i] and method [DELETE]","status":405}"#;
const HEALTH: &str = concat!(
    r#"{"cluster_name":"promontory","status":"green","timed_out":false,"number_of_nodes":1,"#,
    r#""number_of_data_nodes":1,"active_primary_shards":1,"active_shards":1,"#,
    r#""relocating_shards":0,"initializing_shards":0,"unassigned_shards":0,"#,
    r#""delayed_unassigned_shards":0,"number_of_pending_tasks":0,"number_of_in_flight_fetch":0,"#,
    r#""task_max_waiting_in_queue_millis":0,"active_shards_percent_as_number":100.0}"#,
);
const NODES: &str = concat!(
    r#"{"error":{"root_cause":[],"type":"resource_not_found_exception","#,
    r#""reason":"no such resource [/_nodes/stats]"},"status":404}"#,
);

/// What libbeat asks, by method and path, and what it is answered.
const ASKED: &[(&str, &str, u16, &str)] = &[
    ("GET", "", 200, ROOT),
    ("GET", "/", 200, ROOT),
    ("HEAD", "/", 200, ROOT),
    ("GET", "/_xpack", 200, XPACK),
    ("GET", "/_license?human=false", 200, LICENSE),
    ("HEAD", "/_template/metricbeat-6.8.23", 200, "{}"),
    ("PUT", "/_template/metricbeat-6.8.23", 200, ACKNOWLEDGED),
    ("HEAD", "/_index_template/metricbeat-8.9.0", 200, "{}"),
    ("HEAD", "/_alias/metricbeat-6.8.23", 200, "{}"),
    (
        "PUT",
        "/%3Cmetricbeat-6.8.23-%7Bnow%2Fd%7D-000001%3E",
        200,
        CREATED,
    ),
    ("GET", "/_ilm/policy/metricbeat", 200, "{}"),
    (
        "PUT",
        "/_ilm/policy/beats-default-policy",
        200,
        ACKNOWLEDGED,
    ),
    ("PUT", "/_ingest/pipeline/p", 200, ACKNOWLEDGED),
    ("GET", "/_ingest/pipeline/p", 200, "{}"),
    ("PUT", "/_data_stream/metricbeat-8.9.0", 200, ACKNOWLEDGED),
    (
        "GET",
        "/_xpack?filter_path=features.monitoring.enabled",
        200,
        MONITORING,
    ),
    (
        "POST",
        "/_xpack/monitoring/_bulk?system_id=beats&interval=10s",
        200,
        IGNORED,
    ),
    ("GET", "/_xpack/license", 200, LICENSE),
    ("POST", "/_monitoring/bulk?system_id=beats", 200, IGNORED),
    ("HEAD", "/_alias/metricbeat", 200, "{}"),
    ("PUT", "/_component_template/c", 200, ACKNOWLEDGED),
    ("HEAD", "/metricbeat-6.8.23-2026.11.21", 200, "{}"),
    ("GET", "/_cluster/health", 200, HEALTH),
    ("GET", "/_cluster/health/", 200, HEALTH),
    ("DELETE", "/i", 405, WRONG_METHOD_OF_INDEX),
    ("GET", "/_nodes/stats", 404, NODES),
    ("GET", "/_bulk", 405, WRONG_METHOD),
];

#[test]
fn what_is_asked_at_the_start_is_answered() {
    let bench = Bench::new(Limits::default());
    for (method, target, status, expected) in ASKED {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for base in ["", "/beat"] {
            let target = format!("{base}{target}");
            let response = send(&endpoint(&bench), method.clone(), &target, &[], "{}");
            let headers = response.headers();
            assert_eq!(headers["x-elastic-product"], "Elasticsearch");
            assert_eq!(headers["content-type"], "application/json; charset=UTF-8");
            let expected = (*status, (*expected).to_owned());
            assert_eq!(parts(response), expected, "{method} {target}");
        }
    }
    let answer = bulk(&bench, "/_cluster/health", "").1;
    assert!(answer.contains("Incorrect HTTP method"), "{answer}");
}

#[test]
fn the_version_is_the_one_that_is_set() {
    let bench = Bench::new(Limits::default());
    let options = Options {
        version: "7.17.29".to_owned(),
        ..Options::default()
    };
    let endpoint = Endpoint::new(bench.sink.clone(), options);
    let headers = [
        ("accept", "application/json"),
        ("authorization", "Basic bG9va291dDp0b2tlbg=="),
    ];
    let answer = parts(send(&endpoint, Method::GET, "/beat", &headers, ""));
    assert_eq!(answer, (200, ROOT.replace("6.8.23", "7.17.29")));
}

#[test]
fn bulk_requests_of_all_clients_have_the_same_answer_with_its_headers() {
    let bench = Bench::new(Limits::default());
    let action =
        r#"{"create":{"_index":"i","_type":"doc","_id":"x","pipeline":"p","routing":null}}"#;
    let body =
        format!("{action}\n{{\"@timestamp\":\"2026-11-21T02:00:30.123Z\",\"a\":{{\"b\":1}}}}\n");
    let item = r#"{"create":{"_index":"i","_type":"doc","_id":"x","_version":1,"result":"created","status":201}}"#;
    for content_type in [
        "application/json; charset=UTF-8",
        "application/x-ndjson",
        "application/vnd.elasticsearch+x-ndjson; compatible-with=7",
        "text/plain",
    ] {
        let headers = [("content-type", content_type)];
        let target = "/beat/_bulk?filter_path=items";
        let response = send(
            &endpoint(&bench),
            Method::POST,
            target,
            &headers,
            body.as_str(),
        );
        assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
        let json = "application/json; charset=UTF-8";
        assert_eq!(response.headers()["content-type"], json);
        let expected = format!(r#"{{"took":0,"errors":false,"items":[{item}]}}"#);
        assert_eq!(parts(response), (200, expected));
        let stored = r#"|{__name__="a.b"} 1 @ 1795226430123"#;
        assert_eq!(bench.recorder.take(), [stored]);
    }
    let response = send(&endpoint(&bench), Method::POST, "/_bulk", &[], "{}");
    assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
    assert_eq!(response.status().as_u16(), 400);
}

#[test]
fn what_measures_nothing_is_left_out() {
    let event = concat!(
        r#"{"@timestamp":"2026-11-21T02:00:30.000Z","@metadata":{"n":1},"type":"doc","tags":["t",1],"#,
        r#""metricset":{"name":"pod","module":"kubernetes","host":"h:1","namespace":"ns","rtt":115,"period":10},"#,
        r#""beat":{"name":"n","hostname":"hn","version":"6.8.23","n":1},"#,
        r#""meta":{"cloud":{"n":1,"provider":"ec2"}},"error":{"message":"m","n":1},"message":"m","#,
        r#""kubernetes":{"namespace":"ns1","pod":{"name":"p1","uid":"u"},"labels":{"app":"x"},"#,
        r#""annotations":{"a":"b"}},"#,
        r#""fields":{"zone":"a","rack":5,"live":true},"#,
        r#""m":{"up":true,"down":false,"list":[1,{"n":2}],"none":null,"empty":{},"text":"t","blank":"","n":-1.5e1}}"#,
    );
    let labels = concat!(
        r#"beat_hostname="hn", beat_name="n", fields_live="true", fields_rack="5", fields_zone="a", "#,
        r#"ip="10.0.0.9", kubernetes_labels_app="x", kubernetes_namespace="ns1", kubernetes_pod_name="p1", "#,
        r#"kubernetes_pod_uid="u", m_text="t", metricset_host="h:1", metricset_module="kubernetes", "#,
        r#"metricset_name="pod", metricset_namespace="ns""#,
    );
    let of = |(name, value)| format!(r#"{{__name__="{name}", {labels}}} {value} @ 1795226430000"#);
    let expected = [("m.up", 1), ("m.down", 0), ("m.n", -15)].map(of).to_vec();
    assert_eq!(by_paths(event), Ok(expected));
    // By Lookout's rules all of `metricset` but `rtt`, and all of `beat`, are labels, and true is no number.
    let labels = r#"host="h:1", hostname="hn", ip="10.0.0.9", module="kubernetes", n="1", name="n", namespace="ns", period="10", version="6.8.23""#;
    let of = |name: &str, value: &str| {
        format!(r#"{{__name__="{name}", {labels}}} {value} @ 1795226430000"#)
    };
    let found = points(Mapping::Lookout, Names::Keep, event).unwrap();
    assert!(found.contains(&of("m.n", "-15")), "{found:#?}");
    assert!(
        !found
            .iter()
            .any(|point| point.contains("rtt") || point.contains("m.up"))
    );
}

proptest! {
    #[test]
    fn nothing_panics(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let bench = Bench::new(Limits::default());
        let mut event = NIC.as_bytes().to_vec();
        for (at, byte) in mutations {
            let at = at.index(event.len());
            event[at] = byte;
        }
        let mut whole = format!("{ACTION}\n").into_bytes();
        whole.extend_from_slice(&event);
        whole.push(b'\n');
        for body in [&body, &whole] {
            for mapping in [Mapping::Paths, Mapping::Lookout] {
                let options = Options { mapping, ..Options::default() };
                let endpoint = Endpoint::new(bench.sink.clone(), options);
                send(&endpoint, Method::POST, "/_bulk", &[], body.as_slice());
            }
        }
    }

    #[test]
    fn every_event_has_an_item(kinds in proptest::collection::vec(0..4_usize, 1..60)) {
        let body: String = kinds.iter().map(|kind| match kind {
            0 => format!("{ACTION}\n{NIC}\n"),
            1 => format!("{ACTION}\n[]\n"),
            2 => format!("{ACTION}\n{{\"a\":1}}\n"),
            _ => "{\"delete\":{}}\n".to_owned(),
        }).collect();
        let actions = actions(body.as_bytes()).unwrap();
        let options = Options::default();
        let context = Context { options: &options, names: Names::Keep, now_ms: 1, extra: &[] };
        let mut documents = Documents::new(&actions);
        let mut chunk = Chunk::default();
        prop_assert_eq!(actions.len(), kinds.len());
        let events = kinds.iter().filter(|kind| **kind < 3).count();
        let more = documents.next_chunk(&context, &mut chunk);
        prop_assert_eq!((more, chunk.events.len()), (events > 0, events));
        for event in &chunk.events {
            prop_assert_eq!(event.error.is_some(), kinds[event.action] == 1);
        }
    }
}
