//! What each relabelling rule of a job does to labels, for who looks why a target has those it has.

use model::Labels;
use model::labels::LabelsBuilder;
use model::relabel::{RelabelConfig, RelabelRule};
use serde_json::{Map, Value, json};

use super::Manager;

impl Manager {
    /// The rules of a job in order, as Prometheus' API shows them: each with the labels behind it, and
    /// whether they are kept; nothing when there is no such job.
    pub fn relabel_steps(&self, pool: &str, labels: &Labels) -> Option<Vec<Value>> {
        let pools = self.pools.lock();
        Some(pools.get(pool)?.relabel_steps(labels))
    }
}

/// What `rules`, which are `configs` compiled, do to `labels` one after the other.
pub(super) fn steps(
    configs: &[RelabelConfig],
    rules: &[RelabelRule],
    labels: &Labels,
) -> Vec<Value> {
    let mut labels = LabelsBuilder::from_labels(labels);
    let mut is_kept = true;
    let steps = configs.iter().zip(rules).map(|(config, rule)| {
        // What was dropped comes to no other rule.
        is_kept = is_kept && rule.apply(&mut labels);
        let output = match is_kept {
            true => labels.labels(),
            false => Labels::empty(),
        };
        let output: Map<_, _> = (output.iter())
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
        json!({ "rule": shown(config), "output": output, "keep": is_kept })
    });
    steps.collect()
}

/// A rule with its defaults; what has none is left out.
fn shown(config: &RelabelConfig) -> Value {
    let or = |said: &Option<String>, default: &str| -> Value {
        said.as_deref().unwrap_or(default).into()
    };
    let mut rule = json!({
        "separator": or(&config.separator, ";"),
        "regex": or(&config.regex, "(.*)"),
        "replacement": or(&config.replacement, "$1"),
        "action": config.action.as_str(),
    });
    let optional = [
        (
            "source_labels",
            config.source_labels.as_ref().map(|l| json!(l)),
        ),
        ("modulus", config.modulus.map(Value::from)),
        (
            "target_label",
            config.target_label.as_deref().map(Value::from),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            rule[name] = value;
        }
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_shown_behind_each_rule() {
        let configs: Vec<RelabelConfig> = serde_json::from_value(json!([
            {"source_labels": ["a", "b"], "target_label": "c"},
            {"action": "hashmod", "source_labels": ["a"], "modulus": 3, "target_label": "h"},
            {"action": "labeldrop", "regex": "b"},
            {"action": "drop", "source_labels": ["a"], "regex": "A"},
            {"target_label": "y", "replacement": "z"},
        ]))
        .unwrap();
        let scheme = model::labels::NameScheme::Utf8;
        let rules: Vec<_> = configs.iter().map(|c| c.compile(scheme).unwrap()).collect();
        let labels = Labels::from_pairs([("a", "A"), ("b", "B")]);
        let steps = steps(&configs, &rules, &labels);
        let kept: Vec<_> = steps.iter().map(|step| step["keep"] == true).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        assert_eq!(
            steps[0],
            json!({
                "rule": {"source_labels": ["a", "b"], "separator": ";", "regex": "(.*)",
                         "target_label": "c", "replacement": "$1", "action": "replace"},
                "output": {"a": "A", "b": "B", "c": "A;B"},
                "keep": true,
            })
        );
        assert_eq!(steps[1]["rule"]["modulus"], 3);
        assert_eq!(steps[2]["output"], json!({"a": "A", "c": "A;B", "h": "2"}));
        assert_eq!(steps[4]["output"], json!({}));
    }
}
