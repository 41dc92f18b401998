use runtime::Environment;

use super::*;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("/etc/prometheus"))
}

fn refused(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// A scrape configuration with these further lines.
fn job(lines: &str) -> String {
    let lines = lines
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect::<String>();
    format!("scrape_configs:\n  - job_name: a\n{lines}")
}

fn only_job(lines: &str) -> Job {
    let mut config = parse(&job(lines)).expect(lines);
    assert_eq!(config.warnings, Vec::<String>::new(), "{lines}");
    config.jobs.pop().expect("one job")
}

#[test]
fn defaults_are_prometheus() {
    let empty = parse("").unwrap();
    assert_eq!(
        (empty.jobs.len(), empty.printed(&Labels::empty())),
        (0, String::new())
    );
    assert_eq!(parse("# nothing\n\n").unwrap().global, Global::default());
    let job = only_job("");
    assert_eq!((job.interval_ms, job.timeout_ms), (60_000, 10_000));
    assert_eq!((&*job.metrics_path, &*job.scheme), ("/metrics", "http"));
    assert!(job.honor_timestamps && !job.honor_labels && job.http.follow_redirects);
    assert!(!job.shared.protocols.contains(&Protocol::Protobuf));
    let short = parse("global: {scrape_interval: 5s}\nscrape_configs: [{job_name: a}]").unwrap();
    assert_eq!(
        (short.jobs[0].interval_ms, short.jobs[0].timeout_ms),
        (5000, 5000)
    );
    let native = only_job("scrape_native_histograms: true");
    assert_eq!(native.shared.protocols[0], Protocol::Protobuf);
}

#[test]
fn jobs_inherit_and_override() {
    let config = parse(concat!(
        "global:\n  scrape_interval: 30s\n  sample_limit: 10\n  body_size_limit: 1MB\n",
        "  external_labels: {region: eu, n: 7}\n  keep_dropped_targets: 3\n",
        "storage:\n  tsdb:\n    out_of_order_time_window: 2h\n",
        "scrape_configs:\n- job_name: a\n- job_name: b\n  sample_limit: 20\n  scrape_timeout: 1s\n",
    ))
    .unwrap();
    let [a, b] = &config.jobs[..] else { panic!() };
    assert_eq!((a.shared.limits.samples, b.shared.limits.samples), (10, 20));
    assert_eq!(
        (a.shared.limits.body_bytes, a.interval_ms),
        (1 << 20, 30_000)
    );
    assert_eq!((a.timeout_ms, b.timeout_ms), (10_000, 1000));
    assert_eq!(
        config.global.external_labels,
        Labels::from_pairs([("n", "7"), ("region", "eu")])
    );
    assert_eq!(config.out_of_order_window_ms, Some(7_200_000));
    assert!(config.warnings.is_empty());
}

#[test]
fn credentials_tls_and_proxies() {
    let job = only_job(concat!(
        "basic_auth: {username: u, password_file: secrets/p}\n",
        "tls_config: {ca_file: /ca.pem, insecure_skip_verify: true, server_name: s, min_version: TLS12}\n",
        "proxy_url: http://proxy:1\nno_proxy: localhost\nfollow_redirects: false\n",
        "http_headers: {X-A: {values: [v], secrets: [w]}}",
    ));
    let file = SecretSource::File("/etc/prometheus/secrets/p".into());
    let inline = |s: &str| SecretSource::Inline(Secret(s.to_owned()));
    assert_eq!(
        job.http.authorization,
        Some(Authorization::Basic {
            username: inline("u"),
            password: Some(file)
        })
    );
    assert_eq!(job.http.tls.ca, Some(Pem::File("/ca.pem".into())));
    assert_eq!(job.http.tls.min_version, Some(TlsVersion::V12));
    assert_eq!(
        job.http.headers,
        [("X-A".into(), inline("v")), ("X-A".into(), inline("w"))]
    );
    assert!(!format!("{:?}", job.http.headers).contains('w'));
    let bearer = only_job("bearer_token: t").http.authorization;
    assert_eq!(
        bearer,
        Some(Authorization::Credentials {
            scheme: "Bearer".into(),
            credentials: Some(inline("t"))
        })
    );
}

#[test]
fn tokens_of_oauth2() {
    let job = only_job(concat!(
        "oauth2:\n  client_id: me\n  client_secret_file: s\n  token_url: https://t/x\n  scopes: [a, b]\n",
        "  endpoint_params: {audience: us}\n  tls_config: {insecure_skip_verify: true}\n",
        "  proxy_url: http://proxy:1\n  proxy_connect_header: {X-A: [v, w]}",
    ));
    let Some(Authorization::OAuth2(oauth2)) = job.http.authorization else {
        panic!("{:?}", job.http);
    };
    let file = SecretSource::File("/etc/prometheus/s".into());
    assert_eq!((&*oauth2.client_id, oauth2.client_secret), ("me", file));
    assert_eq!(
        (&*oauth2.token_url, oauth2.scopes.len()),
        ("https://t/x", 2)
    );
    assert_eq!(oauth2.endpoint_params, [("audience".into(), "us".into())]);
    assert!(oauth2.http.tls.insecure_skip_verify && !job.http.tls.insecure_skip_verify);
    let secret = |s: &str| ("X-A".to_owned(), Secret(s.to_owned()));
    assert_eq!(
        oauth2.http.proxy.connect_headers,
        [secret("v"), secret("w")]
    );
    check_refused(&[
        (
            &self::job("oauth2: {client_id: a, token_url: 'http://b'}\nbearer_token: c"),
            "line 2: at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            &self::job("oauth2: {token_url: 'http://b'}"),
            "line 3: oauth2 client_id must be configured",
        ),
        (
            &self::job("oauth2: {client_id: a}"),
            "line 3: oauth2 token_url must be configured",
        ),
        (
            &self::job(
                "oauth2: {client_id: a, client_secret: b, client_secret_file: c, token_url: 'http://b'}",
            ),
            "line 3: at most one of client_secret & client_secret_file must be configured",
        ),
        (
            &self::job("proxy_connect_header: {A: [b]}"),
            "line 2: if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ),
    ]);
}

#[test]
fn discoveries_of_all_kinds() {
    let job = only_job(concat!(
        "static_configs: [{targets: ['h:1', 'h:2'], labels: {env: prod}}]\n",
        "file_sd_configs: [{files: ['targets/*.json'], refresh_interval: 1m}]\n",
        "http_sd_configs: [{url: 'http://sd/x', authorization: {credentials: c}}]\n",
        "dns_sd_configs: [{names: [_x._tcp.example.org]}, {names: [h], type: a, port: 9}]",
    ));
    assert_eq!(job.discoveries.len(), 5);
    assert_eq!(
        job.discoveries[1],
        Discovery::Files {
            patterns: vec!["/etc/prometheus/targets/*.json".into()],
            refresh_ms: 60_000
        }
    );
    assert!(matches!(
        &job.discoveries[4],
        Discovery::Dns {
            record: RecordType::A,
            port: 9,
            refresh_ms: 30_000,
            ..
        }
    ));
    let skipped = parse(&job_with_kubernetes()).unwrap();
    assert!(skipped.warnings[0].contains("line 3: kubernetes_sd_configs of job \"a\" is skipped"));
    assert_eq!(skipped.jobs[0].discoveries.len(), 1);
}

fn job_with_kubernetes() -> String {
    job("kubernetes_sd_configs: [{role: pod}]\nstatic_configs: [{targets: [x]}]")
}

fn check_refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let found = refused(text);
        if expected.ends_with(": ") {
            assert!(found.starts_with(expected), "{found}\n{text}");
        } else {
            assert_eq!(found, *expected, "{text}");
        }
    }
}

