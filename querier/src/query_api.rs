//! `thanos.Query`: PromQL over gRPC, by which queriers push work down to each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream, StreamExt as _};
use model::{Matcher, Sample, Value};
use promql::columns::{StepValue, Steps};
use promql::parse::parse_expr;
use promql::stats::QueryStats;
use promql::value::QueryValue;
use proto::prometheus::TimeSeries;
use proto::thanos::query_server::Query;
use proto::thanos::{
    QueryRangeRequest, QueryRequest, QueryResponse, ShardInfo, StoreMatchers, TimeSeriesBatch,
    query_response,
};
use runtime::Clock;
use storeapi::PartialResponse;
use storeapi::grpc::{tenant_of, to_status};
use storeapi::wire::request::{matchers_from_wire, shard_from_wire};
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::evaluator::{Evaluated, Evaluator, Leash, Task};
use crate::figures::Figures;
use crate::query_log::{Caller, Noted, QueryLog};
use crate::store_source::Scope;

/// Series of a message at most.
const BATCH_MAX: usize = 1024;

/// Evaluates expressions for other queriers. Clones share places and figures.
#[derive(Debug, Clone)]
pub(crate) struct QueryService {
    pub(crate) evaluator: Arc<Evaluator>,
    /// Counts queries, also those over HTTP.
    pub(crate) figures: Arc<Figures>,
    /// Notes queries.
    pub(crate) log: Arc<QueryLog>,
    pub(crate) clock: Arc<dyn Clock>,
    /// For queries that are evaluated at once; more wait.
    pub(crate) places: Arc<Semaphore>,
}

/// Who asks over gRPC.
struct Asker {
    /// Of the method.
    path: &'static str,
    metadata: MetadataMap,
    peer: Option<SocketAddr>,
}

impl Asker {
    fn of<T>(path: &'static str, request: Request<T>) -> (Self, T) {
        let peer = request.remote_addr();
        let (metadata, _, asked) = request.into_parts();
        let asker = Self {
            path,
            metadata,
            peer,
        };
        (asker, asked)
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            method: "POST",
            path: self.path,
            headers: self.metadata.as_ref(),
            peer: self.peer.map(|address| address.ip().to_canonical()),
        }
    }
}

/// What both methods are asked.
struct Asked {
    text: String,
    steps: Steps,
    /// The end of a range, which may lie after the last step.
    end: Option<i64>,
    is_instant: bool,
    timeout_seconds: i64,
    lookback_seconds: i64,
    max_resolution_seconds: i64,
    /// Empty when replicas are to be shown each for itself.
    replica_labels: Vec<String>,
    partial_response: bool,
    shard: Option<ShardInfo>,
    stores: Vec<StoreMatchers>,
    batch_size: i64,
}

/// Messages of an answer.
type Messages = BoxStream<'static, Result<QueryResponse, Status>>;

impl QueryService {
    /// The labels that tell replicas apart: those that were said, or else, as for Thanos' ruler, which
    /// says none, those that are usual here.
    fn replica_labels(&self, dedup: bool, said: Vec<String>) -> Vec<String> {
        match (dedup, said.is_empty()) {
            (true, true) => self.evaluator.settings.replica_labels.clone(),
            (true, false) => said,
            (false, _) => Vec::new(),
        }
    }

    fn scope(&self, metadata: &MetadataMap, asked: &mut Asked) -> Result<Scope, Status> {
        let shard = asked.shard.take().map_or(Ok(None), shard_from_wire);
        let shard = shard.map_err(|error| to_status(&error))?;
        let tenancy = &self.evaluator.settings.tenancy;
        let tenant = tenant_of(metadata);
        let enforced = tenancy.enforced(tenancy.named(&tenant));
        Ok(Scope {
            replica_labels: std::mem::take(&mut asked.replica_labels),
            dedup: self.evaluator.settings.dedup,
            partial_response: match asked.partial_response {
                true => PartialResponse::Warn,
                false => PartialResponse::Abort,
            },
            max_resolution: asked.max_resolution_seconds.max(0).saturating_mul(1000),
            tenant,
            enforced,
            shard,
        })
    }

