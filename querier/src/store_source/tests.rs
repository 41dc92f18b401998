//! Against a store that answers what it is told to.

use futures::future::BoxFuture;
use futures::stream;
use parking_lot::Mutex as TestMutex;
use storeapi::{ChunkData, Info, LabelsRequest, Strings};
use tsdb::chunk::xor::Encoder;

use super::*;

/// Answers with frames, and remembers what it was asked.
#[derive(Debug, Default)]
struct Scripted {
    frames: Vec<Result<Frame, StoreError>>,
    /// Never ends.
    hangs: bool,
    asked: TestMutex<Vec<SeriesRequest>>,
}

impl Store for Scripted {
    fn info(&self) -> Info {
        Info::default()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        self.asked.lock().push(request);
        let frames = stream::iter(self.frames.clone());
        if self.hangs {
            frames.chain(stream::pending()).boxed()
        } else {
            frames.boxed()
        }
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

fn chunk(points: &[(i64, f64)]) -> SeriesChunk {
    let mut encoder = Encoder::new();
    for (t, v) in points {
        encoder.append(*t, *v);
    }
    SeriesChunk {
        min_time: points[0].0,
        max_time: points[points.len() - 1].0,
        data: ChunkData::Raw(encoder.chunk()),
    }
}

fn series(job: &str, points: &[(i64, f64)]) -> storeapi::Series {
    storeapi::Series {
        labels: Labels::from_pairs([("__name__", "up"), ("job", job)]),
        chunks: vec![chunk(points)],
    }
}

fn request(func: &str) -> SelectRequest {
    SelectRequest {
        stop: Stop::never(),
        matchers: vec![Matcher::equal("__name__", "up")],
        range: TimeRange::new(0, 100_000),
        hints: Hints {
            func: func.to_owned(),
            range_ms: 600_000,
            ..Hints::default()
        },
    }
}

type Read = Vec<(String, Vec<(i64, f64)>)>;

fn read(source: &StoreSource, func: &str) -> Result<(Read, Vec<String>), SourceError> {
    let request = request(func);
    let mut set = source.select(&request)?;
    let mut all = Vec::new();
    while let Some(mut series) = set.next()? {
        let mut out = Samples::default();
        series.read(request.range, &mut out)?;
        let job = series.labels().get("job").unwrap_or_default().to_owned();
        all.push((job, out.ts.into_iter().zip(out.values).collect()));
    }
    Ok((all, set.warnings()))
}

fn replicas() -> Scope {
    Scope {
        replica_labels: vec!["replica".to_owned()],
        ..Scope::default()
    }
}

#[test]
fn stores_are_told_when_the_query_ends() {
    let store = Arc::new(Scripted::default());
    let source = StoreSource::new(
        Arc::<Scripted>::clone(&store),
        Scope::default(),
        never_waits(),
    );
    let mut request = request("");
    request.stop = Stop::when(|| true);
    drop(source.select(&request).unwrap());
    assert!(store.asked.lock()[0].stop.is_asked());
    // What is no query ends with the patience for it.
    source.label_sets(Vec::new(), TimeRange::ALL, 0).unwrap();
    assert!(!store.asked.lock()[1].stop.is_asked());
    source.patience.give_up();
    assert!(store.asked.lock()[1].stop.is_asked());
}

#[test]
fn parts_of_a_series_come_together_and_warnings_are_kept() {
    let part = series("b", &[(10_000, 1.0)]);
    let store = Scripted {
        frames: vec![
            Ok(Frame::Warning("one is gone".to_owned())),
            Ok(Frame::Series(vec![series("a", &[(0, 5.0)]), part.clone()])),
            Ok(Frame::Warning("one is gone".to_owned())),
            Ok(Frame::Series(vec![part, series("b", &[(20_000, 2.0)])])),
            Ok(Frame::Series(vec![series("c", &[(0, 7.0)])])),
        ],
        ..Scripted::default()
    };
    let source = StoreSource::new(Arc::new(store), replicas(), never_waits());
    let (all, warnings) = read(&source, "").unwrap();
    assert_eq!(
        all,
        [
            ("a".to_owned(), vec![(0, 5.0)]),
            ("b".to_owned(), vec![(10_000, 1.0), (20_000, 2.0)]),
            ("c".to_owned(), vec![(0, 7.0)]),
        ]
    );
    assert_eq!(warnings, ["one is gone"]);
    assert_eq!(source.warnings(), ["one is gone"]);
    let matchers = vec![Matcher::equal("__name__", "up")];
    let sets = source.label_sets(matchers, TimeRange::ALL, 2).unwrap();
    assert_eq!(sets.len(), 2);
}

#[test]
fn the_store_is_asked_for_what_the_function_needs() {
    let store = Arc::new(Scripted::default());
    let scope = Scope {
        max_resolution: 3_600_000,
        enforced: Some(Matcher::equal("tenant_id", "x")),
        tenant: "x".to_owned(),
        ..replicas()
    };
    let as_store: Arc<dyn Store> = Arc::<Scripted>::clone(&store);
    let source = StoreSource::new(as_store, scope, never_waits());
    read(&source, "rate").unwrap();
    read(&source, "sum").unwrap();
    let asked = store.asked.lock();
    assert_eq!(asked[0].aggregates, Wanted::Counter.aggregates());
    assert_eq!(asked[0].max_resolution, 300_000);
    assert_eq!(asked[0].without_replica_labels, ["replica"]);
    assert_eq!(asked[0].matchers.len(), 2);
    assert_eq!(asked[0].tenant, "x");
    assert_eq!(asked[1].aggregates, Wanted::Average.aggregates());
    assert_eq!(asked[1].max_resolution, 3_600_000);
}

#[test]
fn replicas_are_joined_or_copies_united() {
    let a = [(0, 1.0), (10_000, 2.0), (20_000, 3.0)];
    let b = [(100, 1.0), (10_100, 2.0), (20_100, 3.0)];
    let store = Arc::new(Scripted {
        frames: vec![Ok(Frame::Series(vec![series("a", &a), series("a", &b)]))],
        ..Scripted::default()
    });
    let count = |scope| {
        let store: Arc<dyn Store> = Arc::<Scripted>::clone(&store);
        let source = StoreSource::new(store, scope, never_waits());
        read(&source, "").unwrap().0[0].1.len()
    };
    assert_eq!(count(replicas()), 3);
    assert_eq!(count(Scope::default()), 6);
}

#[test]
fn failures_pass_through() {
    let error = StoreError::new(ErrorKind::Unavailable, "no store is left");
    let store = Scripted {
        frames: vec![
            Ok(Frame::Series(vec![series("a", &[(0, 1.0)])])),
            Err(error),
        ],
        ..Scripted::default()
    };
    let source = StoreSource::new(Arc::new(store), Scope::default(), never_waits());
    let error = read(&source, "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "no store is left");
}

#[test]
fn waiting_ends_with_the_time_or_when_somebody_gives_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let hanging = || -> Arc<dyn Store> {
        Arc::new(Scripted {
            hangs: true,
            ..Scripted::default()
        })
    };
    let short = Patience::new(runtime.handle().clone(), Duration::from_millis(5));
    let source = StoreSource::new(hanging(), Scope::default(), short.clone());
    assert_eq!(read(&source, "").unwrap_err().kind, ErrorKind::Exhausted);
    assert!(short.is_over());

    let long = Patience::new(runtime.handle().clone(), Duration::from_secs(600));
    let source = StoreSource::new(hanging(), Scope::default(), long.clone());
    let giving_up = std::thread::spawn(move || long.give_up());
    assert_eq!(read(&source, "").unwrap_err().kind, ErrorKind::Cancelled);
    giving_up.join().unwrap();
}
