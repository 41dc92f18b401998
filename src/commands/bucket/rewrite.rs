//! `bucket rewrite`: blocks anew, without series or times, or with other labels.
//!
//! The new block has a name of its own and is beside the old one until that is deleted, so that nothing
//! is lost that was not meant. What would change, or did, is in a log.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bucket::delete::mark_for_deletion;
use bucket::{BlockInfo, Bucket, HashFunction, Origin, Patience, upload_block};
use model::labels::NameScheme;
use model::relabel::{RelabelRule, relabelled};
use model::{Labels, MatchOp, Matcher};
use promql::parse::{Options, parse_selector};
use runtime::{BucketFlags, Clock as _, Environment, SystemClock, process, yaml};
use serde::Deserialize;
use serde_json::json;
use tsdb::block::{Block, Interval, Intervals, Meta};
use tsdb::merge::{Edit, rewrite};
use ulid::Ulid;

use super::progress::{Progress, Work};
use super::{block_files, look, on_runtime, open};

/// Why the new block is there.
const SOURCE: &str = "bucket.rewrite";
/// Name of the log beside the new block.
const LOG_FILE: &str = "change.log";

/// Flags of the tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bucket: BucketFlags,
    /// Block to write anew. May be repeated.
    #[arg(long = "id", value_name = "ULID", required = true)]
    ids: Vec<Ulid>,
    /// Directory for blocks in work and for the logs of what changed.
    #[arg(
        long = "tmp.dir",
        value_name = "DIR",
        default_value = "/tmp/promontory-rewrite"
    )]
    dir: PathBuf,
    /// Only say what would change. This is the default.
    #[arg(long, overrides_with = "no_dry_run")]
    dry_run: bool,
    /// Write the blocks anew and upload them.
    #[arg(long)]
    no_dry_run: bool,
    /// Mark the old blocks for deletion.
    #[arg(long)]
    delete_blocks: bool,
    /// YAML file with what is deleted: a list of matchers, such as '{__name__="x"}', with intervals of
    /// mint and maxt in milliseconds, both inside; without intervals all of a series is.
    #[arg(
        long = "rewrite.to-delete-config-file",
        value_name = "FILE",
        conflicts_with = "delete"
    )]
    delete_file: Option<PathBuf>,
    /// The same itself, instead of a file.
    #[arg(long = "rewrite.to-delete-config", value_name = "YAML")]
    delete: Option<String>,
    /// YAML file with relabelling rules for series, in Prometheus' form.
    #[arg(
        long = "rewrite.to-relabel-config-file",
        value_name = "FILE",
        conflicts_with = "relabel"
    )]
    relabel_file: Option<PathBuf>,
    /// The rules themselves, instead of a file.
    #[arg(long = "rewrite.to-relabel-config", value_name = "YAML")]
    relabel: Option<String>,
    /// Log no changes series by series.
    #[arg(long = "no-rewrite.add-change-log")]
    no_log: bool,
    /// Hashes files: SHA256, or nothing.
    #[arg(
        long = "hash-func",
        value_name = "FUNCTION",
        default_value = "",
        hide_default_value = true
    )]
    hash: HashFunction,
}

/// What is deleted, as the file says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    matchers: String,
    #[serde(default)]
    intervals: Vec<DeletedTime>,
    #[serde(default)]
    request_id: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletedTime {
    mint: i64,
    maxt: i64,
}

/// What is done to series.
#[derive(Debug, Clone)]
struct Changes {
    deletions: Vec<(Vec<Matcher>, Intervals)>,
    rules: Vec<RelabelRule>,
    /// The same as it is noted in `meta.json`.
    noted: serde_json::Value,
}

impl Changes {
    fn of(args: &Args, environment: &Environment) -> anyhow::Result<Self> {
        let flag = "rewrite.to-delete-config";
        let text =
            environment.configuration(flag, args.delete_file.as_deref(), args.delete.as_deref())?;
        let asked = yaml::of_flag::<Vec<Deletion>>(flag, text)?.unwrap_or_default();
        let deletions: Result<Vec<_>, _> = asked.iter().map(Deletion::read).collect();
        let deletions = deletions?;
        let noted = asked.iter().zip(&deletions);
        let noted: Vec<_> = noted
            .map(|(asked, (matchers, _))| asked.noted(matchers))
            .collect();
        let flag = "rewrite.to-relabel-config";
        let text = environment.configuration(
            flag,
            args.relabel_file.as_deref(),
            args.relabel.as_deref(),
        )?;
        let rules = yaml::relabel_rules(flag, text.clone(), NameScheme::Utf8)?;
        let configs = yaml::of_flag::<Vec<serde_json::Value>>(flag, text)?;
        let changes = Self {
            deletions,
            noted: json!({"deletions_applied": noted, "relabels_applied": configs.unwrap_or_default()}),
            rules,
        };
        anyhow::ensure!(
            !(changes.deletions.is_empty() && changes.rules.is_empty()),
            "nothing is to change; say what by --rewrite.to-delete-config-file or --rewrite.to-relabel-config-file"
        );
        Ok(changes)
    }

