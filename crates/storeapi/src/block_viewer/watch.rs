//! Looking at a bucket from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Fetcher, View as Bucket};
use parking_lot::Mutex;
use runtime::Clock;
use tokio::time::{sleep, timeout};
use tsdb::block::Meta;
use ulid::Ulid;

use super::{Blocks, Listed, View};

/// The blocks of a bucket, as they were at the last look.
#[derive(Debug, Default)]
pub struct Watched(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    metas: BTreeMap<Ulid, Arc<Meta>>,
    at_ms: Option<i64>,
    error: Option<String>,
}

impl Watched {
    /// Remembers what somebody saw at `at_ms`.
    pub fn set(&self, seen: &Bucket, at_ms: i64) {
        let metas = seen.blocks.iter();
        *self.0.lock() = Seen {
            metas: metas.map(|(id, b)| (*id, Arc::clone(&b.meta))).collect(),
            at_ms: Some(at_ms),
            error: None,
        };
    }

    /// Looks again and again, for ever; each look may take `patience`. A look that fails leaves what was
    /// seen before, with the error.
    pub async fn look(
        &self,
        fetcher: &Fetcher,
        clock: &dyn Clock,
        pause: Duration,
        patience: Duration,
    ) {
        loop {
            let at_ms = clock.now_ms();
            let error = match timeout(patience, fetcher.sync(at_ms)).await {
                Ok(Ok(seen)) => {
                    self.set(&seen, at_ms);
                    None
                }
                Ok(Err(error)) => Some(error.chain()),
                Err(_) => {
                    let seconds = patience.as_secs();
                    Some(format!("the bucket was not listed within {seconds} s"))
                }
            };
            if let Some(error) = error {
                tracing::warn!(error, "the bucket is not shown as it is now");
                self.0.lock().error = Some(error);
            }
            sleep(pause).await;
        }
    }
}

impl Blocks for Watched {
    /// Who only watches works with nothing, so that both views are the bucket.
    fn listed(&self, _: View) -> Listed {
        let seen = self.0.lock();
        Listed {
            blocks: seen.metas.keys().copied().collect(),
            at_ms: seen.at_ms,
            error: seen.error.clone(),
        }
    }

    fn meta(&self, id: Ulid) -> Option<Arc<Meta>> {
        self.0.lock().metas.get(&id).map(Arc::clone)
    }
}
