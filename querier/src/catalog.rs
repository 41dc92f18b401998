//! Rules, targets, metadata, exemplars and heads of all endpoints that have them, as one [`Catalog`].
//!
//! All that have what is asked for are asked at once. One that fails is a warning, or fails the
//! whole, as the question says. Replica labels go, and what is equal then becomes one
//! ([`merge`]).

mod choose;
mod merge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use model::{ErrorKind, Labels, Matcher, TimeRange};
use promql::parse::{self, GIVEN, parse_expr};
use storeapi::catalog::statistics::HeadStatistics;
use storeapi::catalog::{
    Answer, Answering, Asker, Catalog, ExemplarsRequest, MetadataByMetric, MetadataRequest,
    RuleGroup, RulesRequest, SeriesExemplars, Services, StatisticsByTenant, StatisticsRequest,
    Targets, TargetsRequest, add_metadata,
};
use storeapi::external_labels::remaining_matchers;
use storeapi::{PartialResponse, StoreError};
use tokio::time::timeout;

use crate::stores::{CatalogMember, Stores};

/// What a querier can answer, if only with nothing.
pub const SERVICES: Services = Services {
    rules: true,
    targets: true,
    metadata: true,
    exemplars: Some((i64::MIN, i64::MAX)),
    statistics: true,
};

/// All catalogs as one, whichever they are at each moment.
#[derive(Debug, Clone)]
pub struct AllCatalogs {
    stores: Arc<dyn Stores>,
    /// Sorted.
    replica_labels: Vec<String>,
    /// How long one may take; zero for ever.
    silence_max: Duration,
}

impl AllCatalogs {
    /// The catalogs among `stores`, without these labels, each of which may say nothing for
    /// `silence_max`.
    pub fn new(
        stores: Arc<dyn Stores>,
        mut replica_labels: Vec<String>,
        silence_max: Duration,
    ) -> Self {
        replica_labels.sort_unstable();
        Self {
            stores,
            replica_labels,
            silence_max: match silence_max {
                Duration::ZERO => Duration::MAX,
                max => max,
            },
        }
    }

    /// What those members say that `ask` has a question for.
    async fn ask<T>(
        &self,
        asker: &Asker,
        ask: impl Fn(&CatalogMember) -> Option<Answering<T>>,
    ) -> Result<Answer<Vec<T>>, StoreError> {
        let patience = self.silence_max;
        let members = self.stores.catalogs();
        let asking = members.iter().filter_map(|member| {
            let answering = ask(member)?;
            Some(async move {
                let answer = timeout(patience, answering).await;
                let silent = |_| {
                    let text = format!("did not answer within {patience:?}");
                    StoreError::new(ErrorKind::Unavailable, text)
                };
                (member.name.as_str(), answer.map_err(silent).flatten())
            })
        });
        let mut all = Answer::<Vec<T>>::default();
        for (name, answer) in join_all(asking).await {
            let named = |error: StoreError| {
                StoreError::new(error.kind, format!("{name}: {}", error.message))
            };
            match (answer.map_err(named), asker.partial_response) {
                (Ok(answer), _) => {
                    all.data.push(answer.data);
                    all.warnings.extend(answer.warnings);
                }
                (Err(error), PartialResponse::Warn) => all.warnings.push(error.message),
                (Err(error), PartialResponse::Abort) => return Err(error),
            }
        }
        match (all.warnings.first(), asker.partial_response) {
            (Some(text), PartialResponse::Abort) => {
                Err(StoreError::new(ErrorKind::Unavailable, text.clone()))
            }
            _ => Ok(all),
        }
    }
}

impl Catalog for AllCatalogs {
    fn rules(&self, request: RulesRequest) -> Answering<Vec<RuleGroup>> {
        let this = self.clone();
        Box::pin(async move {
            let choice = choose::Choice::of(&request)?;
            let ask = |member: &CatalogMember| {
                let is_asked = member.services.rules;
                is_asked.then(|| member.catalog.rules(request.clone()))
            };
            let answer = this.ask(&request.asker, ask).await?;
            let mut groups = answer.data.concat();
            for group in &mut groups {
                group.remove_labels(&this.replica_labels);
            }
            Ok(Answer {
                data: choice.of_groups(merge::rules(groups)),
                warnings: answer.warnings,
            })
        })
    }

