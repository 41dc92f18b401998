//! Being the only one that does something in a bucket.
//!
//! A compactor holds the lease of its part of the bucket for as long as it works; who is told to work
//! on the same part waits. Parts may overlap, so that each group is worked on under a lease of its own,
//! and so is cleaning, which concerns the whole bucket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use bucket::lease::{ConditionalPut, Lease, LeaseTaker, Taken, probe};
use bucket::{Bucket, Result};
use futures::future::{BoxFuture, FutureExt as _, Shared, join_all};
use runtime::Clock;
use runtime::process::host_name;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{sleep, timeout};

/// How long a lease lasts unless it is renewed.
const TTL_MS: i64 = 60_000;

/// How often it is looked after.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// How often a compactor that waits asks again.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long one waits for a lease to be given back. What does not end in time runs out by itself.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(5);

/// Holds a lease, or nothing where the store cannot give one.
#[derive(Debug)]
pub(crate) struct Guard {
    name: String,
    lease: Option<Mutex<Option<Lease>>>,
    clock: Arc<dyn Clock>,
}

/// A question for a lease, which somebody brings to its end.
type Question = Shared<BoxFuture<'static, ()>>;

/// The guards of a compactor that works, for who stops it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    guards: StdMutex<Vec<Arc<Guard>>>,
    /// Questions under way. Each ends with a guard that is held, or one that is given back.
    asking: StdMutex<Vec<Question>>,
}

impl Held {
    /// Keeps hold of `guard`.
    fn take(&self, guard: Guard) -> Arc<Guard> {
        let guard = Arc::new(guard);
        self.all().push(Arc::clone(&guard));
        guard
    }

    fn forget(&self, guard: &Arc<Guard>) {
        self.all().retain(|held| !Arc::ptr_eq(held, guard));
    }

    /// Lets the next compactor in, if this one works or is about to.
    pub(crate) async fn release(&self) {
        let asking = std::mem::take(&mut *lock(&self.asking));
        // A store that does not answer in time leaves a lease that runs out by itself.
        let _ = timeout(RELEASE_TIME_MAX, join_all(asking)).await;
        let guards = std::mem::take(&mut *self.all());
        join_all(guards.iter().map(|guard| guard.release())).await;
    }

    /// Brings `question` to its end. Where nobody waits for that, [`Held::release`] does.
    async fn ask(&self, question: impl Future<Output = ()> + Send + 'static) {
        let question = question.boxed().shared();
        {
            let mut asking = lock(&self.asking);
            asking.retain(|asked| asked.peek().is_none());
            asking.push(question.clone());
        }
        question.await;
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Guard>>> {
        lock(&self.guards)
    }
}

fn lock<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes leases of a bucket, as often as they are lost.
pub(crate) struct Gate {
    bucket: Bucket,
    conditional: ConditionalPut,
    /// By name. Each remembers since when somebody else's lease has not moved.
    takers: Arc<Mutex<HashMap<String, LeaseTaker>>>,
    clock: Arc<dyn Clock>,
    held: Arc<Held>,
}

/// What came of asking for a lease.
enum Asked {
    Ours(Arc<Guard>),
    HeldBy(String),
}

impl Gate {
    /// Asks the store whether it can give leases. Those that are taken are in `held`.
    pub(crate) async fn new(
        bucket: &Bucket,
        clock: Arc<dyn Clock>,
        held: Arc<Held>,
    ) -> Result<Self> {
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
        Ok(Self {
            bucket: bucket.clone(),
            conditional,
            takers: Arc::default(),
            clock,
            held,
        })
    }

    /// Waits until this process is the one that holds the lease `name`.
    pub(crate) async fn pass(&self, name: &str) -> Result<Arc<Guard>> {
        let mut told = false;
        loop {
            match self.ask(name).await? {
                Asked::Ours(guard) => return Ok(guard),
                Asked::HeldBy(holder) => {
                    if !told {
                        tracing::info!(holder, "another compactor works on this bucket; waiting");
                    }
                    told = true;
                    sleep(ASK_EVERY).await;
                }
            }
        }
    }

