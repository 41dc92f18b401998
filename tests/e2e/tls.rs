//! TLS between components and to clients: certificates of one authority are taken, all else is
//! refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{free_port, http, now_ms, peer};
use serde_json::Value;

use crate::all_in_one::AllInOne;
use crate::block_data;
use crate::component::{Component, wait_until};

/// Certificates made by openssl.
struct Authority {
    openssl: PathBuf,
    dir: PathBuf,
    name: &'static str,
}

impl Authority {
    /// A new one whose certificate is `name.crt` in `dir`; `None` after saying that openssl is not
    /// installed.
    fn new(dir: &Path, name: &'static str) -> anyhow::Result<Option<Self>> {
        let Some(openssl) = peer("openssl") else {
            return Ok(None);
        };
        let this = Self {
            openssl,
            dir: dir.to_owned(),
            name,
        };
        let subject = format!("/CN={name}");
        let (key, crt) = (this.path("key"), this.path("crt"));
        let files = [
            "-keyout",
            key.as_str(),
            "-out",
            crt.as_str(),
            "-subj",
            &subject,
        ];
        this.openssl(&[&["req", "-x509", "-days", "2"][..], &NEW_KEY, &files].concat())?;
        Ok(Some(this))
    }

    fn path(&self, extension: &str) -> String {
        path(&self.dir, self.name, extension)
    }

    fn openssl(&self, args: &[&str]) -> anyhow::Result<()> {
        let output = Command::new(&self.openssl).args(args).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{args:?}: {errors}");
        Ok(())
    }

    /// Makes `name.crt` and `name.key` for somebody at 127.0.0.1.
    fn issue(&self, name: &str) -> anyhow::Result<()> {
        let at = |extension| path(&self.dir, name, extension);
        let (key, request, crt, ext) = (at("key"), at("csr"), at("crt"), at("ext"));
        std::fs::write(&ext, "subjectAltName=IP:127.0.0.1,DNS:localhost\n")?;
        let subject = format!("/CN={name}");
        let files = ["-keyout", &key, "-out", &request, "-subj", &subject];
        self.openssl(&[&["req"][..], &NEW_KEY, &files].concat())?;
        let (ca, ca_key) = (self.path("crt"), self.path("key"));
        self.openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &request,
            "-out",
            &crt,
            "-extfile",
            &ext,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
        ])
    }
}

const NEW_KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
];

fn path(dir: &Path, name: &str, extension: &str) -> String {
    dir.join(format!("{name}.{extension}"))
        .display()
        .to_string()
}

/// A store gateway over one block that demands certificates of `ca`.
fn store(dir: &Path, ca: &Authority) -> anyhow::Result<Component> {
    let bucket = block_data::bucket(dir)?;
    Component::start(
        dir,
        "store",
        &[
            format!("--objstore.config={bucket}"),
            format!("--data-dir={}", dir.join("store").display()),
            format!("--grpc-server-tls-cert={}", path(dir, "server", "crt")),
            format!("--grpc-server-tls-key={}", path(dir, "server", "key")),
            format!("--grpc-server-tls-client-ca={}", ca.path("crt")),
        ],
    )
}

/// Why a querier with these flags cannot ask the store; nothing when it can.
fn refusal(dir: &Path, store: &Component, flags: &[String]) -> anyhow::Result<Option<String>> {
    let mut args = vec![format!("--endpoint={}", store.address())];
    args.extend_from_slice(flags);
    let querier = Component::start(dir, "querier", &args)?;
    let stores = http::get(querier.http, "/api/v1/stores")?.body;
    let stores: Value = serde_json::from_str(&stores)?;
    let stores = stores["data"].as_object().context("an object of lists")?;
    let mut all = stores.values().filter_map(Value::as_array).flatten();
    let error = all.next().context("a store")?["lastError"].clone();
    if let Some(error) = error.as_str() {
        return Ok(Some(error.to_owned()));
    }
    let at = block_data::END_MS / 1000 - 60;
    let answer = http::get(
        querier.http,
        &format!("/api/v1/query?query=count(up%20or%20temperature)&time={at}"),
    )?;
    ensure!(answer.body.contains("\"value\""), "{}", answer.body);
    Ok(None)
}

