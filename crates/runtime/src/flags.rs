//! Groups of flags that several components take, under the names that Thanos gave them.
//!
//! A `...Flags` struct holds what was said; its `resolve` checks it and yields the `...Config`
//! that the component works with, in which nothing is optional that has a default.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;

use crate::grpc::{GrpcServerConfig, GrpcServerFlags};
use crate::request_log::{CallLog, RequestLogFlags};
use crate::web_config::WebConfig;
use crate::{Environment, Error};

/// Flags of the log.
#[derive(Debug, Clone, clap::Args)]
pub struct LogFlags {
    /// Least severe level that is logged.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub level: LogLevel,
    /// Form of a log line.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    pub format: LogFormat,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// A human must act.
    Error,
    /// Something is off; the process goes on.
    Warn,
    /// What an operator wants to see.
    Info,
    /// What a developer wants to see.
    Debug,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs; what Thanos sends to the journal of systemd itself is to be taken from
    /// standard error.
    #[value(alias = "journald")]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// What the log needs to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Least severe level that is logged.
    pub level: LogLevel,
    /// Form of a log line.
    pub format: LogFormat,
}

impl LogFlags {
    /// The log's configuration.
    pub fn resolve(&self) -> LogConfig {
        LogConfig {
            level: self.level,
            format: self.format,
        }
    }
}

/// Flags of the HTTP and gRPC servers.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerFlags {
    /// Address of the HTTP server: metrics, probes, API.
    #[arg(
        long = "http-address",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:10902"
    )]
    pub http_address: String,
    /// Address of the gRPC server.
    #[arg(
        long = "grpc-address",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:10901"
    )]
    pub grpc_address: String,
    /// File with Prometheus' web configuration: the HTTP server's certificate, and those that clients
    /// must have.
    #[arg(
        long = "http.config",
        alias = "web.config.file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub web_config: String,
    /// The gRPC server's behaviour.
    #[command(flatten)]
    pub grpc: GrpcServerFlags,
    /// Requests that are logged.
    #[command(flatten)]
    pub request_log: RequestLogFlags,
}

/// A host and port to listen on; the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Host name or IP address, without the brackets of IPv6; `0.0.0.0` when none was said.
    pub host: String,
    /// Port; 0 lets the system choose.
    pub port: u16,
}

impl ListenAddress {
    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `:PORT`, the forms that Go takes.
    ///
    /// # Errors
    /// A sentence on what is wrong, when there is no port or it is not a number up to 65535.
    pub fn parse(s: &str) -> Result<Self, String> {
        let (host, port) = s
            .rsplit_once(':')
            .ok_or_else(|| format!("{s:?} has no port; write HOST:PORT"))?;
        let port = port
            .parse()
            .map_err(|_| format!("{port:?} is not a port; use a number from 0 to 65535"))?;
        let host = match host.strip_prefix('[') {
            Some(v6) => v6
                .strip_suffix(']')
                .ok_or_else(|| format!("{s:?} lacks the closing bracket of the IPv6 address"))?,
            None if host.contains(':') => {
                return Err(format!(
                    "{s:?} is ambiguous; write an IPv6 address in brackets"
                ));
            }
            None if host.is_empty() => "0.0.0.0",
            None => host,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where the servers listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The HTTP server's address.
    pub http: ListenAddress,
    /// How the HTTP server speaks TLS.
    pub web: WebConfig,
    /// The gRPC server's address.
    pub grpc: ListenAddress,
    /// The gRPC server's behaviour.
    pub grpc_server: GrpcServerConfig,
    /// Which requests over HTTP are logged.
    pub http_log: Option<CallLog>,
}

impl ServerFlags {
    /// Checks the addresses.
    ///
    /// # Errors
    /// [`Error::Flag`] for an address without a usable port, or when both servers were given the
    /// same address.
    pub fn resolve(&self) -> Result<ServerConfig, Error> {
        let parse =
            |flag, s: &str| ListenAddress::parse(s).map_err(|reason| Error::Flag { flag, reason });
        let logs = self.request_log.resolve()?;
        let config = ServerConfig {
            http: parse("http-address", &self.http_address)?,
            web: WebConfig::read(&self.web_config)?,
            grpc: parse("grpc-address", &self.grpc_address)?,
            grpc_server: GrpcServerConfig {
                log: logs.grpc,
                ..self.grpc.resolve()?
            },
            http_log: logs.http,
        };
        if config.http == config.grpc && config.http.port != 0 {
            return Err(Error::Flag {
                flag: "grpc-address",
                reason: format!(
                    "{} is the HTTP server's address too; give each its own",
                    self.grpc_address
                ),
            });
        }
        Ok(config)
    }
}

/// Features of Prometheus, by their names.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FeatureFlags {
    /// Features of Prometheus, with commas between them; may be repeated. auto-reload-config is
    /// --config.auto-reload; created-timestamp-zero-ingestion gives series a zero at the time since
    /// when they count, where a scrape or a write of version 2.0 says it; others change nothing.
    #[arg(long = "enable-feature", value_name = "NAMES")]
    pub features: Vec<String>,
}

impl FeatureFlags {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.features.iter().flat_map(|list| list.split(','));
        names.map(str::trim).filter(|name| !name.is_empty())
    }

