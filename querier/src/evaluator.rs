//! Evaluates expressions over stores: what the HTTP API and the gRPC Query API share.

use std::sync::Arc;
use std::time::Duration;

use model::{Matcher, TimeRange};
use promql::ast::Expr;
use promql::columns::Steps;
use promql::limits::{Cancellation, Limits};
use promql::value::QueryResult;
use promql::{Engine, Query};
use storeapi::Store;
use storeapi::proxy::{Member, Proxy, ProxyConfig, may_have};
use tokio::runtime::Handle;

use crate::active_queries::ActiveQueries;
use crate::lanes::Lanes;
use crate::pool::Pool;
use crate::reach::reach;
use crate::settings::Settings;
use crate::store_source::{Patience, ReadStats, Scope, StoreSource};
use crate::stores::Stores;

/// Steps that lie between the first and the last at most, which keeps answers at a size that a
/// graph can show.
pub const INTERVALS_MAX: usize = 11_000;

/// Evaluates expressions.
#[derive(Debug)]
pub struct Evaluator {
    /// Whom it asks.
    pub stores: Arc<dyn Stores>,
    /// Where work on series is done.
    pub pool: Arc<Pool>,
    /// Where stores are waited for that need the runtime of the process.
    pub runtime: Handle,
    /// Where others are.
    pub lanes: Arc<Lanes>,
    /// How queries are answered unless they say otherwise.
    pub settings: Settings,
    /// Where queries are noted while they are evaluated.
    pub active: Option<ActiveQueries>,
}

/// An expression to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The expression.
    pub expr: &'a Expr,
    /// The text it was parsed from.
    pub text: &'a str,
    /// The steps.
    pub steps: Steps,
    /// The end that was asked for, if it is not the last step.
    pub end: Option<i64>,
    /// An instant query; else a range query, if only of one step.
    pub is_instant: bool,
    /// Coarsest resolution in milliseconds that will do.
    pub max_resolution: i64,
    /// How old a sample may be, in milliseconds, if not as old as usual.
    pub lookback_ms: Option<i64>,
    /// Samples are counted by step.
    pub per_step_stats: bool,
    /// Work is measured by operator.
    pub per_operator_stats: bool,
}

/// What a task came to.
#[derive(Debug)]
pub struct Evaluated {
    /// The value, and what is said about it.
    pub result: QueryResult,
    /// What stores wanted to be said; it is among the result's warnings.
    pub store_warnings: Vec<String>,
    /// What was read of stores.
    pub read: ReadStats,
}

/// Ends a query from outside. Clones end the same one.
#[derive(Debug, Clone)]
pub struct Leash {
    patience: Patience,
    cancellation: Cancellation,
    timeout: Duration,
}

impl Leash {
    /// Nobody waits for the query any more.
    pub fn give_up(&self) {
        self.cancellation.cancel();
        self.patience.give_up();
    }

    /// How long it waits for stores.
    pub fn patience(&self) -> &Patience {
        &self.patience
    }
}

impl Evaluator {
    /// A leash of the usual length, or shorter.
    pub fn leash(&self, timeout: Option<Duration>) -> Leash {
        let most = self.settings.engine.limits.timeout;
        let timeout = timeout.map_or(most, |timeout| timeout.min(most));
        Leash {
            patience: Patience::new(self.runtime.clone(), timeout),
            cancellation: Cancellation::new(),
            timeout,
        }
    }

    /// The patience of `leash`, to wait for `store`.
    pub fn patience_with(&self, store: &dyn Store, leash: &Leash) -> Patience {
        let lane = store.is_portable().then(|| self.lanes.take()).flatten();
        match lane {
            Some(lane) => leash.patience.on(lane),
            None => leash.patience.clone(),
        }
    }

    /// One store for all whose address one of `matchers` accepts, all when there are none.
    pub fn fan_out(&self, matchers: &[Vec<Matcher>]) -> Arc<dyn Store> {
        self.one_store(self.stores.members(matchers))
    }

    /// One store for those that may have samples within `range`, all when that is not known.
    fn fan_out_within(
        &self,
        matchers: &[Vec<Matcher>],
        range: Option<TimeRange>,
    ) -> Arc<dyn Store> {
        let members = self.stores.members(matchers);
        let Some(range) = range else {
            return self.one_store(members);
        };
        let is_near = |member: &&Member| may_have(&member.store.info(), range, &[]);
        let near: Vec<Member> = members.iter().filter(is_near).cloned().collect();
        // No store at all is another matter than none with samples.
        self.one_store(if near.is_empty() { members } else { near })
    }

