//! Forms in which tools print.

/// How a tool prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
}

/// How a tool prints, as a flag.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Form of the output.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) format: Format,
}
