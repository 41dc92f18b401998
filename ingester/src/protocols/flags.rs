//! What is said about receivers on the command line: for each protocol where it listens and what
//! it may take, and what only one of them knows.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use model::time::DurationMs;
use runtime::Error;
use runtime::flags::ListenAddress;

use super::metricbeat::Mapping;
use super::names::Names;
use super::registry::{Listener, Options, REGISTERED, Registered, Settings};
use super::sink::Limits;
use super::{lookout, metricbeat, opentsdb, pushgateway};
use crate::receive::{LabelLimits, TenantSettings};

/// What switches a receiver off in place of its address.
const OFF: &str = "off";

/// Flags of all receivers.
#[derive(Debug, Clone, Args)]
pub struct ProtocolFlags {
    /// Those that each receiver has.
    #[command(flatten)]
    pub receivers: ReceiverFlags,
    /// File that says filters and limits of receivers; read again with the configuration.
    #[arg(long = "pipeline.config-file", value_name = "FILE")]
    pub pipeline_file: Option<PathBuf>,
    /// Bytes of pushes that are held on disk while the TSDB takes none; 0 refuses them then.
    #[arg(
        long = "pipeline.buffer-bytes-max",
        value_name = "BYTES",
        default_value_t = 512 << 20
    )]
    pub buffer_bytes_max: u64,
    /// Takes over OpenTSDB only what OpenTSDB itself takes: one to eight tags, its own characters.
    #[arg(long = "opentsdb.strict")]
    pub opentsdb_strict: bool,
    /// Whether names of metrics keep characters that need quotes in PromQL.
    #[arg(long = "opentsdb.names", value_name = "HOW", default_value = "keep")]
    pub opentsdb_names: Names,
    /// How long lines of OpenTSDB wait while the storage takes nothing, or their rate is too high;
    /// nothing more of their connection is read meanwhile. Lines that waited longer are lost.
    #[arg(
        long = "opentsdb.wait-max",
        value_name = "DURATION",
        default_value = "1m"
    )]
    pub opentsdb_wait_max: DurationMs,
    /// What only the Pushgateway knows.
    #[command(flatten)]
    pub pushgateway: pushgateway::flags::PushgatewayFlags,
    /// How events of Metricbeat become series: by the paths in them, or as a SOFALookout gateway
    /// names them.
    #[arg(
        long = "metricbeat.mapping",
        value_name = "HOW",
        default_value = "paths"
    )]
    pub metricbeat_mapping: Mapping,
    /// Whether names of metrics keep characters that need quotes in PromQL.
    #[arg(long = "metricbeat.names", value_name = "HOW", default_value = "keep")]
    pub metricbeat_names: Names,
    /// The version of Elasticsearch that Metricbeat finds; it may refuse one that is older than
    /// itself.
    #[arg(long = "metricbeat.version", value_name = "VERSION", default_value = metricbeat::VERSION)]
    pub metricbeat_version: String,
    /// What only Lookout's gateway knows.
    #[command(flatten)]
    pub lookout: lookout::flags::LookoutFlags,
}

/// What was said about one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    address: Option<String>,
    body_bytes_max: usize,
    points_per_second_max: u64,
}

/// Flags that each receiver has, in the order of [`REGISTERED`].
#[derive(Debug, Clone)]
pub struct ReceiverFlags {
    said: Vec<Said>,
}

