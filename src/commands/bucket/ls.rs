//! `bucket ls`: the blocks of a bucket, one a line.

use std::io::Write;
use std::process::ExitCode;

use bucket::BlockInfo;
use model::time::Rfc3339;
use runtime::{BucketFlags, Environment};
use serde_json::json;

use super::select::Selection;
use super::template::Template;
use super::{go_duration, seen};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    #[command(flatten)]
    selection: Selection,
    /// Form of the output: table (names only), wide, json, or a template for a line about each block,
    /// such as '{{.ULID}} {{.Thanos.Labels}}'.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table",
        value_parser = form
    )]
    form: Form,
    /// Leave out blocks that are marked for deletion.
    #[arg(long)]
    exclude_delete: bool,
}

/// How blocks are shown.
#[derive(Debug, Clone)]
enum Form {
    Names,
    Wide,
    Json,
    Template(Template),
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "" | "table" => Ok(Form::Names),
        "wide" => Ok(Form::Wide),
        "json" => Ok(Form::Json),
        text if text.contains("{{") => Template::parse(text).map(Form::Template),
        _ => Err("use table, wide, json, or a template with {{.Field}} in it".to_owned()),
    }
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let view = seen(&args.bucket, &args.selection, environment)?;
    let is_shown = |marked: bool| !(marked && args.exclude_delete);
    let blocks = view
        .blocks
        .iter()
        .filter(|(_, b)| is_shown(b.deletion_mark.is_some()));
    match &args.form {
        Form::Names => {
            for (id, _) in blocks {
                writeln!(out, "{id}")?;
            }
        }
        Form::Wide => {
            for (_, block) in blocks {
                writeln!(out, "{}", wide(block))?;
            }
        }
        Form::Template(template) => {
            for (_, block) in blocks {
                let meta = serde_json::to_value(&*block.meta)?;
                let line = template.line(&meta).map_err(anyhow::Error::msg)?;
                writeln!(out, "{line}")?;
            }
        }
        Form::Json => {
            let metas: Result<Vec<_>, _> = blocks
                .map(|(_, b)| serde_json::to_value(&*b.meta))
                .collect();
            let partial: Vec<_> = view.partial.keys().map(ToString::to_string).collect();
            let list = json!({"blocks": metas?, "partial": partial});
            writeln!(out, "{list:#}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A block in Thanos' words.
fn wide(block: &BlockInfo) -> String {
    let meta = &block.meta;
    let seconds = |ms: i64| ms.div_euclid(1000) * 1000;
    let (from, until) = (seconds(meta.min_time), seconds(meta.max_time));
    let source = meta.thanos.as_ref().map_or("", |t| &t.source);
    format!(
        "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {source}",
        meta.ulid,
        Rfc3339(from),
        Rfc3339(until),
        go_duration(until - from),
        meta.compaction.level,
        block.resolution(),
    )
}