    fn targets(&self, request: TargetsRequest) -> Answering<Targets> {
        let this = self.clone();
        Box::pin(async move {
            let ask = |member: &CatalogMember| {
                let is_asked = member.services.targets;
                is_asked.then(|| member.catalog.targets(request.clone()))
            };
            let answer = this.ask(&request.asker, ask).await?;
            let mut all = Targets::default();
            for mut targets in answer.data {
                targets.keep(request.state);
                targets.remove_labels(&this.replica_labels);
                all.active_targets.append(&mut targets.active_targets);
                all.dropped_targets.append(&mut targets.dropped_targets);
                for (pool, count) in targets.dropped_target_counts {
                    *all.dropped_target_counts.entry(pool).or_default() += count;
                }
            }
            Ok(Answer {
                data: merge::targets(all),
                warnings: answer.warnings,
            })
        })
    }

    fn metadata(&self, request: MetadataRequest) -> Answering<MetadataByMetric> {
        let this = self.clone();
        Box::pin(async move {
            let ask = |member: &CatalogMember| {
                let is_asked = member.services.metadata;
                is_asked.then(|| member.catalog.metadata(request.clone()))
            };
            let answer = this.ask(&request.asker, ask).await?;
            let mut all = MetadataByMetric::new();
            for (metric, variants) in answer.data.into_iter().flatten() {
                for variant in variants {
                    add_metadata(&mut all, &metric, variant);
                }
            }
            let limit = request.limit.unwrap_or(usize::MAX);
            Ok(Answer {
                data: all.into_iter().take(limit).collect(),
                warnings: answer.warnings,
            })
        })
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Answering<Vec<SeriesExemplars>> {
        let this = self.clone();
        Box::pin(async move {
            let invalid =
                |error: parse::ParseError| StoreError::new(ErrorKind::Invalid, error.to_string());
            let expr = parse_expr(&request.query, GIVEN).map_err(invalid)?;
            let selectors = expr.selectors();
            let ask = |member: &CatalogMember| {
                let (min, max) = member.services.exemplars?;
                if !TimeRange::closed(min, max).overlaps(request.range) {
                    return None;
                }
                let query = query_for(&member.label_sets, &selectors)?;
                Some(member.catalog.exemplars(ExemplarsRequest {
                    query,
                    ..request.clone()
                }))
            };
            let answer = this.ask(&request.asker, ask).await?;
            let mut all = answer.data.concat();
            // What was asked may be more than what is meant.
            all.retain(|series| {
                let is_meant = |matchers: &&[Matcher]| series.series_labels.match_all(matchers);
                selectors.iter().any(is_meant)
            });
            Ok(Answer {
                data: merge::exemplars(all, &this.replica_labels),
                warnings: answer.warnings,
            })
        })
    }

    fn statistics(&self, request: StatisticsRequest) -> Answering<StatisticsByTenant> {
        let this = self.clone();
        Box::pin(async move {
            let ask = |member: &CatalogMember| {
                let is_asked = member.services.statistics;
                is_asked.then(|| member.catalog.statistics(request.clone()))
            };
            let answer = this.ask(&request.asker, ask).await?;
            let mut heads: BTreeMap<String, Vec<HeadStatistics>> = BTreeMap::new();
            for (tenant, head) in answer.data.into_iter().flatten() {
                heads.entry(tenant).or_default().push(head);
            }
            let joined = heads.into_iter();
            let joined = joined.map(|(tenant, heads)| (tenant, HeadStatistics::joined(heads)));
            Ok(Answer {
                data: joined.collect(),
                warnings: answer.warnings,
            })
        })
    }
}

/// The expression to ask a member with these external labels for; `None` when none of the selectors
/// can select series of it. A Prometheus does not know its external labels, so that matchers on them
/// are left out; they are applied to its answer.
fn query_for(label_sets: &[Labels], selectors: &[&[Matcher]]) -> Option<String> {
    let none = [Labels::empty()];
    let label_sets = if label_sets.is_empty() {
        &none[..]
    } else {
        label_sets
    };
    let mut texts: Vec<String> = Vec::new();
    for external in label_sets {
        for matchers in selectors {
            let Some(left) = remaining_matchers(matchers, external) else {
                continue;
            };
            let mut parts: Vec<_> = left.iter().map(ToString::to_string).collect();
            if left.iter().all(Matcher::matches_empty) {
                // A selector must refuse something; every series has a name.
                parts.push(r#"__name__!="""#.to_owned());
            }
            let text = format!("{{{}}}", parts.join(","));
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    (!texts.is_empty()).then(|| texts.join(" + "))
}

#[cfg(test)]
mod tests;
