//! Files in forms of Thanos' own: hashrings of receivers, and which requests are logged.

use std::collections::{BTreeMap, BTreeSet};

use runtime::request_log::{CallLog, RequestLogs};
use serde::Deserialize;

/// A hashring: receivers that share the series of some tenants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Hashring {
    hashring: String,
    tenants: Vec<String>,
    tenant_matcher_type: String,
    endpoints: Vec<Endpoint>,
    algorithm: String,
    external_labels: BTreeMap<String, String>,
    shuffle_sharding_config: Option<ShuffleSharding>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Endpoint {
    Address(String),
    Full(FullEndpoint),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FullEndpoint {
    address: String,
    #[serde(default)]
    capnproto_address: String,
    #[serde(default)]
    az: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ShuffleSharding {
    shard_size: i64,
    cache_size: i64,
    zone_awareness_disabled: bool,
    overrides: Vec<ShuffleOverride>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ShuffleOverride {
    shard_size: i64,
    tenants: Vec<String>,
    tenant_matcher_type: String,
}

impl Endpoint {
    fn address(&self) -> &str {
        match self {
            Self::Address(address) => address,
            Self::Full(full) => &full.address,
        }
    }
}

/// How many hashrings and endpoints a file has.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn hashrings(text: &str) -> Result<(usize, usize), String> {
    let rings: Vec<Hashring> = match text.trim() {
        "" => return Err("there is no hashring".to_owned()),
        // JSON is YAML.
        text => runtime::yaml::read(text)?,
    };
    for (n, ring) in rings.iter().enumerate() {
        let name = match ring.hashring.is_empty() {
            true => format!("hashring {}", n + 1),
            false => format!("hashring {:?}", ring.hashring),
        };
        ring.check().map_err(|error| format!("{name}: {error}"))?;
    }
    let endpoints = rings.iter().map(|ring| ring.endpoints.len()).sum();
    match rings.is_empty() {
        true => Err("there is no hashring".to_owned()),
        false => Ok((rings.len(), endpoints)),
    }
}

impl Hashring {
    fn check(&self) -> Result<(), String> {
        if self.endpoints.is_empty() {
            return Err("it has no endpoints".to_owned());
        }
        let mut seen = BTreeSet::new();
        for endpoint in &self.endpoints {
            let address = endpoint.address();
            querier::endpoints::Address::parse(address)?;
            if !seen.insert(address) {
                return Err(format!("endpoint {address} is there twice"));
            }
        }
        let is_ketama = match &*self.algorithm {
            "" | "hashmod" => false,
            "ketama" => true,
            other => {
                return Err(format!(
                    "algorithm {other:?} is not known; use hashmod or ketama"
                ));
            }
        };
        check_matcher(&self.tenant_matcher_type)?;
        if self.tenants.iter().any(String::is_empty) {
            return Err("a tenant has no name".to_owned());
        }
        let has_zones = |endpoint: &Endpoint| match endpoint {
            Endpoint::Full(full) => !full.az.is_empty(),
            Endpoint::Address(_) => false,
        };
        let is_said = !self.algorithm.is_empty();
        if is_said && !is_ketama && self.endpoints.iter().any(has_zones) {
            return Err("zones need the algorithm ketama".to_owned());
        }
        for endpoint in &self.endpoints {
            if let Endpoint::Full(full) = endpoint
                && !full.capnproto_address.is_empty()
            {
                querier::endpoints::Address::parse(&full.capnproto_address)?;
            }
        }
        if let Some(name) = self.external_labels.keys().find(|name| name.is_empty()) {
            return Err(format!("{name:?} cannot name a label"));
        }
        match &self.shuffle_sharding_config {
            Some(_) if is_said && !is_ketama => {
                Err("shuffle_sharding_config needs the algorithm ketama".to_owned())
            }
            Some(sharding) => sharding.check(self.endpoints.len()),
            None => Ok(()),
        }
    }
}

impl ShuffleSharding {
    fn check(&self, endpoints: usize) -> Result<(), String> {
        let sizes = self.overrides.iter().map(|o| o.shard_size);
        for size in sizes.chain([self.shard_size]) {
            if usize::try_from(size).is_ok_and(|size| size > endpoints) && !self.spans_zones() {
                return Err(format!(
                    "a shard of {size} is more than the {endpoints} endpoints"
                ));
            }
            if size < 0 {
                return Err(format!("shard_size {size} must not be negative"));
            }
        }
        if self.cache_size < 0 {
            return Err("cache_size must not be negative".to_owned());
        }
        for of_tenants in &self.overrides {
            check_matcher(&of_tenants.tenant_matcher_type)?;
            if of_tenants.tenants.is_empty() {
                return Err("an override is for no tenants".to_owned());
            }
        }
        Ok(())
    }

    /// Sizes are spread over zones and rounded up there.
    const fn spans_zones(&self) -> bool {
        !self.zone_awareness_disabled
    }
}

fn check_matcher(kind: &str) -> Result<(), String> {
    match kind {
        "" | "exact" | "glob" => Ok(()),
        other => Err(format!(
            "tenant_matcher_type {other:?} is not known; use exact or glob"
        )),
    }
}

/// What a file has logged, in words.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn request_logging(text: &str) -> Result<String, String> {
    let logs = RequestLogs::parse(text)?;
    let places = |log: Option<&CallLog>, what: &str| match log.map(CallLog::places) {
        None => format!("no {what}"),
        Some(0) => format!("every {what}"),
        Some(1) => format!("1 {what}"),
        Some(n) => format!("{n} {what}s"),
    };
    let http = places(logs.http.as_ref(), "HTTP path");
    Ok(format!(
        "{http}, {}",
        places(logs.grpc.as_ref(), "gRPC method")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashrings_of_both_forms_are_read() {
        let text = r#"[
            {"hashring": "a", "tenants": ["x-*"], "tenant_matcher_type": "glob", "algorithm": "ketama",
             "endpoints": [{"address": "r-0:10901", "az": "a"}, {"address": "r-1:10901", "az": "b"}],
             "shuffle_sharding_config": {"shard_size": 1, "overrides": [{"shard_size": 2, "tenants": ["y"]}]}},
            {"endpoints": ["r-2:10901"], "external_labels": {"a": "b"}}
        ]"#;
        assert_eq!(hashrings(text), Ok((2, 3)));
        for (text, said) in [
            ("", "no hashring"),
            ("[]", "no hashring"),
            ("[{}]", "no endpoints"),
            (r#"[{"endpoints": ["a"]}]"#, "no port"),
            (r#"[{"endpoints": ["a:1", "a:1"]}]"#, "twice"),
            (r#"[{"endpoints": ["a:1"], "algorithm": "x"}]"#, "ketama"),
            (
                r#"[{"endpoints": ["a:1"], "tenant_matcher_type": "x"}]"#,
                "glob",
            ),
            (r#"[{"endpoints": ["a:1"], "endpoint": []}]"#, "endpoint"),
            (
                r#"[{"hashring": "h", "endpoints": ["a:1"], "algorithm": "hashmod", "shuffle_sharding_config": {}}]"#,
                "hashring \"h\": shuffle_sharding_config",
            ),
        ] {
            let error = hashrings(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn request_logging_is_read() {
        let text = "http:\n  config:\n  - {path: /api/v1/query, port: 10904}\n  options:\n    level: DEBUG\n\
            \x20   decision: {log_start: true, log_end: true}\n\
            grpc:\n  config:\n  - {service: thanos.Store, method: Info}\noptions: {level: ERROR}\n";
        let shown = request_logging(text).unwrap();
        assert_eq!(shown, "1 HTTP path, no gRPC method");
        assert_eq!(request_logging("").unwrap(), "no HTTP path, no gRPC method");
        for (text, said) in [
            ("options: {level: LOUD}", "LOUD"),
            ("options: {level: WARN}", "WARNING"),
            ("options: {decision: {log_end: true}}", "say a level"),
            ("http: {config: [{port: 1}]}", "path"),
            ("https: {}", "https"),
        ] {
            let error = request_logging(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
