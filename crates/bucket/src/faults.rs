//! An object store that fails on purpose: at the n-th operation, before or after it took effect,
//! once or for good, as if the process had been killed there.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, UploadPart,
};

use crate::client::Bucket;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails without effect.
    Fail,
    /// The operation takes effect and its answer is lost.
    LoseAnswer,
    /// The process dies before the operation: it and all later ones fail.
    KillBefore,
    /// The process dies after the operation took effect: all later ones fail, and so does it.
    KillAfter,
    /// The operation takes this much longer.
    Delay(Duration),
    /// A read brings only half of its bytes.
    Truncate,
}

/// Passes operations on to a store, but for those that are to fail.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    begun: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Operations by number, from 1.
    faults: Vec<(u64, Fault)>,
    /// All operations on keys that contain this text.
    keys: Vec<(String, Fault)>,
    refuses_conditions: bool,
    odd_name: Option<String>,
    dead: bool,
    log: Vec<String>,
}

/// Sets what goes wrong in a [`FaultStore`].
#[derive(Debug, Clone)]
pub struct Faults {
    plan: Arc<Plan>,
}

impl Faults {
    /// The operation number `n`, counted from 1, suffers `fault`.
    pub fn at(&self, n: u64, fault: Fault) {
        self.plan.state().faults.push((n, fault));
    }

    /// Every operation on a key that contains `part` suffers `fault`.
    pub fn on_keys(&self, part: &str, fault: Fault) {
        self.plan.state().keys.push((part.to_owned(), fault));
    }

    /// Writes with a condition fail from now on, as on a store that does not know them; the error
    /// is the one that such an answer of an S3 server becomes.
    pub fn refuse_conditions(&self) {
        self.plan.state().refuses_conditions = true;
    }

    /// Listings that would show an object of this name, as `a//b`, end there, as those of an S3
    /// server's client do.
    pub fn add_odd_name(&self, name: &str) {
        self.plan.state().odd_name = Some(name.to_owned());
    }

    /// How many operations were begun.
    pub fn operations(&self) -> u64 {
        self.plan.begun.load(Ordering::SeqCst)
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        self.plan.state().dead
    }

    /// Forgets all faults, and revives the dead.
    pub fn clear(&self) {
        let mut state = self.plan.state();
        *state = State::default();
        self.plan.begun.store(0, Ordering::SeqCst);
    }

    /// What was asked for so far.
    pub fn log(&self) -> Vec<String> {
        self.plan.state().log.clone()
    }
}

impl FaultStore {
    /// A bucket over the store of `bucket`, and what sets its faults.
    pub fn over(bucket: &Bucket) -> (Bucket, Faults) {
        let plan = Arc::<Plan>::default();
        let store = Self {
            inner: Arc::clone(bucket.store()),
            plan: Arc::clone(&plan),
        };
        (Bucket::new(Arc::new(store), "faulty", ""), Faults { plan })
    }
}

/// How an operation that was let through ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Normal,
    AnswerLost,
    Truncated,
}

impl Plan {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and decides on it.
    async fn begin(&self, what: &str, key: &str) -> Result<Ending> {
        let n = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = {
            let mut state = self.state();
            state.log.push(format!("{n} {what} {key}"));
            if state.dead {
                return Err(failure("the process is dead"));
            }
            let by_number = (state.faults.iter())
                .find(|(at, _)| *at == n)
                .map(|(_, f)| *f);
            let by_key = || {
                (state.keys.iter())
                    .find(|(part, _)| key.contains(part))
                    .map(|(_, f)| *f)
            };
            let fault = by_number.or_else(by_key);
            if matches!(fault, Some(Fault::KillBefore | Fault::KillAfter)) {
                state.dead = true;
            }
            fault
        };
        match fault {
            None => Ok(Ending::Normal),
            Some(Fault::Fail) => Err(failure("failed on purpose")),
            Some(Fault::KillBefore) => Err(failure("killed on purpose")),
            Some(Fault::LoseAnswer | Fault::KillAfter) => Ok(Ending::AnswerLost),
            Some(Fault::Truncate) => Ok(Ending::Truncated),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(Ending::Normal)
            }
        }
    }
}

fn failure(what: &'static str) -> Error {
    Error::Generic {
        store: "FaultStore",
        source: what.into(),
    }
}

