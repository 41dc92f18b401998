//! `promontory promql parse`: what the parser makes of expressions, all experimental syntax on.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use promql::parse::{Options, parse_expr};
use promql::print::{pretty, to_json};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The expression, whose tree is printed as JSON; `-` reads objects `{"expr": "..."}` from
    /// standard input, one per line, and writes for each one with `ok`, `error`, `printed` and
    /// `pretty`.
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expr: String,
}

pub(crate) fn run(
    args: &Args,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if args.expr == "-" {
        return judge_lines(input, out);
    }
    let expr = parse_expr(&args.expr, Options::all_features())?;
    writeln!(out, "{:#}", to_json(&expr))?;
    Ok(ExitCode::SUCCESS)
}

fn judge_lines(input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut line = Vec::new();
    let mut code = ExitCode::SUCCESS;
    while input.read_until(b'\n', &mut line)? > 0 {
        if !line.trim_ascii().is_empty() {
            let answer = match expr_of(&line) {
                Ok(expr) => judge(&expr),
                Err(error) => {
                    code = ExitCode::FAILURE;
                    refused(None, &error)
                }
            };
            serde_json::to_writer(&mut *out, &answer)?;
            out.write_all(b"\n")?;
        }
        line.clear();
    }
    Ok(code)
}

/// The expression in a line of input.
fn expr_of(line: &[u8]) -> Result<String, String> {
    let row: Value = serde_json::from_slice(line).map_err(|e| format!("not JSON: {e}"))?;
    match &row["expr"] {
        Value::String(expr) => Ok(expr.clone()),
        _ => Err("not an object with a string `expr`".to_owned()),
    }
}

fn judge(expr: &str) -> Value {
    match parse_expr(expr, Options::all_features()) {
        Ok(tree) => json!({
            "expr": expr,
            "ok": true,
            "error": "",
            "printed": tree.to_string(),
            "pretty": pretty(&tree),
        }),
        Err(error) => refused(Some(expr), &error.to_string()),
    }
}

fn refused(expr: Option<&str>, error: &str) -> Value {
    json!({"expr": expr, "ok": false, "error": error, "printed": "", "pretty": ""})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_on(expr: &str, mut input: &[u8]) -> anyhow::Result<String> {
        let args = Args {
            expr: expr.to_owned(),
        };
        let mut out = Vec::new();
        run(&args, &mut input, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn judges_line_by_line() {
        let input = b"{\"expr\": \"a+b\"}\n\n{\"expr\": \"sum(\"}\nnonsense\n{}";
        let out = run_on("-", input).unwrap();
        let answers: Vec<Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(answers[0]["printed"], "a + b");
        assert_eq!(answers[0]["ok"], true);
        assert_eq!(
            answers[1]["error"],
            "1:5: parse error: unclosed left parenthesis"
        );
        assert_eq!(answers[1]["expr"], "sum(");
        assert!(
            answers[2]["error"]
                .as_str()
                .unwrap()
                .starts_with("not JSON")
        );
        assert_eq!(answers[3]["error"], "not an object with a string `expr`");
        assert_eq!(answers.len(), 4);
    }

    #[test]
    fn prints_the_tree_of_one_expression() {
        let tree: Value = serde_json::from_str(&run_on("-x", b"").unwrap()).unwrap();
        assert_eq!(tree["type"], "unaryExpr");
        assert_eq!(tree["expr"]["name"], "x");
        assert!(run_on("x[", b"").is_err());
    }
}
