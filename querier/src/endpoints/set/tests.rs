//! Endpoints that come and go.

use std::collections::BTreeSet;

use futures::future::FutureExt as _;
use futures::stream;
use model::Labels;
use runtime::ManualClock;
use storeapi::Catalog;

use super::super::address::Address;
use super::super::config::ClientTls;
use super::*;

/// A network of fakes: those that are up answer.
#[derive(Debug, Default)]
struct Network {
    up: Mutex<BTreeSet<String>>,
    names: Mutex<BTreeMap<String, Vec<String>>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Fake {
    address: String,
    network: Arc<Network>,
}

#[derive(Debug)]
struct Wire(Arc<Network>);

impl Dial for Wire {
    fn dial(&self, address: &str, _: Option<&ClientTls>) -> Result<Arc<dyn Peer>, StoreError> {
        Ok(Arc::new(Fake {
            address: address.to_owned(),
            network: Arc::clone(&self.0),
        }))
    }
}

impl Fake {
    fn is_up(&self) -> Result<(), StoreError> {
        if self.network.up.lock().contains(&self.address) {
            return Ok(());
        }
        Err(StoreError::new(
            ErrorKind::Unavailable,
            "connection refused",
        ))
    }
}

impl Peer for Fake {
    fn ask_info(&self) -> BoxFuture<'_, Result<EndpointInfo, StoreError>> {
        let info = self.is_up().map(|()| EndpointInfo {
            component: "sidecar".to_owned(),
            store: Some(Store::info(self)),
            ..EndpointInfo::default()
        });
        Box::pin(std::future::ready(info))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(Self {
            address: self.address.clone(),
            network: Arc::clone(&self.network),
        })
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        unreachable!("it says that it has none")
    }
}

impl Store for Fake {
    fn info(&self) -> Info {
        Info {
            label_sets: vec![Labels::from_pairs([("address", &self.address)])],
            min_time: 5,
            max_time: i64::MAX,
            ..Info::default()
        }
    }

    fn series(&self, _: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        self.network.asked.lock().push(self.address.clone());
        let frame = self.is_up();
        let frame = frame.map(|()| Frame::Warning(self.address.clone()));
        stream::iter([frame]).boxed()
    }

    fn label_names(&self, _: LabelsRequest) -> BoxFuture<'static, Result<Strings, StoreError>> {
        Box::pin(std::future::ready(Ok(Strings::default())))
    }

    fn label_values(
        &self,
        _: String,
        _: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        Box::pin(std::future::ready(Ok(Strings::default())))
    }
}

impl Resolve for Wire {
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let found = self.0.names.lock().get(&address.name).cloned();
        Box::pin(std::future::ready(
            found.ok_or_else(|| "no such name".to_owned()),
        ))
    }
}

struct Fixture {
    network: Arc<Network>,
    clock: Arc<ManualClock>,
    set: EndpointSet,
}

impl Fixture {
    fn new(options: SetOptions) -> Self {
        let network = Arc::new(Network::default());
        let clock = Arc::new(ManualClock::new(1_000_000));
        let wire = || Arc::new(Wire(Arc::clone(&network)));
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let set = EndpointSet::new(options, Vec::new(), (wire(), wire()), as_clock);
        Self {
            network,
            clock,
            set,
        }
    }

    fn up(&self, addresses: &[&str]) {
        *self.network.up.lock() = addresses.iter().map(|&a| a.to_owned()).collect();
    }

    /// The addresses that queries ask, after an update.
    async fn asked(&self, matchers: &[Vec<Matcher>]) -> Vec<String> {
        self.set.update().await;
        let stores = self.set.members(matchers);
        let mut addresses: Vec<_> = stores
            .iter()
            .map(|s| {
                s.store.info().label_sets[0]
                    .get("address")
                    .unwrap()
                    .to_owned()
            })
            .collect();
        addresses.sort();
        addresses
    }
}

fn endpoint(address: &str, strict: bool, group: bool) -> EndpointConfig {
    EndpointConfig::new(address, strict, group).unwrap()
}

#[tokio::test]
async fn those_that_answer_are_asked() {
    let fixture = Fixture::new(SetOptions {
        endpoints: vec![endpoint("a:1", false, false), endpoint("b:1", false, false)],
        ..SetOptions::default()
    });
    fixture.up(&["a:1"]);
    assert_eq!(fixture.asked(&[]).await, ["a:1"]);
    let statuses = fixture.set.statuses();
    assert_eq!(statuses.len(), 2);
    assert_eq!(statuses[0].component, "sidecar");
    assert_eq!(statuses[0].last_error, None);
    assert_eq!(statuses[0].last_check_ms, Some(1_000_000));
    assert_eq!(
        statuses[1].last_error.as_deref(),
        Some("connection refused")
    );
    fixture.up(&["a:1", "b:1"]);
    assert_eq!(fixture.asked(&[]).await, ["a:1", "b:1"]);
    let only_b = vec![Matcher::equal("__address__", "b:1")];
    assert_eq!(fixture.asked(&[only_b]).await, ["b:1"]);
    fixture.up(&[]);
    assert_eq!(fixture.asked(&[]).await, [""; 0]);
    // Forgotten only after five minutes.
    assert_eq!(fixture.set.statuses().len(), 2);
    fixture.clock.advance(300_001);
    fixture.set.update().await;
    assert_eq!(fixture.set.statuses().len(), 0);
}

