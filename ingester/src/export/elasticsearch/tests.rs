use std::any::Any;
use std::collections::VecDeque;

use parking_lot::Mutex as Lock;
use runtime::ManualClock;
use runtime::http::{Cost, Handler, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, Export};
use crate::export::tests::serve;

/// 2026-11-21T02:00:30.123Z.
const T_MS: i64 = 1_795_226_430_123;

fn config(yaml: &str) -> Elasticsearch {
    config_of("'http://h:9200/'", yaml)
}

fn config_of(urls: &str, yaml: &str) -> Elasticsearch {
    let text = format!("elasticsearch_write:\n- {{urls: [{urls}], {yaml}}}\n");
    let config = Config::parse(&text, std::path::Path::new(".")).expect(yaml);
    assert_eq!(config.warnings, Vec::<String>::new());
    match &config.exports[..] {
        [Export::Elasticsearch(config)] => config.clone(),
        other => panic!("{other:?}"),
    }
}

fn batch(samples: &[(i64, f64)]) -> Batch {
    let mut batch = Batch::new();
    batch.series([("__name__", "m"), ("a.b", "\"x\""), ("a_b", "y")]);
    for (t, v) in samples {
        batch.float(*t, *v);
    }
    batch
}

fn written(
    config: &Elasticsearch,
    doc_type: Option<&'static str>,
    batch: &Batch,
) -> (String, usize) {
    let bytes_max = config.request_bytes_max;
    let writer = Writer {
        config,
        doc_type,
        bytes_max,
    };
    let (places, unsayable) = sayable(batch);
    let (mut rest, mut bodies) = (&places[..], Vec::new());
    while !rest.is_empty() {
        let request = writer.request(batch, rest);
        bodies.push(String::from_utf8(request.body).unwrap());
        rest = &rest[request.documents..];
    }
    (bodies.join("--\n"), unsayable)
}

