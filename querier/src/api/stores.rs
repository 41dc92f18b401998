//! `/api/v1/stores`: whom the querier asks, and how they are.

use std::collections::BTreeMap;

use model::Labels;
use model::time::Rfc3339;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError};
use super::{Api, Call};

pub(super) fn answer(api: &Api, _: &Call<'_>) -> Result<Answer, ApiError> {
    let mut by_component: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for store in api.evaluator.stores.statuses() {
        let labels: Vec<Value> = store.label_sets.iter().map(label_set).collect();
        // What is part of this process is as it says, now.
        let checked_ms = store.last_check_ms.unwrap_or_else(|| api.clock.now_ms());
        let entry = json!({
            "name": store.name,
            "lastCheck": Rfc3339(checked_ms).to_string(),
            "lastError": store.last_error,
            "labelSets": labels,
            "minTime": store.min_time,
            "maxTime": store.max_time,
        });
        by_component.entry(store.component).or_default().push(entry);
    }
    Ok(Answer::tree(json!(by_component)))
}

fn label_set(labels: &Labels) -> Value {
    let pairs = labels.iter();
    let object: Map<String, Value> = pairs
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    Value::Object(object)
}