    /// Whether a feature is enabled.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|enabled| enabled == name)
    }
}

/// Flags that name the bucket.
#[derive(Debug, Clone, clap::Args)]
pub struct BucketFlags {
    /// File with the bucket's configuration, in Thanos' YAML form.
    #[arg(
        long = "objstore.config-file",
        value_name = "FILE",
        conflicts_with = "config"
    )]
    pub config_file: Option<PathBuf>,
    /// The bucket's configuration itself, instead of a file.
    #[arg(long = "objstore.config", value_name = "YAML")]
    pub config: Option<String>,
}

/// The bucket's configuration, in which variables of the environment are replaced.
#[derive(Clone, PartialEq, Eq)]
pub enum BucketConfig {
    /// No bucket.
    None,
    /// This text.
    Yaml(String),
}

impl fmt::Debug for BucketConfig {
    /// Without the text, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Yaml(_) => "Yaml",
        })
    }
}

impl BucketConfig {
    /// The configuration's text; `None` when there is no bucket.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Yaml(text) => Some(text),
        }
    }
}

impl BucketFlags {
    /// Reads the bucket's configuration; an empty text means no bucket, as in Thanos.
    ///
    /// # Errors
    /// [`Error::Flag`] when the file cannot be read, or names a variable that is not set.
    pub fn resolve(&self, environment: &Environment) -> Result<BucketConfig, Error> {
        let flag = match self.config_file {
            Some(_) => "objstore.config-file",
            None => "objstore.config",
        };
        let file = self.config_file.as_deref();
        let text = environment.configuration(flag, file, self.config.as_deref())?;
        let text = text.filter(|text| !text.trim().is_empty());
        Ok(text.map_or(BucketConfig::None, BucketConfig::Yaml))
    }

    /// The bucket's configuration, for a component that cannot do without.
    ///
    /// # Errors
    /// [`Error::Flag`] as [`BucketFlags::resolve`], and when no bucket was named.
    pub fn require(&self, environment: &Environment) -> Result<BucketConfig, Error> {
        match self.resolve(environment)? {
            BucketConfig::None => Err(Error::Flag {
                flag: "objstore.config-file",
                reason: "name the bucket's configuration file; this component works on a bucket"
                    .to_owned(),
            }),
            config => Ok(config),
        }
    }
}