#[test]
fn components_show_each_other_certificates() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let (Some(ca), Some(stranger)) = (Authority::new(at, "ca")?, Authority::new(at, "stranger")?)
    else {
        return Ok(());
    };
    ca.issue("server")?;
    ca.issue("client")?;
    stranger.issue("intruder")?;
    let store = store(at, &ca)?;
    let tls = |ca: &Authority, client: Option<&str>| {
        let mut flags = vec![
            "--grpc-client-tls-secure".to_owned(),
            format!("--grpc-client-tls-ca={}", ca.path("crt")),
        ];
        if let Some(client) = client {
            flags.push(format!(
                "--grpc-client-tls-cert={}",
                path(at, client, "crt")
            ));
            flags.push(format!("--grpc-client-tls-key={}", path(at, client, "key")));
        }
        flags
    };
    let taken = refusal(at, &store, &tls(&ca, Some("client")))?;
    ensure!(taken.is_none(), "{taken:?}");
    for (what, flags) in [
        ("plain text", vec![]),
        ("no certificate", tls(&ca, None)),
        ("a foreign certificate", tls(&ca, Some("intruder"))),
        (
            "a server that is not trusted",
            tls(&stranger, Some("client")),
        ),
    ] {
        let error = refusal(at, &store, &flags)?;
        ensure!(error.is_some(), "{what} is let in");
    }
    ensure!(!store.log().contains("panicked"), "{}", store.log());
    Ok(())
}

/// What curl prints, with the status on the last line.
fn curl(port: u16, path: &str, args: &[&str]) -> anyhow::Result<Output> {
    let curl = peer("curl").context("curl is installed")?;
    let url = format!("https://127.0.0.1:{port}{path}");
    let mut command = Command::new(curl);
    command.args(["--silent", "--show-error", "--max-time", "20"]);
    Ok(command
        .args(["--write-out", "\n%{http_code}"])
        .args(args)
        .arg(url)
        .output()?)
}

#[test]
fn clients_of_http_are_who_the_web_configuration_wants() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let Some(ca) = Authority::new(at, "ca")? else {
        return Ok(());
    };
    if peer("curl").is_none() {
        return Ok(());
    }
    ca.issue("server")?;
    ca.issue("client")?;
    // Files are named from where the configuration is.
    let web = at.join("web.yml");
    std::fs::write(
        &web,
        "tls_server_config: {cert_file: server.crt, key_file: server.key, \
         client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}\n",
    )?;
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_promontory"));
    command
        .arg("querier")
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg("--grpc-address=127.0.0.1:0")
        .arg(format!("--endpoint=127.0.0.1:{}", free_port()))
        .arg(format!("--http.config={}", web.display()));
    let server = Server::start(&mut command, &at.join("querier.log"))?;
    let file = |name: &str, extension: &str| path(at, name, extension);
    let (authority, cert, key) = (ca.path("crt"), file("client", "crt"), file("client", "key"));
    let known = ["--cacert", &authority, "--cert", &cert, "--key", &key];
    wait_until("an answer over TLS", || {
        let output = curl(port, "/-/ready", &known)?;
        Ok(String::from_utf8_lossy(&output.stdout).ends_with("\n200"))
    })?;
    let anonymous = curl(port, "/-/ready", &known[..2])?;
    ensure!(
        !anonymous.status.success(),
        "a client without a certificate is let in"
    );
    let distrustful = curl(port, "/-/ready", &known[2..])?;
    ensure!(
        !distrustful.status.success(),
        "an unknown authority is taken"
    );
    // Plain text gets no answer.
    let plain = http::get(port, "/-/ready");
    ensure!(
        plain.as_ref().map_or(true, |a| a.status != 200),
        "{plain:?}"
    );
    // A client that never shakes hands keeps nobody else out.
    let _silent = std::net::TcpStream::connect(("127.0.0.1", port))?;
    std::thread::sleep(Duration::from_millis(50));
    let output = curl(port, "/-/healthy", &known)?;
    ensure!(output.status.success(), "{}", server.log());
    Ok(())
}

