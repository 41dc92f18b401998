//! What the Elasticsearch output asks before it sends events, and what it is told so that it goes on:
//! there is an Elasticsearch of a basic licence, every template, alias, policy and pipeline exists,
//! and lifecycles and monitoring are switched off.

use runtime::http::{Form, Method, StatusCode};
use serde_json::json;

/// Identifies the cluster; the same after a restart.
const CLUSTER_UUID: &str = "UHJvbW9udG9yeUJlYXRzMQ";
/// The licence that all distributions of Beats take.
const LICENSE: &str = concat!(
    r#"{"uid":"8f0a5c1e-6d0b-4f0e-9a55-50726f6d6f6e","type":"basic","mode":"basic","#,
    r#""status":"active"}"#,
);
const HEALTH: &str = concat!(
    r#"{"cluster_name":"promontory","status":"green","timed_out":false,"number_of_nodes":1,"#,
    r#""number_of_data_nodes":1,"active_primary_shards":1,"active_shards":1,"#,
    r#""relocating_shards":0,"initializing_shards":0,"unassigned_shards":0,"#,
    r#""delayed_unassigned_shards":0,"number_of_pending_tasks":0,"#,
    r#""number_of_in_flight_fetch":0,"task_max_waiting_in_queue_millis":0,"#,
    r#""active_shards_percent_as_number":100.0}"#,
);

/// The answer to what is no bulk request: a status and a body. `path` has no slash at its ends.
pub(super) fn answer(
    method: &Method,
    path: &str,
    query: &str,
    version: &str,
) -> (StatusCode, String) {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let writes = matches!(*method, Method::PUT | Method::POST);
    let mut pieces = path.split('/');
    let (first, second) = (pieces.next().unwrap_or_default(), pieces.next());
    let body = match (first, second) {
        ("", None) if reads => root(version),
        ("_xpack", None) if reads => xpack(query),
        ("_xpack", Some("license")) | ("_license", None) if reads => {
            format!(r#"{{"license":{LICENSE}}}"#)
        }
        ("_xpack", Some("monitoring")) | ("_monitoring", Some("bulk")) if writes => {
            r#"{"took":0,"ignored":true,"errors":false}"#.to_owned()
        }
        ("_cluster", Some("health")) if reads => HEALTH.to_owned(),
        (
            "_template"
            | "_index_template"
            | "_component_template"
            | "_alias"
            | "_ilm"
            | "_ingest"
            | "_data_stream",
            Some(_),
        ) => match reads {
            true => "{}".to_owned(),
            false => r#"{"acknowledged":true}"#.to_owned(),
        },
        (index, None) if is_index(index) && reads => "{}".to_owned(),
        (index, None) if is_index(index) && *method == Method::PUT => {
            let index = Form::decode_path(index).unwrap_or_else(|_| index.to_owned());
            let index = json!(index);
            format!(r#"{{"acknowledged":true,"shards_acknowledged":true,"index":{index}}}"#)
        }
        ("" | "_xpack" | "_license" | "_cluster" | "_bulk", _) => {
            return method_not_allowed(method, path);
        }
        (index, None) if is_index(index) => return method_not_allowed(method, path),
        _ => {
            let reason = json!(format!("no such resource [/{path}]"));
            let kind = "resource_not_found_exception";
            let body = format!(
                r#"{{"error":{{"root_cause":[],"type":"{kind}","reason":{reason}}},"status":404}}"#
            );
            return (StatusCode::NOT_FOUND, body);
        }
    };
    (StatusCode::OK, body)
}

fn is_index(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('_')
}

/// Elasticsearch's envelope of errors.
pub(super) fn error(status: StatusCode, kind: &str, reason: &str) -> String {
    let cause = format!(r#""type":"{kind}","reason":{}"#, json!(reason));
    let status = status.as_u16();
    format!(r#"{{"error":{{"root_cause":[{{{cause}}}],{cause}}},"status":{status}}}"#)
}

fn method_not_allowed(method: &Method, path: &str) -> (StatusCode, String) {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let reason = format!("Incorrect HTTP method for uri [/{path}] and method [{method}]");
    let reason = json!(reason);
    (status, format!(r#"{{"error":{reason},"status":405}}"#))
}

fn root(version: &str) -> String {
    let version = json!(version);
    format!(
        concat!(
            r#"{{"name":"promontory","cluster_name":"promontory","cluster_uuid":"{uuid}","#,
            r#""version":{{"number":{version},"build_flavor":"default","build_type":"tar","#,
            r#""build_hash":"0000000","build_date":"2022-01-06T00:00:00.000Z","#,
            r#""build_snapshot":false,"lucene_version":"7.7.3","#,
            r#""minimum_wire_compatibility_version":"5.6.0","#,
            r#""minimum_index_compatibility_version":"5.0.0"}},"#,
            r#""tagline":"You Know, for Search"}}"#,
        ),
        uuid = CLUSTER_UUID,
        version = version,
    )
}

fn xpack(query: &str) -> String {
    // Whoever asks for one thing only takes the answer to have nothing else.
    if query.contains("features.monitoring") {
        return r#"{"features":{"monitoring":{"enabled":false}}}"#.to_owned();
    }
    let off = r#"{"available":false,"enabled":false}"#;
    format!(
        concat!(
            r#"{{"build":{{"hash":"0000000","date":"2022-01-06T00:00:00.000Z"}},"#,
            r#""license":{license},"#,
            r#""features":{{"ilm":{off},"monitoring":{off},"security":{off}}},"#,
            r#""tagline":"You know, for X"}}"#,
        ),
        license = LICENSE,
        off = off,
    )
}
