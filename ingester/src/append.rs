//! The seam between whoever receives samples and whoever keeps them.

use tsdb::batch::{Appended, Batch, CommitPoint, Reject, WriteError};

/// Takes samples: the local TSDBs, a router to other ingesters, or what a test looks at.
///
/// Synchronous: both methods may wait for a disk, so they are called on threads that may block.
/// A tenant is named by a string that is safe as one segment of a path; `""` is the default tenant.
pub trait Appender: Send + Sync {
    /// Appends a batch. Samples that are not taken are listed in the result; the others count as
    /// taken, but are durable only after [`Appender::commit`] of what the result says.
    ///
    /// # Errors
    /// When nothing of the batch was taken. [`WriteError::kind`] tells whether to try again:
    /// `Unavailable` while the store starts, or the disk is full; `Invalid` for a name that no
    /// tenant can have; `Exhausted` when there may be no further tenant.
    fn append(&self, tenant: &str, batch: &Batch) -> Result<Appended, WriteError>;

    /// Whether every series of a batch must come with its labels: what goes elsewhere needs them,
    /// though the head may know the series.
    fn needs_labels(&self) -> bool {
        false
    }

    /// The limit for which samples of a tenant are refused so, in words with its numbers and its flag,
    /// that follow what was refused; nothing where there is none.
    fn limit(&self, _tenant: &str, _reason: Reject) -> String {
        String::new()
    }

    /// Bytes that wait on disk until they can be stored.
    fn waiting_bytes(&self) -> u64 {
        0
    }

    /// Returns once the write that ended at `at` is as durable as the store is told to make it.
    /// Writes of many callers are made durable together.
    ///
    /// # Errors
    /// When that fails; the write must not be acknowledged then.
    fn commit(&self, tenant: &str, at: CommitPoint) -> Result<(), WriteError>;
}