#[test]
fn a_web_configuration_that_cannot_be_kept_stops_the_start() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let web = dir.path().join("web.yml");
    for (text, named) in [
        ("basic_auth_users: {admin: '$2y$10$x'}\n", "admin"),
        ("tls_server_config: {cert_file: a.crt}\n", "key_file"),
        ("tls_config: {}\n", "tls_config"),
    ] {
        std::fs::write(&web, text)?;
        let output = Command::new(env!("CARGO_BIN_EXE_promontory"))
            .arg("querier")
            .args(["--http-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0"])
            .args(["--endpoint=127.0.0.1:1", "--http.config"])
            .arg(&web)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{text} is accepted");
        ensure!(errors.contains(named), "{text}: {errors}");
    }
    Ok(())
}

#[test]
fn one_process_keeps_to_its_web_configuration_and_follows_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let (Some(ca), Some(new)) = (Authority::new(at, "ca")?, Authority::new(at, "new")?) else {
        return Ok(());
    };
    if peer("curl").is_none() {
        return Ok(());
    }
    ca.issue("server")?;
    let web = at.join("web.yml");
    let tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
    std::fs::write(&web, tls)?;
    let port = free_port();
    let ours = AllInOne::begin(at, port, &[format!("--http.config={}", web.display())])?;
    let (old_authority, new_authority) = (ca.path("crt"), new.path("crt"));
    let status = |authority: &str, more: &[&str]| {
        let output = curl(port, "/-/ready", &[&["--cacert", authority], more].concat())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::Ok(text.lines().last().unwrap_or_default().to_owned())
    };
    wait_until("an answer over TLS", || {
        Ok(status(&old_authority, &[])? == "200")
    })?;
    wait_until("figures that it scraped of itself over TLS", || {
        let output = curl(
            port,
            "/api/v1/query?query=up",
            &["--cacert", &old_authority],
        )?;
        Ok(String::from_utf8_lossy(&output.stdout).contains(",\"1\"]"))
    })?;
    // A new certificate, shown from the next connection on.
    new.issue("server")?;
    ensure!(
        status(&new_authority, &[])? == "200",
        "{}",
        ours.server.log()
    );
    ensure!(
        status(&old_authority, &[])? == "000",
        "the old one is shown"
    );
    // bcrypt of "secret".
    let users =
        "basic_auth_users: {alice: $2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}\n";
    std::fs::write(&web, format!("{tls}{users}"))?;
    ensure!(
        status(&new_authority, &[])? == "401",
        "{}",
        ours.server.log()
    );
    let alice = status(&new_authority, &["--user", "alice:secret"])?;
    ensure!(alice == "200", "{alice}: {}", ours.server.log());
    Ok(())
}

/// Asks a process that speaks TLS, as `client` of the authority `ca` in `dir`.
struct Asking<'a> {
    dir: &'a Path,
    port: u16,
}

impl Asking<'_> {
    fn get(&self, path: &str) -> anyhow::Result<String> {
        let file = |name: &str, extension: &str| self::path(self.dir, name, extension);
        let [ca, cert, key] = [
            file("ca", "crt"),
            file("client", "crt"),
            file("client", "key"),
        ];
        let known = ["--cacert", &ca, "--cert", &cert, "--key", &key];
        let output = curl(self.port, path, &known)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn is_ready(&self) -> anyhow::Result<bool> {
        Ok(self.get("/-/ready")?.ends_with("\n200"))
    }

    /// Whether it has a series that satisfies `query`.
    fn has(&self, query: &str) -> anyhow::Result<bool> {
        let path = format!("/api/v1/query?query={}", http::encode(query));
        Ok(self.get(&path)?.contains("\"value\""))
    }
}

/// Whether a process without TLS has a series that satisfies `query`.
fn has(ours: &AllInOne, query: &str) -> anyhow::Result<bool> {
    let path = format!("/api/v1/query?query={}", http::encode(query));
    Ok(http::get(ours.port, &path)?.body.contains("\"value\""))
}

/// Has both sides show and trust what comes of `authority` from now on: the files that they name are
/// replaced.
fn come_from(at: &Path, authority: &Authority) -> anyhow::Result<()> {
    authority.issue("server")?;
    authority.issue("client")?;
    std::fs::copy(authority.path("crt"), path(at, "ca", "crt"))?;
    Ok(())
}