#[test]
fn errors_name_line_and_field() {
    check_refused(&[
        ("foo: 1", "line 1: field foo not found in type config.plain"),
        (
            &job("x: 1"),
            "line 3: field x not found in type config.ScrapeConfig",
        ),
        (
            &job("sample_limit: many"),
            "line 3: cannot unmarshal !!str `many` into uint",
        ),
        (
            &job("scrape_interval: 5x"),
            "line 3: unknown unit \"x\" in duration \"5x\"",
        ),
        (
            &job("honor_labels: 3"),
            "line 3: cannot unmarshal !!int `3` into bool",
        ),
        ("scrape_configs: [{}]", "line 1: job_name is empty"),
        (
            "scrape_configs: [~]",
            "line 1: empty or null scrape config section",
        ),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a",
            "line 3: found multiple scrape configs with job name \"a\"",
        ),
        (
            &job("scrape_interval: 1s\nscrape_timeout: 2s"),
            "line 2: scrape timeout greater than scrape interval for scrape config with job name \"a\"",
        ),
        (
            "global: {scrape_interval: 1s, scrape_timeout: 2s}",
            "line 1: global scrape timeout greater than scrape interval",
        ),
        (
            &job("relabel_configs:\n- action: hashmod\n  target_label: x"),
            "line 4: relabel configuration for hashmod requires non-zero modulus",
        ),
        (
            &job("relabel_configs:\n- {regex: '(', target_label: x}"),
            "line 4: error parsing regexp: missing closing ): `^(?s:()$`",
        ),
    ]);
}

