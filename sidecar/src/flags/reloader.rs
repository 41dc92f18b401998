//! Flags of the watching of Prometheus' configuration.

use std::path::PathBuf;
use std::time::Duration;

use model::time::DurationMs;
use runtime::Environment;

use super::duration;

/// Shortest time after which a reload that failed is tried again.
const RETRY_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Flags of the watching of Prometheus' configuration.
#[derive(Debug, Clone, clap::Args)]
pub struct ReloaderFlags {
    /// Configuration of Prometheus, which is told to read it again when it changes.
    #[arg(long = "reloader.config-file", value_name = "FILE")]
    pub watched_file: Option<PathBuf>,
    /// Where that is written to with the values of variables of the environment in place of $(NAME), and
    /// where Prometheus reads it.
    #[arg(long = "reloader.config-envsubst-file", value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Directory of rules, with changes of which Prometheus reads its configuration again, too.
    #[arg(long = "reloader.rule-dir", value_name = "DIR")]
    pub rule_dirs: Vec<PathBuf>,
    /// Longest time until a change is seen, which never takes longer than 5 s; 0 to apply what is there at
    /// the start and watch nothing.
    #[arg(
        long = "reloader.watch-interval",
        value_name = "DURATION",
        default_value = "3m"
    )]
    pub watch_interval: DurationMs,
    /// How long to wait after a failure.
    #[arg(
        long = "reloader.retry-interval",
        value_name = "DURATION",
        default_value = "5s"
    )]
    pub retry_interval: DurationMs,
    /// How Prometheus is told: over its HTTP API, or by a signal to its process.
    #[arg(
        long = "reloader.method",
        value_name = "METHOD",
        default_value = "http",
        value_parser = ["http", "signal"]
    )]
    pub method: String,
    /// Name of the executable that gets the signal.
    #[arg(
        long = "reloader.process-name",
        value_name = "NAME",
        default_value = "prometheus"
    )]
    pub process_name: String,
}

/// How Prometheus is told to read its configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadMethod {
    /// Over its HTTP API.
    Http,
    /// By a signal.
    Signal {
        /// Name of its executable.
        process_name: String,
    },
}

/// What of Prometheus' configuration is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloaderConfig {
    /// The configuration.
    pub config_file: Option<PathBuf>,
    /// Where it is written with variables replaced.
    pub output_file: Option<PathBuf>,
    /// Directories of rules.
    pub rule_dirs: Vec<PathBuf>,
    /// Longest time until a change is seen; zero to watch nothing.
    pub watch_interval: Duration,
    /// Time to wait after a failure.
    pub retry_interval: Duration,
    /// How Prometheus is told.
    pub method: ReloadMethod,
    /// The variables.
    pub environment: Environment,
}

impl ReloaderFlags {
    /// What is to be watched, if anything is.
    pub(super) fn resolve(self, environment: &Environment) -> Option<ReloaderConfig> {
        if self.output_file.is_some() && self.watched_file.is_none() {
            tracing::warn!(
                "--reloader.config-envsubst-file is written from --reloader.config-file, which is not \
                 said; nothing is written"
            );
        }
        if self.watched_file.is_none() && self.rule_dirs.is_empty() {
            return None;
        }
        let method = match self.method.as_str() {
            "signal" => ReloadMethod::Signal {
                process_name: self.process_name,
            },
            _ => ReloadMethod::Http,
        };
        Some(ReloaderConfig {
            config_file: self.watched_file,
            output_file: self.output_file,
            rule_dirs: self.rule_dirs,
            watch_interval: duration(self.watch_interval),
            retry_interval: duration(self.retry_interval).max(RETRY_INTERVAL_MIN),
            method,
            environment: environment.clone(),
        })
    }
}
