//! `bucket verify`: what is wrong with the blocks of a bucket, and mending what can be.
//!
//! The listing alone shows damaged `meta.json`, missing objects and overlaps; with `--deep` each
//! block is downloaded and checked to its last sample. Nothing is deleted: what a repair replaces is
//! marked for deletion.

mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::{BlockInfo, BlockObject, Bucket, Patience, View};
use runtime::Environment;
use runtime::process;
use serde_json::json;
use tsdb::block::Block;
use ulid::Ulid;

use super::progress::{Progress, Work};
use super::{Target, block_files, look, on_runtime};
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
    /// Only issues of this kind. May be repeated. Without it, all that can be seen without a download.
    #[arg(short = 'i', long = "issues", value_name = "ISSUE")]
    issues: Vec<Issue>,
    /// Mend what can be: blocks whose index is wrong are written anew, and these and blocks that others
    /// hold already are marked for deletion. Let no compactor work on the bucket meanwhile.
    #[arg(short = 'r', long)]
    repair: bool,
}

/// What may be wrong with a block; the first three are Thanos' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Issue {
    /// Its index or its chunks are not as they must be. The block is downloaded for that.
    #[value(name = "index_known_issues")]
    Content,
    /// It overlaps another block of its group: queries are right, and the compactor merges them.
    #[value(name = "overlapped_blocks")]
    Overlap,
    /// Another block holds all that it is made of.
    #[value(name = "duplicated_compaction")]
    Duplicate,
    /// Its meta.json cannot be read, or says nothing of its producer.
    #[value(name = "meta")]
    Meta,
    /// Objects are missing, or have another size than meta.json says.
    #[value(name = "files")]
    Files,
}

impl Issue {
    const fn name(self) -> &'static str {
        match self {
            Self::Content => "index_known_issues",
            Self::Overlap => "overlapped_blocks",
            Self::Duplicate => "duplicated_compaction",
            Self::Meta => "meta",
            Self::Files => "files",
        }
    }
}

/// Something that is wrong with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) block: Ulid,
    pub(super) issue: Issue,
    pub(super) text: String,
}

impl Problem {
    fn new(block: Ulid, issue: Issue, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { block, issue, text }
    }
}

impl Args {
    fn looks_for(&self, issue: Issue) -> bool {
        match self.issues.is_empty() {
            true => self.deep || issue != Issue::Content,
            false => self.issues.contains(&issue),
        }
    }

    fn is_asked_for(&self, id: Ulid) -> bool {
        self.ids.is_empty() || self.ids.contains(&id)
    }
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    // Blocks that are written anew are uploaded in large parts, which may take long.
    let patience = match args.repair {
        true => Patience::Background,
        false => Patience::Interactive,
    };
    let bucket = super::open(&args.target.bucket, environment, patience)?;
    on_runtime(async || {
        let view = look(&bucket).await?;
        let content = match args.looks_for(Issue::Content) {
            true => by_content(args, &bucket, &view).await?,
            false => Vec::new(),
        };
        let mut found = by_listing(&view, &content);
        found.retain(|problem| args.looks_for(problem.issue) && args.is_asked_for(problem.block));
        found.extend(content);
        let mut mended = BTreeMap::new();
        if args.repair {
            mended = repair::mend(&bucket, &view, &found).await?;
        }
        show(args, view.blocks.len(), &found, &mended, out)?;
        let is_left = |problem: &Problem| !mended.get(&problem.block).is_some_and(|m| m.is_done);
        Ok(match found.iter().any(is_left) {
            false => ExitCode::SUCCESS,
            true => ExitCode::FAILURE,
        })
    })
}

fn show(
    args: &Args,
    checked: usize,
    found: &[Problem],
    mended: &BTreeMap<Ulid, repair::Mended>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match args.target.output.format {
        Format::Json => {
            let problem = |problem: &Problem| {
                let mut shown = json!({
                    "block": problem.block.to_string(),
                    "issue": problem.issue.name(),
                    "problem": problem.text,
                });
                if let Some(mended) = mended.get(&problem.block) {
                    shown["repair"] = json!(mended.text);
                }
                shown
            };
            let problems: Vec<_> = found.iter().map(problem).collect();
            let all = json!({"blocks": checked, "problems": problems});
            writeln!(out, "{all:#}")?;
        }
        Format::Table => {
            for Problem { block, issue, text } in found {
                writeln!(out, "{block}: {text} ({})", issue.name())?;
            }
            for (block, repair::Mended { text, .. }) in mended {
                writeln!(out, "{block}: {text}")?;
            }
            writeln!(out, "{checked} blocks, {} problems", found.len())?;
        }
    }
    Ok(())
}

