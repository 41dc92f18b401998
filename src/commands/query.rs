//! Questions to a server that answers as Prometheus does.
//!
//! Arguments and output are those of `promtool query`; `-o json` prints the data of the answer as the
//! server gave it.

mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use model::time::{JsonSeconds, parse_timestamp};
use reqwest::Method;
use runtime::process::{self, Shutdown};
use runtime::{Clock as _, SystemClock};
use serde_json::Value;
use sidecar::client::{Client, ClientConfig, Parameters};

/// Threads for files and JSON.
const THREADS: usize = 4;
/// How far a range reaches back that has no start, in milliseconds.
const RANGE_DEFAULT_MS: i64 = 5 * 60 * 1000;
/// Steps of a range that has none.
const STEPS_DEFAULT: i64 = 250;

/// Questions to a server.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Evaluate an expression at one instant.
    Instant(InstantArgs),
    /// Evaluate an expression at every step of a range of time.
    Range(RangeArgs),
    /// List series.
    Series(SeriesArgs),
    /// List the values of a label, or the names of labels.
    Labels(LabelsArgs),
}

/// The server, and how it is asked.
#[derive(Debug, clap::Args)]
struct ServerArgs {
    /// URL of the server, such as `http://localhost:9090`.
    #[arg(value_name = "URL")]
    server: String,
    /// Header to send, as NAME=VALUE or "NAME: VALUE". May be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// File with credentials and TLS: `basic_auth`, `bearer_token`, `bearer_token_file`,
    /// `tls_config`.
    #[arg(long = "http.config.file", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the result is printed.
    #[arg(
        short = 'o',
        long = "output",
        visible_alias = "format",
        value_name = "FORMAT",
        default_value = "promql"
    )]
    format: Format,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line for each sample, as `promtool` has it.
    #[value(alias = "table")]
    Promql,
    /// For programs.
    Json,
}

/// Flags of `query instant`.
#[derive(Debug, clap::Args)]
pub(crate) struct InstantArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The expression.
    #[arg(value_name = "EXPR")]
    expr: String,
    /// When, in seconds since the Unix epoch or RFC 3339; by default now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: Option<i64>,
    /// Show how a Promontory or a Thanos would evaluate the expression, not its result.
    #[arg(long)]
    explain: bool,
}

/// Flags of `query range`.
#[derive(Debug, clap::Args)]
pub(crate) struct RangeArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The expression.
    #[arg(value_name = "EXPR")]
    expr: String,
    /// First step; by default five minutes before the end.
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<i64>,
    /// Last step; by default now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    end: Option<i64>,
    /// Time between steps, such as `15s`; by default a 250th of the range.
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,
    /// Show how a Promontory or a Thanos would evaluate the expression, not its result.
    #[arg(long)]
    explain: bool,
}

/// Flags of `query series`.
#[derive(Debug, clap::Args)]
pub(crate) struct SeriesArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Selector of series. May be repeated.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    selectors: Vec<String>,
    #[command(flatten)]
    range: RangeOfTime,
}

/// Flags of `query labels`.
#[derive(Debug, clap::Args)]
pub(crate) struct LabelsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The label; without it, names of labels are listed.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only of series that one of these selects. May be repeated.
    #[arg(long = "match", value_name = "SELECTOR")]
    selectors: Vec<String>,
    #[command(flatten)]
    range: RangeOfTime,
}

/// What lies between two times.
#[derive(Debug, clap::Args)]
struct RangeOfTime {
    /// Only what has samples from here on.
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<i64>,
    /// Only what has samples up to here.
    #[arg(long, value_name = "TIME", value_parser = time)]
    end: Option<i64>,
}

fn time(text: &str) -> Result<i64, String> {
    parse_timestamp(text).map_err(|error| error.to_string())
}

fn seconds(ms: i64) -> String {
    JsonSeconds(ms).to_string()
}

