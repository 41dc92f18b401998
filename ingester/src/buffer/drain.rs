//! Handing on what is held, in order, once the storage takes it again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{ErrorKind, Labels};
use runtime::process::{self, Shutdown};
use tsdb::batch::{CommitPoint, WriteError};

use super::{Buffer, Line};
use crate::append::Appender;
use crate::queue::record::RecordReader;
use crate::receive::{Outcome, Reason};

/// Records that are drained before they are made durable together.
const RECORDS_PER_COMMIT: usize = 64;
/// Pause between two attempts to drain.
const DRAIN_EVERY: Duration = Duration::from_millis(500);

impl Buffer {
    /// Hands on what is held, whenever there is something, until told to stop.
    pub async fn run(self: Arc<Self>, mut shutdown: Shutdown) {
        loop {
            let waking = async {
                self.wake.notified().await;
                // Not at once: what makes the storage refuse lasts for a while.
                tokio::time::sleep(DRAIN_EVERY).await;
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = waking => {}
            }
            let buffer = Arc::clone(&self);
            process::blocking(move || buffer.drain()).await;
            if self.open.load(Ordering::Acquire) > 0 {
                self.wake.notify_one();
            }
        }
    }

    /// Hands on what is held, as far as the storage takes it.
    pub fn drain(&self) {
        let Some(storage) = self.storage.get() else {
            return;
        };
        let lines: Vec<_> = self.lines.read().values().map(Arc::clone).collect();
        for line in lines {
            if !*line.is_open.read() {
                continue;
            }
            while self.drain_some(&line, &**storage) {}
        }
    }

    /// Hands on the first records of a queue. False when it is done, or must be tried again later.
    fn drain_some(&self, line: &Line, storage: &dyn Appender) -> bool {
        let mut reader = RecordReader::default();
        let mut at = line.queue.front();
        let (mut samples, mut commit, mut is_blocked) = (0, None, false);
        for _ in 0..RECORDS_PER_COMMIT {
            let entry = match line.queue.read(at) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(tenant = line.tenant, %error, "cannot read what is held");
                    is_blocked = true;
                    break;
                }
            };
            match self.hand_on(line, &mut reader, &entry.payload, storage) {
                Ok(point) => commit = point.or(commit),
                Err(_) => {
                    is_blocked = true;
                    break;
                }
            }
            samples += u64::from(entry.samples);
            at = entry.end;
        }
        if let Some(commit) = commit
            && storage.commit(&line.tenant, commit).is_err()
        {
            // They come again, and the head knows them.
            return false;
        }
        if at == line.queue.front() {
            return !is_blocked && !self.close(line);
        }
        self.drained.fetch_add(samples, Ordering::Relaxed);
        line.queue.consume(at);
        !is_blocked
    }

    /// Appends a record to the storage; an error when that takes nothing now.
    fn hand_on(
        &self,
        line: &Line,
        reader: &mut RecordReader,
        payload: &[u8],
        storage: &dyn Appender,
    ) -> Result<Option<CommitPoint>, WriteError> {
        let mut outcome = Outcome::default();
        let batch = match reader.read(payload) {
            Ok((_, batch)) => batch,
            Err(error) => {
                tracing::error!(tenant = line.tenant, %error, "cannot use what is held");
                return Ok(None);
            }
        };
        let commit = match storage.append(&line.tenant, batch) {
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                tracing::error!(tenant = line.tenant, %error, "what was held is refused");
                return Ok(None);
            }
            Ok(appended) => {
                outcome.floats = appended.floats;
                outcome.histograms = appended.histograms;
                for rejection in &appended.rejected {
                    outcome.refusals.add(Reason::Head(rejection.reason), 1, || {
                        let labels = Labels::from_encoded(batch.get(rejection.series).labels);
                        format!("{labels} at {}", rejection.t)
                    });
                }
                appended.commit
            }
        };
        self.status
            .wrote(self.clock.now_ms(), &line.tenant, &outcome);
        Ok(Some(commit))
    }

    /// Has pushes go to the storage again, unless one came meanwhile. True when they do.
    fn close(&self, line: &Line) -> bool {
        let mut is_open = line.is_open.write();
        if !line.queue.is_empty() {
            return false;
        }
        if *is_open {
            *is_open = false;
            self.open.fetch_sub(1, Ordering::AcqRel);
            tracing::info!(
                tenant = line.tenant,
                "what was held is stored; pushes go to the TSDB"
            );
        }
        true
    }
}
