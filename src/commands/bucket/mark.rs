//! `bucket mark`: marks that say what is to be done, or not done, with blocks.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::delete::{mark_for_deletion, mark_no_compact, mark_no_downsample};
use bucket::{BlockObject, Bucket, NoCompactReason, Patience};
use runtime::{BucketFlags, Clock as _, Environment, SystemClock};
use ulid::Ulid;

use super::{on_runtime, open};

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    /// Block to mark. May be repeated.
    #[arg(long = "id", value_name = "ULID", required = true)]
    ids: Vec<Ulid>,
    /// The mark.
    #[arg(long, value_name = "MARK")]
    marker: Marker,
    /// Why, for whoever looks at the mark later.
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present = "remove",
        default_value = ""
    )]
    details: String,
    /// Take the mark away again.
    #[arg(long)]
    remove: bool,
}

/// A mark, by the name of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Marker {
    /// The block is deleted when the delay is over.
    #[value(name = "deletion-mark.json")]
    Deletion,
    /// The block is not compacted.
    #[value(name = "no-compact-mark.json")]
    NoCompact,
    /// The block is not downsampled.
    #[value(name = "no-downsample-mark.json")]
    NoDownsample,
}

impl Marker {
    const fn of(self, id: Ulid) -> BlockObject {
        match self {
            Self::Deletion => BlockObject::DeletionMark(id),
            Self::NoCompact => BlockObject::NoCompactMark(id),
            Self::NoDownsample => BlockObject::NoDownsampleMark(id),
        }
    }
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let bucket = open(&args.bucket, environment, Patience::Interactive)?;
    let done = on_runtime(async || {
        let mut done = Vec::with_capacity(args.ids.len());
        for id in &args.ids {
            let what = args.apply(&bucket, *id).await;
            done.push((*id, what.with_context(|| format!("mark block {id}"))?));
        }
        Ok(done)
    })?;
    for (id, what) in done {
        writeln!(out, "{id}: {what}")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Sets or removes the mark of a block, and says what was done.
    async fn apply(&self, bucket: &Bucket, id: Ulid) -> anyhow::Result<&'static str> {
        let exists = async |object: BlockObject| {
            let found = bucket.attributes(&object.to_string()).await;
            found.map(|found| found.is_some())
        };
        if self.remove {
            let mark = self.marker.of(id);
            if !exists(mark).await? {
                return Ok("was not marked");
            }
            bucket.delete(&mark.to_string()).await?;
            return Ok("is not marked any more");
        }
        anyhow::ensure!(
            exists(BlockObject::Meta(id)).await?,
            "there is no such block in the bucket"
        );
        let (details, now) = (self.details.as_str(), SystemClock.now_ms());
        let is_new = match self.marker {
            Marker::Deletion => mark_for_deletion(bucket, id, details, now).await,
            Marker::NoCompact => {
                mark_no_compact(bucket, id, NoCompactReason::Manual, details, now).await
            }
            Marker::NoDownsample => mark_no_downsample(bucket, id, details, now).await,
        };
        Ok(if is_new? {
            "is marked"
        } else {
            "was marked already"
        })
    }
}