    fn one_store(&self, members: Vec<Member>) -> Arc<dyn Store> {
        match members.as_slice() {
            // It fails only with the process, so there is nothing to watch over.
            [only] if only.store.is_local() => Arc::clone(&only.store),
            _ => Arc::new(Proxy::new(
                Arc::new(members),
                ProxyConfig {
                    silence_max: self.settings.store_silence_max,
                },
            )),
        }
    }

    /// Evaluates a task over those stores. Called on a thread that may block.
    ///
    /// # Errors
    /// See [`promql::Error`].
    pub fn evaluate(
        &self,
        task: &Task<'_>,
        scope: Scope,
        matchers: &[Vec<Matcher>],
        leash: &Leash,
    ) -> Result<Evaluated, promql::Error> {
        let noted = self.active.as_ref();
        let _noted = noted.and_then(|active| active.begin(task.text));
        let engine = self.engine(task, leash.timeout);
        let range = reach(task.expr, task.steps, engine.options().lookback_ms);
        let store = self.fan_out_within(matchers, range);
        let is_local = store.is_local();
        let patience = self.patience_with(&*store, leash);
        let source = StoreSource::new(store, scope, patience).measured(task.per_operator_stats);
        let query = Query {
            expr: task.expr,
            text: task.text,
            steps: task.steps,
            end: task.end,
            is_instant: task.is_instant,
            cancellation: leash.cancellation.clone(),
            executor: &self.pool.crew(),
        };
        let run = || engine.run(&source, &query);
        // Whoever waits for a network does not hold one of the threads that all queries share.
        let result = match is_local {
            true => self.pool.enter(run),
            false => run(),
        };
        let result = match result {
            Err(promql::Error::Source(_)) if leash.patience.is_over() => {
                Err(promql::Error::Timeout {
                    limit: leash.timeout,
                })
            }
            other => other,
        };
        Ok(Evaluated {
            result: result?,
            store_warnings: source.warnings(),
            read: source.read_stats(),
        })
    }

    /// The plan of a task as text, at the end under `optimized` the one that is run.
    ///
    /// # Errors
    /// When the expression cannot be planned.
    pub fn explain(&self, task: &Task<'_>) -> Result<String, promql::Error> {
        let query = Query {
            expr: task.expr,
            text: task.text,
            steps: task.steps,
            end: task.end,
            is_instant: task.is_instant,
            cancellation: Cancellation::new(),
            executor: &self.pool.crew(),
        };
        let timeout = self.settings.engine.limits.timeout;
        self.engine(task, timeout).explain(&query)
    }

    /// How old a sample may be that a selector of `task` takes.
    pub(crate) fn lookback_ms(&self, task: &Task<'_>) -> i64 {
        let said = task.lookback_ms;
        let lookback_ms = said.unwrap_or(self.settings.engine.lookback_ms);
        lookback(lookback_ms, task.max_resolution)
    }

    fn engine(&self, task: &Task<'_>, timeout: Duration) -> Engine {
        let mut options = self.settings.engine.clone();
        options.limits = Limits {
            timeout,
            // Prometheus checks the distance, which is one less than the number of steps.
            steps_max: INTERVALS_MAX + 1,
            ..options.limits
        };
        options.lookback_ms = self.lookback_ms(task);
        options.per_step_stats = task.per_step_stats;
        options.per_operator_stats = task.per_operator_stats;
        Engine::new(options)
    }
}

/// How old a sample may be when downsampled ones are read: at least as old as they lie apart.
fn lookback(lookback_ms: i64, max_resolution: i64) -> i64 {
    const MINUTE: i64 = 60_000;
    for (finer, resolution) in [(5 * MINUTE, 60 * MINUTE), (0, 5 * MINUTE)] {
        if max_resolution > finer.max(lookback_ms) {
            return lookback_ms.max(resolution);
        }
    }
    lookback_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookback_grows_with_the_resolution() {
        const M: i64 = 60_000;
        for (lookback_ms, max_resolution, expected) in [
            (5 * M, 0, 5 * M),
            (5 * M, 5 * M, 5 * M),
            (5 * M, 6 * M, 60 * M),
            (M, 2 * M, 5 * M),
            (M, 6 * M, 60 * M),
            (120 * M, 240 * M, 120 * M),
        ] {
            assert_eq!(lookback(lookback_ms, max_resolution), expected);
        }
    }
}
