//! One pass over a bucket: look, collect garbage, merge group by group, apply retention, clean up.
//!
//! A failure concerns what it happened to: a damaged block is set aside with a mark that says why, a
//! group that fails is tried again at the next pass, and the rest goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bucket::delete::{
    Due, delete_block, due_for_deletion, is_marked_for_deletion, mark_for_deletion, mark_no_compact,
};
use bucket::{BlockInfo, BlockObject, Fetcher, NoCompactMark, NoCompactReason, View};
use futures::stream::{self, StreamExt as _};
use runtime::Clock;
use ulid::Ulid;

use crate::group::{Group, Outlook, groups, is_mistaken};
use crate::guard::Gate;
use crate::merge::{MergeError, Merged, Workshop};
use crate::metrics::{Metrics, add};
use crate::plan::{Planner, Step};
use crate::rules::{RETENTION_DETAILS, Rules};
use crate::viewer::Viewer;

/// Deletions under way at once.
const DELETIONS_PARALLEL: usize = 4;

/// Lease of a group, to which the group's name is added.
pub(crate) const GROUP_LEASE: &str = "compactor-group";

/// Lease of who deletes blocks, of whatever part of the bucket.
const CLEANING_LEASE: &str = "compactor-cleaning";

/// What one pass came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Blocks that were made.
    pub merged: Vec<Ulid>,
    /// Blocks that were marked for deletion.
    pub marked: Vec<Ulid>,
    /// Damaged blocks that were set aside.
    pub quarantined: Vec<Ulid>,
    /// Blocks, whole or partial, whose objects were deleted.
    pub deleted: Vec<Ulid>,
    /// Groups that another compactor is at, or was since they were looked at.
    pub busy: Vec<String>,
    /// What failed and is tried again at the next pass.
    pub failures: Vec<String>,
}

impl Report {
    /// Adds what the next pass came to. True when a further one would do nothing: no group is busy, or
    /// those that are were so in the pass before, and in this one nothing was merged.
    pub(crate) fn is_complete_with(&mut self, mut next: Self) -> bool {
        next.busy.sort();
        let is_theirs = next.merged.is_empty() && next.busy == self.busy;
        let is_complete = next.busy.is_empty() || is_theirs;
        self.busy = std::mem::take(&mut next.busy);
        if is_complete && !self.busy.is_empty() {
            let groups = &self.busy;
            tracing::warn!(
                ?groups,
                "groups are left to the compactors that are at them"
            );
        }
        self.join(next);
        is_complete
    }

    /// Adds what another pass, or a part of this one, came to.
    pub(crate) fn join(&mut self, other: Self) {
        self.merged.extend(other.merged);
        self.marked.extend(other.marked);
        self.quarantined.extend(other.quarantined);
        self.deleted.extend(other.deleted);
        self.busy.extend(other.busy);
        self.failures.extend(other.failures);
    }
}

/// What a pass works with.
pub(crate) struct Pass<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) workshop: Workshop,
    pub(crate) fetcher: &'a Fetcher,
    pub(crate) rules: &'a Rules,
    pub(crate) metrics: &'a Metrics,
    pub(crate) viewer: &'a Viewer,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

