//! `bucket upload-blocks`: blocks of a local directory into a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::{HashFunction, Origin, Patience, Uploaded, upload_block};
use runtime::{BucketFlags, Clock as _, Environment, SystemClock};
use tsdb::block::{META_FILE, Meta};
use ulid::Ulid;

use super::progress::{Progress, Work};
use super::select::label;
use super::{on_runtime, open_to_fill};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    /// Directory with the blocks, such as the data directory of a Prometheus.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    path: PathBuf,
    /// External label of the blocks, which tells their producer apart. May be repeated.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"", value_parser = label, required = true)]
    labels: Vec<(String, String)>,
    /// Upload blocks that were compacted as well. Make sure that what they are made of was not uploaded.
    #[arg(long = "shipper.upload-compacted")]
    upload_compacted: bool,
    /// Hashes files: SHA256, or nothing.
    #[arg(
        long = "hash-func",
        value_name = "FUNCTION",
        default_value = "",
        hide_default_value = true
    )]
    hash: HashFunction,
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let bucket = open_to_fill(&args.bucket, environment, Patience::Background)?;
    let labels: BTreeMap<String, String> = args.labels.iter().cloned().collect();
    let origin = Origin {
        hash: args.hash,
        ..Origin::new("bucket.upload", labels)
    };
    let found = blocks(&args.path)?;
    let is_taken = |meta: &Meta| {
        meta.stats.num_samples > 0 && (args.upload_compacted || meta.compaction.level <= 1)
    };
    let (taken, left): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(_, meta, _)| is_taken(meta));
    for (_, meta, _) in &left {
        let reason = match meta.stats.num_samples {
            0 => "it has no samples",
            _ => "it was compacted; --shipper.upload-compacted takes it as well",
        };
        writeln!(out, "{} is left out: {reason}", meta.ulid)?;
    }
    let mut progress = Progress::new(Work {
        blocks: taken.len(),
        bytes: taken.iter().map(|(_, _, bytes)| bytes).sum(),
    });
    on_runtime(async || {
        for (dir, meta, bytes) in &taken {
            let id = meta.ulid;
            let uploaded = upload_block(&bucket, dir, &origin, SystemClock.now_ms()).await;
            let what = match uploaded.with_context(|| format!("upload block {id}"))? {
                Uploaded::Now(_) => "is uploaded",
                Uploaded::Before => "was there already",
            };
            writeln!(out, "{id} {what}; {}", progress.block(*bytes))?;
            out.flush()?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The blocks in a directory with their sizes, the oldest first.
fn blocks(dir: &Path) -> anyhow::Result<Vec<(PathBuf, Meta, u64)>> {
    let mut found = Vec::new();
    let listed = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    for entry in listed {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| Ulid::from_string(name).ok()) else {
            continue;
        };
        let file = path.join(META_FILE);
        let text = fs::read(&file).with_context(|| format!("read block {id}"))?;
        let meta = Meta::parse(&text, &file)?;
        let bytes = size(&path)?;
        found.push((path, meta, bytes));
    }
    found.sort_by_key(|(_, meta, _)| (meta.min_time, meta.ulid));
    Ok(found)
}

/// Bytes of the files of a block.
fn size(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for dir in [dir.to_owned(), dir.join("chunks")] {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let meta = entry?.metadata()?;
            bytes += if meta.is_file() { meta.len() } else { 0 };
        }
    }
    Ok(bytes)
}
