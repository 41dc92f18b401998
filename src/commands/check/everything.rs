//! `check`: all files that a deployment is made of, and with `--live` what they point to.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bucket::{Bucket, Patience};
use ingester::config::{
    Authorization, Config, Discovery, HttpConfig, Job, Pem, SecretSource, TlsConfig,
};
use ingester::receive::limits::LimitsFile;
use model::labels::NameScheme;
use model::time::{DurationMs, Rfc3339};
use querier::endpoints::dial::client_config;
use querier::endpoints::{EndpointConfig, config, files};
use runtime::followed::Seen;
use runtime::grpc::{GrpcClientFlags, MessageLimit};
use runtime::tls::{ClientTls, Protocol, Validity, validity_of_file};
use runtime::web_config::{Ignored, WebConfig};
use runtime::{BucketFlags, Clock as _, Environment, SystemClock, yaml};

use super::live;
use super::report::Report;
use super::{rules, thanos};
use crate::commands::output::Output;

/// What is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
    /// Look at what the files point to as well: write to the bucket, read, list and delete there, compare
    /// its clock with ours, look names up, ask endpoints what they are.
    #[arg(long)]
    live: bool,
    /// Configuration of Prometheus, with the files that it names. May be repeated.
    #[arg(long = "config.file", value_name = "FILE")]
    configs: Vec<PathBuf>,
    /// File with rules; * and ? in the last part of the path stand for anything. May be repeated.
    #[arg(long = "rule-file", value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Web configuration. May be repeated.
    #[arg(long = "http.config", aliases = ["web.config.file"], value_name = "FILE")]
    web: Vec<PathBuf>,
    #[command(flatten)]
    bucket: BucketFlags,
    /// Relabelling rules, such as those that select blocks. May be repeated.
    #[arg(
        long = "selector.relabel-config-file",
        aliases = ["receive.relabel-config-file", "alert.relabel-config-file"],
        value_name = "FILE"
    )]
    relabel: Vec<PathBuf>,
    /// Hashrings of receivers.
    #[arg(long = "receive.hashrings-file", value_name = "FILE")]
    hashrings: Option<PathBuf>,
    /// Limits on writes.
    #[arg(long = "receive.limits-config-file", value_name = "FILE")]
    limits: Option<PathBuf>,
    /// Which requests are logged.
    #[arg(long = "request.logging-config-file", value_name = "FILE")]
    request_logging: Option<PathBuf>,
    /// YAML file with flags, for the process of all components, or for one with COMPONENT= before it.
    /// May be repeated.
    #[arg(long = "flags-file", value_name = "[COMPONENT=]FILE")]
    flags: Vec<String>,
    /// Endpoint that a querier asks: HOST:PORT, or a name to look up. May be repeated.
    #[arg(long = "endpoint", value_name = "ADDRESS")]
    endpoints: Vec<String>,
    /// File with endpoints, in Thanos' YAML form.
    #[arg(long = "endpoint.sd-config-file", value_name = "FILE")]
    endpoint_config: Option<PathBuf>,
    /// File with addresses of endpoints, in the form of Prometheus' file discovery. May be repeated.
    #[arg(long = "store.sd-files", value_name = "PATH")]
    endpoint_files: Vec<String>,
    #[command(flatten)]
    grpc_client: GrpcClientFlags,
    /// Certificates that end sooner than this are warned of.
    #[arg(
        long = "certificate-time-left",
        value_name = "DURATION",
        default_value = "30d"
    )]
    time_left: DurationMs,
}

/// Looks at all that is named.
pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut check = Check {
        report: Report::default(),
        environment,
        now_ms: SystemClock.now_ms(),
        time_left_ms: args.time_left.0,
        seen: BTreeSet::new(),
    };
    check.prometheus(&args.configs);
    for pattern in &args.rules {
        check.rules(pattern);
    }
    check.web(&args.web);
    let bucket = check.bucket(&args.bucket);
    check.thanos(args);
    check.flags(&args.flags);
    let endpoints = check.endpoints(args);
    let client = check.client(&args.grpc_client);
    if args.live {
        let subject = live::Subject {
            bucket,
            endpoints,
            client,
        };
        live::look(subject, &mut check)?;
    }
    let report = check.report;
    anyhow::ensure!(
        !report.findings.is_empty(),
        "nothing to check was named; name files by flags such as --config.file and --objstore.config-file"
    );
    report.print(args.output.format, out)
}

