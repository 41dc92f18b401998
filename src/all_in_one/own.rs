//! What this process scrapes when nobody says what to scrape: itself, and a node exporter.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::flags::ListenAddress;
use runtime::process::Shutdown;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::flags::{Config, flags_of};

/// How long a node exporter may take to answer the call.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often it is called as long as it has never answered.
const CALL_EVERY: Duration = Duration::from_secs(5);
/// File that lists the node exporter once there is one.
const NODE_FILE: &str = "node-exporter.json";

/// The ingester that scrapes this process at `address`; `None` where a configuration file says what
/// is scraped, or where this cannot be had, which is logged and stops nothing else.
pub(super) async fn scrapes(config: &Config, address: SocketAddr) -> Option<ingester::Config> {
    if config.has_config_file {
        return None;
    }
    let (tls, users) = (&config.web.tls, &config.web.users);
    if !users.is_empty() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
        tracing::warn!(
            "this process does not scrape itself, since --http.config asks for credentials; \
             --config.file says what to scrape and with which"
        );
        return None;
    }
    let made = configure(config, address);
    made.inspect_err(|error| {
        tracing::warn!("this process does not scrape itself: {error:#}");
    })
    .ok()
}

fn configure(config: &Config, address: SocketAddr) -> anyhow::Result<ingester::Config> {
    let dir = dir(config);
    fs::create_dir_all(&dir)?;
    // One that answered before may be gone for good.
    list(&dir, None)?;
    let file = dir.join("scrape.yml");
    fs::write(&file, scrape_config(super::scheme(config), address))?;
    let said = [
        "--tsdb.layout=single".to_owned(),
        format!("--tsdb.path={}", dir.join("tsdb").display()),
        "--tsdb.retention=15d".to_owned(),
        format!("--config.file={}", file.display()),
        // Losing the last seconds of these figures in a crash harms nobody.
        "--wal.sync=none".to_owned(),
        // Nobody pushes to it.
        "--pipeline.buffer-bytes-max=0".to_owned(),
    ];
    Ok(flags_of::<ingester::Flags>(&said)?.resolve(&config.environment)?)
}

/// The directory of what is scraped here.
fn dir(config: &Config) -> PathBuf {
    config.data_dir.join("own")
}

/// Calls the node exporter at `at` until it answers for the first time, be it started before this
/// process or long after, and has it scraped from then on.
pub(super) async fn find_node_exporter(config: Config, at: ListenAddress, mut shutdown: Shutdown) {
    let dir = dir(&config);
    loop {
        let calling = timeout(PATIENCE, TcpStream::connect((&*at.host, at.port)));
        if matches!(calling.await, Ok(Ok(_))) {
            break;
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = sleep(CALL_EVERY) => {}
        }
    }
    let address = at.to_string();
    match list(&dir, Some(&address)) {
        Ok(()) => tracing::info!(address, "a node exporter answers and is scraped"),
        Err(error) => tracing::warn!(address, %error, "a node exporter answers and is not scraped"),
    }
}

/// Writes the list with the node exporter, which discovery reads whenever it changes.
fn list(dir: &Path, node_exporter: Option<&str>) -> io::Result<()> {
    let targets: Vec<_> = node_exporter.into_iter().collect();
    let groups = serde_json::json!([{ "targets": targets }]);
    let new = dir.join("node-exporter.new");
    fs::write(&new, groups.to_string())?;
    fs::rename(new, dir.join(NODE_FILE))
}

fn scrape_config(scheme: &str, address: SocketAddr) -> String {
    // A server that listens everywhere is asked here.
    let port = address.port();
    let target = match address.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{port}"),
        _ => address.to_string(),
    };
    // The certificate need not be for the address that this process has for itself.
    format!(
        "# Written at every start; --config.file says what to scrape instead.\n\
         global:\n  scrape_interval: 5s\n  scrape_timeout: 5s\n\
         scrape_configs:\n  \
         - job_name: promontory\n    scheme: {scheme}\n    tls_config: {{insecure_skip_verify: true}}\n    \
         static_configs:\n      - targets: [\"{target}\"]\n  \
         - job_name: node\n    file_sd_configs:\n      - files: [{NODE_FILE}]\n        refresh_interval: 5s\n"
    )
}
