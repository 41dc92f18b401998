//! Which threads and runtimes answers are made and waited for on.

use std::sync::Mutex;

use tokio::runtime::{Builder, Handle, Id};
use tokio::sync::Notify;

use super::*;

/// Notes where it is asked, and answers one warning once it is told to.
#[derive(Debug, Default)]
struct Noting {
    asked: Arc<Mutex<Vec<Asked>>>,
    go_on: Arc<Notify>,
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    thread: Option<String>,
    runtime: Id,
    may_block: bool,
    without_hashes: bool,
}

impl Store for Noting {
    fn info(&self) -> Info {
        Info::default()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let (asked, go_on) = (Arc::clone(&self.asked), Arc::clone(&self.go_on));
        stream::once(async move {
            asked.lock().unwrap().push(Asked {
                thread: std::thread::current().name().map(str::to_owned),
                runtime: Handle::current().id(),
                may_block: request.may_block,
                without_hashes: request.without_hashes,
            });
            go_on.notified().await;
            Ok(Frame::Warning("done".into()))
        })
        .boxed()
    }

    fn label_names(&self, _: LabelsRequest) -> BoxFuture<'static, Result<Strings, StoreError>> {
        Box::pin(async { Ok(Strings::default()) })
    }

    fn label_values(
        &self,
        _: String,
        _: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        Box::pin(async { Ok(Strings::default()) })
    }
}

/// Waits until the store was asked so often.
async fn asked(store: &Noting, count: usize) {
    while store.asked.lock().unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_only_request_of_a_connection_may_block_its_thread() {
    let store = Arc::new(Noting::default());
    let server = Loopback::start(Arc::clone(&store) as _, Limits::default()).await;
    let channel = server.client(ClientConfig::default()).channel();
    let ask = || {
        let mut client = StoreClient::new(channel.clone());
        async move {
            let answer = client.series(wire::SeriesRequest::default()).await;
            answer.unwrap().into_inner().try_collect::<Vec<_>>().await
        }
    };
    let first = Owned::spawn(ask());
    asked(&store, 1).await;
    // While that goes on, it waits for its turn on the connection.
    let second = Owned::spawn(ask());
    asked(&store, 2).await;
    store.go_on.notify_waiters();
    assert_eq!(first.await.unwrap().unwrap().len(), 1);
    assert_eq!(second.await.unwrap().unwrap().len(), 1);
    let third = Owned::spawn(ask());
    asked(&store, 3).await;
    store.go_on.notify_waiters();
    assert_eq!(third.await.unwrap().unwrap().len(), 1);
    let expected = |may_block| Asked {
        thread: Some("grpc".to_owned()),
        // What the store starts outlives the connection.
        runtime: Handle::current().id(),
        may_block,
        without_hashes: false,
    };
    let asked = store.asked.lock().unwrap();
    assert_eq!(*asked, [expected(true), expected(false), expected(true)]);
}

#[tokio::test]
async fn our_own_clients_need_no_hashes() {
    let store = Arc::new(Noting::default());
    let server = Loopback::start(Arc::clone(&store) as _, Limits::default()).await;
    let client = server.client(ClientConfig::default());
    store.go_on.notify_one();
    all(&client, up()).await.unwrap();
    assert!(store.asked.lock().unwrap()[0].without_hashes);
}

/// A client that is asked on a runtime that nobody else drives, and what became of its server.
async fn ask_elsewhere(client: Arc<GrpcStore>, runtime: Arc<tokio::runtime::Runtime>) -> usize {
    runtime::process::blocking(move || {
        let answer = runtime.block_on(all(&*client, up()));
        series_of(answer.unwrap()).len()
    })
    .await
}

#[tokio::test]
async fn who_waits_on_a_runtime_of_his_own_drives_his_connection() {
    let server = Loopback::start(Arc::new(filled()), Limits::default()).await;
    let client = Arc::new(server.client(ClientConfig::default()));
    assert!(client.is_portable());
    let lane = Arc::new(Builder::new_current_thread().enable_all().build().unwrap());
    for _ in 0..2 {
        // Nobody drives the runtime in between.
        let found = ask_elsewhere(Arc::clone(&client), Arc::clone(&lane)).await;
        assert_eq!(found, 100);
    }
    assert_eq!(all(&*client, up()).await.map(series_of).unwrap().len(), 100);
    let lane = Arc::into_inner(lane).unwrap();
    lane.shutdown_background();
}
