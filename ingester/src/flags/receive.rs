//! Flags of receiving writes.

use std::path::PathBuf;

use model::labels::NameScheme;
use model::relabel::RelabelRule;
use runtime::http::HeaderName;
use runtime::web_config::WebConfig;
use runtime::{ByteSize, Environment, Error, Memory, yaml};

use super::{bytes, flag};
use crate::receive::limits::LimitsFile;
use crate::receive::{DecodeOptions, LIMITS_FILE, LabelLimits, Settings, TenantSettings};

/// Bytes of a label's name or value, whatever is said.
const LABEL_BYTES_MAX: usize = (16 << 20) - 1;

/// Bytes of memory for a tenant: what a TSDB takes whose head has few series.
const BYTES_PER_TENANT: u64 = 1 << 20;

/// Tenants where there is plenty of memory and nothing is said.
const TENANTS_MAX: u64 = 10_000;

/// Flags of receiving writes.
#[derive(Debug, Clone, clap::Args)]
pub struct ReceiveFlags {
    /// Address of the HTTP server for remote write.
    #[arg(
        long = "remote-write.address",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:19291"
    )]
    pub address: String,
    /// Header that names the tenant of a write.
    #[arg(
        long = "receive.tenant-header",
        value_name = "HEADER",
        default_value = "THANOS-TENANT"
    )]
    pub tenant_header: String,
    /// The tenant of writes that name none.
    #[arg(
        long = "receive.default-tenant-id",
        value_name = "TENANT",
        default_value = "default-tenant"
    )]
    pub default_tenant: String,
    /// Name of the external label that tells tenants apart.
    #[arg(
        long = "receive.tenant-label-name",
        value_name = "NAME",
        default_value = "tenant_id"
    )]
    pub tenant_label: String,
    /// Tenants that there may be, each with a TSDB of its own; 0 for any number. Writes of further ones
    /// are refused. Not said, 10,000, or one for every megabyte of memory where that is less.
    #[arg(long = "receive.tenants-max", value_name = "COUNT")]
    pub tenants: Option<usize>,
    /// Label of series that names their tenant, and is removed from them.
    #[arg(long = "receive.split-tenant-label-name", value_name = "NAME")]
    pub split_tenant_label: Option<String>,
    /// File with limits on writes, in Thanos' form.
    #[arg(
        long = "receive.limits-config-file",
        value_name = "FILE",
        conflicts_with = "receive.limits-config"
    )]
    pub limits_file: Option<PathBuf>,
    /// Limits on writes themselves, instead of a file.
    #[arg(
        id = "receive.limits-config",
        long = "receive.limits-config",
        value_name = "YAML"
    )]
    pub limits_config: Option<String>,
    /// Bytes that a write may have on the wire.
    #[arg(
        long = "receive.body-bytes-max",
        value_name = "BYTES",
        default_value = "16MB"
    )]
    pub body_bytes_max: ByteSize,
    /// Bytes that a write may have when it is decompressed.
    #[arg(
        long = "receive.decompressed-bytes-max",
        value_name = "BYTES",
        default_value = "64MB"
    )]
    pub decompressed_bytes_max: ByteSize,
    /// Labels that a series may have.
    #[arg(
        long = "receive.labels-max",
        value_name = "COUNT",
        default_value_t = 64
    )]
    pub labels_max: usize,
    /// Bytes that the name of a label may have.
    #[arg(
        long = "receive.label-name-bytes-max",
        value_name = "BYTES",
        default_value_t = 1024
    )]
    pub label_name_bytes_max: usize,
    /// Bytes that the value of a label may have.
    #[arg(
        long = "receive.label-value-bytes-max",
        value_name = "BYTES",
        default_value_t = 4096
    )]
    pub label_value_bytes_max: usize,
    /// File with relabelling rules, in Prometheus' form, for series that are written to this server.
    #[arg(
        long = "receive.relabel-config-file",
        value_name = "FILE",
        conflicts_with = "relabel_config"
    )]
    pub relabel_config_file: Option<PathBuf>,
    /// The rules themselves, instead of a file.
    #[arg(long = "receive.relabel-config", value_name = "YAML")]
    pub relabel_config: Option<String>,
    /// TLS of the server for remote write.
    #[command(flatten)]
    pub tls: WriteTlsFlags,
}

