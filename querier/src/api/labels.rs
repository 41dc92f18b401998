//! `/api/v1/labels`: the names of labels.

use model::Matcher;
use storeapi::{LabelsRequest, Store, Strings};

use super::answer::{Answer, ApiError};
use super::{Api, Call, params, scope};
use crate::evaluator::Leash;
use crate::store_source::Patience;

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let limit = params::limit(&call.form)?;
    let question = Question::of(api, call)?;
    let store = api.evaluator.fan_out(&question.stores);
    let patience = question.patience(api, &*store);
    question.ask(&patience, limit, |request| store.label_names(request))
}

/// A question for names or values of labels.
pub(super) struct Question {
    request: LabelsRequest,
    /// Series must match one of these lists; there is at least one.
    selectors: Vec<Vec<Matcher>>,
    pub(super) stores: scope::StoreMatchers,
    leash: Leash,
}

impl Question {
    /// What a call asks. Replica labels are shown, as in Thanos, but for those nobody named.
    pub(super) fn of(api: &Api, call: &Call<'_>) -> Result<Self, ApiError> {
        let range = params::metadata_range(&call.form, call.now_ms, api.settings())?;
        let selectors = params::selectors(api, &call.form).map_err(ApiError::bad_data)?;
        let scope = scope::scope(api, call, 0)?;
        let all = vec![Vec::new()];
        let selectors = if selectors.is_empty() { all } else { selectors };
        Ok(Self {
            selectors: selectors.iter().map(|s| scope.matchers(s)).collect(),
            stores: scope::store_matchers(api, &call.form)?,
            leash: api.leash(call, None),
            request: LabelsRequest {
                range,
                partial_response: scope.partial_response,
                without_replica_labels: api.settings().hidden_labels.clone(),
                tenant: scope.tenant,
                may_block: true,
                ..LabelsRequest::default()
            },
        })
    }

    /// How long the question waits for `store`.
    pub(super) fn patience(&self, api: &Api, store: &dyn Store) -> Patience {
        api.evaluator.patience_with(store, &self.leash)
    }

    /// What `ask` yields for all selectors together, sorted, at most `limit` if that is not 0.
    pub(super) fn ask<F>(
        &self,
        patience: &Patience,
        limit: usize,
        ask: impl Fn(LabelsRequest) -> F,
    ) -> Result<Answer, ApiError>
    where
        F: Future<Output = Result<Strings, storeapi::StoreError>>,
    {
        let asking = self.selectors.iter().map(|matchers| {
            ask(LabelsRequest {
                matchers: matchers.clone(),
                // One more than is shown tells that something is left out.
                limit: if limit == 0 { 0 } else { limit + 1 },
                ..self.request.clone()
            })
        });
        let found = patience.wait(futures::future::try_join_all(asking))??;
        let mut warnings = Vec::new();
        let mut lists = Vec::with_capacity(found.len());
        for strings in found {
            lists.push(strings.values);
            warnings.extend(strings.warnings);
        }
        let all = crate::local::union(lists);
        Ok(Answer::strings(all, limit).with_store_warnings(warnings))
    }
}