#[tokio::test]
async fn strict_endpoints_are_asked_always() {
    let fixture = Fixture::new(SetOptions {
        endpoints: vec![endpoint("a:1", true, false)],
        ..SetOptions::default()
    });
    fixture.set.update().await;
    let stores = fixture.set.members(&[]);
    assert_eq!(stores.len(), 1);
    assert_eq!(stores[0].store.info().min_time, i64::MIN);
    fixture.clock.advance(3_600_000);
    fixture.set.update().await;
    assert_eq!(fixture.set.members(&[]).len(), 1);
    fixture.up(&["a:1"]);
    assert_eq!(fixture.asked(&[]).await, ["a:1"]);
    assert!(fixture.set.catalogs().is_empty());
}

#[tokio::test]
async fn names_are_looked_up_again_in_time() {
    let fixture = Fixture::new(SetOptions {
        endpoints: vec![endpoint("dns+all:1", false, false)],
        ..SetOptions::default()
    });
    fixture.up(&["a:1", "b:1"]);
    assert_eq!(fixture.asked(&[]).await, [""; 0]);
    let leads_to = |names: &[&str]| {
        let names = names.iter().map(|&n| n.to_owned()).collect();
        fixture
            .network
            .names
            .lock()
            .insert("all:1".to_owned(), names);
    };
    leads_to(&["a:1"]);
    assert_eq!(fixture.asked(&[]).await, [""; 0], "not due yet");
    fixture.clock.advance(30_000);
    assert_eq!(fixture.asked(&[]).await, ["a:1"]);
    leads_to(&["b:1"]);
    fixture.clock.advance(30_000);
    assert_eq!(fixture.asked(&[]).await, ["b:1"]);
    fixture.network.names.lock().clear();
    fixture.clock.advance(30_000);
    assert_eq!(fixture.asked(&[]).await, ["b:1"], "the last answer stands");
}

#[tokio::test]
async fn files_are_watched() {
    let dir = tempfile::tempdir().unwrap();
    let (config, files) = (dir.path().join("c.yaml"), dir.path().join("f.json"));
    std::fs::write(&config, "endpoints: [{address: 'a:1'}]").unwrap();
    std::fs::write(&files, r#"[{"targets": ["b:1"]}]"#).unwrap();
    let fixture = Fixture::new(SetOptions {
        config_file: Some(config.clone()),
        files: vec![files.display().to_string()],
        ..SetOptions::default()
    });
    fixture.up(&["a:1", "b:1", "c:1"]);
    assert_eq!(fixture.asked(&[]).await, ["a:1", "b:1"]);
    std::fs::write(&files, r#"[{"targets": ["http://b:1", "c:1"]}]"#).unwrap();
    std::fs::write(&config, "endpoints: [").unwrap();
    assert_eq!(fixture.asked(&[]).await, ["a:1", "c:1"]);
}

#[tokio::test]
async fn a_group_answers_with_one_of_its_members() {
    let fixture = Fixture::new(SetOptions {
        endpoints: vec![endpoint("dns+all:1", false, true)],
        ..SetOptions::default()
    });
    let names = vec!["a:1".to_owned(), "b:1".to_owned()];
    fixture
        .network
        .names
        .lock()
        .insert("all:1".to_owned(), names);
    fixture.up(&["a:1", "b:1"]);
    fixture.set.update().await;
    let ask = || {
        let stores = fixture.set.members(&[]);
        assert_eq!(stores.len(), 1);
        let frames = stores[0].store.series(SeriesRequest::default());
        frames.collect::<Vec<_>>().now_or_never().unwrap()
    };
    let first = ask();
    assert_eq!(first.len(), 1);
    let second = ask();
    assert_ne!(first, second, "they take turns");
    // One that went away since is replaced at once.
    fixture.up(&["b:1"]);
    for _ in 0..2 {
        assert_eq!(ask(), [Ok(Frame::Warning("b:1".to_owned()))]);
    }
    fixture.up(&[]);
    assert_eq!(ask()[0].as_ref().unwrap_err().kind, ErrorKind::Unavailable);
}
