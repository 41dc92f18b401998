//! The one binary: every component and every tool is a subcommand.
//!
//! Only this file reads the command line and touches the process' standard streams. A component
//! goes through the same four steps whichever it is: flags, config, build, run.

mod all_in_one;
mod commands;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, CommandFactory as _, FromArgMatches as _};
use runtime::foreign::{self, ForeignFlags, OwnFlag, Sorted};
use runtime::shown_flags::shown;
use runtime::{Environment, LoudFlag, Memory, flag_sources, open_files};

/// A highly available, federated metrics system in the shape of Thanos. Without a subcommand it is
/// everything in one process, on one directory.
#[derive(Debug, clap::Parser)]
#[command(name = "promontory", version, propagate_version = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    all_in_one: Component<all_in_one::Flags>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Receive samples into a local TSDB.
    #[command(alias = "receive")]
    Ingester(Box<Component<ingester::Flags>>),
    /// Serve a Prometheus or an ingester over the StoreAPI and ship its blocks.
    Sidecar(Box<Component<sidecar::Flags>>),
    /// Serve the blocks of a bucket over the StoreAPI.
    Store(Component<store::Flags>),
    /// Answer PromQL over endpoints that speak the StoreAPI and over a local data directory.
    Querier(Box<Component<querier::Flags>>),
    /// Merge and expire the blocks of a bucket.
    #[command(alias = "compact")]
    Compactor(Component<compactor::Flags>),
    /// Tools for buckets.
    #[command(subcommand)]
    Bucket(commands::bucket::Command),
    /// Check files and metrics before they are used, and what they point to.
    Check(Box<commands::check::Check>),
    /// Ask a server that answers as Prometheus does.
    #[command(subcommand)]
    Query(commands::query::Command),
    /// Benchmarks.
    #[command(subcommand)]
    Bench(commands::bench::Command),
    /// Tools for PromQL.
    #[command(subcommand)]
    Promql(commands::promql::Command),
    /// Tools for data directories and blocks.
    #[command(subcommand)]
    Tsdb(commands::tsdb::Command),
}

/// What every component takes, beside flags of its own.
#[derive(Debug, clap::Args)]
struct Component<F: clap::Args> {
    #[command(flatten)]
    log: runtime::LogFlags,
    /// YAML file with flags under their names; the command line goes before it, and so do variables such
    /// as PROMONTORY_LOG_LEVEL for --log.level.
    #[arg(id = "flags_file", long = flag_sources::FILE_FLAG, value_name = "FILE")]
    flags_file: Option<PathBuf>,
    #[command(flatten)]
    flags: F,
}

impl<F: clap::Args> Component<F> {
    /// Starts the log, names what was ignored, and yields the component's own flags.
    fn start(self, foreign: &Foreign, environment: &Environment) -> F {
        runtime::log::install(self.log.resolve());
        if let Some(file) = &self.flags_file {
            tracing::info!(file = %file.display(), "flags that nobody said are taken from a file");
        }
        let Memory { bytes, source } = environment.memory();
        tracing::info!(bytes, %source, "limits that no flag says follow from this memory");
        match open_files::raise() {
            Some(files) => tracing::info!(files, "so many files and connections may be open"),
            None => tracing::info!("any number of files and connections may be open"),
        }
        for flag in &foreign.ignored {
            tracing::warn!(
                flag = flag.as_str(),
                "flag of Thanos is not supported yet and was ignored"
            );
        }
        for LoudFlag { name, reason, .. } in &foreign.loud {
            tracing::error!(flag = name, reason, "flag of Thanos was ignored");
        }
        self.flags
    }
}

/// Flags of Thanos on a command line that have no effect.
struct Foreign {
    ignored: Vec<String>,
    loud: Vec<LoudFlag>,
}

