//! `promontory promql format`: an expression as people like to read it.

use std::io::{BufRead, Read as _, Write};
use std::process::ExitCode;

use promql::parse::{Options, parse_expr};
use promql::print::pretty;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The expression; `-` reads it from standard input.
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expr: String,
}

/// A text longer than this cannot be within the parser's limits.
const MAX_BYTES: u64 = 1 << 24;

pub(crate) fn run(
    args: &Args,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let expr = if args.expr == "-" {
        input.take(MAX_BYTES).read_to_string(&mut text)?;
        &text
    } else {
        &args.expr
    };
    let tree = parse_expr(expr, Options::all_features())?;
    writeln!(out, "{}", pretty(&tree))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_its_argument_or_its_input() {
        for (arg, mut input) in [("sum( x )by(job)", &b""[..]), ("-", b"sum by (job)\n(x)\n")] {
            let args = Args {
                expr: arg.to_owned(),
            };
            let mut out = Vec::new();
            run(&args, &mut input, &mut out).unwrap();
            assert_eq!(out, b"sum by (job) (x)\n", "{arg}");
        }
    }
}