impl Pass<'_> {
    /// Does all there is to do.
    pub(crate) async fn run(&self) -> Result<Report, bucket::Error> {
        let mut report = Report::default();
        let mut view = self.look().await?;
        self.lift_mistaken_marks(&mut view).await?;
        self.collect_garbage(&view, &mut report).await?;
        self.merge_all(&view, &mut report).await;
        // A merge takes long, and one that lost the lease says so only here.
        self.workshop.guard.confirm().await?;
        // What was merged and marked is seen at once by retention and cleaning.
        let view = self.look().await?;
        self.apply_retention(&view, &mut report).await?;
        self.clean(&view, &mut report).await?;
        Ok(report)
    }

    pub(crate) async fn look(&self) -> Result<View, bucket::Error> {
        let now_ms = self.clock.now_ms();
        let view = self.fetcher.sync(now_ms).await?;
        self.viewer.show(&view, now_ms);
        for (block, problem) in &view.corrupted {
            tracing::error!(%block, problem, "meta.json is damaged; the block takes part in nothing");
        }
        for (block, problem) in &view.failed {
            tracing::warn!(%block, problem, "block cannot be read now and is left out");
        }
        let marked = view.deletion_marks.len() as u64;
        self.metrics.todo_deletions.store(marked, Ordering::Relaxed);
        Ok(view)
    }

    /// Takes away marks that should not have been set, so that the blocks are checked anew.
    async fn lift_mistaken_marks(&self, view: &mut View) -> Result<(), bucket::Error> {
        for (&id, block) in view.blocks.iter_mut().filter(|(_, b)| is_mistaken(b)) {
            self.workshop.guard.ensure().await?;
            let mark = BlockObject::NoCompactMark(id).to_string();
            self.workshop.bucket.delete(&mark).await?;
            let details = block.no_compact.take();
            let details = details.as_deref().map_or("", NoCompactMark::details);
            tracing::info!(block = %id, details, "block was set aside for no damage; it takes part again");
        }
        Ok(())
    }

    /// Marks blocks that others cover.
    async fn collect_garbage(&self, view: &View, report: &mut Report) -> Result<(), bucket::Error> {
        let begin = Instant::now();
        let collected = self.mark_duplicates(view, report).await;
        self.metrics.garbage_searched(begin.elapsed());
        collected
    }

    async fn mark_duplicates(&self, view: &View, report: &mut Report) -> Result<(), bucket::Error> {
        for &id in &view.duplicates {
            if view.deletion_marks.contains_key(&id) {
                continue;
            }
            if let Err(e) = self.mark_deleted(id, "outdated block", report).await {
                add(&self.metrics.garbage_failures, 1);
                return Err(e);
            }
            add(&self.metrics.garbage_blocks, 1);
        }
        Ok(())
    }

    async fn mark_deleted(
        &self,
        id: Ulid,
        why: &'static str,
        report: &mut Report,
    ) -> Result<(), bucket::Error> {
        self.workshop.guard.ensure().await?;
        if mark_for_deletion(&self.workshop.bucket, id, why, self.clock.now_ms()).await? {
            self.metrics.marked("deletion-mark.json", why);
            tracing::info!(block = %id, why, "marked block for deletion");
            report.marked.push(id);
        }
        Ok(())
    }

    pub(crate) async fn merge_all(&self, view: &View, report: &mut Report) {
        let groups = groups(view);
        let mut outlook = Outlook::default();
        for group in &groups {
            outlook += Outlook::of(group, self.planner(group));
        }
        self.show(outlook);
        if outlook.merges > 0 {
            tracing::info!(
                groups = groups.len(),
                merges = outlook.merges,
                blocks = outlook.blocks,
                bytes = outlook.bytes,
                "merges are planned"
            );
        }
        let progress = Progress::new(outlook);
        let works = groups
            .into_iter()
            .map(|group| self.merge_group(group, &progress));
        let works: Vec<_> = works.collect();
        let mut works = stream::iter(works).buffer_unordered(self.rules.concurrency);
        while let Some(of_group) = works.next().await {
            report.join(of_group);
        }
    }

    fn planner(&self, group: &Group) -> Planner<'_> {
        Planner {
            ranges_ms: &self.rules.ranges_ms,
            index_bytes_max: self.rules.index_bytes_max,
            downsampled: group.resolution > 0,
        }
    }

    fn show(&self, outlook: Outlook) {
        (self.metrics.todo_merges).store(outlook.merges, Ordering::Relaxed);
        (self.metrics.todo_blocks).store(outlook.blocks, Ordering::Relaxed);
    }

    /// Merges what can be merged in a group.
    async fn merge_group(&self, group: Group, progress: &Progress) -> Report {
        add(&self.metrics.runs_started, 1);
        let mut report = Report::default();
        let key = group.key();
        match self.merge_alone(group, progress, &mut report).await {
            Ok(()) => add(&self.metrics.runs_completed, 1),
            Err(error) => {
                add(&self.metrics.failures, 1);
                tracing::error!(group = key, %error, "merge failed; it is tried again at the next pass");
                report.failures.push(format!("group {key}: {error}"));
            }
        }
        report
    }

    /// Merges step by step, unless another compactor is at that group.
    async fn merge_alone(
        &self,
        mut group: Group,
        progress: &Progress,
        report: &mut Report,
    ) -> Result<(), MergeError> {
        if group.next_step(self.planner(&group)) == Step::Nothing {
            return Ok(());
        }
        let key = group.key();
        let Some(guard) = self.gate.try_pass(&format!("{GROUP_LEASE}-{key}")).await? else {
            report.busy.push(key);
            return Ok(());
        };
        let alone = Pass {
            workshop: Workshop {
                guard: Arc::clone(&guard),
                ..self.workshop.clone()
            },
            ..*self
        };
        let steps = async move {
            while alone.step(&mut group, progress, report).await? {}
            Ok(())
        };
        self.gate.during(guard, steps).await
    }

    /// Whether one of these blocks was marked or deleted since it was looked at: by another compactor
    /// before the group was ours, or by an operator.
    async fn have_changed(&self, ids: &[Ulid]) -> Result<bool, bucket::Error> {
        let bucket = &self.workshop.bucket;
        for &id in ids {
            let meta = BlockObject::Meta(id).to_string();
            if bucket.attributes(&meta).await?.is_none()
                || is_marked_for_deletion(bucket, id).await?
            {
                tracing::info!(block = %id, "block changed since it was looked at; its group is left for later");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does the next step of a group; false when there is none.
    async fn step(
        &self,
        group: &mut Group,
        progress: &Progress,
        report: &mut Report,
    ) -> Result<bool, MergeError> {
        let ids = match group.next_step(self.planner(group)) {
            Step::Nothing => return Ok(false),
            Step::Mark(ids, reason) => {
                for id in ids {
                    let details = "the compactor cannot merge this block";
                    self.set_aside(group, id, reason, details).await?;
                }
                return Ok(true);
            }
            Step::Merge(ids) => ids,
        };
        if self.have_changed(&ids).await? {
            report.busy.push(group.key());
            return Ok(false);
        }
        let is_vertical = overlap(&group.members(&ids));
        let now_ms = self.clock.now_ms();
        let ulid = Ulid::from_parts(now_ms.unsigned_abs(), rand::random());
        let bytes = group.members(&ids).iter().map(|b| b.files.bytes).sum();
        match self.workshop.merge(group, &ids, ulid, now_ms).await? {
            Merged::Damaged(damaged) => {
                for (id, problem) in damaged {
                    tracing::error!(block = %id, problem, "block is damaged and set aside; the rest goes on");
                    add(&self.metrics.quarantined, 1);
                    report.quarantined.push(id);
                    self.set_aside(group, id, NoCompactReason::Damaged, &problem)
                        .await?;
                }
                return Ok(true);
            }
            Merged::Empty => {
                self.mark_sources(&ids, "source of compacted block without samples", report)
                    .await?;
                group.replace(&ids, None);
            }
            Merged::Into(new) => {
                report.merged.push(ulid);
                self.mark_sources(&ids, "source of compacted block", report)
                    .await?;
                group.replace(&ids, Some(*new));
                add(&self.metrics.compactions, 1);
                add(&self.metrics.vertical, u64::from(is_vertical));
            }
        }
        let left = progress.done(ids.len() as u64, bytes);
        self.show(left);
        Ok(true)
    }

    async fn mark_sources(
        &self,
        ids: &[Ulid],
        why: &'static str,
        report: &mut Report,
    ) -> Result<(), bucket::Error> {
        for &id in ids {
            self.mark_deleted(id, why, report).await?;
        }
        Ok(())
    }

    async fn set_aside(
        &self,
        group: &mut Group,
        id: Ulid,
        reason: NoCompactReason,
        details: &str,
    ) -> Result<(), bucket::Error> {
        self.workshop.guard.ensure().await?;
        let now_ms = self.clock.now_ms();
        mark_no_compact(&self.workshop.bucket, id, reason, details, now_ms).await?;
        self.metrics
            .marked("no-compact-mark.json", reason_name(reason));
        let mark = NoCompactMark::new(id, reason, details, now_ms.div_euclid(1000));
        let mark = Arc::new(mark);
        for block in group.blocks.iter_mut().filter(|b| b.meta.ulid == id) {
            block.no_compact = Some(Arc::clone(&mark));
        }
        Ok(())
    }

    /// Marks what is older than its resolution is kept.
    async fn apply_retention(&self, view: &View, report: &mut Report) -> Result<(), bucket::Error> {
        let expired = self.rules.retention.expired(view, self.clock.now_ms());
        for id in expired {
            tracing::info!(block = %id, "block is older than it is kept");
            self.mark_deleted(id, RETENTION_DETAILS, report).await?;
        }
        Ok(())
    }

    /// Deletes what was marked long enough ago, and uploads that were given up.
    async fn clean(&self, view: &View, report: &mut Report) -> Result<(), bucket::Error> {
        let due = due_for_deletion(view, self.rules.delete_delay_ms, self.clock.now_ms());
        if due == Due::default() {
            return Ok(());
        }
        self.workshop.guard.ensure().await?;
        let Some(guard) = self.gate.try_pass(CLEANING_LEASE).await? else {
            return Ok(());
        };
        self.gate.during(guard, self.delete(due, report)).await
    }

    async fn delete(&self, due: Due, report: &mut Report) -> Result<(), bucket::Error> {
        let marked = due.marked.iter().map(|id| (*id, &self.metrics.cleaned));
        let given_up = due.given_up.iter();
        let partial = given_up.map(|id| (*id, &self.metrics.partial_deletions));
        let doomed: Vec<_> = marked.chain(partial).collect();
        let deletions = doomed.into_iter().map(|(id, counter)| async move {
            (id, counter, delete_block(&self.workshop.bucket, id).await)
        });
        let deletions: Vec<_> = deletions.collect();
        let mut deletions = stream::iter(deletions).buffer_unordered(DELETIONS_PARALLEL);
        while let Some((id, counter, deleted)) = deletions.next().await {
            match deleted {
                Ok(objects) => {
                    tracing::info!(block = %id, objects, "deleted block");
                    add(counter, 1);
                    report.deleted.push(id);
                }
                Err(error) => {
                    let error = error.chain();
                    tracing::warn!(block = %id, error, "block is not deleted; it is tried again");
                    add(&self.metrics.clean_failures, 1);
                    report.failures.push(format!("delete block {id}: {error}"));
                }
            }
        }
        Ok(())
    }
}

fn overlap(blocks: &[&BlockInfo]) -> bool {
    !blocks.is_sorted_by(|a, b| a.meta.max_time <= b.meta.min_time)
}

/// The reason as it stands in the mark.
const fn reason_name(reason: NoCompactReason) -> &'static str {
    match reason {
        NoCompactReason::Manual => "manual",
        NoCompactReason::IndexSizeExceeding => "index-size-exceeding",
        NoCompactReason::BlockIndexOutOfOrderChunk => "block-index-out-of-order-chunk",
        NoCompactReason::DownsampleVerticalCompaction => "downsample-vertical-compaction",
        NoCompactReason::Damaged => "damaged",
        NoCompactReason::Other => "other",
    }
}

/// How far a pass is.
struct Progress {
    started: Instant,
    planned: Outlook,
    done: std::sync::Mutex<Outlook>,
}

impl Progress {
    fn new(planned: Outlook) -> Self {
        Self {
            started: Instant::now(),
            planned,
            done: std::sync::Mutex::default(),
        }
    }

    /// Notes a merge, says when the rest will be done, and returns the rest.
    fn done(&self, blocks: u64, bytes: u64) -> Outlook {
        let mut done = (self.done.lock()).unwrap_or_else(std::sync::PoisonError::into_inner);
        *done += Outlook {
            merges: 1,
            blocks,
            bytes,
        };
        let left = Outlook {
            merges: self.planned.merges.saturating_sub(done.merges),
            blocks: self.planned.blocks.saturating_sub(done.blocks),
            bytes: self.planned.bytes.saturating_sub(done.bytes),
        };
        let rate = done.bytes as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        tracing::info!(
            done = done.merges,
            left = left.merges,
            mb_per_second = rate / 1e6,
            eta_seconds = (left.bytes as f64 / rate.max(1.0)) as u64,
            "progress"
        );
        left
    }
}
