//! Where the engine reads series from.
//!
//! The engine owns this seam and knows nothing of what is behind it: blocks, a head, a remote
//! store, or vectors in memory. It is synchronous; an implementation that waits for the network
//! runs on a thread that may block.

use model::{ErrorKind, Labels, Matcher, Stop, TimeRange};

use crate::columns::Samples;
use crate::stats::FanOutStats;

/// A store of series.
pub trait Source: Send + Sync {
    /// The series that match all of `request.matchers` and may have samples in `request.range`,
    /// sorted by labels, each label set once.
    ///
    /// # Errors
    /// When the store cannot answer; the query fails with it.
    fn select(&self, request: &SelectRequest) -> Result<Box<dyn SeriesSet>, SourceError>;
}

/// What the engine asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectRequest {
    /// All must accept the labels of a series.
    pub matchers: Vec<Matcher>,
    /// Samples outside are not looked at.
    pub range: TimeRange,
    /// What the samples are for; an implementation may ignore all of it.
    pub hints: Hints,
    /// Asked for when the query ends early. Whoever looks for series over more than a few
    /// milliseconds looks at it, and fails.
    pub stop: Stop,
}

/// What an implementation may know to do less work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// Distance between steps in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// Width of the range selector in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation around the selector, `""` when there is none.
    pub func: String,
    /// Labels of the aggregation around the selector.
    pub grouping: Vec<String>,
    /// `grouping` is the labels to keep (`by`), not those to drop (`without`).
    pub by: bool,
    /// Labels that the query looks at; `None` when it may look at all. Labels outside may be left
    /// out of [`Series::labels`] if the series stay distinct, even without `__name__`, `__type__` and
    /// `__unit__`, which functions drop.
    pub projection: Option<Vec<String>>,
    /// Of histograms only count and sum are looked at.
    pub histogram_stats: bool,
    /// The query reads start timestamps.
    pub start_timestamps: bool,
}

/// Series in order of labels, one at a time.
pub trait SeriesSet: Send {
    /// The next series, or `None` at the end.
    ///
    /// # Errors
    /// When the store fails on the way.
    fn next(&mut self) -> Result<Option<Box<dyn Series>>, SourceError>;

    /// What the store wants the user to know, asked once after the last series.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What each store behind the source answered, asked once after the last series where
    /// operators are measured.
    fn fan_out(&mut self) -> Vec<FanOutStats> {
        Vec::new()
    }
}

/// One series, not decoded yet.
pub trait Series: Send {
    /// Its labels.
    fn labels(&self) -> &Labels;

    /// Appends the samples inside `range` to the columns of `out`, in order of time. Stale markers
    /// are samples. Samples outside the range may be appended too, if they are in order. May be called
    /// again for the same samples.
    ///
    /// # Errors
    /// When the samples cannot be read or decoded.
    fn read(&mut self, range: TimeRange, out: &mut Samples) -> Result<(), SourceError>;

    /// Its labels, for who does not ask for them again; the series may give up its own.
    fn take_labels(&mut self) -> Labels {
        self.labels().clone()
    }
}

/// A failure of a source.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What the caller should do about it.
    pub kind: ErrorKind,
    /// What went wrong, lowercase.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// An error without a cause of its own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// An error with the cause that made it.
    pub fn caused_by(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }
}
