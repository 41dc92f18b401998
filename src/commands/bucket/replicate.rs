//! `bucket replicate`: blocks of one bucket into another.
//!
//! A copy becomes visible last, by its `meta.json`, when all else is there and has its size. What was
//! copied before is not copied again, so that a run that was cut off is gone on with.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bucket::{BlockInfo, BlockObject, Bucket, Patience, View};
use futures::TryStreamExt as _;
use model::time::DurationMs;
use model::{Labels, Matcher};
use promql::parse::{Options, parse_selector};
use runtime::{BucketFlags, Environment};
use tokio::time::sleep;
use ulid::Ulid;

use super::progress::{Progress, Work};
use super::select::Selection;
use super::{block_files, look_at, on_runtime, open, open_to_fill};

/// Pause between two runs.
const PAUSE: Duration = Duration::from_secs(60);

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    from: BucketFlags,
    /// File with the configuration of the bucket that is copied to.
    #[arg(
        long = "objstore-to.config-file",
        value_name = "FILE",
        conflicts_with = "to_text"
    )]
    to_file: Option<PathBuf>,
    /// The configuration itself, instead of a file.
    #[arg(long = "objstore-to.config", value_name = "YAML")]
    to_text: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// Only blocks of this resolution: 0s is raw, 5m, 1h. May be repeated; without it all.
    #[arg(long = "resolution", value_name = "DURATION")]
    resolutions: Vec<DurationMs>,
    /// Least level of compaction.
    #[arg(long = "compaction-min", value_name = "LEVEL", default_value_t = 1)]
    level_min: u32,
    /// Highest level of compaction.
    #[arg(long = "compaction-max", value_name = "LEVEL", default_value_t = 4)]
    level_max: u32,
    /// Only this level, whatever the least and the highest are. May be repeated.
    #[arg(long = "compaction", value_name = "LEVEL")]
    levels: Vec<u32>,
    /// Only blocks whose external labels match, such as 'cluster=~"a|b"' or '{cluster="a"}'. May be
    /// repeated; all must match.
    #[arg(long = "matcher", value_name = "MATCHER", value_parser = matchers)]
    matchers: Vec<Matchers>,
    /// Only this block, whatever else is said. May be repeated; one run is made then.
    #[arg(long = "id", value_name = "ULID")]
    ids: Vec<Ulid>,
    /// Leave out blocks that are marked for deletion.
    #[arg(long)]
    ignore_marked_for_deletion: bool,
    /// End after one run, instead of looking for more every minute.
    #[arg(long)]
    single_run: bool,
}

#[derive(Debug, Clone)]
struct Matchers(Vec<Matcher>);

fn matchers(text: &str) -> Result<Matchers, String> {
    let text = text.trim();
    let text = match text.starts_with('{') {
        true => text.to_owned(),
        false => format!("{{{text}}}"),
    };
    let parsed = parse_selector(&text, Options::default());
    parsed.map(Matchers).map_err(|e| e.to_string())
}

impl Args {
    fn takes(&self, block: &BlockInfo) -> bool {
        if !self.ids.is_empty() {
            return self.ids.contains(&block.meta.ulid);
        }
        let level = block.meta.compaction.level;
        let has_level = match self.levels.is_empty() {
            true => (self.level_min..=self.level_max).contains(&level),
            false => self.levels.contains(&level),
        };
        let has_resolution = self.resolutions.is_empty()
            || self.resolutions.contains(&DurationMs(block.resolution()));
        let labels = block.labels().iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let labels = Labels::from_pairs(labels);
        let fits = self.matchers.iter().all(|m| labels.match_all(&m.0));
        let is_kept = !(self.ignore_marked_for_deletion && block.deletion_mark.is_some());
        has_level && has_resolution && fits && is_kept
    }
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let from = open(&args.from, environment, Patience::Background)?;
    let to = BucketFlags {
        config_file: args.to_file.clone(),
        config: args.to_text.clone(),
    };
    let to = open_to_fill(&to, environment, Patience::Background);
    let to = to.context("open the bucket of --objstore-to.config-file")?;
    // Where time does not matter, blocks are named.
    let filters = match args.ids.is_empty() {
        true => args.selection.filters(environment)?,
        false => Vec::new(),
    };
    on_runtime(async || {
        loop {
            let view = look_at(&from, filters.clone()).await?;
            let is_complete = replicate(args, &view, (&from, &to), out).await?;
            if args.single_run || !args.ids.is_empty() {
                return Ok(match is_complete {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                });
            }
            sleep(PAUSE).await;
        }
    })
}

