//! Flags of gRPC servers and clients, under Thanos' names.

use std::path::PathBuf;
use std::time::Duration;

use model::time::DurationMs;

use super::message_limit::MessageLimit;
use crate::Error;
use crate::flags::ByteSize;
use crate::request_log::CallLog;
use crate::tls::{ClientTls, Identity, MinVersion, ServerTls};

/// Flags of the gRPC server.
#[derive(Debug, Clone, clap::Args)]
pub struct GrpcServerFlags {
    /// File with the gRPC server's certificate in PEM; without it the server speaks plain text.
    #[arg(
        long = "grpc-server-tls-cert",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_cert: String,
    /// File with the gRPC server's private key in PEM.
    #[arg(
        long = "grpc-server-tls-key",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_key: String,
    /// File with the authorities that clients' certificates must come from.
    #[arg(
        long = "grpc-server-tls-client-ca",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_client_ca: String,
    /// Oldest version of TLS that is spoken: 1.2 or 1.3.
    #[arg(
        long = "grpc-server-tls-min-version",
        value_name = "VERSION",
        default_value = "1.3"
    )]
    pub tls_min_version: String,
    /// How long a connection may live before its client is asked to make another; 0 for ever.
    #[arg(
        long = "grpc-server-max-connection-age",
        value_name = "DURATION",
        default_value = "60m"
    )]
    pub max_connection_age: String,
    /// How long a shutdown waits for gRPC requests that are being answered.
    #[arg(
        long = "grpc-grace-period",
        value_name = "DURATION",
        default_value = "2m"
    )]
    pub grace_period: String,
    /// Largest message that is taken from a peer: a request, a part of an answer, or all values of a
    /// label.
    #[arg(
        long = "grpc.max-message-size",
        value_name = "BYTES",
        default_value = "64MiB"
    )]
    pub max_message_size: ByteSize,
}

/// How the gRPC server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcServerConfig {
    /// How it speaks TLS, if it does.
    pub tls: Option<ServerTls>,
    /// How long a connection may live; zero for ever.
    pub connection_age_max: Duration,
    /// How long a shutdown waits for requests that are being answered.
    pub grace: Duration,
    /// How large a message may be that is taken from a client.
    pub message_limit: MessageLimit,
    /// Which calls are logged.
    pub log: Option<CallLog>,
}

impl Default for GrpcServerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            connection_age_max: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(120),
            message_limit: MessageLimit::default(),
            log: None,
        }
    }
}

impl GrpcServerFlags {
    /// Checks the flags; the files are read when the server starts.
    ///
    /// # Errors
    /// [`Error::Flag`] for a value that cannot be used, or one of a pair without the other.
    pub fn resolve(&self) -> Result<GrpcServerConfig, Error> {
        Ok(GrpcServerConfig {
            tls: server_tls(
                ("grpc-server-tls-cert", &self.tls_cert),
                ("grpc-server-tls-key", &self.tls_key),
                ("grpc-server-tls-client-ca", &self.tls_client_ca),
                ("grpc-server-tls-min-version", &self.tls_min_version),
            )?,
            connection_age_max: duration(
                "grpc-server-max-connection-age",
                &self.max_connection_age,
            )?,
            grace: duration("grpc-grace-period", &self.grace_period)?,
            message_limit: message_limit("grpc.max-message-size", self.max_message_size)?,
            log: None,
        })
    }
}

/// Flags of gRPC clients.
#[derive(Debug, Clone, clap::Args)]
pub struct GrpcClientFlags {
    /// Speaks TLS to endpoints.
    #[arg(long = "grpc-client-tls-secure")]
    pub secure: bool,
    /// Takes any certificate of an endpoint.
    #[arg(long = "grpc-client-tls-skip-verify")]
    pub skip_verify: bool,
    /// File with the certificate that is shown to endpoints.
    #[arg(
        long = "grpc-client-tls-cert",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub cert: String,
    /// File with its private key.
    #[arg(
        long = "grpc-client-tls-key",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub key: String,
    /// File with the authorities that endpoints' certificates must come from; the system's without it.
    #[arg(
        long = "grpc-client-tls-ca",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub ca: String,
    /// Name that endpoints' certificates must be for, instead of the one that is dialled.
    #[arg(
        long = "grpc-client-server-name",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub server_name: String,
    /// Oldest version of TLS that is spoken: 1.2 or 1.3.
    #[arg(
        long = "grpc-client-tls-min-version",
        value_name = "VERSION",
        default_value = "1.3"
    )]
    pub min_version: String,
}

/// How gRPC clients behave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrpcClientConfig {
    /// How they speak TLS, if they do.
    pub tls: Option<ClientTls>,
    /// How large a message may be that is taken from an endpoint.
    pub message_limit: MessageLimit,
}

