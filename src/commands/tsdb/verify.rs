//! `tsdb verify`: a deep check of blocks, WAL, WBL and head chunks.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use tsdb::block::Problem;
use tsdb::db::verify::{self, Logs};

use super::target::Target;
use crate::commands::output::{Format, Output};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

/// What a check found.
#[derive(Debug, Default)]
struct Found {
    blocks: usize,
    logs: Logs,
    problems: Vec<(Problem, &'static str)>,
}

const BLOCK_ADVICE: &str = "move the block out of the directory, or restore it from a copy";
const LOG_ADVICE: &str = "records before the damage are read; a repair sets the rest aside";

/// Prints each problem with file, offset and advice; the exit code is 1 when there is one.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut found = Found::default();
    let blocks = match args.target.blocks() {
        Ok(blocks) => blocks,
        // A single block that does not open is a finding, not a failure of the tool.
        Err(e) if args.target.is_block() => {
            let what = format!("{e:#}");
            let file = args.target.dir().to_owned();
            found.problems.push((
                Problem {
                    file,
                    offset: None,
                    what,
                },
                BLOCK_ADVICE,
            ));
            tsdb::db::Blocks::default()
        }
        Err(e) => return Err(e),
    };
    for (dir, e) in blocks.unreadable {
        let problem = Problem {
            file: dir,
            offset: None,
            what: e.to_string(),
        };
        found.problems.push((problem, BLOCK_ADVICE));
    }
    for block in &blocks.readable {
        found.blocks += 1;
        found
            .problems
            .extend(block.verify().into_iter().map(|p| (p, BLOCK_ADVICE)));
    }
    if !args.target.is_block() {
        found.logs = verify::logs(args.target.dir())?;
        let damage = std::mem::take(&mut found.logs.problems);
        found
            .problems
            .extend(damage.into_iter().map(|p| (p, LOG_ADVICE)));
    }
    match args.output.format {
        Format::Json => writeln!(out, "{:#}", as_json(&found))?,
        Format::Table => print(&found, out)?,
    }
    Ok(if found.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(found: &Found, out: &mut dyn Write) -> anyhow::Result<()> {
    for (problem, advice) in &found.problems {
        writeln!(out, "{problem}; {advice}")?;
    }
    for torn in &found.logs.torn {
        writeln!(
            out,
            "{torn}; the last record was cut short by a crash, which is no damage"
        )?;
    }
    writeln!(
        out,
        "{} blocks, {} log segments with {} records and {} head chunks checked: {}",
        found.blocks,
        found.logs.segments,
        found.logs.records,
        found.logs.head_chunks,
        match found.problems.len() {
            0 => "all sound".to_owned(),
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        }
    )?;
    Ok(())
}

fn as_json(found: &Found) -> serde_json::Value {
    let place = |p: &Problem| json!({"file": p.file, "offset": p.offset, "what": p.what});
    let problems: Vec<_> = found
        .problems
        .iter()
        .map(|(p, advice)| {
            let mut problem = place(p);
            problem["advice"] = (*advice).into();
            problem
        })
        .collect();
    json!({
        "blocks": found.blocks,
        "segments": found.logs.segments,
        "records": found.logs.records,
        "head_chunks": found.logs.head_chunks,
        "problems": problems,
        "torn": found.logs.torn.iter().map(place).collect::<Vec<_>>(),
    })
}
