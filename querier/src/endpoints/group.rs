//! Endpoints that are alike, as one store.
//!
//! They take turns. One that cannot be had is replaced by the next at once, and one that is slow to
//! begin its answer gets company: whichever begins first is listened to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt as _};
use model::ErrorKind;
use storeapi::{Frame, Info, LabelsRequest, SeriesRequest, Store, StoreError, Strings};
use tokio::time::sleep;

/// How long a member may take to begin its answer before another one is asked too.
const HEDGE_AFTER: Duration = Duration::from_millis(500);

/// Stores that have the same data.
#[derive(Clone)]
pub struct Group {
    /// In the order in which they are asked; at least one.
    members: Vec<Arc<dyn Store>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

impl Group {
    /// The members, of which number `turn` is asked first; `None` when there are none.
    pub fn new(mut members: Vec<Arc<dyn Store>>, turn: usize) -> Option<Self> {
        if members.is_empty() {
            return None;
        }
        let turn = turn % members.len();
        members.rotate_left(turn);
        Some(Self { members })
    }

    /// What the first member to answer says; of failures the last.
    async fn first<T, E>(
        self,
        ask: impl Fn(&dyn Store) -> BoxFuture<'static, Result<T, E>>,
        is_to_be_replaced: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut rest = self.members.iter();
        let mut asked = FuturesUnordered::new();
        asked.extend(rest.next().map(|member| ask(&**member)));
        loop {
            let has_more = !rest.as_slice().is_empty();
            let hedge = async {
                match has_more {
                    true => sleep(HEDGE_AFTER).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(answer) = asked.next() => match answer {
                    Err(error) if is_to_be_replaced(&error) => match rest.next() {
                        Some(member) => asked.push(ask(&**member)),
                        None if asked.is_empty() => return Err(error),
                        None => {}
                    },
                    answer => return answer,
                },
                () = hedge => asked.extend(rest.next().map(|member| ask(&**member))),
            }
        }
    }
}

fn is_unavailable(error: &StoreError) -> bool {
    error.kind == ErrorKind::Unavailable
}

type Frames = BoxStream<'static, Result<Frame, StoreError>>;

/// The answer once its first frame is there.
async fn begin(mut frames: Frames) -> Result<Frames, StoreError> {
    match frames.next().await {
        None => Ok(stream::empty().boxed()),
        Some(Err(error)) => Err(error),
        Some(first) => Ok(stream::iter([first]).chain(frames).boxed()),
    }
}

impl Store for Group {
    fn is_portable(&self) -> bool {
        self.members.iter().all(|member| member.is_portable())
    }

    fn info(&self) -> Info {
        self.members[0].info()
    }

    fn series(&self, request: SeriesRequest) -> Frames {
        let ask = move |store: &dyn Store| begin(store.series(request.clone())).boxed();
        let group = self.clone();
        let first = async move {
            match group.first(ask, is_unavailable).await {
                Ok(frames) => frames,
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(first).flatten().boxed()
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let ask = move |store: &dyn Store| store.label_names(request.clone());
        self.clone().first(ask, is_unavailable).boxed()
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let ask = move |store: &dyn Store| store.label_values(name.clone(), request.clone());
        self.clone().first(ask, is_unavailable).boxed()
    }
}
