//! A series of the head: its labels and, under a lock, everything else.

use std::sync::Arc;

use model::{Labels, Metadata};
use parking_lot::Mutex;

use super::series::HeadSeries;
use crate::batch::SeriesRef;

/// One series.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) series: SeriesRef,
    pub(super) labels: Labels,
    pub(super) state: Mutex<State>,
}

/// What changes about a series.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) samples: HeadSeries,
    pub(super) metadata: Option<Arc<Metadata>>,
    /// One more than the last segment of the WAL in which a change of the series was logged; zero
    /// before the first. Changes only while the logs are locked.
    pub(super) changed_in: u32,
    /// True once the log has a record of the series. Changes only while the logs are locked.
    pub(super) is_logged: bool,
    /// True once the head has forgotten the series: nothing may be appended, for nobody would find
    /// it. Changes only while the logs are locked.
    pub(super) is_dropped: bool,
}

impl Entry {
    pub(super) fn new(series: SeriesRef, labels: Labels) -> Self {
        Self {
            series,
            labels,
            state: Mutex::default(),
        }
    }
}
