//! What the compactor shows of its bucket over HTTP.

use std::sync::Arc;

use bucket::{Bucket, Fetcher, View as Seen};
use runtime::Clock;
use storeapi::block_viewer::{Blocks, Listed, View, Watched};
use tsdb::block::Meta;
use ulid::Ulid;

use crate::flags::ViewerConfig;

/// Blocks as they were at the last looks.
#[derive(Debug, Default)]
pub(crate) struct Viewer {
    /// Of the last pass.
    loaded: Watched,
    /// Of the whole bucket.
    global: Watched,
}

impl Viewer {
    /// Shows what a pass works with.
    pub(crate) fn show(&self, seen: &Seen, at_ms: i64) {
        self.loaded.set(seen, at_ms);
    }

    /// Looks at the whole bucket from time to time, for ever. What is known of its blocks is kept below
    /// the data directory, so that each is read once.
    pub(crate) async fn look(&self, bucket: &Bucket, config: &ViewerConfig, clock: &dyn Clock) {
        let fetcher = Fetcher::new(bucket.clone(), Some(&config.dir), Vec::new());
        let (pause, patience) = (config.pause, config.patience);
        self.global.look(&fetcher, clock, pause, patience).await;
    }
}

impl Blocks for Viewer {
    fn listed(&self, view: View) -> Listed {
        match view {
            View::Loaded => self.loaded.listed(view),
            View::Global => self.global.listed(view),
        }
    }

    fn meta(&self, id: Ulid) -> Option<Arc<Meta>> {
        self.loaded.meta(id).or_else(|| self.global.meta(id))
    }
}