/// Makes the directory that a flag names, and sees to it that files can be written there.
///
/// # Errors
/// [`Error::Flag`] when that cannot be: who keeps nothing should not look as if it did.
pub fn make_dir(flag: &'static str, dir: &Path) -> Result<(), Error> {
    let refused = |what: &str, error: io::Error| Error::Flag {
        flag,
        reason: format!(
            "cannot {what} {}: {error}; name a directory that this process may write to",
            dir.display()
        ),
    };
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir).map_err(|error| refused("create", error))?;
    for made in missing {
        // Their names are as durable as what will be in them.
        let parent = made
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(parent.unwrap_or(Path::new(".")))
            .and_then(|parent| parent.sync_all())
            .map_err(|error| refused("create", error))?;
    }
    let probe = dir.join(format!(".probe-{}", process::id()));
    fs::write(&probe, []).map_err(|error| refused("write to", error))?;
    fs::remove_file(&probe).map_err(|error| refused("write to", error))
}

/// Bytes, written as a number with a unit: `250MB`, `2GiB`, `1024`. Units are powers of 1024, as
/// Thanos reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("{s:?} is no size; write a number and a unit, such as 250MB");
        let digits = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        let number: u64 = s[..digits].parse().map_err(|_| wrong())?;
        let shift = match s[digits..].trim_start().to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "KB" | "KIB" => 10,
            "MB" | "MIB" => 20,
            "GB" | "GIB" => 30,
            "TB" | "TIB" => 40,
            "PB" | "PIB" => 50,
            "EB" | "EIB" => 60,
            _ => return Err(wrong()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        servers: ServerFlags,
    }

    fn servers(http: &str, grpc: &str) -> Result<ServerConfig, String> {
        let line = ["test", "--http-address", http, "--grpc-address", grpc];
        let line = <Line as clap::Parser>::parse_from(line);
        line.servers.resolve().map_err(|e| e.to_string())
    }

    #[test]
    fn addresses_take_the_forms_of_go() {
        for (s, host, port) in [
            (":10902", "0.0.0.0", 10902),
            ("localhost:0", "localhost", 0),
            ("[::1]:80", "::1", 80),
        ] {
            let a = ListenAddress::parse(s).unwrap();
            assert_eq!((a.host.as_str(), a.port), (host, port), "{s}");
            assert_eq!(ListenAddress::parse(&a.to_string()), Ok(a), "{s}");
        }
        for s in ["", "host", "host:http", "host:65536", "::1:80", "[::1:80"] {
            assert!(ListenAddress::parse(s).is_err(), "{s}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("250MB", Some(250 << 20)),
            ("2 GiB", Some(2 << 30)),
            ("7b", Some(7)),
            ("", None),
            ("MB", None),
            ("1XB", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(text.parse().ok(), bytes.map(ByteSize), "{text:?}");
        }
    }

    #[test]
    fn a_directory_is_made_or_the_flag_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a").join("b");
        make_dir("data-dir", &dir).unwrap();
        make_dir("data-dir", &dir).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::write(dir.join("file"), "x").unwrap();
        let error = make_dir("data-dir", &dir.join("file").join("c"));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("--data-dir: cannot create "), "{error}");
        // Nobody makes files there, not even root.
        let error = make_dir("data-dir", Path::new("/proc")).unwrap_err();
        assert!(error.to_string().contains("cannot write to"), "{error}");
    }

    #[test]
    fn servers_must_not_share_an_address() {
        assert!(servers(":1", ":2").is_ok());
        assert!(servers(":0", ":0").is_ok());
        assert!(servers(":1", ":1").unwrap_err().contains("--grpc-address"));
    }

    #[test]
    fn a_bucket_can_be_absent_but_not_where_it_is_needed() {
        let flags = |text: Option<&str>| BucketFlags {
            config_file: None,
            config: text.map(str::to_owned),
        };
        let environment = Environment::new([("KEY".into(), "s3cret".into())]);
        assert_eq!(
            flags(Some(" \n")).resolve(&environment).unwrap(),
            BucketConfig::None
        );
        assert!(flags(None).require(&environment).is_err());
        let config = flags(Some("key: $(KEY)")).require(&environment).unwrap();
        assert_eq!(config.text(), Some("key: s3cret"));
        let unset = flags(Some("key: $(NONE)")).require(&environment);
        assert!(unset.unwrap_err().to_string().contains("NONE"));
    }
}
