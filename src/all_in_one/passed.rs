//! Flags of the parts that the process that is everything takes and passes on.
//!
//! Each is looked up among the flags of the part that has it, so that its help, its default and what
//! it takes are said in one place, and is given to every part that has a flag of that name.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// What may be said, by the parts whose words describe it.
const OF_INGESTER: [&str; 15] = [
    "config.auto-reload",
    "config.auto-reload-interval",
    "receive.body-bytes-max",
    "receive.decompressed-bytes-max",
    "receive.limits-config-file",
    "receive.limits-config",
    "receive.labels-max",
    "receive.label-name-bytes-max",
    "receive.label-value-bytes-max",
    "tsdb.head-series-max",
    "tsdb.max-retention-bytes",
    "tsdb.max-exemplars",
    "tsdb.too-far-in-future.time-window",
    "storage.remote.read-sample-limit",
    "hash-func",
];
const OF_QUERIER: [&str; 25] = [
    "query.log-file",
    "query.log-queries-longer-than",
    "query.max-memory-bytes",
    "query.max-length",
    "query.max-nesting",
    "query.max-operators",
    "query.timeout",
    "query.max-samples",
    "query.max-concurrent",
    "query.lookback-delta",
    "query.default-evaluation-interval",
    "query.replica-label",
    "query.results-cache-size-mb",
    "query.auto-downsampling",
    "store.limits.request-series",
    "store.limits.request-samples",
    "grpc-server-tls-cert",
    "grpc-server-tls-key",
    "grpc-server-tls-client-ca",
    "grpc-server-tls-min-version",
    "grpc-server-max-connection-age",
    "grpc-grace-period",
    "grpc.max-message-size",
    "request.logging-config",
    "request.logging-config-file",
];
const OF_STORE: [&str; 6] = [
    "disable-admin-operations",
    "store.grpc.downloaded-bytes-limit",
    "store.limits.request-blocks",
    "store.grpc.series-max-concurrency",
    "index-cache-size",
    "chunk-pool-size",
];
const OF_COMPACTOR: [&str; 6] = [
    "retention.resolution-raw",
    "retention.resolution-5m",
    "retention.resolution-1h",
    "downsampling.disable",
    "delete-delay",
    "compact.concurrency",
];

/// What was said of such flags.
#[derive(Debug, Clone, Default)]
pub(crate) struct PassedFlags {
    /// Names with what was said: `--name=value`, or `--name`.
    said: Vec<(String, String)>,
}

/// The flags of a part, by its command.
fn of<F: Args>() -> Command {
    F::augment_args(Command::new("part"))
}

fn long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let mut args = command.get_arguments();
    args.find(|arg| arg.get_long() == Some(name))
}

/// The flags, each under its long name as its id.
fn flags() -> Vec<Arg> {
    let listed: [(Command, &'static [&'static str]); 4] = [
        (of::<ingester::Flags>(), &OF_INGESTER),
        (of::<querier::Flags>(), &OF_QUERIER),
        (of::<store::Flags>(), &OF_STORE),
        (of::<compactor::Flags>(), &OF_COMPACTOR),
    ];
    let flags = listed.iter().flat_map(|(part, names)| {
        let flags = names.iter().copied();
        flags.filter_map(|name| Some(long(part, name)?.clone().id(name)))
    });
    flags.collect()
}

impl Args for PassedFlags {
    fn augment_args(command: Command) -> Command {
        command.args(flags())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PassedFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut said = Vec::new();
        for flag in flags() {
            let name = flag.get_id().as_str();
            if matches.value_source(name) != Some(ValueSource::CommandLine) {
                continue;
            }
            if !flag.get_action().takes_values() {
                said.push((name.to_owned(), format!("--{name}")));
                continue;
            }
            for value in matches.get_raw(name).into_iter().flatten() {
                let value = value.to_string_lossy();
                said.push((name.to_owned(), format!("--{name}={value}")));
            }
        }
        Ok(Self { said })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl PassedFlags {
    /// What of it is for a part with the flags `F`.
    pub(super) fn for_part<F: Args>(&self) -> Vec<String> {
        let part = of::<F>();
        let known: BTreeSet<&str> = part.get_arguments().filter_map(Arg::get_long).collect();
        let said = self.said.iter();
        said.filter(|(name, _)| known.contains(name.as_str()))
            .map(|(_, said)| said.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        passed: PassedFlags,
    }

    #[test]
    fn every_flag_that_is_listed_is_one_of_its_part() {
        let listed = OF_INGESTER.len() + OF_QUERIER.len() + OF_STORE.len() + OF_COMPACTOR.len();
        assert_eq!(flags().len(), listed);
    }

    #[test]
    fn flags_go_to_the_parts_that_have_them() {
        let args = [
            "promontory",
            "--receive.labels-max=5",
            "--query.replica-label=a",
            "--query.replica-label",
            "b",
            "--store.limits.request-series=7",
            "--downsampling.disable",
            "--retention.resolution-raw=1h",
        ];
        let passed = <Line as clap::Parser>::parse_from(args).passed;
        let series = "--store.limits.request-series=7";
        assert_eq!(
            passed.for_part::<ingester::Flags>(),
            ["--receive.labels-max=5", series]
        );
        assert_eq!(
            passed.for_part::<querier::Flags>(),
            ["--query.replica-label=a", "--query.replica-label=b", series]
        );
        assert_eq!(passed.for_part::<store::Flags>(), [series]);
        assert_eq!(
            passed.for_part::<compactor::Flags>(),
            ["--retention.resolution-raw=1h", "--downsampling.disable"]
        );
    }

    #[test]
    fn values_are_checked_where_they_are_said() {
        let wrong = ["promontory", "--tsdb.max-retention-bytes=much"];
        assert!(<Line as clap::Parser>::try_parse_from(wrong).is_err());
    }
}