/// How the server for remote write speaks TLS; as --http.config says where these say nothing.
#[derive(Debug, Clone, clap::Args)]
pub struct WriteTlsFlags {
    /// File with the certificate of the server for remote write, in PEM; without it --http.config says
    /// how that speaks.
    #[arg(
        long = "remote-write.server-tls-cert",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub cert: String,
    /// File with its private key in PEM.
    #[arg(
        long = "remote-write.server-tls-key",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub key: String,
    /// File with the authorities that certificates of its clients must come from.
    #[arg(
        id = "write_client_ca",
        long = "remote-write.server-tls-client-ca",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub client_ca: String,
    /// Oldest version of TLS that it speaks: 1.2 or 1.3.
    #[arg(
        id = "write_min_version",
        long = "remote-write.server-tls-min-version",
        value_name = "VERSION",
        default_value = "1.3"
    )]
    pub min_version: String,
}

impl WriteTlsFlags {
    pub(super) fn resolve(&self, web: &WebConfig) -> Result<WebConfig, Error> {
        let tls = runtime::grpc::server_tls(
            ("remote-write.server-tls-cert", &self.cert),
            ("remote-write.server-tls-key", &self.key),
            ("remote-write.server-tls-client-ca", &self.client_ca),
            ("remote-write.server-tls-min-version", &self.min_version),
        )?;
        Ok(match tls {
            Some(tls) => web.with_tls(tls),
            None => web.clone(),
        })
    }
}

impl ReceiveFlags {
    pub(super) fn tenants_max(&self, memory: Memory) -> usize {
        match self.tenants {
            None => TENANTS_MAX.min(memory.part(BYTES_PER_TENANT).max(1)) as usize,
            Some(0) => usize::MAX,
            Some(max) => max,
        }
    }

    pub(super) fn resolve(self, environment: &Environment) -> Result<Settings, Error> {
        let relabel = self.relabel_rules(environment)?;
        let header = self.tenant_header.parse::<HeaderName>();
        let header = header.map_err(|_| {
            let reason = format!("{:?} is not the name of a header", self.tenant_header);
            flag("receive.tenant-header", reason)
        })?;
        let limits_flag = match self.limits_file {
            Some(_) => LIMITS_FILE,
            None => "receive.limits-config",
        };
        let (file, text) = (self.limits_file.as_deref(), self.limits_config.as_deref());
        let limits_file = file.map(|file| (file.to_owned(), environment.clone()));
        let limits = match environment.configuration(limits_flag, file, text)? {
            Some(text) => LimitsFile::parse(&text).map_err(|reason| flag(limits_flag, reason))?,
            None => LimitsFile::default(),
        };
        Ok(Settings {
            decode: DecodeOptions {
                labels: LabelLimits {
                    count_max: self.labels_max,
                    name_bytes_max: self.label_name_bytes_max.min(LABEL_BYTES_MAX),
                    value_bytes_max: self.label_value_bytes_max.min(LABEL_BYTES_MAX),
                },
                split_tenant_label: self.split_tenant_label.filter(|name| !name.is_empty()),
                relabel: relabel.into(),
                ..DecodeOptions::default()
            },
            bytes_max: bytes(
                "receive.decompressed-bytes-max",
                self.decompressed_bytes_max,
            )?,
            tenants: TenantSettings {
                header,
                default: self.default_tenant,
            },
            limits,
            limits_file,
        })
    }

    fn relabel_rules(&self, environment: &Environment) -> Result<Vec<RelabelRule>, Error> {
        let flag = "receive.relabel-config";
        let file = self.relabel_config_file.as_deref();
        let text = environment.configuration(flag, file, self.relabel_config.as_deref())?;
        yaml::relabel_rules(flag, text, NameScheme::Utf8)
    }
}
