//! `/api/v1/openapi.yaml`: the API as OpenAPI describes one, made of the table of endpoints.

use std::fmt::Write as _;

use runtime::http::{Form, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::Api;
use super::routes::{Kind, Parameter, ROUTES, Route};

/// Where it is.
pub(super) const PATH: &str = "/api/v1/openapi.yaml";
const YAML: &str = "application/yaml; charset=utf-8";

pub(super) fn answer(api: &Api, method: &Method, form: &Form) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Response::not_allowed("GET, HEAD, OPTIONS");
    }
    let version = match form.get("openapi_version") {
        Some("3.2") => "3.2.0",
        _ => "3.1.0",
    };
    let text = text(version, api.about.version);
    let caching = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    Response::bytes(StatusCode::OK, YAML, text).with_header(header::CACHE_CONTROL, caching)
}

/// The whole of it, for a version of OpenAPI and of this program.
fn text(version: &str, of_program: &str) -> String {
    let mut paths = Map::new();
    for route in ROUTES {
        paths.insert(format!("/{}", route.name), path(route));
    }
    let parts = [
        ("openapi", json!(version)),
        (
            "info",
            json!({
                "title": "Promontory's query API",
                "description": "Prometheus' HTTP API with the parameters of Thanos.",
                "version": of_program,
            }),
        ),
        ("servers", json!([{ "url": "/api/v1" }])),
        ("paths", Value::Object(paths)),
        ("components", components()),
    ];
    let mut out = String::new();
    for (name, part) in &parts {
        let _ = write!(out, "{name}:");
        push(&mut out, part, 1);
    }
    out
}

fn path(route: &Route) -> Value {
    let parameters = || route.parameters.iter().copied().flatten();
    let of_path = route.name.contains("{name}").then(|| {
        json!({
            "name": "name",
            "in": "path",
            "required": true,
            "description": "Name of the label, plain or escaped as U__...",
            "schema": { "type": "string", "minLength": 1, "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$" },
        })
    });
    let in_url = parameters().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.is_required,
            "description": parameter.about,
            "schema": schema(parameter.kind),
        })
    });
    let in_url: Vec<Value> = of_path.into_iter().chain(in_url).collect();
    let id = route.name.replace(['/', '{', '}'], "_");
    let mut path = json!({
        "get": {
            "operationId": id,
            "summary": route.about,
            "parameters": in_url,
            "responses": responses(),
        },
    });
    if route.takes_post {
        path["post"] = json!({
            "operationId": format!("{id}_post"),
            "summary": route.about,
            "requestBody": {
                "required": parameters().any(|parameter| parameter.is_required),
                "content": { "application/x-www-form-urlencoded": { "schema": form(parameters()) } },
            },
            "responses": responses(),
        });
    }
    path
}

/// The parameters as fields of a form.
fn form<'a>(parameters: impl Iterator<Item = &'a Parameter>) -> Value {
    let (mut fields, mut required) = (Map::new(), Vec::new());
    for parameter in parameters {
        let mut field = schema(parameter.kind);
        field["description"] = parameter.about.into();
        fields.insert(parameter.name.to_owned(), field);
        if parameter.is_required {
            required.push(parameter.name);
        }
    }
    json!({ "type": "object", "properties": fields, "required": required })
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Time => json!({ "$ref": "#/components/schemas/Time" }),
        Kind::Duration => json!({ "$ref": "#/components/schemas/Duration" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::OneOf(all) => json!({ "type": "string", "enum": all }),
    }
}

/// What every endpoint may answer.
fn responses() -> Value {
    let json = |name: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } });
    let failed = |about: &str| json!({ "description": about, "content": json("Error") });
    json!({
        "200": { "description": "Data.", "content": json("Success") },
        "400": failed("The request is wrong."),
        "422": failed("The expression cannot be evaluated."),
        "499": failed("The client gave up."),
        "500": failed("The storage failed."),
        "503": {
            "description": "It took too long, a store cannot be had, or there is no place for the request.",
            "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
                "text/plain": { "schema": { "type": "string" } },
            },
        },
    })
}

fn components() -> Value {
    let notes = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "schemas": {
            "Time": {
                "oneOf": [
                    { "type": "number", "description": "Seconds since the Unix epoch." },
                    { "type": "string", "format": "date-time" },
                ],
            },
            "Duration": {
                "oneOf": [
                    { "type": "number", "description": "Seconds." },
                    { "type": "string", "pattern": "^([0-9]+(ms|[smhdwy]))+$" },
                ],
            },
            "Success": {
                "type": "object",
                "required": ["status", "data"],
                "properties": {
                    "status": { "const": "success" },
                    "data": { "description": "What was asked for." },
                    "warnings": notes,
                    "infos": notes,
                },
            },
            "Error": {
                "type": "object",
                "required": ["status", "errorType", "error"],
                "properties": {
                    "status": { "const": "error" },
                    "errorType": {
                        "enum": [
                            "bad_data", "execution", "canceled", "timeout", "internal", "unavailable",
                        ],
                    },
                    "error": { "type": "string" },
                },
            },
        },
    })
}

/// Appends a value, which follows a key or a dash, as YAML in blocks at a depth. Whatever is plain is
/// written as JSON, which YAML takes.
fn push(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            for (name, field) in fields {
                let _ = write!(out, "{indent}{}:", Value::from(name.as_str()));
                push(out, field, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                let _ = write!(out, "{indent}-");
                push(out, item, depth + 1);
            }
        }
        plain => {
            let _ = writeln!(out, " {plain}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_yaml_with_all_endpoints() {
        let described: Value = runtime::yaml::read(&text("3.1.0", "1.2.3")).unwrap();
        assert_eq!(described["openapi"], "3.1.0");
        assert_eq!(described["info"]["version"], "1.2.3");
        let paths = described["paths"].as_object().unwrap();
        assert_eq!(paths.len(), ROUTES.len());
        for route in ROUTES {
            let path = &paths[&format!("/{}", route.name)];
            assert_eq!(
                path.get("post").is_some(),
                route.takes_post,
                "{}",
                route.name
            );
            assert!(!route.about.is_empty(), "{}", route.name);
            let parameters = path["get"]["parameters"].as_array().unwrap();
            let said = parameters.iter().filter(|p| p["in"] == "query").count();
            assert_eq!(said, route.parameters.iter().copied().flatten().count());
        }
        let form = &paths["/query"]["post"]["requestBody"]["content"];
        let form = &form["application/x-www-form-urlencoded"]["schema"];
        assert_eq!(form["required"], json!(["query"]));
        assert_eq!(form["properties"]["dedup"]["type"], "boolean");
    }
}
