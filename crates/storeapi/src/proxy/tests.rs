use futures::TryStreamExt as _;
use model::Labels;

use super::*;
use crate::memory::{MemoryStore, float_chunk};
use crate::store::{Series, Shard};

fn member(name: &str, store: impl Store + 'static) -> Member {
    Member {
        name: name.to_owned(),
        store: Arc::new(store),
    }
}

fn proxy(members: Vec<Member>) -> Proxy {
    let config = ProxyConfig {
        silence_max: Duration::from_millis(100),
    };
    Proxy::new(Arc::new(members), config)
}

/// A replica with one series for every pod.
fn replica(name: &str, pods: std::ops::Range<usize>) -> MemoryStore {
    let mut store = MemoryStore::new(Labels::from_pairs([("cluster", "eu"), ("replica", name)]));
    for pod in pods {
        let pod = format!("{pod:03}");
        let labels = Labels::from_pairs([("__name__", "up"), ("pod", &pod)]);
        store.insert(labels, [float_chunk(&[(1_000, 1.0), (2_000, 2.0)])]);
    }
    store
}

fn request() -> SeriesRequest {
    SeriesRequest {
        matchers: vec![Matcher::equal("__name__", "up")],
        ..SeriesRequest::default()
    }
}

async fn ask_all(store: &dyn Store, request: SeriesRequest) -> (Vec<Series>, Vec<String>) {
    let frames: Vec<_> = store.series(request).try_collect().await.unwrap();
    let (mut series, mut warnings) = (Vec::new(), Vec::new());
    for frame in frames {
        match frame {
            Frame::Series(more) => series.extend(more),
            Frame::Warning(text) => warnings.push(text),
        }
    }
    (series, warnings)
}

#[tokio::test]
async fn replicas_become_one_whether_or_not_they_help() {
    let deduplicated = SeriesRequest {
        without_replica_labels: vec!["replica".into()],
        ..request()
    };
    for plain in [false, true] {
        let of = |name, pods| match plain {
            true => replica(name, pods).plain(),
            false => replica(name, pods),
        };
        let proxy = proxy(vec![
            member("a", of("a", 0..300)),
            member("b", of("b", 100..400)),
        ]);
        let (series, warnings) = ask_all(&proxy, deduplicated.clone()).await;
        assert_eq!((series.len(), warnings.len()), (400, 0));
        assert!(series.iter().all(|s| s.chunks.len() == 1));
        assert!(series.is_sorted_by(|a, b| a.labels < b.labels));
        let (series, _) = ask_all(&proxy, request()).await;
        assert_eq!(series.len(), 600);
        let names = LabelsRequest {
            without_replica_labels: vec!["replica".into()],
            ..LabelsRequest::default()
        };
        let names = proxy.label_names(names).await.unwrap().values;
        assert_eq!(names, ["__name__", "cluster", "pod"]);
    }
}

#[tokio::test]
async fn shards_are_complete_whether_or_not_stores_help() {
    let of_shard = async |plain: bool, index| {
        let store = match plain {
            true => replica("a", 0..100).plain(),
            false => replica("a", 0..100),
        };
        let request = SeriesRequest {
            without_replica_labels: vec!["replica".into()],
            shard: Some(Shard {
                index,
                total: 2,
                by: false,
                labels: vec!["__name__".into()],
            }),
            ..request()
        };
        ask_all(&proxy(vec![member("a", store)]), request).await.0
    };
    let helped = [of_shard(false, 0).await, of_shard(false, 1).await];
    assert_eq!(helped[0].len() + helped[1].len(), 100);
    assert_eq!(helped, [of_shard(true, 0).await, of_shard(true, 1).await]);
}

#[tokio::test]
async fn limits_hold_over_all() {
    let proxy = proxy(vec![
        member("a", replica("a", 0..50)),
        member("b", replica("b", 0..50).plain()),
    ]);
    let request = SeriesRequest {
        limit: 7,
        without_replica_labels: vec!["replica".into()],
        ..request()
    };
    let (series, _) = ask_all(&proxy, request).await;
    assert_eq!(series.len(), 7);
    assert_eq!(series[6].labels.get("pod"), Some("006"));
}

/// Fails, hangs or panics when asked.
#[derive(Debug, Clone, Copy)]
enum Bad {
    Fails,
    Hangs,
    Panics,
    Warns,
}

impl Store for Bad {
    fn info(&self) -> Info {
        Info {
            min_time: i64::MIN,
            max_time: i64::MAX,
            supports_sharding: true,
            supports_without_replica_labels: true,
            ..Info::default()
        }
    }

    fn series(&self, _: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let broken = StoreError::new(ErrorKind::Corrupt, "broken");
        match self {
            Self::Fails => failed(broken),
            Self::Hangs => stream::pending().boxed(),
            Self::Panics => stream::once(async { panic!("on purpose") }).boxed(),
            Self::Warns => stream::iter([Ok(Frame::Warning("half".into()))]).boxed(),
        }
    }

    fn label_names(&self, _: LabelsRequest) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let bad = *self;
        Box::pin(async move {
            match bad {
                Self::Hangs => std::future::pending().await,
                _ => Err(StoreError::new(ErrorKind::Corrupt, "broken")),
            }
        })
    }

    fn label_values(
        &self,
        _: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.label_names(request)
    }
}