#[test]
fn targets_are_anything_before_they_are_relabelled() {
    let probes = "relabel_configs: [{source_labels: [__address__], target_label: __param_target}, \
                  {target_label: __address__, replacement: 'prober:9115'}]";
    let lines = format!("static_configs: [{{targets: ['https://x.example/a']}}]\n{probes}");
    let job = only_job(&lines);
    let Discovery::Static(groups) = &job.discoveries[0] else {
        panic!("{job:?}");
    };
    assert_eq!(groups[0].targets, ["https://x.example/a"]);
}

#[test]
fn contradictions_are_refused() {
    check_refused(&[
        (
            &job("static_configs: [{targets: ['http://x']}]"),
            "line 3: \"http://x\" is not a valid hostname",
        ),
        (
            &job("bearer_token: a\nbasic_auth: {username: b}"),
            "line 2: at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            &job("basic_auth: {username: b, password: c, password_file: d}"),
            "line 3: at most one of password & password_file must be configured",
        ),
        (
            &job("file_sd_configs: [{files: [x.txt]}]"),
            "line 3: path name \"x.txt\" is not valid for file discovery",
        ),
        (
            &job("dns_sd_configs: [{names: [x], type: A}]"),
            "line 3: a port is required in DNS-SD configs for all record types except SRV",
        ),
        (
            &job("http_sd_configs: [{url: 'ftp://x'}]"),
            "line 3: URL scheme must be 'http' or 'https'",
        ),
        ("a: [", "line 1: "),
        ("a: 1\na: 2", "line 2: "),
    ]);
}

#[test]
fn sections_of_other_parts_are_taken_with_a_warning() {
    let config = parse(concat!(
        "alerting: {alertmanagers: [{static_configs: [{targets: [x]}]}]}\n",
        "rule_files: [r/*.yml]\nremote_write: [{url: 'http://u:p@x/'}]\nremote_read: []\n",
        "storage: {exemplars: {max_exemplars: 1}}\ntracing: {endpoint: x}\notlp: {}\n",
    ))
    .unwrap();
    assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
    assert!(
        config
            .printed(&Labels::empty())
            .contains("http://u:xxxxx@x/"),
        "{}",
        config.printed(&Labels::empty())
    );
}

#[test]
fn included_files_add_jobs_and_are_named_in_errors() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("prometheus.yml");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "prometheus.yml",
        "scrape_config_files: ['jobs-*.yml']\nscrape_configs: [{job_name: a}]",
    );
    write("jobs-1.yml", "scrape_configs:\n- job_name: b\n");
    let names = |config: &Config| {
        config
            .jobs
            .iter()
            .map(|j| j.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&Config::load(&main, &Environment::default()).unwrap()),
        ["a", "b"]
    );
    write("jobs-2.yml", "scrape_configs:\n- job_name: b\n");
    let error = Config::load(&main, &Environment::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("jobs-2.yml: line 2: found multiple"),
        "{error}"
    );
    let missing = Config::load(&dir.path().join("none.yml"), &Environment::default())
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none.yml"), "{missing}");
}

#[test]
fn what_lookouts_gateway_pulls_is_scraped_as_it_would() {
    let text = concat!(
        "metric_scrape_configs:\n",
        "- job_name: payments\n  scheme: http\n  metrics_path: /metrics\n  scrape_interval: 15s\n",
        "  params: {'match[]': ['{job=\"x\"}']}\n",
        "  static_configs: [{targets: ['10.0.0.1:9100'], labels: {zone: a}}]\n",
        "scrape_configs:\n- {job_name: own, honor_timestamps: true, lookout_compatible: true}\n",
        "- job_name: plain\n",
    );
    let config = Config::parse(text, Path::new("/")).unwrap();
    let of = |name| {
        let job = config.jobs.iter().find(|job| job.name == name).unwrap();
        (job.lookout, job.honor_labels, job.honor_timestamps)
    };
    assert_eq!(of("payments"), (true, true, false));
    assert_eq!(of("own"), (true, true, true));
    assert_eq!(of("plain"), (false, false, true));
}

