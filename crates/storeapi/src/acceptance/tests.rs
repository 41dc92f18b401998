use std::sync::Arc;

use super::*;
use crate::grpc::tests::Loopback;
use crate::grpc::{ClientConfig, Limits};
use crate::proxy::{Member, Proxy, ProxyConfig};

async fn behind_grpc(store: Arc<dyn Store>) -> (Loopback, Arc<dyn Store>) {
    let server = Loopback::start(Arc::clone(&store), Limits::default()).await;
    let client = server.client(ClientConfig::default());
    client.set_info(store.info());
    (server, Arc::new(client))
}

fn proxy(stores: impl IntoIterator<Item = Arc<dyn Store>>) -> Proxy {
    let member = |(i, store): (usize, _)| Member {
        name: format!("store {i}"),
        store,
    };
    let members: Vec<_> = stores.into_iter().enumerate().map(member).collect();
    Proxy::new(Arc::new(members), ProxyConfig::default())
}

#[tokio::test]
async fn in_memory() {
    let data = DataSet::standard();
    check(&data.in_memory(), &data).await;
    check(&data.in_memory().plain(), &data).await;
}

#[tokio::test]
async fn over_grpc() {
    let data = DataSet::standard();
    let (_server, client) = behind_grpc(Arc::new(data.in_memory())).await;
    check(&*client, &data).await;
}

#[tokio::test]
async fn through_a_proxy() {
    let data = DataSet::standard();
    check(&proxy([Arc::new(data.in_memory()) as _]), &data).await;
    check(&proxy([Arc::new(data.in_memory().plain()) as _]), &data).await;
    // Series spread over stores, and in several.
    let part = |ids: &str| {
        let mut part = data.clone();
        part.series.retain(|series| ids.contains(series.id));
        Arc::new(part.in_memory()) as Arc<dyn Store>
    };
    check(&proxy([part("abc"), part("cdef"), part("gha")]), &data).await;
}

#[tokio::test]
async fn through_everything() {
    let data = DataSet::standard();
    let (_first, near) = behind_grpc(Arc::new(data.in_memory())).await;
    let (_second, far) = behind_grpc(Arc::new(data.in_memory().plain())).await;
    let (_third, all) = behind_grpc(Arc::new(proxy([near, far]))).await;
    check(&*all, &data).await;
}

#[tokio::test]
#[should_panic(expected = "series")]
async fn a_missing_series_is_found() {
    let data = DataSet::standard();
    let mut less = data.clone();
    less.series.pop();
    check(&less.in_memory(), &data).await;
}