/// A check under way.
pub(super) struct Check<'a> {
    pub(super) report: Report,
    environment: &'a Environment,
    pub(super) now_ms: i64,
    time_left_ms: i64,
    /// Files that were looked at already.
    seen: BTreeSet<PathBuf>,
}

impl Check<'_> {
    fn prometheus(&mut self, files: &[PathBuf]) {
        for file in files {
            let shown = file.display();
            let config = Config::load(file, self.environment);
            let jobs = |config: &Config| format!("{} scrape jobs", config.jobs.len());
            let Some(config) = self.report.judge("config", shown, config, jobs) else {
                continue;
            };
            for warning in &config.warnings {
                self.report.warn("config", file.display(), warning);
            }
            let dir = file.parent().unwrap_or(Path::new("."));
            for pattern in &config.rule_files {
                self.rules(&dir.join(pattern));
            }
            for job in &config.jobs {
                self.job(job);
            }
        }
    }

    fn rules(&mut self, pattern: &Path) {
        for file in self.matching("rules", pattern) {
            if !self.seen.insert(file.clone()) {
                continue;
            }
            let found = rules::check_file(&file);
            let shown = file.display().to_string();
            for error in &found.errors {
                self.report.fail("rules", &shown, error);
            }
            for warning in &found.warnings {
                self.report.warn("rules", &shown, warning);
            }
            if found.errors.is_empty() {
                let rules = format!("{} rules", found.rules);
                self.report.ok("rules", shown, rules);
            }
        }
    }

    /// The files of a pattern; that there are none is warned of.
    fn matching(&mut self, check: &'static str, pattern: &Path) -> Vec<PathBuf> {
        match ingester::matching_files(pattern) {
            Ok(files) => {
                if files.is_empty() {
                    let detail = "there is no such file yet";
                    self.report.warn(check, pattern.display(), detail);
                }
                files
            }
            Err(error) => {
                self.report.fail(check, pattern.display(), error);
                Vec::new()
            }
        }
    }

    /// The files that a scrape job names.
    fn job(&mut self, job: &Job) {
        self.http_client(&job.http);
        for discovery in &job.discoveries {
            match discovery {
                Discovery::Files { patterns, .. } => {
                    for pattern in patterns {
                        self.targets(pattern);
                    }
                }
                Discovery::Http { http, .. } => self.http_client(http),
                Discovery::Static(_) | Discovery::Dns { .. } => {}
            }
        }
    }

    fn targets(&mut self, pattern: &Path) {
        for file in self.matching("targets", pattern) {
            if self.seen.insert(file.clone()) {
                let found = ingester::targets_in(&file);
                let shown = |n: &usize| format!("{n} targets");
                self.report.judge("targets", file.display(), found, shown);
            }
        }
    }

    fn http_client(&mut self, http: &HttpConfig) {
        let TlsConfig { ca, cert, key, .. } = &http.tls;
        for pem in [ca, cert].into_iter().flatten() {
            if let Pem::File(file) = pem {
                self.certificate(file);
            }
        }
        let mut secrets: Vec<&SecretSource> = http.headers.iter().map(|(_, v)| v).collect();
        match &http.authorization {
            Some(Authorization::Basic { username, password }) => {
                secrets.push(username);
                secrets.extend(password);
            }
            Some(Authorization::Credentials { credentials, .. }) => secrets.extend(credentials),
            Some(Authorization::OAuth2(_)) | None => {}
        }
        let files = secrets.into_iter().filter_map(|secret| match secret {
            SecretSource::File(file) => Some(file),
            SecretSource::Inline(_) => None,
        });
        let key = match key {
            Some(Pem::File(file)) => Some(file),
            _ => None,
        };
        let files: Vec<PathBuf> = files.chain(key).cloned().collect();
        for file in files {
            self.readable(&file);
        }
    }

    /// A file with a secret, of which nothing is shown.
    fn readable(&mut self, file: &Path) {
        if self.seen.insert(file.to_owned()) {
            let read = std::fs::File::open(file).and_then(|opened| opened.metadata());
            let bytes = |meta: &std::fs::Metadata| format!("{} bytes", meta.len());
            self.report.judge("secret", file.display(), read, bytes);
        }
    }

    /// A file with certificates.
    fn certificate(&mut self, file: &Path) {
        if self.seen.insert(file.to_owned()) {
            let dates = validity_of_file(file).map_err(|e| e.chain());
            self.dates(&file.display().to_string(), dates);
        }
    }

    /// The certificate that ends first counts.
    pub(super) fn dates(&mut self, subject: &str, dates: Result<Vec<Validity>, String>) {
        let (kind, report) = ("certificate", &mut self.report);
        let dates = match dates {
            Ok(dates) => dates,
            Err(error) => return report.fail(kind, subject, error),
        };
        let Some(first) = dates.iter().min_by_key(|dates| dates.until_ms) else {
            return;
        };
        let until = Rfc3339(first.until_ms);
        match first.left(self.now_ms) {
            None if first.from_ms > self.now_ms => {
                let from = Rfc3339(first.from_ms);
                report.fail(kind, subject, format!("it is not valid before {from}"));
            }
            None => report.fail(kind, subject, format!("it was valid until {until}")),
            Some(left) if (left.as_millis() as i64) < self.time_left_ms => {
                let days = left.as_secs() / 86_400;
                let detail = format!("it is valid until {until} only, {days} days more");
                report.warn(kind, subject, detail);
            }
            Some(_) => report.ok(kind, subject, format!("valid until {until}")),
        }
    }

    fn web(&mut self, files: &[PathBuf]) {
        for file in files {
            let config = WebConfig::read(&file.to_string_lossy()).map_err(|e| e.chain());
            let shown = |config: &WebConfig| {
                let tls = if config.tls.is_some() {
                    "TLS"
                } else {
                    "no TLS"
                };
                let users = match config.users.is_empty() {
                    true => "everybody is let in",
                    false => "users with passwords",
                };
                format!("{tls}, {users}")
            };
            let Some(config) = (self.report).judge("web config", file.display(), config, shown)
            else {
                continue;
            };
            for Ignored { field, reason } in config.ignored {
                let detail = format!("{field} has no effect: {reason}");
                self.report.warn("web config", file.display(), detail);
            }
            let Some(tls) = config.tls else {
                continue;
            };
            let loaded = tls.follow(Protocol::Http1).map(drop).map_err(|e| e.chain());
            let fits = |_: &()| "certificate and key fit".to_owned();
            self.report.judge("TLS", file.display(), loaded, fits);
            self.readable(&tls.identity.key);
            self.certificate(&tls.identity.cert);
            if let Some(ca) = &tls.client_ca {
                self.certificate(ca);
            }
        }
    }

    fn bucket(&mut self, flags: &BucketFlags) -> Option<Bucket> {
        let subject = match &flags.config_file {
            Some(file) => file.display().to_string(),
            None => "--objstore.config".to_owned(),
        };
        let opened = flags.resolve(self.environment).map_err(|e| e.chain());
        let opened = opened.and_then(|config| match config.text() {
            None => Ok(None),
            Some(text) => {
                let bucket = Bucket::open_existing(text, Patience::Interactive);
                bucket.map(Some).map_err(|e| e.chain())
            }
        });
        match opened {
            Ok(None) if flags.config_file.is_none() => None,
            Ok(None) => {
                self.report
                    .warn("bucket", subject, "the file names no bucket");
                None
            }
            opened => {
                let shown = |bucket: &Option<Bucket>| {
                    let name = bucket.as_ref().map_or("", |bucket| bucket.name());
                    format!("bucket {name}")
                };
                (self.report.judge("bucket", subject, opened, shown)).flatten()
            }
        }
    }

    /// Files in forms of Thanos' own.
    fn thanos(&mut self, args: &Args) {
        for file in &args.relabel {
            let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
            let rules = text.and_then(|text| {
                let flag = "selector.relabel-config-file";
                yaml::relabel_rules(flag, Some(text), NameScheme::Legacy).map_err(|e| e.chain())
            });
            let shown = |rules: &Vec<_>| format!("{} rules", rules.len());
            self.report
                .judge("relabelling", file.display(), rules, shown);
        }
        let read = |file: &Path| std::fs::read_to_string(file).map_err(|e| e.to_string());
        if let Some(file) = &args.hashrings {
            let rings = read(file).and_then(|text| thanos::hashrings(&text));
            let shown = |(rings, endpoints): &(usize, usize)| {
                format!("{rings} hashrings with {endpoints} endpoints")
            };
            self.report.judge("hashrings", file.display(), rings, shown);
        }
        if let Some(file) = &args.limits {
            let limits = read(file).and_then(|text| LimitsFile::parse(&text));
            let shown = |_: &LimitsFile| "limits on writes".to_owned();
            self.report.judge("limits", file.display(), limits, shown);
        }
        if let Some(file) = &args.request_logging {
            let logging = read(file).and_then(|text| thanos::request_logging(&text));
            let shown = String::clone;
            self.report
                .judge("request logging", file.display(), logging, shown);
        }
    }

    fn flags(&mut self, files: &[String]) {
        for said in files {
            let (component, file) = match said.split_once('=') {
                Some((component, file)) => (Some(component), file),
                None => (None, &**said),
            };
            let ignored = crate::check_flags(component, file, self.environment);
            let shown = |_: &Vec<String>| "all flags are known".to_owned();
            if let Some(ignored) = self.report.judge("flags", file, ignored, shown) {
                for flag in ignored {
                    let detail = format!("{flag} of Thanos is not supported and is ignored");
                    self.report.warn("flags", file, detail);
                }
            }
        }
    }

    fn endpoints(&mut self, args: &Args) -> Vec<EndpointConfig> {
        let mut all = Vec::new();
        let mut add =
            |report: &mut Report, address: &str| match EndpointConfig::new(address, false, false) {
                Ok(endpoint) => all.push(endpoint),
                Err(error) => report.fail("endpoint", address, error),
            };
        for address in &args.endpoints {
            add(&mut self.report, address);
        }
        let listed = files::addresses(&args.endpoint_files);
        if !args.endpoint_files.is_empty() {
            let shown = |found: &Vec<String>| format!("{} endpoints", found.len());
            let name = args.endpoint_files.join(" ");
            let listed = self.report.judge("endpoints", name, listed, shown);
            for address in listed.unwrap_or_default() {
                add(&mut self.report, &address);
            }
        }
        if let Some(file) = &args.endpoint_config {
            let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
            let text = text.and_then(|text| self.environment.expand_parentheses(&text));
            let found = text.and_then(|text| config::parse(&text));
            let shown = |found: &Vec<EndpointConfig>| format!("{} endpoints", found.len());
            let found = (self.report).judge("endpoints", file.display(), found, shown);
            all.extend(found.unwrap_or_default());
        }
        for endpoint in &all {
            let own = endpoint.tls.as_ref();
            if let Some(tls) = own.and_then(|tls| client_config(tls, MessageLimit::default()).tls) {
                self.client_tls(&endpoint.address.to_string(), &tls);
            }
        }
        all
    }

    /// What a client shows to endpoints and asks of them.
    fn client_tls(&mut self, subject: &str, tls: &ClientTls) {
        let loaded = tls.load(Protocol::Http2, &mut Seen::default());
        let loaded = loaded.map(drop).map_err(|e| e.chain());
        let fits = |_: &()| "certificates and key can be used".to_owned();
        self.report.judge("TLS", subject, loaded, fits);
        let own = tls.identity.iter().map(|identity| &identity.cert);
        for file in tls.ca.iter().chain(own) {
            self.certificate(file);
        }
    }

    fn client(&mut self, flags: &GrpcClientFlags) -> Option<runtime::grpc::GrpcClientConfig> {
        match flags.resolve(MessageLimit::default()) {
            Ok(client) => {
                if let Some(tls) = &client.tls {
                    self.client_tls("--grpc-client-tls", tls);
                }
                Some(client)
            }
            Err(error) => {
                self.report.fail("flags", "of gRPC clients", error.chain());
                None
            }
        }
    }
}