/// Thanos' flags that the component called `name` does not have; all of them for the process that is
/// every component.
fn foreign_flags(name: Option<&str>) -> Option<Vec<ForeignFlags>> {
    let of_component = match name {
        Some("ingester" | "receive") => vec![ingester::FOREIGN_FLAGS],
        Some("sidecar") => vec![sidecar::FOREIGN_FLAGS],
        Some("store") => vec![store::FOREIGN_FLAGS],
        Some("querier") => vec![querier::FOREIGN_FLAGS],
        Some("compactor" | "compact") => vec![compactor::FOREIGN_FLAGS],
        None => vec![
            ingester::FOREIGN_FLAGS,
            store::FOREIGN_FLAGS,
            querier::FOREIGN_FLAGS,
            compactor::FOREIGN_FLAGS,
        ],
        Some(_) => return None,
    };
    Some([vec![foreign::COMMON], of_component].concat())
}

/// The flags that `command` has itself.
fn own_flags(command: &clap::Command) -> Vec<OwnFlag> {
    let flags = command.get_arguments().flat_map(|flag| {
        let is_switch = !flag.get_action().takes_values();
        let is_repeated = matches!(flag.get_action(), ArgAction::Append);
        let long = flag.get_long();
        let aliases = flag.get_all_aliases().unwrap_or_default();
        let names = long.into_iter().chain(aliases);
        names.map(move |name| OwnFlag {
            name: name.to_owned(),
            of: long.unwrap_or(name).to_owned(),
            is_switch,
            is_repeated,
        })
    });
    flags.collect()
}

/// Adds what variables and files say to a command line that is for a component, and takes the flags of
/// Thanos out of it.
fn sort_flags(args: Vec<OsString>, environment: &Environment) -> Result<Sorted, runtime::Error> {
    let first = args.get(1).map(|arg| arg.to_string_lossy());
    // Without a subcommand, flags begin at once.
    let name = first.as_deref().filter(|first| !first.starts_with('-'));
    let Some(foreign) = foreign_flags(name) else {
        return Ok(Sorted {
            kept: args,
            ignored: Vec::new(),
            loud: Vec::new(),
        });
    };
    let cli = Cli::command();
    let component = match name {
        Some(name) => cli.find_subcommand(name).unwrap_or(&cli),
        None => &cli,
    };
    let own = own_flags(component);
    let first = if name.is_some() { 2 } else { 1 };
    let args = flag_sources::complete(args, first, &own, environment)?;
    foreign::sort_flags(args, &own, &foreign)
}

/// What was said, and the flags of the component with the values that they have.
fn parse(args: Vec<OsString>) -> Result<(Cli, BTreeMap<String, String>), clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(args)?;
    let of_component = |matches: &ArgMatches| match matches.subcommand() {
        Some((name, matches)) => Some(shown(command.find_subcommand(name)?, matches)),
        None => Some(shown(&command, matches)),
    };
    let flags = of_component(&matches).unwrap_or_default();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((cli, flags))
}