#[test]
fn samples_are_documents_of_these_bytes() {
    let batch = batch(&[(T_MS, 1.5), (T_MS + 1, f64::NAN), (T_MS + 86_400_000, -0.1)]);
    let (text, unsayable) = written(&config(""), None, &batch);
    let expected = concat!(
        r#"{"create":{"_index":"promontory-metrics-2026.11.21","_id":"AAABofvVaqurDO4LZPfRkzOTD0DxB9SP"}}"#,
        "\n",
        r#"{"@timestamp":"2026-11-21T02:00:30.123Z","name":"m","labels":{"a_b":"\"x\"","a_b_":"y"},"value":1.5}"#,
        "\n",
        r#"{"create":{"_index":"promontory-metrics-2026.11.22","_id":"AAABogD7xqurDO4LZPfRkzOTD0DxB9SP"}}"#,
        "\n",
        r#"{"@timestamp":"2026-11-22T02:00:30.123Z","name":"m","labels":{"a_b":"\"x\"","a_b_":"y"},"value":-0.1}"#,
        "\n"
    );
    assert_eq!((&*text, unsayable), (expected, 1));

    let lookout = config("format: lookout, rotation: rollover, index: lookout-active-metrics");
    let (text, _) = written(&lookout, Some("doc"), &batch);
    let expected = concat!(
        r#"{"create":{"_index":"lookout-active-metrics","_type":"doc","_id":"AAABofvVaqurDO4LZPfRkzOTD0DxB9SP"}}"#,
        "\n",
        r#"{"id":"m","tags":["a.b=\"x\"","a_b=y"],"time":"2026-11-21T02:00:30.123Z","value":1.5}"#,
        "\n"
    );
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn requests_are_as_large_as_is_allowed() {
    let batch = batch(&[(1, 1.0), (2, 2.0), (3, 3.0)]);
    let (text, _) = written(
        &config("queue_config: {max_bytes_per_send: 300B}"),
        None,
        &batch,
    );
    assert_eq!(text.matches("--\n").count(), 2, "{text}");
    let (text, _) = written(
        &config("queue_config: {max_bytes_per_send: 400B}"),
        None,
        &batch,
    );
    assert_eq!(text.matches("--\n").count(), 1, "{text}");
}

#[test]
fn indices_are_named_after_the_time_of_samples() {
    for (rotation, expected) in [
        ("daily", "promontory-metrics-1969.12.31"),
        ("monthly", "promontory-metrics-1969.12"),
        ("rollover", "promontory-metrics"),
        ("data_stream", "promontory-metrics"),
    ] {
        let config = config(&format!("rotation: {rotation}"));
        assert_eq!(document::index_of(&config, -1), expected);
    }
}

/// Status codes with bodies.
type Answers = VecDeque<(u16, Value)>;

/// A server that answers by a script: to each request the first answer whose beginning fits, which is
/// then used up but for the last.
#[derive(Default)]
struct Scripted {
    answers: Lock<Vec<(&'static str, Answers)>>,
    asked: Lock<Vec<(String, String)>>,
}

impl Handler for Scripted {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        let mut asked = format!("{} {}", request.method, request.path);
        if !request.query.is_empty() {
            asked = format!("{asked}?{}", request.query);
        }
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        self.asked.lock().push((asked.clone(), body));
        let mut answers = self.answers.lock();
        let of_path = answers.iter_mut().find(|(path, _)| asked.starts_with(path));
        let (status, answer) = match of_path {
            None => (404, json!({})),
            Some((_, queue)) if queue.len() > 1 => queue.pop_front().unwrap(),
            Some((_, queue)) => queue[0].clone(),
        };
        Response::text(StatusCode::from_u16(status).unwrap(), &answer.to_string())
    }
}

/// A target beside the server that it writes to.
struct Scene {
    server: Arc<Scripted>,
    clock: Arc<ManualClock>,
    target: ElasticsearchTarget,
    _serving: Box<dyn Any>,
}

impl Scene {
    async fn new(yaml: &str, script: &[(&'static str, &[(u16, Value)])]) -> Self {
        let server = Arc::new(Scripted::default());
        for (path, answers) in script {
            let answers = answers.iter().cloned().collect();
            server.answers.lock().push((path, answers));
        }
        let (port, serving) = serve(Arc::<Scripted>::clone(&server)).await;
        // Nobody listens at the first address.
        let urls = format!("'http://127.0.0.1:1', 'http://127.0.0.1:{port}'");
        let config = config_of(&urls, yaml);
        let clock = Arc::new(ManualClock::new(T_MS));
        let given: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let target = ElasticsearchTarget::new(&config, &Clients::default(), given).unwrap();
        Self {
            server,
            clock,
            target,
            _serving: Box::new(serving),
        }
    }

    /// What was asked since the last call.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.server.asked.lock());
        asked.into_iter().map(|(asked, _)| asked).collect()
    }

    /// The body of the last request that begins so.
    fn body_of(&self, path: &str) -> Value {
        let asked = self.server.asked.lock();
        let (_, body) = asked
            .iter()
            .rev()
            .find(|(asked, _)| asked.starts_with(path))
            .unwrap();
        serde_json::from_str(body).unwrap()
    }
}

fn version(number: &str) -> (u16, Value) {
    (200, json!({ "version": { "number": number } }))
}

fn opensearch() -> (u16, Value) {
    (
        200,
        json!({ "version": { "number": "2.19.3", "distribution": "opensearch" } }),
    )
}

fn acknowledged() -> (u16, Value) {
    (200, json!({ "acknowledged": true }))
}

fn all_taken() -> (u16, Value) {
    (200, json!({ "errors": false }))
}

const BULK: &str =
    "POST /_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

#[tokio::test]
async fn an_elasticsearch_8_gets_policy_template_and_documents() {
    let scene = Scene::new(
        "index: m, api_key: secret, lifecycle: {delete_after: 7d}",
        &[
            ("GET / ", &[version("8.17.0")]),
            ("GET /", &[version("8.17.0")]),
            ("PUT /", &[acknowledged()]),
            ("POST /_bulk", &[all_taken()]),
        ],
    )
    .await;
    let sent = scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    assert_eq!((sent.taken, sent.left.is_none()), (1, true), "{sent:?}");
    assert_eq!(
        scene.body_of("PUT /_ilm/policy/m"),
        json!({ "policy": { "phases": {
            "hot": { "min_age": "0ms", "actions": {} },
            "delete": { "min_age": "604800s", "actions": { "delete": {} } },
        } } })
    );
    let template = scene.body_of("PUT /_index_template/m");
    assert_eq!(template["index_patterns"], json!(["m-*"]));
    assert_eq!(template["priority"], 200);
    let inner = &template["template"];
    assert_eq!(
        inner["settings"]["index"]["lifecycle"],
        json!({ "name": "m" })
    );
    assert_eq!(inner["settings"]["index"]["auto_expand_replicas"], "0-1");
    assert_eq!(inner["mappings"]["properties"]["value"]["type"], "double");
    let setup = [
        "GET /",
        "GET /_ilm/policy/m",
        "PUT /_ilm/policy/m",
        "PUT /_index_template/m",
        BULK,
    ];
    assert_eq!(scene.asked(), setup);

    // What is there is believed for a while.
    scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    assert_eq!(scene.asked(), [BULK]);
    scene.clock.advance(600_000);
    scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    assert_eq!(scene.asked(), setup);
}

#[tokio::test]
async fn an_elasticsearch_6_gets_a_template_with_a_type_and_an_alias() {
    let scene = Scene::new(
        "index: m, rotation: rollover, template: {shards: 3, replicas: 1, refresh_interval: 5s}",
        &[
            ("GET /_alias", &[(404, json!({}))]),
            ("GET /_ilm", &[(404, json!({}))]),
            ("GET /", &[version("6.8.23")]),
            ("PUT /", &[acknowledged()]),
            ("POST /_bulk", &[all_taken()]),
        ],
    )
    .await;
    let sent = scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    assert_eq!(sent.taken, 1, "{sent:?}");
    let template = scene.body_of("PUT /_template/m");
    let keyword = json!({ "type": "keyword", "ignore_above": 1024 });
    assert_eq!(
        template,
        json!({
            "index_patterns": ["m-*"],
            "order": 200,
            "settings": { "index": {
                "number_of_shards": 3,
                "number_of_replicas": 1,
                "refresh_interval": "5000ms",
                "codec": "best_compression",
                "mapping": { "total_fields": { "limit": 10000 } },
                "lifecycle": { "name": "m", "rollover_alias": "m" },
            } },
            "mappings": { "doc": {
                "dynamic": false,
                "date_detection": false,
                "dynamic_templates": [{ "labels": { "path_match": "labels.*", "mapping": keyword } }],
                "properties": {
                    "@timestamp": { "type": "date" },
                    "name": keyword,
                    "labels": { "type": "object", "dynamic": true },
                    "value": { "type": "double" },
                },
            } },
        })
    );
    assert_eq!(
        scene.body_of("PUT /m-000001"),
        json!({ "aliases": { "m": { "is_write_index": true } } })
    );
    let rollover =
        &scene.body_of("PUT /_ilm/policy/m")["policy"]["phases"]["hot"]["actions"]["rollover"];
    assert_eq!(
        *rollover,
        json!({ "max_age": "86400s", "max_docs": 100_000_000, "max_size": "53687091200b" })
    );
    assert_eq!(scene.asked().last().map(String::as_str), Some(BULK));
}

#[tokio::test]
async fn an_opensearch_gets_its_kind_of_policy_once() {
    let known = |policy: Value| {
        (
            200,
            json!({ "_seq_no": 7, "_primary_term": 2, "policy": policy }),
        )
    };
    let yaml = "index: m, rotation: data_stream, lifecycle: {rollover_size: 0, delete_after: 2d}";
    let scene = Scene::new(
        yaml,
        &[
            ("GET /_plugins", &[known(json!({ "states": [] }))]),
            ("GET /", &[opensearch()]),
            ("PUT /", &[acknowledged()]),
            ("POST /_bulk", &[all_taken()]),
        ],
    )
    .await;
    scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    let policy = scene.body_of("PUT /_plugins/_ism/policies/m?if_seq_no=7&if_primary_term=2");
    let rollover = json!({ "min_index_age": "86400s", "min_doc_count": 100_000_000 });
    assert_eq!(
        policy,
        json!({ "policy": {
            "description": "indices of metrics, set up by promontory",
            "default_state": "hot",
            "states": [
                {
                    "name": "hot",
                    "actions": [{ "rollover": rollover }],
                    "transitions": [{
                        "state_name": "delete",
                        "conditions": { "min_index_age": "172800s" },
                    }],
                },
                { "name": "delete", "actions": [{ "delete": {} }], "transitions": [] },
            ],
            "ism_template": [{ "index_patterns": ["m"], "priority": 200 }],
        } })
    );
    assert_eq!(
        scene.body_of("PUT /_index_template/m")["data_stream"],
        json!({})
    );

    // The server adds to what it was given; that is no difference.
    let mut there = policy["policy"].clone();
    there["policy_id"] = "m".into();
    there["states"][0]["actions"][0]["retry"] = json!({ "count": 3 });
    scene.server.answers.lock()[0].1 = [known(there)].into();
    scene.asked();
    scene.clock.advance(600_000);
    scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    assert_eq!(
        scene.asked(),
        [
            "GET /",
            "GET /_plugins/_ism/policies/m",
            "PUT /_index_template/m",
            BULK
        ]
    );
}

#[tokio::test]
async fn where_there_are_no_policies_old_indices_are_removed_from_here() {
    let unknown = json!({ "error": { "type": "invalid_index_name_exception", "reason": "no" } });
    let made =
        |t_ms: i64| json!({ "settings": { "index": { "creation_date": t_ms.to_string() } } });
    let indices = json!({
        "m-2026.11.18": made(T_MS - 3 * 86_400_000),
        "m-2026.11.19": made(T_MS - 2 * 86_400_000),
        "m-2026.11.21": made(T_MS),
        // Of the past, and made just now.
        "m-2025.11.21": made(T_MS),
        "m-reports": made(0),
        "m-2026.11": made(0),
    });
    let scene = Scene::new(
        "index: m, lifecycle: {delete_after: 2d}",
        &[
            ("GET /m-*/_settings", &[(200, indices)]),
            ("GET /_ilm", &[(404, unknown.clone())]),
            ("GET /", &[version("7.17.28")]),
            ("PUT /_ilm", &[(400, unknown)]),
            ("PUT /", &[acknowledged()]),
            ("DELETE /", &[acknowledged()]),
            ("POST /_bulk", &[all_taken()]),
        ],
    )
    .await;
    let sent = scene.target.send(&batch(&[(T_MS, 1.0)])).await;
    assert_eq!(sent.taken, 1, "{sent:?}");
    let template = scene.body_of("PUT /_index_template/m");
    assert_eq!(
        template["template"]["settings"]["index"]["lifecycle"],
        Value::Null
    );
    assert_eq!(scene.asked().last().map(String::as_str), Some(BULK));
    scene.target.rest().await;
    let asked = scene.asked();
    let deleted: Vec<_> = asked
        .iter()
        .filter(|asked| asked.starts_with("DELETE"))
        .collect();
    assert_eq!(deleted, ["DELETE /m-2026.11.18"]);
    scene.target.rest().await;
    assert_eq!(scene.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn only_what_may_be_taken_later_is_sent_again() {
    let item = |status: u16, kind: &str| json!({ "create": { "status": status, "error": { "type": kind, "reason": "why" } } });
    let items = json!([
        { "create": { "status": 201 } },
        item(409, "version_conflict_engine_exception"),
        item(400, "mapper_parsing_exception"),
        item(429, "es_rejected_execution_exception"),
        item(404, "index_not_found_exception"),
    ]);
    let scene = Scene::new(
        "index: m, lifecycle: {enabled: false}, template: {enabled: false}",
        &[
            ("GET /", &[version("8.17.0")]),
            ("PUT /m-1970.01.01", &[acknowledged()]),
            (
                "POST /_bulk",
                &[
                    (200, json!({ "errors": true, "items": items })),
                    all_taken(),
                ],
            ),
        ],
    )
    .await;
    let samples = [1, 2, 3, 4, 5].map(|t| (t, t as f64));
    let sent = scene.target.send(&batch(&samples)).await;
    assert_eq!((sent.taken, sent.refused.len()), (2, 1), "{sent:?}");
    let refusal = &sent.refused[0];
    assert_eq!(
        (&*refusal.reason, refusal.samples),
        ("mapper_parsing_exception", 1)
    );
    assert_eq!(refusal.said, "400: mapper_parsing_exception: why");
    let left = sent.left.unwrap();
    let rest = left.batch.unwrap();
    let times: Vec<_> = rest.get(0).floats.iter().map(|float| float.t).collect();
    assert_eq!(times, [4, 5]);
    assert_eq!(scene.asked(), ["GET /", BULK, "PUT /m-1970.01.01"]);
    let sent = scene.target.send(&rest).await;
    assert_eq!((sent.taken, sent.left.is_none()), (2, true));
}

#[tokio::test]
async fn a_server_in_trouble_is_waited_for() {
    let script: &[(&'static str, &[(u16, Value)])] = &[
        (
            "GET /",
            &[
                (
                    401,
                    json!({ "error": { "type": "security_exception", "reason": "who?" } }),
                ),
                version("5.6.0"),
                (200, json!([])),
                version("8.17.0"),
            ],
        ),
        (
            "POST /_bulk",
            &[
                (429, json!({ "error": "busy" })),
                (503, json!({})),
                (200, json!("no bulk answer")),
                (413, json!({})),
                all_taken(),
            ],
        ),
    ];
    let yaml = "index: m, lifecycle: {enabled: false}, template: {enabled: false}";
    let scene = Scene::new(yaml, script).await;
    let batch = batch(&[(1, 1.0), (2, 2.0)]);
    for expected in [
        "GET /: 401 Unauthorized: security_exception: who?",
        "Elasticsearch 5.6 is too old; 6.4 is the oldest that is written to",
        "what answers at this address does not say which version it has",
        "429 Too Many Requests: busy",
        "503 Service Unavailable: {}",
        "the answer to _bulk cannot be read",
        "413 Payload Too Large",
    ] {
        let sent = scene.target.send(&batch).await;
        let left = sent.left.expect(expected);
        assert!(left.reason.starts_with(expected), "{}", left.reason);
        assert_eq!((sent.taken, sent.refused.len()), (0, 0));
        let again = left.batch.map_or(2, |batch| batch.sample_count());
        assert_eq!(again, 2, "{expected}");
    }
    // Now in smaller requests.
    scene.asked();
    let sent = scene.target.send(&batch).await;
    assert_eq!((sent.taken, sent.left.is_none()), (2, true));
    assert_eq!(scene.asked(), ["GET /", BULK, BULK]);
}