impl GrpcClientFlags {
    /// Checks the flags; the files are read when the first connection is made. Messages of endpoints
    /// may be as large as those of the process' own clients.
    ///
    /// # Errors
    /// [`Error::Flag`] for a value that cannot be used, or one of a pair without the other.
    pub fn resolve(&self, message_limit: MessageLimit) -> Result<GrpcClientConfig, Error> {
        let tls = ClientTls {
            identity: identity(
                ("grpc-client-tls-cert", &self.cert),
                ("grpc-client-tls-key", &self.key),
            )?,
            ca: path(&self.ca),
            server_name: Some(self.server_name.clone()).filter(|name| !name.is_empty()),
            skip_verify: self.skip_verify,
            min_version: min_version("grpc-client-tls-min-version", &self.min_version)?,
        };
        Ok(GrpcClientConfig {
            tls: self.secure.then_some(tls),
            message_limit,
        })
    }
}

/// How a server speaks TLS by four flags, each with what was said: nothing when none of them says.
///
/// # Errors
/// [`Error::Flag`] for a value that cannot be used, or one of a pair without the other.
pub fn server_tls(
    cert: (&'static str, &str),
    key: (&'static str, &str),
    (ca_flag, client_ca): (&'static str, &str),
    (version_flag, version): (&'static str, &str),
) -> Result<Option<ServerTls>, Error> {
    let min_version = min_version(version_flag, version)?;
    let client_ca = path(client_ca);
    let identity = identity(cert, key)?;
    if identity.is_none() && client_ca.is_some() {
        return Err(Error::Flag {
            flag: ca_flag,
            reason: format!("it needs --{} and --{}", cert.0, key.0),
        });
    }
    Ok(identity.map(|identity| ServerTls {
        identity,
        client_ca,
        min_version,
    }))
}

fn path(s: &str) -> Option<PathBuf> {
    (!s.is_empty()).then(|| PathBuf::from(s))
}

fn min_version(flag: &'static str, s: &str) -> Result<MinVersion, Error> {
    MinVersion::parse(s).map_err(|reason| Error::Flag { flag, reason })
}

fn duration(flag: &'static str, s: &str) -> Result<Duration, Error> {
    let DurationMs(ms) = s.parse().map_err(|error| Error::Flag {
        flag,
        reason: format!("{error}"),
    })?;
    Ok(Duration::from_millis(ms.unsigned_abs()))
}

/// A prefix has four bytes for the length of a message.
fn message_limit(flag: &'static str, ByteSize(bytes): ByteSize) -> Result<MessageLimit, Error> {
    let fits = (1..=u64::from(u32::MAX)).contains(&bytes);
    let bytes = usize::try_from(bytes).ok().filter(|_| fits);
    let bytes = bytes.ok_or_else(|| Error::Flag {
        flag,
        reason: "a message has between 1 byte and 4 GiB less one".to_owned(),
    })?;
    Ok(MessageLimit { bytes })
}

/// A certificate and its key, each with its flag; both or neither.
fn identity(
    (cert_flag, cert): (&'static str, &str),
    (key_flag, key): (&'static str, &str),
) -> Result<Option<Identity>, Error> {
    let missing = |flag, other| Error::Flag {
        flag,
        reason: format!("it is needed beside --{other}"),
    };
    match (path(cert), path(key)) {
        (Some(cert), Some(key)) => Ok(Some(Identity { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing(key_flag, cert_flag)),
        (None, Some(_)) => Err(missing(cert_flag, key_flag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> GrpcServerFlags {
        GrpcServerFlags {
            tls_cert: String::new(),
            tls_key: String::new(),
            tls_client_ca: String::new(),
            tls_min_version: "1.3".into(),
            max_connection_age: "60m".into(),
            grace_period: "2m".into(),
            max_message_size: ByteSize(64 << 20),
        }
    }

    #[test]
    fn defaults_are_thanos() {
        assert_eq!(server().resolve().unwrap(), GrpcServerConfig::default());
    }

    #[test]
    fn half_an_identity_is_refused() {
        let cert = GrpcServerFlags {
            tls_cert: "cert.pem".into(),
            ..server()
        };
        let error = cert.resolve().unwrap_err().to_string();
        assert!(error.starts_with("--grpc-server-tls-key"), "{error}");
        let ca = GrpcServerFlags {
            tls_client_ca: "ca.pem".into(),
            ..server()
        };
        assert!(ca.resolve().is_err());
    }

    #[test]
    fn messages_have_a_length_that_fits_into_their_prefix() {
        for (bytes, taken) in [
            (0, false),
            (1, true),
            ((1 << 32) - 1, true),
            (1 << 32, false),
        ] {
            let flags = GrpcServerFlags {
                max_message_size: ByteSize(bytes),
                ..server()
            };
            assert_eq!(flags.resolve().is_ok(), taken, "{bytes}");
        }
    }

    #[test]
    fn broken_versions_of_tls_are_refused() {
        let old = GrpcServerFlags {
            tls_min_version: "1.1".into(),
            ..server()
        };
        assert!(old.resolve().is_err());
    }
}