/// Reads a file with flags as the component that it is for does, and yields the flags of Thanos in it
/// that are ignored. `None` is the process that is every component.
///
/// # Errors
/// The first flag that cannot be, in words.
fn check_flags(
    component: Option<&str>,
    file: &str,
    environment: &Environment,
) -> Result<Vec<String>, String> {
    if let Some(name) = component.filter(|name| foreign_flags(Some(name)).is_none()) {
        return Err(format!("{name:?} is no component"));
    }
    let flag = format!("--{}={file}", flag_sources::FILE_FLAG);
    let args = ["promontory"].into_iter().chain(component).chain([&*flag]);
    let sorted = sort_flags(args.map(OsString::from).collect(), environment);
    let Sorted {
        kept,
        mut ignored,
        loud,
    } = sorted.map_err(|e| e.chain())?;
    ignored.extend(loud.iter().map(|flag| format!("--{}", flag.name)));
    match parse(kept) {
        Ok(_) => Ok(ignored),
        Err(error) => {
            let shown = error.to_string();
            let first = shown.lines().next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").to_owned())
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let environment = Environment::new(std::env::vars_os()).with_memory(Memory::of_this_process());
    let Sorted {
        kept,
        ignored,
        loud,
    } = match sort_flags(args, &environment) {
        Ok(sorted) => sorted,
        Err(e) => {
            let _ = writeln!(io::stderr(), "error: {e}");
            return ExitCode::from(2);
        }
    };
    let (cli, shown) = match parse(kept) {
        Ok(parsed) => parsed,
        Err(e) => {
            let help = matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed standard stream leaves nobody to tell.
            let _ = e.print();
            return ExitCode::from(if help { 0 } else { 2 });
        }
    };
    let foreign = Foreign { ignored, loud };
    let ran = match cli.command {
        Some(command) => run(command, &foreign, (&environment, shown)),
        None => all_in_one::run(
            cli.all_in_one.start(&foreign, &environment),
            (&environment, shown),
            &mut io::stdout(),
        )
        .map(|()| ExitCode::SUCCESS),
    };
    match ran {
        Ok(code) => code,
        Err(e) if commands::closed_early(&e) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    command: Command,
    foreign: &Foreign,
    (environment, shown): (&Environment, BTreeMap<String, String>),
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Ingester(c) => {
            let mut config = c.start(foreign, environment).resolve(environment)?;
            config.shown_flags = shown;
            ingester::build(config).run()?;
        }
        Command::Sidecar(c) => {
            sidecar::build(c.start(foreign, environment).resolve(environment)?).run()?;
        }
        Command::Store(c) => {
            store::build(c.start(foreign, environment).resolve(environment)?).run()?;
        }
        Command::Querier(c) => {
            let mut config = c.start(foreign, environment).resolve(environment)?;
            config.shown_flags = shown;
            querier::build(config).run()?;
        }
        Command::Compactor(c) => {
            compactor::start(c.start(foreign, environment).resolve(environment)?)?;
        }
        Command::Bucket(command) => {
            return tool(|out| commands::bucket::run(command, environment, out));
        }
        Command::Check(check) => {
            let mut input = io::stdin().lock();
            return tool(|out| commands::check::run(&check, environment, &mut input, out));
        }
        Command::Query(command) => {
            return tool(|out| commands::query::run(command, out, &mut io::stderr()));
        }
        Command::Bench(command) => return tool(|out| commands::bench::run(command, out)),
        Command::Promql(command) => {
            let mut input = io::stdin().lock();
            return tool(|out| commands::promql::run(command, &mut input, out));
        }
        Command::Tsdb(command) => {
            return tool(|out| {
                let stdio = commands::Stdio {
                    input: &mut io::stdin(),
                    out,
                    notes: &mut io::stderr(),
                    notes_on_terminal: io::stderr().is_terminal(),
                };
                commands::tsdb::run(command, stdio)
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a tool with standard output buffered.
fn tool(
    run: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let code = run(&mut out)?;
    out.flush().context("write to standard output")?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn each_flag_has_a_variable_of_its_own() {
        let cli = Cli::command();
        for command in cli.get_subcommands().chain([&cli]) {
            let mut flags = BTreeMap::new();
            for flag in own_flags(command) {
                let variable = flag_sources::variable(&flag.of);
                let other = flags.insert(variable, flag.of.clone());
                assert!(other.is_none_or(|other| other == flag.of), "{flag:?}");
            }
        }
    }

    #[test]
    fn variables_reach_the_component() {
        let variables = [("PROMONTORY_QUERY_MAX_SAMPLES".into(), "7".into())];
        let environment = Environment::new(variables);
        let said = ["promontory", "querier", "--endpoint=a:1"].map(OsString::from);
        let sorted = sort_flags(said.to_vec(), &environment).unwrap();
        let Some(Command::Querier(querier)) = Cli::parse_from(sorted.kept).command else {
            panic!("it is a querier");
        };
        assert_eq!(querier.flags.queries.max_samples, 7);
        // Tools have no such flags.
        let tool = ["promontory", "promql", "format"].map(OsString::from);
        let sorted = sort_flags(tool.to_vec(), &environment).unwrap();
        assert_eq!(sorted.kept.len(), 3);
    }
}
