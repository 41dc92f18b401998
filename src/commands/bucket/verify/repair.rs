//! Mending blocks: a better one takes the place of each, and the old one is marked for deletion.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use bucket::delete::mark_for_deletion;
use bucket::{BlockInfo, Bucket, Origin, View, upload_block};
use runtime::{Clock as _, SystemClock, process};
use tsdb::block::{Block, Meta};
use tsdb::merge::{Overlap, compact};
use ulid::Ulid;

use super::super::block_files;
use super::{Issue, Problem};

/// Why the mended block is there.
const SOURCE: &str = "bucket.repair";

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mended {
    pub(super) is_done: bool,
    pub(super) text: String,
}

/// Mends what can be of `found`.
pub(super) async fn mend(
    bucket: &Bucket,
    view: &View,
    found: &[Problem],
) -> anyhow::Result<BTreeMap<Ulid, Mended>> {
    let mut mended = BTreeMap::new();
    let mut of_block: BTreeMap<Ulid, Vec<Issue>> = BTreeMap::new();
    for problem in found {
        of_block
            .entry(problem.block)
            .or_default()
            .push(problem.issue);
    }
    for (id, issues) in &of_block {
        let Some(block) = view.blocks.get(id) else {
            continue;
        };
        let outcome = match deciding(issues) {
            // Written anew, it would be there again for whoever wanted it gone.
            _ if block.deletion_mark.is_some() => Mended {
                is_done: true,
                text: "is marked for deletion already".to_owned(),
            },
            Issue::Duplicate => {
                let now_ms = SystemClock.now_ms();
                mark_for_deletion(bucket, *id, "duplicate of compacted block", now_ms).await?;
                Mended {
                    is_done: true,
                    text: "is marked for deletion".to_owned(),
                }
            }
            Issue::Content => write_anew(bucket, block).await?,
            Issue::Overlap => Mended {
                is_done: false,
                text: "is left to the compactor, which merges what overlaps".to_owned(),
            },
            Issue::Meta | Issue::Files => Mended {
                is_done: false,
                text: "cannot be mended: what is missing is nowhere".to_owned(),
            },
        };
        mended.insert(*id, outcome);
    }
    Ok(mended)
}

/// What decides how a block is mended, of all that is wrong with it: what another block holds need not be
/// mended, and who writes a block anew mends more than who leaves it to the compactor.
fn deciding(issues: &[Issue]) -> Issue {
    let order = [Issue::Duplicate, Issue::Content, Issue::Files, Issue::Meta];
    let found = order.into_iter().find(|issue| issues.contains(issue));
    found.unwrap_or(Issue::Overlap)
}

/// Writes a block anew: in order, without what lies outside of its range, with indexes that fit.
async fn write_anew(bucket: &Bucket, block: &BlockInfo) -> anyhow::Result<Mended> {
    let old = block.meta.ulid;
    let work = tempfile::tempdir().context("make a directory for the block")?;
    let dir = work.path().join(old.to_string());
    let failed = |text: String| Mended {
        is_done: false,
        text: format!("cannot be mended: {text}"),
    };
    if let Err(error) = block_files::download(bucket, block, &dir).await {
        return Ok(failed(format!("{error:#}")));
    }
    let now_ms = SystemClock.now_ms();
    let new = Ulid::from_parts(now_ms.unsigned_abs(), old.random());
    let parent = work.path().to_owned();
    let written = process::blocking(move || written(&dir, &parent, new)).await;
    let (meta, before) = match written {
        Ok(Some(written)) => written,
        Ok(None) => return Ok(failed("no sample can be saved".to_owned())),
        Err(error) => return Ok(failed(format!("{error:#}"))),
    };
    let origin = Origin {
        resolution: block.resolution(),
        extensions: block
            .meta
            .thanos
            .as_ref()
            .and_then(|t| t.extensions.clone()),
        ..Origin::new(SOURCE, block.labels().clone())
    };
    upload_block(bucket, &work.path().join(new.to_string()), &origin, now_ms).await?;
    mark_for_deletion(bucket, old, "replaced by a mended block", now_ms).await?;
    let after = meta.stats.num_samples;
    let text =
        format!("is written anew as {new}, {after} of {before} samples, and marked for deletion");
    Ok(Mended {
        is_done: true,
        text,
    })
}

/// The block in `dir` anew in `parent`, and how many samples it said that it had.
fn written(dir: &Path, parent: &Path, new: Ulid) -> anyhow::Result<Option<(Meta, u64)>> {
    let block = Block::open(dir)?;
    let before = block.meta().stats.num_samples;
    let meta = compact(&[&block], parent, new, Overlap::Union)?;
    Ok(meta.map(|meta| (meta, before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_mended_in_a_block_that_overlaps_too() {
        for (issues, decides) in [
            (&[Issue::Overlap][..], Issue::Overlap),
            (&[Issue::Overlap, Issue::Content], Issue::Content),
            (&[Issue::Files, Issue::Content], Issue::Content),
            (&[Issue::Overlap, Issue::Meta], Issue::Meta),
            (&[Issue::Content, Issue::Duplicate], Issue::Duplicate),
        ] {
            assert_eq!(deciding(issues), decides, "{issues:?}");
        }
    }
}