    /// Takes the lease `name`, unless another process holds it.
    pub(crate) async fn try_pass(&self, name: &str) -> Result<Option<Arc<Guard>>> {
        Ok(match self.ask(name).await? {
            Asked::Ours(guard) => Some(guard),
            Asked::HeldBy(holder) => {
                tracing::info!(name, holder, "another compactor is at it; left for later");
                None
            }
        })
    }

    /// Does `work` for as long as `guard` holds, and lets the next one in.
    pub(crate) async fn during<T, E: From<bucket::Error>>(
        &self,
        guard: Arc<Guard>,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let result = tokio::select! {
            result = work => result,
            lost = guard.keep() => Err(lost.into()),
        };
        self.let_go(&guard).await;
        result
    }

    /// Lets others in, whatever was held.
    pub(crate) async fn release(&self) {
        self.held.release().await;
    }

    /// Lets the next one in.
    pub(crate) async fn let_go(&self, guard: &Arc<Guard>) {
        self.held.forget(guard);
        guard.release().await;
    }

    /// The question is brought to its end also when nobody waits for its answer any more: a lease that it
    /// takes is given back then. Cut off in the middle, it would leave one that nobody knows of.
    async fn ask(&self, name: &str) -> Result<Asked> {
        let (held, clock) = (Arc::clone(&self.held), Arc::clone(&self.clock));
        let of = name.to_owned();
        let guard = move |lease| {
            let guard = Guard {
                name: of,
                lease,
                clock,
            };
            held.take(guard)
        };
        if self.conditional == ConditionalPut::Unsupported {
            return Ok(Asked::Ours(guard(None)));
        }
        // Not held while the store is asked: groups do not wait for each other.
        let taker = self.takers.lock().await.remove(name);
        let mut taker = taker.unwrap_or_else(|| {
            let holder = format!("process {} on {}", std::process::id(), host_name());
            LeaseTaker::new(self.bucket.clone(), name, &holder, TTL_MS, self.conditional)
        });
        let (takers, held) = (Arc::clone(&self.takers), Arc::clone(&self.held));
        let (name, now_ms) = (name.to_owned(), self.clock.now_ms());
        let (tell, answer) = oneshot::channel();
        let question = async move {
            let taken = taker.try_take(now_ms).await;
            takers.lock().await.insert(name, taker);
            let asked = taken.map(|taken| match taken {
                Taken::Ours(lease) => Asked::Ours(guard(Some(Mutex::new(Some(lease))))),
                Taken::HeldBy(holder) => Asked::HeldBy(holder),
            });
            if let Err(Ok(Asked::Ours(guard))) = tell.send(asked) {
                held.forget(&guard);
                guard.release().await;
            }
        };
        self.held.ask(question).await;
        answer.await.expect("the question is answered when it ends")
    }
}

impl Guard {
    /// What is said to who works on after the lease was released.
    fn gone(&self) -> bucket::Error {
        bucket::Error::LeaseLost {
            name: self.name.clone(),
            holder: "nobody, it was let go".to_owned(),
        }
    }

    /// Makes sure that this compactor is still the one that works; to be called before each step
    /// that others see.
    pub(crate) async fn ensure(&self) -> Result<()> {
        let Some(lease) = &self.lease else {
            return Ok(());
        };
        match &mut *lease.lock().await {
            Some(lease) => lease.ensure(self.clock.now_ms()).await,
            None => Err(self.gone()),
        }
    }

    /// The same, by a look into the bucket in any case: before what is made visible to all.
    pub(crate) async fn confirm(&self) -> Result<()> {
        let Some(lease) = &self.lease else {
            return Ok(());
        };
        match &mut *lease.lock().await {
            Some(lease) => lease.confirm(self.clock.now_ms()).await,
            None => Err(self.gone()),
        }
    }

    /// Keeps the lease for as long as it can be kept, then says why not.
    async fn keep(&self) -> bucket::Error {
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

    /// Lets the next compactor in; what still runs of this one is refused its next step. What does
    /// not end in time runs out by itself.
    async fn release(&self) {
        let Some(lease) = &self.lease else { return };
        let release = async {
            match lease.lock().await.take() {
                Some(lease) => lease.release().await,
                None => Ok(()),
            }
        };
        if let Ok(Err(error)) = timeout(RELEASE_TIME_MAX, release).await {
            tracing::warn!(
                error = error.chain(),
                "lease is not released; it runs out by itself"
            );
        }
    }
}
