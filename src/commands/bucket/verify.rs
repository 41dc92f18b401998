//! `bucket verify`: what is wrong with the blocks of a bucket.
//!
//! The listing alone shows damaged `meta.json`, missing objects and overlaps; with `--deep` each
//! block is downloaded and checked to its last sample.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::{BlockInfo, BlockObject, Bucket, View};
use runtime::Environment;
use runtime::process;
use serde_json::json;
use tsdb::block::Block;
use ulid::Ulid;

use super::{Target, look, on_runtime};
use crate::commands::output::Format;

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Download each block, one after the other, and check all of it.
    #[arg(long)]
    deep: bool,
    /// Only this block. May be repeated.
    #[arg(long = "id", value_name = "ULID")]
    ids: Vec<Ulid>,
}

/// A block and what is wrong with it.
type Found = Vec<(Ulid, String)>;

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let bucket = args.target.open(environment)?;
    let (checked, found) = on_runtime(async || {
        let view = look(&bucket).await?;
        let mut found = by_listing(&view);
        if args.deep {
            for (id, block) in &view.blocks {
                if args.ids.is_empty() || args.ids.contains(id) {
                    found.extend(in_depth(&bucket, *id, block).await?);
                }
            }
        }
        found.retain(|(id, _)| args.ids.is_empty() || args.ids.contains(id));
        Ok((view.blocks.len(), found))
    })?;
    match args.target.output.format {
        Format::Json => {
            let problems: Vec<_> = (found.iter())
                .map(|(id, what)| json!({"block": id.to_string(), "problem": what}))
                .collect();
            writeln!(
                out,
                "{:#}",
                json!({"blocks": checked, "problems": problems})
            )?;
        }
        Format::Table => {
            for (id, what) in &found {
                writeln!(out, "{id}: {what}")?;
            }
            writeln!(out, "{checked} blocks, {} problems", found.len())?;
        }
    }
    Ok(match found.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What the listing and the metas show.
fn by_listing(view: &View) -> Found {
    let unreadable = view.corrupted.iter().chain(&view.failed);
    let mut found: Found = unreadable.map(|(id, what)| (*id, what.clone())).collect();
    for (id, block) in &view.blocks {
        if block.files.index_bytes.is_none() {
            found.push((*id, "there is no index".to_owned()));
        }
        if block.labels().is_empty() {
            found.push((*id, "there are no external labels".to_owned()));
        }
        let listed = block.meta.thanos.iter().flat_map(|t| &t.files);
        for file in listed.filter(|f| f.size_bytes > 0) {
            let object = BlockObject::parse(&format!("{id}/{}", file.rel_path));
            let size = match object {
                Some(BlockObject::Index(_)) => block.files.index_bytes,
                Some(BlockObject::Chunks(_, n)) => block.files.segments.get(n),
                _ => continue,
            };
            if size != Some(file.size_bytes) {
                let (name, said) = (&file.rel_path, file.size_bytes);
                let size = size.map_or("no".to_owned(), |n| n.to_string());
                found.push((
                    *id,
                    format!("{name} has {size} bytes, where meta.json says {said}"),
                ));
            }
        }
    }
    found.extend(overlaps(view));
    found
}

/// Blocks that overlap others of their group: queries are right, and the compactor merges them.
fn overlaps(view: &View) -> Found {
    let mut blocks: Vec<&BlockInfo> = view.blocks.values().collect();
    blocks.retain(|b| b.deletion_mark.is_none());
    blocks.sort_by_key(|b| (b.labels().clone(), b.resolution(), b.meta.min_time));
    let overlaps = blocks.windows(2).filter_map(|pair| {
        let [a, b] = pair else {
            return None;
        };
        let same = a.labels() == b.labels() && a.resolution() == b.resolution();
        let overlap = same && a.meta.range().overlaps(b.meta.range());
        overlap.then(|| (b.meta.ulid, format!("it overlaps block {}", a.meta.ulid)))
    });
    overlaps.collect()
}

async fn in_depth(bucket: &Bucket, id: Ulid, block: &BlockInfo) -> anyhow::Result<Found> {
    let work = tempfile::tempdir().context("make a directory for the block")?;
    let dir = work.path().join(id.to_string());
    std::fs::create_dir_all(dir.join("chunks")).context("make a directory for the block")?;
    let mut objects = vec![
        (BlockObject::Meta(id), "meta.json".to_owned()),
        (BlockObject::Index(id), "index".to_owned()),
    ];
    for segment in block.files.segments.numbers() {
        let name = format!("chunks/{segment:06}");
        objects.push((BlockObject::Chunks(id, segment), name));
    }
    for (object, name) in objects {
        let (key, file) = (object.to_string(), dir.join(name));
        if let Err(e) = bucket.download_file(&key, &file).await {
            return Ok(vec![(id, e.chain())]);
        }
    }
    let problems = process::blocking(move || match Block::open(&dir) {
        Ok(block) => block.verify().iter().map(ToString::to_string).collect(),
        Err(e) => vec![e.to_string()],
    });
    Ok(problems.await.into_iter().map(|what| (id, what)).collect())
}