/// What the listing and the metas show, where `content` is what is wrong inside of blocks.
fn by_listing(view: &View, content: &[Problem]) -> Vec<Problem> {
    let unreadable = view.corrupted.iter().chain(&view.failed);
    let mut found: Vec<Problem> = unreadable
        .map(|(id, what)| Problem::new(*id, Issue::Meta, what))
        .collect();
    for (id, block) in &view.blocks {
        if block.files.index_bytes.is_none() {
            found.push(Problem::new(*id, Issue::Files, "there is no index"));
        }
        if block.labels().is_empty() {
            let text = "there are no external labels";
            found.push(Problem::new(*id, Issue::Meta, text));
        }
        let listed = block.meta.thanos.iter().flat_map(|t| &t.files);
        for file in listed.filter(|f| f.size_bytes > 0) {
            let Some(object) = BlockObject::parse(&format!("{id}/{}", file.rel_path)) else {
                continue;
            };
            if matches!(object, BlockObject::Meta(_)) {
                continue;
            }
            let size = block_files::size(object, &block.files);
            if size != Some(file.size_bytes) {
                let (name, said) = (&file.rel_path, file.size_bytes);
                let size = size.map_or("no".to_owned(), |n| n.to_string());
                let text = format!("{name} has {size} bytes, where meta.json says {said}");
                found.push(Problem::new(*id, Issue::Files, text));
            }
        }
    }
    let missing = found.iter().filter(|p| p.issue == Issue::Files);
    let unsound: BTreeSet<Ulid> = missing.chain(content).map(|p| p.block).collect();
    found.extend(duplicates(view, &unsound));
    found.extend(overlaps(view));
    found
}

/// Blocks of a group that are not marked for deletion.
fn in_groups(view: &View) -> Vec<Vec<&BlockInfo>> {
    let mut groups: BTreeMap<_, Vec<&BlockInfo>> = BTreeMap::new();
    for block in view.blocks.values().filter(|b| b.deletion_mark.is_none()) {
        let group = groups.entry((block.labels(), block.resolution()));
        group.or_default().push(block);
    }
    groups.into_values().collect()
}

/// Blocks that overlap others of their group.
fn overlaps(view: &View) -> Vec<Problem> {
    let mut found = Vec::new();
    for mut blocks in in_groups(view) {
        blocks.sort_by_key(|b| (b.meta.min_time, b.meta.max_time));
        let mut blocks = blocks.into_iter();
        let Some(mut last) = blocks.next() else {
            continue;
        };
        for block in blocks {
            if block.meta.min_time < last.meta.max_time {
                let text = format!("it overlaps block {}", last.meta.ulid);
                found.push(Problem::new(block.meta.ulid, Issue::Overlap, text));
            }
            // One long block may overlap many.
            if block.meta.max_time > last.meta.max_time {
                last = block;
            }
        }
    }
    found
}

/// Blocks whose sources are all in another block of their group. An unsound block stands for no other:
/// what it is made of may be all that is left.
fn duplicates(view: &View, unsound: &BTreeSet<Ulid>) -> Vec<Problem> {
    let mut found = Vec::new();
    for mut blocks in in_groups(view) {
        let sources = |b: &BlockInfo| -> BTreeSet<Ulid> {
            b.meta.compaction.sources.iter().copied().collect()
        };
        blocks.sort_by_key(|b| {
            (
                std::cmp::Reverse(b.meta.compaction.sources.len()),
                b.meta.ulid,
            )
        });
        let mut kept: Vec<(Ulid, BTreeSet<Ulid>)> = Vec::new();
        for block in blocks {
            let own = sources(block);
            let holder = kept
                .iter()
                .find(|(_, of)| !own.is_empty() && own.is_subset(of));
            match holder {
                Some((holder, _)) => {
                    let text = format!("block {holder} holds all that it is made of");
                    found.push(Problem::new(block.meta.ulid, Issue::Duplicate, text));
                }
                None if unsound.contains(&block.meta.ulid) => {}
                None => kept.push((block.meta.ulid, own)),
            }
        }
    }
    found
}

/// What downloading and checking each block shows.
async fn by_content(args: &Args, bucket: &Bucket, view: &View) -> anyhow::Result<Vec<Problem>> {
    let wanted = view.blocks.iter().filter(|(id, _)| args.is_asked_for(**id));
    let wanted: Vec<&BlockInfo> = wanted.map(|(_, block)| block).collect();
    let mut progress = Progress::new(Work {
        blocks: wanted.len(),
        bytes: wanted.iter().map(|b| b.files.bytes).sum(),
    });
    let mut found = Vec::new();
    for block in wanted {
        let id = block.meta.ulid;
        let texts = in_depth(bucket, block).await?;
        let problems = texts.into_iter();
        found.extend(problems.map(|text| Problem::new(id, Issue::Content, text)));
        let progress = progress.block(block.files.bytes);
        tracing::info!(block = %id, progress, "checked block");
    }
    Ok(found)
}

async fn in_depth(bucket: &Bucket, block: &BlockInfo) -> anyhow::Result<Vec<String>> {
    let work = tempfile::tempdir().context("make a directory for the block")?;
    let dir = work.path().join(block.meta.ulid.to_string());
    if let Err(error) = block_files::download(bucket, block, &dir).await {
        return Ok(vec![format!("{error:#}")]);
    }
    let problems = process::blocking(move || match Block::open(&dir) {
        Ok(block) => block.verify().iter().map(ToString::to_string).collect(),
        Err(e) => vec![e.to_string()],
    });
    Ok(problems.await)
}