    /// What becomes of a series; nothing is left of one that is dropped.
    fn edit(&self, labels: &Labels) -> Option<Edit> {
        let mut deleted = Intervals::default();
        for (matchers, times) in &self.deletions {
            if labels.match_all(matchers) {
                for interval in times.as_slice() {
                    deleted.add(*interval);
                }
            }
        }
        if deleted.covers(i64::MIN, i64::MAX) {
            return None;
        }
        let labels = match self.rules.is_empty() {
            true => labels.clone(),
            // A series without labels is none.
            false => relabelled(&self.rules, labels).filter(|labels| !labels.is_empty())?,
        };
        Some(Edit { labels, deleted })
    }
}

impl Deletion {
    fn read(&self) -> anyhow::Result<(Vec<Matcher>, Intervals)> {
        let matchers = parse_selector(self.matchers.trim(), Options::default());
        let matchers = matchers.with_context(|| format!("read the matchers {}", self.matchers))?;
        let mut intervals = Intervals::default();
        for DeletedTime {
            mint: min,
            maxt: max,
        } in &self.intervals
        {
            anyhow::ensure!(
                min <= max,
                "an interval ends ({max}) before it begins ({min})"
            );
            intervals.add(Interval {
                min: *min,
                max: *max,
            });
        }
        if self.intervals.is_empty() {
            let (min, max) = (i64::MIN, i64::MAX);
            intervals.add(Interval { min, max });
        }
        Ok((matchers, intervals))
    }

    /// As Thanos notes it in `meta.json`, and reads it there.
    fn noted(&self, matchers: &[Matcher]) -> serde_json::Value {
        let matcher = |m: &Matcher| {
            let kind = match m.op() {
                MatchOp::Equal => 0,
                MatchOp::NotEqual => 1,
                MatchOp::Regex => 2,
                MatchOp::NotRegex => 3,
            };
            json!({"Type": kind, "Name": m.name(), "Value": m.value()})
        };
        let matchers: Vec<_> = matchers.iter().map(matcher).collect();
        let mut noted = json!({"matchers": matchers});
        if !self.intervals.is_empty() {
            let interval = |i: &DeletedTime| json!({"Mint": i.mint, "Maxt": i.maxt});
            noted["intervals"] = self.intervals.iter().map(interval).collect();
        }
        if !self.request_id.is_empty() {
            noted["request_id"] = json!(self.request_id);
        }
        noted
    }
}