/// Runs the tool; warnings go to `notes`.
pub(crate) fn run(
    command: Command,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (server, question) = match command {
        Command::Instant(args) => instant(args),
        Command::Range(args) => range(args, SystemClock.now_ms())?,
        Command::Series(args) => series(args),
        Command::Labels(args) => labels(args),
    };
    let client = server.client()?;
    let Question {
        method,
        path,
        parameters,
        show,
    } = question;
    let asked = process::run(THREADS, async |_: Shutdown| {
        Ok(client.ask::<Value>(method, &path, &parameters).await)
    });
    let answer = asked?.map_err(|error| anyhow::anyhow!("ask {}: {error}", server.server))?;
    for warning in &answer.warnings {
        writeln!(notes, "warning: {warning}")?;
    }
    match server.format {
        Format::Json => {
            // What the data of a query is beside its result, the form of the result says too.
            let shown = answer.data.get("result").unwrap_or(&answer.data);
            writeln!(out, "{shown}")?;
        }
        Format::Promql => {
            let reason = || format!("{} answers what is no result", server.server);
            show(&answer.data, out).with_context(reason)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a server is asked, and how its answer is printed.
struct Question {
    method: Method,
    path: String,
    parameters: Parameters,
    show: fn(&Value, &mut dyn Write) -> anyhow::Result<()>,
}

impl Question {
    /// An expression's result, or its plan.
    fn about(path: &str, parameters: Parameters, explain: bool) -> Self {
        let (path, show): (_, fn(&Value, &mut dyn Write) -> _) = match explain {
            true => (format!("{path}_explain"), show::plan),
            false => (path.to_owned(), show::result),
        };
        Self {
            method: Method::POST,
            path,
            parameters,
            show,
        }
    }
}

fn instant(args: InstantArgs) -> (ServerArgs, Question) {
    let mut parameters: Parameters = vec![("query", args.expr)];
    parameters.extend(args.time.map(|ms| ("time", seconds(ms))));
    let question = Question::about("/api/v1/query", parameters, args.explain);
    (args.server, question)
}

fn range(args: RangeArgs, now_ms: i64) -> anyhow::Result<(ServerArgs, Question)> {
    let end = args.end.unwrap_or(now_ms);
    let start = args.start.unwrap_or(end - RANGE_DEFAULT_MS);
    anyhow::ensure!(start <= end, "the end of the range is before its start");
    let step = args.step.unwrap_or_else(|| {
        let whole = (end - start) / 1000 / STEPS_DEFAULT;
        whole.max(1).to_string()
    });
    let parameters = vec![
        ("query", args.expr),
        ("start", seconds(start)),
        ("end", seconds(end)),
        ("step", step),
    ];
    let question = Question::about("/api/v1/query_range", parameters, args.explain);
    Ok((args.server, question))
}

fn series(args: SeriesArgs) -> (ServerArgs, Question) {
    let question = Question {
        method: Method::POST,
        path: "/api/v1/series".to_owned(),
        parameters: args.range.parameters(args.selectors),
        show: show::label_sets,
    };
    (args.server, question)
}

fn labels(args: LabelsArgs) -> (ServerArgs, Question) {
    let question = Question {
        method: Method::GET,
        path: match args.name {
            Some(name) => format!("/api/v1/label/{}/values", show::path_segment(&name)),
            None => "/api/v1/labels".to_owned(),
        },
        parameters: args.range.parameters(args.selectors),
        show: show::strings,
    };
    (args.server, question)
}

impl RangeOfTime {
    fn parameters(&self, selectors: Vec<String>) -> Parameters {
        let selectors = selectors.into_iter().map(|text| ("match[]", text));
        let start = self.start.map(|ms| ("start", seconds(ms)));
        let end = self.end.map(|ms| ("end", seconds(ms)));
        selectors.chain(start).chain(end).collect()
    }
}

impl ServerArgs {
    fn client(&self) -> anyhow::Result<Client> {
        let url = self.server.trim_end_matches('/');
        let url = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let yaml = match &self.config {
            None => String::new(),
            Some(file) => {
                std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?
            }
        };
        let config = ClientConfig::parse(&yaml).map_err(|reason| {
            let file = self.config.as_deref().unwrap_or_else(|| "".as_ref());
            anyhow::anyhow!("{}: {reason}", file.display())
        })?;
        let headers = self.headers.iter().map(|text| {
            let (name, value) = text
                .split_once(['=', ':'])
                .with_context(|| format!("header {text:?} is not NAME=VALUE"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        });
        let headers = headers.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Client::new(&url, &config)?.with_headers(&headers)?)
    }
}
