//! Which PromQL is spoken, and whose HTTP API.

use clap::{Args, ValueEnum};
use promql::parse;

/// A feature that is the ingester's, where one process is both.
const OF_INGESTER: &str = "auto-reload-config";

/// Which PromQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Dialect {
    /// That of Prometheus.
    #[default]
    Prometheus,
    /// That of SOFALookout, which has all of Prometheus' and more, and its HTTP API.
    Lookout,
}

/// What is said about the dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct DialectFlags {
    /// Which PromQL is spoken, and whose HTTP API.
    #[arg(
        long = "query.dialect",
        value_name = "WHOSE",
        default_value = "prometheus"
    )]
    pub dialect: Dialect,
    /// Refuses queries of Lookout's dialect that its server refuses to spare its storage: those
    /// without a label to select by, or with nothing but a regular expression.
    #[arg(long = "query.lookout-guard-rails")]
    pub guard_rails: bool,
    /// Parts of PromQL that may yet change, by Prometheus' names, with commas:
    /// promql-experimental-functions, promql-extended-range-selectors and promql-binop-fill-modifiers.
    /// auto-reload-config is --config.auto-reload. Other names are ignored. May be repeated.
    #[arg(long = "enable-feature", value_name = "NAMES", value_delimiter = ',')]
    pub features: Vec<String>,
}

impl DialectFlags {
    /// What may be written.
    pub fn syntax(&self) -> parse::Options {
        let mut options = parse::Options::default();
        options.features.lookout = self.dialect == Dialect::Lookout;
        for name in &self.features {
            options.features.enable(name);
        }
        options
    }

    /// The names of features that are not of the language.
    pub fn foreign_features(&self) -> impl Iterator<Item = &str> {
        let mut features = parse::Features::default();
        let names = self.features.iter().map(String::as_str);
        names.filter(move |name| !name.is_empty() && *name != OF_INGESTER && !features.enable(name))
    }
}
