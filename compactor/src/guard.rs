//! Being the only compactor of a bucket.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use bucket::lease::{ConditionalPut, Lease, LeaseTaker, Taken, probe};
use bucket::{Bucket, Result};
use runtime::Clock;
use runtime::process::host_name;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// How long a lease lasts unless it is renewed.
const TTL_MS: i64 = 60_000;

/// How often it is looked after.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// How often a compactor that waits asks again.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Holds the lease, or nothing where the store cannot give one.
#[derive(Debug)]
pub(crate) struct Guard {
    lease: Option<Mutex<Option<Lease>>>,
    clock: Arc<dyn Clock>,
}

/// The guard of a compactor that works, for who stops it.
#[derive(Debug, Default)]
pub(crate) struct Held(StdMutex<Option<Arc<Guard>>>);

impl Held {
    /// Keeps hold of `guard`.
    pub(crate) fn take(&self, guard: Guard) -> Arc<Guard> {
        let guard = Arc::new(guard);
        *self.slot() = Some(Arc::clone(&guard));
        guard
    }

    /// Lets the next compactor in, if this one works.
    pub(crate) async fn release(&self) {
        let guard = self.slot().take();
        if let Some(guard) = guard {
            guard.release().await;
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Guard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the lease of a bucket, as often as it is lost.
pub(crate) struct Gate {
    taker: Option<LeaseTaker>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// Asks the store whether it can give leases.
    pub(crate) async fn new(bucket: &Bucket, name: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        let conditional = probe(bucket).await?;
        let advice = "run only one compactor on this bucket";
        match conditional {
            ConditionalPut::Honoured => {}
            ConditionalPut::Ignored => tracing::warn!(
                advice,
                "the store ignores the condition of a write; the lease is a notice, not a lock"
            ),
            ConditionalPut::Unsupported => tracing::warn!(
                advice,
                "the store refuses conditional writes; there is no lease"
            ),
        }
        let holder = format!("process {} on {}", std::process::id(), host_name());
        let taker = (conditional != ConditionalPut::Unsupported)
            .then(|| LeaseTaker::new(bucket.clone(), name, &holder, TTL_MS, conditional));
        Ok(Self { taker, clock })
    }

    /// Waits until this compactor is the one that works.
    pub(crate) async fn pass(&mut self) -> Result<Guard> {
        let mut told = false;
        loop {
            let lease = match &mut self.taker {
                None => None,
                Some(taker) => match taker.try_take(self.clock.now_ms()).await? {
                    Taken::Ours(lease) => Some(Mutex::new(Some(lease))),
                    Taken::HeldBy(holder) => {
                        if !told {
                            tracing::info!(
                                holder,
                                "another compactor works on this bucket; waiting"
                            );
                        }
                        told = true;
                        sleep(ASK_EVERY).await;
                        continue;
                    }
                },
            };
            return Ok(Guard {
                lease,
                clock: Arc::clone(&self.clock),
            });
        }
    }
}

impl Guard {
    /// Makes sure that this compactor is still the one that works; to be called before each step
    /// that others see.
    pub(crate) async fn ensure(&self) -> Result<()> {
        let Some(lease) = &self.lease else {
            return Ok(());
        };
        match &mut *lease.lock().await {
            Some(lease) => lease.ensure(self.clock.now_ms()).await,
            None => Err(bucket::Error::LeaseLost {
                name: crate::LEASE.to_owned(),
                holder: "nobody, it was let go".to_owned(),
            }),
        }
    }

    /// Keeps the lease for as long as it can be kept, then says why not.
    pub(crate) async fn keep(&self) -> bucket::Error {
        let mut failing = 0;
        loop {
            sleep(RENEW_EVERY).await;
            match self.ensure().await {
                Ok(()) => failing = 0,
                Err(e @ bucket::Error::LeaseLost { .. }) => return e,
                // The store may be back before the lease runs out.
                Err(e) if failing < 2 => {
                    tracing::warn!(error = e.chain(), "lease is not renewed; it is tried again");
                    failing += 1;
                }
                Err(e) => return e,
            }
        }
    }

    /// Lets the next compactor in; what still runs of this one is refused its next step.
    async fn release(&self) {
        let Some(lease) = &self.lease else { return };
        if let Some(lease) = lease.lock().await.take()
            && let Err(error) = lease.release().await
        {
            tracing::warn!(
                error = error.chain(),
                "lease is not released; it runs out by itself"
            );
        }
    }
}
