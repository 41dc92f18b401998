//! A lease in the bucket: at most one process works on what it guards.
//!
//! A lease is a row of records, `promontory/leases/NAME/EPOCH.json`, each created once and never
//! changed; the highest epoch is the holder's. Taking and renewing both create the next epoch, which
//! only one process can, so that plain creation is all the store must honour: no update, no clock in
//! common. Who finds the lease taken takes it over once its time is past by more than clocks may
//! differ, or once it has not moved for as long as it lasts, by its own clock.
//!
//! Some stores take the condition of a write and ignore it. [`probe`] finds that out; a lease there
//! is a notice, not a lock, and [`Lease::is_guaranteed`] says so.

use std::time::Instant;

use futures::TryStreamExt as _;
use futures::future::join_all;
use object_store::{Error as StoreError, PutMode, PutPayload};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::client::Bucket;
use crate::error::{Error, Result};

/// Where leases are; not a ULID, so that nobody takes it for a block.
const DIR: &str = "promontory/leases";

/// Where probes write.
const PROBE_DIR: &str = "promontory/probes";

/// Refused writes with a condition, each after one without that was taken, that tell a store that does
/// not know conditions from one that is busy.
const REFUSALS: usize = 3;

/// How much the clocks of two processes may differ.
const SKEW_MAX_MS: i64 = 60_000;

/// Epochs that are tried for one renewal, as those before were created by tries that seemed to fail.
const WRITES_MAX: usize = 4;

/// Largest record.
const RECORD_SIZE_MAX: u64 = 64 << 10;

/// Whether a store keeps two writers from creating the same object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionalPut {
    /// It does.
    Honoured,
    /// It takes the condition and writes all the same.
    Ignored,
    /// It refuses such writes.
    Unsupported,
}

/// Finds out whether the store honours conditional writes, by a few of them under `promontory/probes`.
///
/// # Errors
/// [`Error::Store`] when the store cannot be written to at all.
pub async fn probe(bucket: &Bucket) -> Result<ConditionalPut> {
    let key = probe_key();
    let found = match create(bucket, &key, 0).await? {
        Ok(()) => {
            let mut ignored = false;
            for later in join_all((1..4).map(|n| create(bucket, &key, n))).await {
                ignored |= later?.is_ok();
            }
            match ignored {
                true => ConditionalPut::Ignored,
                false => ConditionalPut::Honoured,
            }
        }
        Err(refused) => why_refused(bucket, &key, refused).await?,
    };
    bucket.delete(&key).await?;
    Ok(found)
}

/// Whether it was the condition that was refused. Servers that do not know it answer 400 or 501,
/// which comes as an error of any kind: so it was when an object is taken without a condition and
/// another refused with one, again and again, so that it is not for a store that is busy.
async fn why_refused(bucket: &Bucket, key: &str, refused: StoreError) -> Result<ConditionalPut> {
    if let StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } = refused {
        return Ok(ConditionalPut::Unsupported);
    }
    let other = probe_key();
    let mut refusals = 0;
    while bucket.put(key, "0").await.is_ok() && create(bucket, &other, 0).await?.is_err() {
        refusals += 1;
        if refusals == REFUSALS {
            return Ok(ConditionalPut::Unsupported);
        }
    }
    // The store was away, and may be back by now.
    for left in [key, &other] {
        let _ = bucket.delete(left).await;
    }
    Err(Error::store("create", key, refused))
}

fn probe_key() -> String {
    format!("{PROBE_DIR}/{}", Ulid::from(rand::random::<u128>()))
}

/// Creates an object; the inner error is the store's.
async fn create(bucket: &Bucket, key: &str, n: usize) -> Result<Result<(), StoreError>> {
    let path = bucket.path(key)?;
    let payload = PutPayload::from(n.to_string().into_bytes());
    let put = (bucket.store()).put_opts(&path, payload, PutMode::Create.into());
    Ok(put.await.map(drop))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    epoch: u64,
    holder: String,
    /// Tells apart two processes that call themselves the same.
    process: Ulid,
    /// By the holder's clock; 0 once it has let go.
    expires_ms: i64,
}