/// Copies what is not there yet; false when some could not be.
async fn replicate(
    args: &Args,
    view: &View,
    (from, to): (&Bucket, &Bucket),
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let there = look_at(to, Vec::new())
        .await
        .context("look at the other bucket")?;
    let mut taken: Vec<&BlockInfo> = view.blocks.values().filter(|b| args.takes(b)).collect();
    let all = taken.len();
    taken.retain(|block| !there.blocks.contains_key(&block.meta.ulid));
    // What is oldest is likely to go first.
    taken.sort_by_key(|block| (block.meta.min_time, block.meta.ulid));
    let mut progress = Progress::new(Work {
        blocks: taken.len(),
        bytes: taken.iter().map(|b| b.files.bytes).sum(),
    });
    let mut failed = 0;
    for block in &taken {
        let id = block.meta.ulid;
        match copy(block, from, to).await {
            Ok(()) => writeln!(out, "{id} is copied; {}", progress.block(block.files.bytes))?,
            Err(error) => {
                failed += 1;
                progress.block(block.files.bytes);
                writeln!(out, "{id} is not copied: {error:#}")?;
            }
        }
        out.flush()?;
    }
    let (copied, before) = (taken.len() - failed, all - taken.len());
    writeln!(
        out,
        "{copied} blocks are copied, {before} were there, {failed} failed"
    )?;
    out.flush()?;
    Ok(failed == 0)
}

/// Copies a block through a file on disk, object by object.
async fn copy(block: &BlockInfo, from: &Bucket, to: &Bucket) -> anyhow::Result<()> {
    let id = block.meta.ulid;
    let work = tempfile::tempdir().context("make a directory for the block")?;
    for (object, name) in block_files::objects(id, &block.files) {
        let (key, file) = (object.to_string(), work.path().join("object"));
        let size = block_files::size(object, &block.files);
        if matches!(object, BlockObject::Meta(_)) {
            check_sizes(block, to).await?;
        } else if size.is_some() && size == to.attributes(&key).await?.map(|o| o.size) {
            continue;
        }
        let got = from.download_file(&key, &file).await?;
        anyhow::ensure!(
            size.is_none_or(|size| size == got),
            "{name} changed while it was read"
        );
        check_hash(block, &name, &file)?;
        to.upload_file(&file, &key).await?;
    }
    Ok(())
}

/// Everything but `meta.json` is there as it was.
async fn check_sizes(block: &BlockInfo, to: &Bucket) -> anyhow::Result<()> {
    let id = block.meta.ulid;
    let there: Vec<_> = to.list(&id.to_string()).try_collect().await?;
    for (object, name) in block_files::objects(id, &block.files) {
        let key = object.to_string();
        let size = block_files::size(object, &block.files);
        let found = there.iter().find(|o| o.key == key).map(|o| o.size);
        anyhow::ensure!(
            size.is_none() || size == found,
            "{name} has {} bytes in the other bucket, not {}",
            found.unwrap_or(0),
            size.unwrap_or(0)
        );
    }
    Ok(())
}

/// The file has the hash that `meta.json` says, if it says one.
fn check_hash(block: &BlockInfo, name: &str, file: &std::path::Path) -> anyhow::Result<()> {
    let mut listed = block.meta.thanos.iter().flat_map(|t| &t.files);
    let said = listed.find(|f| f.rel_path == name);
    let Some(said) = said.and_then(|f| f.hash.as_ref()) else {
        return Ok(());
    };
    let Ok(function) = said.hash_func.parse::<bucket::HashFunction>() else {
        // One that is not known here.
        return Ok(());
    };
    let found = function.of(file).context("read what was downloaded")?;
    anyhow::ensure!(
        found.is_none_or(|found| found.value == said.value),
        "{name} has another hash than meta.json says"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_with_and_without_braces() {
        for text in ["a=\"b\"", "{a=\"b\"}", " {a=~\"b\", c!=\"d\"} ", "a!~\"x\""] {
            assert!(matchers(text).is_ok(), "{text}");
        }
        assert!(matchers("a").is_err());
        let found = matchers("{a=~\"b.*\", c!=\"d\"}").unwrap();
        let of =
            |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).match_all(&found.0);
        assert!(of(&[("a", "bx")]) && !of(&[("a", "bx"), ("c", "d")]) && !of(&[("a", "c")]));
    }
}