fn answer<T>(ending: Ending, result: Result<T>) -> Result<T> {
    match ending {
        Ending::AnswerLost => Err(failure("the answer was lost on purpose")),
        _ => result,
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let ending = self.plan.begin("put", location.as_ref()).await?;
        if opts.mode != PutMode::Overwrite && self.plan.state().refuses_conditions {
            return Err(failure(
                "a header implies something that is not implemented",
            ));
        }
        answer(ending, self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let ending = self.plan.begin("multipart", location.as_ref()).await?;
        let upload = self.inner.put_multipart_opts(location, opts).await;
        let upload = answer(ending, upload)?;
        Ok(Box::new(FaultUpload {
            upload,
            plan: Arc::clone(&self.plan),
            key: location.to_string(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let ending = self.plan.begin("get", location.as_ref()).await?;
        let result = answer(ending, self.inner.get_opts(location, options).await)?;
        if ending != Ending::Truncated {
            return Ok(result);
        }
        let (meta, range, attributes) = (
            result.meta.clone(),
            result.range.clone(),
            result.attributes.clone(),
        );
        let extensions = result.extensions.clone();
        let bytes = result.bytes().await?;
        let half = bytes.slice(..bytes.len() / 2);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(half)]).boxed()),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let ending = self.plan.begin("get", location.as_ref()).await?;
        answer(ending, self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        locations
            .then(move |location| {
                let (inner, plan) = (Arc::clone(&inner), Arc::clone(&plan));
                async move {
                    let location = location?;
                    let ending = plan.begin("delete", location.as_ref()).await?;
                    let deleted = inner.delete(&location).await;
                    answer(ending, deleted.map(|()| location))
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let plan = Arc::clone(&self.plan);
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        let listed = self.inner.list(prefix);
        let begun = async move {
            let begun = plan.begin("list", &key).await;
            let odd_name = plan.state().odd_name.clone();
            let shown = odd_name.filter(|name| name.starts_with(&key));
            match begun {
                Ok(Ending::Normal) => match shown.map(Path::parse) {
                    Some(Err(e)) => listed.chain(stream::iter([Err(e.into())])).boxed(),
                    _ => listed,
                },
                Ok(_) => stream::iter([Err(failure("the answer was lost on purpose"))]).boxed(),
                Err(e) => stream::iter([Err(e)]).boxed(),
            }
        };
        stream::once(begun).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        let ending = self.plan.begin("list", &key).await?;
        answer(ending, self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let ending = self.plan.begin("copy", from.as_ref()).await?;
        answer(ending, self.inner.copy_opts(from, to, options).await)
    }
}

#[derive(Debug)]
struct FaultUpload {
    upload: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
    key: String,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (plan, key) = (Arc::clone(&self.plan), self.key.clone());
        let part = self.upload.put_part(data);
        Box::pin(async move {
            let ending = plan.begin("part", &key).await?;
            answer(ending, part.await)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let ending = self.plan.begin("complete", &self.key).await?;
        answer(ending, self.upload.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.plan.begin("abort", &self.key).await?;
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn faults_strike_where_they_are_set() {
        let inner = Bucket::in_memory();
        let (bucket, faults) = FaultStore::over(&inner);
        faults.at(1, Fault::Fail);
        faults.at(2, Fault::LoseAnswer);
        faults.on_keys("short", Fault::Truncate);
        bucket.put("a", "1").await.unwrap_err();
        assert!(inner.find("a", 9).await.unwrap().is_none());
        bucket.put("b", "1").await.unwrap_err();
        assert!(inner.find("b", 9).await.unwrap().is_some());
        inner.put("short", "1234").await.unwrap();
        assert!(matches!(
            bucket.get("short", 9).await.unwrap_err(),
            crate::Error::Length {
                expected: 4,
                found: 2,
                ..
            }
        ));
        faults.at(4, Fault::KillAfter);
        bucket.delete("b").await.unwrap_err();
        assert!(inner.find("b", 9).await.unwrap().is_none());
        bucket.put("c", "1").await.unwrap_err();
        assert!(faults.is_dead() && faults.operations() == 5);
        faults.clear();
        bucket.put("c", "1").await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_answer_to_create_is_known_as_won() {
        let (bucket, faults) = FaultStore::over(&Bucket::in_memory());
        faults.at(1, Fault::LoseAnswer);
        assert!(bucket.create("k", "mine").await.unwrap());
        assert!(bucket.create("k", "mine").await.unwrap());
    }
}