/// Tries to take a lease.
#[derive(Debug)]
pub struct LeaseTaker {
    bucket: Bucket,
    name: String,
    holder: String,
    ttl_ms: i64,
    guaranteed: bool,
    process: Ulid,
    /// The epoch of another holder, and when it was first seen by this process' clock.
    seen: Option<(u64, i64)>,
}

/// What came of trying.
#[derive(Debug)]
pub enum Taken {
    /// The lease is ours.
    Ours(Lease),
    /// Somebody else holds it.
    HeldBy(String),
}

/// A lease that this process holds. Dropped without [`Lease::release`] it runs out.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    name: String,
    record: Record,
    ttl_ms: i64,
    guaranteed: bool,
}

impl LeaseTaker {
    /// Will take the lease `name` for `holder`, a text that tells an operator who that is, for
    /// `ttl_ms` at a time. `conditional` is what [`probe`] found.
    pub fn new(
        bucket: Bucket,
        name: &str,
        holder: &str,
        ttl_ms: i64,
        conditional: ConditionalPut,
    ) -> Self {
        Self {
            bucket,
            name: name.to_owned(),
            holder: holder.to_owned(),
            ttl_ms,
            guaranteed: conditional == ConditionalPut::Honoured,
            process: Ulid::from(rand::random::<u128>()),
            seen: None,
        }
    }

    /// Takes the lease at `now_ms` if it is free; ask again from time to time if it is not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn try_take(&mut self, now_ms: i64) -> Result<Taken> {
        let current = current(&self.bucket, &self.name).await?;
        if let Some(record) = &current
            && !self.may_take(record, now_ms)
        {
            return Ok(Taken::HeldBy(record.holder.clone()));
        }
        let record = Record {
            version: 1,
            epoch: current.as_ref().map_or(0, |r| r.epoch) + 1,
            holder: self.holder.clone(),
            process: self.process,
            expires_ms: now_ms + self.ttl_ms,
        };
        let mut lease = Lease {
            bucket: self.bucket.clone(),
            name: self.name.clone(),
            record: record.clone(),
            ttl_ms: self.ttl_ms,
            guaranteed: self.guaranteed,
        };
        match lease.write_live(record, now_ms).await {
            Ok(()) => Ok(Taken::Ours(lease)),
            Err(Error::LeaseLost { holder, .. }) => Ok(Taken::HeldBy(holder)),
            Err(e) => Err(e),
        }
    }

    fn may_take(&mut self, record: &Record, now_ms: i64) -> bool {
        if record.process == self.process || record.expires_ms == 0 {
            return true;
        }
        let first_seen = match self.seen {
            // Seen in what is the future by now, so the clock went back: waited for anew.
            Some((epoch, at)) if epoch == record.epoch && at <= now_ms => at,
            _ => now_ms,
        };
        self.seen = Some((record.epoch, first_seen));
        now_ms > record.expires_ms.saturating_add(SKEW_MAX_MS) || now_ms - first_seen > self.ttl_ms
    }
}

impl Lease {
    /// Whether the store keeps others from taking the lease; otherwise it is only a notice.
    pub fn is_guaranteed(&self) -> bool {
        self.guaranteed
    }

    /// Whether the lease still runs at `now_ms`, as far as a clock that went back can tell.
    pub fn is_live(&self, now_ms: i64) -> bool {
        (1..=self.ttl_ms).contains(&(self.record.expires_ms - now_ms))
    }

    /// Makes sure at `now_ms` that the lease is ours, renewing it once half of its time is over.
    /// To be called before each step that must not be taken twice.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when another process holds it now, [`Error::Store`].
    pub async fn ensure(&mut self, now_ms: i64) -> Result<()> {
        let left = self.record.expires_ms - now_ms;
        // More than the whole is left only when the clock went back: how old the lease is nobody
        // knows then.
        if (self.ttl_ms / 2 + 1..=self.ttl_ms).contains(&left) {
            return Ok(());
        }
        let record = Record {
            epoch: self.record.epoch + 1,
            expires_ms: now_ms + self.ttl_ms,
            ..self.record.clone()
        };
        self.write_live(record, now_ms).await
    }