pub(super) fn run(
    args: &Args,
    environment: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let changes = Changes::of(args, environment)?;
    let bucket = open(&args.bucket, environment, Patience::Background)?;
    let made = std::fs::create_dir_all(&args.dir);
    made.with_context(|| format!("make the directory {}", args.dir.display()))?;
    on_runtime(async || {
        let view = look(&bucket).await?;
        let mut blocks = Vec::with_capacity(args.ids.len());
        for id in &args.ids {
            let block = view.blocks.get(id);
            blocks.push(block.with_context(|| format!("there is no block {id} in the bucket"))?);
        }
        let mut progress = Progress::new(Work {
            blocks: blocks.len(),
            bytes: blocks.iter().map(|b| b.files.bytes).sum(),
        });
        for block in blocks {
            let id = block.meta.ulid;
            let done = one(args, &changes, &bucket, block).await;
            let done = done.with_context(|| format!("rewrite block {id}"))?;
            writeln!(out, "{id}: {done}; {}", progress.block(block.files.bytes))?;
            out.flush()?;
        }
        if !args.no_dry_run {
            writeln!(out, "nothing was changed; --no-dry-run does it")?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes one block anew, or says what that would do.
async fn one(
    args: &Args,
    changes: &Changes,
    bucket: &Bucket,
    block: &BlockInfo,
) -> anyhow::Result<String> {
    let old = block.meta.ulid;
    let now_ms = SystemClock.now_ms();
    let new = Ulid::from_parts(now_ms.unsigned_abs(), old.random());
    let work = tempfile::tempdir_in(&args.dir).context("make a directory for the block")?;
    let from = work.path().join(old.to_string());
    block_files::download(bucket, block, &from).await?;
    let log = match args.no_log {
        true => None,
        false => Some(args.dir.join(format!("{new}-{LOG_FILE}"))),
    };
    let job = Job {
        from,
        parent: work.path().to_owned(),
        log: log.clone(),
        changes: changes.clone(),
        new,
    };
    let (meta, counts) = process::blocking(move || job.run()).await?;
    let mut said = counts.to_string();
    if let Some(log) = &log {
        write!(said, ", logged in {}", log.display()).expect("a String takes all");
    }
    if !args.no_dry_run {
        return Ok(said);
    }
    if counts.is_nothing() {
        return Ok(format!("{said}; it stays as it is"));
    }
    if let Some(meta) = meta {
        let thanos = block.meta.thanos.as_ref();
        let mut rewrites = thanos.map_or_else(Vec::new, |t| t.rewrites.clone());
        let mut noted = changes.noted.clone();
        noted["sources"] = json!(block.meta.compaction.sources);
        rewrites.push(noted);
        let origin = Origin {
            resolution: block.resolution(),
            extensions: thanos.and_then(|t| t.extensions.clone()),
            hash: args.hash,
            rewrites,
            ..Origin::new(SOURCE, block.labels().clone())
        };
        upload_block(bucket, &work.path().join(new.to_string()), &origin, now_ms).await?;
        let samples = meta.stats.num_samples;
        write!(said, "; it is {new} now, with {samples} samples").expect("a String takes all");
    } else {
        said.push_str("; nothing is left of it");
    }
    if args.delete_blocks {
        mark_for_deletion(bucket, old, "block rewritten", now_ms).await?;
        said.push_str(", and the old one is marked for deletion");
    }
    Ok(said)
}

/// How many series change, and how.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    series: u64,
    dropped: u64,
    cut: u64,
    relabelled: u64,
}

impl Counts {
    const fn is_nothing(self) -> bool {
        self.dropped == 0 && self.cut == 0 && self.relabelled == 0
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            series,
            dropped,
            cut,
            relabelled,
        } = self;
        write!(
            f,
            "of {series} series {dropped} go, {cut} lose times, {relabelled} change labels"
        )
    }
}

/// Writing one block anew, on a thread that may block.
struct Job {
    from: PathBuf,
    parent: PathBuf,
    log: Option<PathBuf>,
    changes: Changes,
    new: Ulid,
}

impl Job {
    fn run(self) -> anyhow::Result<(Option<Meta>, Counts)> {
        let block = Block::open(&self.from)?;
        let mut counts = Counts::default();
        let mut log = Log::create(self.log.as_deref())?;
        let meta = self.meta(block.meta());
        let range = block.meta().range();
        let meta = rewrite(&block, &self.parent, meta, |labels| {
            counts.series += 1;
            let edit = self.changes.edit(&labels);
            match &edit {
                None => {
                    counts.dropped += 1;
                    log.line(&format!("deleted {labels}"));
                }
                Some(edit) => {
                    let cut = edit.deleted.as_slice().iter();
                    let cut = cut.filter(|i| i.min < range.max && i.max >= range.min);
                    let times: Vec<_> = cut.map(|i| format!("[{}, {}]", i.min, i.max)).collect();
                    if !times.is_empty() {
                        counts.cut += 1;
                        log.line(&format!("deleted {} of {labels}", times.join(" ")));
                    }
                    if edit.labels != labels {
                        counts.relabelled += 1;
                        log.line(&format!("relabelled {labels} to {}", edit.labels));
                    }
                }
            }
            edit
        })?;
        log.end()?;
        Ok((meta, counts))
    }

    /// As the old block, but with a source of its own: what covers the old one would hide it.
    fn meta(&self, old: &Meta) -> Meta {
        let mut meta = Meta::new(self.new, old.range());
        meta.compaction.level = old.compaction.level;
        meta.compaction.sources = vec![self.new];
        meta
    }
}

/// The log of what changes.
struct Log {
    file: Option<BufWriter<File>>,
    failed: Option<std::io::Error>,
}

impl Log {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let file = path.map(|path| {
            let file = File::create(path).map(BufWriter::new);
            file.with_context(|| format!("write {}", path.display()))
        });
        Ok(Self {
            file: file.transpose()?,
            failed: None,
        })
    }

    fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.file
            && let Err(error) = writeln!(file, "{text}")
        {
            self.failed.get_or_insert(error);
        }
    }

    fn end(self) -> anyhow::Result<()> {
        if let Some(error) = self.failed {
            return Err(error).context("write the log of changes");
        }
        match self.file {
            Some(mut file) => file.flush().context("write the log of changes"),
            None => Ok(()),
        }
    }
}