impl FromArgMatches for ReceiverFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let defaults = Limits::default();
        let said = REGISTERED.iter().map(|protocol| {
            let [address, bytes, points] = protocol.flags;
            let number = |flag: &str| match flag {
                "" => None,
                flag => matches.get_one::<u64>(flag).copied(),
            };
            let bytes = number(bytes).and_then(|bytes| usize::try_from(bytes).ok());
            let points = number(points);
            Said {
                address: matches.get_one::<String>(address).cloned(),
                body_bytes_max: bytes.unwrap_or(defaults.body_bytes_max),
                points_per_second_max: points.unwrap_or(defaults.points_per_second_max),
            }
        });
        Ok(Self {
            said: said.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ReceiverFlags {
    fn augment_args(command: Command) -> Command {
        let defaults = Limits::default();
        REGISTERED.iter().fold(command, |command, protocol| {
            let Registered { name, port, .. } = protocol;
            let [address, bytes, points] = protocol.flags;
            let flag = |long: &'static str, value: &'static str, help: String| {
                Arg::new(long).long(long).value_name(value).help(help)
            };
            let help = format!(
                "Where {name} listens, or \"{OFF}\"; loopback, port {port} when it is free, if not said"
            );
            let of_bytes = format!(
                "Bytes of a request of {name}; {} if not said",
                defaults.body_bytes_max
            );
            let of_points = format!(
                "Points a second that a tenant may send by {name}, 0 for any number; {} if not said",
                defaults.points_per_second_max
            );
            let command = command.arg(flag(address, "HOST:PORT", help));
            if bytes.is_empty() {
                return command;
            }
            command
                .arg(flag(bytes, "BYTES", of_bytes).value_parser(value_parser!(u64).range(1..)))
                .arg(flag(points, "COUNT", of_points).value_parser(value_parser!(u64)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl ProtocolFlags {
    /// What is served, where `tenants` and `labels` are as for all writes.
    ///
    /// # Errors
    /// [`Error::Flag`] for an address that is none.
    pub fn resolve(
        &self,
        tenants: TenantSettings,
        labels: LabelLimits,
        grace: Duration,
    ) -> Result<Settings, Error> {
        let mut listeners = Vec::new();
        for (protocol, said) in REGISTERED.iter().zip(&self.receivers.said) {
            let address = match said.address.as_deref() {
                Some(OFF) => continue,
                Some(address) => {
                    let address = ListenAddress::parse(address);
                    address.map_err(|reason| Error::Flag {
                        flag: protocol.flags[0],
                        reason,
                    })?
                }
                None => ListenAddress {
                    host: "127.0.0.1".to_owned(),
                    port: protocol.port,
                },
            };
            let defaults = Limits::default();
            listeners.push(Listener {
                protocol,
                address,
                is_configured: said.address.is_some(),
                limits: Limits {
                    body_bytes_max: said.body_bytes_max,
                    decompressed_bytes_max: defaults
                        .decompressed_bytes_max
                        .max(said.body_bytes_max),
                    points_per_second_max: said.points_per_second_max,
                    labels,
                },
            });
        }
        Ok(Settings {
            listeners,
            options: Options {
                opentsdb: opentsdb::Options {
                    strict: self.opentsdb_strict,
                    names: self.opentsdb_names,
                    labels,
                    wait_max: Duration::from_millis(self.opentsdb_wait_max.0.unsigned_abs()),
                },
                pushgateway: self.pushgateway.resolve(),
                metricbeat: metricbeat::Options {
                    mapping: self.metricbeat_mapping,
                    names: self.metricbeat_names,
                    labels,
                    version: self.metricbeat_version.clone(),
                },
                lookout: self.lookout.resolve(labels)?,
            },
            tenants,
            pipeline_file: self.pipeline_file.clone(),
            buffer_bytes_max: self.buffer_bytes_max,
            grace,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::testing::tenants;
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: ProtocolFlags,
    }

    fn resolve(args: &[&str]) -> Result<Settings, Error> {
        let args = std::iter::once("promontory").chain(args.iter().copied());
        let flags = Cli::try_parse_from(args).unwrap().flags;
        flags.resolve(tenants(), LabelLimits::default(), Duration::ZERO)
    }

    #[test]
    fn all_are_on_at_loopback_unless_said() {
        let settings = resolve(&[]).unwrap();
        assert_eq!(settings.listeners.len(), REGISTERED.len());
        for listener in &settings.listeners {
            assert_eq!(listener.address.host, "127.0.0.1");
            assert_eq!(listener.address.port, listener.protocol.port);
            assert!(!listener.is_configured);
            assert_eq!(listener.limits, Limits::default());
        }
    }

    #[test]
    fn each_is_told_apart() {
        let off = resolve(&["--opentsdb.address=off"]).unwrap();
        assert_eq!(off.listeners.len(), REGISTERED.len() - 1);
        let said = resolve(&[
            "--opentsdb.address=0.0.0.0:1",
            "--opentsdb.body-bytes-max=5",
            "--opentsdb.points-per-second-max=0",
            "--opentsdb.strict",
        ])
        .unwrap();
        let listener = &said.listeners[0];
        assert!(listener.is_configured && listener.address.port == 1);
        assert_eq!(listener.limits.body_bytes_max, 5);
        assert_eq!(listener.limits.points_per_second_max, 0);
        assert!(said.options.opentsdb.strict);
        assert!(resolve(&["--opentsdb.address=nowhere"]).is_err());
    }
}