    /// As [`Lease::ensure`], and looks into the bucket in any case: somebody whose clock is wrong may have
    /// taken a lease that runs by ours. To be called right before what cannot be undone.
    ///
    /// # Errors
    /// As [`Lease::ensure`].
    pub async fn confirm(&mut self, now_ms: i64) -> Result<()> {
        let epoch = self.record.epoch;
        self.ensure(now_ms).await?;
        if self.record.epoch != epoch {
            // Renewing has looked.
            return Ok(());
        }
        match current(&self.bucket, &self.name).await? {
            Some(now) if now == self.record => Ok(()),
            now => Err(self.lost_to(now)),
        }
    }

    fn lost_to(&self, now: Option<Record>) -> Error {
        Error::LeaseLost {
            name: self.name.clone(),
            holder: now.map_or_else(String::new, |r| r.holder),
        }
    }

    /// Lets the lease go, so that the next need not wait for its end.
    ///
    /// # Errors
    /// [`Error::Store`]; the lease then runs out by itself.
    pub async fn release(mut self) -> Result<()> {
        let record = Record {
            epoch: self.record.epoch + 1,
            expires_ms: 0,
            ..self.record.clone()
        };
        match self.write(record).await {
            Err(Error::LeaseLost { .. }) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// As [`Lease::write`] at `now_ms`, and once more where the store took so long that the lease is to be
    /// renewed again.
    async fn write_live(&mut self, record: Record, now_ms: i64) -> Result<()> {
        let begin = Instant::now();
        self.write(record).await?;
        let took_ms = i64::try_from(begin.elapsed().as_millis()).unwrap_or(i64::MAX);
        if took_ms <= self.ttl_ms / 2 {
            return Ok(());
        }
        let record = Record {
            epoch: self.record.epoch + 1,
            expires_ms: now_ms.saturating_add(took_ms) + self.ttl_ms,
            ..self.record.clone()
        };
        self.write(record).await
    }

    /// Creates the record of the next epoch and removes those before it.
    async fn write(&mut self, mut record: Record) -> Result<()> {
        for _ in 0..WRITES_MAX {
            let json = serde_json::to_vec(&record).expect("plain fields are always JSON");
            let created = self
                .bucket
                .create(&key(&self.name, record.epoch), json)
                .await?;
            // Somebody slow may create an epoch that was long passed and removed: the highest counts.
            match current(&self.bucket, &self.name).await? {
                Some(now) if created && now == record => return self.became(record).await,
                // An earlier try of our own took effect, though it seemed to fail.
                Some(now) if (now.process, now.epoch) == (record.process, record.epoch) => {
                    record.epoch += 1;
                }
                now => return Err(self.lost_to(now)),
            }
        }
        Err(self.lost_to(None))
    }

    /// Goes on with `record`, which is the highest, and removes those before it.
    async fn became(&mut self, record: Record) -> Result<()> {
        self.record = record;
        let epochs = epochs(&self.bucket, &self.name).await?;
        for old in epochs.into_iter().filter(|e| *e < self.record.epoch) {
            self.bucket.delete(&key(&self.name, old)).await?;
        }
        Ok(())
    }
}

fn key(name: &str, epoch: u64) -> String {
    format!("{DIR}/{name}/{epoch:020}.json")
}

async fn epochs(bucket: &Bucket, name: &str) -> Result<Vec<u64>> {
    let objects: Vec<_> = bucket.list(&format!("{DIR}/{name}")).try_collect().await?;
    let epoch = |key: &str| {
        let file = key.rsplit('/').next()?;
        file.strip_suffix(".json")?.parse().ok()
    };
    Ok(objects.iter().filter_map(|o| epoch(&o.key)).collect())
}

/// The record that counts. One that is damaged, or removed since it was listed, counts as free.
async fn current(bucket: &Bucket, name: &str) -> Result<Option<Record>> {
    let Some(epoch) = epochs(bucket, name).await?.into_iter().max() else {
        return Ok(None);
    };
    let bytes = bucket.find(&key(name, epoch), RECORD_SIZE_MAX).await?;
    let record = bytes.and_then(|b| serde_json::from_slice::<Record>(&b).ok());
    let free = || Record {
        version: 1,
        epoch,
        holder: String::new(),
        process: Ulid::default(),
        expires_ms: 0,
    };
    // The epoch is that of the name, so that the next one can be created.
    Ok(Some(
        record.filter(|r| r.epoch == epoch).unwrap_or_else(free),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, FaultStore};

    const TTL_MS: i64 = 30_000;

    fn taker(bucket: &Bucket, holder: &str) -> LeaseTaker {
        let conditional = ConditionalPut::Honoured;
        LeaseTaker::new(bucket.clone(), "compactor", holder, TTL_MS, conditional)
    }

    async fn take(taker: &mut LeaseTaker, now_ms: i64) -> Option<Lease> {
        match taker.try_take(now_ms).await.unwrap() {
            Taken::Ours(lease) => Some(lease),
            Taken::HeldBy(_) => None,
        }
    }

    #[tokio::test]
    async fn stores_here_honour_conditions() {
        let dir = tempfile::tempdir().unwrap();
        for bucket in [
            Bucket::in_memory(),
            Bucket::in_directory(dir.path()).unwrap(),
        ] {
            assert_eq!(probe(&bucket).await.unwrap(), ConditionalPut::Honoured);
            let left: Vec<_> = bucket.list("").try_collect().await.unwrap();
            assert!(left.is_empty());
        }
    }

    #[tokio::test]
    async fn stores_that_do_not_know_conditions_are_told_from_those_that_are_away() {
        let inner = Bucket::in_memory();
        let (bucket, faults) = FaultStore::over(&inner);
        faults.refuse_conditions();
        let found = probe(&bucket).await.unwrap();
        assert_eq!(found, ConditionalPut::Unsupported);
        faults.clear();
        faults.at(1, Fault::Fail);
        probe(&bucket).await.unwrap_err();
        assert_eq!(probe(&bucket).await.unwrap(), ConditionalPut::Honoured);
        let left: Vec<_> = inner.list("").try_collect().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn one_holds_it_and_the_next_waits() {
        let bucket = Bucket::in_memory();
        let (mut a, mut b) = (taker(&bucket, "a"), taker(&bucket, "b"));
        let mut lease = take(&mut a, 1000).await.unwrap();
        assert!(lease.is_live(1000 + TTL_MS - 1) && !lease.is_live(1000 + TTL_MS));
        for now_ms in [1000, 20_000, 31_000] {
            assert!(take(&mut b, now_ms).await.is_none(), "at {now_ms}");
            lease.ensure(now_ms).await.unwrap();
        }
        lease.release().await.unwrap();
        assert!(take(&mut b, 31_001).await.is_some());
        assert_eq!(epochs(&bucket, "compactor").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn who_renewed_it_without_hearing_of_it_keeps_it() {
        let bucket = Bucket::in_memory();
        let mut lease = take(&mut taker(&bucket, "a"), 0).await.unwrap();
        let unheard = Record {
            epoch: lease.record.epoch + 1,
            expires_ms: 20_000 + TTL_MS,
            ..lease.record.clone()
        };
        let json = serde_json::to_vec(&unheard).unwrap();
        let key = key("compactor", unheard.epoch);
        assert!(bucket.create(&key, json).await.unwrap());
        lease.ensure(25_000).await.unwrap();
        assert!(lease.is_live(25_000 + TTL_MS - 1));
        lease.confirm(25_001).await.unwrap();
        assert_eq!(epochs(&bucket, "compactor").await.unwrap().len(), 1);
        lease.release().await.unwrap();
        assert!(take(&mut taker(&bucket, "b"), 25_002).await.is_some());
    }

    #[tokio::test]
    async fn a_dead_holder_is_followed_and_a_thawed_one_told() {
        let bucket = Bucket::in_memory();
        let (mut a, mut b) = (taker(&bucket, "a"), taker(&bucket, "b"));
        // The clock of `a` is far ahead, so that its own words are of no use.
        let mut frozen = take(&mut a, 1_000_000_000).await.unwrap();
        assert!(take(&mut b, 0).await.is_none());
        assert!(take(&mut b, TTL_MS).await.is_none());
        let mut lease = take(&mut b, TTL_MS + 1).await.unwrap();
        let told = frozen.ensure(1_000_000_000 + TTL_MS).await.unwrap_err();
        assert!(matches!(told, Error::LeaseLost { holder, .. } if holder == "b"));
        lease.ensure(2 * TTL_MS).await.unwrap();
        lease.confirm(2 * TTL_MS).await.unwrap();
        // By its own words, with room for clocks that differ.
        let mut c = taker(&bucket, "c");
        assert!(take(&mut c, 3 * TTL_MS + SKEW_MAX_MS).await.is_none());
        assert!(
            take(&mut taker(&bucket, "d"), 3 * TTL_MS + SKEW_MAX_MS + 1)
                .await
                .is_some()
        );
    }

    #[tokio::test]
    async fn clocks_that_jump_give_nobody_a_lease_that_another_has() {
        const HOUR_MS: i64 = 3_600_000;
        let bucket = Bucket::in_memory();
        let (mut a, mut b) = (taker(&bucket, "a"), taker(&bucket, "b"));
        let start = 10 * HOUR_MS;
        let mut lease = take(&mut a, start).await.unwrap();
        // The holder's clock goes back; it does not rest on a lease that others may take over.
        assert!(!lease.is_live(start - HOUR_MS));
        lease.ensure(start - HOUR_MS).await.unwrap();
        assert!(lease.is_live(start - HOUR_MS + 1));
        assert!(take(&mut b, start - HOUR_MS + 1).await.is_none());
        // The other's clock goes back while it waits: it waits once more, not for an hour.
        let other = start - 2 * HOUR_MS;
        assert!(take(&mut b, other).await.is_none());
        let mut taken = take(&mut b, other + TTL_MS + 1).await.unwrap();
        let told = lease.ensure(start - HOUR_MS + TTL_MS).await.unwrap_err();
        assert!(matches!(told, Error::LeaseLost { holder, .. } if holder == "b"));
        // Forward: the lease is over by this clock, and had anew.
        assert!(!taken.is_live(start));
        taken.ensure(start).await.unwrap();
        assert!(taken.is_live(start));
    }

    #[tokio::test]
    async fn who_asks_learns_of_a_thief_while_the_lease_runs() {
        let bucket = Bucket::in_memory();
        let (mut a, mut b) = (taker(&bucket, "a"), taker(&bucket, "b"));
        let mut lease = take(&mut a, 1000).await.unwrap();
        // The clock of `b` is far ahead.
        let hour_ms = 3_600_000;
        let mut stolen = take(&mut b, hour_ms).await.unwrap();
        lease.ensure(1001).await.unwrap();
        let told = lease.confirm(1001).await.unwrap_err();
        assert!(matches!(told, Error::LeaseLost { holder, .. } if holder == "b"));
        stolen.confirm(hour_ms + 1).await.unwrap();
        stolen.confirm(hour_ms + TTL_MS).await.unwrap();
    }

    #[tokio::test]
    async fn of_many_at_once_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_directory(dir.path()).unwrap();
        for round in 0..5 {
            let mut takers: Vec<_> = (0..6).map(|i| taker(&bucket, &i.to_string())).collect();
            let now_ms = round * 1_000_000;
            let tries = takers.iter_mut().map(|t| take(t, now_ms));
            let won: Vec<Lease> = join_all(tries).await.into_iter().flatten().collect();
            assert_eq!(won.len(), 1, "round {round}");
        }
    }
}