/// Flags of a process that lets in who shows a certificate.
fn demanding(at: &Path) -> anyhow::Result<[String; 2]> {
    let (web, config) = (at.join("web.yml"), at.join("theirs.yml"));
    std::fs::write(
        &web,
        "tls_server_config: {cert_file: server.crt, key_file: server.key, \
         client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}\n",
    )?;
    std::fs::write(&config, "global: {external_labels: {replica: a}}\n")?;
    Ok([
        format!("--http.config={}", web.display()),
        format!("--config.file={}", config.display()),
    ])
}

/// A process that scrapes what is at `port`, and sends it what it scraped.
fn scraping(at: &Path, port: u16) -> anyhow::Result<AllInOne> {
    let tls = "tls_config: {ca_file: ca.crt, cert_file: client.crt, key_file: client.key}";
    let config = at.join("ours.yml");
    let text = format!(
        "scrape_configs:\n\
         - {{job_name: theirs, scheme: https, scrape_interval: 200ms, scrape_timeout: 200ms, {tls}, \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
         remote_write:\n\
         - {{url: 'https://127.0.0.1:{port}/api/v1/write', {tls}, queue_config: {{max_backoff: 200ms}}}}\n"
    );
    std::fs::write(&config, text)?;
    let flag = format!("--config.file={}", config.display());
    AllInOne::start_with(at, free_port(), &[flag])
}

/// A sidecar of what is at `port`.
fn sidecar(at: &Path, port: u16) -> anyhow::Result<Component> {
    let [ca, cert, key] = [("ca", "crt"), ("client", "crt"), ("client", "key")]
        .map(|(name, extension)| path(at, name, extension));
    let tls = format!("{{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}");
    Component::start(
        at,
        "sidecar",
        &[
            format!("--prometheus.url=https://127.0.0.1:{port}"),
            format!("--prometheus.http-client={{tls_config: {tls}}}"),
            "--prometheus.get_config_interval=200ms".to_owned(),
            format!("--tsdb.path={}", at.join("none").display()),
        ],
    )
}

#[test]
fn clients_of_http_follow_their_certificates() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let (Some(old), Some(new)) = (Authority::new(at, "old")?, Authority::new(at, "new")?) else {
        return Ok(());
    };
    if peer("curl").is_none() {
        return Ok(());
    }
    come_from(at, &old)?;
    let (their_flags, their_dir) = (demanding(at)?, at.join("theirs"));
    std::fs::create_dir(&their_dir)?;
    let port = free_port();
    let start_theirs = || AllInOne::begin(&their_dir, port, &their_flags);
    let theirs = start_theirs()?;
    let asking = Asking { dir: at, port };
    wait_until("an answer over TLS", || asking.is_ready())?;

    let (ours, sidecar) = (scraping(at, port)?, sidecar(at, port)?);
    let is_up = |expected: &str| {
        let metrics = http::get(sidecar.http, "/metrics")?.body;
        let line = format!("thanos_sidecar_prometheus_up {expected}");
        Ok(metrics.lines().any(|found| found == line))
    };
    wait_until("a scrape", || has(&ours, "up{job=\"theirs\"} == 1"))?;
    wait_until("samples", || asking.has("up{job=\"theirs\"} == 1"))?;
    wait_until("a sidecar's Prometheus", || is_up("1"))?;

    // Everybody has to connect again, and the old authority is none any more.
    come_from(at, &new)?;
    drop(theirs);
    wait_until("a failed scrape", || has(&ours, "up{job=\"theirs\"} == 0"))?;
    wait_until("a sidecar without Prometheus", || is_up("0"))?;
    let restarted = now_ms() / 1000 + 1;
    let _theirs = start_theirs()?;
    wait_until("an answer with the new certificate", || asking.is_ready())?;
    let since = format!("timestamp(up{{job=\"theirs\"}} == 1) > {restarted}");
    wait_until("a scrape", || has(&ours, &since))?;
    wait_until("samples", || asking.has(&since))?;
    wait_until("a sidecar's Prometheus", || is_up("1"))?;
    ensure!(!ours.server.log().contains("panicked"));
    Ok(())
}
