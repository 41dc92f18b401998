//! What this process scrapes when nobody says what to scrape: itself, and a node exporter.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::flags::{Config, flags_of};

/// Where Prometheus' node exporter listens unless told otherwise.
const NODE_EXPORTER: &str = "127.0.0.1:9100";
/// How long it may take to answer the call.
const PATIENCE: Duration = Duration::from_millis(200);

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
    let calling = timeout(PATIENCE, TcpStream::connect(NODE_EXPORTER));
    let has_node_exporter = matches!(calling.await, Ok(Ok(_)));
    let made = configure(config, address, has_node_exporter);
    made.inspect_err(|error| {
        tracing::warn!("this process does not scrape itself: {error:#}");
    })
    .ok()
}

fn configure(
    config: &Config,
    address: SocketAddr,
    has_node_exporter: bool,
) -> anyhow::Result<ingester::Config> {
    let dir = config.data_dir.join("own");
    fs::create_dir_all(&dir)?;
    let file = dir.join("scrape.yml");
    let scheme = super::scheme(config);
    fs::write(&file, scrape_config(scheme, address, has_node_exporter))?;
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

fn scrape_config(scheme: &str, address: SocketAddr, has_node_exporter: bool) -> String {
    let job = |name: &str, scheme: &str, target: &str| {
        // The certificate need not be for the address that this process has for itself.
        format!(
            "  - job_name: {name}\n    scheme: {scheme}\n    tls_config: {{insecure_skip_verify: true}}\n    \
             static_configs:\n      - targets: [\"{target}\"]\n"
        )
    };
    let mut text = String::from(
        "# Written at every start; --config.file says what to scrape instead.\n\
         global:\n  scrape_interval: 5s\n  scrape_timeout: 5s\nscrape_configs:\n",
    );
    // A server that listens everywhere is asked here.
    let port = address.port();
    let target = match address.ip() {
        ip if ip.is_unspecified() => format!("127.0.0.1:{port}"),
        _ => address.to_string(),
    };
    text.push_str(&job("promontory", scheme, &target));
    if has_node_exporter {
        text.push_str(&job("node", "http", NODE_EXPORTER));
    }
    text
}
