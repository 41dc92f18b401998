//! What is said about Lookout's gateway on the command line, beyond what each receiver has.

use std::path::PathBuf;

use clap::Args;
use runtime::Error;

use super::access::{Access, Rates, parse_tokens};
use super::refresh::Refresh;
use super::{Information, Options, Profile};
use crate::protocols::names::Names;
use crate::receive::LabelLimits;

/// Flags of Lookout's gateway.
#[derive(Debug, Clone, Args)]
pub struct LookoutFlags {
    /// Which limits hold for what is sent to Lookout's gateway: its own (names of 200 characters, 1
    /// to 20 tags, two days of age) or those of every other write, where a tag ip of a request also
    /// goes before the address of its connection.
    #[arg(
        long = "lookout.limits",
        value_name = "WHOSE",
        default_value = "lookout"
    )]
    pub limits: Profile,
    /// Whether names of Lookout's metrics keep their dots.
    #[arg(long = "lookout.names", value_name = "HOW", default_value = "keep")]
    pub names: Names,
    /// What becomes of Lookout's records that are no numbers: series with the value 1 and the text
    /// as their label info, or nothing.
    #[arg(
        long = "lookout.information",
        value_name = "WHAT",
        default_value = "keep"
    )]
    pub information: Information,
    /// Keeps times of what is pushed to Lookout's gateway as they are, in place of aligning them to
    /// the step.
    #[arg(long = "lookout.no-alignment")]
    pub no_alignment: bool,
    /// Stores expositions that are pushed to Lookout's gateway at their arrival, whatever their
    /// timestamps.
    #[arg(long = "lookout.ignore-timestamps")]
    pub ignore_timestamps: bool,
    /// Refuses pushes to Lookout's gateway without a token; its own clients have none.
    #[arg(long = "lookout.require-token")]
    pub require_token: bool,
    /// File of the tokens that pushes to Lookout's gateway need: a token and its application on
    /// each line.
    #[arg(long = "lookout.tokens-file", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Requests a second that applications may push to Lookout's gateway: app1=100|app2=200|all=-1.
    #[arg(long = "lookout.rate-limits", value_name = "APP=REQUESTS")]
    pub rate_limits: Option<Rates>,
    /// Has Lookout's clients report only metrics whose names begin so; repeatable.
    #[arg(long = "lookout.report-prefix", value_name = "PREFIX")]
    pub report_prefixes: Vec<String>,
    /// Has Lookout's clients report only metrics with this tag, or a name said otherwise; repeatable.
    #[arg(long = "lookout.report-tag", value_name = "KEY=VALUE")]
    pub report_tags: Vec<String>,
    /// Zone of this gateway of Lookout; clients of another one are sent away.
    #[arg(long = "lookout.cell", value_name = "ZONE")]
    pub cell: Option<String>,
}

impl LookoutFlags {
    /// What was said, where `labels` is as for all writes.
    ///
    /// # Errors
    /// [`Error::Flag`] for a file of tokens that cannot be read.
    pub fn resolve(&self, labels: LabelLimits) -> Result<Options, Error> {
        let wrong = |reason| Error::Flag {
            flag: "lookout.tokens-file",
            reason,
        };
        let tokens = match &self.tokens_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
                parse_tokens(&text).map_err(wrong)?
            }
            None => Default::default(),
        };
        Ok(Options {
            names: self.names,
            profile: self.limits,
            information: self.information,
            align: !self.no_alignment,
            honor_timestamps: !self.ignore_timestamps,
            access: Access {
                require_token: self.require_token,
                tokens,
                rates: self.rate_limits.clone().unwrap_or_default(),
            },
            refresh: Refresh {
                name_prefixes: self.report_prefixes.clone(),
                tags: self.report_tags.clone(),
            },
            cell: self.cell.clone(),
            labels,
        })
    }
}
