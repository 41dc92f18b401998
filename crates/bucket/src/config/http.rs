//! `http_config`: how a store is connected to.

use std::fs;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use model::time::DurationMs;
use object_store::{Certificate, ClientOptions};
use serde::Deserialize;

use super::refused;
use crate::error::{Error, Result};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections that are kept.
const IDLE_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpConfig {
    idle_conn_timeout: Option<String>,
    response_header_timeout: Option<String>,
    insecure_skip_verify: bool,
    tls_handshake_timeout: Option<String>,
    expect_continue_timeout: Option<String>,
    max_idle_conns: usize,
    max_idle_conns_per_host: usize,
    max_conns_per_host: usize,
    tls_config: TlsConfig,
    disable_compression: bool,
    force_attempt_http2: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    ca_file: String,
    cert_file: String,
    key_file: String,
    server_name: String,
    insecure_skip_verify: bool,
}

impl HttpConfig {
    /// The client's options, for who waits through so much silence unless the configuration says how much;
    /// adds to `without_effect` what they cannot say.
    pub(super) fn options(
        &self,
        allow_http: bool,
        silence_max: Duration,
        without_effect: &mut Vec<&'static str>,
    ) -> Result<ClientOptions> {
        let tls = &self.tls_config;
        let idle = match self.max_idle_conns_per_host {
            0 => IDLE_MAX,
            said => said,
        };
        let mut options = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_timeout_disabled()
            .with_connect_timeout(
                duration("tls_handshake_timeout", self.tls_handshake_timeout.as_ref())?
                    .unwrap_or(CONNECT_TIMEOUT),
            )
            .with_read_timeout(
                duration(
                    "response_header_timeout",
                    self.response_header_timeout.as_ref(),
                )?
                .unwrap_or(silence_max),
            )
            .with_pool_max_idle_per_host(idle)
            .with_allow_invalid_certificates(self.insecure_skip_verify || tls.insecure_skip_verify);
        if let Some(idle) = duration("idle_conn_timeout", self.idle_conn_timeout.as_ref())? {
            options = options.with_pool_idle_timeout(idle);
        }
        if self.force_attempt_http2 {
            options = options.with_allow_http2();
        }
        if !tls.ca_file.is_empty() {
            let path = Path::new(&tls.ca_file);
            let pem = fs::read(path).map_err(|e| Error::local("read", path, e))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| refused(&e))? {
                options = options.with_root_certificate(certificate);
            }
        }
        duration(
            "expect_continue_timeout",
            self.expect_continue_timeout.as_ref(),
        )?;
        for (said, field) in [
            (
                self.max_conns_per_host > 0,
                "http_config.max_conns_per_host",
            ),
            (self.disable_compression, "http_config.disable_compression"),
            // A store that asks for these refuses the first request, so that nothing goes astray.
            (
                !tls.cert_file.is_empty(),
                "http_config.tls_config.cert_file",
            ),
            (!tls.key_file.is_empty(), "http_config.tls_config.key_file"),
            (
                !tls.server_name.is_empty(),
                "http_config.tls_config.server_name",
            ),
        ] {
            if said {
                without_effect.push(field);
            }
        }
        // Bounds of all hosts together and of each are the same here: there is one host.
        let _ = self.max_idle_conns;
        Ok(options)
    }
}

/// A duration as Prometheus and Go write them; 0 is as if it was not said.
fn duration(field: &str, said: Option<&String>) -> Result<Option<Duration>> {
    let Some(said) = said.filter(|said| !said.is_empty()) else {
        return Ok(None);
    };
    let parsed = DurationMs::from_str(said)
        .map_err(|e| Error::Config(format!("http_config.{field}: {e}")))?;
    let ms = u64::try_from(parsed.0).unwrap_or(0);
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}
