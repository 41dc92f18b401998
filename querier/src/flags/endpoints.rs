//! Flags that say whom to ask.

use std::path::PathBuf;

use model::time::DurationMs;
use runtime::Error;

use super::duration;
use crate::endpoints::{EndpointConfig, SetOptions, config};

/// Flags that say whom to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct EndpointFlags {
    /// Endpoint that speaks the StoreAPI: HOST:PORT, or dns+, dnsdualstack+, dnssrv+ or dnssrvnoa+ before
    /// a name to look up. May be repeated.
    #[arg(long = "endpoint", value_name = "ADDRESS")]
    pub endpoint: Vec<String>,
    /// Endpoint that is asked even when it does not answer. May be repeated.
    #[arg(long = "endpoint-strict", value_name = "ADDRESS")]
    pub endpoint_strict: Vec<String>,
    /// Name to look up whose endpoints all have the same data; one of them is asked. May be repeated.
    #[arg(long = "endpoint-group", value_name = "ADDRESS")]
    pub endpoint_group: Vec<String>,
    /// The same, asked even when it does not answer. May be repeated.
    #[arg(long = "endpoint-group-strict", value_name = "ADDRESS")]
    pub endpoint_group_strict: Vec<String>,
    /// File with endpoints, in Thanos' YAML form; read again when it changes.
    #[arg(
        long = "endpoint.sd-config-file",
        value_name = "FILE",
        conflicts_with = "sd_config"
    )]
    pub sd_config_file: Option<PathBuf>,
    /// The same itself, instead of a file.
    #[arg(long = "endpoint.sd-config", value_name = "YAML")]
    pub sd_config: Option<String>,
    /// File with addresses of endpoints, in the form of Prometheus' file discovery; * stands for
    /// anything in its name. Read again when it changes. May be repeated.
    #[arg(long = "store.sd-files", value_name = "PATH")]
    pub sd_files: Vec<String>,
    /// How often names are looked up again.
    #[arg(
        long = "store.sd-dns-interval",
        value_name = "DURATION",
        default_value = "30s"
    )]
    pub dns_interval: DurationMs,
    /// How long an endpoint that does not answer is remembered.
    #[arg(
        long = "store.unhealthy-timeout",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub unhealthy_timeout: DurationMs,
    /// How long an endpoint may take to say how it is.
    #[arg(
        long = "endpoint.info-timeout",
        value_name = "DURATION",
        default_value = "5s"
    )]
    pub info_timeout: DurationMs,
    /// How long an endpoint may send nothing of an answer that it owes; 0 for as long as the query
    /// may take.
    #[arg(
        long = "store.response-timeout",
        value_name = "DURATION",
        default_value = "0ms"
    )]
    pub response_timeout: DurationMs,
    /// Most series that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 1,600
    /// bytes of memory.
    #[arg(long = "store.limits.request-series", value_name = "COUNT")]
    pub request_series: Option<u64>,
    /// Most samples that an answer of the StoreAPI may have; 0 for no limit. Not said, one for every 4
    /// bytes of memory.
    #[arg(long = "store.limits.request-samples", value_name = "COUNT")]
    pub request_samples: Option<u64>,
}

impl EndpointFlags {
    pub(super) fn resolve(&self) -> Result<SetOptions, Error> {
        let mut endpoints = Vec::new();
        for (flag, addresses, strict, group) in [
            ("endpoint", &self.endpoint, false, false),
            ("endpoint-strict", &self.endpoint_strict, true, false),
            ("endpoint-group", &self.endpoint_group, false, true),
            (
                "endpoint-group-strict",
                &self.endpoint_group_strict,
                true,
                true,
            ),
        ] {
            for address in addresses {
                let endpoint = EndpointConfig::new(address, strict, group);
                endpoints.push(endpoint.map_err(|reason| Error::Flag { flag, reason })?);
            }
        }
        let yaml = self.sd_config.as_deref().unwrap_or_default();
        endpoints.extend(config::parse(yaml).map_err(|reason| Error::Flag {
            flag: "endpoint.sd-config",
            reason,
        })?);
        Ok(SetOptions {
            endpoints,
            config_file: self.sd_config_file.clone(),
            files: self.sd_files.clone(),
            lookup_interval: duration("store.sd-dns-interval", self.dns_interval)?,
            info_timeout: duration("endpoint.info-timeout", self.info_timeout)?,
            unhealthy_timeout: duration("store.unhealthy-timeout", self.unhealthy_timeout)?,
        })
    }
}