#[tokio::test]
async fn a_store_that_fails_is_a_warning_or_an_error() {
    for (bad, words) in [
        (Bad::Fails, "bad: broken"),
        (Bad::Hangs, "bad: sent nothing for 100ms"),
        (Bad::Warns, "half"),
    ] {
        let proxy = proxy(vec![member("good", replica("a", 0..3)), member("bad", bad)]);
        let (series, warnings) = ask_all(&proxy, request()).await;
        assert_eq!((series.len(), warnings), (3, vec![words.to_owned()]));

        let strict = SeriesRequest {
            partial_response: PartialResponse::Abort,
            ..request()
        };
        let answer: Result<Vec<_>, _> = proxy.series(strict).try_collect().await;
        assert!(answer.unwrap_err().message.ends_with(words));

        let names = proxy.label_names(LabelsRequest::default()).await.unwrap();
        assert_eq!((names.values.len(), names.warnings.len()), (4, 1));
        assert!(names.warnings[0].starts_with("bad: "), "{names:?}");
        let strict = LabelsRequest {
            partial_response: PartialResponse::Abort,
            ..LabelsRequest::default()
        };
        assert!(proxy.label_values("pod".into(), strict).await.is_err());
    }
}

#[tokio::test]
async fn a_panic_is_never_taken_for_an_end() {
    let proxy = proxy(vec![
        member("good", replica("a", 0..3)),
        member("bad", Bad::Panics),
    ]);
    let answer: Result<Vec<_>, _> = proxy.series(request()).try_collect().await;
    assert_eq!(answer.unwrap_err().kind, ErrorKind::Internal);
}

#[tokio::test]
async fn only_stores_that_may_have_something_are_asked() {
    let proxy = proxy(vec![
        member("a", replica("a", 0..2)),
        member("b", replica("b", 0..2)),
    ]);
    let of = async |request| ask_all(&proxy, request).await.0.len();
    let with = |matcher| {
        let mut request = request();
        request.matchers.push(matcher);
        request
    };
    assert_eq!(of(with(Matcher::equal("replica", "a"))).await, 2);
    assert_eq!(of(with(Matcher::not_equal("cluster", "eu"))).await, 0);
    let late = SeriesRequest {
        range: TimeRange::new(2_001, 9_000),
        ..request()
    };
    assert_eq!(of(late).await, 0);
    let last = SeriesRequest {
        range: TimeRange::new(2_000, 9_000),
        ..request()
    };
    assert_eq!(of(last).await, 4);
}

#[tokio::test]
async fn no_store_at_all_matters_only_to_the_strict() {
    let proxy = proxy(Vec::new());
    assert_eq!(ask_all(&proxy, request()).await.0.len(), 0);
    let strict = SeriesRequest {
        partial_response: PartialResponse::Abort,
        ..request()
    };
    let answer: Result<Vec<_>, _> = proxy.series(strict).try_collect().await;
    assert_eq!(answer.unwrap_err().kind, ErrorKind::Unavailable);
    let nothing = proxy.series(SeriesRequest::default());
    let answer: Result<Vec<_>, _> = nothing.try_collect().await;
    assert_eq!(answer.unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn info_is_of_all_members() {
    let info = proxy(vec![
        member("a", replica("a", 0..2)),
        member("b", replica("b", 0..2)),
    ])
    .info();
    assert_eq!((info.min_time, info.max_time), (1_000, 2_000));
    assert_eq!((info.label_sets.len(), info.parts.len()), (2, 2));
    let any = proxy(vec![
        member("a", replica("a", 0..2)),
        member("any", Bad::Fails),
    ])
    .info();
    assert_eq!((any.label_sets.len(), any.min_time), (0, i64::MIN));
}

#[tokio::test]
async fn who_wants_to_know_is_told_what_each_member_answered() {
    let members = vec![
        member("a", replica("a", 0..3)),
        member("b", replica("b", 0..2)),
        member("bad", Bad::Hangs),
    ];
    let fan_out = FanOut::default();
    let watched = SeriesRequest {
        fan_out: Some(fan_out.clone()),
        ..request()
    };
    let (series, _) = ask_all(&proxy(members), watched).await;
    assert_eq!(series.len(), 5);
    let asked = fan_out.take();
    let bytes = |of: &str| {
        let own = series
            .iter()
            .filter(|s| s.labels.get("replica") == Some(of));
        let bytes = own.map(|series| {
            let labels = series.labels.iter().map(|(n, v)| n.len() + v.len());
            let chunks = series.chunks.iter().map(|chunk| chunk.data.bytes());
            labels.chain(chunks).sum::<usize>() as u64
        });
        bytes.sum::<u64>()
    };
    let figures = |asked: &Asked| (asked.series, asked.chunks, asked.samples, asked.bytes);
    assert_eq!(figures(&asked[0]), (3, 3, 6, bytes("a")));
    assert_eq!(figures(&asked[1]), (2, 2, 4, bytes("b")));
    assert!(asked[0].responses > 0 && asked[0].time > Duration::ZERO);
    assert_eq!((asked[0].name.as_str(), &asked[0].error), ("a", &None));
    assert_eq!(asked[2].error.as_deref(), Some("sent nothing for 100ms"));
    assert_eq!(fan_out.take(), []);
}