    async fn answer(&self, asker: Asker, mut asked: Asked) -> Result<Response<Messages>, Status> {
        let scope = self.scope(&asker.metadata, &mut asked)?;
        let stores = store_matchers(&asked.stores)?;
        let (start, batch_size) = (asked.steps.start, asked.batch_size);
        let evaluated = self.evaluate((asker, asked), scope, stores).await?;
        let messages = messages(evaluated, start, batch_size).map(|result| {
            let result = Some(result);
            Ok(QueryResponse { result })
        });
        Ok(Response::new(stream::iter(messages).boxed()))
    }

    async fn evaluate(
        &self,
        (asker, asked): (Asker, Asked),
        scope: Scope,
        stores: Vec<Vec<Matcher>>,
    ) -> Result<Evaluated, Status> {
        let begin = Instant::now();
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Status::unavailable("shutting down"))?;
        let waited = begin.elapsed();
        let timeout = u64::try_from(asked.timeout_seconds).unwrap_or(0);
        let timeout = (timeout > 0).then(|| Duration::from_secs(timeout));
        let leash = self.evaluator.leash(timeout);
        // When the caller goes away, this future is dropped.
        let _ends_with_us = GiveUpOnDrop(leash.clone());
        let service = self.clone();
        runtime::process::blocking(move || {
            let _place = place;
            service.evaluate_now(&asker, &asked, (scope, &stores), (&leash, waited))
        })
        .await
    }

    /// Evaluates an expression that waited for its place, and notes that. Called on a thread that may
    /// block.
    fn evaluate_now(
        &self,
        asker: &Asker,
        asked: &Asked,
        (scope, stores): (Scope, &[Vec<Matcher>]),
        (leash, waited): (&Leash, Duration),
    ) -> Result<Evaluated, Status> {
        let expr = parse_expr(&asked.text, self.evaluator.settings.syntax())
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let lookback_ms = asked.lookback_seconds.saturating_mul(1000);
        let task = Task {
            expr: &expr,
            text: &asked.text,
            steps: asked.steps,
            end: asked.end,
            is_instant: asked.is_instant,
            max_resolution: scope.max_resolution,
            lookback_ms: Some(lookback_ms).filter(|ms| *ms > 0),
            per_step_stats: false,
            per_operator_stats: false,
        };
        let tenant = scope.tenant.clone();
        let begin = Instant::now();
        let in_flight = self.figures.begin(waited);
        let evaluated = self.evaluator.evaluate(&task, scope, stores, leash);
        let error = evaluated.as_ref().err().map(ToString::to_string);
        let (stats, none) = (
            evaluated.as_ref().map(|found| &found.result.stats),
            QueryStats::default(),
        );
        self.log.note(&Noted {
            caller: asker.caller(),
            tenant: &tenant,
            text: &asked.text,
            steps: asked.steps,
            is_instant: asked.is_instant,
            end_ms: asked.end.unwrap_or_else(|| asked.steps.end()),
            error: error.as_deref(),
            stats: stats.unwrap_or(&none),
            took: begin.elapsed(),
            now_ms: self.clock.now_ms(),
        });
        let evaluated = evaluated.map_err(|e| Status::aborted(e.to_string()))?;
        let tenant = self.evaluator.settings.tenancy.named(&tenant);
        in_flight.evaluated(&evaluated.result.stats, evaluated.read, tenant);
        Ok(evaluated)
    }
}

struct GiveUpOnDrop(Leash);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

fn store_matchers(lists: &[StoreMatchers]) -> Result<Vec<Vec<Matcher>>, Status> {
    let lists = lists.iter();
    lists
        .map(|list| {
            matchers_from_wire(&list.label_matchers)
                .map_err(|e| Status::invalid_argument(e.to_string()))
        })
        .collect()
}