#[test]
fn an_elasticsearch_is_configured_beside_remote_write() {
    let text = concat!(
        "remote_write: [{name: a, url: 'http://x/'}]\n",
        "elasticsearch_write:\n",
        "- urls: ['https://es1:9200/', http://es2]\n",
        "  name: b\n",
        "  api_key: topsecret\n",
        "  rotation: monthly\n",
        "  lifecycle: {delete_after: 0s, rollover_size: 10GB}\n",
        "  queue_config: {max_samples_per_send: 7, max_backoff: 2m}\n",
    );
    let config = Config::parse(text, Path::new(".")).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let [Export::RemoteWrite(_), Export::Elasticsearch(written)] = &config.exports[..] else {
        panic!("{:?}", config.exports);
    };
    assert_eq!(written.urls, ["https://es1:9200", "http://es2"]);
    assert_eq!(written.rotation, Rotation::Monthly);
    assert_eq!(written.lifecycle.delete_after_ms, None);
    assert_eq!(written.lifecycle.rollover_bytes, Some(10 << 30));
    assert_eq!(
        (written.send.samples_max, written.send.backoff_max_ms),
        (7, 120_000)
    );
    assert!(
        !config.printed(&Labels::empty()).contains("topsecret"),
        "{}",
        config.printed(&Labels::empty())
    );

    for (fields, expected) in [
        ("name: b", "urls of elasticsearch_write are empty"),
        ("urls: ['ftp://x']", "URL scheme must be 'http' or 'https'"),
        (
            "urls: ['http://x'], index: Metrics",
            "cannot begin the name of an index",
        ),
        (
            "urls: ['http://x'], index: -a",
            "cannot begin the name of an index",
        ),
        (
            "urls: ['http://x'], rotation: hourly",
            "unknown rotation \"hourly\"",
        ),
        (
            "urls: ['http://x'], format: lookout, rotation: data_stream",
            "have no @timestamp",
        ),
        (
            "urls: ['http://x'], api_key: a, bearer_token: b",
            "at most one of api_key",
        ),
        (
            "urls: ['http://x'], lifecycle: {delete_after: 1500ms}",
            "must be whole seconds",
        ),
        (
            "urls: ['http://x'], lifecycle: {rollover_docs: 0}",
            "must not be 0",
        ),
        ("urls: ['http://x'], indices: a", "field indices not found"),
        ("urls: ['http://x'], name: a", "found multiple"),
    ] {
        let text = format!(
            "remote_write: [{{name: a, url: 'http://x/'}}]\nelasticsearch_write: [{{{fields}}}]\n"
        );
        let error = Config::parse(&text, Path::new("."))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
}

#[test]
fn exporters_of_one_name_are_refused_where_the_second_stands() {
    let remote = "remote_write:\n- url: http://x\n  name: a\n- url: http://y\n  name: ";
    let elastic =
        "elasticsearch_write:\n- urls: [http://x]\n  name: b\n- urls: [http://y]\n  name: ";
    check_refused(&[
        (
            &format!("{remote}a\n"),
            "line 4: found multiple remote write configs with job name \"a\"",
        ),
        (
            &format!("{elastic}b\n"),
            "line 4: found multiple elasticsearch_write configs with name \"b\"",
        ),
        (
            &format!("{remote}b\n{elastic}c\n"),
            "line 7: found multiple exporters with name \"b\": remote_write and elasticsearch_write would share a queue",
        ),
    ]);
    let unnamed = "remote_write:\n- url: http://x\n- url: http://x\n";
    assert_eq!(parse(unnamed).unwrap().exports.len(), 2);
}

#[test]
fn external_labels_name_variables() {
    let text = |value: &str| format!("global: {{external_labels: {{zone: '{value}'}}}}");
    let environment = Environment::new([("ZONE".into(), "eu".into())]);
    let zone = |value: &str| {
        let config = Config::parse_with(&text(value), Path::new("."), &environment);
        let config = config.map_err(|error| error.to_string())?;
        let labels = &config.global.external_labels;
        Ok::<_, String>(labels.get("zone").unwrap_or_default().to_owned())
    };
    assert_eq!(zone("${ZONE}-1").as_deref(), Ok("eu-1"));
    assert_eq!(zone("$ZONE").as_deref(), Ok("eu"));
    assert_eq!(zone("${NONE:-us}").as_deref(), Ok("us"));
    assert_eq!(zone("5$$").as_deref(), Ok("5$"));
    let error = zone("${NONE}").unwrap_err();
    assert!(error.contains("zone") && error.contains("NONE"), "{error}");
}