/// Warnings first, statistics last.
fn messages(
    evaluated: Evaluated,
    t: i64,
    batch_size: i64,
) -> impl Iterator<Item = query_response::Result> {
    use query_response::Result as Say;
    let result = evaluated.result;
    let stats = proto::thanos::QueryStats {
        samples_total: i64::try_from(result.stats.samples_total).unwrap_or(i64::MAX),
        peak_samples: i64::try_from(result.stats.samples_peak).unwrap_or(i64::MAX),
    };
    let warnings = result.warnings.into_iter().map(Say::Warnings);
    let series = series(result.value, t);
    let batch_size = usize::try_from(batch_size).unwrap_or(0).min(BATCH_MAX);
    let mut series = series.into_iter().peekable();
    let batches = std::iter::from_fn(move || {
        series.peek()?;
        if batch_size <= 1 {
            return series.next().map(Say::Timeseries);
        }
        let series = series.by_ref().take(batch_size).collect();
        Some(Say::TimeseriesBatch(TimeSeriesBatch { series }))
    });
    warnings
        .chain(batches)
        .chain(std::iter::once(Say::Stats(stats)))
}

fn series(value: QueryValue, t: i64) -> Vec<TimeSeries> {
    match value {
        QueryValue::Scalar(v) => vec![one(&model::Labels::empty(), [(t, StepValue::Float(v))])],
        // No series can say it.
        QueryValue::String(_) => Vec::new(),
        QueryValue::Vector(vector) => {
            let vector = vector.into_iter();
            vector
                .map(|(labels, value)| one(&labels, [(t, value)]))
                .collect()
        }
        QueryValue::Matrix(matrix) => {
            let matrix = matrix.into_iter();
            matrix
                .map(|series| one(&series.labels, series.points.iter()))
                .collect()
        }
    }
}

fn one(labels: &model::Labels, points: impl IntoIterator<Item = (i64, StepValue)>) -> TimeSeries {
    let mut series = TimeSeries {
        labels: proto::labels_to_wire(labels),
        ..TimeSeries::default()
    };
    for (t, value) in points {
        let value = match value {
            StepValue::Float(v) => Value::Float(v),
            StepValue::Histogram(h) => Value::FloatHistogram(Box::new((*h).clone())),
        };
        series.push(&Sample { t, value });
    }
    series
}

#[tonic::async_trait]
impl Query for QueryService {
    type QueryStream = Messages;
    type QueryRangeStream = Messages;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Messages>, Status> {
        let (asker, asked) = Asker::of("/thanos.Query/Query", request);
        let asked = Asked {
            steps: Steps::instant(asked.time_seconds.saturating_mul(1000)),
            end: None,
            is_instant: true,
            text: asked.query,
            timeout_seconds: asked.timeout_seconds,
            lookback_seconds: asked.lookback_delta_seconds,
            max_resolution_seconds: asked.max_resolution_seconds,
            replica_labels: self.replica_labels(asked.enable_dedup, asked.replica_labels),
            partial_response: asked.enable_partial_response,
            shard: asked.shard_info,
            stores: asked.store_matchers,
            batch_size: asked.response_batch_size,
        };
        self.answer(asker, asked).await
    }

    async fn query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Result<Response<Messages>, Status> {
        let (asker, asked) = Asker::of("/thanos.Query/QueryRange", request);
        let ms = |seconds: i64| seconds.saturating_mul(1000);
        let (start, end) = (ms(asked.start_time_seconds), ms(asked.end_time_seconds));
        if asked.interval_seconds <= 0 || end < start {
            return Err(Status::invalid_argument(
                "the interval must be positive, and the end not before the start",
            ));
        }
        self.figures.asked_for(end.saturating_sub(start));
        let asked = Asked {
            steps: Steps::range(start, end, ms(asked.interval_seconds)),
            end: Some(end),
            is_instant: false,
            text: asked.query,
            timeout_seconds: asked.timeout_seconds,
            lookback_seconds: asked.lookback_delta_seconds,
            max_resolution_seconds: asked.max_resolution_seconds,
            replica_labels: self.replica_labels(asked.enable_dedup, asked.replica_labels),
            partial_response: asked.enable_partial_response,
            shard: asked.shard_info,
            stores: asked.store_matchers,
            batch_size: asked.response_batch_size,
        };
        self.answer(asker, asked).await
    }
}
